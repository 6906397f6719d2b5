//! Forward and backward passes that a layer or a cell brings itself.
use crate::op::Gradients;
use crate::{AnyCell, AnyLayer, Error, Result, bail, ensure};
use tch::Tensor;

/// A forward and a backward pass of a layer's or a cell's own, which spare libtorch's autograd.
///
/// A layer or cell that has them is asked for them first; its `forward`, through which autograd runs, stays the
/// definition of what both compute ([`testkit::check_passes`](crate::testkit::check_passes) compares the two).
/// They pay where a backward pass has several lanes (gradients of the same outputs that are kept apart), which it
/// handles all at once, and where a step is so short that autograd's own work counts.
///
/// Both run without grad mode, and are handed contiguous tensors.
pub trait Passes {
    /// Of `x` (batch, ins): all outputs, (batch, outs), and the tensors that [`backward`](Self::backward) needs
    /// beside the parameters. These are not to be changed until then.
    fn forward(&self, x: &Tensor) -> Result<(Tensor, Vec<Tensor>)>;

    /// The gradients, given those of the outputs and what [`forward`](Self::forward) kept.
    fn backward(&self, kept: &[Tensor], incoming: &Incoming<'_>) -> Result<Outgoing>;
}

/// What may have passes of its own.
pub trait Passing {
    /// The passes, if there are such.
    fn own(&self) -> Option<&dyn Passes>;

    /// The passes, where it is known that there are such.
    fn required(&self) -> Result<&dyn Passes> {
        match self.own() {
            Some(passes) => Ok(passes),
            None => bail!("has no passes of its own any more"),
        }
    }
}

impl Passing for dyn AnyLayer {
    fn own(&self) -> Option<&dyn Passes> {
        self.passes()
    }
}

impl Passing for dyn AnyCell {
    fn own(&self) -> Option<&dyn Passes> {
        self.passes()
    }
}

/// The gradients that a backward pass starts from.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// (lanes · batch, outs): row `r` is a gradient of the forward pass's row `r % batch`, in lane `r / batch`.
    pub gradient: &'a Tensor,
    /// For each lane whether it reaches the parameters; as many as there are lanes, at least 1.
    pub to_parameters: &'a [bool],
    /// How many lanes, from the first on, reach the input.
    pub to_input: usize,
}

impl Incoming<'_> {
    /// How many lanes there are.
    pub fn lanes(&self) -> usize {
        self.to_parameters.len()
    }

    /// How many rows the forward pass had.
    pub fn batch(&self) -> i64 {
        self.gradient.size()[0] / self.lanes().max(1) as i64
    }

    /// Whether any lane reaches the parameters.
    pub fn any_to_parameters(&self) -> bool {
        self.to_parameters.contains(&true)
    }
}

/// The gradients that a backward pass ends with.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// That of the input, (to_input · batch, ins), a tensor that nobody else holds; `None` if no lane reaches it.
    pub input: Option<Tensor>,
    /// Those of the trained parameters, in the order in which they were made, each summed over the lanes that
    /// reach it; `None` for one that gets no gradient.
    pub parameters: Vec<Option<Tensor>>,
}

impl Outgoing {
    /// What an [`Op`](crate::op::Op) answers with whose inputs are a pass's input, then its trained parameters.
    pub fn for_operation(self, gradients: &Gradients<'_>) -> Result<Vec<Option<Tensor>>> {
        let Outgoing { input, mut parameters } = self;
        let count = gradients.inputs() - 1;
        if parameters.is_empty() {
            parameters.resize_with(count, || None);
        }
        ensure!(
            parameters.len() == count,
            "a backward pass answered with the gradients of {} parameters, and there are {count}",
            parameters.len()
        );
        let all = std::iter::once(input).chain(parameters);
        Ok(all.enumerate().map(|(i, g)| g.filter(|_| gradients.wanted(i))).collect())
    }
}

/// What several parts of a pass kept, as one list, which [`split`] takes apart again.
pub fn join(parts: Vec<Vec<Tensor>>) -> Result<Vec<Tensor>> {
    let counts: Vec<i64> = parts.iter().map(|p| p.len() as i64).collect();
    let mut all = vec![Tensor::f_from_slice(&counts)?];
    all.extend(parts.into_iter().flatten());
    Ok(all)
}

/// The parts that were given to [`join`], of which there must be `N`.
pub fn split<const N: usize>(kept: &[Tensor]) -> Result<[&[Tensor]; N]> {
    let parts = split_all(kept)?;
    let count = parts.len();
    parts.try_into().map_err(|_| Error::msg(format!("a pass kept {count} parts, and {N} are to be used")))
}

/// All parts that were given to [`join`].
pub fn split_all(kept: &[Tensor]) -> Result<Vec<&[Tensor]>> {
    let lost = || Error::msg("a backward pass was not given what the forward pass kept");
    let (counts, mut rest) = kept.split_first().ok_or_else(lost)?;
    let counts = Vec::<i64>::try_from(counts)?;
    counts
        .into_iter()
        .map(|count| {
            let (part, left) =
                usize::try_from(count).ok().and_then(|c| rest.split_at_checked(c)).ok_or_else(lost)?;
            rest = left;
            Ok(part)
        })
        .collect()
}

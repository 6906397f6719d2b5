//! What cells share whose recurrent units do not see each other.
//!
//! A state of such a cell has two parts: what is read out of memory, in front, and the memory itself, at the end. A unit
//! alone cannot be both: an element that holds what was seen long ago cannot at the same time predict what will be seen
//! next. So the next state is
//!
//! ```text
//! memory' = each unit of its own elements and of what was observed
//! front'  = out_mult · tanh(read_out([what the read-out sees of memory', what was observed]))
//! ```
//!
//! and nothing of the next state depends on the front. What is observed counts as given: no gradient passes through it.
use efference_sdk::nn::Observed;
use efference_sdk::tch::{Device, Kind, Tensor};
use efference_sdk::{
    CellSetup, Nonlinearity, ParamStore, Recurrence, Result, Saved, Size, Stack, StackSpec, bail, ensure,
    tracing,
};

/// How such a cell is asked to be.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// The cell's name.
    pub cell: &'static str,
    /// Elements of a unit.
    pub parts: i64,
    /// How many units; 0: as many as fill half of the state.
    pub units: i64,
    /// Layers in the read-out.
    pub layers: i64,
    /// What stands between them.
    pub nonlinearity: Nonlinearity,
    /// How far what is read out can go from zero.
    pub out_mult: f64,
}

/// The front of the state, what is observed, and where the units are.
pub struct Frame {
    /// How many units there are.
    pub units: i64,
    parts: i64,
    size: Size,
    observed: Observed,
    read_out: Option<ReadOut>,
}

struct ReadOut {
    stack: Stack,
    out_mult: f64,
    /// Names of its parameters, in the cell's scope.
    names: Vec<String>,
}

const READ_OUT: &str = "read_out";

impl Frame {
    /// Lays out the state, and makes the read-out with its parameters under `read_out`.
    ///
    /// # Errors
    /// The cell does not know where in its input the observation stands, or the units do not fit into the state.
    pub fn new(wanted: &Wanted, setup: &CellSetup<'_>) -> Result<Self> {
        let Wanted { cell, parts, layers, nonlinearity, out_mult, .. } = *wanted;
        let size = setup.size;
        let Some(observed) = Observed::new(setup) else {
            bail!(
                "the units of {cell} see what is observed and nothing of each other, so it must know where in its input the \
                 observation stands: set merge = \"concat\" under [trainer], with an environment that knows beforehand \
                 what it observes"
            )
        };
        let units = if wanted.units == 0 { (size.outs / (2 * parts)).max(1) } else { wanted.units };
        let fits = units.checked_mul(parts).is_some_and(|memory| memory <= size.outs);
        ensure!(
            fits,
            "{units} units of {cell} take {parts} elements of the state each, and state.size is {}: set `units` under [cell] \
             to {} or less, or enlarge state.size",
            size.outs,
            size.outs / parts
        );
        ensure!(out_mult.is_finite(), "out_mult must be a finite number, and is {out_mult}");
        let front = size.outs - units * parts;
        let predicted = (setup.observation.end - size.outs).max(0);
        if front > 0 && front < predicted && !setup.params.only_counts()? {
            tracing::warn!(
                "the front of a state of {cell} has {front} elements, and a prediction of what is observed takes {predicted}: \
                 the rest of it is read from the memory itself. Enlarge state.size, or lower `units` under [cell]"
            );
        }
        let read_out = if front == 0 {
            None
        } else {
            let size = Size { ins: units * parts + observed.width(), outs: front };
            let spec = StackSpec { size, layers, nonlinearity, zero_at_start: false };
            let params = setup.params.scope(READ_OUT);
            let stack = Stack::new(spec, setup.layers, &params)?;
            let names = params.tensors()?.into_iter().map(|(name, _)| format!("{READ_OUT}.{name}")).collect();
            Some(ReadOut { stack, out_mult, names })
        };
        Ok(Frame { units, parts, size, observed, read_out })
    }

    /// Features of what is observed.
    pub fn observed(&self) -> i64 {
        self.observed.width()
    }

    fn front(&self) -> i64 {
        self.size.outs - self.units * self.parts
    }

    /// Of the cell's input `x` (batch, ins): what was observed, (batch, observed), and each part of the units, (batch, units).
    pub fn split(&self, x: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        let part = |part: i64| Ok(x.f_narrow(1, self.front() + part * self.units, self.units)?);
        Ok((self.observed.of(x)?, (0..self.parts).map(part).collect::<Result<_>>()?))
    }

    /// The next state, (batch, outs): of the parts of the units, of what the read-out sees of them, as many, and of what was
    /// observed.
    pub fn next_state(&self, parts: &[Tensor], seen: &[Tensor], observed: &Tensor) -> Result<Tensor> {
        let mut state = Vec::with_capacity(1 + parts.len());
        if let Some(ReadOut { stack, out_mult, .. }) = &self.read_out {
            let mut input: Vec<_> = seen.iter().collect();
            input.push(observed);
            let input = Tensor::f_cat(&input, 1)?;
            state.push(stack.forward(&input)?.f_tanh()?.f_mul_scalar(*out_mult)?);
        }
        state.extend(parts.iter().map(Tensor::shallow_clone));
        Ok(Tensor::f_cat(&state, 1)?)
    }

    /// How the state recurs: `units` are those of the cell's own parameters; the read-out's feed none.
    pub fn recurrence(&self, mut units: Saved) -> Result<Recurrence> {
        if let Some(read_out) = &self.read_out {
            let none = Tensor::from(-1i64);
            units.extend(read_out.names.iter().map(|name| (name.clone(), none.shallow_clone())));
        }
        Ok(Recurrence { elements: self.front()..self.size.outs, parts: self.parts, units })
    }

    /// The units of a parameter that has one element a unit.
    pub fn one_a_unit(&self) -> Result<Tensor> {
        Ok(Tensor::f_arange(self.units, (Kind::Int64, Device::Cpu))?)
    }
}

//! Cell plugin: a gated recurrent unit over stacks of layers.
use efference_sdk::nn::{Observed, check_forward, columns};
use efference_sdk::tch::Tensor;
use efference_sdk::{Cell, CellSetup, Nonlinearity, Plugin, Result, Size, Stack, StackSpec, ensure};
use std::ops::Range;

efference_sdk::options! {
    /// Options of `gru`.
    pub struct Options {
        /// How many layers stand in a row in each of the cell's stacks.
        #[schemars(range(min = 1, max = 4_096))]
        pub layers: i64 = 1,
        /// How far a state can go from zero; a little more than 1 lets it reach ±1 itself.
        pub out_mult: f64 = 1.2,
        /// What stands between the layers of a stack.
        pub nonlinearity: Nonlinearity = Nonlinearity::Softsign,
    }
}

/// A gated recurrent unit (Cho et al., arXiv 1406.1078), with stacks of layers in place of its matrices. Of `x` (batch, ins),
/// whose first `outs` features are the state `h`, and with `u` what came beside it:
///
/// ```text
/// r  = sigmoid(r([h, u])), z = sigmoid(z([h, u]))
/// h' = (1 − z) · h + z · out_mult · tanh(c([r · h, u]))
/// ```
///
/// The reset gate acts before the candidate's map, as in Cho et al., where cuDNN's form has it behind; `z` is what is let
/// in, as in Chung et al. (arXiv 1412.3555), where Cho et al. have 1 − z. `u` is the reward, the observation and the action
/// that was done, where the trainer says where these stand; else all that stands behind the state, if there is anything.
///
/// Parameters: those of the stacks, under `r`, `z` and `c`.
pub struct Gru {
    size: Size,
    beside: Beside,
    out_mult: f64,
    r: Stack,
    z: Stack,
    c: Stack,
}

/// What comes beside the state.
enum Beside {
    Nothing,
    Observed(Observed),
    /// So many features, in which more than an observation may be mixed: it carries gradient.
    Rest(i64),
}

impl Plugin for Gru {
    const NAME: &'static str = "gru";
    const DESCRIPTION: &'static str =
        "Gated recurrent unit: one gate says what of the state to look at, one what to let in.";
    type Options = Options;
    type Kind = dyn Cell;

    fn new(options: Options, setup: &CellSetup<'_>) -> Result<Self> {
        let CellSetup { size, layers, params, .. } = setup;
        let Size { ins, outs } = *size;
        ensure!(
            ins >= outs,
            "gru keeps a part of its input as the next state, so that its input ({ins} features) cannot be smaller than its \
             output ({outs})"
        );
        let Options { layers: count, nonlinearity, out_mult } = options;
        ensure!(out_mult.is_finite(), "out_mult must be a finite number, and is {out_mult}");
        let beside = match Observed::new(setup) {
            Some(observed) if observed.width() > 0 => Beside::Observed(observed),
            _ if ins > outs => Beside::Rest(ins - outs),
            _ => Beside::Nothing,
        };
        let width = match &beside {
            Beside::Nothing => 0,
            Beside::Observed(observed) => observed.width(),
            Beside::Rest(rest) => *rest,
        };
        let stack = |name: &str| {
            let size = Size { ins: outs + width, outs };
            let spec = StackSpec { size, layers: count, nonlinearity, zero_at_start: false };
            Stack::new(spec, *layers, &params.scope(name))
        };
        Ok(Gru { size: *size, beside, out_mult, r: stack("r")?, z: stack("z")?, c: stack("c")? })
    }
}

impl Cell for Gru {
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        check_forward("gru", self.size, x, &outs)?;
        let all = self.size.outs;
        let h = x.f_narrow(1, 0, all)?;
        let beside = match &self.beside {
            Beside::Nothing => None,
            Beside::Observed(observed) => Some(observed.of(x)?),
            Beside::Rest(rest) => Some(x.f_narrow(1, all, *rest)?),
        };
        let with = |h: &Tensor| -> Result<Tensor> {
            Ok(match &beside {
                None => h.shallow_clone(),
                Some(beside) => Tensor::f_cat(&[h, beside], 1)?,
            })
        };
        let seen = with(&h)?;
        let r = self.r.forward(&seen)?.f_sigmoid()?;
        let c = self.c.forward_range(&with(&r.f_mul(&h)?)?, outs.clone())?;
        let c = c.f_tanh()?.f_mul_scalar(self.out_mult)?;
        let z = self.z.forward_range(&seen, outs.clone())?.f_sigmoid()?;
        Ok(columns(&h, &outs)?.f_lerp_tensor(&c, &z)?)
    }
}

efference_sdk::export! { cell: Gru }

#[cfg(test)]
mod tests;

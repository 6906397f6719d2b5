//! Cell plugin: gated units that do not see each other.
use efference_independent_units::{Frame, Wanted};
use efference_sdk::nn::{Normalised, check_forward, columns};
use efference_sdk::tch::Tensor;
use efference_sdk::{Cell, CellSetup, Nonlinearity, ParamStore, Plugin, Recurrence, Result, Size, ensure};
use std::ops::Range;

efference_sdk::options! {
    /// Options of `mingru`.
    pub struct Options {
        /// How many units remember, at the end of the state; 0: as many as fill half of it.
        #[schemars(range(min = 0))]
        pub units: i64 = 0,
        /// Units begin by forgetting within 1 to so many steps, each in a time of its own; 1: all within a step.
        #[schemars(range(min = 1.0, max = 1_000_000_000.0))]
        pub longest: f64 = 16.0,
        /// How many layers stand in a row in what reads predictions out of the units.
        #[schemars(range(min = 1, max = 4_096))]
        pub layers: i64 = 1,
        /// What stands between them.
        pub nonlinearity: Nonlinearity = Nonlinearity::Softsign,
        /// How far what is read out can go from zero; a little more than 1 lets it reach ±1 itself.
        pub out_mult: f64 = 1.2,
    }
}

/// minGRU (Feng et al., "Were RNNs all we needed?", arXiv 2410.01201) with a read-out. Of `x` (batch, ins), which begins with
/// the state `[front, h]` and holds what was observed, `u`:
///
/// ```text
/// z      = sigmoid(z(u) + offset)
/// h'     = (1 − z) · h + z · tanh(h(u))
/// front' = out_mult · tanh(read_out([h', u]))
/// ```
///
/// Gate and candidate see `u` alone: the reward, the observation and the action that was done. The paper leaves the candidate
/// without a limit; here it is one of ±1, as a state's elements are. `z` and `h` are one layer each, for exactness: see
/// [`Recurrence`]. `offset` is no parameter: −log T for a time T that is drawn uniformly from 1…`longest` for each unit (the
/// chrono initialisation of Tallec and Ollivier, arXiv 1804.11188), so that a unit begins by keeping what it has for about T
/// steps.
///
/// Parameters: those of the layers under `z` and `h`, and of the read-out's stack under `read_out`.
pub struct MinGru {
    size: Size,
    frame: Frame,
    z: Normalised,
    h: Normalised,
    /// (units)
    offset: Tensor,
}

impl Plugin for MinGru {
    const NAME: &'static str = "mingru";
    const DESCRIPTION: &'static str =
        "Gated units whose gates see what is observed and nothing of each other.";
    type Options = Options;
    type Kind = dyn Cell;

    fn new(options: Options, setup: &CellSetup<'_>) -> Result<Self> {
        let CellSetup { size, layers, params, .. } = setup;
        let Options { units, longest, layers: count, nonlinearity, out_mult } = options;
        ensure!(longest.is_finite() && longest >= 1.0, "longest must be 1 or more, and is {longest}");
        let wanted = Wanted { cell: Self::NAME, parts: 1, units, layers: count, nonlinearity, out_mult };
        let frame = Frame::new(&wanted, setup)?;
        let size_in = Size { ins: frame.observed(), outs: frame.units };
        let z = Normalised::new(size_in, *layers, &params.scope("z"))?;
        let h = Normalised::new(size_in, *layers, &params.scope("h"))?;
        let mut random = params.random("offset")?;
        let offset = if params.only_counts()? {
            random.f_normal(&[frame.units], 1.0)?
        } else {
            let one = |_| -((1.0 + random.unit() * (longest - 1.0)).ln()) as f32;
            Tensor::f_from_slice(&(0..frame.units).map(one).collect::<Vec<_>>())?
        };
        let offset = params.buffer("offset", offset)?;
        Ok(MinGru { size: *size, frame, z, h, offset })
    }
}

impl Cell for MinGru {
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        check_forward("mingru", self.size, x, &outs)?;
        let (u, parts) = self.frame.split(x)?;
        let z = self.z.forward(&u)?.f_add(&self.offset)?.f_sigmoid()?;
        let candidate = self.h.forward(&u)?.f_tanh()?;
        let next = [parts[0].f_lerp_tensor(&candidate, &z)?];
        columns(&self.frame.next_state(&next, &next, &u)?, &outs)
    }

    fn recurrence(&self) -> Result<Option<Recurrence>> {
        let mut units = self.z.units("z")?;
        units.extend(self.h.units("h")?);
        self.frame.recurrence(units).map(Some)
    }
}

efference_sdk::export! { cell: MinGru }

#[cfg(test)]
mod tests;

//! Layer plugin: a matrix of low rank.
//!
//! ```text
//! y = U (V x) + b          V (rank, ins), U (outs, rank), b (outs)
//! ```
//!
//! A full matrix has `ins · outs` weights and as many multiply-accumulates a row; this has `rank · (ins + outs)` of both. What
//! it cannot do is to say something about all directions of its input: of `ins` it looks at `rank`. It is for wide layers whose
//! inputs depend on each other, as neighbouring pixels do, and it is the cheapest layer that still mixes all inputs; where each
//! input matters by itself (a state that is to be carried over as it is), `monarch`, `ldl` and `rewired` keep more.
//!
//! `rank = 0`, the default, takes a quarter of a full matrix's weights: `rank = ins · outs / (4 (ins + outs))`, rounded, but at
//! least 1. More than the smaller of `ins` and `outs` is never taken, since it would add weights and no maps. So one number
//! serves all layers of an experiment, however small some are.
//!
//! Weights begin normally distributed, `V` with deviation 1/√ins and `U` with `gain`/√rank, biases at zero: standard normal
//! inputs give outputs of deviation `gain`, as with `dense`. Both factors are trained, from the start and for good, as in Sainath
//! et al. ("Low-rank matrix factorization for deep neural network training with high-dimensional output targets", ICASSP 2013);
//! Denil et al. (arXiv 1306.0543) say how much of a full matrix can be foreseen from a few of its weights.
use efference_sdk::autograd::{NamedVjp, SharedVjp, pack_saved, required, unpack_saved};
use efference_sdk::nn::{Matrix, check_forward};
use efference_sdk::tch::Tensor;
use efference_sdk::{
    GradInput, GradOutput, Layer, LayerSetup, Plugin, Result, Saved, Size, Stage, Vjp, WeightLayout, bail,
};
use std::ops::Range;

efference_sdk::options! {
    /// Options of `low-rank`.
    pub struct Options {
        /// Features between the two matrices; 0: a quarter of a full matrix's weights. The smaller of ins and outs is the most that is taken.
        #[schemars(range(min = 0, max = 1_048_576))]
        pub rank: i64 = 0,
        /// Whether a trained number is added to each output.
        pub bias: bool = true,
        /// What the deviation of the second matrix's first weights, 1/√rank, is multiplied with.
        #[schemars(range(min = 0.0))]
        pub gain: f64 = 1.0,
    }
}

/// Two matrices in a row. Its parameters are `down.weight`, (rank, ins), `up.weight`, (outs, rank), and `up.bias`, (outs).
pub struct LowRank {
    size: Size,
    parts: SharedVjp<Parts>,
    /// In the order in which they were made.
    params: Vec<Tensor>,
    /// Whether the experiment trains them.
    trained: bool,
}

/// `y = up(down(x))`
struct Parts {
    rank: i64,
    down: Matrix,
    up: Matrix,
}

/// Of a full matrix's weights, one in so many is what `rank = 0` takes.
const SHARE: i64 = 4;

/// The rank that is taken where `wanted` is asked for.
fn rank(wanted: i64, Size { ins, outs }: Size) -> i64 {
    let most = ins.min(outs);
    let quarter = (ins as f64 * outs as f64 / (SHARE * (ins + outs)) as f64).round() as i64;
    (if wanted == 0 { quarter } else { wanted }).clamp(1, most.max(1))
}

impl Plugin for LowRank {
    const NAME: &'static str = "low-rank";
    const DESCRIPTION: &'static str = "Layer of low rank: two thin matrices in a row.";
    type Options = Options;
    type Kind = dyn Layer;

    fn new(options: Options, setup: &LayerSetup<'_>) -> Result<Self> {
        let (size, params) = (setup.size, &setup.params);
        let rank = rank(options.rank, size);
        let down = Matrix::new(Size { outs: rank, ..size }, false, 1.0, &params.scope("down"))?;
        let up = Matrix::new(Size { ins: rank, ..size }, options.bias, options.gain, &params.scope("up"))?;
        let params: Vec<Tensor> = params.tensors()?.into_iter().map(|(_, t)| t).collect();
        let trained = params.iter().all(Tensor::requires_grad);
        Ok(LowRank { size, parts: SharedVjp::new(Parts { rank, down, up }), params, trained })
    }
}

impl Layer for LowRank {
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        check_forward(Self::NAME, self.size, x, &outs)?;
        if self.trained && outs == (0..self.size.outs) {
            return self.parts.apply(x, &self.params);
        }
        let parts = self.parts.lock();
        parts.up.forward(&parts.down.forward(x, 0..parts.rank)?, outs)
    }

    fn vjp(&self) -> Option<&dyn Vjp> {
        self.trained.then_some(&self.parts)
    }

    fn multiply_accumulates(&self) -> Result<Option<u64>> {
        let Size { ins, outs } = self.size;
        let rank = self.parts.lock().rank as u64;
        Ok(Some(rank.saturating_mul((ins as u64).saturating_add(outs as u64))))
    }

    /// Those of the first matrix: the inputs of the second are no inputs of the layer.
    fn weights(&self) -> Result<Vec<WeightLayout>> {
        Ok(vec![WeightLayout { name: "down.weight".to_owned(), input_dims: vec![1] }])
    }

    fn connections(&self) -> Result<Vec<Stage>> {
        let parts = self.parts.lock();
        Ok([parts.down.connections()?, parts.up.connections()?].concat())
    }

    /// Those of the second matrix: each weight of the first reaches every output.
    fn units(&self) -> Result<Saved> {
        let units = self.parts.lock().up.units()?.into_iter();
        Ok(units.map(|(name, units)| (format!("up.{name}"), units)).collect())
    }
}

impl NamedVjp for Parts {
    const NAME: &'static str = "low-rank";
}

impl Vjp for Parts {
    /// Saved: what each matrix saves, one part each.
    fn forward(&self, x: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        let (z, of_down) = required(Layer::vjp(&self.down))?.forward(x)?;
        let (y, of_up) = required(Layer::vjp(&self.up))?.forward(&z)?;
        Ok((y, pack_saved(vec![of_down, of_up])?))
    }

    /// Through `up` along all paths, since the weights of `down` need the gradient of its outputs even where the input does not.
    fn backward(&self, saved: &[Tensor], grad: &GradOutput<'_>) -> Result<GradInput> {
        let [of_down, of_up] = unpack_saved(saved)?[..] else {
            bail!("low-rank did not receive what it saved")
        };
        let through = GradOutput { input_paths: grad.path_count(), ..*grad };
        let by_up = required(Layer::vjp(&self.up))?.backward(of_up, &through)?;
        let Some(g) = by_up.input else {
            bail!("the second matrix of low-rank returned no gradient of its input")
        };
        let by_down =
            required(Layer::vjp(&self.down))?.backward(of_down, &GradOutput { grad: &g, ..*grad })?;
        let params = by_down.params.into_iter().chain(by_up.params).collect();
        Ok(GradInput { input: by_down.input, params })
    }
}

efference_sdk::export! { layer: LowRank }

#[cfg(test)]
mod tests;

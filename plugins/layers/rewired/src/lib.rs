//! Layer plugin: each output has a few inputs, and the weakest of them are replaced while it learns.
//!
//! ```text
//! y[o] = Σ_j weight[o, j] · x[inputs[o, j]] + bias[o]          j = 0 .. fan_in
//! ```
//!
//! `outs · fan_in` weights and multiply-accumulates a row, however many inputs there are. Which inputs an output has is drawn at
//! random at the start, each one once. Every `every` steps the `⌊share · fan_in⌋` connections of each output whose weights are
//! smallest are taken away, and as many new ones, drawn at random among the inputs that the output did not have, begin with a
//! weight of 0: what is computed changes by what the smallest weights did, and no more. This is sparse evolutionary training
//! (Mocanu et al., "Scalable training of artificial neural networks with adaptive sparse connectivity inspired by network science",
//! arXiv 1707.04780), with the same number for each output, so that a row is a gather and a sum; Deep Rewiring (Bellec et
//! al., arXiv 1711.05136) is the same idea with connections that die where their weight changes its sign. `share = 0` leaves the
//! connections as they were drawn.
//!
//! It is for wide layers of which each output needs few inputs, and does not know which. An input that no output has drawn is
//! not seen at all: with `outs · fan_in` far below `ins` that is most of them, and `low-rank` or `monarch` are better.
//!
//! **What is kept.** `inputs` and the step of the last rewiring are buffers, and the new connections are drawn from a seed of the
//! experiment's and the step: a run that is stopped and resumed goes on bit for bit. Rewiring is by `Layer::updated`, after an
//! update of the layer's own weights: while a gradient of theirs still waits for its update, that comes first.
//!
//! **What is not.** A layer cannot reach what an optimizer remembers of a weight. So a new connection begins with its
//! predecessor's moments, and the first updates move it a little by what the weight before was moved by: with Adam's
//! `beta1 = 0.9` most of it is forgotten after 20 updates, while the mean square (`beta2`) stays with it for about a thousand. A
//! slow copy of the cell gets its connections from the cell at the next update, and its weights fade over as all others do.
//!
//! Weights begin normally distributed with deviation `gain`/√fan_in, biases at zero: standard normal inputs give outputs of deviation
//! `gain`.
mod gather;
mod rewire;
#[cfg(test)]
mod tests;

use efference_sdk::autograd::SharedVjp;
use efference_sdk::nn::{check_forward, columns};
use efference_sdk::tch::{self, Device, Kind, Tensor};
use efference_sdk::{
    Edge, Layer, LayerSetup, ParamStore, Params, Plugin, Random, Result, Saved, Size, Stage, Vjp,
    WeightLayout, derive_seed, ensure,
};
use gather::Gather;
use std::ops::Range;

efference_sdk::options! {
    /// Options of `rewired`.
    pub struct Options {
        /// How many inputs each output has; a layer with fewer inputs has all of them, and stays as it is.
        #[schemars(range(min = 1, max = 65_536))]
        pub fan_in: i64 = 32,
        /// Steps from one rewiring to the next, which waits for the next update of the weights.
        #[schemars(range(min = 1, max = 1_000_000_000))]
        pub every: u64 = 200,
        /// Which share of each output's connections is replaced then, those with the smallest weights; 0: none ever is.
        #[schemars(range(min = 0.0, max = 0.9))]
        pub share: f64 = 0.1,
        /// Whether a trained number is added to each output.
        pub bias: bool = true,
        /// What the deviation of the first weights, 1/√fan_in, is multiplied with.
        #[schemars(range(min = 0.0))]
        pub gain: f64 = 1.0,
    }
}

/// A sparse layer that rewires itself. Its parameters are `weight`, (outs, fan_in), and `bias`, (outs); its buffers `inputs`, (outs,
/// fan_in), 32-bit integers, and `rewired`, the step in which it was rewired last.
pub struct Rewired {
    size: Size,
    fan_in: i64,
    every: u64,
    /// How many connections of an output are replaced at once.
    replaced: usize,
    seed: u64,
    gather: SharedVjp<Gather>,
    /// Weight, then bias if there is one.
    params: Vec<Tensor>,
    inputs: Tensor,
    rewired: Tensor,
    trained: bool,
    on_cpu: bool,
}

impl Plugin for Rewired {
    const NAME: &'static str = "rewired";
    const DESCRIPTION: &'static str =
        "Sparse layer: a few inputs an output, of which the weakest are replaced while it learns.";
    type Options = Options;
    type Kind = dyn Layer;

    fn new(options: Options, setup: &LayerSetup<'_>) -> Result<Self> {
        let (size, params) = (setup.size, &setup.params);
        let fan_in = options.fan_in.clamp(1, size.ins.max(1));
        let deviation = options.gain / (fan_in as f64).sqrt();
        ensure!(deviation.is_finite(), "gain must be a finite number, and is {}", options.gain);
        ensure!((0.0..=0.9).contains(&options.share), "share must be within 0…0.9, and is {}", options.share);
        let weight = params.normal("weight", &[size.outs, fan_in], deviation)?;
        let bias = if options.bias { Some(params.normal("bias", &[size.outs], 0.0)?) } else { None };
        let inputs = params.buffer("inputs", first_inputs(size, fan_in, params)?)?;
        let rewired = params.buffer("rewired", Tensor::from(0i64))?;
        let free = (size.ins - fan_in) as usize;
        let gather = Gather { size, fan_in, weight, bias, inputs: inputs.shallow_clone() };
        let params_of_vjp = gather.params();
        Ok(Rewired {
            size,
            fan_in,
            every: options.every.max(1),
            // What rounding leaves of a product such as 0.1 · 30 is not one less.
            replaced: ((options.share * fan_in as f64 + 1e-9).floor() as usize).min(free),
            seed: params.seed("rewire")?,
            trained: params_of_vjp.iter().all(Tensor::requires_grad),
            params: params_of_vjp,
            gather: SharedVjp::new(gather),
            inputs,
            rewired,
            on_cpu: params.device()? == Device::Cpu,
        })
    }
}

/// The inputs of each output at the start, each one once: (outs, fan_in).
fn first_inputs(size: Size, fan_in: i64, params: &Params<'_>) -> Result<Tensor> {
    ensure!(
        size.ins <= i64::from(i32::MAX),
        "rewired counts its inputs by 32-bit integers, and {} are too many",
        size.ins
    );
    let shape = [size.outs, fan_in];
    if params.only_counts()? {
        let one = Tensor::f_zeros([1], (Kind::Int, Device::Cpu))?;
        return Ok(one.f_expand(shape, false)?);
    }
    let mut random = Random::new(params.seed("inputs")?);
    let mut all: Vec<i32> = (0..size.ins as i32).collect();
    let mut inputs = Vec::with_capacity((size.outs * fan_in) as usize);
    for _ in 0..size.outs {
        // The first places of a random order.
        for place in 0..fan_in as usize {
            let other = place + random.below(size.ins as u64 - place as u64) as usize;
            all.swap(place, other);
        }
        inputs.extend_from_slice(&all[..fan_in as usize]);
    }
    Ok(Tensor::f_from_slice(&inputs)?.f_view(shape)?)
}

impl Rewired {
    /// Replaces the weakest connections of each output, by random numbers of this step.
    fn rewire(&self, step: u64) -> Result<()> {
        let [mut weight, mut inputs] = [self.params[0].f_detach()?, self.inputs.shallow_clone()];
        let mut weights: Vec<f32> = weight.f_to_device(Device::Cpu)?.f_reshape([-1])?.try_into()?;
        let mut numbers: Vec<i32> = inputs.f_to_device(Device::Cpu)?.f_reshape([-1])?.try_into()?;
        let mut random = Random::new(derive_seed(self.seed, &format!("step {step}")));
        rewire::rewire(&mut weights, &mut numbers, self.size.ins, self.fan_in, self.replaced, &mut random);
        let shape = [self.size.outs, self.fan_in];
        tch::no_grad(|| -> Result<()> {
            weight.f_copy_(&Tensor::f_from_slice(&weights)?.f_view(shape)?)?;
            inputs.f_copy_(&Tensor::f_from_slice(&numbers)?.f_view(shape)?)?;
            let _ = self.rewired.shallow_clone().f_fill_(step as i64)?;
            Ok(())
        })
    }
}

impl Layer for Rewired {
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        check_forward(Self::NAME, self.size, x, &outs)?;
        if self.on_cpu && x.kind() == Kind::Float {
            return columns(&self.gather.apply(x, &self.params)?, &outs);
        }
        self.gather.lock().by_libtorch(x, &outs)
    }

    fn vjp(&self) -> Option<&dyn Vjp> {
        (self.trained && self.on_cpu).then_some(&self.gather)
    }

    fn multiply_accumulates(&self) -> Result<Option<u64>> {
        Ok(Some((self.size.outs as u64).saturating_mul(self.fan_in as u64)))
    }

    fn weights(&self) -> Result<Vec<WeightLayout>> {
        Ok(vec![WeightLayout { name: "weight".to_owned(), input_dims: vec![1] }])
    }

    fn updated(&self, step: u64) -> Result<()> {
        // Its own update is still to come: another part of the agent was updated first.
        if !self.trained || self.replaced == 0 || self.params[0].grad().defined() {
            return Ok(());
        }
        let last = self.rewired.f_int64_value(&[])?.cast_unsigned();
        if step >= last.saturating_add(self.every) { self.rewire(step) } else { Ok(()) }
    }

    /// As they are now.
    fn connections(&self) -> Result<Vec<Stage>> {
        let inputs: Vec<i32> = self.inputs.f_to_device(Device::Cpu)?.f_reshape([-1])?.try_into()?;
        let edges = inputs.iter().zip(0..).map(|(from, weight)| Edge {
            from: i64::from(*from),
            to: weight / self.fan_in,
            weight,
        });
        Ok(vec![Stage { nodes: self.size, edges: edges.collect() }])
    }

    fn units(&self) -> Result<Saved> {
        let outs = self.size.outs;
        let each = Tensor::f_arange(outs, (Kind::Int64, Device::Cpu))?;
        let mut units = vec![("weight".to_owned(), each.f_view([outs, 1])?)];
        if self.params.len() > 1 {
            units.push(("bias".to_owned(), each));
        }
        Ok(units)
    }
}

efference_sdk::export! { layer: Rewired }

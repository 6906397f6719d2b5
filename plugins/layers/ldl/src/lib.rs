//! Layer plugin: linearithmic dense layers.
//!
//! A linear map `N → N` by a full matrix costs `N²`. Here the `N` numbers are laid out as a block of dims of at
//! most `radix`, and mixed along one dim after the other by small matrices: `N · radix · log_radix N`. Every
//! output depends on every input.
//!
//! With `sharing = "none"` each small matrix is used once; this is the layer of the Monarch and butterfly family
//! of structured matrices. With `sharing = "axis"` each one is used for all places along one further dim, which
//! takes `radix` times fewer parameters.

mod factors;
mod libtorch;
pub mod native;
#[cfg(test)]
mod tests;

use efference_sdk::autograd::SharedVjp;
use efference_sdk::nn::{check_forward, columns};
use efference_sdk::tch::{Device, Tensor};
use efference_sdk::{
    Layer, LayerSetup, Nonlinearity, ParamStore, Plugin, Result, Saved, Size, Stage, Vjp, WeightLayout,
    ensure,
};
pub use factors::{Factors, SubLayer};
use std::ops::Range;

efference_sdk::options! {
    /// Along what the weights of a sub-layer are the same.
    pub enum Sharing {
        /// Along one dim.
        Axis,
        /// Along none: each weight is used once.
        None,
    }
}

efference_sdk::options! {
    /// What computes the layer.
    pub enum Kernel {
        /// The kernels of this plugin on the CPU, libtorch's operations elsewhere.
        Auto,
        /// The kernels of this plugin, which work on the CPU alone.
        Native,
        /// libtorch's operations.
        Libtorch,
    }
}

efference_sdk::options! {
    /// Options of `ldl`.
    pub struct Options {
        /// How many features are mixed at once.
        #[schemars(range(min = 2, max = 65_536))]
        pub radix: i64 = 16,
        /// Along what the weights of a sub-layer are the same: "axis" takes radix times fewer of them.
        pub sharing: Sharing = Sharing::Axis,
        /// Whether each sub-layer adds a trained number to each of its outputs.
        pub bias: bool = true,
        /// Whether each sub-layer that keeps its size adds its input to its output.
        pub skip_connections: bool = true,
        /// Whether neighbours are mixed first, not last.
        pub local_first: bool = false,
        /// What is applied to the input of each sub-layer but the first.
        pub nonlinearity: Nonlinearity = Nonlinearity::Softsign,
        /// What computes the layer; the results are the same but for rounding.
        pub kernel: Kernel = Kernel::Auto,
    }
}

/// A linearithmic dense layer. Its parameters are `weight.i` and `bias.i` of sub-layer `i`, in the order of use.
///
/// The weights of a sub-layer begin normally distributed with deviation `1 / √ins` of that sub-layer, which keeps the
/// deviation of standard normal numbers (LeCun et al., "Efficient BackProp", 1998), biases at zero. The agent that
/// this project re-imagines began with deviation 1 for both; on the bouncing ball of `first-light` that ends at
/// three times the error.
pub struct Ldl {
    size: Size,
    factors: Factors,
    permutations: libtorch::Permutations,
    /// The plugin's own kernels, where they are used.
    native: Option<SharedVjp<native::Native>>,
    /// Of one sub-layer after the other: its weights, then its biases if it has such.
    parameters: Vec<Tensor>,
    /// Whether the experiment trains all of them.
    trained: bool,
    biased: bool,
    nonlinearity: Nonlinearity,
    skip_connections: bool,
}

impl Plugin for Ldl {
    const NAME: &'static str = "ldl";
    const DESCRIPTION: &'static str =
        "Linearithmic dense layer: N·log N weights in place of N², mixed dim by dim.";
    type Options = Options;
    type Kind = dyn Layer;

    fn new(options: Options, setup: &LayerSetup<'_>) -> Result<Self> {
        let (size, params) = (setup.size, &setup.params);
        let share = options.sharing == Sharing::Axis;
        let factors = Factors::new(size, options.radix, share, options.local_first)?;
        let on_cpu = params.device()? == Device::Cpu;
        ensure!(
            options.kernel != Kernel::Native || on_cpu,
            "kernel = \"native\" computes on the CPU, and the experiment's device is another; choose \"auto\", or \
             device = \"cpu\""
        );
        let plan = (on_cpu && options.kernel != Kernel::Libtorch)
            .then(|| native::Plan::new(size, &factors, options.nonlinearity, options.skip_connections));
        let only_counts = params.only_counts()?;
        let mut parameters = Vec::new();
        for (i, sub_layer) in factors.sub_layers.iter().enumerate() {
            let mut add = |name: String, shape: &[i64], deviation: f64| -> Result<()> {
                let numbers = params.random(&name)?.f_normal(shape, deviation)?;
                let numbers = match &plan {
                    // Stand-ins lie at one place in memory, in any order.
                    Some(_) if only_counts => numbers,
                    Some(plan) => native::lay_out(plan, i, &numbers)?,
                    None => numbers,
                };
                parameters.push(params.parameter(&name, numbers)?);
                Ok(())
            };
            add(format!("weight.{i}"), &sub_layer.weight_shape(), 1.0 / (sub_layer.ins as f64).sqrt())?;
            if options.bias {
                add(format!("bias.{i}"), &sub_layer.bias_shape(), 0.0)?;
            }
        }
        let native =
            plan.map(|plan| native::Native::new(plan, &parameters, options.bias, only_counts)).transpose()?;
        let trained = parameters.iter().all(Tensor::requires_grad);
        Ok(Ldl {
            size,
            native: native.map(SharedVjp::new),
            permutations: libtorch::Permutations::new(&factors, size.ins),
            factors,
            parameters,
            trained,
            biased: options.bias,
            nonlinearity: options.nonlinearity,
            skip_connections: options.skip_connections,
        })
    }
}

impl Layer for Ldl {
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        check_forward("ldl", self.size, x, &outs)?;
        if let Some(native) = self.native.as_ref().filter(|_| native::fits(x)) {
            return columns(&native.apply(x, &self.parameters)?, &outs);
        }
        let network = libtorch::Network {
            factors: &self.factors,
            permutations: &self.permutations,
            parameters: &self.parameters,
            biased: self.biased,
            nonlinearity: self.nonlinearity,
            skip_connections: self.skip_connections,
        };
        libtorch::forward(&network, x, outs)
    }

    fn vjp(&self) -> Option<&dyn Vjp> {
        let native = self.native.as_ref().filter(|_| self.trained)?;
        Some(native)
    }

    fn multiply_accumulates(&self) -> Result<Option<u64>> {
        Ok(Some(self.factors.multiply_accumulates()))
    }

    /// Those of the first sub-layer alone: each of its units sees as many inputs as the dim has that it mixes. The inputs
    /// of later ones are no inputs of the layer; made sparse as well, they would leave an output next to nothing to see.
    fn weights(&self) -> Result<Vec<WeightLayout>> {
        let first = self.factors.sub_layers.first();
        let layout = |s: &SubLayer| WeightLayout {
            name: "weight.0".to_owned(),
            input_dims: vec![s.blocks.len() as i64],
        };
        Ok(first.map(layout).into_iter().collect())
    }

    fn connections(&self) -> Result<Vec<Stage>> {
        Ok(self.factors.connections(self.size, self.skip_connections))
    }

    /// Those of the last sub-layer, if each of its weights is used once: what feeds an earlier one reaches every output.
    fn units(&self) -> Result<Saved> {
        let last = self.factors.sub_layers.len().saturating_sub(1);
        let Some(units) = self.factors.units(self.size.outs) else { return Ok(Vec::new()) };
        let shape: Vec<i64> = self.factors.sub_layers[last].bias_shape();
        let units = Tensor::f_from_slice(&units)?.f_view(&shape[..])?;
        let mut listed = vec![(format!("weight.{last}"), units.shallow_clone())];
        if self.biased {
            listed.push((format!("bias.{last}"), units));
        }
        Ok(listed)
    }
}

efference_sdk::export! { layer: Ldl }

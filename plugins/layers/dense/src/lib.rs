//! Layer plugin: a full matrix, for comparison.
use efference_sdk::nn::Matrix;
use efference_sdk::tch::Tensor;
use efference_sdk::{Layer, LayerSetup, Plugin, Result, Saved, Stage, Vjp, WeightLayout};
use std::ops::Range;

efference_sdk::options! {
    /// Options of `dense`.
    pub struct Options {
        /// Whether a trained number is added to each output.
        pub bias: bool = true,
        /// What the deviation of the first weights, 1/√ins, is multiplied with.
        #[schemars(range(min = 0.0))]
        pub gain: f64 = 1.0,
    }
}

/// A [`Matrix`] as a layer of its own.
pub struct Dense(Matrix);

impl Plugin for Dense {
    const NAME: &'static str = "dense";
    const DESCRIPTION: &'static str = "Dense layer: one weight for each pair of an input and an output.";
    type Options = Options;
    type Kind = dyn Layer;

    fn new(options: Options, setup: &LayerSetup<'_>) -> Result<Self> {
        Ok(Dense(Matrix::new(setup.size, options.bias, options.gain, &setup.params)?))
    }
}

impl Layer for Dense {
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        self.0.forward(x, outs)
    }

    fn vjp(&self) -> Option<&dyn Vjp> {
        Layer::vjp(&self.0)
    }

    fn multiply_accumulates(&self) -> Result<Option<u64>> {
        self.0.multiply_accumulates()
    }

    fn weights(&self) -> Result<Vec<WeightLayout>> {
        self.0.weights()
    }

    fn connections(&self) -> Result<Vec<Stage>> {
        self.0.connections()
    }

    fn units(&self) -> Result<Saved> {
        self.0.units()
    }

    fn matrix(&self) -> Result<Vec<Tensor>> {
        self.0.matrix()
    }
}

efference_sdk::export! { layer: Dense }

#[cfg(test)]
mod tests {
    use super::*;
    use efference_sdk::tch::Kind;
    use efference_sdk::{Params, Random, Size};
    use efference_testkit as testkit;

    fn dense(options: Options, ins: i64, outs: i64) -> (testkit::MemoryStore, Dense) {
        let store = testkit::MemoryStore::new(1);
        let dense =
            Dense::new(options, &LayerSetup { size: Size { ins, outs }, params: Params::new(&store) })
                .unwrap();
        (store, dense)
    }

    #[test]
    fn a_range_is_what_it_is_of_all_outputs_and_its_gradients_are_right() {
        for bias in [true, false] {
            let (store, dense) = dense(Options { bias, gain: 1.0 }, 12, 9);
            let x = Random::new(2).normal(&[4, 12], 1.0);
            let all = Layer::forward(&dense, &x, 0..9).unwrap();
            let some = Layer::forward(&dense, &x, 3..8).unwrap();
            assert!(some.allclose(&all.narrow(1, 3, 5), 1e-6, 1e-6, false));
            testkit::check_gradients(&x, &store, |x| Layer::forward(&dense, x, 3..8)).unwrap();
            let vjp = Layer::vjp(&dense).unwrap();
            testkit::check_vjp(vjp, &x, &store, |x| Layer::forward(&dense, x, 0..9)).unwrap();
            // By libtorch's own gradients.
            let weight = store.get("weight").unwrap();
            let bias = bias.then(|| store.get("bias").unwrap());
            testkit::check_vjp(vjp, &x, &store, |x| Ok(x.f_linear(&weight, bias.as_ref())?)).unwrap();
        }
    }

    #[test]
    fn unit_deviation_stays_unit_deviation() {
        let (_store, dense) = dense(Options::default(), 900, 900);
        let y = Layer::forward(&dense, &Random::new(2).normal(&[20, 900], 1.0), 0..900).unwrap();
        let deviation = y.std(false).double_value(&[]);
        assert!((0.95..1.05).contains(&deviation), "{deviation}");
    }

    #[test]
    fn it_multiplies_each_input_for_each_output() {
        let dense = dense(Options::default(), 12, 9).1;
        assert_eq!(dense.multiply_accumulates().unwrap(), Some(12 * 9));
    }

    #[test]
    fn each_input_reaches_each_output_by_a_weight_of_its_own() {
        for (ins, outs) in [(1, 1), (7, 4), (3, 12)] {
            let (store, dense) = dense(Options::default(), ins, outs);
            testkit::check_units(&dense, Size { ins, outs }, &store).unwrap();
            testkit::check_connections(&dense, Size { ins, outs }).unwrap();
            let weight = store.get("weight").unwrap().reshape([-1]);
            let stages = dense.connections().unwrap();
            assert_eq!((stages.len(), stages[0].edges.len() as i64), (1, ins * outs));
            for edge in &stages[0].edges {
                // Bias is 0, so what comes of a unit at the input is the weight.
                let x = Tensor::zeros([1, ins], (Kind::Float, weight.device()));
                let _ = x.get(0).get(edge.from).fill_(1.0);
                let y = Layer::forward(&dense, &x, 0..outs).unwrap();
                assert_eq!(y.double_value(&[0, edge.to]), weight.double_value(&[edge.weight]));
            }
        }
    }

    #[test]
    fn wrong_shapes_and_ranges_are_errors() {
        let (_store, dense) = dense(Options::default(), 3, 2);
        let x = |n| Random::new(2).normal(&[1, n], 1.0);
        assert!(Layer::forward(&dense, &x(4), 0..2).unwrap_err().to_string().contains("(batch, 3)"));
        assert!(Layer::forward(&dense, &x(3), 1..3).unwrap_err().to_string().contains("0..2"));
    }
}

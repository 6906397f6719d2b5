//! Layer plugin: a full matrix, for comparison.
use efference_sdk::autograd::{NamedVjp, SharedVjp};
use efference_sdk::nn::check_forward;
use efference_sdk::tch::{Device, Kind, Tensor};
use efference_sdk::{
    Edge, GradInput, GradOutput, Layer, LayerSetup, Plugin, Result, Saved, Size, Stage, Vjp, WeightLayout,
    bail, ensure,
};
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

/// A full matrix. Its parameters are `weight`, (outs, ins), and `bias`, (outs).
///
/// Weights begin normally distributed with deviation `gain / √ins`, which keeps the deviation of standard normal
/// numbers for a gain of 1 (LeCun et al., "Efficient BackProp", 1998), biases at zero.
pub struct Dense {
    size: Size,
    linear: SharedVjp<Linear>,
    /// Those of `linear`, in its order.
    params: Vec<Tensor>,
    /// Whether the experiment trains them.
    trained: bool,
}

/// `y = x · weightᵀ + bias`, of `x` (batch, ins): (batch, outs).
struct Linear {
    /// (outs, ins)
    weight: Tensor,
    /// (outs)
    bias: Option<Tensor>,
}

impl Plugin for Dense {
    const NAME: &'static str = "dense";
    const DESCRIPTION: &'static str = "Dense layer: one weight for each pair of an input and an output.";
    type Options = Options;
    type Kind = dyn Layer;

    fn new(options: Options, setup: &LayerSetup<'_>) -> Result<Self> {
        let LayerSetup { size, params } = setup;
        let size = *size;
        let deviation = options.gain / (size.ins as f64).sqrt();
        ensure!(deviation.is_finite(), "gain must be a finite number, and is {}", options.gain);
        let weight = params.normal("weight", &[size.outs, size.ins], deviation)?;
        let bias = if options.bias { Some(params.normal("bias", &[size.outs], 0.0)?) } else { None };
        let trained = weight.requires_grad();
        let linear = Linear { weight, bias };
        Ok(Dense { size, params: linear.params(), linear: SharedVjp::new(linear), trained })
    }
}

impl Layer for Dense {
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        check_forward("dense", self.size, x, &outs)?;
        if outs == (0..self.size.outs) {
            return self.linear.apply(x, &self.params);
        }
        let rows = self.linear.lock().rows(&outs)?;
        let params = rows.params();
        SharedVjp::new(rows).apply(x, &params)
    }

    fn vjp(&self) -> Option<&dyn Vjp> {
        self.trained.then_some(&self.linear)
    }

    fn multiply_accumulates(&self) -> Result<Option<u64>> {
        Ok(Some((self.size.ins as u64).saturating_mul(self.size.outs as u64)))
    }

    fn weights(&self) -> Result<Vec<WeightLayout>> {
        Ok(vec![WeightLayout { name: "weight".to_owned(), input_dims: vec![1] }])
    }

    fn connections(&self) -> Result<Vec<Stage>> {
        let Size { ins, outs } = self.size;
        let edges =
            (0..ins).flat_map(|from| (0..outs).map(move |to| Edge { from, to, weight: to * ins + from }));
        Ok(vec![Stage { nodes: self.size, edges: edges.collect() }])
    }

    fn units(&self) -> Result<Saved> {
        let outs = self.size.outs;
        let each = Tensor::f_arange(outs, (Kind::Int64, Device::Cpu))?;
        let mut units = vec![("weight".to_owned(), each.f_view([outs, 1])?)];
        if self.linear.lock().bias.is_some() {
            units.push(("bias".to_owned(), each));
        }
        Ok(units)
    }
}

impl Linear {
    /// Weight, then bias if there is one.
    fn params(&self) -> Vec<Tensor> {
        [Some(&self.weight), self.bias.as_ref()].into_iter().flatten().map(Tensor::shallow_clone).collect()
    }

    /// The map to the outputs `outs` alone, as views of the parameters.
    fn rows(&self, outs: &Range<i64>) -> Result<Linear> {
        let rows = |t: &Tensor| t.f_narrow(0, outs.start, outs.end - outs.start);
        Ok(Linear { weight: rows(&self.weight)?, bias: self.bias.as_ref().map(rows).transpose()? })
    }
}

impl NamedVjp for Linear {
    const NAME: &'static str = "dense";
}

impl Vjp for Linear {
    /// Saved: `x`.
    fn forward(&self, x: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        Ok((x.f_linear(&self.weight, self.bias.as_ref())?, vec![x.shallow_clone()]))
    }

    /// `g_x = g · weight`, `g_weight = gᵀ · x`, `g_bias = Σ g`. The gradients of the parameters are linear in `g`, so the
    /// paths that reach them are summed first.
    fn backward(&self, saved: &[Tensor], grad: &GradOutput<'_>) -> Result<GradInput> {
        let [x] = saved else { bail!("dense did not receive what it saved") };
        let input = match grad.input_paths as i64 {
            0 => None,
            paths => Some(grad.grad.f_narrow(0, 0, paths * grad.batch())?.f_matmul(&self.weight)?),
        };
        let paths = grad.grad.f_split(grad.batch(), 0)?;
        let mut sum: Option<Tensor> = None;
        for (path, _) in paths.iter().zip(grad.needs_param_grad).filter(|(_, reaches)| **reaches) {
            sum = Some(match sum {
                Some(sum) => sum.f_add(path)?,
                None => path.shallow_clone(),
            });
        }
        let Some(g) = sum else { return Ok(GradInput { input, params: Vec::new() }) };
        let mut params = vec![Some(g.f_tr()?.f_matmul(x)?)];
        if self.bias.is_some() {
            let rows: &[i64] = &[0];
            params.push(Some(g.f_sum_dim_intlist(rows, false, Kind::Float)?));
        }
        Ok(GradInput { input, params })
    }
}

efference_sdk::export! { layer: Dense }

#[cfg(test)]
mod tests {
    use super::*;
    use efference_sdk::{Params, Random};
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

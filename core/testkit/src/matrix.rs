//! The simplest layer.
use efference_sdk::tch::{Device, Kind, Tensor};
use efference_sdk::{
    Edge, GradInput, GradOutput, Layer, LayerSetup, Plugin, Result, Saved, Size, Stage, Vjp, WeightLayout,
    bail,
};
use std::ops::Range;

efference_sdk::options! {
    /// Options of [`Matrix`].
    pub struct MatrixOptions {
        /// The deviation of its numbers at the start.
        pub deviation: f64 = 0.3,
        /// Whether it has a custom VJP.
        pub vjp: bool = false,
    }
}

/// A layer that is one full matrix, `weight` (ins, outs), for tests of what is built on layers.
pub struct Matrix {
    weight: Tensor,
    vjp: bool,
}

impl Plugin for Matrix {
    const NAME: &'static str = "matrix";
    const DESCRIPTION: &'static str = "One full matrix.";
    type Options = MatrixOptions;
    type Kind = dyn Layer;

    fn new(options: MatrixOptions, setup: &LayerSetup<'_>) -> Result<Self> {
        let LayerSetup { size, params } = setup;
        let weight = params.normal("weight", &[size.ins, size.outs], options.deviation)?;
        Ok(Matrix { weight, vjp: options.vjp })
    }
}

impl Layer for Matrix {
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        Ok(x.f_matmul(&self.weight.f_narrow(1, outs.start, outs.end - outs.start)?)?)
    }

    fn vjp(&self) -> Option<&dyn Vjp> {
        self.vjp.then_some(self)
    }

    fn multiply_accumulates(&self) -> Result<Option<u64>> {
        Ok(Some(self.weight.numel() as u64))
    }

    fn weights(&self) -> Result<Vec<WeightLayout>> {
        Ok(vec![WeightLayout { name: "weight".to_owned(), input_dims: vec![0] }])
    }

    fn connections(&self) -> Result<Vec<Stage>> {
        let (ins, outs) = self.weight.size2()?;
        let edges =
            (0..ins).flat_map(|from| (0..outs).map(move |to| Edge { from, to, weight: from * outs + to }));
        Ok(vec![Stage { nodes: Size { ins, outs }, edges: edges.collect() }])
    }

    fn units(&self) -> Result<Saved> {
        let (_, outs) = self.weight.size2()?;
        Ok(vec![("weight".to_owned(), Tensor::f_arange(outs, (Kind::Int64, Device::Cpu))?)])
    }
}

impl Vjp for Matrix {
    fn forward(&self, x: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        Ok((x.f_matmul(&self.weight)?, vec![x.shallow_clone()]))
    }

    fn backward(&self, saved: &[Tensor], grad: &GradOutput<'_>) -> Result<GradInput> {
        let [x] = saved else { bail!("the matrix did not receive what it saved") };
        let into_x = grad.grad.f_matmul(&self.weight.f_tr()?)?;
        let rows = grad.input_paths as i64 * grad.batch();
        let mut of_weight: Option<Tensor> = None;
        for (path, _) in (0..).zip(grad.needs_param_grad).filter(|(_, reaches)| **reaches) {
            let of_path = grad.grad.f_narrow(0, path * grad.batch(), grad.batch())?;
            let product = x.f_tr()?.f_matmul(&of_path)?;
            of_weight = Some(match of_weight {
                Some(sum) => sum.f_add(&product)?,
                None => product,
            });
        }
        let input = (rows > 0).then(|| into_x.f_narrow(0, 0, rows).map(|g| g.copy())).transpose()?;
        Ok(GradInput { input, params: vec![of_weight] })
    }
}

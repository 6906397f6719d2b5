//! The simplest layer.
use crate::{Incoming, Layer, Outgoing, Params, Passes, Result, Size, bail};
use std::ops::Range;
use tch::Tensor;

crate::options! {
    /// Options of [`Matrix`].
    pub struct MatrixOptions {
        /// The deviation of its numbers at the start.
        pub deviation: f64 = 0.3,
        /// Whether it has passes of its own.
        pub passes: bool = false,
    }
}

/// A layer that is one full matrix, `weight` (ins, outs), for tests of what is built on layers.
pub struct Matrix {
    weight: Tensor,
    passes: bool,
}

impl Layer for Matrix {
    const NAME: &'static str = "matrix";
    const DESCRIPTION: &'static str = "One full matrix.";
    type Options = MatrixOptions;

    fn new(options: MatrixOptions, size: Size, params: &Params<'_>) -> Result<Self> {
        let weight = params.normal("weight", &[size.ins, size.outs], options.deviation)?;
        Ok(Matrix { weight, passes: options.passes })
    }

    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        Ok(x.f_matmul(&self.weight.f_narrow(1, outs.start, outs.end - outs.start)?)?)
    }

    fn passes(&self) -> Option<&dyn Passes> {
        self.passes.then_some(self)
    }

    fn multiplications(&self) -> Option<u64> {
        Some(self.weight.numel() as u64)
    }
}

impl Passes for Matrix {
    fn forward(&self, x: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        Ok((x.f_matmul(&self.weight)?, vec![x.shallow_clone()]))
    }

    fn backward(&self, kept: &[Tensor], incoming: &Incoming<'_>) -> Result<Outgoing> {
        let [x] = kept else { bail!("the matrix was not given what it kept") };
        let gradient = incoming.gradient;
        let into_x = gradient.f_matmul(&self.weight.f_tr()?)?;
        let rows = incoming.to_input as i64 * incoming.batch();
        let mut of_weight: Option<Tensor> = None;
        for (lane, _) in (0..).zip(incoming.to_parameters).filter(|(_, reaches)| **reaches) {
            let lane = gradient.f_narrow(0, lane * incoming.batch(), incoming.batch())?;
            let product = x.f_tr()?.f_matmul(&lane)?;
            of_weight = Some(match of_weight {
                Some(sum) => sum.f_add(&product)?,
                None => product,
            });
        }
        let input = (rows > 0).then(|| into_x.f_narrow(0, 0, rows).map(|g| g.copy())).transpose()?;
        Ok(Outgoing { input, parameters: vec![of_weight] })
    }
}

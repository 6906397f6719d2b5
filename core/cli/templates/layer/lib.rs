//! Layer plugin: two thin matrices in a row.
use efference_sdk::tch::Tensor;
use efference_sdk::{Layer, LayerSetup, Plugin, Result};
use std::ops::Range;

efference_sdk::options! {
    /// Options of `my-plugin`.
    pub struct Options {
        /// Features between the two matrices.
        #[schemars(range(min = 1, max = 65_536))]
        pub rank: i64 = 64,
    }
}

/// Of `x` (batch, ins): `x · down · up`.
///
/// Parameters: `down` (ins, rank) and `up` (rank, outs).
pub struct MyPlugin {
    down: Tensor,
    up: Tensor,
}

impl Plugin for MyPlugin {
    const NAME: &'static str = "my-plugin";
    const DESCRIPTION: &'static str = "Two thin matrices in a row.";
    type Options = Options;
    type Kind = dyn Layer;

    fn new(options: Options, setup: &LayerSetup<'_>) -> Result<Self> {
        let (size, params) = (setup.size, &setup.params);
        // What has deviation 1 goes on with deviation 1.
        let deviation = |ins: i64| 1.0 / (ins as f64).sqrt();
        Ok(MyPlugin {
            down: params.normal("down", &[size.ins, options.rank], deviation(size.ins))?,
            up: params.normal("up", &[options.rank, size.outs], deviation(options.rank))?,
        })
    }
}

impl Layer for MyPlugin {
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        let up = self.up.f_narrow(1, outs.start, outs.end - outs.start)?;
        Ok(x.f_matmul(&self.down)?.f_matmul(&up)?)
    }

    fn multiply_accumulates(&self) -> Result<Option<u64>> {
        Ok(Some((self.down.numel() + self.up.numel()) as u64))
    }
}

efference_sdk::export! { layer: MyPlugin }

#[cfg(test)]
mod tests {
    use super::*;
    use efference_sdk::{Params, Random, Size};
    use efference_testkit::{MemoryStore, check_gradients};

    #[test]
    fn its_gradients_are_right_and_a_range_is_what_it_is_of_all_outputs() {
        let store = MemoryStore::new(1);
        let setup = LayerSetup { size: Size { ins: 12, outs: 9 }, params: Params::new(&store) };
        let layer = MyPlugin::new(Options { rank: 4 }, &setup).unwrap();
        let x = Random::new(2).normal(&[5, 12], 1.0);
        let all = layer.forward(&x, 0..9).unwrap();
        let some = layer.forward(&x, 3..8).unwrap();
        assert!(some.allclose(&all.narrow(1, 3, 5), 1e-5, 1e-6, false));
        check_gradients(&x, &store, |x| layer.forward(x, 3..8)).unwrap();
    }
}

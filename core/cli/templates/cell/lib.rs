//! Cell plugin: one gate says how much of the state is new.
use efference_sdk::tch::Tensor;
use efference_sdk::{Cell, CellSetup, Layer, Plugin, Result, Size, ensure};
use std::ops::Range;

efference_sdk::options! {
    /// Options of `my-plugin`.
    pub struct Options {
        /// What is added to the gate: above 0 more of the state is new, below 0 more of it stays.
        pub openness: f64 = 0.0,
    }
}

/// Of `x` (batch, ins), whose first `outs` features are the state `h`:
///
/// ```text
/// z          = sigmoid(gate(x) + openness)
/// next state = (1 − z) · h + z · tanh(new(x))
/// ```
///
/// Parameters: those of the layers, under `gate` and `new`.
pub struct MyPlugin {
    size: Size,
    openness: f64,
    gate: Box<dyn Layer>,
    new: Box<dyn Layer>,
}

impl Plugin for MyPlugin {
    const NAME: &'static str = "my-plugin";
    const DESCRIPTION: &'static str = "One gate says how much of the state is new.";
    type Options = Options;
    type Kind = dyn Cell;

    fn new(options: Options, setup: &CellSetup<'_>) -> Result<Self> {
        let Size { ins, outs } = setup.size;
        ensure!(ins >= outs, "an input of {ins} features cannot hold a state of {outs}");
        let layer = |name| setup.layers.make(setup.size, &setup.params.scope(name));
        let (gate, new) = (layer("gate")?, layer("new")?);
        Ok(MyPlugin { size: setup.size, openness: options.openness, gate, new })
    }
}

impl Cell for MyPlugin {
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        let ins = self.size.ins;
        ensure!(x.size().get(1) == Some(&ins), "the input must be (batch, {ins})");
        let state = x.f_narrow(1, outs.start, outs.end - outs.start)?;
        let gate = self.gate.forward(x, outs.clone())?.f_add_scalar(self.openness)?.f_sigmoid()?;
        let new = self.new.forward(x, outs)?.f_tanh()?;
        Ok(state.f_lerp_tensor(&new, &gate)?)
    }
}

efference_sdk::export! { cell: MyPlugin }

#[cfg(test)]
mod tests {
    use super::*;
    use efference_sdk::{Params, Random};
    use efference_testkit::{LayersOf, Matrix, MemoryStore, check_gradients};

    #[test]
    fn its_gradients_are_right_and_a_range_is_what_it_is_of_all_outputs() {
        let (store, layers) = (MemoryStore::new(1), LayersOf::<Matrix>::new("{}").unwrap());
        let setup = CellSetup {
            size: Size { ins: 14, outs: 8 },
            observation: 8..14,
            action: 0..0,
            layers: &layers,
            params: Params::new(&store),
        };
        let cell = MyPlugin::new(Options::default(), &setup).unwrap();
        let x = Random::new(2).normal(&[5, 14], 1.0);
        let all = cell.forward(&x, 0..8).unwrap();
        let some = cell.forward(&x, 3..7).unwrap();
        assert!(some.allclose(&all.narrow(1, 3, 4), 1e-5, 1e-6, false));
        check_gradients(&x, &store, |x| cell.forward(x, 3..7)).unwrap();
    }
}

//! Layers and cells that are checked, as one: features in, features out, gradients.
use crate::{LayersOf, Matrix, MemoryStore};
use efference_sdk::tch::{Kind, Tensor};
use efference_sdk::{
    Cell, CellSetup, Layer, LayerSetup, Params, Random, Result, ResultExt, Size, Vjp, autograd, bail, ensure,
};
use std::ops::Range;
use std::time::{Duration, Instant};

/// Makes layers.
pub type MakeLayer = Box<dyn Fn(&LayerSetup<'_>) -> Result<Box<dyn Layer>>>;
/// Makes cells.
pub type MakeCell = Box<dyn Fn(&CellSetup<'_>) -> Result<Box<dyn Cell>>>;

/// Makes layers or cells of one plugin.
pub trait Networks {
    /// One of this size, with random parameters by this seed.
    fn make(&self, size: Size, seed: u64) -> Result<Network>;
    /// The sizes that are tried; the first is a small one.
    fn sizes(&self) -> Vec<Size>;
}

/// Layers of one plugin.
pub struct Layers(MakeLayer);

impl Layers {
    /// Those that this makes.
    pub fn new(make: impl Fn(&LayerSetup<'_>) -> Result<Box<dyn Layer>> + 'static) -> Self {
        Layers(Box::new(make))
    }
}

impl Networks for Layers {
    fn make(&self, size: Size, seed: u64) -> Result<Network> {
        let store = MemoryStore::new(seed);
        let layer =
            (self.0)(&LayerSetup { size, params: Params::new(&store) }).with_context(|| made(size))?;
        Ok(Network { size, state: size.ins, store, object: Object::Layer(layer) })
    }

    fn sizes(&self) -> Vec<Size> {
        let sizes = [(12, 8), (1, 1), (16, 16), (7, 3), (3, 20), (64, 24), (100, 37)];
        sizes.map(|(ins, outs)| Size { ins, outs }).to_vec()
    }
}

/// Cells of one plugin, over full matrices with a custom VJP.
pub struct Cells(MakeCell);

impl Cells {
    /// Those that this makes.
    pub fn new(make: impl Fn(&CellSetup<'_>) -> Result<Box<dyn Cell>> + 'static) -> Self {
        Cells(Box::new(make))
    }
}

impl Networks for Cells {
    /// Its input is laid out as most trainers do: the state, and beside it the same with the observation over its front.
    fn make(&self, size: Size, seed: u64) -> Result<Network> {
        let store = MemoryStore::new(seed);
        let layers = LayersOf::<Matrix>::new("{\"vjp\": true}")?;
        let observation = size.outs + 1..size.ins;
        let params = Params::new(&store);
        let setup = CellSetup { size, observation, action: 0..0, layers: &layers, params };
        let cell = (self.0)(&setup).with_context(|| made(size))?;
        Ok(Network { size, state: size.outs, store, object: Object::Cell(cell) })
    }

    fn sizes(&self) -> Vec<Size> {
        [8, 4, 16, 36].map(|outs| Size { ins: 2 * outs, outs }).to_vec()
    }
}

fn made(size: Size) -> String {
    format!("made for {} → {} features", size.ins, size.outs)
}

/// One that was made.
pub struct Network {
    pub(super) size: Size,
    /// How many features at the front of the input the gradient is asked for.
    pub(super) state: i64,
    pub(super) store: MemoryStore,
    pub(super) object: Object,
}

pub(super) enum Object {
    Layer(Box<dyn Layer>),
    Cell(Box<dyn Cell>),
}

/// Longer than any small plugin takes.
const SLOW: Duration = Duration::from_secs(3);

impl Network {
    pub(super) fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        let (began, size) = (Instant::now(), [x.size()[0], outs.end - outs.start]);
        let y = match &self.object {
            Object::Layer(layer) => layer.forward(x, outs),
            Object::Cell(cell) => cell.forward(x, outs),
        };
        let (took, y) = (began.elapsed(), y?);
        ensure!(y.size() == size, "it returned a tensor of shape {:?} where {size:?} was expected", y.size());
        ensure!(
            y.kind() == Kind::Float,
            "it returned a tensor of kind {:?} where Float was expected",
            y.kind()
        );
        ensure!(
            y.device() == x.device(),
            "it returned a tensor on {:?}, of one on {:?}",
            y.device(),
            x.device()
        );
        ensure!(
            took < SLOW,
            "it took {:.1} s to return {} → {} features",
            took.as_secs_f64(),
            self.size.ins,
            self.size.outs
        );
        Ok(y)
    }

    pub(super) fn all(&self, x: &Tensor) -> Result<Tensor> {
        self.forward(x, 0..self.size.outs)
    }

    pub(super) fn vjp(&self) -> Option<&dyn Vjp> {
        match &self.object {
            Object::Layer(layer) => layer.vjp(),
            Object::Cell(cell) => cell.vjp(),
        }
    }

    pub(super) fn layer(&self) -> Result<&dyn Layer> {
        match &self.object {
            Object::Layer(layer) => Ok(&**layer),
            Object::Cell(_) => bail!("a cell is no layer"),
        }
    }

    /// Random input of so many rows, within ±1 mostly.
    pub(super) fn input(&self, rows: i64, seed: u64) -> Result<Tensor> {
        Random::new(seed).f_normal(&[rows, self.size.ins], 0.7)
    }

    /// A forward and a backward pass.
    pub(super) fn train(&self, x: &Tensor) -> Result<()> {
        let y = self.all(x)?;
        if y.requires_grad() {
            autograd::backward(&[(&y, &y.f_ones_like()?)])?;
        }
        self.store.clear_gradients();
        Ok(())
    }
}

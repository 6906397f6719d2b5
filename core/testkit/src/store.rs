//! Parameters in memory, and layers made from options.
use efference_sdk::tch::{Device, Tensor};
use efference_sdk::{
    Layer, LayerFactory, LayerSetup, ParamStore, Params, Plugin, Result, Saved, Size, bail, derive_seed,
};
use std::cell::RefCell;
use std::marker::PhantomData;

/// A parameter store on the CPU that lives as long as a test.
#[derive(Debug)]
pub struct MemoryStore {
    seed: u64,
    tensors: RefCell<Vec<(String, Tensor)>>,
}

impl MemoryStore {
    /// An empty store; what is drawn at random depends on `seed` and on names.
    pub fn new(seed: u64) -> Self {
        MemoryStore { seed, tensors: RefCell::default() }
    }

    /// A shared handle of the tensor of this name.
    pub fn get(&self, name: &str) -> Result<Tensor> {
        match self.tensors.borrow().iter().find(|(n, _)| n == name) {
            Some((_, tensor)) => Ok(tensor.shallow_clone()),
            None => bail!("there is no parameter '{name}'"),
        }
    }

    /// Gives a tensor another value, of the same shape.
    pub fn set(&self, name: &str, value: &Tensor) -> Result<()> {
        let mut tensor = self.get(name)?;
        if tensor.size() != value.size() {
            bail!("parameter '{name}' has the shape {:?}, and was given {:?}", tensor.size(), value.size());
        }
        let _no_grad = efference_sdk::tch::no_grad_guard();
        Ok(tensor.f_copy_(value)?)
    }

    /// Forgets all gradients.
    pub fn clear_gradients(&self) {
        for (_, tensor) in self.tensors.borrow_mut().iter_mut() {
            if tensor.grad().defined() {
                tensor.zero_grad();
            }
        }
    }
}

impl ParamStore for MemoryStore {
    fn add(&self, name: &str, init: Tensor, trainable: bool) -> Result<Tensor> {
        let mut tensors = self.tensors.borrow_mut();
        if tensors.iter().any(|(n, _)| n == name) {
            bail!("two parameters are called '{name}'");
        }
        let tensor = init.f_detach()?.f_set_requires_grad(trainable)?;
        tensors.push((name.to_owned(), tensor.shallow_clone()));
        Ok(tensor)
    }

    fn seed(&self, name: &str) -> Result<u64> {
        Ok(derive_seed(self.seed, name))
    }

    fn list(&self, prefix: &str) -> Result<Saved> {
        let tensors = self.tensors.borrow();
        Ok(tensors
            .iter()
            .filter(|(n, _)| n.starts_with(prefix))
            .map(|(n, t)| (n.clone(), t.shallow_clone()))
            .collect())
    }

    fn device(&self) -> Result<Device> {
        Ok(Device::Cpu)
    }
}

/// Makes layers of one kind, all with the same options.
pub struct LayersOf<L> {
    options: String,
    layer: PhantomData<fn() -> L>,
}

impl<L: Layer + Plugin<Kind = dyn Layer>> LayersOf<L> {
    /// From the text of a JSON object, such as `{"radix": 4}`.
    pub fn new(options: impl Into<String>) -> Result<Self> {
        let options = options.into();
        efference_sdk::options::read::<L::Options>(&options)?;
        Ok(LayersOf { options, layer: PhantomData })
    }
}

impl<L: Layer + Plugin<Kind = dyn Layer>> LayerFactory for LayersOf<L> {
    fn make(&self, size: Size, params: &Params<'_>) -> Result<Box<dyn Layer>> {
        let setup = LayerSetup { size, params: params.clone() };
        Ok(Box::new(L::new(efference_sdk::options::read(&self.options)?, &setup)?))
    }
}

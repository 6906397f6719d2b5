//! Parameters: a plugin makes their first values, the host keeps them.
use crate::bridge::interface;
use crate::{Random, Result};
use tch::{Device, Tensor};

/// Tensors with their names, as a component is saved.
pub type Saved = Vec<(String, Tensor)>;

interface! {
    /// Where parameters are kept: by the host, or by a test kit.
    pub trait ParamStore in param_store as efference_abi::ParamStoreVTable {
        /// Takes the first value of a parameter (`trainable`, 32-bit floats) or of a buffer (any dtype, such as the
        /// integers of a permutation), and returns a handle that shares its storage and gradient.
        shared fn add(name: &str, init: Tensor, trainable: bool) -> Tensor;
        /// A seed for the random numbers of `name`.
        shared fn seed(name: &str) -> u64;
        /// Shared handles of all tensors whose names begin with `prefix`, in the order of their making.
        shared fn list(prefix: &str) -> Saved;
        /// The experiment's device.
        shared fn device() -> Device;
        /// Whether what is made is only counted, and never computes a step. [`Random::normal`] then returns stand-ins,
        /// which take no memory; a plugin that looks at the values of its parameters while it is made asks first.
        shared fn only_counts() -> bool = Ok(false);
    }
}

/// A plugin's scope of the parameter store.
///
/// What is added here is trained by the experiment's optimizer, saved in checkpoints and moved to the
/// experiment's device; the tensor that is returned is the one to compute with. Names are joined by dots: the parameter
/// `weight.1` in the scope `layer.0` of the scope `z` is `z.layer.0.weight.1`.
#[derive(Clone)]
pub struct Params<'a> {
    store: &'a dyn ParamStore,
    prefix: String,
    frozen: bool,
}

impl<'a> Params<'a> {
    /// All of a store.
    pub fn new(store: &'a dyn ParamStore) -> Self {
        Params { store, prefix: String::new(), frozen: false }
    }

    /// The scope `name` in this one.
    pub fn scope(&self, name: impl std::fmt::Display) -> Self {
        Params { prefix: format!("{}{name}.", self.prefix), ..self.clone() }
    }

    /// The same scope, where parameters become buffers: kept and saved, never trained.
    pub fn frozen(&self) -> Self {
        Params { frozen: true, ..self.clone() }
    }

    /// Adds a trained parameter with a first value of 32-bit floats, such as a bias of zeros:
    /// `params.parameter("bias", Tensor::f_zeros([outs], (Kind::Float, Device::Cpu))?)?`.
    pub fn parameter(&self, name: &str, init: Tensor) -> Result<Tensor> {
        self.add(name, init, true)
    }

    /// Adds a tensor that is kept and saved, but not trained.
    pub fn buffer(&self, name: &str, init: Tensor) -> Result<Tensor> {
        self.add(name, init, false)
    }

    /// Adds a parameter of normally distributed numbers with mean 0 and this deviation.
    pub fn normal(&self, name: &str, shape: &[i64], deviation: f64) -> Result<Tensor> {
        self.parameter(name, self.random(name)?.f_normal(shape, deviation)?)
    }

    /// Random numbers that belong to `name` here: other components do not change them.
    ///
    /// Where parameters are only counted, its tensors are stand-ins: see [`ParamStore::only_counts`].
    pub fn random(&self, name: &str) -> Result<Random> {
        let random = Random::new(self.seed(name)?);
        Ok(if self.only_counts()? { random.of_stand_ins() } else { random })
    }

    /// The names and tensors added in this scope so far.
    pub fn tensors(&self) -> Result<Saved> {
        self.list("")
    }
}

impl ParamStore for Params<'_> {
    fn add(&self, name: &str, init: Tensor, trainable: bool) -> Result<Tensor> {
        self.store.add(&format!("{}{name}", self.prefix), init, trainable && !self.frozen)
    }

    fn seed(&self, name: &str) -> Result<u64> {
        self.store.seed(&format!("{}{name}", self.prefix))
    }

    fn list(&self, prefix: &str) -> Result<Saved> {
        let own = format!("{}{prefix}", self.prefix);
        let all = self.store.list(&own)?;
        Ok(all.into_iter().map(|(n, t)| (n[self.prefix.len()..].to_owned(), t)).collect())
    }

    fn device(&self) -> Result<Device> {
        self.store.device()
    }

    fn only_counts(&self) -> Result<bool> {
        self.store.only_counts()
    }
}

//! One file of numbers.
use efference_sdk::serde::de::DeserializeOwned;
use efference_sdk::serde_json::{Map, Value, from_str, from_value};
use efference_sdk::tch::{Kind, Tensor};
use efference_sdk::{Result, ResultExt, bail, ensure};
use safetensors::{Dtype, SafeTensors};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The settings and tensors of a case. It keeps account of what was asked for, so that nothing in the file is
/// passed over in silence.
pub(crate) struct Case {
    settings: BTreeMap<String, Value>,
    tensors: BTreeMap<String, Tensor>,
    used: RefCell<BTreeSet<String>>,
}

impl Case {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path)?;
        let (_, header) = SafeTensors::read_metadata(&bytes).context("not a safetensors file")?;
        let mut settings = BTreeMap::new();
        for (key, text) in header.metadata().iter().flatten() {
            let value = from_str(text).with_context(|| format!("setting '{key}' is not JSON: {text}"))?;
            settings.insert(key.clone(), value);
        }
        let file = SafeTensors::deserialize(&bytes).context("not a safetensors file")?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.iter() {
            ensure!(view.dtype() == Dtype::F32, "tensor '{name}' has the type {}, and not F32", view.dtype());
            let shape: Vec<i64> = view.shape().iter().map(|n| *n as i64).collect();
            tensors.insert(name.to_owned(), Tensor::f_from_data_size(view.data(), &shape, Kind::Float)?);
        }
        Ok(Case { settings, tensors, used: RefCell::default() })
    }

    fn use_up(&self, kind: &str, name: &str) {
        self.used.borrow_mut().insert(format!("{kind} '{name}'"));
    }

    /// A setting; `None` where it is absent or null.
    pub(crate) fn optional<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        self.use_up("setting", key);
        match self.settings.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                Ok(Some(from_value(value.clone()).with_context(|| format!("setting '{key}' is {value}"))?))
            }
        }
    }

    /// A setting that must be there.
    pub(crate) fn setting<T: DeserializeOwned>(&self, key: &str) -> Result<T> {
        match self.optional(key)? {
            Some(value) => Ok(value),
            None => bail!("the file has no setting '{key}'"),
        }
    }

    /// Those of these settings that are there, as options under other names: `(setting, option)`.
    pub(crate) fn options(&self, names: &[(&str, &str)]) -> Result<Map<String, Value>> {
        let mut options = Map::new();
        for (setting, option) in names {
            if let Some(value) = self.optional::<Value>(setting)? {
                options.insert((*option).to_owned(), value);
            }
        }
        Ok(options)
    }

    /// Options of the layer.
    pub(crate) fn layer_options(&self) -> Result<Map<String, Value>> {
        self.options(&[
            ("radix", "radix"),
            ("sharing", "sharing"),
            ("bias", "bias"),
            ("skip_connections", "skip_connections"),
            ("local_first", "local_first"),
            ("nonlinearity", "nonlinearity"),
        ])
    }

    /// A tensor that may be absent.
    pub(crate) fn find(&self, name: &str) -> Option<Tensor> {
        self.use_up("tensor", name);
        self.tensors.get(name).map(Tensor::shallow_clone)
    }

    /// A tensor that must be there.
    pub(crate) fn tensor(&self, name: &str) -> Result<Tensor> {
        match self.find(name) {
            Some(tensor) => Ok(tensor),
            None => bail!("the file has no tensor '{name}'"),
        }
    }

    /// What nobody has asked for.
    pub(crate) fn unused(&self) -> Vec<String> {
        let used = self.used.borrow();
        let settings = self.settings.keys().map(|k| format!("setting '{k}'"));
        let tensors = self.tensors.keys().map(|k| format!("tensor '{k}'"));
        settings.chain(tensors).filter(|name| !used.contains(name)).collect()
    }
}

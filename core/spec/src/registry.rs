//! The plugins that a spec can name, as far as reading a spec needs them.
use efference_abi::Kind;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// The plugin that is taken if the spec names none of this kind; what is to be seen has no default.
pub(super) fn default_plugin(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Environment => None,
        Kind::Layer => Some("ldl"),
        Kind::Cell => Some("mgu"),
        Kind::Trainer => Some("bptt"),
        Kind::Goal => Some("predict"),
    }
}

/// What is wrong with a plugin's options, in the plugin's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionError {
    /// The option, such as `synthetic_gradient.layers`; empty if it is several, or none in particular.
    pub path: String,
    /// What is wrong with it.
    pub message: String,
}

/// The plugins that are there.
pub trait PluginRegistry {
    /// The names of the plugins of this kind.
    fn names(&self, kind: Kind) -> Vec<String>;

    /// The JSON Schema of the options of a plugin that [`names`](PluginRegistry::names) lists, as `schemars`
    /// makes it.
    ///
    /// # Errors
    /// A sentence that says why the plugin can't be loaded.
    fn schema(&self, kind: Kind, name: &str) -> Result<Value, String>;

    /// As [`schema`](PluginRegistry::schema), of a plugin that a spec does not choose: `None` also where to know it would
    /// take loading a library that only the spec's files say where to find.
    fn schema_of_other(&self, kind: Kind, name: &str) -> Option<Value> {
        self.schema(kind, name).ok()
    }

    /// What there is to know of where a plugin comes from, such as that another library has one of the same name: a
    /// sentence each.
    fn notes(&self, _kind: Kind, _name: &str) -> Vec<String> {
        Vec::new()
    }

    /// Of files that look like plugins and cannot be loaded: a sentence each that says why.
    fn refused(&self) -> Vec<String> {
        Vec::new()
    }

    /// What to do about a plugin that is not there, if that is known: that its source is, and how to build it.
    fn not_built(&self, _kind: Kind, _name: &str) -> Option<String> {
        None
    }

    /// Lets the plugin check its options (a JSON object), which follow its schema and have all defaults.
    ///
    /// # Errors
    /// What is wrong with them.
    fn check(&self, kind: Kind, name: &str, options: &Value) -> Result<(), OptionError>;
}

/// Asks each question once: a sweep reads the same spec many times, and a schema comes from a library.
pub(super) struct Cached<'a> {
    registry: &'a dyn PluginRegistry,
    schemas: RefCell<BTreeMap<(u32, String), Result<Value, String>>>,
}

impl<'a> Cached<'a> {
    pub(super) fn new(registry: &'a dyn PluginRegistry) -> Self {
        Cached { registry, schemas: RefCell::default() }
    }

    pub(super) fn names(&self, kind: Kind) -> Vec<String> {
        let mut names = self.registry.names(kind);
        names.sort();
        names.dedup();
        names
    }

    pub(super) fn refused(&self) -> Vec<String> {
        self.registry.refused()
    }

    pub(super) fn schema(&self, kind: Kind, name: &str) -> Result<Value, String> {
        let key = (kind as u32, name.to_owned());
        if let Some(known) = self.schemas.borrow().get(&key) {
            return known.clone();
        }
        let schema = self.registry.schema(kind, name);
        self.schemas.borrow_mut().insert(key, schema.clone());
        schema
    }

    pub(super) fn schema_of_other(&self, kind: Kind, name: &str) -> Option<Value> {
        match self.schemas.borrow().get(&(kind as u32, name.to_owned())) {
            Some(known) => known.clone().ok(),
            None => self.registry.schema_of_other(kind, name),
        }
    }

    pub(super) fn not_built(&self, kind: Kind, name: &str) -> Option<String> {
        self.registry.not_built(kind, name)
    }

    pub(super) fn notes(&self, kind: Kind, name: &str) -> Vec<String> {
        self.registry.notes(kind, name)
    }

    pub(super) fn check(&self, kind: Kind, name: &str, options: &Value) -> Result<(), OptionError> {
        self.registry.check(kind, name, options)
    }
}

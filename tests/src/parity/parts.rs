//! The parts under test: plugins, loaded from their files as the host does.
use efference_engine::agent::{Choice, Sharing};
use efference_engine::plugins::{Health, Registry};
use efference_sdk::{
    AnyCell, AnyGoal, AnyLayer, LayerFactory, Params, Result, Size,
    abi::Kind,
    serde_json::{Map, Value},
};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

/// The layer that the numbers were computed with.
const LAYER: &str = "ldl";

/// Options of a part, as a spec would have them.
pub(crate) type Options = Map<String, Value>;

/// Makes parts by the names of their plugins, in one of the ways in which the same numbers can be computed.
pub(crate) struct Parts {
    registry: Rc<Registry>,
    health: Arc<Health>,
    /// What computes the layers, where they let one choose.
    kernel: Option<&'static str>,
    /// Whether the lanes of a cell share one forward pass.
    pub(crate) sharing: Sharing,
}

impl Parts {
    /// The plugins that were built with this program, in each of the ways.
    pub(crate) fn ways() -> Vec<Self> {
        // Where cargo puts the libraries of what a package depends on; above it lie those of the last build of
        // everything.
        let beside: Option<PathBuf> =
            std::env::current_exe().ok().and_then(|p| Some(p.parent()?.join("deps")));
        let beside: Vec<PathBuf> = beside.into_iter().filter(|d| d.is_dir()).collect();
        let registry = Rc::new(Registry::scan(&beside));
        let schema = registry.load(Kind::Layer, LAYER).ok().and_then(|p| p.schema().ok());
        let has_kernels = schema.is_some_and(|s| s["properties"].get("kernel").is_some());
        [("native", Sharing::All), ("libtorch", Sharing::Forward), ("libtorch", Sharing::Nothing)]
            .map(|(kernel, sharing)| Parts {
                registry: registry.clone(),
                health: Arc::default(),
                kernel: has_kernels.then_some(kernel),
                sharing,
            })
            .into()
    }

    /// What is special about this way, for a person.
    pub(crate) fn way(&self) -> String {
        let lanes = match self.sharing {
            Sharing::All => "lanes share both passes",
            Sharing::Forward => "lanes share one forward pass",
            Sharing::Nothing => "one forward pass a lane",
        };
        self.kernel.map(|k| format!("kernel = \"{k}\", ")).unwrap_or_default() + lanes
    }

    /// A plugin with its options.
    pub(crate) fn choice(&self, kind: Kind, name: &str, options: Options) -> Result<Choice> {
        Ok(Choice { plugin: self.registry.load(kind, name)?, options: options.into() })
    }

    /// The layer with its options.
    pub(crate) fn layer(&self, mut options: Options) -> Result<Choice> {
        if let Some(kernel) = self.kernel {
            options.insert("kernel".to_owned(), kernel.into());
        }
        self.choice(Kind::Layer, LAYER, options)
    }

    pub(crate) fn layers(&self, options: Options) -> Result<Layers> {
        Ok(Layers { choice: self.layer(options)?, health: self.health.clone() })
    }

    pub(crate) fn cell(
        &self,
        options: Options,
        size: Size,
        layers: &dyn LayerFactory,
        params: &Params<'_>,
    ) -> Result<Box<dyn AnyCell>> {
        let Choice { plugin, options } = self.choice(Kind::Cell, "mgu", options)?;
        plugin.cell(&options, size, layers, params, &self.health)
    }

    pub(crate) fn goal(
        &self,
        name: &str,
        options: Options,
        state_size: i64,
        layers: &dyn LayerFactory,
        params: &Params<'_>,
    ) -> Result<Box<dyn AnyGoal>> {
        let Choice { plugin, options } = self.choice(Kind::Goal, name, options)?;
        plugin.goal(&options, state_size, layers, params, &self.health)
    }
}

/// Makes layers.
pub(crate) struct Layers {
    choice: Choice,
    health: Arc<Health>,
}

impl LayerFactory for Layers {
    fn make(&self, size: Size, params: &Params<'_>) -> Result<Box<dyn AnyLayer>> {
        self.choice.plugin.layer(&self.choice.options, size, params, &self.health)
    }
}

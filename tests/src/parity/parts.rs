//! The parts under test: plugins, loaded from their files as the host does.
use efference_engine::agent::{GraphSharing, PluginConfig};
use efference_engine::plugins::{CallMonitor, Registry};
use efference_sdk::abi::Kind;
use efference_sdk::serde_json::{Map, Value};
use efference_sdk::{
    Cell, CellSetup, Goal, GoalSetup, Layer, LayerFactory, LayerSetup, Params, Result, Size,
};
use efference_spec::PluginPath;
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
    monitor: Arc<CallMonitor>,
    /// What computes the layers, where they let one choose.
    kernel: Option<&'static str>,
    /// How much the gradient paths of a cell share.
    pub(crate) sharing: GraphSharing,
}

impl Parts {
    /// The plugins that were built with this program, in each of the ways.
    pub(crate) fn ways() -> Vec<Self> {
        // Where cargo puts the libraries of what a package depends on; above it lie those of the last build of
        // everything.
        let beside: Option<PathBuf> =
            std::env::current_exe().ok().and_then(|p| Some(p.parent()?.join("deps")));
        let beside: Vec<PluginPath> =
            beside.into_iter().filter(|d| d.is_dir()).map(PluginPath::from).collect();
        let registry = Rc::new(Registry::scan(&beside));
        let schema = registry.load(Kind::Layer, LAYER).ok().and_then(|p| p.schema().ok());
        let has_kernels = schema.is_some_and(|s| s["properties"].get("kernel").is_some());
        [
            ("native", GraphSharing::ForwardBackward),
            ("libtorch", GraphSharing::Forward),
            ("libtorch", GraphSharing::None),
        ]
        .map(|(kernel, sharing)| Parts {
            registry: registry.clone(),
            monitor: Arc::default(),
            kernel: has_kernels.then_some(kernel),
            sharing,
        })
        .into()
    }

    /// What is special about this way, for a person.
    pub(crate) fn way(&self) -> String {
        let paths = match self.sharing {
            GraphSharing::ForwardBackward => "gradient paths share both passes",
            GraphSharing::Forward => "gradient paths share one forward pass",
            GraphSharing::None => "one forward pass a gradient path",
        };
        self.kernel.map(|k| format!("kernel = \"{k}\", ")).unwrap_or_default() + paths
    }

    /// A plugin with its options.
    pub(crate) fn config(&self, kind: Kind, name: &str, options: Options) -> Result<PluginConfig> {
        Ok(PluginConfig { plugin: self.registry.load(kind, name)?, options: options.into() })
    }

    /// The layer with its options.
    pub(crate) fn layer(&self, mut options: Options) -> Result<PluginConfig> {
        if let Some(kernel) = self.kernel {
            options.insert("kernel".to_owned(), kernel.into());
        }
        self.config(Kind::Layer, LAYER, options)
    }

    pub(crate) fn layers(&self, options: Options) -> Result<Layers> {
        Ok(Layers { config: self.layer(options)?, monitor: self.monitor.clone() })
    }

    pub(crate) fn cell(
        &self,
        options: Options,
        size: Size,
        layers: &dyn LayerFactory,
        params: &Params<'_>,
    ) -> Result<Box<dyn Cell>> {
        let PluginConfig { plugin, options } = self.config(Kind::Cell, "mgu", options)?;
        let params = params.clone();
        let setup = CellSetup { size, observation: 0..0, action: 0..0, layers, params };
        plugin.create::<dyn Cell>(&options, &setup, &self.monitor)
    }

    pub(crate) fn goal(
        &self,
        name: &str,
        options: Options,
        state_size: i64,
        layers: &dyn LayerFactory,
        params: &Params<'_>,
    ) -> Result<Box<dyn Goal>> {
        let PluginConfig { plugin, options } = self.config(Kind::Goal, name, options)?;
        let setup = GoalSetup { state_size, spaces: None, layers, params: params.clone() };
        plugin.create::<dyn Goal>(&options, &setup, &self.monitor)
    }
}

/// Makes layers.
pub(crate) struct Layers {
    config: PluginConfig,
    monitor: Arc<CallMonitor>,
}

impl LayerFactory for Layers {
    fn make(&self, size: Size, params: &Params<'_>) -> Result<Box<dyn Layer>> {
        let setup = LayerSetup { size, params: params.clone() };
        self.config.plugin.create_layer(&self.config.options, &setup, &self.monitor)
    }
}

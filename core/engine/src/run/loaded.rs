//! A spec with its plugins, and how the parts of an experiment are made of it.
use super::experiment::{Attribution, Experiment};
use super::{RunError, device, threads};
use crate::agent::{AgentConfig, GraphSharing, Model, PluginConfig, Rehearsed, check_comparison};
use crate::plugins::{CallMonitor, Registry};
use efference_abi::Kind;
use efference_runs::directory::RunDirectory;
use efference_runs::provenance::{Known, PluginFile};
use efference_sdk::{
    self as sdk, Comparison, Environment, EnvironmentSetup, Outline, Prediction, Spaces, Trainer, derive_seed,
};
use efference_spec::{PluginChoice, Section, Spec, StateSize};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// A spec whose plugins are loaded and whose device is chosen.
#[derive(Clone)]
pub struct LoadedSpec<'a> {
    spec: &'a Spec,
    registry: &'a Registry,
    state: StateSize,
    device: tch::Device,
    plugins: Vec<(Section, PluginConfig)>,
    /// Whether the experiment is begun though it takes more memory than there seems to be.
    pub force: bool,
    /// See [`AgentConfig::sharing`].
    pub sharing: GraphSharing,
}

impl<'a> LoadedSpec<'a> {
    /// Loads the plugins of a spec, chooses its device and its threads.
    pub fn new(spec: &'a Spec, registry: &'a Registry) -> Result<Self, RunError> {
        let choose = |(section, said): (&Section, &PluginChoice)| -> Result<_, RunError> {
            let plugin = registry.load(section.kind(), &said.plugin)?;
            Ok((*section, PluginConfig { plugin, options: Value::Object(said.options.clone()) }))
        };
        let plugins = spec.plugins.iter().map(choose).collect::<Result<Vec<_>, _>>()?;
        let device = device::choose(spec.device)?;
        threads::choose(spec.threads, device);
        let (state, sharing) = (spec.state.size, GraphSharing::ForwardBackward);
        Ok(LoadedSpec { spec, registry, state, device, plugins, force: false, sharing })
    }

    /// The plugins that there are.
    pub(crate) fn registry(&self) -> &'a Registry {
        self.registry
    }

    /// Where it will compute.
    pub fn device(&self) -> tch::Device {
        self.device
    }

    /// The plugins of all sections that have one.
    pub(crate) fn plugins(&self) -> impl Iterator<Item = (Section, &PluginConfig)> {
        self.plugins.iter().map(|(section, config)| (*section, config))
    }

    pub(crate) fn plugin(&self, kind: Kind) -> &PluginConfig {
        self.of_section(kind.into()).expect("`new` made one of each kind")
    }

    fn of_section(&self, section: Section) -> Option<&PluginConfig> {
        self.plugins().find(|(own, _)| *own == section).map(|(_, config)| config)
    }

    /// The same with another plugin in a section.
    pub(crate) fn with_plugin(&self, section: Section, config: PluginConfig) -> Self {
        let mut changed = self.clone();
        if let Some((_, plugin)) = changed.plugins.iter_mut().find(|(own, _)| *own == section) {
            *plugin = config;
        }
        changed
    }

    /// The same with another size of the state.
    pub(crate) fn with_state_size(&self, elements: i64) -> Self {
        LoadedSpec { state: StateSize::Elements(elements), ..self.clone() }
    }

    /// The size of a state, if the spec says it.
    pub(crate) fn said_state_size(&self) -> Option<i64> {
        match self.state {
            StateSize::Elements(elements) => Some(elements),
            StateSize::Auto => None,
        }
    }

    /// The size of a state for an environment that says this of its streams.
    pub(crate) fn state_size(&self, spaces: Option<&Spaces>) -> sdk::Result<i64> {
        state_size(self.state, spaces)
    }

    /// What the environment's options say of it before it is made.
    pub(crate) fn outline(&self) -> sdk::Result<Outline> {
        let environment = self.plugin(Kind::Environment);
        environment.plugin.outline(&environment.options)
    }

    /// Makes agent and trainer for an environment that says this of its streams.
    pub fn build(&self, spaces: Option<&Spaces>) -> sdk::Result<(Model, Box<dyn Trainer>)> {
        self.with_config(spaces, Model::build)?
    }

    /// The same for an agent that only rehearses.
    pub(crate) fn rehearse(&self, spaces: Option<&Spaces>) -> sdk::Result<Rehearsed> {
        self.with_config(spaces, Model::rehearse)
    }

    fn with_config<R>(
        &self,
        spaces: Option<&Spaces>,
        f: impl FnOnce(&AgentConfig<'_>) -> R,
    ) -> sdk::Result<R> {
        let spec = self.spec;
        Ok(f(&AgentConfig {
            seed: spec.seed,
            device: self.device,
            state_size: self.state_size(spaces)?,
            spaces,
            layer: self.plugin(Kind::Layer).clone(),
            cell: self.plugin(Kind::Cell).clone(),
            goal: self.plugin(Kind::Goal).clone(),
            bonus: self.of_section(Section::Bonus).cloned(),
            trainer: self.plugin(Kind::Trainer).clone(),
            sharing: self.sharing,
            groups: spec.optimizer.groups.keys().cloned().collect(),
            optimizer: &|group, requested| spec.optimizer_of(group, requested),
        }))
    }

    /// Opens the environment, then makes the agent for it.
    pub fn open(&self, run_directory: Option<&Path>, compare: bool) -> sdk::Result<Experiment> {
        self.open_for("environment", run_directory, compare)
    }

    /// The same for an evaluation: the environment has random numbers of its own.
    pub fn open_for_evaluation(&self) -> sdk::Result<Experiment> {
        self.open_for("evaluation environment", None, false)
    }

    fn open_for(
        &self,
        purpose: &str,
        run_directory: Option<&Path>,
        compare: bool,
    ) -> sdk::Result<Experiment> {
        let environment = self.plugin(Kind::Environment);
        let setup = EnvironmentSetup {
            seed: derive_seed(self.spec.seed, &format!("{purpose} {}", environment.plugin.info.name)),
            run_directory: run_directory.map(Path::to_owned),
        };
        let monitor = Arc::new(CallMonitor::default());
        let environment =
            environment.plugin.create::<dyn Environment>(&environment.options, &setup, &monitor)?;
        self.open_with(environment, compare)
    }

    /// Makes the agent for an environment that is open already.
    pub fn open_with(&self, environment: Box<dyn Environment>, compare: bool) -> sdk::Result<Experiment> {
        let spaces = environment.spaces()?;
        let comparison = environment.comparison()?;
        let id = self.plugin(Kind::Environment).plugin.id();
        check_comparison(&comparison, spaces.as_ref().map(|s| s.observation))
            .map_err(|e| e.in_plugin(&id))?;
        let (mut model, trainer) = self.build(spaces.as_ref())?;
        model.set_roles(&comparison)?;
        Ok(self.assemble(environment, spaces, (model, trainer), compare.then_some(&comparison)))
    }

    /// An experiment of these parts, whose predictions are compared with nothing.
    pub(crate) fn experiment(
        &self,
        environment: Box<dyn Environment>,
        spaces: &Spaces,
        agent: (Model, Box<dyn Trainer>),
    ) -> Experiment {
        self.assemble(environment, Some(spaces.clone()), agent, None)
    }

    fn assemble(
        &self,
        environment: Box<dyn Environment>,
        spaces: Option<Spaces>,
        (model, trainer): (Model, Box<dyn Trainer>),
        compare: Option<&Comparison>,
    ) -> Experiment {
        let id = |kind: Kind| self.plugin(kind).plugin.id();
        let plugins = Attribution {
            environment: id(Kind::Environment),
            trainer: id(Kind::Trainer),
            goal: id(Kind::Goal),
            bonus: self.of_section(Section::Bonus).map_or_else(|| id(Kind::Goal), |bonus| bonus.plugin.id()),
            cell: id(Kind::Cell),
            layer: id(Kind::Layer),
        };
        Experiment::new(environment, spaces, model, trainer, plugins, compare)
    }

    pub(super) fn known<'b>(&self, spec: &'b Path, run: &'b RunDirectory, started: SystemTime) -> Known<'b> {
        let plugin = |(section, config): (Section, &PluginConfig)| PluginFile {
            name: config.plugin.info.name.clone(),
            kind: section.name().to_owned(),
            version: config.plugin.info.version.clone(),
            file: config.plugin.file.clone(),
            sha256: None,
        };
        Known {
            spec,
            runs: run.path().ancestors().nth(2),
            started,
            plugins: self.plugins().map(plugin).collect(),
            texts: texts(self.spec),
            libtorch: sdk::export::libtorch_version().to_owned(),
            device: device::name(self.device),
            threads: threads::of_run(),
        }
    }
}

/// The options whose values are texts or lists of them, and these.
fn texts(spec: &Spec) -> Vec<(String, String)> {
    fn add(option: &str, value: &Value, found: &mut Vec<(String, String)>) {
        match value {
            Value::String(text) => found.push((option.to_owned(), text.clone())),
            Value::Array(items) => items.iter().for_each(|item| add(option, item, found)),
            Value::Object(table) => {
                table.iter().for_each(|(key, value)| add(&format!("{option}.{key}"), value, found));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut found = Vec::new();
    for (section, choice) in &spec.plugins {
        let options = choice.options.iter();
        options.for_each(|(key, value)| add(&format!("{}.{key}", section.name()), value, &mut found));
    }
    found
}

/// The size of a state. One that a spec leaves open is twice what prediction and actions need, rounded up to a power of
/// two.
fn state_size(said: StateSize, spaces: Option<&Spaces>) -> sdk::Result<i64> {
    let spaces = match (said, spaces) {
        (StateSize::Elements(elements), _) => return Ok(elements),
        (StateSize::Auto, Some(spaces)) => spaces,
        (StateSize::Auto, None) => sdk::bail!(
            "`state.size` is \"auto\", and this environment does not know beforehand how much it observes. Set `size` \
             under [state]"
        ),
    };
    let needed = spaces.observation.saturating_add(spaces.action_width());
    let needed = needed.saturating_add(Prediction::RESERVED as usize);
    let size = needed.checked_mul(2).and_then(usize::checked_next_power_of_two);
    let size = size.and_then(|size| i64::try_from(size).ok()).filter(|size| *size <= StateSize::LARGEST);
    size.ok_or_else(|| {
        sdk::Error::msg(format!(
            "`state.size` is \"auto\", and the environment says that a stream takes {needed} elements, which no state holds"
        ))
    })
}

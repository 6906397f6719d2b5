//! Whether a plugin keeps its contract: the checks of the test kit, made with what its library makes, beside those of its options.
use crate::log;
use crate::plugins::{CallMonitor, Plugin, Registry, take_metrics};
use efference_abi::Kind;
use efference_cli::plugin_check::lines::Outcome;
use efference_sdk::{Cell, Environment, Goal, Outline, Trainer};
use efference_spec::{ReportStyle, plugin_options};
use efference_testkit::contract::{
    CELL_CHECKS, Cells, Check, ENVIRONMENT_CHECKS, Environments, GOAL_CHECKS, Goals, LAYER_CHECKS, Layers,
    Networks, TRAINER_CHECKS, Trainers, Verdict,
};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A plugin that is checked.
pub struct Checked {
    file: PathBuf,
    kind: Option<Kind>,
    name: String,
    sets: Vec<String>,
    loaded: Option<Plugin>,
    options: Option<Value>,
}

/// The checks of a plugin's library and options, which come first.
const GENERAL: [&str; 3] = [
    "its library can be loaded and started",
    "each of its options has a line of documentation",
    "its options have defaults, which it accepts",
];

/// How long an environment may be silent.
const SILENCE: Duration = Duration::from_secs(10);

impl Checked {
    /// A plugin of this library, by its kind and name, with these options.
    pub fn new(file: &Path, kind: &str, name: &str, sets: &[String]) -> Self {
        let kind = Kind::ALL.into_iter().find(|known| known.name() == kind);
        Checked { file: file.into(), kind, name: name.into(), sets: sets.into(), loaded: None, options: None }
    }

    /// What is true of a good plugin by the check of this number; `None`: there are no more.
    pub fn name(&self, number: usize) -> Option<&'static str> {
        if let Some(name) = GENERAL.get(number) {
            return Some(name);
        }
        let number = number - GENERAL.len();
        match self.kind? {
            Kind::Layer => LAYER_CHECKS.get(number).map(|check| check.name),
            Kind::Cell => CELL_CHECKS.get(number).map(|check| check.name),
            Kind::Environment => ENVIRONMENT_CHECKS.get(number).map(|check| check.name),
            Kind::Goal => GOAL_CHECKS.get(number).map(|check| check.name),
            Kind::Trainer => TRAINER_CHECKS.get(number).map(|check| check.name),
        }
    }

    /// Does what later checks need of one that another process has made.
    pub fn pass_over(&mut self, number: usize) {
        if number < GENERAL.len() {
            let _ = self.general(number);
        }
    }

    /// Makes the check of this number.
    pub fn run(&mut self, number: usize) -> Outcome {
        if number < GENERAL.len() {
            return self.general(number).unwrap_or_else(|outcome| outcome);
        }
        let (Some(plugin), Some(options), Some(kind)) = (&self.loaded, &self.options, self.kind) else {
            return Outcome::NotAsked("as it can't be made".to_owned());
        };
        log::complaints();
        let outcome = of_kind(plugin, options, kind, number - GENERAL.len());
        take_metrics();
        if number == GENERAL.len() && matches!(outcome, Outcome::Failed { .. }) {
            self.options = None;
        }
        // What the host said of the plugin meanwhile: a panic in a thread, or while it was dropped.
        match (outcome, log::complaints().first()) {
            (failed @ Outcome::Failed { .. }, _) => failed,
            (_, Some(complaint)) => Outcome::Failed { why: complaint.clone(), help: None },
            (outcome, None) => outcome,
        }
    }

    fn general(&mut self, number: usize) -> Result<Outcome, Outcome> {
        let failed = |why: String, help: &str| Outcome::Failed { why, help: Some(help.to_owned()) };
        let not_loaded = || Outcome::NotAsked("as it can't be loaded".to_owned());
        let registry = Registry::of_file(&self.file);
        let kind = self.kind.ok_or_else(not_loaded)?;
        match number {
            0 => match registry.load(kind, &self.name) {
                Ok(plugin) => {
                    self.loaded = Some(plugin);
                    Ok(Outcome::Holds)
                }
                Err(why) => Err(Outcome::Failed { why: why.to_string(), help: None }),
            },
            1 => {
                let plugin = self.loaded.as_ref().ok_or_else(not_loaded)?;
                let help = "Options are declared by `options!`, each below a line `/// What it does.`";
                let schema = plugin.schema().map_err(|e| failed(format!("{e:#}"), help))?;
                let mut bare = Vec::new();
                undocumented(&schema, &mut bare);
                match &bare[..] {
                    [] => Ok(Outcome::Holds),
                    names => Err(failed(format!("there is none of {}", names.join(", ")), help)),
                }
            }
            _ => {
                self.loaded.as_ref().ok_or_else(not_loaded)?;
                let help = "Give what it cannot do without by `--set OPTION=VALUE`, and let `Plugin::outline` refuse what contradicts";
                let chosen = plugin_options(kind, &self.name, &self.sets, &registry);
                let chosen = chosen
                    .map_err(|wrong| failed(wrong.report(&ReportStyle::PLAIN).trim().to_owned(), help))?;
                self.options = Some(Value::Object(chosen.options));
                Ok(Outcome::Holds)
            }
        }
    }
}

/// The options of a schema that have no documentation, those of its tables included.
fn undocumented(schema: &Value, bare: &mut Vec<String>) {
    for (name, option) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let has = |key| option.get(key).and_then(Value::as_str).is_some_and(|text| !text.trim().is_empty());
        if !has("description") {
            bare.push(format!("'{name}'"));
        }
    }
}

fn of_kind(plugin: &Plugin, options: &Value, kind: Kind, number: usize) -> Outcome {
    let (plugin, options, monitor) = (plugin.clone(), options.clone(), Arc::new(CallMonitor::default()));
    match kind {
        Kind::Layer => {
            let layers = Layers::new(move |setup| plugin.create_layer(&options, setup, &monitor));
            outcome::<dyn Networks>(&LAYER_CHECKS[number], &layers)
        }
        Kind::Cell => {
            let cells = Cells::new(move |setup| plugin.create::<dyn Cell>(&options, setup, &monitor));
            outcome::<dyn Networks>(&CELL_CHECKS[number], &cells)
        }
        Kind::Environment => {
            let outline = plugin.outline(&options).unwrap_or_else(|_| Outline::default());
            let make = move |setup: &_| plugin.create::<dyn Environment>(&options, setup, &monitor);
            outcome(&ENVIRONMENT_CHECKS[number], &Environments::new(make, outline, SILENCE))
        }
        Kind::Goal => {
            let goals = Goals::new(move |setup| plugin.create::<dyn Goal>(&options, setup, &monitor));
            outcome(&GOAL_CHECKS[number], &goals)
        }
        Kind::Trainer => {
            let trainers =
                Trainers::new(move |setup| plugin.create::<dyn Trainer>(&options, setup, &monitor));
            outcome(&TRAINER_CHECKS[number], &trainers)
        }
    }
}

fn outcome<M: ?Sized>(check: &Check<M>, make: &M) -> Outcome {
    match check.run(make) {
        Ok(Verdict::Holds) => Outcome::Holds,
        Ok(Verdict::With(figure)) => Outcome::With(figure),
        Ok(Verdict::NotAsked(why)) => Outcome::NotAsked(why),
        Err(why) => Outcome::Failed { why: format!("{why:#}"), help: Some(check.help.to_owned()) },
    }
}

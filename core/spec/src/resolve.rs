//! From a path to a [`Spec`]: read everything first, then resolve it against the plugins that are there.
use super::check::{Checked, check};
use super::defaults::{defaults, lay_over, unset};
use super::diagnostic::{Diagnostic, Diagnostics};
use super::extends::ExtendsLoader;
use super::key_path::KeyPath;
use super::keys::{Device, HostKeys, OptimizerSettings};
use super::layer::{ConfigLayer, Origin};
use super::merge::{Merged, Origins, merge};
use super::name::nearest_name;
use super::overrides::{of_sets, of_variables};
use super::registry::{Cached, OptionError, PluginRegistry};
use super::renamed::Renamed;
use super::resolved::{Optimizer, OptimizerGroup, PluginChoice, Spec};
use super::schema::Schema;
use super::section::Section;
use super::source::{Place, expand_home};
use super::sweep::sweep;
use super::validate::KeyDiagnostic;
use miette::Severity;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

/// How often the words of variables and `--set` are read: without plugins, then with those that they name.
const MOST_READINGS: usize = 3;

/// A spec that was read and merged, but not yet looked at: that takes the plugins.
#[derive(Debug, Clone)]
pub struct ParsedSpec {
    path: PathBuf,
    layers: Vec<ConfigLayer>,
    /// What was wrong so far, none of it in the way of diagnostic more.
    diagnostics: Vec<Diagnostic>,
    /// The directories of plugins that files name, and where, once the user has put others before them.
    named_by_files: Vec<PluginPath>,
}

/// A directory in which plugins are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginPath {
    /// The directory.
    pub directory: PathBuf,
    /// Of one that a spec's file names: where, as in `spec.toml:4`. Who writes a spec is not who runs it, perhaps.
    pub said_in: Option<String>,
}

impl From<PathBuf> for PluginPath {
    /// A directory that the user names.
    fn from(directory: PathBuf) -> Self {
        PluginPath { directory, said_in: None }
    }
}

/// Reads a spec with all that it extends, and puts the variables (names and values; those that don't begin with
/// `EFFERENCE_` are passed over) and then the `key=value` texts over it.
///
/// # Errors
/// If a file can't be read or is not TOML. Other diagnostics are reported by [`ParsedSpec::resolve`], all at once.
pub fn read(
    path: &Path,
    sets: &[String],
    variables: impl Iterator<Item = (String, String)>,
) -> Result<ParsedSpec, Diagnostics> {
    let ExtendsLoader { mut layers, mut diagnostics, broken, .. } = ExtendsLoader::read(path);
    for (more, wrong) in [of_variables(variables), of_sets(sets)] {
        layers.extend(more);
        diagnostics.extend(wrong);
    }
    if broken {
        return Err(Diagnostics::new(&path.display().to_string(), diagnostics));
    }
    Ok(ParsedSpec { path: path.to_owned(), layers, diagnostics, named_by_files: Vec::new() })
}

/// [`read`] and [`ParsedSpec::resolve`] in one.
///
/// # Errors
/// All that is wrong with the spec.
pub fn load(
    path: &Path,
    sets: &[String],
    variables: impl Iterator<Item = (String, String)>,
    registry: &dyn PluginRegistry,
) -> Result<Spec, Diagnostics> {
    read(path, sets, variables)?.resolve(registry)
}

impl ParsedSpec {
    /// Values that no file says; `name` stands in reports.
    pub(super) fn of(name: &str, layers: Vec<ConfigLayer>) -> Self {
        ParsedSpec { path: name.into(), layers, diagnostics: Vec::new(), named_by_files: Vec::new() }
    }

    /// The directories that `[plugins] path` names, to make the registry with. Diagnostics in it are reported by
    /// [`resolve`](ParsedSpec::resolve).
    pub fn plugin_paths(&self) -> Vec<PluginPath> {
        let merged = merge(&self.layers, &Value::Null);
        let key = KeyPath::of(&["plugins", "path"]);
        let paths = plugin_paths(&merged).into_iter().map(|(index, directory)| {
            let origin = merged.origins.get(&key.index(index));
            let said_in =
                origin.filter(|origin| matches!(origin, Origin::File { .. })).map(Origin::to_string);
            let before = || self.named_by_files.iter().find(|named| named.directory == directory);
            let said_in = said_in.or_else(|| before()?.said_in.clone());
            PluginPath { directory, said_in }
        });
        paths.collect()
    }

    /// Puts directories of the user's before those that `[plugins] path` names: plugins are looked for there first.
    pub fn put_plugin_paths(&mut self, directories: &[PathBuf]) {
        if directories.is_empty() {
            return;
        }
        let absolute = |own: &PathBuf| std::path::absolute(own).unwrap_or_else(|_| own.clone());
        let own: Vec<PathBuf> = directories.iter().map(absolute).collect();
        let mut named = self.plugin_paths();
        // What the user names is the user's, though a file names it too.
        named.retain(|named| !own.contains(&named.directory));
        let behind = named.iter().map(|named| named.directory.clone());
        let all: Vec<PathBuf> = own.iter().cloned().chain(behind).collect();
        self.layers.push(ConfigLayer::plugin_paths(&all));
        self.named_by_files = named;
    }

    /// Checks everything, and fills in what was not said.
    ///
    /// # Errors
    /// All that is wrong with the spec.
    pub fn resolve(self, registry: &dyn PluginRegistry) -> Result<Spec, Diagnostics> {
        self.resolve_cached(&Cached::new(registry), true)
    }

    /// Puts more layers over those that there are.
    pub(super) fn add(&mut self, layers: impl Iterator<Item = ConfigLayer>) {
        self.layers.extend(layers);
    }

    /// As [`resolve`](Self::resolve); a member of a sweep is read without the sweep.
    pub(super) fn resolve_cached(
        mut self,
        registry: &Cached<'_>,
        with_sweep: bool,
    ) -> Result<Spec, Diagnostics> {
        let mut merged = merge(&self.layers, &Value::Null);
        let mut checked = check(&merged.tree, registry);
        // What variables and `--set` say is read by what their keys take. Which options there are depends on the plugins,
        // which these may name.
        let (mut refused, mut renamed) = (Vec::new(), Vec::new());
        for _ in 0..MOST_READINGS {
            refused.clear();
            let schema = Schema::new(&checked.schema);
            let by_old_names: Vec<Renamed> =
                self.layers.iter_mut().flat_map(|layer| layer.rename(schema)).collect();
            let read = self.layers.iter_mut().map(|layer| layer.read_by(schema, &mut refused));
            if read.filter(|is_new| *is_new).count() == 0 && by_old_names.is_empty() {
                break;
            }
            renamed.extend(by_old_names);
            merged = merge(&self.layers, &Value::Null);
            checked = check(&merged.tree, registry);
        }
        self.diagnostics.extend(refused);
        let (swept, wrong) = match with_sweep {
            true => sweep(&merged.tree, &merged.origins, &checked, registry),
            false => Default::default(),
        };
        checked.diagnostics.extend(wrong);

        let schema = Schema::new(&checked.schema);
        let filled_in = defaults(schema, Some(&merged.tree)).unwrap_or_default();
        let mut full = merge(&self.layers, &filled_in);
        unset(schema, &mut full.tree);
        self.put_aside(&mut full.tree, &checked);
        let mut without_directory = Vec::new();
        for (index, path) in plugin_paths(&full) {
            if !path.is_dir() {
                without_directory.push(no_plugin_directory(index, &path));
            }
            full.tree["plugins"]["path"][index] = path.to_string_lossy().into();
        }
        let wrong = check_options(&full.tree, &checked, registry);
        checked.diagnostics.extend(wrong);

        let spoilt: HashSet<(usize, usize)> = self.diagnostics.iter().filter_map(Diagnostic::line).collect();
        for of_key in &checked.diagnostics {
            let diagnostic = self.located(of_key, &full.origins);
            // A value that is not even TOML was replaced by something when it was read.
            if of_key.in_key || diagnostic.line().is_none_or(|line| !spoilt.contains(&line)) {
                self.diagnostics.push(diagnostic);
            }
        }
        checked.notes.extend(renamed.iter().map(Renamed::note));
        checked.notes.extend(without_directory.iter().cloned());
        if self.diagnostics.is_empty() {
            match self.typed(&full, &checked) {
                Ok(spec) => return Ok(Spec { sweep: swept, ..spec }),
                Err(diagnostic) => self.diagnostics.push(diagnostic),
            }
        }
        // Who misses a plugin looks here.
        for note in &without_directory {
            let note = self.note(note, &full.origins);
            self.diagnostics.push(note);
        }
        Err(Diagnostics::new(&self.name(), self.diagnostics))
    }

    pub(super) fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Takes out what no plugin is to see, and gives the experiment its name.
    fn put_aside(&self, tree: &mut Value, checked: &Checked) {
        for path in &checked.set_aside {
            if let (Some(section), Some(key)) = (path.first_key(), path.last_key())
                && let Some(Value::Object(table)) = tree.get_mut(section)
            {
                table.shift_remove(key);
            }
        }
        if let Value::Object(tree) = tree {
            tree.shift_remove("sweep");
            // Without a plugin a section says nothing.
            for section in Section::ALL.into_iter().filter(|section| !checked.chosen.contains_key(section)) {
                tree.shift_remove(section.name());
            }
            if tree.get("name").is_none_or(Value::is_null) {
                tree.insert("name".into(), name_of_file(&self.path).into());
            }
        }
    }

    /// Finds where the fault was written.
    pub(super) fn located(&self, diagnostic: &KeyDiagnostic, origins: &Origins) -> Diagnostic {
        let mut path = diagnostic.path.clone();
        let place = loop {
            match origins.nearest(&path) {
                None => break Place::Nowhere,
                Some((Origin::Default, at)) => match at.parent() {
                    Some(parent) => path = parent,
                    None => break Place::Nowhere,
                },
                Some((origin, at)) => break origin.place(diagnostic.in_key || at != diagnostic.path),
            }
        };
        let message = match place {
            Place::Nowhere => format!("{}: {}", self.name(), diagnostic.message),
            _ => diagnostic.message.clone(),
        };
        Diagnostic::new(place, message, diagnostic.label.clone(), diagnostic.help.clone())
    }

    /// What is no problem, and to be known all the same.
    fn note(&self, note: &KeyDiagnostic, origins: &Origins) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..self.located(note, origins) }
    }

    fn typed(&self, full: &Merged, checked: &Checked) -> Result<Spec, Diagnostic> {
        // Everything was checked against the schemas of these very types, so this is a fault of ours.
        let fault = |error: serde_json::Error| {
            Diagnostic::new(Place::Nowhere, format!("{}: {error}", self.name()), "", None)
        };
        let mut host = full.tree.clone();
        let mut plugins = BTreeMap::new();
        for (section, plugin) in &checked.chosen {
            let table = host.as_object_mut().and_then(|host| host.shift_remove(section.name()));
            let mut options = match table {
                Some(Value::Object(options)) => options,
                _ => Map::new(),
            };
            options.shift_remove("plugin");
            let plugin = plugin.clone().unwrap_or_default();
            plugins.insert(*section, PluginChoice { plugin, options });
        }
        let optimizer = optimizer(&host["optimizer"]).map_err(fault)?;
        let host: HostKeys = serde_json::from_value(host).map_err(fault)?;
        let notes = checked.notes.iter().map(|note| self.note(note, &full.origins));
        Ok(Spec {
            plugins,
            name: host.name.unwrap_or_else(|| name_of_file(&self.path)),
            seed: host.seed,
            steps: host.steps,
            device: Device::parse(&host.device).unwrap_or(Device::Auto),
            threads: host.threads,
            state: host.state,
            optimizer,
            record: host.record,
            checkpoint: host.checkpoint,
            evaluation: host.evaluation,
            plugin_settings: host.plugins,
            sweep: Vec::new(),
            origins: full.origins.clone(),
            notes: Diagnostics::new(&self.name(), notes.collect()),
            tree: full.tree.clone(),
            schema: checked.schema.clone(),
        })
    }
}

/// Asks the plugins whose options follow their schema what the schema could not say.
fn check_options(tree: &Value, checked: &Checked, registry: &Cached<'_>) -> Vec<KeyDiagnostic> {
    let mut diagnostics = Vec::new();
    for (section, plugin) in &checked.chosen {
        let (kind, table) = (section.kind(), KeyPath::of(&[section.name()]));
        let Some(plugin) = plugin else { continue };
        if checked.diagnostics.iter().any(|diagnostic| diagnostic.path.starts_with(&table)) {
            continue;
        }
        let mut options = tree.get(section.name()).cloned().unwrap_or_else(|| json!({}));
        if let Value::Object(options) = &mut options {
            options.shift_remove("plugin");
        }
        if let Err(OptionError { path, message }) = registry.check(kind, plugin, &options) {
            let at = table.join(&KeyPath::parse_serde(&path));
            let message = format!("`{at}`: {message}");
            let label = format!("refused by the {} plugin `{plugin}`", kind.name());
            diagnostics.push(KeyDiagnostic::in_value(&at, message, label, None));
        }
    }
    diagnostics
}

/// The settings of all parameters, and of the groups that have their own.
fn optimizer(table: &Value) -> Result<Optimizer, serde_json::Error> {
    let mut common = table.clone();
    let groups = common.as_object_mut().and_then(|common| common.shift_remove("groups"));
    let settings = |table: &Value| serde_json::from_value::<OptimizerSettings>(table.clone());
    let all = settings(&common)?;
    let groups = groups.as_ref().and_then(Value::as_object).into_iter().flatten().map(|(prefix, own)| {
        let mut own = own.clone();
        if let Value::Object(own) = &mut own {
            // Only the clip can be none; what else is said to be none is as for all parameters.
            own.retain(|key, value| key == "clip" || !value.is_null());
        }
        let says_learning_rate = own.get("learning_rate").is_some();
        let mut table = common.clone();
        lay_over(&mut table, &own);
        Ok((prefix.clone(), OptimizerGroup { settings: settings(&table)?, says_learning_rate }))
    });
    Ok(Optimizer { all, groups: groups.collect::<Result<_, serde_json::Error>>()? })
}

/// The directories of `[plugins] path`, absolute, each with its place in the list. They are relative to the file
/// that says them, or else to the current directory.
fn plugin_paths(merged: &Merged) -> Vec<(usize, PathBuf)> {
    let said = merged.tree.get("plugins").and_then(|plugins| plugins.get("path")).and_then(Value::as_array);
    let key = KeyPath::of(&["plugins", "path"]);
    let mut paths = Vec::new();
    for (index, item) in said.into_iter().flatten().enumerate() {
        let Some(text) = item.as_str() else { continue };
        let path = match merged.origins.get(&key.index(index)) {
            Some(Origin::File { file, .. }) => file.beside(Path::new(text)),
            _ => expand_home(Path::new(text)),
        };
        paths.push((index, std::path::absolute(&path).unwrap_or(path)));
    }
    paths
}

fn no_plugin_directory(index: usize, path: &Path) -> KeyDiagnostic {
    let at = KeyPath::of(&["plugins", "path"]).index(index);
    let what = if path.exists() { "is no directory" } else { "is not there" };
    let message = format!("`{at}`: `{}` {what}, and no plugin is taken from it", path.display());
    let help = "a path is relative to the file that says it, or else to the current directory".to_owned();
    KeyDiagnostic::in_value(&at, message, what.into(), Some(help))
}

/// A name for the experiment of this file: its stem, as far as it can be one.
fn name_of_file(path: &Path) -> String {
    nearest_name(&path.file_stem().unwrap_or_default().to_string_lossy())
}

//! From a path to a [`Spec`]: read everything first, then resolve it against the plugins that are there.
use super::defaults::{defaults, lay_over, unset};
use super::examine::{Examined, examine};
use super::file::Chain;
use super::key_path::KeyPath;
use super::keys::{Device, HostKeys, OptimizerSettings};
use super::merge::{Layer, Merged, Origin, Origins, Source, merge};
use super::mistakes::{Mistake, Mistakes, Place};
use super::overrides::{as_the_schema_writes, of_sets, of_variables};
use super::registry::{OptionMistake, PluginCatalogue, Remembering, section};
use super::resolved::{Optimizer, PluginChoice, Spec};
use super::schema::Schema;
use super::sweep::sweep;
use super::validate::Finding;
use miette::Severity;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// A spec that was read and merged, but not yet looked at: that takes the plugins.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    layers: Vec<Layer>,
    /// What was wrong so far, none of it in the way of finding more.
    mistakes: Vec<Mistake>,
}

/// Reads a spec with all that it extends, and puts the variables (names and values; those that don't begin with
/// `EFFERENCE_` are passed over) and then the `key=value` texts over it.
///
/// # Errors
/// If a file can't be read or is not TOML. Other mistakes are told by [`Draft::resolve`], all at once.
pub fn read(
    path: &Path,
    sets: &[String],
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Draft, Mistakes> {
    let Chain { mut layers, mut mistakes, broken, .. } = Chain::read(path);
    for (more, wrong) in [of_variables(variables), of_sets(sets)] {
        layers.extend(more);
        mistakes.extend(wrong);
    }
    if broken {
        return Err(Mistakes::new(&path.display().to_string(), mistakes));
    }
    Ok(Draft { path: path.to_owned(), layers, mistakes })
}

/// [`read`] and [`Draft::resolve`] in one.
///
/// # Errors
/// All that is wrong with the spec.
pub fn load(
    path: &Path,
    sets: &[String],
    variables: impl Iterator<Item = (String, String)>,
    catalogue: &dyn PluginCatalogue,
) -> Result<Spec, Mistakes> {
    read(path, sets, variables)?.resolve(catalogue)
}

impl Draft {
    /// The directories that `[plugins] path` names, to make the catalogue with. Mistakes in it are told by
    /// [`resolve`](Draft::resolve).
    pub fn plugin_paths(&self) -> Vec<PathBuf> {
        let merged = merge(&self.layers, &Value::Null);
        plugin_paths(&merged).into_iter().map(|(_, path)| path).collect()
    }

    /// Checks everything, and fills in what was not said.
    ///
    /// # Errors
    /// All that is wrong with the spec.
    pub fn resolve(mut self, catalogue: &dyn PluginCatalogue) -> Result<Spec, Mistakes> {
        let catalogue = Remembering::new(catalogue);
        let mut merged = merge(&self.layers, &Value::Null);
        let mut examined = examine(&merged.tree, &catalogue);
        if self.layers.iter().any(|layer| matches!(layer.source, Source::Variable(_))) {
            for layer in self.layers.iter_mut().filter(|layer| matches!(layer.source, Source::Variable(_))) {
                as_the_schema_writes(&mut layer.values, Schema::new(&examined.schema));
            }
            merged = merge(&self.layers, &Value::Null);
            examined = examine(&merged.tree, &catalogue);
        }
        let (swept, wrong) = sweep(&merged.tree, &merged.origins, &examined, &catalogue);
        examined.findings.extend(wrong);

        let schema = Schema::new(&examined.schema);
        let filled_in = defaults(schema, Some(&merged.tree)).unwrap_or_default();
        let mut full = merge(&self.layers, &filled_in);
        unset(schema, &mut full.tree);
        self.put_aside(&mut full.tree, &examined);
        let paths = plugin_paths(&full);
        for (index, path) in paths {
            full.tree["plugins"]["path"][index] = path.to_string_lossy().into();
        }
        let wrong = check_options(&full.tree, &examined, &catalogue);
        examined.findings.extend(wrong);

        let found: Vec<Mistake> = examined.findings.iter().map(|f| self.located(f, &full.origins)).collect();
        let when_read = self.mistakes.len();
        for (finding, mistake) in examined.findings.iter().zip(found) {
            // A value that is not even TOML was replaced by something when it was read.
            let line = |mistake: &Mistake| mistake.position().map(|(file, line, _)| (file.to_owned(), line));
            let spoilt = |first: &Mistake| mistake.position().is_some() && line(first) == line(&mistake);
            if finding.in_key || !self.mistakes[..when_read].iter().any(spoilt) {
                self.mistakes.push(mistake);
            }
        }
        if self.mistakes.is_empty() {
            match self.typed(&full, &examined) {
                Ok(spec) => return Ok(Spec { sweep: swept, ..spec }),
                Err(mistake) => self.mistakes.push(mistake),
            }
        }
        Err(Mistakes::new(&self.name(), self.mistakes))
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Takes out what no plugin is to see, and gives the experiment its name.
    fn put_aside(&self, tree: &mut Value, examined: &Examined) {
        for path in &examined.set_aside {
            if let (Some(section), Some(key)) = (path.first_key(), path.last_key())
                && let Some(Value::Object(table)) = tree.get_mut(section)
            {
                table.shift_remove(key);
            }
        }
        if let Value::Object(tree) = tree {
            tree.shift_remove("sweep");
            if tree.get("name").is_none_or(Value::is_null) {
                tree.insert("name".into(), name_of_file(&self.path).into());
            }
        }
    }

    /// Finds where the fault was written.
    fn located(&self, finding: &Finding, origins: &Origins) -> Mistake {
        let mut path = finding.path.clone();
        let place = loop {
            match origins.nearest(&path) {
                None => break Place::Nowhere,
                Some((Origin::Default, at)) => match at.parent() {
                    Some(parent) => path = parent,
                    None => break Place::Nowhere,
                },
                Some((origin, at)) => break origin.place(finding.in_key || at != finding.path),
            }
        };
        let message = match place {
            Place::Nowhere => format!("{}: {}", self.name(), finding.message),
            _ => finding.message.clone(),
        };
        Mistake::new(place, message, finding.label.clone(), finding.help.clone())
    }

    fn typed(&self, full: &Merged, examined: &Examined) -> Result<Spec, Mistake> {
        // Everything was checked against the schemas of these very types, so this is a fault of ours.
        let fault = |error: serde_json::Error| {
            Mistake::new(Place::Nowhere, format!("{}: {error}", self.name()), "", None)
        };
        let mut host = full.tree.clone();
        let mut choices = Vec::new();
        for (kind, plugin) in &examined.chosen {
            let table = host.as_object_mut().and_then(|host| host.shift_remove(section(*kind)));
            let mut options = match table {
                Some(Value::Object(options)) => options,
                _ => Map::new(),
            };
            options.shift_remove("plugin");
            choices.push(PluginChoice { plugin: plugin.clone().unwrap_or_default(), options });
        }
        let optimizer = optimizer(&host["optimizer"]).map_err(fault)?;
        let host: HostKeys = serde_json::from_value(host).map_err(fault)?;
        let notes = examined.notes.iter().map(|note| {
            let mistake = self.located(note, &full.origins);
            Mistake { severity: Severity::Warning, ..mistake }
        });
        let mut choices = choices.into_iter();
        let mut choice =
            || choices.next().ok_or_else(|| fault(serde::de::Error::custom("no plugin was chosen")));
        Ok(Spec {
            environment: choice()?,
            layer: choice()?,
            cell: choice()?,
            trainer: choice()?,
            goal: choice()?,
            name: host.name.unwrap_or_else(|| name_of_file(&self.path)),
            seed: host.seed,
            steps: host.steps,
            device: Device::parse(&host.device).unwrap_or(Device::Auto),
            threads: host.threads,
            state: host.state,
            optimizer,
            record: host.record,
            checkpoint: host.checkpoint,
            plugins: host.plugins,
            sweep: Vec::new(),
            origins: full.origins.clone(),
            notes: Mistakes::new(&self.name(), notes.collect()),
            tree: full.tree.clone(),
            schema: examined.schema.clone(),
        })
    }
}

/// Asks the plugins whose options follow their schema what the schema could not say.
fn check_options(tree: &Value, examined: &Examined, catalogue: &Remembering<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (kind, plugin) in &examined.chosen {
        let table = KeyPath::of(&[section(*kind)]);
        let Some(plugin) = plugin else { continue };
        if examined.findings.iter().any(|finding| finding.path.starts_with(&table)) {
            continue;
        }
        let mut options = tree.get(section(*kind)).cloned().unwrap_or_else(|| json!({}));
        if let Value::Object(options) = &mut options {
            options.shift_remove("plugin");
        }
        if let Err(OptionMistake { path, message }) = catalogue.check(*kind, plugin, &options) {
            let at = table.join(&KeyPath::parse_serde(&path));
            let message = format!("`{at}`: {message}");
            let label = format!("refused by the {} plugin `{plugin}`", section(*kind));
            findings.push(Finding::in_value(&at, message, label, None));
        }
    }
    findings
}

/// The settings of all parts, and of those that have their own.
fn optimizer(table: &Value) -> Result<Optimizer, serde_json::Error> {
    let mut common = table.clone();
    let parts = common.as_object_mut().and_then(|common| common.shift_remove("parts"));
    let settings = |table: &Value| serde_json::from_value::<OptimizerSettings>(table.clone());
    let all = settings(&common)?;
    let parts = parts.as_ref().and_then(Value::as_object).into_iter().flatten().map(|(name, own)| {
        let mut own = own.clone();
        if let Value::Object(own) = &mut own {
            // Only the clip can be none; what else is said to be none is as for all parts.
            own.retain(|key, value| key == "clip" || !value.is_null());
        }
        let mut table = common.clone();
        lay_over(&mut table, &own);
        Ok((name.clone(), settings(&table)?))
    });
    Ok(Optimizer { all, parts: parts.collect::<Result<_, serde_json::Error>>()? })
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
            Some(Origin::File { file, .. }) => file.directory().join(text),
            _ => PathBuf::from(text),
        };
        paths.push((index, std::path::absolute(&path).unwrap_or(path)));
    }
    paths
}

/// A name for the experiment of this file: its stem, as far as it can be one.
fn name_of_file(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let valid = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let name: String = stem.chars().map(|c| if valid(c) { c } else { '-' }).take(100).collect();
    let name = name.trim_start_matches(['.', '-']);
    if name.is_empty() { "experiment".into() } else { name.into() }
}

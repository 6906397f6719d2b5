//! What differs between the spec of a run and the one it is to go on with, and what that means for it.
use super::key_path::KeyPath;
use super::resolved::Spec;
use super::section::Section;
use super::write::to_toml_value;
use efference_abi::Kind;
use serde_json::{Map, Value};
use std::fmt;

/// What a changed key does to a run that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It changes nothing of what is computed: how long, what is recorded, what is kept.
    Safe,
    /// What is computed from here on differs; all that was learned fits.
    Soft,
    /// What was saved does not fit, or the run would be another experiment.
    Hard,
}

/// A key whose value differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The key.
    pub key: KeyPath,
    /// Its value before; `None`: there was no such key.
    pub old: Option<Value>,
    /// Its value now.
    pub new: Option<Value>,
    /// What that means.
    pub kind: ChangeKind,
}

impl fmt::Display for Change {
    /// `optimizer.learning_rate: 0.001 → 0.01 (soft)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<Value>| value.as_ref().map_or_else(|| "–".to_owned(), to_toml_value);
        let kind = match self.kind {
            ChangeKind::Safe => "safe",
            ChangeKind::Soft => "soft",
            ChangeKind::Hard => "hard",
        };
        write!(f, "{}: {} → {} ({kind})", self.key, shown(&self.old), shown(&self.new))
    }
}

impl Spec {
    /// What differs between this spec and a newer one, key by key, in the order of the specs.
    pub fn changes(&self, newer: &Spec) -> Vec<Change> {
        let mut changes = Vec::new();
        compare(Some(&self.tree), Some(&newer.tree), &KeyPath::default(), &mut changes);
        changes
    }
}

fn compare(old: Option<&Value>, new: Option<&Value>, path: &KeyPath, changes: &mut Vec<Change>) {
    // What is none may be left out.
    let (old, new) = (old.filter(|v| !v.is_null()), new.filter(|v| !v.is_null()));
    if old == new {
        return;
    }
    let empty = Map::new();
    let table = |value: Option<&'_ Value>| value.is_none_or(Value::is_object);
    if table(old) && table(new) {
        let [old, new] = [old, new].map(|v| v.and_then(Value::as_object).unwrap_or(&empty));
        let keys = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)));
        for key in keys {
            compare(old.get(key), new.get(key), &path.key(key), changes);
        }
        return;
    }
    changes.push(Change { key: path.clone(), old: old.cloned(), new: new.cloned(), kind: kind_of(path) });
}

/// Options of the agent's plugins count as soft: whether what was saved fits is seen when it is restored.
fn kind_of(key: &KeyPath) -> ChangeKind {
    match (key.first_key().unwrap_or_default(), key.last_key().unwrap_or_default()) {
        ("steps" | "record" | "checkpoint" | "evaluation" | "plugins", _) => ChangeKind::Safe,
        ("name" | "seed" | "state", _) | ("optimizer", "kind") => ChangeKind::Hard,
        (section, _) if section == Kind::Environment.name() => ChangeKind::Hard,
        (section, "plugin") if Section::of_name(section).is_some() => ChangeKind::Hard,
        _ => ChangeKind::Soft,
    }
}

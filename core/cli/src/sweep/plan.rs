//! `plan.json`: what a sweep is made of, and what changed of it since.
use efference_runs::provenance::lossy;
use efference_spec::{KeyPath, Spec, SweepMember, to_toml_value};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What a sweep is made of.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The spec's file.
    #[serde(serialize_with = "lossy")]
    pub(crate) spec_file: PathBuf,
    /// The text of that file.
    pub(crate) spec_text: String,
    /// What `--set` said.
    pub(crate) sets: Vec<String>,
    /// The spec without its sweep: each key (`trainer.unroll_length`) with its value as TOML writes it.
    pub(crate) base: BTreeMap<String, String>,
    /// What each axis of the sweep takes.
    pub(crate) axes: BTreeMap<String, Vec<String>>,
    /// How comparisons were decided, if they were.
    #[serde(default)]
    pub(crate) until_decided: Option<Design>,
    /// All members, those of earlier versions of the spec too.
    pub(crate) members: Vec<Planned>,
}

/// How comparisons are decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Design {
    /// The axis whose values are compared.
    pub(crate) key: String,
    /// By which metric.
    pub(crate) metric: String,
    /// How often a comparison without a difference may be decided.
    pub(crate) alpha: f64,
    /// The most seeds.
    pub(crate) most: usize,
}

/// A member of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Planned {
    /// The last part of its directory.
    pub(crate) id: String,
    /// The hash of all that it depends on.
    pub(crate) digest: String,
    /// What it sets.
    pub(crate) settings: Map<String, Value>,
    /// Its number of steps, if it has an end.
    pub(crate) steps: Option<u64>,
    /// Whether the spec as it is now has this member.
    pub(crate) in_spec: bool,
}

impl Planned {
    /// A member as the spec has it.
    pub(crate) fn new(member: &SweepMember) -> Planned {
        let settings = member.settings.iter().map(|(key, value)| (key.to_string(), value.clone()));
        Planned {
            id: member.id.clone(),
            digest: member.digest.clone(),
            settings: settings.collect(),
            steps: member.spec.steps,
            in_spec: true,
        }
    }

    /// `trainer.unroll_length = 2, seed = 1`
    pub(crate) fn shown(&self) -> String {
        shown_settings(self.settings.iter().map(|(key, value)| (key.clone(), value)))
    }
}

/// `trainer.unroll_length = 2, seed = 1`
pub(crate) fn shown_settings<'a>(settings: impl Iterator<Item = (String, &'a Value)>) -> String {
    settings.map(|(key, value)| format!("{key} = {}", to_toml_value(value))).collect::<Vec<_>>().join(", ")
}

impl Plan {
    /// The plan of a spec whose members these are.
    pub(crate) fn new(
        file: PathBuf,
        text: String,
        sets: &[String],
        spec: &Spec,
        members: &[SweepMember],
    ) -> Plan {
        let mut base = BTreeMap::new();
        flatten(spec.tree(), &KeyPath::default(), &mut base);
        let labels =
            |axis: &efference_spec::SweepAxis| axis.points.iter().map(|point| point.label.clone()).collect();
        Plan {
            spec_file: file,
            spec_text: text,
            sets: sets.to_vec(),
            base,
            axes: spec.sweep.iter().map(|axis| (axis.name.clone(), labels(axis))).collect(),
            until_decided: None,
            members: members.iter().map(Planned::new).collect(),
        }
    }

    /// Takes over from a plan of before: members that it has keep their ids, and those that the spec has no longer stay as
    /// they are. Returns what changed, in a few sentences; none if nothing did.
    pub(crate) fn follow(&mut self, before: Plan) -> Vec<String> {
        let mut changes = self.changes(&before);
        let known = |digest: &str| before.members.iter().find(|old| old.digest == digest);
        let mut added = 0;
        for member in &mut self.members {
            match known(&member.digest) {
                Some(old) => member.id.clone_from(&old.id),
                None => added += 1,
            }
        }
        self.until_decided = before.until_decided;
        let mut left = 0;
        for mut old in before.members {
            if !self.members.iter().any(|member| member.digest == old.digest) {
                left += usize::from(old.in_spec);
                old.in_spec = false;
                self.members.push(old);
            }
        }
        if !changes.is_empty() {
            changes.insert(0, "the spec has changed since this sweep was begun:".to_owned());
            changes.push(format!(
                "{added} members are added; {left} that the spec has no longer stay on disk as they are, and are not run"
            ));
        }
        changes
    }

    /// The members that the spec has.
    pub(crate) fn current(&self) -> impl Iterator<Item = &Planned> {
        self.members.iter().filter(|member| member.in_spec)
    }

    /// Takes a member in; returns its id, which is that of the same run of before.
    pub(crate) fn add(&mut self, member: &SweepMember) -> String {
        if let Some(known) = self.members.iter_mut().find(|known| known.digest == member.digest) {
            known.in_spec = true;
            return known.id.clone();
        }
        self.members.push(Planned::new(member));
        member.id.clone()
    }

    /// The id of this run, if it is planned.
    pub(crate) fn id_of(&self, member: &SweepMember) -> Option<&str> {
        self.members.iter().find(|known| known.digest == member.digest).map(|known| known.id.as_str())
    }

    fn changes(&self, before: &Plan) -> Vec<String> {
        let mut changes = Vec::new();
        let none = || "nothing".to_owned();
        let keys: Vec<&String> = self.base.keys().chain(before.base.keys()).collect();
        for key in sorted(keys) {
            let (old, new) = (before.base.get(key), self.base.get(key));
            // Where plugins are found changes with the place of the spec.
            if old != new && key != "plugins.path" {
                let shown = |value: Option<&String>| value.cloned().unwrap_or_else(none);
                changes.push(format!("  {key}: {} → {}", shown(old), shown(new)));
            }
        }
        for axis in sorted(self.axes.keys().chain(before.axes.keys()).collect()) {
            let (old, new) = (before.axes.get(axis), self.axes.get(axis));
            if old != new {
                let shown =
                    |labels: Option<&Vec<String>>| labels.map_or_else(none, |labels| labels.join(" "));
                changes.push(format!("  [sweep] {axis}: {} → {}", shown(old), shown(new)));
            }
        }
        changes
    }
}

fn sorted(mut keys: Vec<&String>) -> Vec<&String> {
    keys.sort();
    keys.dedup();
    keys
}

fn flatten(value: &Value, at: &KeyPath, to: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(table) if !table.is_empty() || at.is_top() => {
            table.iter().for_each(|(key, value)| flatten(value, &at.key(key), to));
        }
        value => drop(to.insert(at.to_string(), to_toml_value(value))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(base: &[(&str, &str)], members: &[(&str, &str)]) -> Plan {
        let member = |(id, digest): &(&str, &str)| Planned {
            id: (*id).to_owned(),
            digest: (*digest).to_owned(),
            settings: Map::new(),
            steps: None,
            in_spec: true,
        };
        Plan {
            base: base.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            members: members.iter().map(member).collect(),
            ..Plan::default()
        }
    }

    #[test]
    fn members_keep_their_ids_and_those_that_are_gone_stay() {
        let before = plan(&[("steps", "8_000")], &[("seed-1_aa", "aa"), ("seed-2_bb", "bb")]);
        let mut now =
            plan(&[("steps", "9")], &[("plugin-ldl_seed-1_aa", "aa"), ("plugin-ldl_seed-1_cc", "cc")]);
        let changes = now.follow(before);
        assert_eq!(
            changes,
            [
                "the spec has changed since this sweep was begun:",
                "  steps: 8_000 → 9",
                "1 members are added; 1 that the spec has no longer stay on disk as they are, and are not run",
            ]
        );
        let all: Vec<_> = now.members.iter().map(|m| (m.id.as_str(), m.in_spec)).collect();
        assert_eq!(all, [("seed-1_aa", true), ("plugin-ldl_seed-1_cc", true), ("seed-2_bb", false)]);
        let same = now.clone();
        assert!(now.follow(same).is_empty());
    }
}

//! The keys that a spec can have, read from where they are declared: the host's in `struct HostKeys`, a plugin's in
//! its `options!`.

use super::source::Source;
use super::tree::Tree;
use std::collections::{BTreeMap, BTreeSet};

/// The sections of a spec that choose a plugin, each with the folder of the plugins.
const KINDS: [(&str, &str); 6] = [
    ("environment", "plugins/environments/"),
    ("layer", "plugins/layers/"),
    ("cell", "plugins/cells/"),
    ("trainer", "plugins/trainers/"),
    ("goal", "plugins/goals/"),
    ("bonus", "plugins/goals/"),
];

/// Keys of a spec that stand in no struct.
const OF_FILES: [&str; 2] = ["extends", "sweep"];

/// For each section the keys in it, those of its own sections included; the empty section has the others.
pub(super) struct Keys(BTreeMap<String, BTreeSet<String>>);

impl Keys {
    pub(super) fn read(tree: &Tree<'_>) -> Self {
        let mut structs: BTreeMap<&str, Vec<(&str, Vec<&str>)>> = BTreeMap::new();
        let mut plugins: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut shared = BTreeSet::new();
        for (file, source) in tree.rust() {
            if file.path.starts_with("core/") && !source.is_test_file() {
                structs.extend(fields(source, false));
                // Options of the SDK's that a plugin makes a section of its own.
                let of_sdk = fields(source, true).into_values().flatten();
                shared.extend(of_sdk.map(|(name, _)| name.to_owned()));
            }
            for (section, _) in KINDS.iter().filter(|(_, folder)| file.path.starts_with(folder)) {
                let own = fields(source, true).into_values().flatten();
                let own = own.map(|(name, _)| name.to_owned());
                plugins.entry((*section).into()).or_default().extend(own);
            }
        }
        let mut keys = BTreeMap::new();
        let top: BTreeSet<String> = OF_FILES.iter().map(|key| (*key).to_owned()).collect();
        keys.insert(String::new(), top);
        for (section, _) in KINDS {
            let mut own = plugins.get(section).cloned().unwrap_or_default();
            own.insert("plugin".into());
            own.extend(shared.iter().cloned());
            keys.insert(section.into(), own);
        }
        let is_host = |fields: &[(&str, Vec<&str>)]| {
            ["seed", "steps", "optimizer"].iter().all(|key| fields.iter().any(|(name, _)| name == key))
        };
        // Settings that were read have the same fields; the keys are those of the struct that is deserialised.
        let host = structs.get("HostKeys").or_else(|| structs.values().find(|fields| is_host(fields)));
        for (name, of) in host.into_iter().flatten() {
            let mut own = BTreeSet::new();
            collect(&structs, of, &mut own, 0);
            match own.is_empty() {
                true => keys.entry(String::new()).or_default().insert((*name).into()),
                false => keys.insert((*name).into(), own).is_none(),
            };
        }
        Keys(keys)
    }

    /// Whether the host's own keys were found.
    pub(super) fn has_host(&self) -> bool {
        self.0.len() > KINDS.len() + 1
    }

    pub(super) fn is_section(&self, name: &str) -> bool {
        !name.is_empty() && self.0.contains_key(name)
    }

    /// The first name of a path that is no key, and the section it is missed in.
    pub(super) fn unknown<'p>(&self, path: &[&'p str]) -> Option<(&'p str, &'p str)> {
        let (section, rest) = path.split_first().filter(|(section, _)| **section != "sweep")?;
        let Some(keys) = self.0.get(*section) else {
            let known = self.0.get("").is_some_and(|keys| keys.contains(*section));
            return (!known).then_some((*section, ""));
        };
        // The second name under `optimizer.groups` is the user's.
        let users = (*section == "optimizer" && rest.len() > 1).then_some(1);
        let wrong = rest.iter().enumerate().find(|(at, key)| Some(*at) != users && !keys.contains(**key));
        wrong.map(|(_, key)| (*key, *section))
    }
}

fn collect(
    structs: &BTreeMap<&str, Vec<(&str, Vec<&str>)>>,
    of: &[&str],
    keys: &mut BTreeSet<String>,
    depth: usize,
) {
    for (name, of) in of.iter().filter_map(|name| structs.get(name)).flatten().filter(|_| depth < 8) {
        keys.insert((*name).into());
        collect(structs, of, keys, depth + 1);
    }
}

/// The structs of a file, or those in its `options!`: names of fields, and the names in their types.
fn fields<'a>(source: &Source<'a>, in_options: bool) -> BTreeMap<&'a str, Vec<(&'a str, Vec<&'a str>)>> {
    let mut all = BTreeMap::new();
    for at in (0..source.tokens.len()).filter(|at| source.is(*at, "struct") && !source.is_test(*at)) {
        let Some(name) = source.ident(at + 1) else { continue };
        if !source.is(at + 2, "{") || is_in_options(source, at) != in_options {
            continue;
        }
        let end = source.close(at + 2);
        let mut fields = Vec::new();
        let mut field = at + 3;
        while field < end {
            while let Some(open) = source.attribute(field) {
                field = source.close(open) + 1;
            }
            field = source.after_visibility(field);
            let own = source.ident(field);
            let mut of = Vec::new();
            let mut depth = 0_usize;
            field += 1;
            while field < end && !(depth == 0 && source.is(field, ",")) {
                depth += usize::from(source.is(field, "<"));
                depth = depth.saturating_sub(usize::from(source.is(field, ">")));
                of.extend(source.ident(field));
                field = source.close(field) + 1;
            }
            fields.extend(own.map(|own| (own, of)));
            field += 1;
        }
        all.insert(name, fields);
    }
    all
}

/// Whether a token stands in the braces of `options! { … }`.
fn is_in_options(source: &Source<'_>, at: usize) -> bool {
    let opens = (2..at).filter(|open| source.is(*open, "{") && source.close(*open) > at);
    opens.into_iter().any(|open| source.is(open - 1, "!") && source.is(open - 2, "options"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_from_their_declarations() {
        let tree = Tree::new([
            (
                "core/spec/src/keys.rs",
                "pub struct HostKeys { pub seed: u64, #[x(y = 1)] pub(super) steps: Option<u64>, optimizer: Optimizer }\n\
                 struct Optimizer { #[serde(flatten)] all: Settings, groups: BTreeMap<String, Settings> }\n\
                 struct Settings { clip: Option<f64>, learning_rate: f64 }",
            ),
            (
                "plugins/trainers/bptt/src/lib.rs",
                "efference_sdk::options! { pub struct Options { pub unroll_length: i64 = 1, pub deep: Deep = Deep::new(), } }\n\
                 efference_sdk::options! { pub struct Deep { pub enabled: bool = true } }\nstruct Bptt { not: u8 }",
            ),
        ]);
        let keys = Keys::read(&tree);
        assert!(keys.has_host());
        let unknown =
            |path: &str| keys.unknown(&path.split('.').collect::<Vec<_>>()).map(|(key, _)| key.to_owned());
        for right in [
            "seed",
            "steps",
            "extends",
            "optimizer.clip",
            "optimizer.groups.mine.learning_rate",
            "trainer",
            "trainer.plugin",
            "trainer.unroll_length",
            "trainer.deep.enabled",
        ] {
            assert_eq!(unknown(right), None, "{right}");
        }
        for (wrong, key) in [("sead", "sead"), ("optimizer.clap", "clap"), ("trainer.not", "not")] {
            assert_eq!(unknown(wrong).as_deref(), Some(key));
        }
        assert!(!Keys::read(&Tree::new([])).has_host());
    }
}

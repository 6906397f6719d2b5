//! What differs between what made two runs.
use efference_runs::provenance::{OptionFile, PluginFile, Provenance};
use std::collections::BTreeMap;

/// What differs between what made two runs, a sentence each: code, plugins, libtorch, device, threads, machine.
pub fn provenance_differences(a: &Provenance, b: &Provenance) -> Vec<String> {
    let mut differences = Vec::new();
    let mut differ = |what: &str, a: Option<&str>, b: Option<&str>| {
        if a != b {
            differences.push(format!("{what}: {} → {}", a.unwrap_or("–"), b.unwrap_or("–")));
        }
    };
    differ("efference", Some(&a.efference), Some(&b.efference));
    let commit = |p: &'_ Provenance| p.git.as_ref().and_then(|git| git.commit.clone());
    differ("git commit", commit(a).as_deref(), commit(b).as_deref());
    let changes = |p: &'_ Provenance| p.git.as_ref().and_then(|git| git.diff_sha256.clone());
    differ("uncommitted changes", changes(a).as_deref().map(short), changes(b).as_deref().map(short));
    differ("libtorch", Some(&a.libtorch), Some(&b.libtorch));
    differ("device", Some(&a.device), Some(&b.device));
    differ("threads", Some(&a.threads.to_string()), Some(&b.threads.to_string()));
    differ("processor", a.machine.cpu.as_deref(), b.machine.cpu.as_deref());
    differ("architecture", Some(&a.machine.architecture), Some(&b.machine.architecture));
    for own in &a.files {
        let Some(other) =
            b.files.iter().find(|other| (&own.option, &own.file) == (&other.option, &other.file))
        else {
            continue;
        };
        let shown = |file: &OptionFile| {
            format!("{} ({})", file.file.display(), file.sha256.as_deref().map_or("unknown content", short))
        };
        differ(&own.option, Some(&shown(own)), Some(&shown(other)));
    }
    let plugins = |p: &'_ Provenance| -> BTreeMap<String, PluginFile> {
        p.plugins.iter().map(|plugin| (plugin.kind.clone(), plugin.clone())).collect()
    };
    let (a, b) = (plugins(a), plugins(b));
    for (kind, own) in &a {
        let Some(other) = b.get(kind) else { continue };
        let shown = |p: &PluginFile| {
            let hash = p.sha256.as_deref().map_or("unknown file", short).to_owned();
            format!("{} {} ({hash})", p.name, p.version)
        };
        let (own, other) = (shown(own), shown(other));
        differ(kind, Some(&own), Some(&other));
    }
    differences
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use efference_runs::provenance::{Git, Machine};

    fn provenance() -> Provenance {
        Provenance {
            efference: "0.1.0".into(),
            started: "2026-11-22T10:04:05Z".into(),
            command: vec![],
            working_directory: None,
            spec: None,
            git: Some(Git { commit: Some("abc".into()), diff_sha256: None, diff: None, untracked_files: 3 }),
            plugins: vec![PluginFile {
                name: "ldl".into(),
                kind: "layer".into(),
                version: "0.1.0".into(),
                file: "a.so".into(),
                sha256: Some("0123456789abcdef".into()),
            }],
            files: vec![OptionFile {
                option: "environment.command".into(),
                file: "/worlds/maze.py".into(),
                sha256: Some("abcdef0123456789".into()),
            }],
            libtorch: "2.13.0".into(),
            device: "cpu".into(),
            threads: 2,
            machine: Machine::this(),
            descent: None,
            resumed: Vec::new(),
        }
    }

    #[test]
    fn what_made_a_difference_is_listed_and_what_made_none_is_not() {
        let a = provenance();
        let mut b = Provenance { started: "2027-01-01T00:00:00Z".into(), ..a.clone() };
        b.plugins[0].file = "elsewhere/a.so".into();
        assert_eq!(provenance_differences(&a, &b), [""; 0]);
        b.threads = 1;
        b.plugins[0].sha256 = Some("ffff456789abcdef".into());
        b.files[0].sha256 = None;
        b.git = None;
        assert_eq!(
            provenance_differences(&a, &b),
            [
                "git commit: abc → –",
                "threads: 2 → 1",
                "environment.command: /worlds/maze.py (abcdef012345) → /worlds/maze.py (unknown content)",
                "layer: ldl 0.1.0 (0123456789ab) → ldl 0.1.0 (ffff456789ab)"
            ]
        );
    }
}

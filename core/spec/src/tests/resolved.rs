//! What a spec is after all is merged and filled in, and the file that says it.
use super::*;
use crate::{
    ChangeKind, CheckpointEvery, Device, Keep, KeyPath, OptimizerKind, OptimizerSettings, StateSize, read,
};
use serde_json::json;

const SPEC: &str = r#"# A spec.
steps = 20_000
[environment]
plugin = "worlds"
ears = [{ lowest = 40, left = false }, {}]
[trainer]
horizon = 7
synthetic_gradient = "none"
label = "say \"hi\"\u007F\n"
[trainer.warm_up]
layers = 3
[optimizer]
kind = "sgd"
momentum = 0.9
clip = 2
[optimizer.groups.cell]
learning_rate = 0.5
clip = "none"
[optimizer.groups.goal]
kind = "adamw"
beta1 = "none"
[plugins]
path = ["more", "/elsewhere"]
"#;

#[test]
fn defaults_are_filled_in_everywhere() {
    let desk = Desk::new();
    desk.file("my spec.toml", SPEC);
    let spec = desk.load("my spec.toml", &[], &[]).unwrap();
    assert_eq!((spec.name.as_str(), spec.seed, spec.steps, spec.threads), ("my-spec", 1, Some(20_000), None));
    assert_eq!((spec.device, spec.state.size), (Device::Auto, StateSize::Auto));
    assert_eq!(
        serde_json::Value::from(spec.choice(Kind::Environment).options.clone()),
        json!({
            "ears": [{ "lowest": 40, "left": false }, {}], "size": [16, 16], "streams": 1, "world": "bounce",
        })
    );
    assert_eq!(
        (spec.choice(Kind::Layer).plugin.as_str(), &spec.choice(Kind::Layer).options["radix"]),
        ("ldl", &json!(16))
    );
    assert_eq!(
        (spec.choice(Kind::Cell).plugin.as_str(), spec.choice(Kind::Goal).plugin.as_str()),
        ("mgu", "predict")
    );
    assert_eq!(spec.choice(Kind::Trainer).plugin, "bptt");
    assert_eq!(
        serde_json::Value::from(spec.choice(Kind::Trainer).options.clone()),
        json!({
            "horizon": 7, "label": "say \"hi\"\u{7f}\n", "noise": { "enabled": true },
            "synthetic_gradient": null, "unroll_length": 1,
            "warm_up": { "layers": 3, "learning_rate": 0.03 },
        })
    );
    assert_eq!((spec.record.every, spec.record.pictures_every, spec.record.tensorboard), (10, 500, true));
    assert_eq!((spec.checkpoint.every, spec.checkpoint.keep), (CheckpointEvery::Auto, Keep::Last(2)));
}

#[test]
fn groups_have_the_settings_of_all_but_for_their_own() {
    let desk = Desk::new();
    desk.file("spec.toml", SPEC);
    let optimizer = desk.load("spec.toml", &[], &[]).unwrap().optimizer;
    let all = OptimizerSettings {
        kind: OptimizerKind::Sgd,
        momentum: 0.9,
        clip: Some(2.0),
        ..OptimizerSettings::default()
    };
    assert_eq!(*optimizer.of("anything else"), all);
    assert_eq!(*optimizer.of("cell"), OptimizerSettings { learning_rate: 0.5, clip: None, ..all.clone() });
    assert_eq!(*optimizer.of("goal"), OptimizerSettings { kind: OptimizerKind::Adamw, ..all });
}

#[test]
fn the_longest_prefix_of_whole_words_decides_the_group() {
    let desk = Desk::new();
    desk.file(
        "spec.toml",
        "[environment]\nplugin = \"worlds\"\n[optimizer]\nclip = 1\n[optimizer.groups.goal]\nclip = 2\n\
         [optimizer.groups.\"goal.value\"]\nlearning_rate = 0.5\n",
    );
    let spec = desk.load("spec.toml", &[], &[]).unwrap();
    let found = |name| {
        let settings = spec.optimizer_of(name, Some(0.25));
        (spec.optimizer.group_of(name).map(|(prefix, _)| prefix), settings.clip, settings.learning_rate)
    };
    assert_eq!(found("goal"), (Some("goal"), Some(2.0), 0.25));
    assert_eq!(found("goal.policy"), (Some("goal"), Some(2.0), 0.25));
    assert_eq!(found("goal.value"), (Some("goal.value"), Some(1.0), 0.5));
    assert_eq!(found("goal.value.weight"), (Some("goal.value"), Some(1.0), 0.5));
    assert_eq!(found("goal.values"), (Some("goal"), Some(2.0), 0.25));
    assert_eq!(found("goals"), (None, Some(1.0), 0.25));
}

#[test]
fn a_state_has_a_number_of_elements_or_finds_it_out() {
    let desk = Desk::new();
    desk.file("spec.toml", SPEC);
    for (set, size) in
        [("auto", StateSize::Auto), ("\"auto\"", StateSize::Auto), ("4_096", StateSize::Elements(4096))]
    {
        assert_eq!(desk.load("spec.toml", &[&format!("state.size={set}")], &[]).unwrap().state.size, size);
    }
    let report = desk.report("spec.toml", &["state.size=15"], &[]);
    assert_has(&report, &["`state.size` must be at least 16, found 15"]);
}

#[test]
fn plugin_paths_are_relative_to_the_file_that_says_them() {
    let desk = Desk::new();
    let base = desk.file("sub/base.toml", SPEC);
    let path = desk.file("spec.toml", "extends = \"sub/base.toml\"\n");
    let more = [base.with_file_name("more"), PathBuf::from("/elsewhere")];
    let draft = read(&path, &[], std::iter::empty()).unwrap();
    let directories =
        |draft: &crate::ParsedSpec| draft.plugin_paths().into_iter().map(|p| p.directory).collect::<Vec<_>>();
    assert_eq!(directories(&draft), more);
    assert!(draft.plugin_paths().iter().all(|p| p.said_in.as_ref().unwrap().contains("base.toml:")));
    assert_eq!(
        draft.resolve(&Declared).unwrap().plugin_settings.path,
        more.map(|path| path.to_str().unwrap().to_owned())
    );
    let draft = read(&path, &["plugins.path=[\"here\"]".into()], std::iter::empty()).unwrap();
    assert_eq!(directories(&draft), [std::env::current_dir().unwrap().join("here")]);
    assert_eq!(draft.plugin_paths()[0].said_in, None);
    let draft = read(&path, &["plugins.path=3".into()], std::iter::empty()).unwrap();
    assert!(draft.plugin_paths().is_empty());
}

#[test]
fn plugin_paths_of_the_user_come_before_those_of_files() {
    let desk = Desk::new();
    let base = desk.file("sub/base.toml", SPEC);
    let path = desk.file("spec.toml", "extends = \"sub/base.toml\"\n");
    let mut draft = read(&path, &[], std::iter::empty()).unwrap();
    draft.put_plugin_paths(&["own".into(), "/elsewhere".into()]);
    let own = std::env::current_dir().unwrap().join("own");
    let more = base.with_file_name("more");
    let paths = draft.plugin_paths();
    let directories: Vec<_> = paths.iter().map(|path| path.directory.clone()).collect();
    assert_eq!(directories, [own.clone(), "/elsewhere".into(), more.clone()]);
    // What a file alone names is still said to come from there.
    assert_eq!((&paths[0].said_in, &paths[1].said_in), (&None, &None));
    assert!(paths[2].said_in.as_ref().unwrap().contains("base.toml:"), "{paths:?}");
    let spec = draft.resolve(&Declared).unwrap();
    let stored: Vec<_> = spec.plugin_settings.path.iter().map(PathBuf::from).collect();
    assert_eq!(stored, [own, "/elsewhere".into(), more]);
}

#[test]
fn the_resolved_spec_says_where_each_value_came_from() {
    let desk = Desk::new();
    desk.file("spec.toml", SPEC);
    let spec = desk.load("spec.toml", &["seed=3", "goal.l2=2"], &[("EFFERENCE_THREADS", "2")]).unwrap();
    let text = spec.to_toml().replace(&format!("{}/", desk.0.path().display()), "");
    let line = |value: &str, origin: &str| format!("\n{value:40} # {origin}\n");
    for (value, origin) in [
        ("name = \"spec\"", "the file's name"),
        ("seed = 3", "--set seed=3"),
        ("steps = 20_000", "spec.toml:2"),
        ("threads = 2", "EFFERENCE_THREADS"),
        ("device = \"auto\"", "default"),
        ("horizon = 7", "spec.toml:7"),
        ("synthetic_gradient = \"none\"", "spec.toml:8"),
        ("size = \"auto\"", "default"),
        ("l2 = 2", "--set goal.l2=2"),
        ("epsilon = 1e-8", "default"),
    ] {
        assert!(text.contains(&line(value, origin)), "{value} # {origin} is not in:\n{text}");
    }
    assert_has(
        &text,
        &[
            "\n[environment]\n",
            "\n[state]\n",
            "\n[layer]\n",
            "\n[cell]\n",
            "\n[trainer]\n",
            "\n[trainer.warm_up]\n",
            "\n[goal]\n",
        ],
    );
}

#[test]
fn the_resolved_spec_makes_the_same_run_again() {
    let desk = Desk::new();
    desk.file("spec.toml", format!("{SPEC}[layer]\nplugin = \"dense\"\nradix = 4\n[sweep]\nseed = [1, 2]\n"));
    let spec = desk.load("spec.toml", &["seed=3\n"], &[]).unwrap();
    // One on the option, and one on each directory of plugins that is not there.
    assert_eq!(spec.notes.len(), 3, "{}", desk.plain(&spec.notes));
    desk.file("small.toml", "[environment]\nplugin = \"worlds\"\n");
    let small = desk.load("small.toml", &[], &[]).unwrap();
    desk.file("small-again.toml", small.to_toml());
    let again = desk.load("small-again.toml", &[], &[]).unwrap();
    assert!(again.notes.is_empty(), "{}", desk.plain(&again.notes));
    assert!(!small.to_toml().contains("[optimizer.groups]"));
    // In another directory, under another name.
    desk.file("runs/x/resolved.toml", spec.to_toml());
    let again = desk
        .load("runs/x/resolved.toml", &[], &[])
        .unwrap_or_else(|m| panic!("{}\n{}", desk.plain(&m), spec.to_toml()));
    // Those on the directories stay.
    assert_eq!(again.notes.len(), 2, "{}", desk.plain(&again.notes));
    assert!(again.sweep.is_empty() && !spec.sweep.is_empty());
    assert_eq!(
        (&again.name, again.seed, again.steps, again.threads),
        (&spec.name, 3, spec.steps, spec.threads)
    );
    assert_eq!((&again.plugins, &again.optimizer), (&spec.plugins, &spec.optimizer));
    assert_eq!(
        (&again.state, &again.record, &again.checkpoint, &again.plugin_settings),
        (&spec.state, &spec.record, &spec.checkpoint, &spec.plugin_settings)
    );
    let values = |text: String| {
        text.lines().map(|line| line.split(" # ").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(values(again.to_toml()), values(spec.to_toml()));
}

#[test]
fn an_option_of_the_plugin_that_was_swapped_is_a_note_and_no_problem() {
    let desk = Desk::new();
    desk.file("spec.toml", "[environment]\nplugin = \"worlds\"\n[layer]\nplugin = \"ldl\"\nradix = 4\n[optimizer]\nmomentum = 0.5\n");
    let spec = desk.load("spec.toml", &["layer.plugin=dense"], &[]).unwrap();
    assert_eq!(spec.choice(Kind::Layer).options.keys().collect::<Vec<_>>(), ["bias"]);
    let notes = desk.plain(&spec.notes);
    assert_has(
        &notes,
        &["`layer.radix` is an option of `ldl`", "`dense` has none of this name", "spec.toml:5:1"],
    );
    assert_has(
        &notes,
        &[
            "`optimizer.momentum` has no effect with `kind = \"adam\"`",
            "spec.toml:7:1",
            "2 notes on spec.toml",
        ],
    );
    assert_has(
        &desk.report("spec.toml", &["layer.plugin=dense", "layer.radx=3"], &[]),
        &["--set layer.radx=3: there is no key `radx`", "1 problem"],
    );
}

#[test]
fn origins_know_their_lines() {
    let desk = Desk::new();
    desk.file("spec.toml", SPEC);
    let spec = desk.load("spec.toml", &[], &[]).unwrap();
    let line = |keys: &[&str]| spec.origins.get(&KeyPath::of(keys)).unwrap().to_string();
    assert!(line(&["trainer", "warm_up", "layers"]).ends_with("spec.toml:11"));
    assert!(line(&["optimizer", "groups", "goal", "kind"]).ends_with("spec.toml:20"));
    assert_eq!(line(&["trainer", "warm_up", "learning_rate"]), "default");
}

#[test]
fn what_differs_between_two_specs_is_safe_soft_or_hard() {
    use ChangeKind::{Hard, Safe, Soft};
    let desk = Desk::new();
    desk.file("spec.toml", SPEC);
    let old = desk.load("spec.toml", &[], &[]).unwrap();
    assert_eq!(old.changes(&old), []);
    let cases = [
        ("steps=7", "steps: 20_000 → 7 (safe)", Safe),
        ("record.every=7", "record.every: 10 → 7 (safe)", Safe),
        ("checkpoint.every=7", "checkpoint.every: \"auto\" → 7 (safe)", Safe),
        ("checkpoint.best=loss", "checkpoint.best: – → \"loss\" (safe)", Safe),
        ("evaluation.every=7", "evaluation.every: 0 → 7 (safe)", Safe),
        ("optimizer.learning_rate=0.5", "optimizer.learning_rate: 0.001 → 0.5 (soft)", Soft),
        ("optimizer.groups.goal.clip=3", "optimizer.groups.goal.clip: – → 3 (soft)", Soft),
        ("trainer.horizon=8", "trainer.horizon: 7 → 8 (soft)", Soft),
        ("threads=2", "threads: – → 2 (soft)", Soft),
        ("optimizer.kind=adam", "optimizer.kind: \"sgd\" → \"adam\" (hard)", Hard),
        ("state.size=64", "state.size: \"auto\" → 64 (hard)", Hard),
        ("seed=2", "seed: 1 → 2 (hard)", Hard),
        ("environment.streams=2", "environment.streams: 1 → 2 (hard)", Hard),
    ];
    for (set, shown, kind) in cases {
        let new = desk.load("spec.toml", &[set], &[]).unwrap();
        let changes = old.changes(&new);
        let said: Vec<_> = changes.iter().map(|change| (change.to_string(), change.kind)).collect();
        assert_eq!(said, [(shown.to_owned(), kind)]);
    }
    // A plugin that is swapped brings its own options.
    let new = desk.load("spec.toml", &["layer.plugin=dense"], &[]).unwrap();
    let changes = old.changes(&new);
    let plugin = changes.iter().find(|change| change.key == KeyPath::of(&["layer", "plugin"])).unwrap();
    assert_eq!((plugin.kind, changes.len() > 1), (Hard, true));
}

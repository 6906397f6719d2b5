//! `--set` and variables.
use super::*;

const SPEC: &str = "seed = 5\n[environment]\nplugin = \"worlds\"\n";

fn desk() -> Desk {
    let desk = Desk::new();
    desk.file("spec.toml", SPEC);
    desk
}

#[test]
fn set_goes_over_variables_and_both_over_the_file() {
    let desk = desk();
    let variables = [
        ("EFFERENCE_SEED", "6"),
        ("EFFERENCE_TRAINER__UNROLL_LENGTH", "3"),
        ("efference_steps", "1_000"),
        ("HOME", "x"),
    ];
    let spec =
        desk.load("spec.toml", &["seed=7", "seed=8", "environment.world = catch"], &variables).unwrap();
    assert_eq!((spec.seed, spec.steps), (8, Some(1000)));
    assert_eq!(spec.choice(Kind::Trainer).options["unroll_length"], 3);
    assert_eq!(spec.choice(Kind::Environment).options["world"], "catch");
    let origin = |keys: &[&str]| spec.origins.get(&crate::KeyPath::of(keys)).unwrap().to_string();
    assert_eq!(origin(&["seed"]), "--set seed=8");
    assert_eq!(origin(&["trainer", "unroll_length"]), "EFFERENCE_TRAINER__UNROLL_LENGTH");
    assert!(origin(&["environment", "plugin"]).ends_with("/spec.toml:3"));
    assert_eq!(origin(&["state", "size"]), "default");
}

#[test]
fn values_are_toml_if_they_can_be_and_text_if_not() {
    let desk = desk();
    let sets = [
        "environment.size=[1, 2]",
        "environment.ears=[{lowest = 5}]",
        "layer.sharing=none",
        "layer.bias=false",
        "trainer.label=2024-01-01",
        "trainer.synthetic_gradient={layers = 3}",
        "optimizer.groups.\"my group\".learning_rate=1e-2",
        "device=\"cuda:1\"",
        "steps=none",
    ];
    let spec = desk.load("spec.toml", &sets, &[]).unwrap();
    assert_eq!(spec.choice(Kind::Environment).options["size"], serde_json::json!([1, 2]));
    assert_eq!(spec.choice(Kind::Environment).options["ears"], serde_json::json!([{ "lowest": 5 }]));
    assert_eq!(
        (&spec.choice(Kind::Layer).options["sharing"], &spec.choice(Kind::Layer).options["bias"]),
        (&"none".into(), &false.into())
    );
    assert_eq!(spec.choice(Kind::Trainer).options["label"], "2024-01-01");
    assert_eq!(
        spec.choice(Kind::Trainer).options["synthetic_gradient"],
        serde_json::json!({ "layers": 3, "learning_rate": 0.03 })
    );
    assert_eq!(spec.optimizer.of("my group").learning_rate, 0.01);
    assert_eq!((spec.device, spec.steps), (crate::Device::Cuda(1), None));
}

#[test]
fn variables_do_not_tell_capitals_from_small_letters() {
    let desk = Desk::new();
    desk.file("spec.toml", "[environment]\nplugin = \"page\"\nurl = \"about:blank\"\n");
    let spec = desk.load("spec.toml", &[], &[("EFFERENCE_ENVIRONMENT__DIRECTSCORE", "true")]).unwrap();
    assert_eq!(spec.choice(Kind::Environment).options["directScore"], true);
}

#[test]
fn a_problem_names_the_variable_or_the_set() {
    let desk = desk();
    let report = desk.report(
        "spec.toml",
        &[
            "record.evry=3",
            "oops",
            "a b=1",
            "state.size=x",
            "extends=a.toml",
            "layer=dense",
            "environment.world=lost",
            "seed=nan",
        ],
        &[
            ("EFFERENCE_SEDE", "2"),
            ("EFFERENCE_CHECKPOINT__KEEP", "0"),
            ("EFFERENCE_", "1"),
            ("EFFERENCE_A____B", "1"),
            ("EFFERENCE_PLUGIN_PATH", "/nowhere"),
            ("EFFERENCE_LOG", "debug"),
            ("EFFERENCE_STEPS", ""),
        ],
    );
    for parts in [
        &["--set record.evry=3: there is no key `evry` in [record]", "did you mean `every`?"][..],
        &["--set oops: this is not `key=value`", "--set trainer.unroll_length=1"],
        &["--set a b=1: this is not `key=value`"],
        &["--set state.size=x: `state.size`: expected a whole number or \"auto\", found the text \"x\""],
        &["--set extends=a.toml: `extends` can be said by a file only"],
        &["--set layer=dense: `layer`: expected a table, found the text \"dense\""],
        &["--set environment.world=lost: `environment.world`: there is no world 'lost'"],
        &["--set seed=nan: `seed` must be a finite number"],
        &["EFFERENCE_SEDE: there is no key `sede` at the top of a spec", "did you mean `seed`?"],
        &["EFFERENCE_CHECKPOINT__KEEP: `checkpoint.keep` must be at least 1, found 0"],
        &["EFFERENCE_: this names no key of a spec", "two underscores"],
        &["EFFERENCE_A____B: this names no key"],
        &["EFFERENCE_STEPS: `steps`: expected a whole number (or \"none\"), found the text \"\""],
    ] {
        assert_has(&report, parts);
    }
    assert_has(&report, &["13 problems in spec.toml"]);
    assert!(!report.contains("PLUGIN_PATH") && !report.contains("EFFERENCE_LOG"), "{report}");
}

#[test]
fn what_is_missing_is_reported_for_the_file_even_if_a_set_is_in_its_table() {
    let desk = Desk::new();
    desk.file("spec.toml", "[environment]\n");
    let report = desk.report("spec.toml", &["environment.world=catch"], &[]);
    assert_has(&report, &["`environment.plugin` is missing", "spec.toml:1:2", "1 problem"]);
}

//! `[sweep]`: what is in it must be what the spec could say.
use super::*;

const SPEC: &str = "[environment]\nplugin = \"worlds\"\n[layer]\nplugin = \"ldl\"\nradix = 8\n[sweep]\n";

#[test]
fn a_sweep_is_read_in_its_order() {
    let desk = Desk::new();
    desk.file("spec.toml", format!("{SPEC}\"trainer.unroll_length\" = [1, 2]\nseed = [3, 4]\nlayer.plugin = [\"ldl\", \"dense\"]\nsteps = [\"none\", 5]\n"));
    let spec = desk.load("spec.toml", &[], &[]).unwrap();
    let swept: Vec<String> = spec.sweep.iter().map(|swept| swept.key.to_string()).collect();
    assert_eq!(swept, ["trainer.unroll_length", "seed", "layer.plugin", "steps"]);
    assert_eq!(spec.sweep[1].values, [3, 4]);
    assert_eq!(spec.seed, 1, "a run ignores the sweep");
}

#[test]
fn keys_and_values_of_a_sweep_are_checked_like_any_other() {
    let report = report_on(&format!(
        "{SPEC}\"trainer.unrol\" = [1]\n\"trainer.unroll_length\" = [1, 0]\nseed = 4\nsteps = []\n\"layer.plugin\" = [\"dens\"]\nplugins.path = [1]\n\
         \"a b\" = [1]\n\"device\" = [\"cpu\", \"tpu\"]\n\"environment.plugin\" = [\"page\"]\n"
    ));
    for parts in [
        &["no key `unrol` in [trainer]", "spec.toml:7:1", "did you mean `unroll_length`?"][..],
        &["`trainer.unroll_length` must be at least 1, found 0", "spec.toml:8:31"],
        &[
            "`sweep.seed`: expected a list of values, found 4",
            "spec.toml:9:8",
            "write the values of `seed` in brackets",
        ],
        &["`sweep.steps`: expected a list of values, found an empty list", "spec.toml:10:9"],
        &["there is no layer plugin `dens`", "spec.toml:11:19"],
        &["`plugins.path` can't be swept", "spec.toml:12:9"],
        &["\"a b\" is no key of a spec", "spec.toml:13:1"],
        &["`device`: expected", "spec.toml:14:20"],
        &["`environment.url` is missing", "spec.toml:15:25"],
    ] {
        assert_has(&report, parts);
    }
    assert_has(&report, &["9 problems in spec.toml"]);
}

#[test]
fn problems_of_the_spec_are_not_reported_again_for_each_value() {
    let report =
        report_on(&format!("sede = 1\n{SPEC}seed = [1, 2, 3]\n\"layer.plugin\" = [\"ldl\", \"dense\"]\n"));
    assert_has(&report, &["no key `sede`", "1 problem in"]);
    let report = report_on(&format!(
        "{SPEC}\"environment.plugin\" = [\"worlds\", \"page\"]\n\"environment.url\" = [\"a:b\"]\n[cell]\nlayres = 1\n"
    ));
    assert_has(&report, &["no key `layres`", "1 problem in"]);
}

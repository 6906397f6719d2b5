//! What is said on the command line: as text where text is wanted, and what is wrong is reported for who said it.
use super::*;
use serde_json::json;

fn desk(text: &str) -> Desk {
    let desk = Desk::new();
    desk.file("spec.toml", text);
    desk
}

const WORLDS: &str = "seed = 1\n[environment]\nplugin = \"worlds\"\n";

#[test]
fn where_text_is_wanted_the_words_are_the_value() {
    let desk = desk(WORLDS);
    for word in
        ["2024", "true", "1e5", "1_000", "0x10", "inf", "nan", "99999999999999999999", "2024-01-01", "-"]
    {
        let label = |spec: Spec| spec.choice(Kind::Trainer).options["label"].clone();
        let set = format!("trainer.label={word}");
        assert_eq!(label(desk.load("spec.toml", &[&set], &[]).unwrap()), word);
        let variable = [("EFFERENCE_TRAINER__LABEL", word)];
        assert_eq!(label(desk.load("spec.toml", &[], &variable).unwrap()), word);
        let table = format!("trainer={{label = {word}}}");
        // What is no TOML is no table.
        if word != "-" {
            assert_eq!(label(desk.load("spec.toml", &[&table], &[]).unwrap()), word);
        }
    }
    for name in ["2024", "true", "1e5", "2024-01-01"] {
        assert_eq!(desk.load("spec.toml", &[&format!("name={name}")], &[]).unwrap().name, name);
        assert_eq!(desk.load("spec.toml", &[], &[("EFFERENCE_NAME", name)]).unwrap().name, name);
    }
    assert_eq!(desk.load("spec.toml", &["name=\"2024\""], &[]).unwrap().name, "2024");
    // A list is a list; in one, items of text are.
    let report = desk.report("spec.toml", &["name=[1]"], &[]);
    assert_has(&report, &["--set name=[1]: `name`: expected text (or \"none\"), found a list"]);
    let spec = desk.load("spec.toml", &["plugins.path=[\"a\", 2024, true]"], &[]).unwrap();
    let ends: Vec<_> =
        spec.plugin_settings.path.iter().map(|path| path.rsplit('/').next().unwrap()).collect();
    assert_eq!(ends, ["a", "2024", "true"]);
}

#[test]
fn where_a_number_is_wanted_the_words_are_a_number_or_wrong() {
    let desk = desk(WORLDS);
    let spec = desk.load("spec.toml", &["seed=2_024", "state.size=64", "checkpoint.keep=3"], &[]).unwrap();
    assert_eq!(spec.seed, 2024);
    let report = desk.report("spec.toml", &["seed=inf", "steps=1e3", "threads=99999999999999999999"], &[]);
    assert_has(&report, &["--set seed=inf: `seed` must be a finite number"]);
    assert_has(&report, &["--set threads=99999999999999999999: `threads` can't be a number beyond 64 bits"]);
    assert_has(&report, &["--set steps=1e3: `steps`: expected a whole number", "steps = 1000", "3 problems"]);
}

#[test]
fn lists_of_a_sweep_are_of_what_their_keys_take() {
    let desk = desk(WORLDS);
    let points = |set: &str| {
        let spec = desk.load("spec.toml", &[set], &[]).unwrap_or_else(|e| panic!("{}", desk.plain(&e)));
        spec.sweep
            .iter()
            .flat_map(|axis| axis.points.iter().map(|point| point.label.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(points("sweep.\"trainer.label\"=[1, true, 1e5]"), ["1", "true", "1e5"]);
    assert_eq!(points("sweep.trainer.label=[2024-01-01, \"x\"]"), ["2024-01-01", "x"]);
    assert_eq!(points("sweep={\"trainer.label\" = [1], seed = [1, 2]}"), ["1", "2", "1"]);
    assert_eq!(points("sweep.paired=[{\"trainer.label\" = [7, 8], seed = [1, 2]}]").len(), 2);
    assert_eq!(points("sweep.variants={a = {\"trainer.label\" = 7}, b = {seed = 7}}"), ["a", "b"]);
    // In a file, a number is written as a number.
    let desk = self::desk(&format!("{WORLDS}[sweep]\n\"trainer.label\" = [1, 2]\n"));
    assert_has(&desk.report("spec.toml", &[], &[]), &["expected text", "put it in quotes"]);
}

#[test]
fn options_of_a_plugin_that_the_words_name_are_known_too() {
    let desk = desk("seed = 1\n");
    let spec = desk.load("spec.toml", &["trainer.label=7", "environment.plugin=worlds"], &[]).unwrap();
    assert_eq!(spec.choice(Kind::Trainer).options["label"], json!("7"));
    let report = desk.report("spec.toml", &["environment.plugin=3"], &[]);
    assert_has(&report, &["--set environment.plugin=3: there is no environment plugin `3`"]);
}

#[test]
fn a_table_in_place_of_a_value_is_reported_for_who_says_it() {
    let desk = desk(WORLDS);
    for (sets, variables, who) in [
        (&["seed.x=1"][..], &[][..], "--set seed.x=1: `seed`: expected a whole number, found a table"),
        (
            &[],
            &[("EFFERENCE_SEED__X", "1")],
            "EFFERENCE_SEED__X: `seed`: expected a whole number, found a table",
        ),
        (
            &["environment.plugin.x=1"],
            &[],
            "--set environment.plugin.x=1: `environment.plugin`: expected text",
        ),
        (&["trainer=5"], &[], "--set trainer=5: `trainer`: expected a table, found 5"),
    ] {
        let report = desk.report("spec.toml", sets, variables);
        assert_has(&report, &[who, "1 problem"]);
        assert!(!report.contains("spec.toml:"), "{report}");
    }
    desk.file("above.toml", "extends = \"spec.toml\"\nseed.x = 1\n");
    assert_has(&desk.report("above.toml", &[], &[]), &["`seed`: expected a whole number", "above.toml:2:1"]);
    desk.file("under.toml", "extends = \"above.toml\"\nseed = 3\n");
    assert!(desk.load("under.toml", &[], &[]).is_ok());
    desk.file("swept.toml", format!("{WORLDS}[sweep.variants.a]\n\"seed.x\" = 1\n"));
    assert_has(&desk.report("swept.toml", &[], &[]), &["`seed`: expected a whole number", "swept.toml:5:"]);
}

#[test]
fn settings_without_effect_are_noted() {
    let desk = desk(&format!(
        "{WORLDS}[checkpoint]\nbest_is = \"lowest\"\n[evaluation]\nepisodes = 5\n[plugins]\npath = [\"gone\"]\n"
    ));
    let notes = desk.plain(&desk.load("spec.toml", &[], &[]).unwrap().notes);
    assert_has(&notes, &["`checkpoint.best_is` has no effect without `checkpoint.best`", "spec.toml:5:1"]);
    assert_has(&notes, &["`evaluation.episodes` has no effect without `evaluation.every`", "spec.toml:7:1"]);
    assert_has(
        &notes,
        &["`plugins.path[0]`: `gone` is not there, and no plugin is taken from it", "spec.toml:9:9"],
    );
    assert_has(&notes, &["3 notes on spec.toml"]);
    // Who misses a plugin gets them as well.
    let report = desk.report("spec.toml", &["layer.plugin=nowhere"], &[]);
    assert_has(
        &report,
        &["`gone` is not there", "there is no layer plugin `nowhere`", "1 problem in spec.toml"],
    );
    let sets = ["checkpoint.best=error", "evaluation.every=10", "plugins.path=[]"];
    assert!(desk.load("spec.toml", &sets, &[]).unwrap().notes.is_empty());
}

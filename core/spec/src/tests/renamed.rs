//! Old names of keys.
use super::*;
use crate::{KeyPath, Origin, read};
use serde_json::json;

const START: &str = "seed = 1\n[environment]\nplugin = \"worlds\"\n";

fn length(spec: &Spec) -> serde_json::Value {
    spec.choice(Kind::Trainer).options["unroll_length"].clone()
}

#[test]
fn an_old_name_is_read_as_the_new_one_with_a_warning_where_it_stands() {
    let desk = Desk::new();
    desk.file("spec.toml", format!("{START}[trainer]\nunrolls = 3\n"));
    let spec = desk.load("spec.toml", &[], &[]).unwrap();
    assert_eq!(length(&spec), json!(3));
    assert!(spec.choice(Kind::Trainer).options.get("unrolls").is_none());
    let origin = spec.origins.get(&KeyPath::of(&["trainer", "unroll_length"])).map(Origin::to_string);
    assert!(origin.as_ref().is_some_and(|origin| origin.ends_with("/spec.toml:5")), "{origin:?}");
    let notes = desk.plain(&spec.notes);
    assert_has(
        &notes,
        &[
            "`trainer.unrolls` is the old name of `trainer.unroll_length`, which was set",
            "spec.toml:5:1",
            "unrolls = 3",
            "help: write `trainer.unroll_length`: the old name may go",
        ],
    );
    // By its new name there is nothing to be said.
    desk.file("spec.toml", format!("{START}[trainer]\nunroll_length = 3\n"));
    assert!(desk.load("spec.toml", &[], &[]).unwrap().notes.is_empty());
}

#[test]
fn what_is_said_later_wins_whatever_it_is_called() {
    let desk = Desk::new();
    desk.file("base.toml", format!("{START}[trainer]\nunrolls = 3\n"));
    desk.file("spec.toml", "extends = \"base.toml\"\n[trainer]\nunroll_length = 4\n");
    assert_eq!(length(&desk.load("spec.toml", &[], &[]).unwrap()), json!(4));
    let spec = desk.load("spec.toml", &["trainer.unrolls=5"], &[]).unwrap();
    assert_eq!(length(&spec), json!(5));
    assert_has(&desk.plain(&spec.notes), &["--set trainer.unrolls=5"]);
    let spec = desk.load("spec.toml", &[], &[("EFFERENCE_TRAINER__UNROLLS", "6")]).unwrap();
    assert_eq!(length(&spec), json!(6));
    // Both in one place contradict each other.
    desk.file("spec.toml", format!("{START}[trainer]\nunrolls = 3\nunroll_length = 4\n"));
    assert_has(&desk.report("spec.toml", &[], &[]), &["there is no key `unrolls` in [trainer]"]);
}

#[test]
fn in_a_sweep_too() {
    let desk = Desk::new();
    for sweep in [
        "[sweep]\n\"trainer.unrolls\" = [7, 8]\n",
        "[sweep]\ntrainer.unrolls = [7, 8]\n",
        "[[sweep.paired]]\n\"trainer.unrolls\" = [7, 8]\nseed = [1, 2]\n",
        "[sweep.variants.a]\n\"trainer.unrolls\" = 7\n[sweep.variants.b]\ntrainer.unrolls = 8\n",
    ] {
        let file = desk.file("spec.toml", format!("{START}{sweep}"));
        let spec = desk.load("spec.toml", &[], &[]).unwrap_or_else(|e| panic!("{sweep}: {}", desk.plain(&e)));
        let notes = desk.plain(&spec.notes);
        let whole = read(&file, &[], std::iter::empty()).and_then(|parsed| parsed.members(&Declared));
        let lengths = whole.unwrap_or_else(|e| panic!("{sweep}: {}", desk.plain(&e)));
        let lengths: Vec<_> = lengths.members.iter().map(|member| length(&member.spec)).collect();
        assert_eq!(lengths, [json!(7), json!(8)], "{sweep}");
        assert_has(&notes, &["is the old name of"]);
    }
}

#[test]
fn of_a_plugin_that_only_a_variant_chooses() {
    let desk = Desk::new();
    let sweep = "[sweep.variants.ldl]\nlayer.plugin = \"ldl\"\n[sweep.variants.dense]\nlayer.plugin = \"dense\"\n\
                 layer.offset = false\n";
    let file = desk.file("spec.toml", format!("{START}[layer]\nplugin = \"ldl\"\n{sweep}"));
    let whole = read(&file, &[], std::iter::empty()).and_then(|parsed| parsed.members(&Declared));
    let whole = whole.unwrap_or_else(|e| panic!("{}", desk.plain(&e)));
    let biases = whole.members.iter().map(|member| &member.spec.choice(Kind::Layer).options["bias"]);
    assert_eq!(biases.collect::<Vec<_>>(), [&json!(true), &json!(false)]);
    assert_has(&desk.plain(&whole.spec.notes), &["`layer.offset` is the old name of `layer.bias`"]);
}

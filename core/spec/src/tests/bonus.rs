//! `[bonus]`: a section that a spec may go without.
use super::*;
use crate::{ChangeKind, read};
use serde_json::json;

const PLAIN: &str = "[environment]\nplugin = \"worlds\"\n";

fn with(more: &str) -> String {
    format!("{PLAIN}{more}")
}

#[test]
fn a_spec_without_one_does_not_have_the_section() {
    let desk = Desk::new();
    desk.file("spec.toml", PLAIN);
    let spec = desk.load("spec.toml", &[], &[]).unwrap();
    assert!(!spec.plugins.contains_key(&Section::Bonus) && spec.plugins.len() == Kind::ALL.len());
    assert_eq!(spec.tree().get("bonus"), None);
}

#[test]
fn a_bonus_has_its_options_and_is_written_and_read_again() {
    let desk = Desk::new();
    desk.file("spec.toml", with("[goal]\nl2 = 2\n[bonus]\nplugin = \"predict\"\n"));
    let spec = desk.load("spec.toml", &["bonus.l2=3"], &[]).unwrap();
    let bonus = &spec.plugins[&Section::Bonus];
    assert_eq!((bonus.plugin.as_str(), bonus.options["l2"].as_f64()), ("predict", Some(3.0)));
    assert_eq!(spec.choice(Kind::Goal).options["l2"].as_f64(), Some(2.0));
    desk.file("again.toml", spec.to_toml());
    assert_eq!(desk.load("again.toml", &[], &[]).unwrap().plugins, spec.plugins);
    let by_default = desk.load("spec.toml", &[], &[("EFFERENCE_BONUS__PLUGIN", "predict")]).unwrap();
    assert_eq!(by_default.plugins[&Section::Bonus].options["l2"], json!(1.0));
}

#[test]
fn none_takes_one_back_that_another_spec_says() {
    let desk = Desk::new();
    desk.file("plain.toml", PLAIN);
    desk.file("base.toml", with("[bonus]\nplugin = \"predict\"\nl2 = 3\n"));
    desk.file("spec.toml", "extends = \"base.toml\"\nname = \"plain\"\n[bonus]\nplugin = \"none\"\n");
    let plain = desk.load("plain.toml", &[], &[]).unwrap();
    for without in
        [desk.load("spec.toml", &[], &[]), desk.load("base.toml", &["bonus.plugin=none", "name=plain"], &[])]
    {
        let without = without.unwrap();
        assert_eq!((without.tree(), &without.plugins), (plain.tree(), &plain.plugins));
    }
}

#[test]
fn what_is_wrong_in_it_is_said_as_of_any_section() {
    for (text, parts) in [
        (
            "[bonus]\n",
            &["`bonus.plugin` is missing", "write `[bonus]`", "goal plugins that were found: predict"][..],
        ),
        ("[bonus]\nl2 = 1\n", &["`bonus.plugin` is missing"]),
        (
            "[bonus]\nplugin = \"predct\"\n",
            &["there is no goal plugin `predct`", "did you mean \"predict\"?"],
        ),
        (
            "[bonus]\nplugin = \"predict\"\nl3 = 1\n",
            &["there is no key `l3` in [bonus] (plugin `predict`)", "did you mean `l2`?"],
        ),
        ("[bonus]\nplugin = \"predict\"\nl2 = -1\n", &["`bonus.l2` must be at least 0, found -1"]),
        ("[bonus]\nplugn = \"predict\"\n", &["there is no key `plugn` in [bonus]", "did you mean `plugin`?"]),
        ("[bonsu]\nplugin = \"predict\"\n", &["there is no key `bonsu`", "did you mean `bonus`?"]),
    ] {
        assert_has(&report_on(&with(text)), parts);
    }
    let report = report_on(&format!("bonus = \"predict\"\n{PLAIN}"));
    assert_has(&report, &["`bonus`: expected a table", "write `[bonus]` on a line of its own"]);
}

#[test]
fn another_bonus_is_a_hard_change_and_its_options_are_soft_ones() {
    let desk = Desk::new();
    desk.file("spec.toml", PLAIN);
    desk.file("bonus.toml", with("[bonus]\nplugin = \"predict\"\n"));
    let load = |file: &str, sets: &[&str]| desk.load(file, &[&["name=x"], sets].concat(), &[]).unwrap();
    let said = |old: &Spec, new: &Spec| -> Vec<(String, ChangeKind)> {
        old.changes(new).iter().map(|change| (change.to_string(), change.kind)).collect()
    };
    let (without, one) = (load("spec.toml", &[]), load("bonus.toml", &[]));
    let plugin = ("bonus.plugin: – → \"predict\" (hard)".to_owned(), ChangeKind::Hard);
    let changes = said(&without, &one);
    assert!(changes.contains(&plugin), "{changes:?}");
    let option = said(&one, &load("bonus.toml", &["bonus.l2=2.5"]));
    assert_eq!(option, [("bonus.l2: 1.0 → 2.5 (soft)".to_owned(), ChangeKind::Soft)]);
}

#[test]
fn a_sweep_compares_with_none() {
    let desk = Desk::new();
    desk.file(
        "spec.toml",
        with("[sweep]\nseed = [1, 2]\n\"bonus.plugin\" = [\"none\", \"predict\"]\n\"bonus.l2\" = [1, 2]\n"),
    );
    let parsed = read(&desk.0.path().join("spec.toml"), &[], std::iter::empty()).unwrap();
    let all = parsed.members(&Declared).unwrap_or_else(|wrong| panic!("{}", desk.plain(&wrong)));
    // Without a bonus its option makes no difference.
    assert_eq!((all.members.len(), all.same.len()), (6, 2));
    let with = all.members.iter().filter(|member| member.spec.plugins.contains_key(&Section::Bonus)).count();
    assert_eq!(with, 4);
}

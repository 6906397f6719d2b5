//! Typos, values of a wrong type and values out of range: one of each in every section.
use super::*;

/// A spec in which all is well but the line that the test puts in place of a good one.
const GOOD: &str = r#"name = "good"
seed = 1
steps = 20_000
device = "cpu"
threads = 2
[environment]
plugin = "worlds"
world = "catch"
[state]
size = 64
[layer]
plugin = "ldl"
radix = 16
[cell]
plugin = "mgu"
layers = 2
[trainer]
plugin = "bptt"
unroll_length = 2
[trainer.synthetic_gradient]
learning_rate = 0.03
[goal]
plugin = "predict"
l2 = 0.5
[optimizer]
kind = "adam"
learning_rate = 0.001
[optimizer.groups.cell]
weight_decay = 0.01
[record]
every = 10
[checkpoint]
keep = 2
[plugins]
path = ["plugins"]
"#;

/// Puts `bad` in place of the line `good`, and asserts that the report is on that line and has these parts, in
/// this order, and that nothing else is reported.
#[track_caller]
fn assert_report(good: &str, bad: &str, parts: &[&str]) {
    let line = 1 + GOOD.lines().position(|line| line == good).expect("the line is there");
    let report = report_on(&GOOD.replace(&format!("\n{good}\n"), &format!("\n{bad}\n")));
    let place = format!(",-[spec.toml:{line}:");
    assert_has(&report, parts);
    assert_has(&report, &[&place, &format!("{line} | {bad}"), "^"]);
    assert_has(&report, &["1 problem in spec.toml"]);
}

#[test]
fn a_spec_without_problems_is_loaded() {
    let desk = Desk::new();
    desk.file("spec.toml", GOOD);
    std::fs::create_dir(desk.0.path().join("plugins")).unwrap();
    let spec = desk.load("spec.toml", &[], &[]).unwrap();
    assert!(spec.notes.is_empty(), "{}", desk.plain(&spec.notes));
    assert_eq!(spec.choice(Kind::Layer).options["radix"], 16);
}

#[test]
fn a_typo_in_each_section_is_reported_with_the_key_that_was_meant() {
    for (good, bad, place, meant) in [
        ("seed = 1", "sed = 1", "at the top of a spec", "seed"),
        ("[environment]", "[enviroment]", "at the top of a spec", "environment"),
        ("[state]", "[stat]", "at the top of a spec", "state"),
        ("plugin = \"worlds\"", "plugn = \"worlds\"", "in [environment]", "plugin"),
        ("plugin = \"ldl\"", "pluign = \"ldl\"", "in [layer]", "plugin"),
        ("world = \"catch\"", "wrold = \"catch\"", "in [environment] (plugin `worlds`)", "world"),
        ("size = 64", "sizes = 64", "in [state]", "size"),
        ("radix = 16", "raddix = 16", "in [layer] (plugin `ldl`)", "radix"),
        ("layers = 2", "layer = 2", "in [cell] (plugin `mgu`)", "layers"),
        ("unroll_length = 2", "unrol_length = 2", "in [trainer] (plugin `bptt`)", "unroll_length"),
        (
            "learning_rate = 0.03",
            "learn_rate = 0.03",
            "in [trainer.synthetic_gradient] (plugin `bptt`)",
            "learning_rate",
        ),
        ("l2 = 0.5", "L2 = 0.5", "in [goal] (plugin `predict`)", "l2"),
        ("learning_rate = 0.001", "learning-rate = 0.001", "in [optimizer]", "learning_rate"),
        ("weight_decay = 0.01", "weight_dacey = 0.01", "in [optimizer.groups.cell]", "weight_decay"),
        ("every = 10", "evry = 10", "in [record]", "every"),
        ("keep = 2", "keeps = 2", "in [checkpoint]", "keep"),
        ("path = [\"plugins\"]", "paths = [\"plugins\"]", "in [plugins]", "path"),
    ] {
        let key = bad.trim_matches(['[', ']']).split(" = ").next().unwrap();
        let message = format!("there is no key `{key}` {place}");
        assert_report(good, bad, &[&message, "unknown key", &format!("help: did you mean `{meant}`?")]);
    }
}

#[test]
fn a_wrong_type_in_each_section_is_reported_with_the_right_one() {
    for (good, bad, message) in [
        ("seed = 1", "seed = \"one\"", "`seed`: expected a whole number, found the text \"one\""),
        ("steps = 20_000", "steps = true", "`steps`: expected a whole number (or \"none\"), found true"),
        ("device = \"cpu\"", "device = 0", "`device`: expected text, found 0"),
        ("threads = 2", "threads = 2.5", "`threads`: expected a whole number (or \"none\"), found 2.5"),
        ("plugin = \"worlds\"", "plugin = 3", "`environment.plugin`: expected text, found 3"),
        (
            "world = \"catch\"",
            "size = [\"a\"]",
            "`environment.size[0]`: expected a whole number, found the text \"a\"",
        ),
        ("size = 64", "size = [64]", "`state.size`: expected a whole number or \"auto\", found a list"),
        ("radix = 16", "radix = \"big\"", "`layer.radix`: expected a whole number, found the text \"big\""),
        ("radix = 16", "sharing = 1", "`layer.sharing`: expected \"axis\" or \"none\", found 1"),
        ("layers = 2", "layers = 2.0", "`cell.layers`: expected a whole number, found 2.0"),
        (
            "unroll_length = 2",
            "unroll_length = {}",
            "`trainer.unroll_length`: expected a whole number, found a table",
        ),
        (
            "learning_rate = 0.03",
            "learning_rate = \"x\"",
            "`trainer.synthetic_gradient.learning_rate`: expected a number, found the text \"x\"",
        ),
        ("l2 = 0.5", "l2 = false", "`goal.l2`: expected a number, found false"),
        (
            "kind = \"adam\"",
            "kind = \"adm\"",
            "`optimizer.kind`: expected \"adam\", \"adamw\", \"sgd\", \"rmsprop\", \"obgd\" or \"intentional\", found the text \"adm\"",
        ),
        (
            "weight_decay = 0.01",
            "weight_decay = []",
            "`optimizer.groups.cell.weight_decay`: expected a number (or \"none\"), found a list",
        ),
        (
            "every = 10",
            "tensorboard = \"yes\"",
            "`record.tensorboard`: expected true or false, found the text \"yes\"",
        ),
        (
            "keep = 2",
            "keep = 1e9",
            "`checkpoint.keep`: expected a whole number or \"all\", found 1000000000.0",
        ),
        (
            "path = [\"plugins\"]",
            "path = \"plugins\"",
            "`plugins.path`: expected a list of texts, found the text \"plugins\"",
        ),
    ] {
        assert_report(good, bad, &[message]);
    }
}

#[test]
fn a_number_out_of_its_range_is_reported_with_the_limit() {
    for (good, bad, message) in [
        ("seed = 1", "seed = -1", "`seed` must be at least 0, found -1"),
        ("steps = 20_000", "steps = 0", "`steps` must be at least 1, found 0"),
        ("size = 64", "size = 15", "`state.size` must be at least 16, found 15"),
        ("radix = 16", "radix = 65_537", "`layer.radix` must be at most 65_536, found 65537"),
        (
            "learning_rate = 0.03",
            "learning_rate = 0.0",
            "`trainer.synthetic_gradient.learning_rate` must be more than 0, found 0.0",
        ),
        ("learning_rate = 0.001", "beta1 = 1", "`optimizer.beta1` must be less than 1, found 1"),
        ("learning_rate = 0.001", "learning_rate = nan", "`optimizer.learning_rate` must be a finite number"),
        ("seed = 1", "seed = 99999999999999999999", "`seed` can't be a number beyond 64 bits"),
        ("world = \"catch\"", "world = 2024-01-01", "`environment.world` can't be a date"),
    ] {
        assert_report(good, bad, &[message]);
    }
}

#[test]
fn the_help_is_given_where_it_is_plain() {
    for (good, bad, help) in [
        ("radix = 16", "radix = \"16\"", "write it without quotes: radix = 16"),
        ("steps = 20_000", "steps = 2e4", "write it as a whole number: steps = 20_000"),
        ("every = 10", "tensorboard = \"false\"", "write it without quotes: tensorboard = false"),
        ("name = \"good\"", "name = 7", "put it in quotes: name = \"7\""),
        ("path = [\"plugins\"]", "path = \"plugins\"", "put it in brackets: path = [\"plugins\"]"),
        ("device = \"cpu\"", "device = \"gpu\"", "a GPU is \"cuda\""),
        ("device = \"cpu\"", "device = \"cuda:x\"", "did you mean \"cuda\"?"),
        ("seed = 1", "unroll_length = 1", "`unroll_length` is a key of [trainer]"),
        ("radix = 16", "steps = 100", "`steps` belongs to the top of the spec, before the first [section]"),
        ("keep = 2", "zzz = 2", "valid here: every, keep"),
        ("unroll_length = 2", "noise = \"none\"", "to go without, write noise.enabled = false"),
        ("every = 10", "every = 0", "every: Steps from one line of metrics to the next."),
        ("radix = 16", "sharing = \"axes\"", "did you mean \"axis\"?"),
    ] {
        let spec = format!("\n{GOOD}").replace(&format!("\n{good}\n"), &format!("\n{bad}\n"));
        assert_has(&report_on(&spec), &["help: ", help, "1 problem in"]);
    }
    let report = report_on("layer = \"dense\"\n[environment]\nplugin = \"worlds\"\n");
    assert_has(
        &report,
        &[
            "`layer`: expected a table, found the text \"dense\"",
            "spec.toml:1:9",
            "write `[layer]` on a line",
        ],
    );
}

#[test]
fn a_plugin_that_is_not_there_is_reported_with_those_that_are() {
    assert_report(
        "plugin = \"ldl\"",
        "plugin = \"ldll\"",
        &[
            "there is no layer plugin `ldll`",
            "did you mean \"ldl\"? layer plugins that were found: dense, ldl",
        ],
    );
    assert_report(
        "plugin = \"ldl\"",
        "plugin = \"sparse\"",
        &["there is no layer plugin `sparse`", "run `cargo build`"],
    );
    assert_report(
        "plugin = \"bptt\"",
        "plugin = \"eprop\"",
        &["there is no trainer plugin `eprop`", "help: trainer plugins that were found: bptt"],
    );
    assert_report(
        "plugin = \"worlds\"",
        "plugin = \"broken\"",
        &["the environment plugin `broken` can't be loaded: it was made for another libtorch"],
    );
    let report = report_on("[environment]\nworld = \"catch\"\n");
    assert_has(
        &report,
        &[
            "`environment.plugin` is missing",
            "spec.toml:1:2",
            "^^^^^^^^^^^",
            "environment plugins that were found: broken, page, worlds",
        ],
    );
    let report = report_on("[environment]\nplugin = \"page\"\n");
    assert_has(
        &report,
        &["`environment.url` is missing", "needs `url`", "`url` is text: The page to look at."],
    );
}

#[test]
fn a_plugin_refuses_what_its_schema_allows() {
    let refused =
        ["`environment.world`: there is no world 'cetch'", "refused by the environment plugin `worlds`"];
    assert_report("world = \"catch\"", "world = \"cetch\"", &refused);
    assert_report(
        "world = \"catch\"",
        "size = [-1]",
        &["`environment.size[0]` must be at least 0, found -1"],
    );
    let report = report_on("[environment]\nplugin = \"worlds\"\nsize = [5_000_000_000]\n");
    assert_has(&report, &["`environment.size[0]`: invalid value", "spec.toml:3:9"]);
}

#[test]
fn names_are_names_of_directories() {
    for (name, message) in [
        ("", "`name` is empty"),
        ("a/b", "`name` can't have '/' in it"),
        ("a b", "`name` can't have ' ' in it"),
        ("..", "`name` can't begin with a point or a dash"),
    ] {
        assert_has(
            &report_on(&format!("name = \"{name}\"\n[environment]\nplugin = \"worlds\"\n")),
            &[message, "spec.toml:1:8", "1 problem"],
        );
    }
}

#[test]
fn problems_within_lists_of_tables_are_on_their_lines() {
    let report = report_on(
        "[environment]\nplugin = \"worlds\"\n[[environment.ears]]\nleft = true\n[[environment.ears]]\nlft = true\nlowest = 0\n",
    );
    assert_has(&report, &["no key `lft` in [environment.ears[1]]", "spec.toml:6:1", "did you mean `left`?"]);
    assert_has(
        &report,
        &["`environment.ears[1].lowest` must be at least 1, found 0", "spec.toml:7:10", "2 problems"],
    );
}

#[test]
fn a_table_of_one_of_several_forms_is_checked_by_its_own() {
    let sees = |table: &str| {
        report_on(&format!(
            "[environment]\nplugin = \"page\"\nurl = \"x\"\n[[environment.sees]]\nkind = \"constant\"\n[[environment.sees]]\n{table}\n"
        ))
    };
    assert_has(
        &sees("kind = \"vewport\""),
        &[
            "`environment.sees[1].kind`: expected \"viewport\" or \"constant\", found the text \"vewport\"",
            "spec.toml:7:8",
            "did you mean \"viewport\"?",
            "1 problem",
        ],
    );
    // The constant has fewer keys that this table lacks, but is not what it says.
    let report = sees("kind = \"viewport\"\nshrnk = 2\nvalue = 3");
    assert_has(&report, &["no key `shrnk`", "spec.toml:8:1", "did you mean `shrink`?", "no key `value`"]);
    assert_has(
        &sees("kind = \"viewport\"\nshrink = 0"),
        &["`environment.sees[1].shrink` must be at least 1"],
    );
    assert_has(
        &sees("shrink = 2"),
        &["`environment.sees[1].kind` is missing", "`kind` is \"viewport\" or \"constant\""],
    );
    assert_has(&sees("kind = 3"), &["expected \"viewport\" or \"constant\", found 3"]);
}

#[test]
fn all_problems_are_reported_at_once_in_the_order_of_lines() {
    let report = report_on(
        "nam = \"x\"\n[environment]\nplugin = \"wolds\"\n[layer]\nplugin = \"ldl\"\nradix = 1\n[trainer]\nunroll_length = ten\nunrol = 3\n\
         [optimizer]\nkind = 1\n[nonsense]\n",
    );
    assert_has(
        &report,
        &[
            "there is no key `nam`",
            "spec.toml:1:1",
            "there is no environment plugin `wolds`",
            "spec.toml:3:10",
            "`layer.radix` must be at least 2",
            "spec.toml:6:9",
            "`ten` is no value of TOML",
            "spec.toml:8:17",
            "there is no key `unrol`",
            "spec.toml:9:1",
            "`optimizer.kind`: expected",
            "spec.toml:11:8",
            "there is no key `nonsense`",
            "spec.toml:12:2",
            "7 problems in spec.toml",
        ],
    );
}

#[test]
fn reports_have_colours_and_frames_where_they_are_asked_for() {
    let desk = Desk::new();
    desk.file("spec.toml", "sede = 1\n[environment]\nplugin = \"worlds\"\n");
    let diagnostics = desk.load("spec.toml", &[], &[]).unwrap_err();
    let plain = diagnostics.report(&ReportStyle::PLAIN);
    assert!(plain.is_ascii() && !plain.contains('\u{1b}'), "{plain}");
    let fancy = diagnostics.report(&ReportStyle { colour: true, unicode: true, width: 80 });
    assert!(fancy.contains("\u{1b}[31m") && fancy.contains('╭'), "{fancy}");
    let narrow = diagnostics.report(&ReportStyle { colour: false, unicode: false, width: 1 });
    assert_has(&narrow, &["did you mean `seed`?"]);
}

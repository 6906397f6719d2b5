//! Files that are not there, or are no specs, or extend others.
use super::*;
use crate::{OptionError, PluginRegistry};

#[test]
fn an_empty_file_is_reported_with_what_it_lacks() {
    for text in ["", "# only a comment\n", "\u{feff}"] {
        let parts = [
            "spec.toml: `environment.plugin` is missing",
            "write `[environment]`",
            "plugin = \"NAME\"",
            "worlds",
            "1 problem",
        ];
        assert_has(&report_on(text), &parts);
    }
}

#[test]
fn a_machine_without_plugins_is_reported_once() {
    struct Nothing;
    impl PluginRegistry for Nothing {
        fn names(&self, _: Kind) -> Vec<String> {
            Vec::new()
        }
        fn schema(&self, _: Kind, _: &str) -> Result<serde_json::Value, String> {
            unreachable!("there is no plugin")
        }
        fn check(&self, _: Kind, _: &str, _: &serde_json::Value) -> Result<(), OptionError> {
            unreachable!("there is no plugin")
        }
    }
    let desk = Desk::new();
    let path =
        desk.file("spec.toml", "seed = 1\n[environment]\nplugin = \"worlds\"\n[sweep]\nseed = [1, 2]\n");
    let report = desk.plain(&load(&path, &[], std::iter::empty(), &Nothing).unwrap_err());
    assert_has(
        &report,
        &["spec.toml: no plugin was found", "EFFERENCE_PLUGIN_PATH", "1 problem in spec.toml"],
    );
}

#[test]
fn a_file_that_is_not_there_is_reported_with_one_that_is() {
    let desk = Desk::new();
    desk.file("first-light.toml", "");
    desk.file("notes.txt", "");
    let report = desk.report("frist-light.toml", &[], &[]);
    assert_has(&report, &["there is no file `frist-light.toml`", "did you mean `first-light.toml`?"]);
    assert_has(
        &desk.report("first-light", &[], &[]),
        &["there is no file `first-light`", "did you mean `first-light.toml`?"],
    );
    assert_has(
        &desk.report("sub/x.toml", &[], &[]),
        &["there is no file", "there is no directory `sub` either"],
    );
    assert_has(&desk.report("notes.txt/x.toml", &[], &[]), &["there is no file `notes.txt/x.toml`"]);
}

#[test]
fn a_directory_is_reported_with_the_specs_in_it() {
    let desk = Desk::new();
    desk.file("experiments/b.toml", "");
    desk.file("experiments/a.toml", "");
    let report = desk.report("experiments", &[], &[]);
    assert_has(
        &report,
        &[
            "`experiments` is a directory, not a spec",
            "specs in it: `experiments/a.toml`, `experiments/b.toml`",
        ],
    );
}

#[test]
fn what_is_not_text_is_reported() {
    let desk = Desk::new();
    desk.file("zero.toml", b"seed = 1\n\x00");
    desk.file("latin.toml", b"\n\nname = \"caf\xe9\"");
    desk.file("elf.toml", std::fs::read("/proc/self/exe").unwrap());
    desk.file("large.toml", vec![b'#'; (4 << 20) + 1]);
    assert_has(
        &desk.report("zero.toml", &[], &[]),
        &["`zero.toml` is not text: there is a zero byte in line 2", "a spec is a TOML file"],
    );
    assert_has(
        &desk.report("latin.toml", &[], &[]),
        &["`latin.toml` is not text: the byte 0xE9 in line 3 is not UTF-8"],
    );
    assert_has(&desk.report("large.toml", &[], &[]), &["`large.toml` is no spec: it is larger than 4 MiB"]);
    assert!(desk.report("elf.toml", &[], &[]).contains("`elf.toml` is"));
}

#[test]
fn what_is_not_toml_is_reported_with_its_line() {
    for (text, parts) in [
        (
            "seed = 1\n[environment\nplugin = \"worlds\"\n",
            &["this is not TOML: unclosed table", "spec.toml:2:13", "^"][..],
        ),
        ("name = \"x", &["this is not TOML: invalid basic string", "spec.toml:1:10"]),
        (
            "[environment]\nplugin = worlds\n",
            &["`worlds` is no value of TOML", "spec.toml:2:10", "put it in quotes: \"worlds\"", "1 problem"],
        ),
        (
            "seed =\n[environment]\nplugin = \"worlds\"\n",
            &["a value is missing", "spec.toml:1:7", "1 problem"],
        ),
        (
            "seed = 1\nseed = 2\n[environment]\nplugin = \"worlds\"\n",
            &["`seed` is said twice", "spec.toml:2:1", "keep one of them"],
        ),
        (
            "\u{feff}seed = x\r\n[environment]\r\nplugin = 'worlds'\r\n",
            &["`x` is no value of TOML", "spec.toml:1:"],
        ),
        ("ünï = \"é", &["spec.toml:1:"]),
        (
            "seed = 01 # one\n[environment]\nplugin = 'worlds'\n",
            &["`01` is no value of TOML", "spec.toml:1:8", "unexpected leading zero", "1 problem"],
        ),
        (
            "steps = yes\nsede = 2\n[environment]\nplugin = 'worlds'\n",
            &["`yes` is no value of TOML", "no key `sede`", "2 problems"],
        ),
    ] {
        assert_has(&report_on(text), parts);
    }
}

#[test]
fn no_bytes_make_it_panic() {
    let seeds: [&[u8]; 3] = [
        b"[environment]\nplugin = \"worlds\"\nears = [{lowest = 1}, {}]\n",
        b"extends = [\"x\"]\n[sweep]\n\"a.b\" = [1]\n",
        b"a.b.c = {d = [[], 1.5e3]}\n",
    ];
    let desk = Desk::new();
    let mut state = 1_u32;
    let mut random = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    for round in 0..300 {
        let mut bytes = seeds[round % 3].to_vec();
        for _ in 0..1 + random(4) {
            let at = random(bytes.len().max(1));
            match random(3) {
                _ if bytes.is_empty() => bytes.push(b'['),
                0 => bytes[at] = b"\"'[]{}=.\n#,\xff\0e9"[random(15)],
                1 => drop(bytes.remove(at)),
                _ => bytes.truncate(at + 1),
            }
        }
        desk.file("spec.toml", &bytes);
        if let Err(diagnostics) = desk.load("spec.toml", &[], &[]) {
            assert!(!diagnostics.is_empty() && desk.plain(&diagnostics).contains("in spec.toml"));
        }
    }
}

#[test]
fn bases_are_merged_key_by_key_under_what_extends_them() {
    let desk = Desk::new();
    desk.file(
        "a.toml",
        "seed = 1\nsteps = 10\n[environment]\nplugin = \"worlds\"\nsize = [1, 2, 3]\nworld = \"catch\"\n",
    );
    desk.file("sub/b.toml", "extends = \"../a.toml\"\nseed = 2\n[environment]\nsize = [4]\n");
    desk.file("c.toml", "steps = 30\n[layer]\nplugin = \"dense\"\n");
    desk.file("spec.toml", "extends = [\"sub/b.toml\", \"c.toml\"]\nthreads = 3\n");
    let spec = desk.load("spec.toml", &[], &[]).unwrap();
    assert_eq!((spec.seed, spec.steps, spec.threads), (2, Some(30), Some(3)));
    assert_eq!(spec.choice(Kind::Environment).options["size"], serde_json::json!([4]));
    assert_eq!(spec.choice(Kind::Environment).options["world"], "catch");
    assert_eq!(spec.choice(Kind::Layer).plugin, "dense");
    assert_eq!(spec.name, "spec");
}

#[test]
fn problems_in_bases_are_reported_with_their_own_lines() {
    let desk = Desk::new();
    desk.file("base.toml", "# a base\n[layer]\nradx = 3\n");
    desk.file(
        "spec.toml",
        "extends = \"base.toml\"\n[environment]\nplugin = \"worlds\"\n[layer]\nbais = true\n",
    );
    let report = desk.report("spec.toml", &[], &[]);
    assert_has(
        &report,
        &["no key `bais`", "spec.toml:5:1", "no key `radx`", "base.toml:3:1", "2 problems in spec.toml"],
    );
}

#[test]
fn circles_and_missing_bases_are_reported_where_they_are_said() {
    let desk = Desk::new();
    desk.file("a.toml", "seed = 1\nextends = \"b.toml\"\n");
    desk.file("b.toml", "extends = [\"./a.toml\"]\n");
    desk.file("self.toml", "extends = \"self.toml\"\n");
    desk.file("lost.toml", "seed = 1\nextends = [\"c.toml\", 3]\n");
    desk.file("twice.toml", "extends = [\"ok.toml\", \"ok.toml\"]\n");
    desk.file("ok.toml", "[environment]\nplugin = \"worlds\"\n");
    assert_has(
        &desk.report("a.toml", &[], &[]),
        &["`a.toml` extends itself: a.toml → b.toml → ./a.toml", "b.toml:1:12", "take one `extends`"],
    );
    assert_has(&desk.report("self.toml", &[], &[]), &["`self.toml` extends itself", "self.toml:1:11"]);
    let lost = desk.report("lost.toml", &[], &[]);
    assert_has(&lost, &["there is no file `c.toml`", "lost.toml:2:12", "did you mean `a.toml`?"]);
    assert_has(&lost, &["`extends` must be the path of a spec", "lost.toml:2:22", "2 problems"]);
    assert!(desk.load("twice.toml", &[], &[]).is_ok(), "the same base by two ways is no circle");
}

//! `efference check`: what is wrong with a spec is reported with its place and the help.
use crate::program::{Answer, SMALL, Workplace};

/// Checks [`SMALL`] with one of its lines put in place of another; expects it to be bad. Returns the line's
/// number too.
#[track_caller]
fn changed(from: &str, to: &str) -> (Answer, usize) {
    assert_eq!(SMALL.matches(from).count(), 1, "{from}");
    let text = SMALL.replace(from, to);
    let last = to.lines().last().unwrap();
    let line = text.lines().position(|l| l == last).unwrap() + 1;
    let place = Workplace::new();
    place.write("small.toml", text);
    let answer = place.efference(&["check", "small.toml"]).expect(2);
    assert_eq!(answer.stdout, "", "{answer}");
    (answer, line)
}

/// One problem, in the line that was put in, with these texts.
#[track_caller]
fn diagnostic(from: &str, to: &str, texts: &[&str]) {
    let (answer, line) = changed(from, to);
    let answer = answer.says(&[&format!("small.toml:{line}:"), "^", "1 problem in small.toml"]);
    // The report is broken into lines; its words are compared.
    let words = |text: &str| text.split_whitespace().filter(|w| *w != "|").collect::<Vec<_>>().join(" ");
    let said = words(&answer.stderr);
    for text in texts {
        assert!(said.contains(text), "no '{text}' in {answer}");
    }
}

#[test]
fn a_trainer_that_the_cell_does_not_fit_is_found_before_the_run() {
    let place = Workplace::new();
    let plain = SMALL.replace("unroll_length = 1\nmerge = \"add\"\n", "");
    let rtrl = plain.replace("plugin = \"bptt\"", "plugin = \"rtrl\"");
    let mixed = SMALL.replace("plugin = \"mgu\"", "plugin = \"mingru\"");
    for (spec, said) in [
        (rtrl, "rtrl trains cells whose units do not see each other"),
        (mixed, "set merge = \"concat\" under [trainer]"),
    ] {
        place.write("small.toml", spec);
        let answer = place.efference(&["check", "small.toml"]).expect(2);
        let words = |text: &str| {
            text.split_whitespace().filter(|word| *word != "|" && *word != "│").collect::<Vec<_>>().join(" ")
        };
        assert!(words(&answer.stderr).contains(said), "{answer}");
    }
}

#[test]
fn a_typo_in_any_section_is_reported_with_the_key_that_was_meant() {
    diagnostic("seed = 3", "sead = 3", &["there is no key `sead`", "did you mean `seed`?"]);
    diagnostic("steps = 12", "step = 12", &["did you mean `steps`?"]);
    diagnostic("[environment]", "[enviroment]", &["did you mean `environment`?"]);
    diagnostic("world = \"bounce\"", "wrold = \"bounce\"", &["`wrold`", "did you mean `world`?"]);
    diagnostic("size = 64", "sise = 64", &["[state]", "did you mean `size`?"]);
    diagnostic("plugin = \"dense\"", "plugin = \"dense\"\nbais = true", &["[layer]", "did you mean `bias`?"]);
    diagnostic("plugin = \"mgu\"", "plugin = \"mgu\"\nlayer = 2", &["[cell]", "did you mean `layers`?"]);
    diagnostic("unroll_length = 1", "unroll_lenght = 1", &["[trainer]", "did you mean `unroll_length`?"]);
    diagnostic("merge = \"add\"", "merge = \"ad\"", &["\"concat\"", "did you mean \"add\"?"]);
    diagnostic(
        "merge = \"add\"",
        "synthetic_gradient.learning_rat = 0.1",
        &["[trainer.synthetic_gradient]", "did you mean `learning_rate`?"],
    );
    let to = "plugin = \"predict\"\nobservation_importence = 1.0";
    diagnostic("plugin = \"predict\"", to, &["[goal]", "did you mean `observation_importance`?"]);
    diagnostic("every = 1", "evry = 1", &["[record]", "did you mean `every`?"]);
    let section = |text: &str| format!("[record]\nevery = 1\n{text}");
    diagnostic(
        "[record]\nevery = 1",
        &section("[optimizer]\nlerning_rate = 1.0"),
        &["did you mean `learning_rate`?"],
    );
    diagnostic("[record]\nevery = 1", &section("[checkpoint]\nkep = 1"), &["did you mean `keep`?"]);
    diagnostic("[record]\nevery = 1", &section("[plugins]\npaths = []"), &["did you mean `path`?"]);
    let to = section("[optimizer.groups.cell]\nlearning_rat = 1.0");
    diagnostic("[record]\nevery = 1", &to, &["did you mean `learning_rate`?"]);
    let to = section("[sweep]\n\"trainer.unroll_lenght\" = [1, 2]");
    diagnostic("[record]\nevery = 1", &to, &["did you mean `unroll_length`?"]);
}

#[test]
fn a_value_of_the_wrong_type_is_reported_with_the_right_one() {
    diagnostic("seed = 3", "seed = \"three\"", &["`seed`: expected a whole number", "\"three\""]);
    diagnostic("steps = 12", "steps = 1.5", &["`steps`", "1.5"]);
    diagnostic("device = \"cpu\"", "device = \"gpu\"", &["`device`", "a GPU is \"cuda\""]);
    diagnostic("threads = 1", "threads = 0", &["`threads`", "1"]);
    diagnostic("size = 6\n", "size = \"6\"\n", &["`environment.size`: expected a whole number", "\"6\""]);
    diagnostic("world = \"bounce\"", "world = 3", &["`environment.world`", "\"catch\""]);
    diagnostic("size = 64", "size = [64]", &["`state.size`: expected a whole number"]);
    diagnostic("plugin = \"dense\"", "plugin = \"dense\"\nbias = 1", &["`layer.bias`", "true or false"]);
    diagnostic(
        "plugin = \"mgu\"",
        "plugin = \"mgu\"\nlayers = true",
        &["`cell.layers`: expected a whole number"],
    );
    diagnostic("unroll_length = 1", "unroll_length = 0", &["`trainer.unroll_length`", "1"]);
    diagnostic("merge = \"add\"", "merge = false", &["`trainer.merge`"]);
    diagnostic("merge = \"add\"", "synthetic_gradient = 3", &["`trainer.synthetic_gradient`", "table"]);
    let to = "plugin = \"predict\"\nobservation_importance = \"high\"";
    diagnostic("plugin = \"predict\"", to, &["`goal.observation_importance`: expected a number"]);
    diagnostic("every = 1", "every = -1", &["`record.every`"]);
    let section = |text: &str| format!("[record]\nevery = 1\n{text}");
    diagnostic(
        "[record]\nevery = 1",
        &section("[optimizer]\nlearning_rate = true"),
        &["`optimizer.learning_rate`"],
    );
    diagnostic("[record]\nevery = 1", &section("[checkpoint]\nkeep = \"some\""), &["`checkpoint.keep`"]);
    diagnostic(
        "[record]\nevery = 1",
        &section("[plugins]\nstdout = \"shout\""),
        &["`plugins.stdout`", "\"log\""],
    );
    diagnostic("[record]\nevery = 1", &section("[sweep]\nseed = 5"), &["`sweep.seed`"]);
}

#[test]
fn a_plugin_that_is_not_there_is_reported_with_those_that_are() {
    diagnostic(
        "plugin = \"dense\"",
        "plugin = \"dens\"",
        &["there is no layer plugin `dens`", "did you mean \"dense\"?", "ldl"],
    );
    diagnostic(
        "plugin = \"worlds\"",
        "plugin = \"atari\"",
        &["there is no environment plugin `atari`", "worlds"],
    );
    diagnostic("plugin = \"bptt\"", "plugin = \"bppt\"", &["did you mean \"bptt\"?"]);
    diagnostic("plugin = \"mgu\"", "plugin = \"lstm\"", &["there is no cell plugin `lstm`"]);
    diagnostic("plugin = \"predict\"", "plugin = \"predcit\"", &["did you mean \"predict\"?"]);
}

#[test]
fn all_problems_are_reported_at_once() {
    let place = Workplace::new();
    let text =
        SMALL.replace("seed = 3", "sead = 3").replace("size = 64", "size = 0").replace("\"mgu\"", "\"lstm\"");
    place.write("small.toml", text);
    let answer = place.efference(&["check", "small.toml"]).expect(2);
    answer.says(&["`sead`", "`state.size`", "`lstm`", "3 problems in small.toml"]);
}

#[test]
fn what_check_says_run_says_and_makes_no_run_of_it() {
    let place = Workplace::new();
    place.write("small.toml", SMALL.replace("seed = 3", "sead = 3"));
    let checked = place.efference(&["check", "small.toml"]).expect(2);
    let run = place.efference(&["run", "small.toml"]).expect(2);
    assert_eq!((run.stdout, run.stderr), (checked.stdout, checked.stderr));
    assert!(!place.path().join("runs").exists());
}

#[test]
fn what_is_no_spec_at_all_is_reported_plainly() {
    let place = Workplace::new();
    place.write("empty.toml", "");
    place.write("comment.toml", "# nothing but this\n");
    place.write("binary.toml", [0x7f, b'E', b'L', b'F', 0, 0xff, 0xfe, 0x80]);
    place.write("broken.toml", "name = \"x\"\n[environment\nplugin = 3\n");
    std::fs::create_dir(place.path().join("directory.toml")).unwrap();
    for (file, texts) in [
        ("empty.toml", &["empty.toml", "environment"][..]),
        ("comment.toml", &["comment.toml", "environment"]),
        ("binary.toml", &["binary.toml"]),
        ("broken.toml", &["broken.toml:2:"]),
        ("directory.toml", &["directory.toml", "directory"]),
        ("nowhere.toml", &["nowhere.toml", "there is no file"]),
    ] {
        for command in ["check", "run"] {
            let answer = place.efference(&[command, file]).expect(2);
            for text in texts {
                assert!(answer.stderr.to_lowercase().contains(text), "no '{text}' in {answer}");
            }
            assert!(!answer.stderr.contains('\u{fffd}') && !answer.stderr.contains('\0'), "{answer}");
        }
    }
    assert!(!place.path().join("runs").exists());
}

/// Options are remembered by the hash of the library's file: the second time, no engine is started.
#[test]
fn what_is_known_is_checked_without_the_engine() {
    let place = Workplace::new();
    place.write("small.toml", SMALL);
    let engines = |command: &mut std::process::Command| {
        // Whoever loads libtorch says so in its trace of the libraries that it needs.
        let answer = place.start(command.env("LD_DEBUG", "libs").env("XDG_CACHE_HOME", place.path())).wait();
        assert_eq!(answer.code, Some(0), "{answer}");
        assert!(answer.stdout.starts_with("small.toml is a good spec.\nparameters  "), "{answer}");
        answer.stderr.contains("libtorch_cpu.so")
    };
    let check = ["check", "small.toml"];
    assert!(engines(&mut place.command(&check)), "the first time, plugins are asked");
    assert!(!engines(&mut place.command(&check)));
    // Other options are other questions, once.
    let other = ["check", "small.toml", "--set", "trainer.unroll_length=3"];
    assert!(engines(&mut place.command(&other)));
    assert!(!engines(&mut place.command(&other)));
    // What is remembered is found to be damaged, and is made again.
    for file in std::fs::read_dir(place.path().join("efference/plugins")).unwrap() {
        std::fs::write(file.unwrap().path(), "{").unwrap();
    }
    assert!(engines(&mut place.command(&check)));
    assert!(!engines(&mut place.command(&check)));
}

#[test]
fn a_good_spec_is_good() {
    let place = Workplace::new();
    place.write("small.toml", SMALL);
    let answer = place.efference(&["check", "small.toml"]).expect(0);
    assert!(answer.stdout.starts_with("small.toml is a good spec.\nparameters  "), "{answer}");
    assert_eq!(answer.stderr, "");
}

/// The line of `check --explain` that sets `key`.
fn explained(place: &Workplace, arguments: &[&str], variables: &[(&str, &str)], key: &str) -> String {
    let mut command = place.command(&[&["check", "small.toml", "--explain"], arguments].concat());
    let answer = place.start(command.envs(variables.iter().copied())).wait().expect(0);
    let start = format!("{key} = ");
    let line = answer.stdout.lines().find(|line| line.starts_with(&start));
    line.unwrap_or_else(|| panic!("no {key} in {answer}")).to_owned()
}

#[test]
fn values_come_from_files_variables_and_the_command_line_in_this_order() {
    let place = Workplace::new();
    place.write("base/base.toml", SMALL);
    place.write("small.toml", "extends = \"base/base.toml\"\n[trainer]\nunroll_length = 4\n");
    let key = "unroll_length";
    let variable = [("EFFERENCE_TRAINER__UNROLL_LENGTH", "5")];
    let set = ["--set", "trainer.unroll_length=6"];
    let line = explained(&place, &[], &[], "seed");
    assert!(line.starts_with("seed = 3") && line.contains("base.toml"), "{line}");
    let line = explained(&place, &[], &[], key);
    assert!(line.starts_with("unroll_length = 4") && line.contains("small.toml:3"), "{line}");
    let line = explained(&place, &[], &variable, key);
    assert!(
        line.starts_with("unroll_length = 5") && line.contains("EFFERENCE_TRAINER__UNROLL_LENGTH"),
        "{line}"
    );
    let line = explained(&place, &set, &variable, key);
    assert!(line.starts_with("unroll_length = 6") && line.contains("--set"), "{line}");
}

#[test]
fn problems_on_the_command_line_and_in_variables_name_it() {
    let place = Workplace::new();
    place.write("small.toml", SMALL);
    let answer = place.efference(&["check", "small.toml", "--set", "trainer.unrol_length=2"]).expect(2);
    answer.says(&["--set trainer.unrol_length=2", "did you mean `unroll_length`?"]);
    place.efference(&["check", "small.toml", "--set", "seed"]).expect(2).says(&["--set seed", "`key=value`"]);
    let mut command = place.command(&["check", "small.toml"]);
    let answer = place.start(command.env("EFFERENCE_SEED", "many")).wait().expect(2);
    answer.says(&["EFFERENCE_SEED", "expected a whole number"]);
    place.write("small.toml", "extends = \"nowhere.toml\"\n");
    place.efference(&["check", "small.toml"]).expect(2).says(&["small.toml:1:", "nowhere.toml"]);
    place.efference(&["chekc", "small.toml"]).expect(2).says(&["check"]);
}

#[test]
fn a_swapped_layer_keeps_the_options_of_the_other_as_a_note() {
    let place = Workplace::new();
    place.write("small.toml", SMALL.replace("\"dense\"", "\"ldl\"\nradix = 8"));
    place.efference(&["check", "small.toml"]).expect(0);
    let answer = place.efference(&["check", "small.toml", "--set", "layer.plugin=dense"]).expect(0);
    answer.says(&["small.toml", "`layer.radix` is an option of `ldl`", "no effect"]);
}

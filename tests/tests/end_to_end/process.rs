//! The environment plugin `process` with its example in Python: a world outside of this process.
use crate::program::{Workplace, repository};
use std::process::Command;

/// A spec with the example as its world, if there is Python.
fn spec() -> Option<String> {
    let python = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    let Some(python) = python.ok().filter(|output| output.status.success()) else {
        eprintln!("SKIPPED: there is no python3");
        return None;
    };
    let python = String::from_utf8(python.stdout).unwrap();
    let example = repository().join("plugins/environments/process/examples/random_walk.py");
    Some(format!(
        r#"
name = "walk"
steps = 300
threads = 1
[environment]
plugin = "process"
command = [{:?}, {:?}]
[layer]
plugin = "dense"
[goal]
plugin = "maximize"
"#,
        python.trim(),
        example.display().to_string()
    ))
}

#[test]
fn a_spec_without_a_program_is_refused_before_it_runs() {
    let place = Workplace::new();
    place.write("walk.toml", "steps = 3\n[environment]\nplugin = \"process\"\n");
    place
        .efference(&["check", "walk.toml"])
        .expect(2)
        .says(&["command is empty: it must be the program to run"]);
}

#[test]
fn an_agent_acts_in_a_program_of_the_users() {
    let Some(spec) = spec() else { return };
    let place = Workplace::new();
    place.write("walk.toml", spec);
    place.efference(&["run", "walk.toml", "--set", "record.every=300"]).expect(0);
    let line = place.run("walk").metrics().pop().unwrap();
    let number = |name: &str| line[name].as_f64().unwrap_or_else(|| panic!("no {name} in {line}"));
    // Episodes end after 50 steps, or beyond ±1; all rewards are −1…1.
    assert!((2.0..=50.0).contains(&number("episode_length")), "{line}");
    assert!((-1.0..=1.0).contains(&number("reward")), "{line}");
    assert!(number("error").is_finite(), "{line}");
}

#[test]
fn it_goes_on_bit_for_bit_where_the_program_saves_its_state() {
    let Some(spec) = spec() else { return };
    let place = Workplace::new();
    place.write("walk.toml", spec);
    let answer = place.efference(&["verify-resume", "walk.toml", "--at", "60"]).expect(0);
    assert!(answer.stdout.contains("Equal, bit for bit"), "{answer}");
}

#[test]
fn a_program_that_dies_ends_the_run_with_its_last_words() {
    let place = Workplace::new();
    let spec = r#"
name = "dies"
[environment]
plugin = "process"
command = ["/bin/sh", "-c", "read greeting; echo '{\"efference\": 1, \"observation\": 1}'; echo farewell >&2; exit 7"]
[layer]
plugin = "dense"
[goal]
plugin = "predict"
"#;
    place.write("dies.toml", spec);
    let answer = place.efference(&["run", "dies.toml"]).expect(1);
    answer.says(&["environment 'process'", "the program has ended (exit status: 7)", "  | farewell"]);
    assert_eq!(place.run("dies").end()["plugin"], "environment 'process'");
}

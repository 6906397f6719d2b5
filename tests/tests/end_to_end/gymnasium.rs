//! The environment plugin `gymnasium` with real environments, where a Python has them.
use crate::program::Workplace;
use std::process::{Command, Stdio};

/// Names a Python that has Gymnasium; `cargo xtask test` makes one and sets it.
const VARIABLE: &str = "EFFERENCE_GYMNASIUM_PYTHON";

/// The whole path of such a Python, if there is one.
pub(crate) fn python() -> Option<String> {
    let python = std::env::var(VARIABLE).unwrap_or_else(|_| "python3".to_owned());
    let asked = Command::new(&python)
        .args(["-c", "import gymnasium, sys; print(sys.executable)"])
        .stderr(Stdio::null())
        .output();
    let Some(python) = asked.ok().filter(|output| output.status.success()) else {
        eprintln!("SKIPPED: '{python}' has no gymnasium; {VARIABLE} may name a Python that has");
        return None;
    };
    Some(String::from_utf8(python.stdout).unwrap().trim().to_owned())
}

/// A spec for CartPole-v1 with such a Python, by its whole path: the program is run with no PATH.
fn spec() -> Option<String> {
    let python = python()?;
    Some(format!(
        r#"
name = "cartpole"
steps = 400
threads = 1
[environment]
plugin = "gymnasium"
id = "CartPole-v1"
python = {:?}
[layer]
plugin = "dense"
[goal]
plugin = "maximize"
"#,
        python
    ))
}

#[test]
fn an_agent_acts_in_cartpole_and_its_episodes_are_recorded() {
    let Some(spec) = spec() else { return };
    let place = Workplace::new();
    place.write("cartpole.toml", spec);
    let answer = place.efference(&["run", "cartpole.toml", "--set", "record.every=400"]).expect(0);
    assert!(answer.stdout.contains("Can be resumed (exact)"), "{answer}");
    let line = place.run("cartpole").metrics().pop().unwrap();
    let number = |name: &str| line[name].as_f64().unwrap_or_else(|| panic!("no {name} in {line}"));
    // A reward of 1 a step, of which a first frame has none.
    assert!((8.0..=400.0).contains(&number("return")), "{line}");
    assert_eq!(number("episode_length"), number("return"), "{line}");
    assert_eq!(number("reward"), 1.0, "{line}");
}

#[test]
fn it_goes_on_bit_for_bit() {
    let Some(spec) = spec() else { return };
    let place = Workplace::new();
    place.write("cartpole.toml", spec);
    let sets = ["--set", "environment.streams=2", "--at", "60"];
    let arguments: Vec<_> = ["verify-resume", "cartpole.toml"].into_iter().chain(sets).collect();
    let answer = place.efference(&arguments).expect(0);
    assert!(answer.stdout.contains("Equal, bit for bit"), "{answer}");
}

#[test]
fn what_does_not_fit_is_refused_before_the_first_step() {
    let place = Workplace::new();
    let check = |spec: &str, sets: &[&str]| {
        place.write("cartpole.toml", spec);
        let arguments =
            ["check", "cartpole.toml"].into_iter().chain(sets.iter().flat_map(|set| ["--set", set]));
        place.efference(&arguments.collect::<Vec<_>>())
    };
    // These need no Python.
    let plain =
        "[environment]\nplugin = \"gymnasium\"\n[layer]\nplugin = \"dense\"\n[goal]\nplugin = \"maximize\"\n";
    let answer = check(plain, &[]);
    assert!(answer.code.is_some_and(|code| code != 0), "{answer}");
    answer.says(&["environment.id", "it must name an environment, such as id = \"CartPole-v1\""]);
    check(plain, &["environment.id=CartPole-v1", "environment.width=84"])
        .says(&["environment.height", "give both"]);
    let Some(spec) = spec() else { return };
    place.write("cartpole.toml", spec);
    let run = |sets: &[&str]| {
        let arguments =
            ["run", "cartpole.toml"].into_iter().chain(sets.iter().flat_map(|set| ["--set", set]));
        place.efference(&arguments.collect::<Vec<_>>())
    };
    run(&["environment.id=CartPol-v1"])
        .says(&["no environment 'CartPol-v1' is registered", "\"CartPole-v1\""]);
    run(&["environment.id=FrozenLake-v1", "state.size=16"])
        .says(&["`state.size` is 16: a stream observes 16 values and wants 4 actions"]);
}

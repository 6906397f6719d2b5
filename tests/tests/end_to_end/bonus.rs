//! `[bonus]`: what is recorded of it, what is refused, whose fault is whose, and what it is for.
use crate::program::{Answer, SMALL, Workplace, fixtures};

/// A diver finds the treasure in one of 2^`size` episodes of random play.
const SEA: &str = r#"
name = "sea"
device = "cpu"
threads = 1

[environment]
plugin = "worlds"
world = "deep_sea"
size = 8

[state]
size = 80

[layer]
plugin = "dense"

[goal]
plugin = "actor-critic"

[trainer]
plugin = "traces"

[optimizer]
learning_rate = 0.0003

[record]
every = 100
"#;

/// What this command says of [`SEA`] with these settings.
fn sea(command: &str, sets: &[&str]) -> (Workplace, Answer) {
    let place = Workplace::new();
    place.write("sea.toml", SEA);
    let mut arguments = vec![command, "sea.toml"];
    if command == "run" {
        arguments.extend(["--runs", "runs"]);
    }
    arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
    let answer = place.efference(&arguments);
    (place, answer)
}

#[test]
fn reward_and_return_are_the_environments_and_the_bonus_has_a_curve_of_its_own() {
    for (bonus, metric) in [("rnd", "predictor"), ("byol-explore", "predictor")] {
        let plugin = format!("bonus.plugin={bonus}");
        let evaluated = ["evaluation.every=500", "evaluation.episodes=2"];
        let (place, answer) = sea(
            "run",
            &[&[plugin.as_str(), "bonus.scale=50", "bonus.warm_up=50", "steps=1_000"], &evaluated[..]]
                .concat(),
        );
        answer.expect(0);
        let lines = place.run("sea").metrics();
        let mean = |name: &str| {
            let all: Vec<f64> = lines.iter().filter_map(|line| line[name].as_f64()).collect();
            assert!(!all.is_empty(), "{bonus}: no {name} in {:?}", lines.last());
            all.iter().sum::<f64>() / all.len() as f64
        };
        // The most that a frame can bring, without a bonus, is 1.
        assert!(mean("reward").abs() <= 1.0 && mean("return") <= 1.0 && mean("evaluation/return") <= 1.0);
        assert!(mean("bonus") > 1.0, "{bonus}: {}", mean("bonus"));
        assert!(mean("bonus/error") > 0.0 && mean(&format!("loss/bonus/{metric}")) > 0.0);
    }
}

#[test]
fn a_goal_is_no_bonus_and_a_bonus_no_goal_and_a_check_says_so() {
    let (_place, answer) = sea("check", &["goal.plugin=rnd"]);
    answer.expect(2).says(&[
        "--set goal.plugin=rnd: goal 'rnd' adds to the reward, and chooses no actions: name it under",
    ]);
    let (_place, answer) = sea("check", &["bonus.plugin=q-lambda", "goal.plugin=q-lambda"]);
    answer
        .expect(2)
        .says(&["--set bonus.plugin=q-lambda: goal 'q-lambda' is no bonus: name another plugin under"]);
    let (_place, answer) = sea("check", &["bonus.plugin=rnd", "bonus.widht=8"]);
    answer.expect(2).says(&["there is no key `widht` in [bonus] (plugin `rnd`)", "did you mean `width`?"]);
    let (_place, answer) = sea("check", &["bonus.plugin=rnd", "bonus.width=8"]);
    answer.expect(0);
}

#[test]
fn what_a_bonus_does_wrong_is_said_of_it_and_not_of_the_goal() {
    for (fault, text) in [
        ("panic", "what is the goal of all this"),
        ("nan_loss", "the loss term 'error' is NaN"),
        ("nan_bonus", "returned a bonus that is not finite"),
        ("wide_bonus", "returned a bonus of shape [2] for 1 rows"),
        ("keep_graph", "uses tensors of an earlier step with their graph"),
    ] {
        let place = Workplace::new();
        place.write("small.toml", SMALL);
        let sets = [
            format!("plugins.path=[{:?}]", fixtures().display().to_string()),
            "bonus.plugin=hostile".to_owned(),
            "bonus.bonus=true".to_owned(),
            format!("bonus.fault={fault}"),
            "bonus.step=3".to_owned(),
        ];
        let mut arguments = vec!["run", "small.toml", "--runs", "runs"];
        arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
        place.efference(&arguments).expect(1).says(&[text, "plugin: goal 'hostile'"]);
    }
}

#[test]
fn a_fork_may_add_a_bonus_to_what_was_learned_without() {
    let (place, answer) = sea("run", &["steps=300", "checkpoint.every=100", "checkpoint.keep=all"]);
    answer.expect(0);
    let run = place.run("sea");
    let of = run.path.display().to_string();
    let arguments = ["fork", &of, "--at", "200", "--runs", "forks", "--set", "bonus.plugin=rnd"];
    let answer = place.efference(&arguments).expect(0);
    // Its parameters are new, and nothing else is.
    assert!(answer.stderr.contains("'bonus.random.layer.0.weight' was not saved"), "{answer}");
    assert!(!answer.stderr.contains("goal: ") && !answer.stderr.contains("'goal."), "{answer}");
}

#[test]
fn provenance_and_explanations_know_it() {
    let (_place, answer) = sea("check", &["bonus.plugin=rnd"]);
    answer.expect(0);
    let place = Workplace::new();
    place.write("sea.toml", SEA);
    let answer = place.efference(&["check", "sea.toml", "--explain", "--set", "bonus.plugin=rnd"]).expect(0);
    assert!(answer.stdout.contains("[bonus]") && answer.stdout.contains("outputs"), "{answer}");
    place.efference(&["run", "sea.toml", "--set", "bonus.plugin=rnd", "--set", "steps=20"]).expect(0);
    let provenance = std::fs::read_to_string(place.run("sea").path.join("provenance.json")).unwrap();
    let provenance: serde_json::Value = serde_json::from_str(&provenance).unwrap();
    let plugins = provenance["plugins"].as_array().unwrap();
    let named = |kind: &str| plugins.iter().find(|p| p["kind"] == kind).unwrap()["name"].clone();
    assert_eq!((named("goal"), named("bonus")), ("actor-critic".into(), "rnd".into()));
}

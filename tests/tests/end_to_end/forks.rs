//! Forks of runs, runs done again, what differs between runs, and evaluations.
use crate::program::{Answer, SMALL, Workplace};
use efference_compare::Difference;
use efference_runs::directory::RunDirectory;
use serde_json::Value;

/// A run `a` of 40 steps with unrolls of 3, and checkpoints of steps 12 and 40.
fn parent() -> Workplace {
    let place = Workplace::new();
    place.write("small.toml", SMALL);
    let sets = ["steps=12", "trainer.unroll_length=3", "record.every=7", "checkpoint.keep=all"];
    let mut arguments = vec!["run", "small.toml", "--id", "a"];
    arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
    place.efference(&arguments).expect(0);
    place.efference(&["resume", "runs/small/a", "--steps", "40"]).expect(0);
    place
}

fn open(place: &Workplace, id: &str) -> RunDirectory {
    RunDirectory::open(&place.path().join("runs/small").join(id)).unwrap()
}

#[track_caller]
fn fork(place: &Workplace, more: &[&str]) -> Answer {
    place.efference(&[&["fork", "runs/small/a"], more].concat())
}

#[test]
fn a_fork_without_a_change_does_what_its_parent_did() {
    let place = parent();
    for (at, begins) in [(12, 12), (13, 15), (31, 33)] {
        let id = format!("at-{at}");
        let answer = fork(&place, &["--at", &at.to_string(), "--id", &id]).expect(0);
        assert!(answer.stdout.contains(&format!("Going on after step {begins} (exact)")), "{answer}");
        let (parent, fork) = (open(&place, "a"), open(&place, &id));
        let difference = Difference::of(&parent, &fork).unwrap();
        assert_eq!((&difference.fingerprint, &difference.metric), (&None, &None), "at {at}");
        assert_eq!(difference.steps, Some(40 - begins as usize));
        let descent = fork.provenance().unwrap().descent.unwrap();
        assert_eq!((descent.step, descent.run), (begins, parent.path().to_owned()));
    }
    let answer = place.efference(&["diff", "runs/small/a", "runs/small/at-31"]).expect(0);
    assert!(answer.stdout.contains("Specs: the same."), "{answer}");
    assert!(answer.stdout.contains("the same, bit for bit, by 7 fingerprints"), "{answer}");
}

#[test]
fn a_change_shows_in_the_first_update_after_the_fork_and_what_fits_is_taken() {
    let place = parent();
    let set = ["--set", "optimizer.learning_rate=0.01", "--id", "rate"];
    fork(&place, &[&["--at", "12"], &set[..]].concat()).expect(0);
    let answer = place.efference(&["diff", "runs/small/a", "runs/small/rate"]).expect(1);
    for says in ["optimizer.learning_rate: 0.001 → 0.01\n", "they part in step 15", "parameters of cell"] {
        assert!(answer.stdout.contains(says), "{says}: {answer}");
    }
    let larger = ["--set", "state.size=80", "--steps", "50", "--id", "larger"];
    let answer = fork(&place, &larger).expect(0);
    answer.says(&[
        "state.size: 64 → 80 (hard)",
        "not taken over from the other run: parameters: 'synthetic_gradient.",
    ]);
    // A fork can be resumed from its first step on.
    place.efference(&["resume", "runs/small/larger", "--steps", "60"]).expect(0);

    fork(&place, &["--at", "41"]).expect(1).says(&["has done 40 steps, and cannot be forked at step 41"]);
    let answer = fork(&place, &["--at", "39", "--steps", "39"]).expect(1);
    answer.says(&["would have done its 39 steps already", "--set steps=78"]);
}

#[test]
fn a_run_done_again_is_the_same_and_says_what_is_different_today() {
    let place = parent();
    let answer = place.efference(&["rerun", "runs/small/a", "--id", "again"]).expect(0);
    answer.says(&["nothing that is recorded of the run is different today"]);
    place.efference(&["diff", "runs/small/a", "runs/small/again"]).expect(0);
    let provenance = place.path().join("runs/small/a/provenance.json");
    let text = std::fs::read_to_string(&provenance).unwrap();
    std::fs::write(&provenance, text.replace("\"libtorch\": \"2.", "\"libtorch\": \"1.")).unwrap();
    let answer = place.efference(&["rerun", "runs/small/a"]).expect(0);
    answer.says(&["different today: libtorch: 1."]);
}

const CONTROL: [&str; 5] = [
    "environment.world=catch",
    "environment.streams=3",
    "trainer.merge=concat",
    "steps=60",
    "record.every=10",
];

#[test]
fn an_evaluation_leaves_no_trace_in_what_is_learned() {
    let place = Workplace::new();
    place.write("small.toml", SMALL);
    // With a goal that samples its actions and normalises what it sees, and with one that does not.
    for (goal, more) in [("maximize", "goal.error_reward=0.1"), ("actor-critic", "goal.features=observation")]
    {
        let goal_set = format!("goal.plugin={goal}");
        let run = |every: &str| {
            let id = format!("{goal}-{every}");
            let every = format!("evaluation.every={every}");
            let sets = [&goal_set, more, &every, "evaluation.episodes=10"];
            let mut arguments = vec!["run", "small.toml", "--id", &id];
            arguments.extend(sets.iter().chain(&CONTROL).flat_map(|set| ["--set", set]));
            place.efference(&arguments).expect(0);
            open(&place, &id)
        };
        let (with, without) = (run("20"), run("0"));
        let difference = Difference::of(&with, &without).unwrap();
        assert_eq!((difference.fingerprint, difference.steps), (None, Some(60)), "{goal}");
        let text = std::fs::read_to_string(with.evaluations()).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let steps: Vec<_> = lines.iter().map(|line| line["step"].as_u64().unwrap()).collect();
        assert_eq!(steps, [20, 40, 60]);
        assert!(lines.iter().all(|line| line["returns"].as_array().unwrap().len() == 10), "exactly so many");
        let metrics = std::fs::read_to_string(with.path().join("metrics.jsonl")).unwrap();
        assert_eq!(metrics.matches("\"evaluation/return\"").count(), 3);
        let id = with.path().display().to_string();
        let answer = place.efference(&["evaluate", &id, "--episodes", "10", "--json"]).expect(0);
        let evaluated: Value = serde_json::from_str(&answer.stdout).unwrap();
        assert_eq!(evaluated["returns"], lines[2]["returns"], "the same episodes, by the same agent");
    }
}

#[test]
fn an_environment_without_episodes_is_not_evaluated_and_goes_on() {
    let place = Workplace::new();
    place.write("small.toml", SMALL);
    let answer =
        place.efference(&["run", "small.toml", "--set", "evaluation.every=5", "--id", "a"]).expect(0);
    answer.says(&["has no episodes", "[evaluation]"]);
    place.efference(&["evaluate", "runs/small/a"]).expect(1).says(&["has no episodes"]);
}

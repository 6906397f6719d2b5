//! Streams that come, sit out and end.
use crate::program::{Workplace, fixtures, small_in};
use serde_json::Value;

/// How many streams are live in each of the polls of the fixture's timetable.
const ACTIVE: [u64; 12] = [1, 2, 1, 3, 2, 3, 3, 2, 2, 2, 1, 1];

fn run(more: &[&str]) -> (Workplace, Vec<Value>) {
    let place = Workplace::new();
    place.write("small.toml", small_in("visitors"));
    let path = format!("plugins.path=[{:?}]", fixtures().display().to_string());
    let mut arguments = vec!["run", "small.toml", "--set", &path];
    arguments.extend(more.iter().flat_map(|set| ["--set", set]));
    let answer = place.efference(&arguments).expect(0);
    assert!(answer.stdout.contains("Finished after "), "{answer}");
    let metrics = place.run("small").metrics();
    (place, metrics)
}

#[test]
fn streams_come_sit_out_and_end() {
    for unroll in [1, 2, 5] {
        for goal in ["predict", "maximize"] {
            let unroll = format!("trainer.unroll_length={unroll}");
            let (_place, metrics) = run(&["steps=36", &unroll, &format!("goal.plugin={goal}")]);
            let active: Vec<_> =
                metrics.iter().map(|line| line["streams"].as_f64().unwrap() as u64).collect();
            assert_eq!(active, ACTIVE.repeat(3), "{unroll}, {goal}");
            // Only stream 1 has a reward, in the steps in which it is active.
            for (line, poll) in metrics.iter().zip((0..12).cycle()) {
                let reward = [1, 3, 5, 6].contains(&poll).then_some(0.5);
                assert_eq!(line.get("reward").and_then(Value::as_f64), reward, "{line}");
                assert!(line["loss"].as_f64().is_some_and(f64::is_finite), "{line}");
            }
        }
    }
}

#[test]
fn an_environment_that_is_over_finishes_the_run() {
    let (place, metrics) = run(&["steps=1000", "environment.polls=17"]);
    assert_eq!(metrics.len(), 17);
    let end = place.run("small").end();
    assert_eq!((&end["how"], &end["step"]), (&"finished".into(), &17.into()), "{end}");
}

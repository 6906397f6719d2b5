//! Ctrl-C.
use crate::program::{Run, Started, Workplace, fixtures, small_in};
use rustix::process::{Signal, kill_process};
use std::time::Instant;

/// Steps before the polls take their time.
const QUICK: usize = 3;

/// Starts a run without an end in an environment whose polls take this long, and waits for its first lines.
fn endless(place: &Workplace, milliseconds: u32) -> Started {
    place.write("small.toml", small_in("visitors"));
    let sets = [
        format!("plugins.path=[{:?}]", fixtures().display().to_string()),
        format!("environment.milliseconds={milliseconds}"),
        format!("environment.quick={QUICK}"),
        "steps=1000000000".to_owned(),
        "record.console_every_seconds=0.01".to_owned(),
    ];
    let mut arguments = vec!["run", "small.toml"];
    arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
    let mut started = place.start(&mut place.command(&arguments));
    started.until(|| {
        let runs = place.runs("small");
        let lines = |run: &Run| {
            std::fs::read_to_string(run.path.join("metrics.jsonl")).map_or(0, |t| t.lines().count())
        };
        runs.first().is_some_and(|run| lines(run) >= QUICK)
    });
    started
}

#[test]
fn ctrl_c_ends_the_run_after_its_step() {
    for signal in [Signal::INT, Signal::TERM] {
        let place = Workplace::new();
        let started = endless(&place, 5);
        let run = place.run("small");
        kill_process(started.process(), signal).unwrap();
        let answer = started.wait().expect(130);
        assert!(answer.stdout.contains("Stopped after "), "{answer}");
        assert_eq!(answer.stderr, "stopping after this step; again: at once\n", "{answer}");
        let (end, lines) = (run.end(), run.metrics());
        assert_eq!(end["how"], "stopped", "{end}");
        assert_eq!(end["step"], lines.last().unwrap()["step"], "every step that was made is recorded");
        assert_eq!(
            run.names("checkpoints").len(),
            2,
            "it can be gone on with: {:?}",
            run.names("checkpoints")
        );
    }
}

#[test]
fn a_second_ctrl_c_ends_it_at_once() {
    let place = Workplace::new();
    // The environment sleeps for a minute: the first signal has to wait for it.
    let started = endless(&place, 60_000);
    let began = Instant::now();
    kill_process(started.process(), Signal::INT).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(100));
    kill_process(started.process(), Signal::INT).unwrap();
    let answer = started.wait();
    assert_eq!(answer.code, Some(130), "{answer}");
    assert!(began.elapsed().as_secs() < 5, "took {:?}", began.elapsed());
    let end = place.run("small").end();
    assert_eq!((&end["how"], &end["step"]), (&"stopped".into(), &QUICK.into()), "{answer}");
    assert!(answer.stderr.contains("stopped at once, in step 3"), "{answer}");
}

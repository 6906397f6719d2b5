//! Sweeps: killed, stopped, edited, failed and gone on with.
use crate::program::{Run, SMALL, Started, Workplace, fixtures, small_in};
use rustix::process::{Signal, kill_process};
use std::collections::BTreeSet;

/// Steps of a member.
const STEPS: u64 = 150;

/// A sweep of three members whose steps take 20 ms each, in an environment without an end.
fn slow() -> String {
    small_in("visitors").replace("steps = 12", &format!("steps = {STEPS}"))
        + &format!(
            "[plugins]\npath = [{:?}]\n[sweep]\nseed = {{ from = 1, to = 3 }}\n",
            fixtures().display().to_string()
        )
}

/// The arguments of a sweep of [`slow`], which is `slow.toml`.
const SLOW: [&str; 6] = ["sweep", "slow.toml", "--jobs", "2", "--set", "environment.milliseconds=20"];

/// The runs of the members of a sweep.
fn members(place: &Workplace, name: &str) -> Vec<Run> {
    let mut runs = place.runs(name);
    runs.retain(|run| !run.path.ends_with("sweep"));
    runs
}

fn lines(run: &Run) -> usize {
    std::fs::read_to_string(run.path.join("metrics.jsonl")).map_or(0, |text| text.lines().count())
}

/// Starts a sweep of [`slow`], and waits until two of its members make steps.
fn started(place: &Workplace) -> Started {
    place.write("slow.toml", slow());
    let mut sweep = place.start(&mut place.command(&SLOW));
    sweep.until(|| members(place, "small").iter().filter(|run| lines(run) >= 3).count() == 2);
    sweep
}

/// Asserts that the sweep has these members, each finished, with one line for each step.
#[track_caller]
fn assert_all_finished(place: &Workplace, name: &str, count: usize, steps: u64) {
    let runs = members(place, name);
    assert_eq!(runs.len(), count);
    for run in runs {
        assert_eq!(run.end()["how"], "finished", "{}", run.path.display());
        let made: Vec<u64> = run.metrics().iter().map(|line| line["step"].as_u64().unwrap()).collect();
        assert_eq!(made, (1..=steps).collect::<Vec<_>>(), "{}", run.path.display());
    }
}

#[test]
fn a_sweep_that_was_killed_goes_on_and_finishes_each_member_once() {
    let place = Workplace::new();
    let sweep = started(&place);
    kill_process(sweep.process(), Signal::KILL).unwrap();
    assert_eq!(sweep.wait().code, None, "it was killed");
    // At once: its children have no time to end before.
    let answer = place.efference(&SLOW).expect(0);
    assert!(answer.stdout.contains("3 members are done"), "{answer}");
    assert_all_finished(&place, "small", 3, STEPS);
    // What is done is not done again.
    let answer = place.efference(&SLOW).expect(0);
    assert!(!answer.stdout.contains("started"), "{answer}");
    assert_all_finished(&place, "small", 3, STEPS);
}

#[test]
fn ctrl_c_stops_a_sweep_with_its_members_and_the_same_command_goes_on() {
    let place = Workplace::new();
    let sweep = started(&place);
    // A second sweep keeps out.
    place.efference(&SLOW).expect(1).says(&["another `efference sweep` is at work on runs/small"]);
    kill_process(sweep.process(), Signal::INT).unwrap();
    let answer = sweep.wait().expect(130);
    assert!(answer.stdout.contains("Stopped. The same command goes on."), "{answer}");
    let stopped = members(&place, "small");
    assert_eq!(stopped.len(), 2);
    for run in stopped {
        let end = run.end();
        assert_eq!((&end["how"], end["step"].as_u64()), (&"stopped".into(), Some(lines(&run) as u64)));
    }
    place.efference(&SLOW).expect(0);
    assert_all_finished(&place, "small", 3, STEPS);
}

#[test]
fn one_failure_does_not_sink_the_rest() {
    let place = Workplace::new();
    let variants = format!(
        "[plugins]\npath = [{:?}]\n[sweep.variants.bad]\nlayer.plugin = \"hostile\"\nlayer.fault = \"error\"\nlayer.step = 3\n\
         [sweep.variants.good]\n",
        fixtures().display().to_string()
    );
    place.write("small.toml", SMALL.to_owned() + &variants);
    let failing: &[&str] = &["bad_", " failed: ", "layer 'hostile'", "`--retry` begins what failed anew"];
    let answer = place.efference(&["sweep", "small.toml"]).expect(1).says(failing);
    assert!(answer.stdout.contains("1 members are done"), "{answer}");
    let ends = |place: &Workplace| -> Vec<String> {
        members(place, "small").iter().map(|run| run.end()["how"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ends(&place), ["failed", "finished"]);
    // Again: it is not run again, but said again. With --retry it is run again.
    let answer = place.efference(&["sweep", "small.toml"]).expect(1).says(failing);
    assert!(!answer.stdout.contains("started"), "{answer}");
    let answer = place.efference(&["sweep", "small.toml", "--retry"]).expect(1).says(failing);
    assert_eq!(answer.stdout.matches("started").count(), 1, "{answer}");
    assert_eq!(ends(&place), ["failed", "finished"]);
}

#[test]
fn an_edited_sweep_says_what_changed_and_keeps_what_there_is() {
    let place = Workplace::new();
    place.write("small.toml", SMALL.to_owned() + "[sweep]\nseed = [1, 2]\n");
    place.efference(&["sweep", "small.toml"]).expect(0);
    place.write(
        "small.toml",
        SMALL.to_owned() + "[sweep]\nseed = [2, 4]\n\"layer.plugin\" = [\"dense\", \"ldl\"]\n",
    );
    let answer = place.efference(&["sweep", "small.toml"]).expect(0);
    for text in [
        "the spec has changed since this sweep was begun:",
        "[sweep] layer.plugin: nothing → dense ldl",
        "[sweep] seed: 1 2 → 2 4",
        "3 members are added; 1 that the spec has no longer stay on disk as they are",
        "4 members are done",
    ] {
        assert!(answer.stdout.contains(text), "no '{text}' in {answer}");
    }
    assert_eq!(answer.stdout.matches("started").count(), 3, "seed 2 with dense was done before: {answer}");
    assert_all_finished(&place, "small", 5, 12);
}

#[test]
fn seeds_are_added_until_it_is_decided() {
    let place = Workplace::new();
    // Without a synthetic gradient, no gradient leaves an unroll of 1: the step that made a prediction does not learn from it.
    let text = SMALL.replace("steps = 12", "steps = 300").replace("\"add\"", "\"concat\"")
        + "[trainer.synthetic_gradient]\nenabled = false\n[sweep]\nseed = [7]\n\"trainer.unroll_length\" = [1, 2]\n";
    place.write("small.toml", text);
    let arguments = ["sweep", "small.toml", "--until-decided", "trainer.unroll_length", "--first", "8"];
    let answer = place.efference(&arguments).expect(0);
    let verdict = "1 and 2: decided after 8 seeds: 2 is better: `error` is lower by";
    assert!(answer.stdout.contains(verdict), "{answer}");
    let seeds: BTreeSet<String> = members(&place, "small")
        .iter()
        .map(|run| {
            run.read("spec.toml").lines().find(|line| line.starts_with("seed = ")).unwrap()[7..9]
                .trim()
                .to_owned()
        })
        .collect();
    let expected = ["7", "8", "9", "10", "11", "12", "13", "14"].map(str::to_owned);
    assert_eq!(seeds, expected.into(), "the seeds of the spec come first");
    assert_all_finished(&place, "small", 16, 300);
    // Asked again, it knows.
    let again = place.efference(&arguments).expect(0);
    assert!(again.stdout.contains(verdict) && !again.stdout.contains("started"), "{again}");
    let typo = [&arguments[..], &["--metric", "eror"]].concat();
    place.efference(&typo).expect(1).says(&["has no such metric; did you mean `error`?"]);
}

#[test]
fn what_cannot_be_swept_is_said_in_a_sentence_and_nothing_is_made() {
    let place = Workplace::new();
    place.write("small.toml", SMALL);
    place
        .efference(&["sweep", "small.toml"])
        .expect(1)
        .says(&["small.toml says nothing of what is to be varied"]);
    let swept = SMALL.to_owned() + "[sweep]\nseed = [1, 2]\n\"trainer.unroll_length\" = [1, 2]\n";
    place.write("swept.toml", &swept);
    let until = |key: &str| place.efference(&["sweep", "swept.toml", "--until-decided", key]).expect(1);
    until("trainer.unrol_length")
        .says(&["the sweep does not vary this; did you mean `trainer.unroll_length`?"]);
    until("seed").says(&["seeds are what is added", "trainer.unroll_length"]);
    place.write(
        "paired.toml",
        SMALL.to_owned()
            + "[sweep]\n\"trainer.unroll_length\" = [1, 2]\n[sweep.paired]\nseed = [1, 2]\n\"state.size\" = [64, 128]\n",
    );
    let paired = ["sweep", "paired.toml", "--until-decided", "trainer.unroll_length"];
    place
        .efference(&paired)
        .expect(1)
        .says(&["`seed` cannot vary together with something else", "seed + state.size"]);
    place
        .efference(&["sweep", "swept.toml", "--until-decided", "trainer.unroll_length", "--most", "4"])
        .expect(1)
        .says(&["--most 4 cannot be: 6 seeds are the fewest that can decide anything"]);
    let mut slurm = place.command(&["sweep", "swept.toml", "--launcher", "slurm"]);
    place
        .start(slurm.env("PATH", place.path()))
        .wait()
        .expect(1)
        .says(&["there is no Slurm here", "--launcher slurm"]);
    place.write("wrong.toml", swept + "\"layer.plugin\" = [\"dense\", \"dens\"]\n");
    place
        .efference(&["sweep", "wrong.toml"])
        .expect(2)
        .says(&["there is no layer plugin `dens`", "wrong.toml:"]);
    assert!(!place.path().join("runs").exists());
    place.write("runs", "a file where a directory should be");
    place
        .efference(&["sweep", "swept.toml"])
        .expect(1)
        .says(&["error: cannot make 'runs/small/sweep", "a file is in the way"]);
}

#[test]
fn a_member_that_another_process_has_is_left_to_it() {
    let place = Workplace::new();
    place.write("slow.toml", slow());
    let only = [&SLOW[..], &["--set", "sweep.seed=[1]", "--set", "steps=1000000"]].concat();
    let mut sweep = place.start(&mut place.command(&only));
    sweep.until(|| members(&place, "small").iter().any(|run| lines(run) >= 1));
    // As if it had been started by hand: the same run in a process of its own.
    kill_process(sweep.process(), Signal::INT).unwrap();
    sweep.wait().expect(130);
    let id = members(&place, "small")[0].path.file_name().unwrap().to_str().unwrap().to_owned();
    std::fs::remove_dir_all(place.path().join("runs/small").join(&id)).unwrap();
    std::fs::remove_file(place.path().join(format!("runs/small/sweep/logs/{id}.txt"))).unwrap();
    let spec = format!("runs/small/sweep/members/{id}.toml");
    let mut by_hand = place.start(&mut place.command(&["run", &spec, "--id", &id]));
    by_hand.until(|| members(&place, "small").iter().any(|run| lines(run) >= 1));
    place.efference(&only).expect(1).says(&["is in use by another process", "wait for its end"]);
    kill_process(by_hand.process(), Signal::INT).unwrap();
    by_hand.wait().expect(130);
}

#[test]
fn what_another_build_of_a_plugin_made_is_named_and_made_anew_on_request() {
    let place = Workplace::new();
    let library = place.path().join("own/libfixture_hostile.so");
    std::fs::create_dir(place.path().join("own")).unwrap();
    std::fs::copy(fixtures().join("libfixture_hostile.so"), &library).unwrap();
    let spec = |seeds: &str| {
        SMALL.replace("plugin = \"dense\"", "plugin = \"hostile\"")
            + &format!("[plugins]\npath = [\"own\"]\n[sweep]\nseed = {seeds}\n")
    };
    place.write("small.toml", spec("[1, 2]"));
    let answer = place.efference(&["sweep", "small.toml"]).expect(0);
    assert!(!answer.stderr.contains("another build"), "{answer}");

    // The same plugin, built anew.
    let mut bytes = std::fs::read(&library).unwrap();
    bytes.extend(b"another build");
    std::fs::write(&library, bytes).unwrap();
    place.write("small.toml", spec("[1, 2, 3]"));
    let note = "2 members are done and were made with another build of layer 'hostile' than there is today: ";
    let answer =
        place.efference(&["sweep", "small.toml"]).expect(0).says(&[note, "`--rebuilt` makes them anew"]);
    assert_eq!(answer.stdout.matches("started").count(), 1, "{answer}");
    assert_eq!(place.efference(&["runs"]).expect(0).stderr, "", "what the sweep keeps is no damaged run");
    let mixed = "were made with 2 builds of layer 'hostile'";
    let compared = place.efference(&["compare", "runs/small"]).expect(0);
    assert!(compared.stdout.contains(mixed), "{compared}");

    let answer = place.efference(&["sweep", "small.toml", "--rebuilt"]).expect(0);
    assert_eq!(answer.stdout.matches("started").count(), 2, "{answer}");
    assert!(!answer.stderr.contains("another build"), "{answer}");
    assert_eq!(std::fs::read_dir(place.path().join("runs/small/sweep/set-aside")).unwrap().count(), 4);
    let compared = place.efference(&["compare", "runs/small"]).expect(0);
    assert!(!compared.stdout.contains("builds of"), "{compared}");
}

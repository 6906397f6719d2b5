//! Runs that go well, and what they leave.
use crate::program::{Run, SMALL, Workplace, repository};
use efference_testkit::read_events;
use serde_json::Value;
use std::collections::BTreeMap;

/// Runs [`SMALL`] with these keys set.
#[track_caller]
fn small(sets: &[&str]) -> Run {
    let place = Workplace::new();
    let run = small_in(&place, sets);
    // The directory goes with the place, so what is asked for is read before.
    std::mem::forget(place);
    run
}

#[track_caller]
fn small_in(place: &Workplace, sets: &[&str]) -> Run {
    place.write("small.toml", SMALL);
    let mut arguments = vec!["run", "small.toml"];
    arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
    place.efference(&arguments).expect(0);
    place.runs("small").pop().unwrap()
}

/// The lines without what depends on the clock.
fn numbers(run: &Run) -> Vec<Value> {
    let mut lines = run.metrics();
    for line in &mut lines {
        let line = line.as_object_mut().unwrap();
        line.remove("seconds");
        line.remove("steps_per_second");
    }
    lines
}

#[test]
fn first_light_runs_from_any_directory_with_an_empty_environment() {
    let place = Workplace::new();
    let spec = repository().join("experiments/first-light.toml");
    let sets = ["--set", "steps=60", "--set", "record.pictures_every=20"];
    let answer = place.efference(&[&["run", spec.to_str().unwrap()], &sets[..]].concat()).expect(0);
    assert_eq!(answer.stderr, "", "{answer}");
    // In a pipe, progress is plain lines.
    assert!(answer.stdout.contains("step 60 of 60"), "{answer}");
    assert!(!answer.stdout.contains('\x1b') && !answer.stdout.contains('\r'), "{answer}");
    assert!(answer.stdout.contains("Finished after 60 steps"), "{answer}");

    let run = place.run("first-light");
    let metrics = run.metrics();
    assert_eq!(metrics.len(), 6);
    for (line, step) in metrics.iter().zip((10..).step_by(10)) {
        assert_eq!(line["step"], step);
        for name in ["seconds", "loss", "error", "error_last", "error_mean", "skill", "steps_per_second"] {
            assert!(line[name].as_f64().is_some_and(f64::is_finite), "{name} in {line}");
        }
        let number = |name: &str| line[name].as_f64().unwrap();
        let baseline = number("error_last").min(number("error_mean"));
        assert!((number("skill") - (1.0 - number("error") / baseline)).abs() < 1e-6, "{line}");
    }
    let keys: Vec<_> = metrics[0].as_object().unwrap().keys().take(2).cloned().collect();
    assert_eq!(keys, ["step", "seconds"]);

    let events = run.names("tensorboard");
    assert!(events.len() == 1 && events[0].starts_with("events.out.tfevents."), "{events:?}");
    let events = read_events(&run.path.join("tensorboard").join(&events[0])).unwrap();
    for line in &metrics {
        let at = events.iter().filter(|event| line["step"] == event.step).flat_map(|event| &event.scalars);
        let scalars: BTreeMap<&str, f32> = at.map(|(tag, value)| (tag.as_str(), *value)).collect();
        for name in ["loss", "error", "error_last", "skill"] {
            assert_eq!(scalars[name], line[name].as_f64().unwrap() as f32, "{name} in {line}");
        }
    }
    let pictures = events.iter().flat_map(|event| &event.pictures);
    assert!(pictures.into_iter().all(|(_, bytes)| bytes.starts_with(b"\x89PNG")));
    assert_eq!(events.iter().map(|event| event.pictures.len()).sum::<usize>(), 3);
    let pictures = run.names("pictures");
    assert_eq!(pictures.len(), 3, "{pictures:?}");
    for picture in pictures {
        let bytes = std::fs::read(run.path.join("pictures").join(picture)).unwrap();
        assert!(bytes.starts_with(b"\x89PNG"));
    }
    assert_eq!(run.end()["how"], "finished");
    assert_eq!(run.names("checkpoints"), ["step-000000000060.json", "step-000000000060.safetensors"]);
    let provenance: Value = serde_json::from_str(&run.read("provenance.json")).unwrap();
    for key in ["plugins", "libtorch", "device"] {
        assert!(!provenance[key].is_null(), "{key} in {provenance}");
    }
    // The kept spec makes the same run.
    let again = run.path.join("spec.toml");
    place.efference(&["run", again.to_str().unwrap()]).expect(0);
    let runs = place.runs("first-light");
    assert_eq!(numbers(&runs[0]), numbers(&runs[1]));
}

#[test]
fn the_same_spec_and_seed_give_the_same_numbers() {
    for layer in ["dense", "ldl"] {
        for goal in ["predict", "maximize", "gradmax"] {
            let sets = [
                &format!("layer.plugin={layer}"),
                &format!("goal.plugin={goal}"),
                "environment.world=catch",
                "environment.streams=2",
                "trainer.unroll_length=2",
                "steps=40",
            ];
            let place = Workplace::new();
            let first = numbers(&small_in(&place, &sets));
            assert_eq!(first.len(), 40);
            assert_eq!(first, numbers(&small_in(&place, &sets)), "{layer}, {goal}");
        }
    }
    let (one, other) = (numbers(&small(&[])), numbers(&small(&["seed=4"])));
    assert_ne!(one, other, "another seed");
}

#[test]
fn a_plugin_is_swapped_by_one_key() {
    let losses = |sets: &[&str]| -> Vec<f64> {
        small(sets).metrics().iter().map(|line| line["loss"].as_f64().unwrap()).collect()
    };
    let mut seen: Vec<Vec<f64>> = Vec::new();
    for set in ["layer.plugin=dense", "layer.plugin=ldl", "trainer.unroll_length=2", "trainer.merge=concat"] {
        let run = losses(&[set, "steps=30"]);
        assert_eq!(run.len(), 30);
        assert!(run.iter().all(|loss| loss.is_finite()));
        assert!(!seen.contains(&run), "{set} changes nothing");
        seen.push(run);
    }
    // Whatever the layer, the environment shows the same.
    let baselines = |set: &str| -> Vec<Value> {
        small(&[set]).metrics().iter().map(|line| line["error_last"].clone()).collect()
    };
    assert_eq!(baselines("layer.plugin=dense"), baselines("layer.plugin=ldl"));
}

#[test]
fn runs_that_start_at_the_same_time_get_a_directory_each() {
    let place = Workplace::new();
    place.write("small.toml", SMALL);
    let started: Vec<_> = (0..4).map(|_| place.start(&mut place.command(&["run", "small.toml"]))).collect();
    for run in started {
        run.wait().expect(0);
    }
    let runs = place.runs("small");
    assert_eq!(runs.len(), 4);
    assert!(runs.iter().all(|run| run.metrics().len() == 12 && run.end()["how"] == "finished"));
}

/// The program on a machine whose GPUs, if it has any, are hidden from it.
fn without_gpus(place: &Workplace, arguments: &[&str]) -> std::process::Command {
    let mut command = place.command(arguments);
    command.env("CUDA_VISIBLE_DEVICES", "");
    command
}

#[test]
fn a_gpu_that_is_not_there_is_reported_before_anything_is_made() {
    let place = Workplace::new();
    place.write("small.toml", SMALL);
    for device in ["cuda", "cuda:3"] {
        let set = format!("device={device}");
        let answer =
            place.start(&mut without_gpus(&place, &["run", "small.toml", "--set", &set])).wait().expect(1);
        answer.says(&["`device = \"cuda\"` cannot be had: ", "`device = \"cpu\"`"]);
        assert!(!place.path().join("runs").exists());
    }
    // `auto` says what it took.
    place.start(&mut without_gpus(&place, &["run", "small.toml", "--set", "device=auto"])).wait().expect(0);
    let run = place.run("small");
    assert!(run.read("log.txt").contains(" parameters on cpu"));
    let provenance: Value = serde_json::from_str(&run.read("provenance.json")).unwrap();
    assert_eq!(provenance["device"], "cpu");
}

#[test]
fn runs_that_cannot_be_written_say_so() {
    let place = Workplace::new();
    place.write("small.toml", SMALL);
    place.write("runs", "a file where a directory should be");
    let answer = place.efference(&["run", "small.toml"]).expect(1);
    answer.says(&["error: ", "runs"]);
}

#[test]
fn an_empty_variable_leaves_the_log_as_it_is_without() {
    let place = Workplace::new();
    place.write("small.toml", SMALL);
    let mut command =
        place.command(&["run", "small.toml", "--set", "optimizer.groups.nothing.learning_rate=0.5"]);
    let answer = place.start(command.env("EFFERENCE_LOG", "").env("RUST_LOG", "")).wait().expect(0);
    assert!(answer.stderr.contains("has no effect"), "{answer}");
    assert!(place.run("small").read("log.txt").contains(" INFO "), "what is of note goes to the file");
}

/// [`SMALL`] with the trainer `replay`, and more sets.
fn replayed<'a>(sets: &[&'a str]) -> Vec<&'a str> {
    let trainer = ["trainer.plugin=replay", "trainer.warm_up=5"];
    [&["run", "small.toml", "--set", trainer[0], "--set", trainer[1]], &sets_of(sets)[..]].concat()
}

fn sets_of<'a>(sets: &[&'a str]) -> Vec<&'a str> {
    sets.iter().flat_map(|set| ["--set", set]).collect()
}

#[test]
fn losses_at_remembered_moments_are_not_recorded() {
    // So small a rate that updates change nothing: what is recorded is what comes.
    let still = ["optimizer.kind=sgd", "optimizer.learning_rate=1e-30", "steps=30"];
    let of = |replays: &str| {
        let place = Workplace::new();
        place.write("small.toml", SMALL.replace("unroll_length = 1\nmerge = \"add\"\n", ""));
        place.efference(&replayed(&[&still[..], &[replays]].concat())).expect(0);
        numbers(&place.run("small"))
    };
    let without = of("trainer.replays=0");
    assert_eq!(without.len(), 30);
    assert_eq!(without, of("trainer.replays=3"));
}

#[test]
fn a_goal_or_a_bonus_that_keeps_something_is_refused_by_a_trainer_that_replays() {
    let place = Workplace::new();
    place.write("small.toml", SMALL.replace("unroll_length = 1\nmerge = \"add\"\n", ""));
    let catch = "environment.world=catch";
    for sets in
        [&[catch, "goal.plugin=actor-critic"][..], &[catch, "goal.plugin=maximize", "bonus.plugin=rnd"]]
    {
        let answer = place.efference(&replayed(sets)).expect(1);
        answer.says(&[
            "replays above 0",
            "keeps something from moment to moment",
            "a trainer that does not replay",
        ]);
    }
}

//! Runs that are killed or stopped, and go on.
use crate::program::{Answer, Run, SMALL, Workplace};
use efference_compare::{Difference, arrays_that_differ};
use efference_runs::checkpoint::{Array, Arrays, Checkpoint, CheckpointFiles};
use efference_runs::directory::RunDirectory;
use std::time::Duration;

/// Checks that an experiment goes on bit for bit, whatever of this is set.
#[track_caller]
fn verify(at: u64, sets: &[&str]) {
    let place = Workplace::new();
    place.write("small.toml", SMALL);
    let at = at.to_string();
    let mut arguments = vec!["verify-resume", "small.toml", "--at", &at];
    arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
    let answer = place.efference(&arguments).expect(0);
    assert!(answer.stdout.starts_with("Equal, bit for bit: "), "{sets:?}: {answer}");
}

#[test]
fn a_resumed_run_equals_one_that_never_stopped_at_any_step() {
    for at in [1, 2, 3, 7, 20] {
        verify(at, &["trainer.unroll_length=3", "trainer.unrolls_per_update=2", "record.every=4"]);
    }
}

#[test]
fn every_plugin_and_optimizer_goes_on_bit_for_bit_with_one_thread_and_two() {
    let worlds = ["bounce", "catch", "cartpole", "memory", "copy"];
    let goals = ["predict", "maximize", "gradmax"];
    for threads in ["threads=1", "threads=2"] {
        for (i, world) in worlds.iter().enumerate() {
            let world = format!("environment.world={world}");
            let goal = format!("goal.plugin={}", goals[i % goals.len()]);
            let layer = format!("layer.plugin={}", ["ldl", "dense"][i % 2]);
            let streams = "environment.streams=3";
            let reset = "trainer.reset_after_episode=true";
            verify(23, &[threads, &world, &goal, &layer, streams, reset, "trainer.merge=concat"]);
        }
        for kind in ["adam", "adamw", "sgd"] {
            let kind = format!("optimizer.kind={kind}");
            let rest = ["optimizer.momentum=0.9", "optimizer.weight_decay=0.01", "optimizer.clip=0.1"];
            verify(23, &[&[threads, &kind, "layer.plugin=ldl", "layer.sharing=none"], &rest[..]].concat());
        }
        let unshared = ["environment.world=catch", "trainer.action_input=true", "trainer.merge=concat"];
        verify(23, &[&[threads], &unshared[..]].concat());
    }
}

/// Checks the same of a trainer and a cell that SMALL does not have.
#[track_caller]
fn verify_with(trainer: &str, cell: &str, at: u64, more: &[&str]) {
    let place = Workplace::new();
    let spec = SMALL.replace("unroll_length = 1\nmerge = \"add\"\n", "");
    let spec = spec.replace("plugin = \"bptt\"", &format!("plugin = \"{trainer}\""));
    place.write("small.toml", spec.replace("plugin = \"mgu\"", &format!("plugin = \"{cell}\"")));
    let at = at.to_string();
    let mut arguments = vec!["verify-resume", "small.toml", "--at", &at];
    arguments.extend(more.iter().flat_map(|set| ["--set", set]));
    let answer = place.efference(&arguments).expect(0);
    assert!(answer.stdout.starts_with("Equal, bit for bit: "), "{trainer}, {cell}, {more:?}: {answer}");
}

#[test]
fn trainers_that_look_back_go_on_bit_for_bit_with_each_cell() {
    let worlds = ["environment.world=catch", "environment.streams=3", "trainer.reset_after_episode=true"];
    let layer = ["layer.plugin=ldl", "layer.sharing=none"];
    for cell in ["mingru", "rtu"] {
        verify_with("rtrl", cell, 23, &[]);
        verify_with("rtrl", cell, 24, &[&worlds[..], &layer[..]].concat());
    }
    for cell in ["gru", "mgu", "mingru", "rtu"] {
        verify_with("sliding", cell, 23, &[&worlds[..], &["trainer.length=5"]].concat());
        verify_with("immediate", cell, 23, &worlds);
        verify_with("bptt", cell, 24, &[&worlds[..], &["trainer.unroll_length=3"]].concat());
    }
    let window = ["cell.window=4", "cell.width=3"];
    verify_with("sliding", "perceiver", 23, &[&worlds[..], &window, &["trainer.length=5"]].concat());
    verify_with("immediate", "perceiver", 23, &[&worlds[..], &window].concat());
    verify_with("bptt", "perceiver", 24, &[&window[..], &["trainer.unroll_length=3"]].concat());
    for layer in ["low-rank", "monarch"] {
        verify_with("bptt", "gru", 24, &[&format!("layer.plugin={layer}"), "trainer.unroll_length=3"]);
    }
    // Rewired in most steps, before and after the stop.
    let rewired = ["layer.plugin=rewired", "layer.fan_in=4", "layer.every=2", "layer.share=0.5"];
    verify_with("bptt", "gru", 24, &[&rewired[..], &["trainer.unroll_length=3"]].concat());
    verify_with("bptt", "mgu", 23, &[&rewired[..], &["goal.plugin=maximize"]].concat());
    let remembered =
        ["trainer.warm_up=8", "trainer.capacity=40", "trainer.unroll_length=2", "trainer.burn_in=1"];
    verify_with("replay", "mingru", 23, &[&worlds[..], &remembered].concat());
    verify_with("replay", "mgu", 40, &["trainer.warm_up=8", "trainer.replays=2", "goal.plugin=maximize"]);
    verify_with("immediate", "gru", 23, &["trainer.normalise=true"]);
    verify_with("rtrl", "rtu", 23, &["goal.plugin=maximize", "cell.variant=nonlinear"]);
    verify_with("rtrl", "rtu", 23, &["environment.world=catch", "trainer.action_input=true"]);
}

#[test]
fn goals_that_control_go_on_with_all_that_they_keep() {
    let (obgd, rmsprop) =
        (["optimizer.kind=obgd"], ["optimizer.kind=rmsprop", "optimizer.normalise_by=group"]);
    let (element, intentional) = (["optimizer.kind=rmsprop"], ["optimizer.kind=intentional"]);
    for (goal, trainer, more) in [
        ("actor-critic", "bptt", &[][..]),
        ("actor-critic", "traces", &["goal.shared=true"]),
        ("actor-critic", "traces", &obgd),
        ("actor-critic", "traces", &intentional),
        ("q-lambda", "traces", &rmsprop),
        ("q-lambda", "traces", &element),
        ("q-lambda", "bptt", &[]),
        ("q-lambda", "bptt", &["optimizer.moments=bf16"]),
    ] {
        let (goal, trainer) = (format!("goal.plugin={goal}"), format!("trainer.plugin={trainer}"));
        let place = Workplace::new();
        let spec = SMALL.replace("unroll_length = 1\nmerge = \"add\"\n", "");
        place.write("small.toml", spec);
        let sets = [&goal, &trainer, "environment.world=catch", "environment.streams=3"];
        let mut arguments = vec!["verify-resume", "small.toml", "--at", "40"];
        arguments.extend(sets.iter().chain(more).flat_map(|set| ["--set", set]));
        place.efference(&arguments).expect(0);
    }
}

#[test]
fn goals_with_networks_on_frames_go_on_with_all_that_they_keep() {
    let worlds = ["environment.world=catch", "environment.streams=3", "layer.plugin=ldl"];
    for goal in ["goal.plugin=siamese", "goal.plugin=adversarial"] {
        verify(23, &[&worlds[..], &[goal, "trainer.unroll_length=2"]].concat());
        verify_with("replay", "gru", 23, &[goal, "trainer.warm_up=8"]);
    }
}

#[test]
fn bonuses_go_on_with_all_that_they_keep() {
    for (bonus, goal, trainer) in [
        ("rnd", "actor-critic", "traces"),
        ("byol-explore", "q-lambda", "traces"),
        ("rnd", "maximize", "bptt"),
        ("byol-explore", "maximize", "bptt"),
    ] {
        let place = Workplace::new();
        let spec = SMALL.replace("unroll_length = 1\nmerge = \"add\"\n", "");
        place.write("small.toml", spec);
        let (goal, trainer) = (format!("goal.plugin={goal}"), format!("trainer.plugin={trainer}"));
        let (bonus, warm_up) = (format!("bonus.plugin={bonus}"), "bonus.warm_up=20");
        let unroll = if trainer.ends_with("bptt") { "trainer.unroll_length=3" } else { "trainer.gamma=0.99" };
        let sets =
            [&bonus, warm_up, &goal, &trainer, unroll, "environment.world=catch", "environment.streams=3"];
        let mut arguments = vec!["verify-resume", "small.toml", "--at", "40"];
        arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
        place.efference(&arguments).expect(0);
    }
}

/// How many times a run is killed; the variable asks for more.
fn kills() -> u64 {
    std::env::var("EFFERENCE_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(30)
}

fn files(run: &Run) -> CheckpointFiles {
    CheckpointFiles::new(run.path.join("checkpoints"))
}

fn last(run: &Run) -> Checkpoint {
    let files = files(run);
    files.read(*files.steps().unwrap().last().unwrap()).unwrap()
}

#[test]
fn killed_at_any_moment_a_run_can_be_read_and_goes_on_from_its_last_checkpoint() {
    let place = Workplace::new();
    place.write("small.toml", SMALL);
    let sets =
        ["steps=1_000_000_000", "checkpoint.every=20", "record.pictures_every=50", "trainer.unroll_length=3"];
    let mut arguments = vec!["run", "small.toml", "--id", "killed"];
    arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
    // Any sequence of moments will do; this one is the same each time.
    let mut moment = 1u64;
    let (mut kept, mut went_on) = (0, 0);
    for kill in 0..kills() {
        let mut started = place.start(&mut place.command(&arguments));
        moment = moment.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Half of them at any moment, half of them when there is something new to lose.
        if kill % 2 == 1 {
            let newer = |run: &Run| files(run).newest(None).is_ok_and(|step| step > Some(kept));
            started.until(|| place.runs("small").first().is_some_and(newer));
        }
        std::thread::sleep(Duration::from_millis((moment >> 33) % if kill % 2 == 1 { 60 } else { 400 }));
        assert!(started.kill(), "kill {kill}: it had ended by itself: {}", started.wait());
        let Some(run) = place.runs("small").pop() else { continue };
        if !run.path.join("spec.toml").exists() {
            // Killed while its directory was made: this is no run yet.
            std::fs::remove_dir_all(&run.path).unwrap();
            continue;
        }
        // Whole lines, but for the last one.
        let metrics = std::fs::read_to_string(run.path.join("metrics.jsonl")).unwrap_or_default();
        let lines: Vec<_> = metrics.split_inclusive('\n').filter(|line| line.ends_with('\n')).collect();
        let step =
            |line: &&str| serde_json::from_str::<serde_json::Value>(line).unwrap()["step"].as_u64().unwrap();
        let steps: Vec<u64> = lines.iter().map(step).collect();
        assert!(steps.is_sorted_by(|a, b| a < b), "kill {kill}: no step twice");
        if let Some(step) = files(&run).newest(None).unwrap() {
            let checkpoint = files(&run).read(step).unwrap();
            assert!(step >= kept, "kill {kill}: what was kept stays");
            assert!(
                checkpoint.manifest.lines <= lines.len() as u64,
                "kill {kill}: what a checkpoint rests on is there"
            );
            went_on += u64::from(step > kept);
            kept = step;
        }
        arguments = vec!["resume", "runs/small/killed"];
    }
    assert!(went_on > 0, "some kills came after a checkpoint");

    let steps = (kept + 30).to_string();
    place.efference(&["resume", "runs/small/killed", "--steps", &steps]).expect(0);
    let steps = format!("steps={steps}");
    let mut straight = vec!["run", "small.toml", "--id", "straight"];
    straight.extend([&steps, sets[2], sets[3]].iter().flat_map(|set| ["--set", set]));
    place.efference(&straight).expect(0);
    let [killed, straight] = &place.runs("small")[..] else { panic!("two runs") };
    let open = |run: &Run| RunDirectory::open(&run.path).unwrap();
    let difference = Difference::of(&open(killed), &open(straight)).unwrap();
    assert_eq!((&difference.fingerprint, &difference.metric), (&None, &None), "after {} kills", kills());
    assert_eq!(difference.steps, Some(kept as usize + 30));
    assert_eq!(killed.metrics().len(), straight.metrics().len());
    assert_eq!(arrays_that_differ(&last(killed), &last(straight)), [""; 0]);
    assert_eq!(killed.names("pictures"), straight.names("pictures"));
    eprintln!("{} kills, {went_on} after a newer checkpoint, {kept} steps", kills());
}

/// A run of 12 steps with checkpoints of steps 4, 8 and 12.
fn finished() -> Workplace {
    let place = Workplace::new();
    place.write("small.toml", SMALL);
    let sets = ["--set", "steps=4", "--set", "checkpoint.keep=3"];
    place.efference(&[&["run", "small.toml", "--id", "a"], &sets[..]].concat()).expect(0);
    for steps in ["8", "12"] {
        place.efference(&["resume", "runs/small/a", "--steps", steps]).expect(0);
    }
    place
}

#[track_caller]
fn resume(place: &Workplace, more: &[&str]) -> Answer {
    place.efference(&[&["resume", "runs/small/a", "--steps", "20"], more].concat())
}

#[test]
fn what_changes_is_listed_and_what_would_not_fit_is_refused() {
    let place = finished();
    let again = place.efference(&["resume", "runs/small/a"]).expect(1);
    again.says(&["the run has done its 12 steps", "--steps 24"]);
    for (set, says) in [
        ("state.size=128", "changed: state.size: 64 → 128 (hard)"),
        ("seed=4", "changed: seed: 3 → 4 (hard)"),
        ("optimizer.kind=sgd", "changed: optimizer.kind: \"adam\" → \"sgd\" (hard)"),
        ("environment.size=5", "changed: environment.size: 6 → 5 (hard)"),
    ] {
        resume(&place, &["--set", set]).expect(1).says(&[says, "efference fork runs/small/a --set"]);
    }
    // An option of a plugin may fit or not: that is seen when it is tried, and nothing is lost.
    let before = place.run("small").read("metrics.jsonl");
    let answer = resume(&place, &["--set", "trainer.synthetic_gradient.layers=3"]).expect(1);
    answer.says(&["cannot go on, and stays as it is", "synthetic_gradient.", "was not saved"]);
    assert_eq!(place.run("small").read("metrics.jsonl"), before);
    assert_eq!(place.run("small").end()["how"], "finished");

    let answer = resume(&place, &["--set", "optimizer.learning_rate=0.5", "--from", "8"]).expect(0);
    answer.says(&["changed: optimizer.learning_rate: 0.001 → 0.5 (soft)", "changed: steps: 12 → 20 (safe)"]);
    let run = place.run("small");
    assert_eq!(run.metrics().len(), 20);
    let provenance: serde_json::Value = serde_json::from_str(&run.read("provenance.json")).unwrap();
    let descent = &provenance["resumed"][2]["descent"];
    assert_eq!((&descent["step"], descent["changes"].as_array().unwrap().len()), (&8.into(), 2), "{descent}");
    assert!(
        run.read("spec.toml").contains("learning_rate = 0.5"),
        "the spec is that of the run as it goes on"
    );
}

#[test]
fn a_damaged_checkpoint_is_refused_and_the_one_before_is_offered_and_taken() {
    let place = finished();
    let run = place.run("small");
    let path = run.path.join("checkpoints/step-000000000012.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&path, &bytes).unwrap();
    let before = run.read("metrics.jsonl");
    resume(&place, &[]).expect(1).says(&["step-000000000012.safetensors' is damaged", "--from 8"]);
    bytes.truncate(100);
    std::fs::write(&path, &bytes).unwrap();
    resume(&place, &[]).expect(1).says(&["it has 100 bytes", "--from 8"]);
    resume(&place, &["--from", "7"])
        .expect(1)
        .says(&["there is no checkpoint of step 7", "of steps 4 to 12"]);
    assert_eq!(run.read("metrics.jsonl"), before, "a refusal changes nothing");
    resume(&place, &["--from", "8"]).expect(0);
    assert_eq!(run.metrics().len(), 20);
    assert_eq!(last(&run).manifest.step, 20);
}

#[test]
fn a_run_that_another_process_writes_and_what_is_no_run_are_refused() {
    let place = finished();
    let run = RunDirectory::open(&place.run("small").path).unwrap();
    let lock = run.lock().unwrap();
    resume(&place, &[]).expect(1).says(&["is being written by another process"]);
    drop(lock);
    place.write("nothing/here", "");
    place.efference(&["resume", "nothing"]).expect(1).says(&["nothing/spec.toml'", "runs/<name>/latest"]);
}

#[test]
fn a_failed_run_keeps_its_parameters_and_can_begin_anew() {
    let place = Workplace::new();
    place.write("small.toml", SMALL);
    let sets = ["optimizer.kind=sgd", "optimizer.learning_rate=1e38", "trainer.merge=concat", "steps=100"];
    let mut arguments = vec!["run", "small.toml", "--id", "a"];
    arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
    place.efference(&arguments).expect(1).says(&["turned finite numbers into others"]);
    let run = place.run("small");
    let saved = files(&run).steps().unwrap();
    assert_eq!((run.end()["how"].as_str(), saved.len()), (Some("failed"), 1));
    let checkpoint = last(&run);
    assert!(!checkpoint.manifest.is_whole());
    let numbers = Arrays::part(&checkpoint.arrays, "parameters");
    let finite = |(name, array): (&str, &Array)| {
        array.elements::<f32>().unwrap_or_else(|| panic!("{name}")).iter().all(|x| x.is_finite())
    };
    assert!(numbers.iter().all(finite) && numbers.iter().count() > 0);
    let again = ["resume", "small", "--set", "optimizer.learning_rate=1e-9", "--steps", "20", "--from", "0"];
    place.efference(&again).expect(0);
    assert_eq!((run.end()["how"].as_str(), run.metrics().len()), (Some("finished"), 20));
}

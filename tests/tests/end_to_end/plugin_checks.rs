//! `efference plugins check`: every plugin of this repository passes, and of those that misbehave each is found out.
use crate::program::{Answer, Workplace, fixtures, plugin_file, repository};
use std::fmt::Write;

/// Checks a plugin of a library.
fn check(place: &Workplace, file: &str, more: &[&str]) -> Answer {
    place.efference(&[&["plugins", "check", file], more].concat())
}

/// Checks one that is to pass, with options.
#[track_caller]
fn is_good(place: &Workplace, name: &str, sets: &[&str]) {
    let file = plugin_file(name);
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
    let answer = check(place, file.to_str().unwrap(), &sets).expect(0);
    assert!(answer.stdout.contains("checks passed, 0 failed."), "{answer}");
}

#[test]
fn the_layers_and_cells_of_this_repository_pass() {
    let place = Workplace::new();
    for (name, sets) in [
        ("dense", &[][..]),
        ("dense", &["bias=false"]),
        ("ldl", &[]),
        ("ldl", &["radix=2", "sharing=none"]),
        ("low_rank", &[]),
        ("low_rank", &["rank=3", "bias=false"]),
        ("monarch", &[]),
        ("monarch", &["blocks=2", "bias=false"]),
        ("rewired", &[]),
        ("rewired", &["fan_in=3"]),
        ("gru", &["layers=2"]),
        ("mgu", &[]),
        ("mingru", &[]),
        ("rtu", &[]),
        ("perceiver", &[]),
        ("perceiver", &["window=3", "width=1", "heads=2"]),
    ] {
        is_good(&place, name, sets);
    }
}

#[test]
fn the_environments_of_this_repository_pass() {
    let place = Workplace::new();
    for world in ["bounce", "catch", "cartpole", "memory", "deep_sea", "copy"] {
        is_good(&place, "worlds", &[&format!("world={world}"), "streams=2"]);
    }
    let mut table = "height,flow\n".to_owned();
    (0..400).for_each(|row| writeln!(table, "{},{}", row % 11, row % 7).unwrap());
    place.write("flow.csv", table);
    is_good(&place, "recording", &["files=[\"flow.csv\"]"]);
    let mut pictures = vec![0, 0, 8, 3];
    [4_u32, 2, 2].iter().for_each(|size| pictures.extend(size.to_be_bytes()));
    pictures.extend((0..16).map(|pixel| if pixel % 5 == 0 { 255 } else { 0 }));
    place.write("pictures", pictures);
    is_good(&place, "labels", &["images=pictures", "labels=random", "count=4"]);
    match std::process::Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output() {
        Ok(python) if python.status.success() => {
            let world = repository().join("plugins/environments/process/examples/random_walk.py");
            let answer = place.efference(&["plugins", "check", world.to_str().unwrap()]).expect(0);
            assert!(answer.stdout.contains("environment process "), "{answer}");
        }
        _ => eprintln!("SKIPPED: there is no python3"),
    }
    if let Some(python) = crate::gymnasium::python() {
        is_good(&place, "gymnasium", &["id=CartPole-v1", &format!("python={python:?}")]);
    }
    match std::process::Command::new("node").arg("--version").output() {
        Ok(_) => {
            let checkout = repository().join("tests/fixtures/webenv/peer");
            let interfaces = "interfaces=[[\"we.echo\", {streams = 2, steps = 4000, steady = true}]]";
            is_good(&place, "webenv", &[&format!("checkout={checkout:?}"), interfaces]);
        }
        Err(_) => eprintln!("SKIPPED: there is no node"),
    }
}

#[test]
fn the_goals_and_trainers_of_this_repository_pass() {
    let place = Workplace::new();
    for name in [
        "predict",
        "maximize",
        "gradmax",
        "siamese",
        "adversarial",
        "actor_critic",
        "q_lambda",
        "rnd",
        "byol_explore",
        "bptt",
        "immediate",
        "sliding",
        "rtrl",
        "traces",
        "replay",
    ] {
        is_good(&place, name, &[]);
    }
    is_good(&place, "replay", &["warm_up=4", "capacity=40", "burn_in=2", "unroll_length=2", "replays=2"]);
    is_good(&place, "bptt", &["unroll_length=4", "synthetic_gradient.enabled=false"]);
}

#[test]
fn what_plugins_new_writes_passes() {
    let place = Workplace::new();
    for kind in ["layer", "cell", "trainer", "goal", "environment"] {
        let file = fixtures().join(format!("libtemplate_{kind}.so"));
        let answer = check(&place, file.to_str().unwrap(), &[]).expect(0);
        assert!(answer.stdout.starts_with(&format!("{kind} my-plugin ")), "{answer}");
    }
}

/// Checks the hostile plugin of this kind, up to the first check that fails, which is to be the one that begins so.
#[track_caller]
fn is_found(place: &Workplace, kind: &str, fault: &str, name: &str, why: &str) {
    let file = fixtures().join("libfixture_hostile.so");
    let (only, set) = (format!("{kind}/hostile"), format!("fault={fault}"));
    let more = ["--only", &only, "--set", &set, "--fail-fast", "--patience", "8"];
    // A step in which a frame before it can be the last one.
    let step = if fault == "middle_after_last" { &["--set", "step=3"][..] } else { &[] };
    let answer = check(place, file.to_str().unwrap(), &[&more, step].concat());
    // Of a stack that overflows Rust's own runtime speaks, in its own words.
    let answer = if fault == "overflow" { answer } else { answer.expect(1) };
    assert_eq!(answer.code, Some(1), "{answer}");
    let failed = answer.stdout.split_once("\n  FAIL  ").map(|(_, failed)| failed);
    let failed = failed.unwrap_or_else(|| panic!("{kind} {fault} is not found: {answer}"));
    assert!(failed.starts_with(name), "{kind} {fault}: {answer}");
    assert!(failed.contains(why), "{kind} {fault}: no '{why}' in {answer}");
    assert!(answer.stdout.contains(" 1 failed."), "{answer}");
}

#[test]
fn each_fault_of_a_hostile_layer_or_cell_is_found() {
    let place = Workplace::new();
    for (kind, faults) in [
        (
            "layer",
            &[
                ("panic_in_build", "it can be made", "no such luck"),
                ("error_in_build", "it can be made", "cannot be had on a Sunday"),
                ("exit_in_build", "it can be made", "ended the process by exit(0)"),
                ("panic", "for many sizes", "columns are not to my liking"),
                ("index", "for many sizes", "index out of bounds"),
                ("libtorch", "for many sizes", "mat1 and mat2 shapes cannot be multiplied"),
                ("error", "for many sizes", "the weights have gone out for lunch"),
                ("wrong_shape", "for many sizes", "shape [1, 9] where [1, 8] was expected"),
                ("scalar", "for many sizes", "shape [] where [1, 8] was expected"),
                ("not_a_number", "for many sizes", "NaN or infinity"),
                ("whole_numbers", "for many sizes", "kind Int64 where Float was expected"),
                ("half_precision", "for many sizes", "kind Half where Float was expected"),
                ("sparse", "for many sizes", "sparse tensor"),
                ("detached", "gradients of its input", ""),
                ("keep_graph", "for many sizes", ""),
                ("round_down", "for many sizes", "floating-point mode changed"),
                ("leak_no_grad", "for many sizes", "gradients switched off"),
                ("print", "for many sizes", "printed to standard output"),
                ("panic_in_drop", "it can be made", "when it was dropped it panicked"),
                ("segfault_in_drop", "it can be made", "died of SIGSEGV, in drop of layer 'hostile'"),
                ("hang_in_drop", "it can be made", "had not returned after 8 s, in drop"),
                ("segfault", "for many sizes", "died of SIGSEGV, in forward of layer 'hostile'"),
                ("abort", "for many sizes", "died of SIGABRT"),
                ("overflow", "for many sizes", "died of SIGABRT"),
                ("exit", "for many sizes", "ended the process by exit(0), in forward of layer 'hostile'"),
                ("hang", "for many sizes", "had not returned after 8 s, in forward of layer 'hostile'"),
                ("slow", "for many sizes", "had not returned after 8 s"),
                ("change_directory", "for many sizes", "changed the working directory"),
                ("panic_in_thread", "for many sizes", "nobody looks at me"),
            ][..],
        ),
        (
            "cell",
            &[
                ("panic", "for many sizes", "columns are not to my liking"),
                ("wrong_shape", "for many sizes", "was expected"),
                ("detached", "gradients of its input", ""),
                ("leak_no_grad", "for many sizes", "gradients switched off"),
            ],
        ),
    ] {
        for (fault, name, why) in faults {
            is_found(&place, kind, fault, name, why);
        }
    }
}

#[test]
fn each_fault_of_a_hostile_environment_is_found() {
    let place = Workplace::new();
    for (fault, name, why) in [
        ("panic_in_open", "it can be made", "the door is stuck"),
        ("error_in_open", "it can be made", "ask the janitor for the key"),
        ("panic", "each frame", "nothing to see here"),
        ("error", "each frame", "the world has gone away"),
        ("panic_in_act", "each frame", "do not touch"),
        ("print", "each frame", "printed to standard output"),
        ("two_frames", "each frame", "two frames of stream 0 came in one poll"),
        ("wide_frame", "each frame", "observed 100000 elements, then 4"),
        ("many_actions", "each frame", "wants 4294967295 actions"),
        ("choice_of_one", "each frame", "a choice among 1"),
        ("middle_after_last", "each frame", "that is not the first of an episode"),
        ("outside_observation", "each frame", "element 2 of what stream 0 observes is 1.5"),
        ("infinite_reward", "each frame", "a reward of inf; its range is -1…1"),
        ("exit", "each frame", "ended the process by exit(0), in poll"),
        ("bad_picture", "its pictures", "drew 5 bytes for a picture of 2 × 2 pixels"),
    ] {
        is_found(&place, "environment", fault, name, why);
    }
}

#[test]
fn each_fault_of_a_hostile_goal_or_trainer_is_found() {
    let place = Workplace::new();
    for (kind, fault, name, why) in [
        ("goal", "panic", "its losses are finite", "what is the goal of all this"),
        ("goal", "nan_loss", "its losses are finite", "NaN"),
        ("goal", "wide_loss", "its losses are finite", "'wide' has 64 elements"),
        ("goal", "half_loss", "its losses are finite", "kind Half"),
        ("goal", "whole_loss", "its losses are finite", "kind Int64"),
        ("goal", "detached_loss", "its loss has a gradient", "never had a gradient"),
        ("goal", "keep_graph", "its losses are finite", ""),
        ("goal", "nan_actions", "its losses are finite", "not finite"),
        ("goal", "few_actions", "its losses are finite", "shape [2, 2]"),
        ("goal", "leak_no_grad", "its losses are finite", "gradients switched off"),
        ("goal", "greedy", "it can be made", "reserves 32 slots"),
        ("trainer", "panic", "it returns a finite state", "no pain, no gain"),
        ("trainer", "extra_row", "it returns a finite state", "shape"),
        ("trainer", "extra_column", "it returns a finite state", "shape"),
        ("trainer", "scalar", "it returns a finite state", "shape"),
        ("trainer", "half_states", "it returns a finite state", "kind Half"),
        ("trainer", "set_threads", "it returns a finite state", "number of threads from 1 to 7"),
        ("trainer", "not_a_number", "it returns a finite state", "not finite"),
        ("trainer", "nan_input", "it returns a finite state", "not finite"),
        ("trainer", "narrow_input", "it returns a finite state", ""),
        ("trainer", "no_such_network", "it returns a finite state", "'oracle'"),
        ("trainer", "leak_no_grad", "it returns a finite state", "gradients switched off"),
        // It updates nothing at all.
        ("trainer", "none", "what it trains learns", "no parameter"),
    ] {
        is_found(&place, kind, fault, name, why);
    }
    let file = fixtures().join("libfixture_hostile.so");
    for fault in ["nan_bonus", "wide_bonus"] {
        let set = format!("fault={fault}");
        let more = ["--only", "goal/hostile", "--set", &set, "--set", "bonus=true", "--fail-fast"];
        let answer = check(&place, file.to_str().unwrap(), &more).expect(1);
        assert!(answer.stdout.contains("bonus"), "{fault}: {answer}");
    }
}

#[test]
fn a_library_that_is_no_plugin_or_does_not_start_fails_with_the_reason() {
    let place = Workplace::new();
    let in_fixtures = |name: &str| fixtures().join(name).to_str().unwrap().to_owned();
    let answer = check(&place, &in_fixtures("libfixture_no_plugin.so"), &[]).expect(1);
    assert!(answer.stdout.contains("FAIL  it is a library with a manifest"), "{answer}");
    let answer = check(&place, &in_fixtures("libfixture_bad_init.so"), &[]).expect(1);
    assert!(answer.stdout.contains("FAIL  its library can be loaded and started"), "{answer}");
    assert!(answer.stdout.contains("no file 'tables.bin' beside it"), "{answer}");
    place.write("text.so", "no library");
    let answer = check(&place, "text.so", &[]).expect(1);
    assert!(answer.stdout.contains("text.so is not a library"), "{answer}");
    let answer = check(&place, &in_fixtures("libfixture_visitors.so"), &["--only", "visitor"]).expect(1);
    answer.says(&["there is no plugin 'visitor' in what was named"]);
    // An environment whose streams come and go passes.
    check(&place, &in_fixtures("libfixture_visitors.so"), &[]).expect(0);
}

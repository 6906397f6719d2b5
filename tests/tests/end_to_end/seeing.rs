//! Looking at runs and layers: `runs`, `watch`, `pictures` and `draw`.
use crate::program::{SMALL, Workplace, fixtures, small_in};
use rustix::process::{Signal, kill_process};
use serde_json::Value;
use std::fs::{self, OpenOptions};
use std::io::Write;

/// A place with two runs of [`SMALL`], which differ in their seed.
fn two_runs() -> Workplace {
    let place = Workplace::new();
    place.write("small.toml", SMALL);
    for (id, seed) in [("three", "seed=3"), ("four", "seed=4")] {
        let every = "record.pictures_every=4";
        place.efference(&["run", "small.toml", "--id", id, "--set", seed, "--set", every]).expect(0);
    }
    place
}

#[test]
fn runs_are_listed_with_state_steps_metrics_and_what_differs() {
    let place = two_runs();
    let answer = place.efference(&["runs"]).expect(0);
    let lines: Vec<Vec<&str>> = answer.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..4], ["RUN", "STATE", "STEP", "OF"]);
    for (line, (id, seed)) in lines[1..].iter().zip([("three", "seed=3"), ("four", "seed=4")]) {
        assert_eq!(line[..4], [&format!("small/{id}"), "finished", "12", "12"], "{answer}");
        assert_eq!(line[line.len() - 1], seed, "{answer}");
    }
    assert_eq!((lines.len(), answer.stderr.as_str()), (3, ""));
    let json = place.efference(&["runs", "small", "--format", "json"]).expect(0);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    let last = place.runs("small")[0].metrics().pop().unwrap();
    assert_eq!(json[1]["metrics"]["error"], last["error"]);
    place.efference(&["runs", "smal"]).expect(1).says(&["there is no run 'smal'", "did you mean 'small'?"]);
    place.efference(&["runs", "--runs", "walks"]).expect(1).says(&["walks", "--runs DIR"]);
}

#[test]
fn what_is_no_run_or_damaged_is_noted_beside_the_others() {
    let place = two_runs();
    place.write("runs/small/notes/today.txt", "no run");
    place.write("runs/small/three/spec.toml", "steps = = 3");
    let answer = place.efference(&["runs"]).expect(0);
    assert_eq!(answer.stdout.lines().count(), 3, "{answer}");
    answer.says(&[
        "runs/small/notes is no run: it has no spec.toml",
        "the spec of runs/small/three can't be read",
    ]);
}

#[test]
fn a_run_that_goes_on_is_seen_while_it_does() {
    let place = Workplace::new();
    place.write("small.toml", small_in("visitors"));
    let plugins = format!("plugins.path=[{:?}]", fixtures().display().to_string());
    let sets = ["--set", &plugins, "--set", "environment.milliseconds=5", "--set", "steps=1000000000"];
    let mut started = place.start(&mut place.command(&[&["run", "small.toml"], &sets[..]].concat()));
    let has_metrics = || {
        let runs = place.runs("small");
        runs.first()
            .is_some_and(|run| fs::metadata(run.path.join("metrics.jsonl")).is_ok_and(|m| m.len() > 0))
    };
    started.until(has_metrics);
    let shown = place.efference(&["watch", "small"]).expect(0).stdout;
    assert!(shown.contains("  running\n") && shown.contains(" of 1,000,000,000"), "{shown}");
    assert!(!shown.contains('\x1b'), "a pipe gets no control sequences: {shown:?}");
    let listed = place.efference(&["runs"]).expect(0).stdout;
    assert!(listed.contains("  running  "), "{listed}");
    kill_process(started.process(), Signal::KILL).unwrap();
    started.wait();
    place.run("small").until_nobody_writes_it();
    let metrics = place.run("small").path.join("metrics.jsonl");
    OpenOptions::new().append(true).open(metrics).unwrap().write_all(b"{\"step\":99999").unwrap();
    for command in ["watch", "runs"] {
        let shown = place.efference(&[command]).expect(0);
        assert!(shown.stdout.contains("killed") && !shown.stdout.contains("99,999"), "{shown}");
    }
}

#[test]
fn pictures_become_a_sheet_and_an_animation() {
    let place = two_runs();
    let answer = place.efference(&["pictures", "small/three"]).expect(0);
    assert_eq!(answer.stdout, "small-three.png: 3 pictures of stream 0\n");
    let made = ["pictures", "four", "--gif", "a.gif", "--out", "a.png", "--every", "2"];
    let answer = place.efference(&made).expect(0);
    assert_eq!(answer.stdout, "a.gif: 2 of 3 pictures of stream 0\na.png: 2 of 3 pictures of stream 0\n");
    let starts = |name: &str, with: &[u8]| fs::read(place.path().join(name)).unwrap().starts_with(with);
    assert!(
        starts("a.gif", b"GIF89a") && starts("a.png", b"\x89PNG") && starts("small-three.png", b"\x89PNG")
    );
    let refused = |arguments: &[&str], says: &[&str]| {
        place.efference(&[&["pictures"], arguments].concat()).expect(1).says(says);
    };
    refused(&["small", "--stream", "7"], &["no pictures of stream 7; streams with pictures: 0"]);
    refused(&["."], &["'.' is no directory of a run: it has no spec.toml"]);
    refused(&["small/thre"], &["did you mean 'small/three'?", "there are 2 runs"]);
    place.efference(&["pictures", "--every", "0"]).expect(2).says(&["expected a whole number from 1"]);
    place.efference(&["run", "small.toml", "--id", "none", "--set", "record.pictures_every=0"]).expect(0);
    refused(&["none"], &["small/none has no pictures", "pictures_every = 0"]);
}

#[test]
fn a_layer_is_drawn_as_svg_and_png() {
    let place = Workplace::new();
    let sizes = ["--ins", "8", "--outs", "8"];
    let answer = place.efference(&[&["draw", "ldl", "--set", "radix=2"], &sizes[..]].concat()).expect(0);
    assert_eq!(answer.stdout, "ldl-8-8.svg: 3 stages, 48 connections with 24 weights, 24 skip connections\n");
    let svg = fs::read_to_string(place.path().join("ldl-8-8.svg")).unwrap();
    assert_eq!(svg.matches("<circle").count(), 4 * 8);
    assert!(svg.contains("ldl 8 → 8, radix 2"));
    let both = ["draw", "dense", "--out", "d.svg", "--out", "d.png", "--input", "2"];
    let answer = place.efference(&[&both[..], &sizes[..]].concat()).expect(0);
    assert_eq!(answer.stdout.lines().count(), 2, "{answer}");
    assert!(fs::read(place.path().join("d.png")).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn what_can_not_be_drawn_is_refused_with_what_to_do() {
    let place = Workplace::new();
    let fixtures = fixtures();
    let refused = |arguments: &[&str], code, says: &[&str]| {
        place.efference(&[&["draw"], arguments].concat()).expect(code).says(says);
    };
    refused(
        &["ldx", "--ins", "8", "--outs", "8"],
        2,
        &["there is no layer plugin `ldx`", "did you mean \"ldl\"?"],
    );
    refused(
        &["ldl", "--ins", "8", "--outs", "8", "--set", "radx=2"],
        2,
        &["--set radx=2: there is no key `radx`", "did you mean `radix`?"],
    );
    refused(&["ldl", "--ins", "0", "--outs", "8"], 2, &["'--ins <N>': a layer has at least 1"]);
    refused(&["ldl", "--ins", "8", "--outs", "1000"], 2, &["at most 256 nodes", "a smaller layer"]);
    refused(
        &["dense", "--ins", "200", "--outs", "200"],
        1,
        &["40000 connections would be one grey area", "--ins"],
    );
    refused(&["dense", "--ins", "8", "--outs", "8", "--out", "d.jpg"], 2, &["ends in .svg or .png"]);
    refused(&["dense", "--ins", "8", "--outs", "8", "--input", "8"], 1, &["inputs 0 to 7"]);
    let path = fixtures.to_str().unwrap();
    refused(
        &["counting", "--ins", "8", "--outs", "8", "--path", path],
        1,
        &[
            "the layer plugin `counting` does not tell how it connects inputs to outputs",
            "Layer::connections",
        ],
    );
    assert_eq!(
        fs::read_dir(place.path())
            .unwrap()
            .filter(|e| e.as_ref().unwrap().path().extension().is_some_and(|e| e == "svg"))
            .count(),
        0
    );
}

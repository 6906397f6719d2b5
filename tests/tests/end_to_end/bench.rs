//! `efference bench`.
use crate::program::{Answer, SMALL, Workplace, fixtures, small_in};
use rustix::process::{Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

/// Measures [`SMALL`] with changes. Nothing of what is recorded meanwhile stays.
#[track_caller]
fn bench(more: &[&str], sets: &[&str]) -> Answer {
    let place = Workplace::new();
    place.write("small.toml", SMALL);
    let temporary = empty_directory(&place);
    let mut arguments = [&["bench", "small.toml", "--steps", "40", "--warm-up", "5"], more].concat();
    arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
    let answer = place.start(place.command(&arguments).env("TMPDIR", &temporary)).wait().expect(0);
    assert_eq!(answer.stderr, "");
    assert_eq!(fs::read_dir(temporary).unwrap().count(), 0);
    assert!(place.runs("small").is_empty());
    answer
}

fn empty_directory(place: &Workplace) -> PathBuf {
    let path = place.path().join("temporary");
    fs::create_dir(&path).unwrap();
    path
}

#[track_caller]
fn json(sets: &[&str]) -> Value {
    serde_json::from_str(&bench(&["--json"], sets).stdout).unwrap()
}

#[track_caller]
fn number(report: &Value, name: &str) -> f64 {
    let found = name.split('/').fold(report, |value, key| &value[key]);
    let number = found.as_f64().unwrap_or_else(|| panic!("no number {name} in {report}"));
    assert!(number.is_finite(), "{name} in {report}");
    number
}

/// One agent of which all can be said by hand: a state of 256 elements that is all of the cell's input, so that the
/// cell has the stacks z and h, of one layer each; one stream, and no network beside it.
const PLAIN: [&str; 3] =
    ["state.size=256", "trainer.synthetic_gradient.enabled=false", "trainer.unroll_length=2"];

/// Products that a step makes of each row: z and h forward. And in every second step backward, through the first of two
/// transitions (what the second one predicts is seen too late): h to its parameters and its input, z to its
/// parameters alone, as nothing before it is trained.
const PRODUCTS: f64 = 2.0 + 0.5 * (2.0 + 1.0);

/// As [`PRODUCTS`], where autograd goes backward: that is counted in advance, through the second transition too.
const PRODUCTS_BY_AUTOGRAD: f64 = PRODUCTS + 0.5 * (2.0 + 2.0);

#[test]
fn the_work_of_a_step_is_that_of_its_layers() {
    let dense = json(&PLAIN);
    assert_eq!(number(&dense, "flop"), 2.0 * PRODUCTS * 256.0 * 256.0, "{dense}");
    assert_eq!(dense["flop_is_lower_bound"], false);
    // A full matrix and biases in each of the two layers, with a factor behind it: read forward; in every second step
    // read and their gradients written backward, and updated by Adam.
    let parameters = 2.0 * (256.0 * 256.0 + 256.0 + 1.0);
    assert_eq!(number(&dense, "parameters"), parameters);
    let of_parameters = (4.0 + 0.5 * (8.0 + 28.0)) * parameters;
    let bytes = number(&dense, "bytes");
    assert!(of_parameters < bytes && bytes < 1.05 * of_parameters, "{bytes}, not just above {of_parameters}");

    // By radix 16, 256 elements are a block of 16 · 16: each of two sub-layers uses each element 16 times.
    for (kernel, products) in [("auto", PRODUCTS), ("libtorch", PRODUCTS_BY_AUTOGRAD)] {
        let kernel = format!("layer.kernel={kernel}");
        let ldl = json(&[&PLAIN[..], &["layer.plugin=ldl", "layer.radix=16", &kernel]].concat());
        assert_eq!(number(&ldl, "flop"), 2.0 * products * 2.0 * 256.0 * 16.0, "{ldl}");
    }
}

#[test]
fn what_is_measured_is_sane() {
    let report = json(&["record.every=1", "record.pictures_every=10", "checkpoint.every=20"]);
    assert_eq!(number(&report, "steps"), 40.0);
    let parts = [
        "environment",
        "comparing",
        "transition",
        "loss",
        "network",
        "backward",
        "update",
        "recording",
        "other",
    ];
    let told: Vec<_> = report["parts"].as_object().unwrap().keys().collect();
    assert_eq!(told, parts);
    let sum: f64 = parts.iter().map(|part| number(&report, &format!("parts/{part}"))).sum();
    let mean = 1e3 / number(&report, "steps_per_second");
    assert!((sum / mean - 1.0).abs() < 0.01, "the parts are {sum} ms, a step takes {mean} ms");
    assert!(number(&report, "parts/recording") > 0.0);
    assert!(number(&report, "median") <= number(&report, "p95"));
    assert!(number(&report, "peak_memory") > 10.0);
    for name in ["flop", "bytes"] {
        let (a_step, a_second) = (number(&report, name), number(&report, &format!("{name}_per_second")));
        let expected = a_step * number(&report, "steps_per_second");
        assert!(a_step > 0.0 && (a_second / expected - 1.0).abs() < 1e-6, "{name} of {report}");
        assert!(a_second < number(&report, &format!("peak_{name}_per_second")), "{name} of {report}");
    }
}

#[test]
fn a_person_gets_the_share_of_what_the_machine_can_do() {
    let text = bench(&[], &PLAIN).stdout;
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("40 steps: "), "{text}");
    let part = |name: &str| lines.iter().position(|l| l.starts_with(&format!("  {name} "))).unwrap();
    assert!(part("update") < part("recording") && part("recording") < part("other"), "{text}");
    let [.., flop, bytes] = &lines[..] else { panic!("{text}") };
    assert!(flop.starts_with("FLOP 459 k a step, "), "{text}");
    assert!(flop.ends_with("/s of a large matrix product here"), "{text}");
    assert!(bytes.starts_with("at least 2.7") && bytes.contains(" MiB moved a step, "), "{text}");
    assert!(bytes.ends_with("/s of a large copy here"), "{text}");
}

#[test]
fn what_was_recorded_does_not_stay_when_it_is_stopped_or_fails() {
    let place = Workplace::new();
    place.write("small.toml", small_in("visitors"));
    let temporary = empty_directory(&place);
    let left = || fs::read_dir(&temporary).unwrap().count();
    let path = format!("plugins.path=[{:?}]", fixtures().display().to_string());
    let start = |steps: &str, set: &str| {
        let arguments = ["bench", "small.toml", "--steps", steps, "--set", &path, "--set", set];
        place.start(place.command(&arguments).env("TMPDIR", &temporary))
    };
    let mut started = start("1000000000", "environment.milliseconds=1");
    started.until(|| left() == 1);
    kill_process(started.process(), Signal::INT).unwrap();
    started.wait().expect(130).says(&["was stopped after ", "before all was measured"]);
    assert_eq!(left(), 0);
    start("40", "environment.polls=17").wait().expect(1).says(&["the environment ended after 17 steps"]);
    assert_eq!(left(), 0);
}

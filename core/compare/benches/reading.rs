//! How long 50 runs take to be compared: `cargo bench -p efference-compare`.
use efference_compare::{Axis, FigureKind, Request, compare, find_runs, read_members};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Instant;

const RUNS: u32 = 50;
const LINES: u32 = 20_000;

#[allow(clippy::print_stdout)] // what it measured is what it is for
fn main() {
    let root = tempfile::tempdir().expect("a temporary directory");
    for run in 0..RUNS {
        write_run(&root.path().join(format!("x/{run:02}")), run);
    }
    for what in ["from metrics.jsonl, and metrics.columns are made", "from metrics.columns"] {
        let start = Instant::now();
        let request = Request {
            metric: Some("error".to_owned()),
            by: Vec::new(),
            figure: FigureKind::Last(0.2),
            axis: Axis::Step,
            better: None,
            curves: true,
        };
        let runs = find_runs(&["x".into()], root.path()).expect("there are runs");
        let found =
            read_members(runs).and_then(|members| compare(members, &request)).expect("they can be compared");
        assert_eq!(found.groups.len(), 2);
        println!("{RUNS} runs of {LINES} lines, {what}: {:.2} s", start.elapsed().as_secs_f64());
    }
}

/// A run with ten metrics of 16 digits.
fn write_run(path: &Path, run: u32) {
    fs::create_dir_all(path).expect("a directory");
    let spec = format!("seed = {}\n[trainer]\nunroll_length = {}\n", run / 2, run % 2 + 1);
    fs::write(path.join("spec.toml"), spec).expect("a file");
    let names =
        ["loss", "error", "error_last", "error_mean", "skill", "a", "b", "c", "d", "steps_per_second"];
    let mut text = String::new();
    for line in 1..=LINES {
        let _ = write!(text, "{{\"step\":{},\"seconds\":{}", 10 * line, f64::from(line) * 0.004);
        for (at, name) in names.iter().enumerate() {
            let value = (f64::from(line * 7 + run) + at as f64).sin();
            let _ = write!(text, ",\"{name}\":{value:?}");
        }
        text += "}\n";
    }
    fs::write(path.join("metrics.jsonl"), text).expect("a file");
}

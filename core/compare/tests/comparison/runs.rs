//! Runs to compare: directories with a spec and metrics, as a run leaves them.

use efference_compare::{
    Axis, CompareError, Comparison, FigureKind, Request, compare, find_runs, read_members,
};
use efference_runs::directory::{End, Ending, RunDirectory};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A directory of runs, `runs/x/<id>/`.
pub(crate) struct Runs {
    pub(crate) root: TempDir,
}

impl Runs {
    pub(crate) fn new() -> Self {
        Runs { root: tempfile::tempdir().unwrap() }
    }

    /// A finished run with these metrics.
    pub(crate) fn add(&self, id: &str, settings: &str, metrics: &str) -> RunDirectory {
        let run = RunDirectory::claim_as(self.root.path(), "x", id, settings).unwrap();
        fs::write(run.path().join("metrics.jsonl"), metrics).unwrap();
        let end =
            End { how: Ending::Finished, step: 0, seconds: 1.0, ended: String::new(), notes: Vec::new() };
        run.write_end(&end).unwrap();
        run
    }

    /// A run of a group whose `error` is this at the end.
    pub(crate) fn unroll(&self, unroll: u32, seed: u32, error: f64) -> RunDirectory {
        self.add(&format!("u{unroll}-s{seed}"), &spec(unroll, seed), &lines(10, error))
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.root.path().join("x")
    }

    pub(crate) fn compare(&self, change: impl FnOnce(&mut Request)) -> Result<Comparison, CompareError> {
        self.compare_paths(&[self.path()], change)
    }

    pub(crate) fn compare_paths(
        &self,
        paths: &[PathBuf],
        change: impl FnOnce(&mut Request),
    ) -> Result<Comparison, CompareError> {
        let mut request = Request {
            metric: None,
            by: Vec::new(),
            figure: FigureKind::Last(0.2),
            axis: Axis::Step,
            better: None,
            curves: false,
        };
        change(&mut request);
        compare(read_members(find_runs(paths, self.root.path())?)?, &request)
    }
}

pub(crate) fn spec(unroll: u32, seed: u32) -> String {
    format!(
        "name = \"x\"\nseed = {seed}\nsteps = 100\n[trainer]\nplugin = \"bptt\"\nunroll_length = {unroll}\n"
    )
}

/// So many lines, each 10 steps and 0.5 s after the other: `error` falls from 9 to its last value, which the last fifth has.
pub(crate) fn lines(count: u64, error: f64) -> String {
    let line = |at: u64| {
        let value = if at * 5 > count * 4 { error } else { 9.0 };
        format!(
            "{{\"step\":{},\"seconds\":{:?},\"loss\":1.0,\"error\":{value:?}}}\n",
            10 * at,
            at as f64 / 2.0
        )
    };
    (1..=count).map(line).collect()
}

pub(crate) fn error(found: Result<Comparison, CompareError>) -> String {
    found.map(|comparison| comparison.verdict).unwrap_err().to_string()
}

pub(crate) fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{found}, expected {expected}");
}

pub(crate) fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

//! Finds Pythons, and drives the plugin as a host does.
use efference_gymnasium::{Gymnasium, Options};
use efference_sdk::{Environment, EnvironmentSetup, Frame, Frames, Plugin, Result, StepType, action_width};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The variable that names a Python which has Gymnasium; `cargo xtask test` makes one and sets it.
const VARIABLE: &str = "EFFERENCE_GYMNASIUM_PYTHON";

/// The experiment's seed.
pub(crate) const SEED: u64 = 3;

/// A Python that has such modules; says SKIPPED if there is none.
pub(crate) fn python_with(modules: &str) -> Option<String> {
    let python = std::env::var(VARIABLE).unwrap_or_else(|_| "python3".to_owned());
    let mut command = Command::new(&python);
    command.args(["-c", &format!("import {modules}")]).stdout(Stdio::null()).stderr(Stdio::null());
    if command.status().is_ok_and(|status| status.success()) {
        return Some(python);
    }
    skip(&format!("'{python}' has no {modules}; {VARIABLE} may name a Python that has"));
    None
}

fn skip(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED a test of the plugin gymnasium: {why}");
}

/// A Python with the package of `tests/fake`, in a folder that must live as long as it is used; nothing if there is no Python.
pub(crate) fn fake_python() -> Option<(tempfile::TempDir, String)> {
    if Command::new("python3").arg("--version").output().is_err() {
        skip("there is no python3");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let python: PathBuf = folder.path().join("python");
    let fake = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fake");
    let script = format!("#!/bin/sh\nPYTHONDONTWRITEBYTECODE=1 PYTHONPATH='{fake}' exec python3 \"$@\"\n");
    std::fs::write(&python, script).unwrap();
    std::fs::set_permissions(&python, PermissionsExt::from_mode(0o755)).unwrap();
    let python = python.display().to_string();
    Some((folder, python))
}

/// A frame that came.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Came {
    pub(crate) stream: u64,
    pub(crate) observation: Vec<f32>,
    pub(crate) reward: Option<f32>,
    pub(crate) step_type: StepType,
    pub(crate) width: usize,
}

#[derive(Default)]
struct Seen(Vec<Came>);

impl Frames for Seen {
    fn begin(&mut self, _: u64) -> Result<()> {
        Ok(())
    }
    fn frame(&mut self, frame: Frame<'_>) -> Result<()> {
        let Frame { stream, observation, actions, reward, step_type } = frame;
        let (observation, width) = (observation.to_vec(), action_width(actions));
        self.0.push(Came { stream, observation, reward, step_type, width });
        Ok(())
    }
    fn end(&mut self, _: u64) -> Result<()> {
        Ok(())
    }
    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Options for an id.
pub(crate) fn options(python: &str, id: &str) -> Options {
    Options { id: id.to_owned(), python: python.to_owned(), ..Options::default() }
}

pub(crate) fn start(options: Options) -> Result<Gymnasium> {
    Gymnasium::new(options, &EnvironmentSetup::with_seed(SEED))
}

/// The next frames.
pub(crate) fn poll(environment: &mut Gymnasium) -> Result<Vec<Came>> {
    let mut seen = Seen::default();
    let deadline = Instant::now() + Duration::from_secs(60);
    while seen.0.is_empty() && Instant::now() < deadline {
        environment.poll(Duration::from_millis(100), &mut seen)?;
    }
    Ok(seen.0)
}

/// Frames of some steps; after each, every stream acts as `act` says for the number of the step, its own and the width.
pub(crate) fn play(
    environment: &mut Gymnasium,
    steps: usize,
    act: impl Fn(usize, u64, usize) -> Vec<f32>,
) -> Result<Vec<Vec<Came>>> {
    (0..steps)
        .map(|step| {
            let came = poll(environment)?;
            for Came { stream, width, .. } in &came {
                environment.act(*stream, &[], &act(step, *stream, *width))?;
            }
            Ok(came)
        })
        .collect()
}

/// An action of one choice.
pub(crate) fn choose(at: usize, width: usize) -> Vec<f32> {
    (0..width).map(|n| f32::from(u8::from(n == at))).collect()
}

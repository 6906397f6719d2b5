//! The same agent in plain PyTorch, by turns with ours: `--peer PYTHON`.
use crate::agents::Agent;
use crate::measure::{Bench, step};
use crate::table::{Row, Target, median};
use efference_sdk::{Error, Result, bail, ensure};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const THREADS: usize = 2;
/// Turns, and the steps of PyTorch and of ours in each.
const TURNS: usize = 5;
const STEPS: (usize, usize) = (4, 24);

/// A process with the agent in PyTorch.
struct Peer {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    fn start(bench: &Bench<'_>, python: &Path, agent: &Agent, compiled: bool) -> Result<Peer> {
        let file = bench.directory.join("pytorch_agent.py");
        std::fs::write(&file, include_str!("pytorch_agent.py"))?;
        let mut command = alone(python);
        command.arg(file);
        // The slots that the goal reserves are a part of what is observed.
        let sizes = [agent.state as usize, agent.observations + 4, agent.streams as usize, THREADS];
        command.args(sizes.map(|size| size.to_string())).args(compiled.then_some("compile"));
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child =
            child.map_err(|e| Error::msg(format!("{} cannot be started: {e}", python.display())))?;
        let (Some(requests), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("the agent in PyTorch has no standard input and output");
        };
        Ok(Peer { child, requests, answers: BufReader::new(answers) })
    }

    /// Milliseconds of each of so many steps.
    fn steps(&mut self, steps: usize) -> Result<Vec<f64>> {
        writeln!(self.requests, "{steps}")?;
        let mut line = String::new();
        let bytes = self.answers.read_line(&mut line)?;
        ensure!(bytes > 0, "the agent in PyTorch ended; what it printed stands above");
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// This Python, which has another libtorch than efference.
fn alone(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.env_remove("LD_LIBRARY_PATH");
    command
}

/// How many times as long as ours a step of the reference configuration takes in PyTorch, eager and compiled.
///
/// # Errors
/// The Python has no torch, or a process ended.
pub(crate) fn peer(bench: &Bench<'_>, python: &Path) -> Result<Vec<Row>> {
    let torch = alone(python).args(["-c", "import torch"]).stdin(Stdio::null()).output();
    let torch = torch.map_err(|e| Error::msg(format!("{} cannot be started: {e}", python.display())))?;
    ensure!(
        torch.status.success(),
        "{} has no torch: install it there (`pip install torch`), or name another Python",
        python.display()
    );
    let agent = Agent::reference();
    let mut eager = Peer::start(bench, python, &agent, false)?;
    let mut compiled = Peer::start(bench, python, &agent, true)?;
    let mut ours = agent.open(bench.registry, bench.directory)?;
    // The first steps allocate, and compile.
    eager.steps(2)?;
    compiled.steps(3)?;
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..TURNS {
        times[0].extend(eager.steps(STEPS.0)?);
        times[1].extend(compiled.steps(STEPS.0)?);
        for _ in 0..STEPS.1 {
            times[2].push(step(&mut ours)?);
        }
    }
    let [eager, compiled, ours] = times.map(median);
    let row = |name, value, unit, target| Row { name, value, unit, target };
    Ok(vec![
        row(
            "eager PyTorch against the reference configuration",
            eager / ours,
            "times",
            Target::AtLeast(60.0),
        ),
        row("torch.compile against it", compiled / ours, "times", Target::AtLeast(20.0)),
        row("eager PyTorch, a step", eager, "ms", Target::None),
        row("torch.compile, a step", compiled, "ms", Target::None),
        row("the reference configuration, by turns with them", ours, "ms", Target::None),
    ])
}

//! A run of the real program in a directory of its own, and how it is started, waited for and looked at.
use crate::processes::{MARK, of_trial, signal};
use efference_runs::checkpoint::CheckpointFiles;
use efference_runs::directory::RunDirectory;
use fastrand::Rng;
use rustix::process::{Pid, Signal};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

/// Far longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(120);

/// The directory of a trial.
pub(crate) struct Session {
    /// Where the program is started.
    pub(crate) place: PathBuf,
    /// Where `runs/` is.
    pub(crate) runs: PathBuf,
    mark: String,
    started: u32,
}

/// How a process ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// What standard output is.
pub(crate) enum Output {
    File,
    /// A pipe that nobody reads for this long.
    Slow(Duration),
    /// A pipe whose reader goes away after its first bytes.
    Closed,
}

/// A started program.
pub(crate) struct Started {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Session {
    /// In a directory that is there.
    pub(crate) fn new(place: PathBuf, mark: String) -> Self {
        Session { runs: place.with_extension("runs"), place, mark, started: 0 }
    }

    /// The run, once it is one.
    pub(crate) fn run(&self) -> Option<RunDirectory> {
        RunDirectory::open(&self.directory()).ok()
    }

    /// Where the run is, or will be.
    pub(crate) fn directory(&self) -> PathBuf {
        self.runs.join("chaos").join("a")
    }

    /// The processes of this trial.
    pub(crate) fn processes(&self) -> Vec<crate::processes::Process> {
        of_trial(&self.mark)
    }

    /// Starts the program; `limit` is the largest file that it may write, in KiB.
    pub(crate) fn start(
        &mut self,
        arguments: &[&str],
        output: Output,
        limit: Option<u64>,
    ) -> std::io::Result<Started> {
        self.started += 1;
        let file = |name: &str| self.place.with_extension(format!("{}.{name}", self.started));
        let (stdout, stderr) = (file("stdout"), file("stderr"));
        let mut command = match limit {
            // The shell's limit is in units of 512 or 1,024 bytes; which of them does not matter.
            Some(limit) => {
                let mut command = Command::new("sh");
                command.args(["-c", &format!("ulimit -f {limit}; exec \"$@\""), "sh"]).arg(program()?);
                command
            }
            None => Command::new(program()?),
        };
        command
            .args(arguments)
            .current_dir(&self.place)
            .env_clear()
            .env(MARK, &self.mark)
            .stdin(Stdio::null());
        command.env("PATH", "/usr/bin:/bin").env("TMPDIR", self.temporary()).stderr(File::create(&stderr)?);
        match output {
            Output::File => drop(command.stdout(File::create(&stdout)?)),
            Output::Slow(_) | Output::Closed => drop(command.stdout(Stdio::piped())),
        }
        let mut child = command.spawn()?;
        if let Some(mut pipe) = child.stdout.take() {
            let to = stdout.clone();
            thread::spawn(move || match output {
                Output::Slow(time) => {
                    thread::sleep(time);
                    let _ = File::create(to).and_then(|mut to| std::io::copy(&mut pipe, &mut to));
                }
                _ => {
                    let mut first = [0; 64];
                    let _ = std::io::Read::read(&mut pipe, &mut first);
                }
            });
        }
        Ok(Started { child, stdout, stderr })
    }

    /// Where the program has its temporary files.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.place.with_extension("tmp")
    }

    /// Waits for a moment: any at all, or one when there is something new to lose. `false`: the process ended before.
    pub(crate) fn moment(&self, started: &mut Started, random: &mut Rng) -> bool {
        let deadline = Instant::now() + DEADLINE;
        let wait = if random.bool() {
            Duration::from_millis(random.u64(..1_500))
        } else {
            let before = self.newest();
            while self.newest() == before {
                if started.has_ended() || Instant::now() > deadline {
                    return false;
                }
                thread::sleep(Duration::from_millis(1));
            }
            Duration::from_micros(random.u64(..60_000))
        };
        thread::sleep(wait);
        !started.has_ended()
    }

    /// The step of the newest checkpoint.
    fn newest(&self) -> Option<u64> {
        CheckpointFiles::new(self.directory().join("checkpoints")).steps().ok()?.last().copied()
    }

    /// Ends all that is left of the trial.
    pub(crate) fn end_all(&self) {
        signal(&self.processes(), Signal::KILL);
    }
}

impl Started {
    pub(crate) fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end; `None` if it does not come.
    pub(crate) fn wait(mut self) -> Option<Ended> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() > deadline => return None,
                Ok(None) => thread::sleep(Duration::from_millis(2)),
                Ok(Some(status)) => {
                    let read = |path: &Path| {
                        String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
                    };
                    return Some(Ended { status, stdout: read(&self.stdout), stderr: read(&self.stderr) });
                }
                Err(_) => return None,
            }
        }
    }
}

impl Ended {
    /// Whether a signal ended it, or it says so as a shell does, by a status above 128.
    pub(crate) fn by_signal(&self) -> bool {
        self.status.code().is_none_or(|code| code > 128)
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = |text: &str| {
            text.chars().rev().take(400).collect::<Vec<_>>().into_iter().rev().collect::<String>()
        };
        write!(f, "{}\n-- stdout:\n{}\n-- stderr:\n{}", self.status, end(&self.stdout), end(&self.stderr))
    }
}

/// `efference` beside this program.
pub(crate) fn program() -> std::io::Result<PathBuf> {
    Ok(env::current_exe()?.with_file_name("efference"))
}

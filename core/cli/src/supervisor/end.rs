//! The end of an engine: the exit status, and where the engine could not say any more how a run ended, that too.
use super::death::{Death, after_the_end, messages};
use super::memory::OutOfMemory;
use super::words::{note, say};
use efference_runs::FileError;
use efference_runs::checkpoint::CheckpointFiles;
use efference_runs::directory::{End, Ending, Failure, RunDirectory, RunLock};
use efference_runs::time::rfc3339;
use efference_supervision::{Doing, Meaning, Phase, meaning};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// An engine that has ended.
pub(super) struct Ended<'a> {
    /// How its process did.
    pub(super) status: ExitStatus,
    /// What it was doing.
    pub(super) doing: Doing,
    /// The directory of its run, if it has one, or why that is not to be found.
    pub(super) run: Option<Result<RunDirectory, FileError>>,
    /// Whether someone wanted that it ends at once, and by which signal if that came here.
    pub(super) at_once: Option<Option<i32>>,
    /// Whether this process has ended it, as it did not end by itself.
    pub(super) hung: bool,
    /// As of before it was started.
    pub(super) memory: &'a OutOfMemory,
}

impl Ended<'_> {
    /// Says and writes what the engine has not; returns the exit status.
    pub(super) fn conclude(self) -> u8 {
        let death = Death::of(self.status);
        match (self.status.code(), self.doing.status) {
            // It ended as it meant to.
            (Some(code), Some(said)) if code == i32::from(said) => said,
            // How the run ended is written: what comes then does not change it.
            (_, Some(said)) => {
                self.say_that_it_died_late(death);
                said
            }
            _ if self.doing.phase == Phase::Ended => {
                self.say_that_it_died_late(death);
                self.recorded_status().unwrap_or_else(|| death.status())
            }
            // Its own mistakes of the command line it has reported.
            (Some(code), None) if self.doing.phase == Phase::Starting && code != 0 => code as u8,
            _ if self.at_once.is_some() => self.stopped_at_once(death),
            _ if self.was_asked_by(death) => death.status(),
            _ => self.died(death),
        }
    }

    fn say_that_it_died_late(&self, death: Death) {
        if !self.hung && self.at_once.is_none() {
            say(format_args!("warning: {}", after_the_end(death, &self.doing)));
        }
    }

    /// By `end.json`.
    fn recorded_status(&self) -> Option<u8> {
        let end = self.run.as_ref()?.as_ref().ok()?.end().ok()??;
        Some(match end.how {
            Ending::Finished => 0,
            Ending::Stopped => 130,
            Ending::Failed { .. } => 1,
        })
    }

    /// Whether it ended before it listened, by a signal that wants just that.
    fn was_asked_by(&self, death: Death) -> bool {
        let wishes = meaning();
        let asks =
            |signal| wishes.iter().any(|(wish, meaning)| *wish == signal && *meaning != Meaning::Nothing);
        matches!(death, Death::Signal(signal) if asks(signal)) && self.doing.run.is_none()
    }

    fn stopped_at_once(&self, death: Death) -> u8 {
        if let Some(run) = &self.run {
            self.write_end(run, Ending::Stopped);
            if let Ok(run) = run {
                let step = self.doing.step;
                let resume = how_to_resume(run, &self.shown(run)).map(|help| format!(": {help}"));
                say(format_args!("stopped at once, in step {step}{}", resume.unwrap_or_default()));
            }
        }
        self.at_once.flatten().map_or(death.status(), |signal| (128 + signal) as u8)
    }

    fn died(&self, death: Death) -> u8 {
        let mut help = death.help(&self.doing, self.memory);
        let (plugin, messages) = messages(death, &self.doing);
        let Some(run) = &self.run else {
            say(format_args!("error: {}\n  help:   {help}", messages.join(": ")));
            return death.status();
        };
        let shown = run.as_ref().map_or_else(|_| PathBuf::new(), |run| self.shown(run));
        if let Ok(run) = run
            && let Some(resume) = how_to_resume(run, &shown)
        {
            help = format!("{help}. {}{}", resume[..1].to_uppercase(), &resume[1..]);
        }
        let failure = Failure {
            plugin,
            step: self.doing.step,
            messages,
            help,
            directory: shown,
            died: true,
            missing: None,
        };
        say(format_args!("error: {failure}"));
        if let Ok(run) = run {
            note(run, &format!("ERROR efference: {failure}"));
        }
        self.write_end(run, Ending::from(&failure));
        death.status()
    }

    fn shown(&self, run: &RunDirectory) -> PathBuf {
        // As the engine calls it, where it still lies there.
        let said = self.doing.run.as_deref().filter(|said| said.exists()).unwrap_or(run.path());
        let here = std::env::current_dir().ok();
        here.and_then(|here| said.strip_prefix(here).ok().map(Path::to_owned))
            .unwrap_or_else(|| said.to_owned())
    }

    /// Writes how the run ended, unless it is written or the run is another process's by now.
    fn write_end(&self, run: &Result<RunDirectory, FileError>, how: Ending) {
        let now = SystemTime::now();
        let since_1970 = now.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        let seconds = (since_1970 - self.doing.began).max(0.0);
        let end = End { how, step: self.doing.step, seconds, ended: rfc3339(now), notes: Vec::new() };
        let write = |run: &RunDirectory| {
            let Some(_lock) = lock_soon(run)? else { return Ok(()) };
            if run.end()?.is_none() {
                run.write_end(&end)?;
                run.remove_unfinished();
            }
            Ok(())
        };
        if let Err(error) = run.as_ref().map_err(FileError::clone).and_then(write) {
            say(format_args!("error: how the run ended could not be written: {error}"));
        }
    }
}

/// The lock of a run whose engine has died; `None` if another process has it for longer than what the engine left behind would: a
/// process that it was about to start has its files until it is started.
fn lock_soon(run: &RunDirectory) -> Result<Option<RunLock>, FileError> {
    let until = Instant::now() + Duration::from_secs(2);
    loop {
        let lock = run.lock()?;
        if lock.is_some() || Instant::now() > until {
            return Ok(lock);
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// ``go on from step 800 with `efference resume …` ``, if there is a checkpoint.
fn how_to_resume(run: &RunDirectory, shown: &Path) -> Option<String> {
    let step = CheckpointFiles::new(run.checkpoints()).newest(None).ok()??;
    Some(format!("go on from step {step} with `efference resume {}`", shown.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_lock_of_a_dead_engine_is_waited_for_while_what_it_was_starting_has_it() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("spec.toml"), "").unwrap();
        let run = RunDirectory::open(place.path()).unwrap();
        let held = run.lock().unwrap().unwrap();
        let starting = thread::spawn(move || {
            thread::sleep(Duration::from_millis(200));
            drop(held);
        });
        assert!(lock_soon(&run).unwrap().is_some());
        starting.join().unwrap();
        let _held = run.lock().unwrap().unwrap();
        assert!(lock_soon(&run).unwrap().is_none(), "another process goes on with the run");
    }
}

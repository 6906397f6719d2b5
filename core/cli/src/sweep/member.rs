//! Where a member of a sweep stands.
use super::SweepFolder;
use efference_runs::FileError;
use efference_runs::directory::{Ending, RunDirectory, RunState};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Where a member stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MemberState {
    /// It has not begun.
    Planned,
    /// It waits for Slurm to start it.
    Queued,
    /// A process is at it.
    Running,
    /// All steps were done.
    Finished,
    /// Someone stopped it, or it was killed; it can be gone on with.
    Interrupted,
    /// It failed; the reason.
    Failed(String),
}

impl MemberState {
    /// In one word.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            MemberState::Planned => "planned",
            MemberState::Queued => "queued",
            MemberState::Running => "running",
            MemberState::Finished => "done",
            MemberState::Interrupted => "stopped",
            MemberState::Failed(_) => "failed",
        }
    }
}

impl SweepFolder {
    /// Where a member stands, as its directory says.
    ///
    /// # Errors
    /// If a file that says so is there and can't be read.
    pub(crate) fn state(&self, id: &str) -> Result<MemberState, FileError> {
        let path = self.run(id);
        if !path.exists() {
            // What ended before it had a directory said why.
            let said = fs::read_to_string(self.log(id)).unwrap_or_default();
            return Ok(if said.trim().is_empty() {
                MemberState::Planned
            } else {
                MemberState::Failed(reason(&said))
            });
        }
        if !path.join("spec.toml").exists() {
            return Ok(MemberState::Interrupted);
        }
        let run = RunDirectory::open(&path)?;
        Ok(match run.state()? {
            RunState::Running => MemberState::Running,
            RunState::Finished => MemberState::Finished,
            RunState::Stopped | RunState::Killed => MemberState::Interrupted,
            RunState::Failed => MemberState::Failed(match run.end()?.map(|end| end.how) {
                Some(Ending::Failed { messages, .. }) => messages.join(": "),
                _ => String::new(),
            }),
        })
    }

    /// The last recorded line of a member: its step, and what was measured.
    pub(crate) fn last_line(&self, id: &str) -> Option<(u64, Vec<(String, f64)>)> {
        let text = tail(&self.run(id).join("metrics.jsonl"))?;
        let line = text.lines().rev().find_map(|line| serde_json::from_str::<Value>(line).ok())?;
        let values = line.as_object()?.iter();
        let values = values.filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect();
        Some((line.get("step")?.as_u64()?, values))
    }
}

/// The line of an error in what a program printed, or else the last one.
fn reason(said: &str) -> String {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let error = lines().rev().find_map(|line| line.strip_prefix("error: "));
    error.or_else(|| lines().next_back()).unwrap_or_default().to_owned()
}

/// The whole lines at the end of a file that is written at the same time.
fn tail(path: &Path) -> Option<String> {
    const BYTES: u64 = 16 * 1024;
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(BYTES))).ok()?;
    let mut text = Vec::new();
    file.take(BYTES).read_to_end(&mut text).ok()?;
    text.truncate(text.iter().rposition(|byte| *byte == b'\n')? + 1);
    Some(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_line_is_read_and_a_half_written_one_is_not() {
        let root = tempfile::tempdir().unwrap();
        let folder = SweepFolder::new(root.path(), "x");
        fs::create_dir_all(folder.run("a")).unwrap();
        let write = |text: &str| fs::write(folder.run("a").join("metrics.jsonl"), text).unwrap();
        write("{\"step\":10,\"error\":2.5}\n{\"step\":20,\"error\":null}\n{\"step\":3");
        assert_eq!(folder.last_line("a"), Some((20, vec![("step".to_owned(), 20.0)])));
        write("{\"step\":10,");
        assert_eq!(folder.last_line("a"), None);
    }

    #[test]
    fn a_member_that_ended_before_it_had_a_directory_has_failed() {
        let root = tempfile::tempdir().unwrap();
        let folder = SweepFolder::new(root.path(), "x");
        drop(folder.lock().unwrap());
        assert_eq!(folder.state("a").unwrap(), MemberState::Planned);
        fs::write(folder.log("a"), "a note\nerror: no such device\n").unwrap();
        assert_eq!(folder.state("a").unwrap(), MemberState::Failed("no such device".into()));
        folder.set_aside("a").unwrap();
        assert_eq!(folder.state("a").unwrap(), MemberState::Planned);
        assert!(folder.path("set-aside").join("a.1.txt").exists());
    }
}

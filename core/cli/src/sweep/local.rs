//! Runs members of a sweep on this machine, so many at once.
use super::member::MemberState;
use super::progress::SweepProgress;
use super::{Planned, Share, SweepFolder, children};
use crate::engine::this_program;
use efference_runs::FileError;
use efference_spec::sets_a_key;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::collections::VecDeque;
use std::env;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often it is looked whether something happened.
const POLL: Duration = Duration::from_millis(30);

/// How long a member is waited for that another process has: one that was killed leaves runs that stop within seconds.
const OTHERS_STOP_WITHIN: Duration = Duration::from_secs(10);

/// How often a run is begun again that someone stopped.
const MOST_TRIES: u32 = 2;

/// How members are run.
pub(crate) struct Launch<'a> {
    /// Where.
    pub(crate) folder: &'a SweepFolder,
    /// How many at once.
    pub(crate) share: Share,
    /// Whether those that failed begin anew.
    pub(crate) retry: bool,
    /// Ctrl-C and its like.
    signals: Signals,
    /// How many came.
    stops: u32,
}

/// What came of members.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// How many are finished.
    pub(crate) finished: usize,
    /// Those that failed, and why.
    pub(crate) failed: Vec<(String, String)>,
    /// Those that another process has.
    pub(crate) in_use: Vec<String>,
    /// Whether someone stopped it.
    pub(crate) stopped: bool,
}

struct Running<'a> {
    member: &'a Planned,
    child: Child,
    tries: u32,
}

impl<'a> Launch<'a> {
    /// Listens to signals from now on.
    ///
    /// # Errors
    /// A sentence, if it can't.
    pub(crate) fn new(folder: &'a SweepFolder, share: Share, retry: bool) -> Result<Self, String> {
        let signals = Signals::new([SIGINT, SIGTERM, SIGHUP]);
        let signals = signals.map_err(|e| format!("signals cannot be listened to: {e}"))?;
        Ok(Launch { folder, share, retry, signals, stops: 0 })
    }
}

/// The command that starts a member, or goes on with it from its last checkpoint. What is left of one that failed, or that was
/// killed before it was a run, is put out of the way.
pub(super) fn start_or_resume(
    folder: &SweepFolder,
    member: &Planned,
    threads: Option<usize>,
    state: &MemberState,
) -> Result<(PathBuf, Vec<OsString>), String> {
    let run = folder.run(&member.id);
    if *state == MemberState::Interrupted && run.join("spec.toml").exists() {
        return Ok((this_program()?, vec!["resume".into(), run.into()]));
    }
    if *state != MemberState::Planned {
        folder.set_aside(&member.id).map_err(|e| e.to_string())?;
    }
    let mut arguments: Vec<OsString> = vec!["run".into(), folder.spec(&member.id).into()];
    arguments.extend(["--id".into(), member.id.clone().into(), "--runs".into(), folder.runs.clone().into()]);
    if let Some(threads) = threads {
        arguments.extend(["--set".into(), format!("threads={threads}").into()]);
    }
    Ok((this_program()?, arguments))
}

/// Runs these members, whatever of them is not finished.
///
/// # Errors
/// A sentence, if nothing can be run at all. A member that fails is no error.
pub(crate) fn run_members(launch: &mut Launch<'_>, members: &[&Planned]) -> Result<Outcome, String> {
    let folder = launch.folder;
    let mut outcome = Outcome::default();
    let mut progress = SweepProgress::new(folder, members);
    let mut queue: VecDeque<(&Planned, u32)> = members.iter().map(|member| (*member, 0)).collect();
    let mut running: Vec<Running<'_>> = Vec::new();
    let mut others: Vec<(&Planned, Instant)> = Vec::new();
    loop {
        for _ in launch.signals.pending() {
            launch.stops += 1;
            running.iter().for_each(|one| children::stop(&one.child));
            if launch.stops == 1 && !running.is_empty() {
                progress.say("Stopping after the present step; Ctrl-C again stops at once.");
            }
        }
        let mut left = Vec::new();
        for mut one in running {
            match one.child.try_wait() {
                Ok(None) => left.push(one),
                Ok(Some(status)) => {
                    let stopping = launch.stops > 0;
                    if !ended(folder, &one, status, stopping, &mut outcome, &mut progress)? {
                        queue.push_front((one.member, one.tries));
                    }
                }
                Err(e) => return Err(format!("{} cannot be waited for: {e}", one.member.id)),
            }
        }
        running = left;
        if launch.stops > 0 {
            if running.is_empty() {
                outcome.stopped = true;
                break;
            }
        } else {
            others.retain(|(member, since)| match folder.state(&member.id) {
                Ok(MemberState::Running) if since.elapsed() < OTHERS_STOP_WITHIN => true,
                Ok(MemberState::Running) => {
                    outcome.in_use.push(member.id.clone());
                    false
                }
                _ => {
                    queue.push_back((*member, 0));
                    false
                }
            });
            while running.len() < launch.share.jobs
                && let Some((member, tries)) = queue.pop_front()
            {
                match folder.state(&member.id).map_err(|e| e.to_string())? {
                    MemberState::Finished => {
                        outcome.finished += 1;
                        progress.is_done_already(member);
                    }
                    MemberState::Failed(why) if !launch.retry || tries > 0 => {
                        progress.failed(member, &why);
                        outcome.failed.push((member.id.clone(), why));
                    }
                    MemberState::Running => others.push((member, Instant::now())),
                    state => {
                        let child = start(launch, member, &state)?;
                        progress.started(member);
                        running.push(Running { member, child, tries: tries + 1 });
                    }
                }
            }
            if running.is_empty() && queue.is_empty() && others.is_empty() {
                break;
            }
        }
        progress.update();
        std::thread::sleep(POLL);
    }
    progress.finish();
    Ok(outcome)
}

fn start(launch: &Launch<'_>, member: &Planned, state: &MemberState) -> Result<Child, String> {
    let (program, arguments) = start_or_resume(launch.folder, member, launch.share.threads, state)?;
    let path = launch.folder.log(&member.id);
    let log = OpenOptions::new().create(true).append(true).open(&path);
    let log = log.map_err(|e| FileError::new("write", &path, &e).to_string())?;
    let errors = log.try_clone().map_err(|e| FileError::new("write", &path, &e).to_string())?;
    let mut command = Command::new(&program);
    command.args(arguments).stdin(Stdio::null()).stdout(log).stderr(errors);
    // The spec of a member is whole; variables had their say when it was made.
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(sets_a_key)) {
        command.env_remove(name);
    }
    children::start(&mut command).map_err(|e| format!("{} cannot be started: {e}", program.display()))
}

/// Notes how a member's process ended. Whether that was the end of the member: if not, it is to be begun again.
fn ended(
    folder: &SweepFolder,
    one: &Running<'_>,
    status: ExitStatus,
    stopping: bool,
    outcome: &mut Outcome,
    progress: &mut SweepProgress<'_>,
) -> Result<bool, String> {
    let member = one.member;
    let mut failed = |why: String, progress: &mut SweepProgress<'_>| {
        progress.failed(member, &why);
        outcome.failed.push((member.id.clone(), why));
    };
    match folder.state(&member.id).map_err(|e| e.to_string())? {
        MemberState::Finished => {
            outcome.finished += 1;
            progress.finished(member);
        }
        MemberState::Failed(why) if !stopping => failed(why, progress),
        _ if stopping => progress.stopped(member),
        // Someone else stopped it, or was at it when it was started.
        _ if one.tries < MOST_TRIES => return Ok(false),
        _ => failed(
            format!("its process ended without a word ({status}); see {}", folder.log(&member.id).display()),
            progress,
        ),
    }
    Ok(true)
}

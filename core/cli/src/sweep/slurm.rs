//! `--launcher slurm`: members as tasks of job arrays, with the same ids and directories as on one machine.
//!
//! What Slurm knows is asked of `squeue`, and how a member ended is in its directory: `sacct` needs a database that many
//! clusters do not have.
use super::local::start_or_resume;
use super::{MemberState, Planned, Share, SweepFolder};
use crate::print;
use efference_runs::FileError;
use efference_runs::directory::write_atomically;
use efference_spec::sets_a_key;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs, io};

/// A job array that was submitted.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Array {
    /// Slurm's number of it.
    job: String,
    /// The members, in the order of its tasks, which count from 1.
    members: Vec<String>,
}

/// How job arrays are submitted.
pub(crate) struct Submission<'a> {
    /// What is given to `sbatch`.
    pub(crate) options: &'a [String],
    /// How many tasks run at once; as many as Slurm lets, without.
    pub(crate) at_once: Option<usize>,
    /// Whether members that failed begin anew.
    pub(crate) retry: bool,
    /// How many threads a member has.
    pub(crate) share: Share,
    /// The name of the jobs.
    pub(crate) name: &'a str,
}

/// Makes sure that there is a Slurm, before anything is written.
///
/// # Errors
/// A sentence, if there is none.
pub(crate) fn is_there() -> Result<(), String> {
    slurm(Command::new("squeue").arg("--version")).map(drop)
}

/// Shows where the members stand, and submits those that neither wait nor run nor are done. Whether any has failed.
///
/// # Errors
/// A sentence, such as that there is no Slurm.
pub(crate) fn submit(
    folder: &SweepFolder,
    members: &[&Planned],
    submission: &Submission<'_>,
) -> Result<bool, String> {
    let directory = std::path::absolute(folder.path("slurm")).map_err(|e| e.to_string())?;
    let record = directory.join("arrays.json");
    let mut arrays: Vec<Array> = match fs::read(&record) {
        Ok(text) => serde_json::from_slice(&text)
            .map_err(|e| FileError::new("read", &record, &e.into()).to_string())?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(FileError::new("read", &record, &e).to_string()),
    };
    let queue = queue(&arrays, submission.name)?;
    let mut states: Vec<(&Planned, MemberState)> = Vec::new();
    let mut missing: Vec<&Planned> = Vec::new();
    let mut commands = Vec::new();
    for member in members {
        let on_disk = folder.state(&member.id).map_err(|e| e.to_string())?;
        let state = match (&on_disk, queue.get(&member.id)) {
            (MemberState::Finished, _) | (_, None) => on_disk,
            (_, Some(state)) => state.clone(),
        };
        let begins = match &state {
            MemberState::Planned | MemberState::Interrupted => true,
            MemberState::Failed(_) => submission.retry,
            _ => false,
        };
        if begins {
            let (program, arguments) =
                start_or_resume(&folder.absolute()?, member, submission.share.threads, &state)?;
            let words =
                [program.as_os_str()].into_iter().chain(arguments.iter().map(|word| word.as_os_str()));
            let line: Vec<String> = words.map(quoted).collect::<Result<_, _>>()?;
            let log = std::path::absolute(folder.log(&member.id)).map_err(|e| e.to_string())?;
            commands.push(format!("{} >> {} 2>&1\n", line.join(" "), quoted(log.as_os_str())?));
            missing.push(member);
        }
        states.push((member, state));
    }
    if !missing.is_empty() {
        let place = directory.join(format!("{}", arrays.len() + 1));
        let job = sbatch(&place, &commands.concat(), missing.len(), submission)?;
        print(&format!("Submitted {} members as the job array {job}.\n", missing.len()));
        let members: Vec<String> = missing.iter().map(|member| member.id.clone()).collect();
        for (_, state) in states.iter_mut().filter(|(member, _)| members.contains(&member.id)) {
            *state = MemberState::Queued;
        }
        arrays.push(Array { job, members });
        let text = serde_json::to_vec_pretty(&arrays).map_err(|e| e.to_string())?;
        write_atomically(&record, &text).map_err(|e| e.to_string())?;
    }
    Ok(show(&states))
}

/// Prints a line for each member, and the counts. Whether any has failed.
fn show(states: &[(&Planned, MemberState)]) -> bool {
    let width = states.iter().map(|(member, _)| member.id.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (member, state) in states {
        text += &format!("{:<width$}  {}", member.id, state.name());
        if let MemberState::Failed(why) = state {
            text += &format!(": {why}");
        }
        text.push('\n');
    }
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for (_, state) in states {
        match counts.iter_mut().find(|(name, _)| *name == state.name()) {
            Some((_, count)) => *count += 1,
            None => counts.push((state.name(), 1)),
        }
    }
    let counts: Vec<String> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
    text += &format!("{} members: {}\n", states.len(), counts.join(", "));
    print(&text);
    states.iter().any(|(_, state)| matches!(state, MemberState::Failed(_)))
}

/// The members that wait or run, by their ids.
fn queue(arrays: &[Array], name: &str) -> Result<HashMap<String, MemberState>, String> {
    // By name, not by number: squeue refuses numbers that it has forgotten.
    let arguments = ["--noheader", "--array", "--format=%F|%K|%T", &format!("--name={}", job_name(name))];
    let said = slurm(Command::new("squeue").args(arguments))?;
    let mut queue = HashMap::new();
    for line in said.lines() {
        let [job, task, state] = line.trim().split('|').collect::<Vec<_>>()[..] else { continue };
        let Some(array) = arrays.iter().find(|array| array.job == job) else { continue };
        let member = task.parse::<usize>().ok().and_then(|task| array.members.get(task.checked_sub(1)?));
        if let Some(member) = member {
            let waits = ["PENDING", "CONFIGURING", "REQUEUED"].contains(&state);
            queue.insert(member.clone(), if waits { MemberState::Queued } else { MemberState::Running });
        }
    }
    Ok(queue)
}

/// Writes the files of a job array and submits it; returns its number.
fn sbatch(place: &Path, commands: &str, tasks: usize, submission: &Submission<'_>) -> Result<String, String> {
    fs::create_dir_all(place).map_err(|e| FileError::new("make", place, &e).to_string())?;
    let (list, script) = (place.join("commands"), place.join("array.sh"));
    write_atomically(&list, commands.as_bytes()).map_err(|e| e.to_string())?;
    let text = format!(
        "#!/bin/sh\n# One task is one member of the sweep: the line of its number.\n\
         command=$(sed -n \"${{SLURM_ARRAY_TASK_ID}}p\" {})\neval \"exec $command\"\n",
        quoted(list.as_os_str())?
    );
    write_atomically(&script, text.as_bytes()).map_err(|e| e.to_string())?;
    let limit = submission.at_once.map_or(String::new(), |at_once| format!("%{at_once}"));
    let mut command = Command::new("sbatch");
    command
        .arg("--parsable")
        .arg(format!("--job-name={}", job_name(submission.name)))
        .arg(format!("--array=1-{tasks}{limit}"))
        .arg(format!("--output={}/%a.txt", place.display()))
        .arg(format!("--cpus-per-task={}", submission.share.threads.unwrap_or(1)))
        .args(submission.options)
        .arg(&script);
    let said = slurm(&mut command)?;
    // `12`, or `12;cluster`
    Ok(said.trim().split(';').next().unwrap_or_default().to_owned())
}

fn job_name(name: &str) -> String {
    format!("efference-{name}")
}

/// Runs a program of Slurm's; returns what it printed.
fn slurm(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    // Jobs inherit the environment. The spec of a member is whole; variables had their say when it was made.
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(sets_a_key)) {
        command.env_remove(name);
    }
    let Output { status, stdout, stderr } = command.output().map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => format!(
            "there is no Slurm here: the program `{program}` was not found. Run this where Slurm's programs are in PATH, or \
             leave out `--launcher slurm` to run the sweep on this machine"
        ),
        _ => format!("`{program}` cannot be started: {e}"),
    })?;
    if !status.success() {
        return Err(format!("`{program}` failed: {}", String::from_utf8_lossy(&stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

/// A word as a shell reads it.
fn quoted(word: &OsStr) -> Result<String, String> {
    let text = word.to_str().filter(|text| !text.contains('\n'));
    let text = text.ok_or_else(|| format!("{word:?} cannot be given to Slurm: it is no line of UTF-8"))?;
    Ok(format!("'{}'", text.replace('\'', "'\\''")))
}

impl SweepFolder {
    /// The same folder from wherever a job runs.
    fn absolute(&self) -> Result<SweepFolder, String> {
        let name: PathBuf = self.run("").file_name().unwrap_or_default().into();
        let runs = std::path::absolute(&self.runs).map_err(|e| e.to_string())?;
        Ok(SweepFolder::new(&runs, &name.to_string_lossy()))
    }
}

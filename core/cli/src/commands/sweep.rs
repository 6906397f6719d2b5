//! `efference sweep`.
use crate::commands::simulate_decisions::DesignArgs;
use crate::output::{say, say_note};
use crate::paths::path;
use crate::spec_file::{self, SpecArgs};
use crate::sweep::decide::{self, Question};
use crate::sweep::memory::within_memory;
use crate::sweep::slurm::{self, Submission};
use crate::sweep::{Launch, MemberState, Outcome, Plan, Planned, Rebuilt, Share, SweepFolder, run_members};
use crate::{fail, print};
use clap::{Args, ValueEnum};
use efference_spec::{SweepMember, SweepMembers};
use std::fs;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Runs a spec once for each combination of what its `[sweep]` says.
///
/// Every member is checked before the first starts. Each has a directory `runs/<name>/<id>/`, and the sweep keeps its plan
/// in `runs/<name>/sweep/`. The same command goes on with a sweep that was stopped: what is done is skipped. Ctrl-C stops
/// the members after their step, a second one at once. Exit status: 0 all are done, 1 some failed, 2 the spec has problems,
/// 130 stopped.
#[derive(Debug, Args)]
pub struct SweepArgs {
    /// The spec and its changes.
    #[command(flatten)]
    pub spec: SpecArgs,
    /// The directory that holds the runs.
    #[arg(long, default_value = "runs", value_name = "DIR", value_parser = path())]
    pub runs: PathBuf,
    /// Members that run at once; by default as many as there are cores for.
    #[arg(long, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
    /// Begins members anew that have failed.
    #[arg(long)]
    pub retry: bool,
    /// Makes members anew that are done, and were made with another build of a plugin than there is today.
    #[arg(long, conflicts_with = "until_decided")]
    pub rebuilt: bool,
    /// Begins though the members that run at once take more memory than there seems to be; each still has to fit.
    #[arg(long)]
    pub force: bool,
    /// Only lists the members, and where they stand.
    #[arg(long)]
    pub dry_run: bool,
    /// Where members run.
    #[arg(long, value_enum, default_value_t = Launcher::Local, value_name = "WHERE")]
    pub launcher: Launcher,
    /// An option for `sbatch`, as in `--slurm-option --time=1:00:00`; may be given again.
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    pub slurm_option: Vec<String>,
    /// Adds seeds in groups until the comparison of all values of this key is decided: a key that the sweep varies, or
    /// `variants`.
    #[arg(long, value_name = "KEY")]
    pub until_decided: Option<String>,
    /// The metric that values are compared by: its mean over the last fifth of a run's lines.
    #[arg(long, default_value = "error", value_name = "NAME", requires = "until_decided")]
    pub metric: String,
    /// How it is decided.
    #[command(flatten)]
    pub design: DesignArgs,
}

/// Where members run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Launcher {
    /// On this machine.
    Local,
    /// As a job array of Slurm's; this command submits what is missing, shows where all stands, and ends.
    Slurm,
}

/// Does it; returns the exit status.
pub fn run(arguments: &SweepArgs) -> u8 {
    sweep(arguments).unwrap_or_else(|status| status)
}

fn sweep(arguments: &SweepArgs) -> Result<u8, u8> {
    let slurm = arguments.launcher == Launcher::Slurm;
    if !slurm && !arguments.slurm_option.is_empty() {
        return Err(fail("--slurm-option is for `--launcher slurm`"));
    }
    if slurm && arguments.until_decided.is_some() {
        return Err(fail("--until-decided waits for results, group by group, and runs on this machine only"));
    }
    let question = question(arguments).map_err(fail)?;
    let (all, as_written) = members(arguments, question.as_ref())?;
    let folder = SweepFolder::new(&arguments.runs, &all.spec.name);
    let before = folder.plan().map_err(fail)?;
    let text = fs::read_to_string(&arguments.spec.file).unwrap_or_default();
    // Which members a comparison takes shows as it goes on.
    let planned: &[SweepMember] = if question.is_some() { &[] } else { &all.members };
    let spec = as_written.as_ref().unwrap_or(&all.spec);
    let mut plan = Plan::new(arguments.spec.file.clone(), text, &arguments.spec.set, spec, planned);
    for line in before.map_or_else(Vec::new, |before| plan.follow(before)) {
        print(&format!("{line}\n"));
    }
    for (settings, id) in &all.same {
        let shown =
            crate::sweep::shown_settings(settings.iter().map(|(key, value)| (key.to_string(), value)));
        print(&format!("{shown}: the same run as {id}, which stands for both\n"));
    }
    if arguments.dry_run {
        return list(&folder, &all, &plan).map_err(fail);
    }
    if slurm {
        slurm::is_there().map_err(fail)?;
    }
    let _lock = folder.lock().map_err(fail)?;
    let specs = all.members.iter().map(|member| &member.spec);
    let mut share = Share::of(specs, arguments.jobs);
    if !slurm && !arguments.force {
        share = within_memory(share, &all.members, arguments.jobs.map(NonZeroUsize::get))?;
    }
    let ids: Vec<(String, &SweepMember)> =
        planned.iter().filter_map(|member| Some((plan.id_of(member)?.to_owned(), member))).collect();
    let rebuilt = Rebuilt::of(&folder, ids.iter().map(|(id, member)| (id.as_str(), *member)));
    if arguments.rebuilt {
        rebuilt.members.iter().try_for_each(|id| folder.set_aside(id)).map_err(fail)?;
    } else if let Some(note) = rebuilt.note() {
        say_note(note);
    }
    folder.write(&plan, ids.iter().map(|(id, member)| (id.as_str(), *member))).map_err(fail)?;
    let current = plan.clone();
    let current: Vec<&Planned> = current.current().collect();
    if slurm {
        let submission = Submission {
            options: &arguments.slurm_option,
            at_once: arguments.jobs.map(NonZeroUsize::get),
            retry: arguments.retry,
            share,
            name: &all.spec.name,
        };
        return slurm::submit(&folder, &current, &submission).map(u8::from).map_err(fail);
    }
    let mut launch = Launch::new(&folder, share, arguments.retry).map_err(fail)?;
    let outcome = match &question {
        None => run_members(&mut launch, &current),
        Some(question) => decide::until_decided(&mut launch, question, &all, &mut plan),
    };
    Ok(summary(&folder, &outcome.map_err(fail)?))
}

/// What is to be decided, if something is.
fn question(arguments: &SweepArgs) -> Result<Option<Question>, String> {
    let Some(key) = &arguments.until_decided else { return Ok(None) };
    let test = arguments.design.test()?;
    Ok(Some(Question { key: key.clone(), metric: arguments.metric.clone(), test }))
}

/// The members; if something is to be decided, with all seeds that it may take, and the spec as it is written.
fn members(
    arguments: &SweepArgs,
    question: Option<&Question>,
) -> Result<(SweepMembers, Option<efference_spec::Spec>), u8> {
    let no_sweep = || {
        fail(format!(
            "{} says nothing of what is to be varied: give it a section [sweep], such as\n\n    [sweep]\n    \
             \"trainer.unroll_length\" = [1, 2]\n    seed = {{ from = 1, to = 5 }}",
            arguments.spec.file.display()
        ))
    };
    let Some(question) = question else {
        let all = spec_file::load_members(&arguments.spec)?;
        return if all.members.is_empty() { Err(no_sweep()) } else { Ok((all, None)) };
    };
    let spec = spec_file::load(&arguments.spec)?;
    if spec.sweep.is_empty() {
        return Err(no_sweep());
    }
    let seeds = decide::seeds(&spec, question).map_err(fail)?;
    let seeds: Vec<String> = seeds.iter().map(ToString::to_string).collect();
    let mut with_seeds = arguments.spec.clone();
    with_seeds.set.push(format!("sweep.seed=[{}]", seeds.join(", ")));
    Ok((spec_file::load_members(&with_seeds)?, Some(spec)))
}

/// Prints all members, what they set, and where they stand.
fn list(folder: &SweepFolder, all: &SweepMembers, plan: &Plan) -> Result<u8, String> {
    let mut text = String::new();
    for member in &all.members {
        let id = plan.id_of(member).unwrap_or(&member.id);
        let state = folder.state(id).map_err(|e| e.to_string())?;
        text += &format!("{id}  {}  {}\n", state.name(), Planned::new(member).shown());
    }
    text += &format!("{} members of {}\n", all.members.len(), folder.run("").display());
    print(&text);
    Ok(0)
}

/// Prints how it ended; returns the exit status.
fn summary(folder: &SweepFolder, outcome: &Outcome) -> u8 {
    let mut text =
        format!("{} members are done; everything is in {}\n", outcome.finished, folder.run("").display());
    if outcome.stopped {
        text += "Stopped. The same command goes on.\n";
    }
    print(&text);
    for (id, why) in &outcome.failed {
        say(format!("error: {id} failed: {why}"));
    }
    if !outcome.failed.is_empty() {
        say(format!(
            "`--retry` begins what failed anew; what each printed is in {}",
            folder.path("logs").display()
        ));
    }
    for id in &outcome.in_use {
        say(format!(
            "error: {} is in use by another process ({}): wait for its end, and call this again",
            folder.run(id).display(),
            MemberState::Running.name()
        ));
    }
    match (outcome.stopped, outcome.failed.is_empty() && outcome.in_use.is_empty()) {
        (true, _) => 130,
        (false, true) => 0,
        (false, false) => 1,
    }
}

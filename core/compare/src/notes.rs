//! What else a reader of a comparison should know.
use crate::comparison::Comparison;
use crate::figure::{Axis, FigureKind};
use crate::grouping::Grouping;
use crate::member::Member;
use crate::request::Request;
use efference_runs::Grouped;
use efference_runs::directory::RunState;
use std::collections::BTreeMap;

/// Names in a note, at most.
const NAMED: usize = 4;

/// Runs that take no part.
pub(crate) fn left_out(
    nothing_yet: &[Member],
    without: &[&Member],
    doubles: &[&Member],
    metric: &str,
) -> Vec<String> {
    let mut notes = Vec::new();
    let nothing_yet: Vec<&Member> = nothing_yet.iter().collect();
    for (runs, why) in [
        (&nothing_yet[..], "recorded nothing yet".to_owned()),
        (without, format!("recorded no `{metric}`")),
        (doubles, "have spec and seed of a run that went on longer or is later".to_owned()),
    ] {
        if !runs.is_empty() {
            notes.push(format!(
                "Left out, as they {why}: {}.",
                names(runs.iter().map(|run| run.directory.id()))
            ));
        }
    }
    notes
}

/// What should be known of the runs that do.
pub(crate) fn notes(
    comparison: &Comparison,
    grouping: &Grouping,
    members: &[Member],
    taken: &[usize],
    request: &Request,
) -> Vec<String> {
    let mut notes = Vec::new();
    let taken: Vec<&Member> = taken.iter().map(|run| &members[*run]).collect();
    let in_state = |state| {
        let runs: Vec<String> =
            taken.iter().filter(|run| run.state == state).map(|run| run.directory.id()).collect();
        (runs.len(), names(runs.into_iter()))
    };
    if let (n @ 1.., runs) = in_state(RunState::Running) {
        notes.push(format!("{n} of {} runs still go on, and count as far as they are: {runs}.", taken.len()));
    }
    for state in [RunState::Failed, RunState::Killed, RunState::Stopped] {
        if let (n @ 1.., runs) = in_state(state) {
            let how = if state == RunState::Failed { "failed" } else { "ended before their last step" };
            notes.push(format!("{n} of {} runs {how} ({}): {runs}.", taken.len(), state.name()));
        }
    }
    let no_figure = |why: &str| {
        let runs = comparison.groups.iter().flat_map(|group| &group.runs);
        runs.filter(|run| run.no_figure.as_deref() == Some(why))
            .map(|run| run.directory.id())
            .collect::<Vec<_>>()
    };
    let why_none = "without a figure they count in no mean, and as worse than any other run in P(better)";
    match no_figure("diverged") {
        runs if runs.is_empty() => {}
        runs => notes.push(format!(
            "{} of {} runs diverged (`{}` is NaN or infinite): {}; {why_none}.",
            runs.len(),
            taken.len(),
            comparison.metric,
            names(runs.into_iter())
        )),
    }
    match no_figure("not reached") {
        runs if runs.is_empty() => {}
        runs => notes.push(format!(
            "{} of {} runs did not get there: {}; {why_none}.",
            runs.len(),
            taken.len(),
            names(runs.into_iter())
        )),
    }
    let steps = taken.iter().map(|run| run.steps);
    if let (Some(shortest), Some(longest)) = (steps.clone().min(), steps.max())
        && request.axis == Axis::Step
        && longest as f64 > 1.02 * shortest as f64
    {
        let how = match request.figure {
            FigureKind::Last(_) => {
                format!("; each counts by its own end. `--at {shortest}` takes all at the same step")
            }
            FigureKind::Area => format!("; all count up to {}", Grouped(shortest)),
            _ => String::new(),
        };
        notes.push(format!(
            "The runs are of different lengths, {} to {} steps{how}.",
            Grouped(shortest),
            Grouped(longest)
        ));
    }
    let half = taken.iter().filter(|run| run.half_line && run.state != RunState::Running);
    match half.map(|run| run.directory.id()).collect::<Vec<_>>() {
        runs if runs.is_empty() => {}
        runs => notes.push(format!(
            "The last line was only half written and does not count: {}.",
            names(runs.into_iter())
        )),
    }
    let unmatched: usize = comparison.differences.iter().map(|pair| pair.unmatched.len()).sum();
    if unmatched > 0 {
        let mut runs: Vec<String> = (comparison.differences.iter())
            .flat_map(|pair| &pair.unmatched)
            .map(|path| path.file_name().unwrap_or_default().to_string_lossy().into_owned())
            .collect();
        runs.sort();
        runs.dedup();
        notes.push(format!(
            "No run of the same seed on the other side, so in no pair: {}.",
            names(runs.into_iter())
        ));
    }
    notes.extend(different_builds(comparison));
    notes.extend(different_worlds(comparison));
    if !grouping.strata.is_empty() {
        let differs = if grouping.strata.len() == 1 { "differs" } else { "differ" };
        notes.push(format!(
            "Within groups, `{}` {differs}: figures are compared within equal values, and means go over all of them.",
            grouping.strata.join("`, `")
        ));
    }
    notes
}

/// Groups whose runs were made with different files of a plugin.
fn different_builds(comparison: &Comparison) -> Vec<String> {
    let mut notes = Vec::new();
    for group in &comparison.groups {
        let mut builds: BTreeMap<(String, String), BTreeMap<String, Vec<String>>> = BTreeMap::new();
        for run in &group.runs {
            let made = run.directory.provenance();
            for plugin in made.iter().flat_map(|made| &made.latest().plugins) {
                let Some(hash) = &plugin.sha256 else { continue };
                let builds = builds.entry((plugin.kind.clone(), plugin.name.clone())).or_default();
                builds.entry(hash.clone()).or_default().push(run.directory.id());
            }
        }
        for ((kind, name), runs) in builds.into_iter().filter(|(_, runs)| runs.len() > 1) {
            let each = runs.into_values().map(|runs| names(runs.into_iter())).collect::<Vec<_>>();
            notes.push(format!(
                "The runs of `{}` were made with {} builds of {kind} '{name}': {}.",
                group.name,
                each.len(),
                each.join("; ")
            ));
        }
    }
    notes
}

/// Groups with different environments: what they observe is not the same.
fn different_worlds(comparison: &Comparison) -> Option<String> {
    /// Metrics that say how an agent does beside one that does nothing, or whether it has done it.
    const COMPARABLE: [&str; 2] = ["skill", "success"];
    let keys = comparison.keys.iter().chain(&comparison.keys_that_follow);
    let of_world: Vec<&str> =
        keys.map(String::as_str).filter(|key| key.starts_with("environment.")).collect();
    let metric = &comparison.metric;
    if of_world.is_empty() || COMPARABLE.iter().any(|name| metric.contains(name)) {
        return None;
    }
    Some(format!(
        "The environments differ (`{}`): `{metric}` is of other data in each group. `skill`, which compares a prediction \
         with baselines in the same environment, can be compared (`--metric skill`).",
        of_world.join("`, `")
    ))
}

fn names(ids: impl ExactSizeIterator<Item = String>) -> String {
    let more = ids.len().saturating_sub(NAMED);
    let ids: Vec<String> = ids.take(NAMED).collect();
    if more > 0 { format!("{}, and {more} more", ids.join(", ")) } else { ids.join(", ") }
}

//! `--until-decided`: adds seeds in groups, and stops each comparison once it is decided.
use super::plan::Design;
use super::results::{NoResult, result};
use super::{Launch, Plan, Planned, SweepFolder, run_members};
use crate::print;
use efference_compare::{Better, SequentialTest, Standing, mean_and_deviation, pairs_needed};
use efference_runs::ThreeDigits;
use efference_spec::{Spec, SweepAxis, SweepMembers, nearest};
use std::collections::BTreeSet;

/// The chance of a decision for which it is said how many seeds would do.
const POWER: f64 = 0.8;

/// What is to be decided.
pub(crate) struct Question {
    /// The axis whose values are compared.
    pub(crate) key: String,
    /// By which metric.
    pub(crate) metric: String,
    /// When it is looked, and how sure a decision is.
    pub(crate) test: SequentialTest,
}

/// Two values of the axis, all else being equal.
struct Comparison {
    /// The points of both members, but for the seed.
    points: [Vec<usize>; 2],
}

/// What is known after some seeds.
struct Look {
    /// For each comparison, the differences of the pairs that there are.
    differences: Vec<Vec<f64>>,
    standing: Vec<Standing>,
    /// Runs that ended without a result; their pairs are left out.
    without_result: BTreeSet<String>,
}

/// The seeds that a sweep may take until it is decided: those that the spec lists come first, then the numbers after the
/// largest of them.
///
/// # Errors
/// A sentence, if the sweep does not vary this key, or says seeds where none can be added.
pub(crate) fn seeds(spec: &Spec, question: &Question) -> Result<Vec<u64>, String> {
    let axes = &spec.sweep;
    let names: Vec<&str> =
        axes.iter().map(|axis| axis.name.as_str()).filter(|name| *name != "seed").collect();
    if question.key == "seed" {
        return Err(format!(
            "--until-decided seed: seeds are what is added until something is decided; name what is to be compared: {}",
            names.join(", ")
        ));
    }
    let Some(axis) = axes.iter().find(|axis| axis.name == question.key) else {
        let near = nearest(&question.key, names.iter().copied());
        let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        return Err(format!(
            "--until-decided {}: the sweep does not vary this{near} It varies {}",
            question.key,
            if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
        ));
    };
    if axis.points.len() < 2 {
        return Err(format!(
            "--until-decided {}: it takes one value only, and there is nothing to compare",
            axis.name
        ));
    }
    if let Some(other) = axes.iter().find(|axis| axis.name != "seed" && axis.sets("seed")) {
        return Err(format!(
            "--until-decided adds seeds, so `seed` cannot vary together with something else: take it out of `{}`",
            other.name
        ));
    }
    let listed = |axis: &SweepAxis| axis.points.iter().filter_map(|point| point.label.parse().ok()).collect();
    let mut seeds: Vec<u64> = axes.iter().find(|axis| axis.name == "seed").map_or_else(Vec::new, listed);
    let mut known = BTreeSet::new();
    seeds.retain(|seed| known.insert(*seed));
    let next = known.last().map_or(1, |last| last.saturating_add(1));
    seeds.extend(next..next.saturating_add(question.test.most() as u64));
    seeds.truncate(question.test.most());
    Ok(seeds)
}

/// Runs groups of seeds until each comparison is decided or given up; says how each ended.
///
/// # Errors
/// A sentence, if it can't go on.
pub(crate) fn until_decided(
    launch: &mut Launch<'_>,
    question: &Question,
    all: &SweepMembers,
    plan: &mut Plan,
) -> Result<super::local::Outcome, String> {
    let folder = launch.folder;
    let axes = &all.spec.sweep;
    let place = |name: &str| axes.iter().position(|axis| axis.name == name);
    let (Some(of_seed), Some(of_key)) = (place("seed"), place(&question.key)) else {
        return Err(format!("the sweep does not vary `{}` and `seed`", question.key));
    };
    let comparisons = comparisons(axes, of_seed, of_key);
    let mut look = Look {
        differences: Vec::new(),
        standing: vec![Standing::Open; comparisons.len()],
        without_result: BTreeSet::new(),
    };
    let mut total = super::local::Outcome::default();
    for seeds in &question.test.looks {
        let mut points: Vec<Vec<usize>> = Vec::new();
        for (comparison, _) in comparisons.iter().zip(&look.standing).filter(|(_, s)| **s == Standing::Open) {
            for seed in 0..*seeds {
                points.extend(comparison.points.iter().map(|of| with_seed(of, of_seed, seed)));
            }
        }
        if points.is_empty() {
            break;
        }
        points.sort_by_key(|points| (points[of_seed], points.clone()));
        points.dedup();
        let mut wanted = Vec::new();
        for points in &points {
            let member = all.members.iter().find(|member| member.points == *points).ok_or_else(|| {
                format!(
                    "two values of `{}` make the same run: there is nothing to decide between them",
                    question.key
                )
            })?;
            wanted.push((plan.add(member), member));
        }
        folder
            .write(plan, wanted.iter().map(|(id, member)| (id.as_str(), *member)))
            .map_err(|e| e.to_string())?;
        let chosen = |planned: &&Planned| wanted.iter().any(|(id, _)| *id == planned.id);
        // As they were wanted: seed by seed.
        let mut planned: Vec<&Planned> = plan.members.iter().filter(chosen).collect();
        planned.sort_by_key(|planned| wanted.iter().position(|(id, _)| *id == planned.id));
        let outcome = run_members(launch, &planned)?;
        total.stopped = outcome.stopped;
        total.finished = outcome.finished;
        total
            .in_use
            .extend(outcome.in_use.into_iter().filter(|id| !total.in_use.contains(id)).collect::<Vec<_>>());
        let new = outcome.failed.into_iter().filter(|new| !total.failed.contains(new)).collect::<Vec<_>>();
        total.failed.extend(new);
        if total.stopped {
            return Ok(total);
        }
        look = look_at(folder, plan, all, question, &comparisons, of_seed, *seeds)?;
        note_design(plan, question, folder)?;
        let count = |wanted: fn(&Standing) -> bool| look.standing.iter().filter(|s| wanted(s)).count();
        print(&format!(
            "After {seeds} seeds: {} of {} comparisons decided, {} given up.\n",
            count(|s| matches!(s, Standing::Decided { .. })),
            comparisons.len(),
            count(|s| *s == Standing::Hopeless),
        ));
    }
    report(question, axes, of_key, &comparisons, &look);
    Ok(total)
}

/// All pairs of values, for each combination of what else varies but the seed.
fn comparisons(axes: &[SweepAxis], of_seed: usize, of_key: usize) -> Vec<Comparison> {
    let mut contexts = vec![vec![0; axes.len()]];
    for (at, axis) in axes.iter().enumerate().filter(|(at, _)| *at != of_seed && *at != of_key) {
        let with = |points: Vec<usize>| {
            (0..axis.points.len()).map(move |point| {
                let mut points = points.clone();
                points[at] = point;
                points
            })
        };
        contexts = contexts.into_iter().flat_map(with).collect();
    }
    let values = axes[of_key].points.len();
    let mut all = Vec::new();
    for context in contexts {
        for (a, b) in (0..values).flat_map(|a| (a + 1..values).map(move |b| (a, b))) {
            let points = [a, b].map(|value| {
                let mut points = context.clone();
                points[of_key] = value;
                points
            });
            all.push(Comparison { points });
        }
    }
    all
}

fn with_seed(points: &[usize], of_seed: usize, seed: usize) -> Vec<usize> {
    let mut points = points.to_vec();
    points[of_seed] = seed;
    points
}

/// Reads the results that there are with so many seeds.
fn look_at(
    folder: &SweepFolder,
    plan: &Plan,
    all: &SweepMembers,
    question: &Question,
    comparisons: &[Comparison],
    of_seed: usize,
    seeds: usize,
) -> Result<Look, String> {
    let mut without_result = BTreeSet::new();
    let mut differences = Vec::new();
    for comparison in comparisons {
        let mut pairs = Vec::new();
        for seed in 0..seeds {
            let mut pair = [None; 2];
            for (result, points) in pair.iter_mut().zip(&comparison.points) {
                let points = with_seed(points, of_seed, seed);
                let member = all.members.iter().find(|member| member.points == points);
                // One that was given up before has not run with this seed.
                let Some(id) = member.and_then(|member| plan.id_of(member)) else { continue };
                *result = of_run(folder, id, question, &mut without_result)?;
            }
            if let [Some(a), Some(b)] = pair {
                pairs.push(a - b);
            }
        }
        differences.push(pairs);
    }
    let standing = question.test.standing(&differences);
    Ok(Look { differences, standing, without_result })
}

/// The result of a finished run.
fn of_run(
    folder: &SweepFolder,
    id: &str,
    question: &Question,
    without_result: &mut BTreeSet<String>,
) -> Result<Option<f64>, String> {
    if folder.state(id).map_err(|e| e.to_string())? != super::MemberState::Finished {
        if folder.run(id).exists() {
            without_result.insert(id.to_owned());
        }
        return Ok(None);
    }
    match result(&folder.run(id), &question.metric) {
        Ok(result) => Ok(Some(result)),
        Err(NoResult::NotFinite) => {
            without_result.insert(id.to_owned());
            Ok(None)
        }
        Err(NoResult::File(why)) => Err(why),
        Err(NoResult::NoMetric(names)) => {
            let near = nearest(&question.metric, names.iter().map(String::as_str));
            let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            let names: Vec<String> = names.into_iter().collect();
            Err(format!(
                "--metric {}: {} has no such metric{near} It has {}",
                question.metric,
                folder.run(id).display(),
                names.join(", ")
            ))
        }
    }
}

/// Says how each comparison ended.
fn report(question: &Question, axes: &[SweepAxis], of_key: usize, comparisons: &[Comparison], look: &Look) {
    let Question { key, metric, test } = question;
    let mut text = format!(
        "\n{key}, by `{metric}` (mean over the last fifth of each run), paired by seed, alpha {}:\n",
        test.alpha
    );
    let open = look.standing.iter().filter(|standing| !matches!(standing, Standing::Decided { .. })).count();
    for ((comparison, standing), differences) in comparisons.iter().zip(&look.standing).zip(&look.differences)
    {
        let [a, b] = [0, 1].map(|side| axes[of_key].points[comparison.points[side][of_key]].label.as_str());
        let others = axes.iter().enumerate().filter(|(at, axis)| *at != of_key && axis.name != "seed");
        let context: Vec<String> = others
            .map(|(at, axis)| format!("{} {}", axis.name, axis.points[comparison.points[0][at]].label))
            .collect();
        let context = if context.is_empty() { String::new() } else { format!(", {}", context.join(", ")) };
        let n = differences.len();
        let (mean, deviation) = mean_and_deviation(differences);
        let [mean_shown, deviation_shown] = [mean.abs(), deviation].map(|x| ThreeDigits(x).to_string());
        let (lower, higher) = if mean < 0.0 { (a, b) } else { (b, a) };
        let (side, value, is) = match Better::of(metric) {
            Some(Better::Higher) => (higher, "higher", " is better"),
            Some(Better::Lower) => (lower, "lower", " is better"),
            None => (lower, "lower", ""),
        };
        text += &format!("  {a} and {b}{context}: ");
        text += &match standing {
            Standing::Decided { seeds } => format!(
                "decided after {seeds} seeds: {side}{is}: `{metric}` is {value} by {mean_shown} on average of {n} seeds \
                 (standard deviation of the differences {deviation_shown})\n"
            ),
            _ if n < 2 => format!("not decided: only {n} seeds ran to the end with both\n"),
            _ => format!(
                "not decided after {n} seeds: `{metric}` is {value} with {side} by {mean_shown} on average, and the differences \
                 vary by {deviation_shown} (standard deviation); {}\n",
                more(mean / deviation, test.alpha / open.max(1) as f64, n)
            ),
        };
    }
    if look.standing.iter().any(|standing| matches!(standing, Standing::Decided { .. })) {
        text += "  (A difference that was just decided looks larger than it is, on average.)\n";
    }
    if !look.without_result.is_empty() {
        let ids: Vec<&str> = look.without_result.iter().map(String::as_str).collect();
        text += &format!(
            "  Left out, as they did not run to the end or `{metric}` was no number there: {}. Do not overlook that: a value \
             that makes runs fail is hardly the better one.\n",
            ids.join(", ")
        );
    }
    print(&text);
}

/// How many more seeds would do.
fn more(effect: f64, level: f64, n: usize) -> String {
    match pairs_needed(effect.abs(), level, POWER) {
        Some(pairs) if pairs > n && pairs <= 10_000 => format!(
            "if that is how large the difference is, about {pairs} seeds in all ({} more: --most {pairs}) decide it with a \
             probability of {:.0} %",
            pairs - n,
            100.0 * POWER
        ),
        Some(pairs) if pairs <= n => "a few more seeds may decide it".to_owned(),
        _ => "no number of seeds that anybody would run would tell them apart".to_owned(),
    }
}

/// Notes by which test the sweep is decided, and says so if it was another one before.
fn note_design(plan: &mut Plan, question: &Question, folder: &SweepFolder) -> Result<(), String> {
    let design = Design {
        key: question.key.clone(),
        metric: question.metric.clone(),
        alpha: question.test.alpha,
        most: question.test.most(),
    };
    if plan.until_decided.as_ref() == Some(&design) {
        return Ok(());
    }
    if let Some(before) = plan.until_decided.replace(design) {
        print(&format!(
            "This sweep was looked at before to decide `{}` by `{}` (alpha {}, --most {}). A second test of the same runs is a \
             second chance to be wrong: count both alphas together.\n",
            before.key, before.metric, before.alpha, before.most
        ));
    }
    folder.write(plan, std::iter::empty()).map_err(|e| e.to_string())
}

//! From runs to a comparison: group, measure, tell apart.
use crate::better::Better;
use crate::comparison::{Comparison, Group, Run};
use crate::curves::{band, thin};
use crate::error::CompareError;
use crate::figure::Figure;
use crate::grouping::{Grouping, group, short_names, value};
use crate::member::Member;
use crate::notes::{left_out, notes};
use crate::pairs::pairs;
use crate::request::{Request, no_metric};
use crate::statistics::{RESAMPLES, bootstrap, interquartile_mean, mean, median, probability_of_improvement};
use crate::strata::{by_stratum, merits};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Compares runs.
///
/// # Errors
/// If they can't be compared; the error says what to do.
pub fn compare(members: Vec<Member>, request: &Request) -> Result<Comparison, CompareError> {
    let count = members.len();
    let (members, nothing_yet): (Vec<Member>, Vec<Member>) =
        members.into_iter().partition(|run| !run.metrics.is_empty());
    if members.is_empty() {
        return Err(CompareError::Empty(count));
    }
    let metric = request.metric(&members)?;
    let metric_better = request.better(&metric)?;
    let better = request.figure.better(metric_better);

    let settings: Vec<_> = members.iter().map(|run| &run.settings).collect();
    let mut grouping = group(&settings, &request.by)?;
    let (doubles, without) = narrow(&mut grouping, &members, &metric)?;

    let taken: Vec<usize> = grouping.groups.iter().flat_map(|(_, runs)| runs.iter().copied()).collect();
    let measured = measure(&members, &taken, &metric, metric_better, request)?;
    let names = short_names(&grouping.keys);
    let mut groups: Vec<Group> = (grouping.groups.iter())
        .map(|(values, runs)| {
            let name: Vec<String> = names.iter().zip(values).map(|(key, v)| format!("{key}={v}")).collect();
            let name = if name.is_empty() { "all runs".to_owned() } else { name.join(", ") };
            let follow = grouping.follow.iter().map(|key| value(settings[runs[0]], key).to_owned()).collect();
            let runs: Vec<Run> = runs
                .iter()
                .map(|run| row(&members[*run], &grouping.strata, &measured.outcomes[run]))
                .collect();
            summary(name, values.clone(), follow, runs)
        })
        .collect();
    for at in 0..groups.len() {
        groups[at].probability_of_improvement = against_others(&groups, at, better);
    }
    if request.curves {
        let of = |runs: &[usize]| runs.iter().map(|run| measured.curves[run].clone()).collect::<Vec<_>>();
        let curves = grouping.groups.par_iter().map(|(_, runs)| band(&of(runs), measured.longest));
        let curves: Vec<_> = curves.collect();
        groups.iter_mut().zip(curves).for_each(|(group, curve)| group.curve = Some(curve));
    }

    let quantity = request.figure.quantity(&metric, request.axis);
    let (differences, verdict) = pairs(&groups, &grouping, &quantity, better);
    let mut comparison = Comparison {
        figure: request.figure.describe(&metric, metric_better, request.axis),
        metric,
        better,
        axis: request.axis,
        keys: grouping.keys.clone(),
        keys_that_follow: grouping.follow.clone(),
        strata: grouping.strata.clone(),
        groups,
        differences,
        verdict,
        notes: Vec::new(),
    };
    comparison.notes = left_out(&nothing_yet, &without, &doubles, &comparison.metric);
    comparison.notes.extend(notes(&comparison, &grouping, &members, &taken, request));
    Ok(comparison)
}

/// Leaves out of the groups what is there twice, and what has not the metric; returns both.
fn narrow<'a>(
    grouping: &mut Grouping,
    members: &'a [Member],
    metric: &str,
) -> Result<(Vec<&'a Member>, Vec<&'a Member>), CompareError> {
    let (mut doubles, mut without) = (Vec::new(), Vec::new());
    for (values, runs) in &mut grouping.groups {
        let (have, have_not): (Vec<usize>, Vec<usize>) =
            runs.iter().partition(|run| members[**run].has(metric));
        if have.is_empty() {
            let names: Vec<String> =
                grouping.keys.iter().zip(values).map(|(k, v)| format!("{k} = {v}")).collect();
            let whose = format!("no run with {} has", names.join(", "));
            return Err(no_metric(metric, whose, members));
        }
        without.extend(have_not.into_iter().map(|run| &members[run]));
        // The same spec with the same seed is the same run again, and no further evidence. The one that went on longest
        // counts; of those, the latest, as ids begin with the time.
        let mut by_seed: BTreeMap<(Vec<&str>, &str), usize> = BTreeMap::new();
        for run in have {
            let member = &members[run];
            let stratum = grouping.strata.iter().map(|key| value(&member.settings, key)).collect();
            let place = by_seed.entry((stratum, &member.seed)).or_insert(run);
            if *place != run {
                let before = &members[*place];
                let further = (member.steps, member.directory.id()) > (before.steps, before.directory.id());
                doubles.push(if further { before } else { member });
                *place = if further { run } else { *place };
            }
        }
        *runs = by_seed.into_values().collect();
        runs.sort_by(|a, b| {
            order(&members[*a], &grouping.strata).cmp(&order(&members[*b], &grouping.strata))
        });
    }
    Ok((doubles, without))
}

/// By stratum, then by seed as a number.
fn order<'a>(member: &'a Member, strata: &[String]) -> (Vec<&'a str>, i64, &'a str) {
    let stratum = strata.iter().map(|key| value(&member.settings, key)).collect();
    (stratum, member.seed.parse().unwrap_or(i64::MAX), &member.seed)
}

/// What was measured, by the place of a run.
struct Measured {
    outcomes: BTreeMap<usize, Figure>,
    curves: BTreeMap<usize, Vec<(f64, f64)>>,
    longest: f64,
}

fn measure(
    members: &[Member],
    taken: &[usize],
    metric: &str,
    better: Better,
    request: &Request,
) -> Result<Measured, CompareError> {
    let ends: Vec<f64> =
        taken.par_iter().map(|run| members[*run].end(request.axis)).collect::<Result<_, _>>()?;
    let shortest = ends.iter().copied().fold(f64::INFINITY, f64::min);
    let longest = ends.iter().copied().fold(0.0, f64::max);
    let each = taken.par_iter().map(|run| {
        let (x, values) = members[*run].curve(metric, request.axis)?;
        let curve = if request.curves { thin(&x, &values) } else { Vec::new() };
        Ok((*run, request.figure.of(&x, &values, shortest, better), curve))
    });
    let (mut outcomes, mut curves) = (BTreeMap::new(), BTreeMap::new());
    for (run, figure, curve) in each.collect::<Result<Vec<_>, CompareError>>()? {
        outcomes.insert(run, figure);
        curves.insert(run, curve);
    }
    Ok(Measured { outcomes, curves, longest })
}

fn row(member: &Member, strata: &[String], figure: &Figure) -> Run {
    let (value_of, no_figure) = match figure {
        Figure::Value(value) => (Some(*value), None),
        none => (None, Some(none.to_string())),
    };
    Run {
        directory: member.directory.clone(),
        seed: member.seed.clone(),
        stratum: strata.iter().map(|key| value(&member.settings, key).to_owned()).collect(),
        state: member.state.name(),
        steps: member.steps,
        steps_per_second: member.steps_per_second,
        figure: value_of,
        no_figure,
    }
}

fn summary(name: String, values: Vec<String>, values_that_follow: Vec<String>, runs: Vec<Run>) -> Group {
    let sample: Vec<f64> = runs.iter().filter_map(|run| run.figure).collect();
    let speeds: Vec<f64> = runs.iter().map(|run| run.steps_per_second).filter(|s| s.is_finite()).collect();
    Group {
        name,
        values,
        values_that_follow,
        n: sample.len(),
        mean: mean(&sample),
        median: median(&sample),
        interquartile_mean: interquartile_mean(&sample),
        interval: bootstrap(&by_stratum(&runs), RESAMPLES, interquartile_mean),
        probability_of_improvement: None,
        steps_per_second: mean(&speeds),
        curve: None,
        runs,
    }
}

/// The mean probability that a run of the group is better than one of another group.
fn against_others(groups: &[Group], at: usize, better: Better) -> Option<f64> {
    let others = groups.iter().enumerate().filter(|(other, _)| *other != at);
    let each: Vec<f64> = others
        .map(|(_, other)| {
            let (left, right) = merits(&groups[at], other, better);
            probability_of_improvement(&left, &right)
        })
        .collect();
    (!each.is_empty()).then(|| mean(&each))
}

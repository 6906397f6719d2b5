//! The figures of groups by stratum: what is compared must be of the same task.
use crate::better::Better;
use crate::comparison::{Group, Run};
use std::collections::{BTreeMap, BTreeSet};

/// The figures of runs, a list a stratum; those without a figure are left out.
pub(crate) fn by_stratum(runs: &[Run]) -> Vec<Vec<f64>> {
    let mut strata: BTreeMap<&[String], Vec<f64>> = BTreeMap::new();
    for run in runs {
        if let Some(figure) = run.figure {
            strata.entry(&run.stratum).or_default().push(figure);
        }
    }
    strata.into_values().collect()
}

/// The figures of two groups, a list a stratum, so that more is better. A run without a figure is worse than any that
/// has one.
pub(crate) fn merits(left: &Group, right: &Group, better: Better) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
    let strata: BTreeSet<&[String]> =
        [left, right].iter().flat_map(|g| &g.runs).map(|run| &*run.stratum).collect();
    let of = |group: &Group| {
        let in_stratum = |stratum: &&[String]| {
            let runs = group.runs.iter().filter(|run| run.stratum == **stratum);
            runs.map(|run| run.figure.map_or(f64::NEG_INFINITY, |figure| better.merit(figure))).collect()
        };
        strata.iter().map(in_stratum).collect::<Vec<Vec<f64>>>()
    };
    (of(left), of(right))
}

//! The groups two by two: what differs, and whether that is more than chance.
use crate::better::Better;
use crate::comparison::{Group, Pair, Run, Verdict};
use crate::grouping::Grouping;
use crate::statistics::{RESAMPLES, holm, improvement_interval, paired, probability_of_improvement, welch};
use crate::strata::merits;
use crate::verdict::{PAIRED, WELCH, decide, sentence};
use rayon::prelude::*;
use std::path::PathBuf;

/// Pairs that are all spoken of, and undecided ones that get a sentence each; beyond that it would be a wall of text.
const FEW: usize = 3;

/// All pairs of groups, and what they come to in sentences: all of them if they are few, else the best group beside each
/// other one.
pub(crate) fn pairs(
    groups: &[Group],
    grouping: &Grouping,
    quantity: &str,
    better: Better,
) -> (Vec<Pair>, Vec<String>) {
    let places: Vec<(usize, usize)> =
        (0..groups.len()).flat_map(|a| (a + 1..groups.len()).map(move |b| (a, b))).collect();
    let mut pairs: Vec<Pair> = places.into_par_iter().map(|(a, b)| pair(groups, a, b, better)).collect();
    let tested: Vec<usize> = (0..pairs.len()).filter(|at| pairs[*at].difference.is_some()).collect();
    let p: Vec<f64> = tested.iter().filter_map(|at| pairs[*at].difference).map(|d| d.p).collect();
    for (at, p) in tested.iter().zip(holm(&p)) {
        pairs[*at].p_corrected = Some(p);
    }
    for pair in &mut pairs {
        pair.verdict = decide(pair, &groups[pair.left], &groups[pair.right], tested.len());
    }
    let merit =
        |at: &usize| if groups[*at].n > 0 { better.merit(groups[*at].mean) } else { f64::NEG_INFINITY };
    let best = (0..groups.len()).max_by(|a, b| merit(a).total_cmp(&merit(b)));
    let with_best = |pair: &&Pair| Some(pair.left) == best || Some(pair.right) == best;
    let shown = pairs.iter().filter(|pair| pairs.len() <= FEW || with_best(pair));
    let (open, decided): (Vec<&Pair>, Vec<&Pair>) =
        shown.partition(|pair| matches!(pair.verdict, Verdict::Undecided { .. }));
    let say =
        |pair: &Pair| sentence(pair, &groups[pair.left], &groups[pair.right], quantity, better, tested.len());
    let mut verdict: Vec<String> = decided.into_iter().map(say).collect();
    match best {
        Some(best) if open.len() > FEW => {
            let others = open.iter().map(|pair| if pair.left == best { pair.right } else { pair.left });
            let others: Vec<&str> = others.map(|at| &*groups[at].name).collect();
            verdict.push(format!(
                "Not enough seeds to tell {}, which looks best, from any of: {}. Two groups compared alone need fewer seeds; \
                 `--format json` has all differences.",
                groups[best].name,
                others.join("; ")
            ));
        }
        _ => verdict.extend(open.into_iter().map(say)),
    }
    (pairs, if groups.len() < 2 { vec![alone(groups, grouping)] } else { verdict })
}

fn alone(groups: &[Group], grouping: &Grouping) -> String {
    let what = match (groups.first().map_or(0, |group| group.runs.len()), grouping.strata.is_empty()) {
        (1, _) => "one run".to_owned(),
        (runs, true) => format!("{runs} runs that differ in nothing but their seed"),
        (runs, false) => format!("{runs} runs that do not differ in what they are to be compared by"),
    };
    let others: Vec<&str> =
        [&grouping.strata, &grouping.ignored].into_iter().flatten().map(String::as_str).collect();
    let by = match others.first() {
        Some(key) => format!(" They do differ in `{}`: `--by {key}` compares by that.", others.join("`, `")),
        None => String::new(),
    };
    format!("Nothing to compare with: {what}.{by}")
}

fn pair(groups: &[Group], a: usize, b: usize, better: Better) -> Pair {
    let matched = |a: &Group, b: &Group| -> Vec<(f64, f64)> {
        let partner = |run: &Run| b.runs.iter().find(|other| same(run, other)).and_then(|run| run.figure);
        a.runs.iter().filter_map(|run| run.figure.zip(partner(run))).collect()
    };
    let all = |group: &Group| group.runs.iter().filter_map(|run| run.figure).collect::<Vec<f64>>();
    let both = matched(&groups[a], &groups[b]);
    // Seeds that merely happen to meet in one or two runs are no reason to leave the others out.
    let few = groups[a].n.min(groups[b].n);
    let is_paired = !both.is_empty() && 2 * both.len() >= few;
    let (left, right) = if is_paired { both.into_iter().unzip() } else { (all(&groups[a]), all(&groups[b])) };
    let merit = |values: &[f64]| match values.is_empty() {
        true => f64::NEG_INFINITY,
        false => better.merit(values.iter().sum::<f64>() / values.len() as f64),
    };
    // The better one stands on the left.
    if merit(&right) > merit(&left) {
        return pair(&[groups[b].clone(), groups[a].clone()], 0, 1, better).at(b, a);
    }
    let unmatched = |one: &Group, other: &Group| -> Vec<PathBuf> {
        let alone = one.runs.iter().filter(|run| !other.runs.iter().any(|there| same(run, there)));
        alone.map(|run| run.directory.path().to_owned()).collect()
    };
    let (merits_a, merits_b) = merits(&groups[a], &groups[b], better);
    Pair {
        left: a,
        right: b,
        test: if is_paired { PAIRED } else { WELCH },
        n: left.len(),
        n_right: right.len(),
        unmatched: match is_paired {
            true => [unmatched(&groups[a], &groups[b]), unmatched(&groups[b], &groups[a])].concat(),
            false => Vec::new(),
        },
        difference: if is_paired { paired(&left, &right) } else { welch(&left, &right) },
        p_corrected: None,
        probability_of_improvement: probability_of_improvement(&merits_a, &merits_b),
        probability_interval: improvement_interval(&merits_a, &merits_b, RESAMPLES / 5),
        verdict: Verdict::Undecided { more_seeds: None },
        speed: groups[a].steps_per_second / groups[b].steps_per_second,
    }
}

fn same(a: &Run, b: &Run) -> bool {
    a.seed == b.seed && a.stratum == b.stratum
}

impl Pair {
    fn at(self, left: usize, right: usize) -> Self {
        Pair { left, right, ..self }
    }
}

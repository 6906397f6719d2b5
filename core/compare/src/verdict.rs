//! What a difference comes to, in plain words.
use crate::better::Better;
use crate::comparison::{Group, Pair, Verdict};
use crate::statistics::{mean, seeds_needed};
use efference_runs::{Grouped, ThreeDigits};

/// The chance of a false verdict that is taken.
pub(crate) const ALPHA: f64 = 0.05;
/// Pairs, or runs a side, without which nothing is said: the t interval of two values rests on their being normally
/// distributed, which two values can't show.
const FEWEST: usize = 3;
/// More seeds than anyone will run.
const TOO_MANY: f64 = 1_000.0;

/// Decides. `comparisons` is how many there are at once.
pub(crate) fn decide(pair: &Pair, left: &Group, right: &Group, comparisons: usize) -> Verdict {
    let Some(difference) = pair.difference.filter(|_| pair.n.min(pair.n_right) >= FEWEST) else {
        return Verdict::Undecided { more_seeds: None };
    };
    let missing = |group: &Group| group.runs.iter().filter(|run| run.no_figure.is_some()).count();
    if difference.p >= 1.0 && difference.mean == 0.0 && difference.interval.low == difference.interval.high {
        return Verdict::Same;
    }
    if pair.p_corrected.is_some_and(|p| p < ALPHA) {
        let more = missing(left) * right.runs.len() > missing(right) * left.runs.len();
        return if more { Verdict::Unreliable } else { Verdict::Better };
    }
    let needed = seeds_needed(difference.effect.abs(), ALPHA / comparisons as f64, is_paired(pair));
    let more_seeds = (needed - pair.n.min(pair.n_right) as f64).max(1.0);
    Verdict::Undecided { more_seeds: Some(more_seeds) }
}

fn is_paired(pair: &Pair) -> bool {
    pair.test == PAIRED
}

/// The name of the test of pairs.
pub(crate) const PAIRED: &str = "paired t";
/// The name of the test of what is not paired.
pub(crate) const WELCH: &str = "Welch's t";

/// The verdict as a sentence. `quantity` is what is compared, and `better` which way it is to go.
pub(crate) fn sentence(
    pair: &Pair,
    left: &Group,
    right: &Group,
    quantity: &str,
    better: Better,
    comparisons: usize,
) -> String {
    let (a, b) = (&left.name, &right.name);
    if left.n == 0 || right.n == 0 {
        let of = |group: &Group| format!("{} of {} runs of {}", group.n, group.runs.len(), group.name);
        return format!("{quantity} can't be compared: {} and {} have such a figure.", of(left), of(right));
    }
    let seeds = match (is_paired(pair), pair.n, pair.n_right) {
        (true, 1, _) => "1 pair of equal seeds".to_owned(),
        (false, 1, 1) => "one run of each, whose seeds do not match".to_owned(),
        (true, n, _) => format!("{n} pairs of equal seeds"),
        (false, n, m) => format!("{n} and {m} runs whose seeds do not match"),
    };
    let Some(difference) = pair.difference else {
        return format!(
            "Not enough seeds to tell {a} from {b}: {seeds}. Chance and a difference look the same with fewer than \
             {FEWEST}; 5 to 10 seeds each are a fair start."
        );
    };
    let size = difference.mean.abs();
    let (low, high) = match difference.mean < 0.0 {
        true => (-difference.interval.high, -difference.interval.low),
        false => (difference.interval.low, difference.interval.high),
    };
    let of = mean(&right.runs.iter().filter_map(|run| run.figure).collect::<Vec<_>>()).abs();
    let share =
        if of > 0.0 && size < 100.0 * of { format!(" ({:.0} %)", 100.0 * size / of) } else { String::new() };
    let measured = format!(
        "{quantity} is {} by {}{share}, 95 % interval {} to {}, over {seeds}",
        better.name(),
        ThreeDigits(size),
        ThreeDigits(low),
        ThreeDigits(high),
    );
    let p = pair.p_corrected.unwrap_or(1.0);
    let corrected =
        if comparisons > 1 { format!(", corrected for {comparisons} comparisons") } else { String::new() };
    let p = if p < 0.0001 { format!("p < 0.0001{corrected}") } else { format!("p = {p:.4}{corrected}") };
    match pair.verdict {
        Verdict::Better => format!("{a} is better than {b}: {measured} ({p})."),
        Verdict::Same => format!("{a} and {b} are the same: {quantity} is equal in each of {seeds}."),
        Verdict::Unreliable => {
            let missing = left.runs.iter().filter(|run| run.no_figure.is_some()).count();
            format!(
                "No verdict on {a} and {b}: of those runs that have a figure, {a} is better ({measured}; {p}), but \
                 {missing} of its {} runs have none.",
                left.runs.len()
            )
        }
        Verdict::Undecided { more_seeds: None } => format!(
            "Not enough seeds to tell {a} from {b}: so far {a} looks better ({measured}), but fewer than {FEWEST} seeds \
             may show chance alone; 5 to 10 each are a fair start."
        ),
        Verdict::Undecided { more_seeds: Some(more) } => {
            let outlook = if more > TOO_MANY {
                "It would take more than 1,000 seeds to show a difference so small.".to_owned()
            } else {
                let s = if more > 1.0 { "s" } else { "" };
                format!(
                    "If it is what it looks like, about {} more seed{s} each would show it.",
                    Grouped(more as u64)
                )
            };
            format!(
                "Not enough seeds to tell {a} from {b}: so far {a} looks better ({measured}; {p}). {outlook}"
            )
        }
    }
}

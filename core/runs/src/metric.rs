//! The metrics of the host that people are shown: a metric is added here, and recorded where it is measured.

/// A metric that is shown while a run goes on, or in its summary.
struct Shown {
    name: &'static str,
    /// Where a narrow terminal drops it from the line of progress: the lowest first. `None`: not on that line.
    progress: Option<u8>,
}

/// In the order in which they are shown.
const SHOWN: [Shown; 10] = [
    Shown { name: "loss", progress: Some(4) },
    Shown { name: "error", progress: Some(1) },
    Shown { name: "error_last", progress: None },
    Shown { name: "error_mean", progress: None },
    Shown { name: "error_linear", progress: None },
    Shown { name: "error_period", progress: None },
    Shown { name: "skill", progress: Some(2) },
    Shown { name: "reward", progress: Some(3) },
    Shown { name: "return", progress: Some(5) },
    Shown { name: "episode_length", progress: Some(0) },
];

/// Of the values of a recorded line, those for the line of progress: name, value, and which to drop first.
pub fn in_progress(values: &[(String, f64)]) -> Vec<(&'static str, f64, u8)> {
    let shown =
        SHOWN.iter().filter_map(|shown| Some((shown.name, find(values, shown.name)?, shown.progress?)));
    shown.collect()
}

/// Of the values of a recorded line, those for the summary of a run.
pub fn in_summary(values: &[(String, f64)]) -> Vec<(&'static str, f64)> {
    SHOWN.iter().filter_map(|shown| Some((shown.name, find(values, shown.name)?))).collect()
}

/// Words of the names of metrics of which less is better.
const LOWER: [&str; 10] =
    ["error", "loss", "misprediction", "regret", "mse", "mae", "rmse", "smape", "cost", "nll"];
/// Words of those of which more is better.
const HIGHER: [&str; 7] = ["reward", "return", "skill", "accuracy", "success", "bonus", "per"];

/// Whether more of a metric is better (`Some(true)`) or less, by the words of its name: `loss/observation`,
/// `evaluation/return`. What measures an error of something is better if it is lower, whatever that something is. `None` if
/// no word says it.
pub fn more_is_better(name: &str) -> Option<bool> {
    let says = |words: &[&str]| {
        name.split(|c: char| !c.is_alphanumeric()).any(|word| words.contains(&&*word.to_lowercase()))
    };
    match (says(&LOWER), says(&HIGHER)) {
        (true, _) => Some(false),
        (false, true) => Some(true),
        (false, false) => None,
    }
}

fn find(values: &[(String, f64)], name: &str) -> Option<f64> {
    values.iter().find(|(n, _)| n == name).map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::more_is_better;

    #[test]
    fn errors_are_better_low_and_returns_high() {
        for name in ["error", "loss", "loss/observation", "error_last", "loss/reward"] {
            assert_eq!(more_is_better(name), Some(false), "{name}");
        }
        for name in ["reward", "return", "evaluation/return", "evaluation/return_median", "skill"] {
            assert_eq!(more_is_better(name), Some(true), "{name}");
        }
        assert_eq!((more_is_better("streams"), more_is_better("terror")), (None, None));
    }
}

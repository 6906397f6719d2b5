//! Whether less or more of a metric is better.
use efference_runs::metric;
use serde::Serialize;

/// Which way a metric is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Less is better, as of an error.
    Lower,
    /// More is better, as of a reward.
    Higher,
}

impl Better {
    /// By the words of a metric's name: `loss/observation`, `episode_return`. What measures an error of something is better
    /// if it is lower, whatever that something is. `None` if no word says it.
    pub fn of(name: &str) -> Option<Self> {
        let better = |more| if more { Better::Higher } else { Better::Lower };
        metric::more_is_better(name).map(better)
    }

    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Better::Lower => "lower",
            Better::Higher => "higher",
        }
    }

    /// A figure so that more is better.
    pub(crate) fn merit(self, figure: f64) -> f64 {
        match self {
            Better::Lower => -figure,
            Better::Higher => figure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metrics_of_this_host_are_known() {
        for metric in ["error", "loss", "loss/observation", "error_last", "misprediction", "reward_error"] {
            assert_eq!(Better::of(metric), Some(Better::Lower), "{metric}");
        }
        for metric in ["reward", "return", "evaluation/return", "skill", "Accuracy", "steps_per_second"] {
            assert_eq!(Better::of(metric), Some(Better::Higher), "{metric}");
        }
        for metric in ["streams", "episode_length", "", "rewarding"] {
            assert_eq!(Better::of(metric), None, "{metric}");
        }
    }
}

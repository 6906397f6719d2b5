//! Evaluations: a frozen copy of the agent acts greedily in an environment of its own.
//!
//! The copy has the parameters and what the goal keeps, such as normalisers; its streams begin with states of their own.
//! Nothing of the learner changes: it goes on bit for bit as if there had been no evaluation.
use super::LoadedSpec;
use super::arrays::to_tensors;
use super::episodes::Episode;
use super::experiment::{Experiment, StepOutcome};
use super::signals::Stop;
use crate::plugins::take_metrics;
use efference_runs::checkpoint::{Array, Arrays};
use efference_sdk::{Result, bail};
use serde::Serialize;
use std::collections::BTreeMap;

/// What came of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// The steps that the agent had learned for.
    pub step: u64,
    /// The return of each episode, in the order in which they ended.
    pub returns: Vec<f64>,
    /// Their lengths.
    pub lengths: Vec<u64>,
}

impl Evaluation {
    /// The mean return.
    pub fn mean(&self) -> f64 {
        self.returns.iter().sum::<f64>() / self.returns.len() as f64
    }

    /// The median return.
    pub fn median(&self) -> f64 {
        let mut sorted = self.returns.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() % 2 {
            0 => (sorted[middle - 1] + sorted[middle]) / 2.0,
            _ => sorted[middle],
        }
    }

    /// The mean length.
    pub fn mean_length(&self) -> f64 {
        self.lengths.iter().sum::<u64>() as f64 / self.lengths.len() as f64
    }
}

/// Steps in which at least one episode should end.
const PATIENCE: u64 = 100_000;

/// Evaluates what was learned by `step` steps: exactly `episodes` episodes. Of several streams each plays its share of them,
/// so that short episodes count no more than long ones. `None`: it was stopped.
///
/// # Errors
/// If the environment has no episodes, is over too early, or a plugin fails.
pub fn evaluate(
    prepared: &LoadedSpec<'_>,
    learned: &[Array],
    (step, episodes): (u64, u64),
    stop: &Stop,
) -> Result<Option<Evaluation>> {
    let mut copy = prepared.open_for_evaluation()?;
    let misfits = copy.model().restore_parameters(&to_tensors(learned, "parameters")?)?;
    if let Some(first) = misfits.first() {
        bail!("the checkpoint does not fit the agent: {first}");
    }
    let goal = to_tensors(learned, "goal")?;
    if !goal.is_empty() {
        copy.model().restore_goal(goal)?;
        // What it keeps of the learner's streams is not of these.
        copy.model().end_streams(&Arrays::part(learned, "host").elements::<u64>("streams"))?;
    }
    copy.freeze();
    let mut evaluation = Evaluation { step, returns: Vec::new(), lengths: Vec::new() };
    let mut left: Option<BTreeMap<u64, u64>> = None;
    while (evaluation.returns.len() as u64) < episodes {
        match copy.advance(&|| stop.wanted())? {
            StepOutcome::Stopped => return Ok(None),
            StepOutcome::Closed => bail!(
                "the environment was over after {} of {episodes} episodes of the evaluation",
                evaluation.returns.len()
            ),
            StepOutcome::Step if stop.wanted() => return Ok(None),
            StepOutcome::Step => {}
        }
        // What plugins measure here is of the copy, and not of the run.
        take_metrics();
        copy.model().take_means();
        let left = match &mut left {
            Some(left) => left,
            None => left.insert(shares(&copy, episodes)?),
        };
        for ((stream, _), stats) in copy.active().zip(copy.stats()) {
            let Some(Episode { total, length }) = stats.episode else { continue };
            if let Some(own) = left.get_mut(&stream).filter(|own| **own > 0) {
                *own -= 1;
                evaluation.returns.push(total);
                evaluation.lengths.push(length);
            }
        }
        if evaluation.returns.is_empty() && copy.step() >= PATIENCE {
            bail!("no episode ended within {PATIENCE} steps of the evaluation");
        }
    }
    Ok(Some(evaluation))
}

/// How many episodes each stream plays.
fn shares(copy: &Experiment, episodes: u64) -> Result<BTreeMap<u64, u64>> {
    if !copy.active().any(|(_, first)| first) {
        bail!("this environment has no episodes, so that there is nothing to evaluate");
    }
    let streams = copy.active().count() as u64;
    let share = |(i, (stream, _))| (stream, episodes / streams + u64::from((i as u64) < episodes % streams));
    Ok(copy.active().enumerate().map(share).collect())
}

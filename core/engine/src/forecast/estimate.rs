//! The estimate itself: an agent that rehearses is built, counted, and makes some steps.
use super::stand_in::StandIn;
use crate::agent::{Counted, Model, Rehearsed};
use crate::run::{Experiment, LoadedSpec, StepOutcome, device};
use efference_runs::budget::{Arithmetic, Budget, MemoryNeeds};
use efference_sdk::{Error, Outline, Result, Spaces, Trainer, bail};

/// What came of estimating an experiment.
pub(super) enum Estimate {
    /// What it takes.
    Budget(Budget),
    /// It has more parameters and buffers than these, and was given up.
    TooManyTensors(usize),
    /// A state has no room for what a stream observes and does.
    StateTooSmall {
        needed: u64,
        message: String,
    },
    /// It cannot be made, or fails in its first steps.
    Failed(Error),
    /// The environment has to be made first.
    Unknown,
}

/// Copies of a state that a step has at once: the stream's, those gathered, merged with the observation (twice as wide) and
/// written over with it, the next ones, and gradients.
const STATE_COPIES: u64 = 8;
/// Copies of an observation: the environment's, the frame's, the padded tensor, predictions, and what baselines keep.
const OBSERVATION_COPIES: u64 = 8;
/// Bytes of an element.
const ELEMENT: u64 = size_of::<f32>() as u64;
/// A rehearsed step has real tensors around its layers. One step more is made only while all of them have fewer elements.
const MOST_ELEMENTS: i64 = 3 << 20;
/// The most steps that are rehearsed.
const MOST_STEPS: u64 = 256;

/// What an experiment takes.
pub(super) fn estimate(parts: &LoadedSpec<'_>) -> Estimate {
    let outline = match parts.outline() {
        Ok(outline) => outline,
        Err(error) => return Estimate::Failed(error),
    };
    let Outline { streams, spaces } = outline;
    let known = spaces.is_some();
    let size = match parts.state_size(spaces.as_ref()) {
        Ok(size) => size,
        Err(error) if known => return Estimate::Failed(error),
        Err(_) => return Estimate::Unknown,
    };
    let (model, trainer) = match parts.rehearse(spaces.as_ref()) {
        Ok(Rehearsed::Built(model, trainer)) => (model, trainer),
        Ok(Rehearsed::TooManyTensors(most)) => return Estimate::TooManyTensors(most),
        Ok(Rehearsed::Failed(error)) | Err(error) if known => return Estimate::Failed(error),
        // With what the environment says when it is made, it may be another thing.
        Ok(Rehearsed::Failed(_)) | Err(_) => return Estimate::Unknown,
    };
    let streams = streams.unwrap_or(1) as u64;
    if let Some(too_small) = spaces.as_ref().and_then(|spaces| room(&model, size, spaces)) {
        return too_small;
    }
    let unroll = trainer.unroll_length().unwrap_or(0);
    // Of an environment that is not known, a stream that observes as much as half of a state holds.
    let assumed = spaces.unwrap_or_else(|| Spaces {
        observation: ((size - model.reserved()).max(0) / 2) as usize,
        actions: Vec::new(),
        reward: Default::default(),
    });
    let observation = assumed.observation as u64;
    let rehearsed = match rehearse(parts, model, trainer, &assumed, size) {
        Ok(rehearsed) => rehearsed,
        Err(error) if known => return Estimate::Failed(error),
        Err(_) => return Estimate::Unknown,
    };
    let of_stream = [(STATE_COPIES, size as u64), (OBSERVATION_COPIES, observation)];
    let of_stream = of_stream.into_iter().map(|(copies, elements)| elements.saturating_mul(copies * ELEMENT));
    let Rehearsal { counted, arithmetic, saved, steps } = rehearsed;
    // Steps of an unroll that were not rehearsed keep as much as those that were.
    let saved = if unroll > steps { saved as f64 * unroll as f64 / steps.max(1) as f64 } else { saved as f64 };
    Estimate::Budget(Budget {
        parameters: counted.trained,
        memory: MemoryNeeds {
            parameters: counted.tensors,
            gradients: counted.gradients,
            optimizer: counted.moments,
            streams: of_stream.fold(0, u64::saturating_add).saturating_mul(streams),
            // Beyond the largest number it is that.
            unroll: (saved * streams as f64) as u64,
        },
        arithmetic: arithmetic.map(|a| Arithmetic { flop: a.flop * streams as f64, ..a }),
        streams,
        device: device::name(parts.device()),
    })
}

/// What is wrong if a state has no room for what a stream observes and does.
fn room(model: &Model, size: i64, spaces: &Spaces) -> Option<Estimate> {
    let (reserved, observed) = (model.reserved() as u64, spaces.observation as u64);
    let actions = spaces.actions.iter().fold(0_u64, |sum, group| sum.saturating_add(group.width() as u64));
    let needed = reserved.saturating_add(observed).saturating_add(actions);
    (needed > size as u64).then(|| Estimate::StateTooSmall {
        needed,
        message: format!(
            "a stream observes {observed} values and wants {actions} actions, which with the {reserved} reserved slots of \
             the goal need a state of {needed}; it has {size}"
        ),
    })
}

/// What rehearsed steps have shown, of one stream.
struct Rehearsal {
    counted: Counted,
    arithmetic: Option<Arithmetic>,
    /// The most bytes that layers had saved at once.
    saved: u64,
    /// Steps in which they were saved.
    steps: u64,
}

/// Makes steps until the trainer has used gradients twice: what lies between is what repeats.
fn rehearse(
    parts: &LoadedSpec<'_>,
    model: Model,
    trainer: Box<dyn Trainer>,
    spaces: &Spaces,
    size: i64,
) -> Result<Rehearsal> {
    if size > MOST_ELEMENTS {
        // Even one step would take more than a moment: the cell keeps about as much as a step has of states.
        let saved = (size as u64).saturating_mul(STATE_COPIES * ELEMENT);
        return Ok(Rehearsal { counted: model.counted(), arithmetic: None, saved, steps: 1 });
    }
    let most = (MOST_ELEMENTS / size.max(1)).clamp(2, MOST_STEPS as i64) as u64;
    let mut experiment = parts.experiment(Box::new(StandIn::new(spaces)), spaces, (model, trainer));
    let until_update = |experiment: &mut Experiment| -> Result<(u64, bool)> {
        let (before, _) = experiment.model().rehearsed();
        for step in 1..=most {
            if experiment.advance(&|| true)? != StepOutcome::Step {
                bail!("the environment was over");
            }
            if experiment.model().rehearsed().0 > before {
                return Ok((step, true));
            }
        }
        Ok((most, false))
    };
    let (mut steps, mut updated) = until_update(&mut experiment)?;
    let first = steps;
    if updated {
        experiment.model().take_work();
        (steps, updated) = until_update(&mut experiment)?;
    }
    let work = experiment.model().take_work();
    let arithmetic = Arithmetic {
        flop: work.flop as f64 / steps as f64,
        is_lower_bound: work.flop_is_lower_bound || !updated,
    };
    let model = experiment.model();
    let (_, saved) = model.rehearsed();
    Ok(Rehearsal { counted: model.counted(), arithmetic: Some(arithmetic), saved, steps: first })
}

/// States of so many elements at most are made for real to see whether an agent that failed in a rehearsal does so too.
const SMALL: i64 = 4_096;

/// The error of an agent that failed in a rehearsal. A plugin may need the values of its parameters to be made; so a small
/// agent is made for real, and `None` means that nothing is wrong with it.
pub(super) fn fails_for_real(parts: &LoadedSpec<'_>, error: &Error) -> Option<Error> {
    let known = parts.outline().ok().and_then(|outline| outline.spaces);
    let (Some(spaces), Some(_)) = (&known, error.plugin()) else { return Some(error.clone()) };
    if parts.state_size(Some(spaces)).is_ok_and(|size| size > SMALL) {
        return Some(error.clone());
    }
    let made = parts.build(Some(spaces)).and_then(|(model, trainer)| {
        let mut experiment = parts.experiment(Box::new(StandIn::new(spaces)), spaces, (model, trainer));
        (0..2).try_for_each(|_| experiment.advance(&|| true).map(drop))
    });
    made.err()
}

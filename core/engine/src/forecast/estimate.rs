//! The estimate itself: an agent that rehearses is built, counted, and makes some steps.
use super::stand_in::StandIn;
use crate::agent::{Counted, Model, Rehearsed};
use crate::run::{Experiment, LoadedSpec, StepOutcome, device};
use efference_runs::budget::{Arithmetic, Budget, MemoryNeeds};
use efference_sdk::{Error, Outline, Result, Spaces, Trainer, bail};
use std::mem::{self, ManuallyDrop};
use tch::Device;

/// What came of estimating an experiment.
pub(super) enum Estimate {
    /// What it takes; and why no step could be rehearsed, if none could.
    Budget(Budget, Option<Error>),
    /// It has more parameters and buffers than these, and was given up.
    TooManyTensors(usize),
    /// It cannot be made; and bytes that its parameters had taken until then.
    Failed(Error, u64),
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

/// What an experiment takes. No step is rehearsed where it takes more than `limit` bytes without.
pub(super) fn estimate(parts: &LoadedSpec<'_>, limit: u64) -> Estimate {
    let outline = match parts.outline() {
        Ok(outline) => outline,
        Err(error) => return Estimate::Failed(error, 0),
    };
    let Outline { streams, spaces } = outline;
    let known = spaces.is_some();
    let size = match parts.state_size(spaces.as_ref()) {
        Ok(size) => size,
        Err(error) if known => return Estimate::Failed(error, 0),
        Err(_) => return Estimate::Unknown,
    };
    let (model, trainer) = match parts.rehearse(spaces.as_ref()) {
        Ok(Rehearsed::Built(model, trainer)) => (model, trainer),
        Ok(Rehearsed::TooManyTensors(most)) => return Estimate::TooManyTensors(most),
        Ok(Rehearsed::Failed(error, bytes)) if known => return Estimate::Failed(error, bytes),
        // With what the environment says when it is made, it may be another thing.
        Ok(Rehearsed::Failed(..)) | Err(_) => return Estimate::Unknown,
    };
    let streams = streams.unwrap_or(1) as u64;
    let unroll = trainer.unroll_length().unwrap_or(0);
    // Of an environment that is not known, a stream that observes as much as half of a state holds.
    let assumed = spaces.unwrap_or_else(|| Spaces {
        observation: ((size - model.reserved()).max(0) / 2) as usize,
        actions: Vec::new(),
        reward: Default::default(),
    });
    let of_stream = [(STATE_COPIES, size as u64), (OBSERVATION_COPIES, assumed.observation as u64)];
    let of_stream = of_stream.into_iter().map(|(copies, elements)| elements.saturating_mul(copies * ELEMENT));
    let Counted { trained, tensors, gradients, moments } = model.counted();
    // An unroll whose steps are not rehearsed keeps about as much of each as a step has of states.
    let of_step = (size as u64).saturating_mul(STATE_COPIES * ELEMENT).saturating_mul(streams);
    let memory = MemoryNeeds {
        parameters: tensors,
        gradients,
        optimizer: moments,
        streams: of_stream.fold(0, u64::saturating_add).saturating_mul(streams),
        unroll: of_step.saturating_mul(unroll.max(1)),
        checkpoint: checkpoint(parts, tensors, moments),
    };
    let device = device::name(parts.device());
    let counted = Budget { parameters: trained, memory, arithmetic: None, streams, device };
    // Around its layers, a rehearsed step computes. Where that takes long, or more memory than there is, it is not made.
    if size > MOST_ELEMENTS || memory.total() > limit {
        mem::forget((model, trainer)); // as in `rehearse`
        return Estimate::Budget(counted, None);
    }
    match rehearse(parts, *model, trainer, &assumed, size) {
        Ok(Rehearsal { arithmetic, moments, saved, steps }) => {
            let Arithmetic { flop, is_lower_bound } = arithmetic;
            let arithmetic = Some(Arithmetic { flop: flop * streams as f64, is_lower_bound });
            // Steps of an unroll that were not rehearsed keep as much as those that were.
            let unroll = (saved / steps * steps.max(unroll)).max(saved).saturating_mul(streams);
            let checkpoint = checkpoint(parts, tensors, moments);
            let memory = MemoryNeeds { optimizer: moments, unroll, checkpoint, ..memory };
            Estimate::Budget(Budget { memory, arithmetic, ..counted }, None)
        }
        // With what the environment says when it is made, it may be another thing.
        Err(error) => Estimate::Budget(counted, known.then_some(error)),
    }
}

/// Copies that a checkpoint makes; every run ends with one. Those of a GPU's tensors lie elsewhere.
fn checkpoint(parts: &LoadedSpec<'_>, tensors: u64, moments: u64) -> u64 {
    if parts.device() == Device::Cpu { tensors.saturating_add(moments).saturating_mul(2) } else { 0 }
}

/// What rehearsed steps have shown, of one stream.
struct Rehearsal {
    arithmetic: Arithmetic,
    /// Bytes that the optimizers will keep.
    moments: u64,
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
    let most = (MOST_ELEMENTS / size.max(1)).clamp(2, MOST_STEPS as i64) as u64;
    // Not dropped: a plugin that dies or hangs when it is dropped is not to do so before the run has begun.
    let mut experiment =
        ManuallyDrop::new(parts.experiment(Box::new(StandIn::new(spaces)), spaces, (model, trainer)));
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
        flop: work.flop as f64 / steps.max(1) as f64,
        is_lower_bound: work.flop_is_lower_bound || !updated,
    };
    let model = experiment.model();
    let (_, saved) = model.rehearsed();
    Ok(Rehearsal { arithmetic, moments: model.counted().moments, saved, steps: first.max(1) })
}

/// What is made for real, to see whether it fails there too, may take this share of the memory that there is.
const SHARE: u64 = 16;

/// How an agent does that failed in a rehearsal, when it is made for real.
pub(super) enum Really {
    /// It fails too.
    Fails(Error),
    /// Nothing is wrong with it.
    Works,
    /// It is too large to be made for that.
    Unknown,
}

/// Makes an agent for real that failed in a rehearsal after its parameters had taken so many bytes: a plugin may need the
/// values of its parameters while it is made.
pub(super) fn fails_for_real(parts: &LoadedSpec<'_>, (error, bytes): (&Error, u64), limit: u64) -> Really {
    let known = parts.outline().ok().and_then(|outline| outline.spaces);
    let (Some(spaces), Some(_)) = (&known, error.plugin()) else { return Really::Fails(error.clone()) };
    if bytes > limit / SHARE || parts.state_size(Some(spaces)).is_ok_and(|size| size > MOST_ELEMENTS) {
        return Really::Unknown;
    }
    let made = parts.build(Some(spaces)).and_then(|(model, trainer)| {
        let mut experiment = parts.experiment(Box::new(StandIn::new(spaces)), spaces, (model, trainer));
        (0..2).try_for_each(|_| experiment.advance(&|| true).map(drop))
    });
    made.map_or_else(Really::Fails, |()| Really::Works)
}

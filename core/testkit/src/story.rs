//! What happens to a trainer, made up: streams that begin, sit out, end, and come back under the same number.
use crate::OwnedMoment;
use efference_sdk::tch::Tensor;
use efference_sdk::{Agent, Batch, Random, Result, StepType, Trainer};

/// What happens in one step.
#[derive(Debug, Default, Clone)]
pub struct Happening {
    /// The active streams.
    pub active: Vec<u64>,
    /// One an active stream.
    pub step_types: Vec<StepType>,
    /// Streams that began.
    pub started: Vec<u64>,
    /// Streams that ended before.
    pub ended: Vec<u64>,
    /// One an active stream; NaN: missing.
    pub observation: Vec<Vec<f32>>,
}

impl Happening {
    /// (active streams, length)
    pub fn observed(&self) -> Tensor {
        let rows: Vec<_> = self.observation.iter().map(|o| Tensor::from_slice(o)).collect();
        Tensor::stack(&rows, 0)
    }

    /// As it comes from an environment.
    pub fn moment(&self) -> OwnedMoment {
        let step_types = self.step_types.clone();
        OwnedMoment { step_types, ..OwnedMoment::of_streams(&self.active, &self.observed()) }
    }
}

/// So many steps of up to four streams, each of which observes `length` features, some of them missing.
pub fn story(random: &mut Random, steps: usize, length: usize) -> Vec<Happening> {
    let mut there: Vec<u64> = Vec::new();
    let mut story = Vec::new();
    for _ in 0..steps {
        let mut now = Happening::default();
        there.retain(|stream| {
            let stays = random.below(6) > 0;
            if !stays {
                now.ended.push(*stream);
            }
            stays
        });
        for stream in 0..4 {
            if !there.contains(&stream) && (random.below(3) == 0 || there.is_empty()) {
                there.push(stream);
                now.started.push(stream);
            }
        }
        now.active = there.iter().copied().filter(|_| random.below(4) > 0).collect();
        if now.active.is_empty() {
            now.active.push(there[0]);
        }
        if random.below(2) == 0 {
            now.active.reverse();
        }
        for _ in 0..now.active.len() {
            now.step_types.push(match random.below(10) {
                0 => StepType::TERMINATED,
                1 => StepType::TRUNCATED,
                _ => StepType::MIDDLE,
            });
            let number =
                |r: &mut Random| if r.below(4) == 0 { f32::NAN } else { r.unit() as f32 * 2.0 - 1.0 };
            now.observation.push((0..length).map(|_| number(random)).collect());
        }
        story.push(now);
    }
    story
}

/// Lets a trainer go through a story; returns what it answered, the new states of each step.
///
/// # Errors
/// Those of the trainer.
pub fn play(agent: &dyn Agent, trainer: &mut dyn Trainer, story: &[Happening]) -> Result<Vec<Tensor>> {
    let step = |now: &Happening| {
        let moment = now.moment();
        trainer.step(agent, &Batch { moment: moment.get(), started: &now.started, ended: &now.ended })
    };
    story.iter().map(step).collect()
}

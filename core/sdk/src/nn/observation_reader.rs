//! What the networks of a bonus see: the observation alone, normalised as it comes.
use super::running::Normaliser;
use crate::autograd::{OutputBuffer, slice};
use crate::{GoalSetup, Moment, ParamStore, Result, Saved, bail, ensure};
use tch::{Kind, Tensor};

/// How far a normalised element may be from 0.
const LIMIT: f32 = 5.0;

/// Makes rows for a network of what is observed: 0 where something is missing, normalised by a running mean and deviation and
/// limited to ±5, as Burda et al., "Exploration by random network distillation" (2018, arXiv 1810.12894), do.
#[derive(Debug)]
pub struct ObservationReader {
    normaliser: Normaliser,
    size: usize,
}

impl ObservationReader {
    /// For a goal plugin called `name`, made by `setup`.
    ///
    /// # Errors
    /// If the environment does not say what it observes, or observes nothing.
    pub fn new(name: &str, setup: &GoalSetup<'_>) -> Result<Self> {
        let Some(spaces) = setup.spaces else {
            bail!("{name} needs an environment that says how much it observes, and this one does not")
        };
        let size = spaces.observation;
        ensure!(size > 0, "{name} measures how new an observation is, and this environment observes nothing");
        // An agent that is only counted may ask for more than there is memory for.
        ensure!(
            !setup.params.only_counts()? || size <= 1 << 28,
            "a network of {size} features has more of them than any memory holds"
        );
        Ok(ObservationReader { normaliser: Normaliser::new(size), size })
    }

    /// Elements of a row.
    pub fn size(&self) -> usize {
        self.size
    }

    /// (rows, [`size`](Self::size)), without gradient; each row is counted in. What is shorter than the environment said is
    /// followed by 0.
    pub fn read(&mut self, moment: &Moment<'_>) -> Result<Tensor> {
        let observation = moment.observation.f_detach()?.f_to_kind(Kind::Float)?.f_contiguous()?;
        let length = observation.size()[1] as usize;
        ensure!(
            length <= self.size,
            "an observation has {length} elements, and the environment said {}",
            self.size
        );
        let mut rows = OutputBuffer::zeros(&[moment.streams.len() as i64, self.size as i64])?;
        for (row, seen) in
            rows.chunks_exact_mut(self.size).zip(slice(&observation)?.chunks_exact(length.max(1)))
        {
            row.iter_mut().zip(seen).for_each(|(row, seen)| *row = if seen.is_nan() { 0.0 } else { *seen });
        }
        Ok(self.normaliser.normalise(&rows.into_tensor())?.f_clamp(f64::from(-LIMIT), f64::from(LIMIT))?)
    }

    /// Appends its state, under names that begin with `name`.
    pub fn save(&self, name: &str, into: &mut Saved) -> Result<()> {
        self.normaliser.save(name, into)
    }

    /// Takes up what [`save`](Self::save) appended.
    pub fn restore(&mut self, name: &str, from: &Saved) -> Result<()> {
        self.normaliser.restore(name, from)
    }
}

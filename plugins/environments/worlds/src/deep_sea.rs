//! `deep_sea`: a treasure that random play hardly ever finds. It is bsuite's experiment of the same name (Osband et al.,
//! "Behaviour Suite for Reinforcement Learning", 2020, arXiv 1908.03568), without its stochastic variant.
//!
//! A diver begins in the upper left corner of a square of `size` × `size` cells, and sinks by one row with each action: to the
//! left or to the right, or along the wall where there is one. Which alternative is which, is drawn once for each cell, from the
//! seed, and the same in all streams. Going right costs 0.01 / `size`; who goes right from the last row's last cell, and has gone
//! right all the way, finds the treasure: 1. So the best return is 0.99, that of never going right 0, and random play finds the
//! treasure in one of 2^`size` episodes.
//!
//! An episode has `size` + 1 frames. The diver's cell is 1, all others −1; in the last frame, which is below the square, none is
//! lit. With `noise`, that many random elements of −1…1 stand behind the cells, drawn anew for each frame: they can't be
//! foreseen, and mean nothing.
use crate::options::Options;
use crate::picture;
use crate::random::SplitMix64;
use crate::world::{World, chosen, observations};
use efference_sdk::serde::{Deserialize, Serialize};
use efference_sdk::{ActionGroup, Picture, Result, RewardRange, Spaces, StepType, ensure, serde_json};

/// What going right costs in an episode in which nothing else is done.
const COST: f32 = 0.01;

pub(crate) struct DeepSea {
    size: usize,
    noise: usize,
    sea: Sea,
    divers: Vec<Diver>,
    observations: Vec<Vec<f32>>,
}

/// Which alternative goes right, cell by cell.
struct Sea {
    random: SplitMix64,
    right: Vec<bool>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(crate = "efference_sdk::serde", deny_unknown_fields)]
struct Diver {
    random: SplitMix64,
    row: usize,
    column: usize,
    reward: Option<f32>,
}

#[derive(Serialize, Deserialize)]
#[serde(crate = "efference_sdk::serde", deny_unknown_fields)]
struct Saved {
    sea: SplitMix64,
    divers: Vec<Diver>,
    noise: Vec<Vec<f32>>,
}

impl Sea {
    fn of(random: SplitMix64, size: usize) -> Self {
        let mut drawn = random;
        Sea { random, right: (0..size * size).map(|_| drawn.below(2) == 1).collect() }
    }
}

impl DeepSea {
    pub(crate) fn new(options: &Options, seed: u64) -> Result<Self> {
        let Options { size, noise, streams, .. } = *options;
        ensure!(size >= 2, "size = {size}, but a diver needs at least 2 rows to sink");
        // As many streams as there may be have numbers below this.
        let sea = Sea::of(SplitMix64::of_stream(seed, usize::MAX), size);
        let begin = |s| Diver { random: SplitMix64::of_stream(seed, s), row: 0, column: 0, reward: None };
        let divers: Vec<Diver> = (0..streams).map(begin).collect();
        let observations = observations(streams, size * size + noise)?;
        let mut world = DeepSea { size, noise, sea, divers, observations };
        (0..streams).for_each(|stream| world.draw(stream));
        Ok(world)
    }

    /// Writes what a stream observes, with new noise.
    fn draw(&mut self, stream: usize) {
        let (diver, observation) = (&mut self.divers[stream], &mut self.observations[stream]);
        let (cells, noise) = observation.split_at_mut(self.size * self.size);
        cells.fill(-1.0);
        if let Some(cell) = cells.get_mut(diver.row * self.size + diver.column) {
            *cell = 1.0;
        }
        noise.iter_mut().for_each(|x| *x = (2.0 * diver.random.unit() - 1.0) as f32);
    }

    fn possible(&self, diver: &Diver) -> bool {
        let reward = diver.reward.is_none_or(|reward| (-1.0..=1.0).contains(&reward));
        diver.row <= self.size
            && diver.column < self.size
            && reward
            && (diver.row == 0) == diver.reward.is_none()
    }
}

/// What the options say of all streams.
pub(crate) fn spaces(options: &Options) -> Spaces {
    Spaces {
        observation: options.size * options.size + options.noise,
        actions: vec![ActionGroup::choice(2)],
        reward: RewardRange::default(),
    }
}

impl World for DeepSea {
    fn spaces(&self) -> Spaces {
        let observation = self.size * self.size + self.noise;
        Spaces { observation, actions: vec![ActionGroup::choice(2)], reward: RewardRange::default() }
    }

    fn observation(&self, stream: usize) -> &[f32] {
        &self.observations[stream]
    }

    fn reward(&self, stream: usize) -> Option<f32> {
        self.divers[stream].reward
    }

    fn step_type(&self, stream: usize) -> StepType {
        match self.divers[stream].row {
            0 => StepType::FIRST,
            row if row == self.size => StepType::TERMINATED,
            _ => StepType::MIDDLE,
        }
    }

    fn step(&mut self, stream: usize, _prediction: &[f32], action: &[f32]) {
        let (size, diver) = (self.size, &mut self.divers[stream]);
        if diver.row == size {
            (diver.row, diver.column, diver.reward) = (0, 0, None);
        } else {
            let right = (chosen(action) == 1) == self.sea.right[diver.row * size + diver.column];
            let found = right && diver.column + 1 == size;
            let cost = if right { COST / size as f32 } else { 0.0 };
            diver.reward = Some(f32::from(found) - cost);
            diver.column =
                if right { (diver.column + 1).min(size - 1) } else { diver.column.saturating_sub(1) };
            diver.row += 1;
        }
        self.draw(stream);
    }

    /// The cells, and the noise in rows below them.
    fn picture(&self, observation: &[f32]) -> Result<Picture> {
        picture::require_length(observation, self.size * self.size + self.noise)?;
        let (size, rows) = (self.size, self.size + self.noise.div_ceil(self.size));
        let scale = (256 / size).clamp(1, 8);
        let cell = |row: usize, column: usize| {
            observation.get(row * size + column).map_or([0; 3], |x| picture::colour(*x))
        };
        Ok(picture::grid(rows, size, scale, cell))
    }

    fn save(&self) -> Result<serde_json::Value> {
        let noise = self.observations.iter().map(|o| o[self.size * self.size..].to_vec()).collect();
        Ok(serde_json::to_value(Saved { sea: self.sea.random, divers: self.divers.clone(), noise })?)
    }

    fn restore(&mut self, saved: serde_json::Value) -> Result<()> {
        let Saved { sea, divers, noise } = serde_json::from_value(saved)?;
        ensure!(
            divers.len() == self.divers.len() && noise.len() == divers.len(),
            "it has {} divers, not {}",
            divers.len(),
            self.divers.len()
        );
        ensure!(divers.iter().all(|d| self.possible(d)), "a diver is outside of the sea");
        let fits = |noise: &Vec<f32>| noise.len() == self.noise && noise.iter().all(|x| x.abs() <= 1.0);
        ensure!(noise.iter().all(fits), "there is other noise than that of this world");
        self.sea = Sea::of(sea, self.size);
        for (stream, diver) in divers.into_iter().enumerate() {
            self.divers[stream] = diver;
            self.draw(stream);
            // Drawing has drawn new noise.
            self.divers[stream] = diver;
            self.observations[stream][self.size * self.size..].copy_from_slice(&noise[stream]);
        }
        Ok(())
    }
}

//! `copy`: copy and repeat (Graves et al., "Neural Turing Machines", 2014, with the growing task and the numbers of
//! Jaderberg et al., arXiv 1608.05343, and of BP(lambda), arXiv 2401.07044).
//!
//! A sequence is N vectors of random bits, to be said R times; it takes (R + 1)·N + 3 frames:
//!
//! | frames | input channels | targets |
//! |---|---|---|
//! | 1 (first) | the start flag | missing |
//! | N | the vectors | missing |
//! | 1 | the count R | missing |
//! | R·N | – | the vectors, R times over |
//! | 1 (terminated) | – | the end flag |
//!
//! An observation is the input channels (`bits`, then start flag and count), then the targets (`bits`, then end flag).
//! 0 is coded −1 and 1 is coded 1, an input channel with nothing to say shows −1, and the count shows
//! `2·min(R / most_repeats, 1) − 1`. So whoever predicts the next observation does the task: the inputs so far are
//! seen when the first target is to be predicted. (As in all worlds, a target is seen once it was predicted.)
//!
//! The sequences grow: of each target number the cross-entropy of the agent's prediction `x` is taken, with
//! `p = (x + 1) / 2` as the probability of a 1 (what is best for a squared error), kept within 0.001…0.999 and ½
//! where nothing is predicted. After `batch` sequences, over all streams, their mean in bits is compared with
//! `grow_below`: `R += 1 if R < N else N += 1`. Streams take that up with their next sequence; those that were begun
//! before do not count for the new batch. Metrics: `copy_n`, `copy_r`, their sum `copy_level`, and after each batch
//! `copy_bits`.
use crate::options::Options;
use crate::random::SplitMix64;
use crate::world::{World, observations};
use crate::{exact, picture};
use efference_sdk::serde::{Deserialize, Serialize};
use efference_sdk::{Picture, Result, RewardRange, Spaces, StepType, ensure, metric, serde_json};

/// No certainty costs more than log₂ 1000 bits.
const LEAST_PROBABILITY: f64 = 0.001;

pub(crate) struct Copy {
    task: Task,
    course: Course,
    tapes: Vec<Tape>,
    observations: Vec<Vec<f32>>,
}

/// What stays the same; see the options of the same names.
struct Task {
    bits: usize,
    most_repeats: usize,
    batch: u64,
    grow_below: f64,
}

/// How long the sequences are by now, and how well the present batch went so far.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(crate = "efference_sdk::serde", deny_unknown_fields)]
struct Course {
    vectors: usize,
    repeats: usize,
    sequences: u64,
    #[serde(with = "exact")]
    entropy: f64,
}

/// A sequence under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(crate = "efference_sdk::serde", deny_unknown_fields)]
struct Tape {
    random: SplitMix64,
    /// The lowest bits of each.
    vectors: Vec<u32>,
    repeats: usize,
    /// The frame of the sequence that is shown, from 0.
    time: usize,
    /// Cross-entropy of the targets so far, in bits.
    #[serde(with = "exact")]
    entropy: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(crate = "efference_sdk::serde", deny_unknown_fields)]
struct Saved {
    course: Course,
    tapes: Vec<Tape>,
}

impl Tape {
    fn new(random: SplitMix64, course: &Course, bits: usize) -> Self {
        let mut tape = Tape { random, vectors: Vec::new(), repeats: 0, time: 0, entropy: 0.0 };
        tape.begin(course, bits);
        tape
    }

    /// When the first target is asked.
    fn first_target(&self) -> usize {
        self.vectors.len() + 2
    }

    fn last(&self) -> usize {
        (self.repeats + 1) * self.vectors.len() + 2
    }

    fn begin(&mut self, course: &Course, bits: usize) {
        self.vectors.clear();
        self.vectors.extend((0..course.vectors).map(|_| (self.random.bits() >> (64 - bits)) as u32));
        self.repeats = course.repeats;
        self.time = 0;
        self.entropy = 0.0;
    }
}

impl Course {
    /// How many target numbers a sequence has.
    fn asked(&self, bits: usize) -> usize {
        (self.repeats * self.vectors + 1) * (bits + 1)
    }

    /// Counts a sequence that has ended, and makes the next ones longer if its batch ended and went well.
    fn count(&mut self, tape: &Tape, task: &Task) {
        if (tape.vectors.len(), tape.repeats) == (self.vectors, self.repeats) {
            self.sequences += 1;
            self.entropy += tape.entropy;
        }
        if self.sequences >= task.batch {
            let mean = self.entropy / (self.sequences as f64 * self.asked(task.bits) as f64);
            metric("copy_bits", mean);
            (self.sequences, self.entropy) = (0, 0.0);
            if mean < task.grow_below {
                let grows = if self.repeats < self.vectors { &mut self.repeats } else { &mut self.vectors };
                *grows += 1;
            }
        }
        metric("copy_n", self.vectors as f64);
        metric("copy_r", self.repeats as f64);
        metric("copy_level", (self.vectors + self.repeats) as f64);
    }
}

impl Copy {
    pub(crate) fn new(options: &Options, seed: u64) -> Result<Self> {
        let Options { bits, vectors, repeats, most_repeats, batch, grow_below, .. } = *options;
        ensure!((1..=32).contains(&bits), "bits = {bits} must be in 1 … 32");
        ensure!(batch > 0, "batch = 0, but a batch needs one sequence at least");
        for (name, value) in [("vectors", vectors), ("repeats", repeats), ("most_repeats", most_repeats)] {
            ensure!((1..=1000).contains(&value), "{name} = {value} must be in 1 … 1000");
        }
        let course = Course { vectors, repeats, sequences: 0, entropy: 0.0 };
        let task = Task { bits, most_repeats, batch, grow_below };
        let tapes: Vec<Tape> =
            (0..options.streams).map(|s| Tape::new(SplitMix64::of_stream(seed, s), &course, bits)).collect();
        let mut observations = observations(tapes.len(), spaces(bits).observation)?;
        tapes.iter().zip(&mut observations).for_each(|(tape, observation)| task.write(tape, observation));
        Ok(Copy { task, course, tapes, observations })
    }
}

/// What all streams observe and want, of vectors of so many bits.
pub(crate) fn spaces(bits: usize) -> Spaces {
    Spaces { observation: 2 * bits + 3, actions: Vec::new(), reward: RewardRange::default() }
}

impl Task {
    fn write(&self, tape: &Tape, observation: &mut [f32]) {
        let n = tape.vectors.len();
        let (inputs, targets) = observation.split_at_mut(self.bits + 2);
        inputs.fill(-1.0);
        targets.fill(if tape.time < tape.first_target() { f32::NAN } else { -1.0 });
        if tape.time == 0 {
            inputs[self.bits] = 1.0;
        } else if tape.time <= n {
            spell(tape.vectors[tape.time - 1], &mut inputs[..self.bits]);
        } else if tape.time == n + 1 {
            inputs[self.bits + 1] = 2.0 * (tape.repeats as f32 / self.most_repeats as f32).min(1.0) - 1.0;
        } else if tape.time < tape.last() {
            spell(tape.vectors[(tape.time - tape.first_target()) % n], &mut targets[..self.bits]);
        } else {
            targets[self.bits] = 1.0;
        }
    }

    fn possible(&self, tape: &Tape) -> bool {
        // `last` stays far from overflow: the vectors are in memory, and R ≤ N once it has grown.
        let r = (1..=tape.vectors.len().max(1000)).contains(&tape.repeats);
        let bits = tape.vectors.iter().all(|v| u64::from(*v) >> self.bits == 0);
        !tape.vectors.is_empty() && r && bits && tape.time <= tape.last()
    }
}

/// Writes the bits of a vector as −1 and 1.
fn spell(vector: u32, numbers: &mut [f32]) {
    for (i, number) in numbers.iter_mut().enumerate() {
        *number = if vector >> i & 1 == 1 { 1.0 } else { -1.0 };
    }
}

/// Cross-entropy of a prediction in −1…1 of a target that is −1 or 1, in bits.
fn entropy(prediction: f32, target: f32) -> f64 {
    if prediction.is_nan() {
        return 1.0;
    }
    let right = (f64::from(prediction * target) + 1.0) / 2.0;
    -right.clamp(LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY).log2()
}

impl World for Copy {
    fn spaces(&self) -> Spaces {
        spaces(self.task.bits)
    }

    fn observation(&self, stream: usize) -> &[f32] {
        &self.observations[stream]
    }

    fn reward(&self, _stream: usize) -> Option<f32> {
        None
    }

    fn step_type(&self, stream: usize) -> StepType {
        match &self.tapes[stream] {
            Tape { time: 0, .. } => StepType::FIRST,
            tape if tape.time == tape.last() => StepType::TERMINATED,
            _ => StepType::MIDDLE,
        }
    }

    fn step(&mut self, stream: usize, prediction: &[f32], _action: &[f32]) {
        let (tape, observation) = (&mut self.tapes[stream], &mut self.observations[stream]);
        if tape.time == tape.last() {
            tape.begin(&self.course, self.task.bits);
        } else {
            tape.time += 1;
        }
        self.task.write(tape, observation);
        if tape.time >= tape.first_target() {
            let at = self.task.bits + 2;
            let predicted = prediction.iter().skip(at).copied().chain(std::iter::repeat(f32::NAN));
            let pairs = predicted.zip(&observation[at..]);
            tape.entropy += pairs.map(|(x, target)| entropy(x, *target)).sum::<f64>();
        }
        if tape.time == tape.last() {
            self.course.count(tape, &self.task);
        }
    }

    /// Two columns, inputs left and targets right: the bits from the top, then the flags, then the count.
    fn picture(&self, observation: &[f32]) -> Result<Picture> {
        picture::require_length(observation, self.spaces().observation)?;
        let (inputs, targets) = observation.split_at(self.task.bits + 2);
        // The count has no target beside it.
        let number = |row: usize, column: usize| if column == 0 { inputs.get(row) } else { targets.get(row) };
        Ok(picture::grid(self.task.bits + 2, 2, 16, |row, column| {
            picture::colour(number(row, column).copied().unwrap_or(-1.0))
        }))
    }

    fn save(&self) -> Result<serde_json::Value> {
        Ok(serde_json::to_value(Saved { course: self.course, tapes: self.tapes.clone() })?)
    }

    fn restore(&mut self, saved: serde_json::Value) -> Result<()> {
        let saved: Saved = serde_json::from_value(saved)?;
        let (now, were) = (self.tapes.len(), saved.tapes.len());
        ensure!(were == now, "it has {were} sequences, not {now}");
        let numbers = |n: usize| (1..=1_000_000).contains(&n);
        ensure!(
            numbers(saved.course.vectors) && numbers(saved.course.repeats),
            "it has sequences of N = {} and R = {}",
            saved.course.vectors,
            saved.course.repeats
        );
        ensure!(saved.tapes.iter().all(|t| self.task.possible(t)), "a sequence contradicts itself");
        (self.course, self.tapes) = (saved.course, saved.tapes);
        for (tape, observation) in self.tapes.iter().zip(&mut self.observations) {
            self.task.write(tape, observation);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_is_that_of_the_probability_that_a_prediction_means() {
        assert_eq!(entropy(0.0, 1.0), 1.0);
        assert_eq!(entropy(f32::NAN, -1.0), 1.0);
        assert_eq!(entropy(0.5, 1.0), -0.75_f64.log2());
        assert_eq!(entropy(0.5, -1.0), 2.0);
        assert_eq!(entropy(9.0, -1.0), -LEAST_PROBABILITY.log2());
        assert!(entropy(9.0, 1.0) < 0.002);
    }
}

//! What an experiment takes before it is begun: parameters, memory, and the arithmetic of a step.
use crate::{Bytes, Grouped, Scaled};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What an experiment takes, estimated before anything is allocated for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// Elements that are trained. This is exact.
    pub parameters: u64,
    /// What lives where tensors do.
    pub memory: MemoryNeeds,
    /// The arithmetic of a step; absent where no step could be rehearsed.
    pub arithmetic: Option<Arithmetic>,
    /// How many streams were assumed.
    pub streams: u64,
    /// Where tensors are to live, such as `cpu` or `cuda:0`.
    pub device: String,
}

/// Memory, in bytes. What the program and libtorch take by themselves is not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MemoryNeeds {
    /// Parameters and buffers. This is exact.
    pub parameters: u64,
    /// Gradients of parameters. This is exact where all of them get one.
    pub gradients: u64,
    /// What the optimizer keeps. This is exact where all parameters are updated.
    pub optimizer: u64,
    /// States and observations of all streams, in the copies that a step has of them.
    pub streams: u64,
    /// What the steps of an unroll keep for the backward pass.
    pub unroll: u64,
    /// The copies that a checkpoint makes of parameters and optimizer: one while steps go on, one as it is written.
    pub checkpoint: u64,
}

/// The arithmetic of a step, as `efference bench` counts it: products of matrices in layers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Arithmetic {
    /// Floating-point operations, a mean over steps with and without a backward pass.
    pub flop: f64,
    /// Whether it is more than that: a layer does not say what it multiplies, or no backward pass was reached.
    pub is_lower_bound: bool,
}

impl MemoryNeeds {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.named().into_iter().fold(0, |sum, (_, bytes)| sum.saturating_add(bytes))
    }

    fn named(&self) -> [(&'static str, u64); 6] {
        [
            ("parameters", self.parameters),
            ("gradients", self.gradients),
            ("optimizer", self.optimizer),
            ("streams", self.streams),
            ("unroll", self.unroll),
            ("checkpoint", self.checkpoint),
        ]
    }
}

/// `about 45.0 MiB (parameters 10.0 MiB, gradients 10.0 MiB, …)`
impl fmt::Display for MemoryNeeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "about {} (", Bytes(self.total() as f64))?;
        for (i, (name, bytes)) in self.named().into_iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{name} {}", Bytes(bytes as f64))?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let streams = if self.streams == 1 { "stream" } else { "streams" };
        writeln!(f, "parameters  {}", Grouped(self.parameters))?;
        writeln!(f, "memory      {}", self.memory)?;
        if let Some(Arithmetic { flop, is_lower_bound }) = self.arithmetic {
            let about = if is_lower_bound { "at least" } else { "about" };
            let (flop, count) = (Scaled(flop), Grouped(self.streams));
            writeln!(f, "a step      {about} {flop} FLOP, of {count} {streams}")?;
        }
        Ok(())
    }
}

/// What stands in the way of an experiment, and which key of its spec is to be changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obstacle {
    /// The key, such as `state.size`.
    pub key: String,
    /// What is wrong, in a sentence.
    pub message: String,
    /// What would help, if that is known.
    pub help: Option<String>,
    /// Whether it can be tried all the same: it fails if memory is short.
    pub can_be_forced: bool,
}

/// `message. help`
impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, ". {help}"))
    }
}

/// What is known of an experiment before it is begun.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// What it takes, as far as that could be counted.
    pub budget: Option<Budget>,
    /// What stands in its way.
    pub obstacle: Option<Obstacle>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_says_what_is_estimated_and_what_is_a_lower_bound() {
        let memory = MemoryNeeds {
            parameters: 4 << 20,
            gradients: 4 << 20,
            optimizer: 8 << 20,
            streams: 1 << 20,
            unroll: 3 << 20,
            checkpoint: 24 << 20,
        };
        let budget = Budget {
            parameters: 1 << 20,
            memory,
            arithmetic: Some(Arithmetic { flop: 12.3e6, is_lower_bound: false }),
            streams: 8,
            device: "cpu".to_owned(),
        };
        assert_eq!(
            budget.to_string(),
            "parameters  1,048,576\n\
             memory      about 44.0 MiB (parameters 4.00 MiB, gradients 4.00 MiB, optimizer 8.00 MiB, streams 1.00 MiB, \
             unroll 3.00 MiB, checkpoint 24.0 MiB)\n\
             a step      about 12.3 M FLOP, of 8 streams\n"
        );
        let least = Arithmetic { is_lower_bound: true, ..budget.arithmetic.unwrap() };
        let text = Budget { arithmetic: Some(least), streams: 1, ..budget }.to_string();
        assert!(text.ends_with("a step      at least 12.3 M FLOP, of 1 stream\n"), "{text}");
    }

    #[test]
    fn sums_that_no_number_holds_stay_the_largest_number() {
        let memory = MemoryNeeds { parameters: u64::MAX, gradients: u64::MAX, ..MemoryNeeds::default() };
        assert_eq!(memory.total(), u64::MAX);
    }
}

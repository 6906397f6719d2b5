//! What was measured, and how it is printed.
use efference_runs::{Bytes, Scaled};
use serde::Serialize;
use std::fmt;

/// What was measured. Times are milliseconds a step.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Steps that were measured.
    pub steps: u64,
    /// Steps a second, over all of them.
    pub steps_per_second: f64,
    /// Frames of all streams a second.
    pub frames_per_second: f64,
    /// Half of the steps took at most this long.
    pub median: f64,
    /// 95 of 100 steps took at most this long.
    pub p95: f64,
    /// Where the time went.
    pub parts: Parts,
    /// Largest memory of the process so far, in MiB.
    pub peak_memory: f64,
    /// Numbers that are trained.
    pub parameters: i64,
    /// Threads that compute.
    pub threads: usize,
    /// How much was done, and how much can be.
    #[serde(flatten)]
    pub rates: Rates,
}

/// Means over the measured steps, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Parts {
    /// Waiting for the environment, and answering it.
    pub environment: f64,
    /// Comparing predictions with what came.
    pub comparing: f64,
    /// Transitions: goal, cell and layers, forward.
    pub transition: f64,
    /// The goal's loss, forward.
    pub loss: f64,
    /// The trainer's networks, forward.
    pub network: f64,
    /// The rest of the trainer's step: backpropagation, nearly all of it.
    pub backward: f64,
    /// Optimizers.
    pub update: f64,
    /// Recording metrics and pictures, and writing checkpoints, as far as the next step waits for it. On a GPU, the
    /// wait for the numbers of a line of metrics is a part of it.
    pub recording: f64,
    /// The rest.
    pub other: f64,
}

/// The estimated work of a step beside the most that the machine does.
///
/// What is counted says [`CallMonitor::take_work`](crate::plugins::CallMonitor::take_work): operations in the layers' products of
/// matrices, and bytes that layers and optimizers have to read and write. All else comes on top.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Rates {
    /// Floating-point operations a step.
    pub flop: f64,
    /// Whether there are layers that do not say how many multiplications they make; one for each of their parameters
    /// is counted then.
    pub flop_is_lower_bound: bool,
    /// Floating-point operations a second.
    pub flop_per_second: f64,
    /// Floating-point operations a second in a large matrix product; `None` if that could not be measured.
    pub peak_flop_per_second: Option<f64>,
    /// Bytes read and written a step, at least.
    pub bytes: f64,
    /// Bytes read and written a second, at least.
    pub bytes_per_second: f64,
    /// Bytes read and written a second in a large copy; `None` if that could not be measured.
    pub peak_bytes_per_second: Option<f64>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} steps: {:.1} steps/s, {:.1} frames/s; a step takes {:.3} ms (median), {:.3} ms (p95)",
            self.steps, self.steps_per_second, self.frames_per_second, self.median, self.p95
        )?;
        writeln!(
            f,
            "{} parameters, {} thread(s), {:.0} MiB of memory at most",
            self.parameters, self.threads, self.peak_memory
        )?;
        let p = self.parts;
        let parts = [
            ("environment", p.environment),
            ("comparing", p.comparing),
            ("transition", p.transition),
            ("loss", p.loss),
            ("network", p.network),
            ("backward", p.backward),
            ("update", p.update),
            ("recording", p.recording),
            ("other", p.other),
        ];
        let sum: f64 = parts.iter().map(|(_, t)| t).sum();
        for (name, time) in parts {
            writeln!(f, "  {name:<12} {time:>9.4} ms  {:>5.1} %", 100.0 * time / sum.max(1e-12))?;
        }
        self.rates.fmt(f)
    }
}

impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = if self.flop_is_lower_bound { "at least " } else { "" };
        write!(f, "FLOP {least}{} a step, {}/s", Scaled(self.flop), Scaled(self.flop_per_second))?;
        if let Some(peak) = self.peak_flop_per_second {
            let share = 100.0 * self.flop_per_second / peak;
            write!(f, ": {share:.1} % of the {}/s of a large matrix product here", Scaled(peak))?;
        }
        write!(f, "\nat least {} moved a step, {}/s", Bytes(self.bytes), Bytes(self.bytes_per_second))?;
        if let Some(peak) = self.peak_bytes_per_second {
            let share = 100.0 * self.bytes_per_second / peak;
            write!(f, ": {share:.1} % of the {}/s of a large copy here", Bytes(peak))?;
        }
        writeln!(f)?;
        if self.flop_is_lower_bound {
            writeln!(
                f,
                "The layer does not say how many multiplications it makes; one for each of its parameters is counted."
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_shown_beside_what_the_machine_can_do() {
        let rates = Rates {
            flop: 0.21e9,
            flop_is_lower_bound: false,
            flop_per_second: 29.8e9,
            peak_flop_per_second: Some(144e9),
            bytes: (45 << 20) as f64,
            bytes_per_second: 6.25 * (1 << 30) as f64,
            peak_bytes_per_second: Some(12.5 * (1 << 30) as f64),
        };
        assert_eq!(
            rates.to_string(),
            "FLOP 210 M a step, 29.8 G/s: 20.7 % of the 144 G/s of a large matrix product here\n\
             at least 45.0 MiB moved a step, 6.25 GiB/s: 50.0 % of the 12.5 GiB/s of a large copy here\n"
        );
        let unknown = Rates {
            flop_is_lower_bound: true,
            peak_flop_per_second: None,
            peak_bytes_per_second: None,
            ..rates
        };
        assert_eq!(
            unknown.to_string(),
            "FLOP at least 210 M a step, 29.8 G/s\nat least 45.0 MiB moved a step, 6.25 GiB/s\n\
             The layer does not say how many multiplications it makes; one for each of its parameters is counted.\n"
        );
    }
}

//! What a plugin leaves as it found it: what libtorch and the system keep for the whole process.
use efference_sdk::tch::{self, Tensor};
use efference_sdk::{Result, bail, ensure};
use std::path::PathBuf;
use std::{env, fs};

#[derive(Debug, PartialEq, Eq)]
pub(super) struct ProcessState {
    gradients: bool,
    threads: i32,
    directory: Option<PathBuf>,
}

impl ProcessState {
    pub(super) fn now() -> Result<Self> {
        let probe = Tensor::f_from_slice(&[0.0f32])?.f_set_requires_grad(true)?;
        Ok(ProcessState {
            gradients: probe.f_add_scalar(1.0)?.requires_grad(),
            threads: tch::get_num_threads(),
            directory: env::current_dir().ok(),
        })
    }

    /// Whether it is the same now; the number of threads is set back if not, and so is the working directory.
    pub(super) fn check(&self) -> Result<()> {
        let now = ProcessState::now()?;
        if now.threads != self.threads {
            tch::set_num_threads(self.threads);
        }
        if let Some(directory) = self.directory.as_ref().filter(|_| now.directory != self.directory) {
            let _ = env::set_current_dir(directory);
        }
        ensure!(
            now.gradients == self.gradients,
            "it leaves gradients switched {}: drop each guard before returning, or use `tch::no_grad(|| …)`",
            if now.gradients { "on" } else { "off" }
        );
        ensure!(
            now.threads == self.threads,
            "it changes libtorch's number of threads from {} to {}",
            self.threads,
            now.threads
        );
        ensure!(
            now.directory == self.directory,
            "it changes the working directory to {}",
            now.directory.unwrap_or_default().display()
        );
        Ok(())
    }
}

/// The memory that this process has in use, in bytes; `None` where the system does not say.
pub(super) fn resident() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    Some(text.split(' ').nth(1)?.parse::<u64>().ok()? * 4_096)
}

/// Lets `turn` be done so often, after a tenth as many to warm up.
///
/// # Errors
/// Memory grew by more than a plugin needs that keeps nothing from call to call. What other threads take meanwhile counts
/// too, so that it has to grow each of three times.
pub(super) fn check_growth(times: usize, mut turn: impl FnMut(usize) -> Result<()>) -> Result<()> {
    const MOST: u64 = 16 << 20;
    (0..times / 10).try_for_each(&mut turn)?;
    let mut grown = 0;
    for _ in 0..3 {
        let before = resident();
        (0..times).try_for_each(&mut turn)?;
        let (Some(before), Some(after)) = (before, resident()) else { return Ok(()) };
        grown = after.saturating_sub(before);
        if grown < MOST {
            return Ok(());
        }
    }
    bail!("in {times} turns the memory in use grew by {} MiB, three times in a row", grown >> 20)
}

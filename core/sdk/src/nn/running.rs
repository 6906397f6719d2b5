//! Running means and variances, as saved state.
use crate::autograd::{OutputBuffer, slice};
use crate::{Result, Saved, ensure, saved};
use std::collections::BTreeMap;
use tch::Tensor;

/// Added to a variance.
const EPSILON: f64 = 1e-8;

/// Mean and variance of each feature over all rows so far (Welford's, in 64 bits), by which rows are normalised:
/// `(x − mean) / √(variance + 1e-8)`. Nothing is cut off and nothing forgotten.
#[derive(Debug, Clone)]
pub struct Normaliser {
    count: f64,
    mean: Vec<f64>,
    /// Sums of squared distances from the mean.
    squares: Vec<f64>,
}

impl Normaliser {
    /// For rows of `size` features.
    pub fn new(size: usize) -> Self {
        let zeros = vec![0.0; size];
        Normaliser { count: 0.0, mean: zeros.clone(), squares: zeros }
    }

    /// Counts the rows of `x` (rows, size) in, one after the other, and normalises each by what is counted then, itself
    /// included; the first row's variance is taken for 1. Returns (rows, size), without gradient.
    pub fn normalise(&mut self, x: &Tensor) -> Result<Tensor> {
        let x = x.f_detach()?.f_contiguous()?;
        let width = self.mean.len();
        ensure!(
            x.dim() == 2 && x.size()[1] == width as i64,
            "rows of {width} features are normalised here, and the shape {:?} was passed",
            x.size()
        );
        let mut y = OutputBuffer::empty(&x.size())?;
        y.copy_from_slice(slice(&x)?);
        self.normalise_in_place(&mut y);
        Ok(y.into_tensor())
    }

    /// The same of whole rows, which are written over.
    pub fn normalise_in_place(&mut self, x: &mut [f32]) {
        for row in x.chunks_exact_mut(self.mean.len().max(1)) {
            self.count += 1.0;
            let (per_count, first) = (1.0 / self.count, self.count < 2.0);
            let per_free = if first { 0.0 } else { 1.0 / (self.count - 1.0) };
            let running = self.mean.iter_mut().zip(&mut self.squares);
            for (element, (mean, squares)) in row.iter_mut().zip(running) {
                let x = f64::from(*element);
                let before = x - *mean;
                *mean += before * per_count;
                *squares += before * (x - *mean);
                let variance = if first { 1.0 } else { *squares * per_free };
                *element = ((x - *mean) / (variance + EPSILON).sqrt()) as f32;
            }
        }
    }

    /// Normalises the rows of `x` (rows, size) by what is counted, without counting them in; without gradient.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let x = x.f_detach()?.f_contiguous()?;
        let width = self.mean.len();
        ensure!(
            x.dim() == 2 && x.size()[1] == width as i64,
            "rows of {width} features are normalised here, and the shape {:?} was passed",
            x.size()
        );
        let mut y = OutputBuffer::empty(&x.size())?;
        for (y, x) in y.chunks_exact_mut(width).zip(slice(&x)?.chunks_exact(width)) {
            for (i, (y, x)) in y.iter_mut().zip(x).enumerate() {
                *y = ((f64::from(*x) - self.mean[i]) / self.deviation(i)) as f32;
            }
        }
        Ok(y.into_tensor())
    }

    /// Normalises `x` (rows, width), the features from `start` on, by what is counted, with the gradient of `x`.
    pub fn differentiable(&self, x: &Tensor, start: usize) -> Result<Tensor> {
        let width = usize::try_from(x.size()[1])?;
        ensure!(
            start + width <= self.mean.len(),
            "{width} features from {start} on are not all normalised here"
        );
        let places = start..start + width;
        let means: Vec<f32> = self.mean[places.clone()].iter().map(|mean| *mean as f32).collect();
        let factors: Vec<f32> = places.map(|i| (1.0 / self.deviation(i)) as f32).collect();
        Ok(x.f_sub(&Tensor::f_from_slice(&means)?)?.f_mul(&Tensor::f_from_slice(&factors)?)?)
    }

    fn deviation(&self, i: usize) -> f64 {
        let variance = if self.count < 2.0 { 1.0 } else { self.squares[i] / (self.count - 1.0) };
        (variance + EPSILON).sqrt()
    }

    /// Appends its state, under names that begin with `name`.
    pub fn save(&self, name: &str, into: &mut Saved) -> Result<()> {
        saved::put_numbers(into, &format!("{name}.count"), &[self.count])?;
        saved::put_numbers(into, &format!("{name}.mean"), &self.mean)?;
        saved::put_numbers(into, &format!("{name}.squares"), &self.squares)
    }

    /// Takes up what [`save`](Self::save) appended.
    pub fn restore(&mut self, name: &str, from: &Saved) -> Result<()> {
        let size = self.mean.len();
        let count = saved::numbers(from, &format!("{name}.count"), 1)?[0];
        let mean = saved::numbers(from, &format!("{name}.mean"), size)?;
        let squares = saved::numbers(from, &format!("{name}.squares"), size)?;
        (self.count, self.mean, self.squares) = (count, mean, squares);
        Ok(())
    }
}

/// Rewards over the running deviation of their discounted sums `u ← gamma · u + reward`, of which each stream has its own; a last
/// frame sets it to 0. The mean is not taken away, so that the sign of a reward stays.
#[derive(Debug, Clone)]
pub struct RewardScale {
    gamma: f64,
    /// Count, mean, and sum of squared distances from it, of all sums so far.
    running: [f64; 3],
    sums: BTreeMap<u64, f64>,
}

impl RewardScale {
    /// With this discount.
    pub fn new(gamma: f64) -> Self {
        RewardScale { gamma, running: [0.0; 3], sums: BTreeMap::new() }
    }

    /// Counts a reward in, and scales it; the first one of all stays as it is. `last`: the episode ends with it.
    pub fn scale(&mut self, stream: u64, reward: f64, last: bool) -> f64 {
        let sum = self.sums.entry(stream).or_insert(0.0);
        *sum = self.gamma * *sum + reward;
        let [count, mean, squares] = &mut self.running;
        *count += 1.0;
        let before = *sum - *mean;
        *mean += before / *count;
        *squares += before * (*sum - *mean);
        if last {
            *sum = 0.0;
        }
        if *count < 2.0 { reward } else { reward / (*squares / (*count - 1.0) + EPSILON).sqrt() }
    }

    /// Begins a stream's sum anew.
    pub fn forget(&mut self, stream: u64) {
        self.sums.remove(&stream);
    }

    /// Appends its state, under names that begin with `name`.
    pub fn save(&self, name: &str, into: &mut Saved) -> Result<()> {
        saved::put_numbers(into, &format!("{name}.running"), &self.running)?;
        saved::put_streams(into, &format!("{name}.streams"), self.sums.keys())?;
        saved::put_numbers(into, &format!("{name}.sums"), &self.sums.values().copied().collect::<Vec<_>>())
    }

    /// Takes up what [`save`](Self::save) appended.
    pub fn restore(&mut self, name: &str, from: &Saved) -> Result<()> {
        let running = saved::numbers(from, &format!("{name}.running"), 3)?;
        let streams = saved::streams(from, &format!("{name}.streams"))?;
        let sums = saved::numbers(from, &format!("{name}.sums"), streams.len())?;
        self.running.copy_from_slice(&running);
        self.sums = streams.into_iter().zip(sums).collect();
        Ok(())
    }
}

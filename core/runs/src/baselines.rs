//! Baselines: the errors of predictors that learn nothing, on the same frames.
//!
//! A prediction error means little by itself: one that falls from 100 to 11 may be nothing but the background
//! learned. So beside the agent's stand the errors of predictors that learn nothing: one says the last
//! observation again, one says the running mean of each number. Where the environment asks for it, there are more
//! (`more.rs`): linear extrapolation, and the same moment a period ago.
mod more;

pub use more::MoreBaselines;

use more::More;
use std::collections::HashMap;

/// Errors of one frame: each the sum over the observed numbers of `.5·(prediction − observation)²`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Errors {
    /// Of the agent's prediction.
    pub error: f64,
    /// Of the last observed value of each number, again; 0 where there was none yet.
    pub last: f64,
    /// Of the mean of all values of each number observed before; 0 where there was none yet.
    pub mean: f64,
    /// Of linear extrapolation from the last two observed values of each number, `2 · last − before`, limited to ±1; of
    /// the last one alone where there were not two yet. `None`: it is no baseline here.
    pub linear: Option<f64>,
    /// Of what each number was a period ago; of its last value where it was not observed then. `None`: it is no baseline
    /// here.
    pub period: Option<f64>,
}

impl Errors {
    /// Of the best baseline; NaN if one of them is.
    pub fn best_baseline(&self) -> f64 {
        let all = [Some(self.last), Some(self.mean), self.linear, self.period].into_iter().flatten();
        all.reduce(|best, error| if best.is_nan() || best < error { best } else { error }).unwrap_or(f64::NAN)
    }

    /// Adds those of another frame.
    pub fn add(&mut self, other: &Errors) {
        self.error += other.error;
        self.last += other.last;
        self.mean += other.mean;
        let sum = |a: Option<f64>, b: Option<f64>| Some(a.unwrap_or(0.0) + b?);
        self.linear = sum(self.linear, other.linear);
        self.period = sum(self.period, other.period);
    }

    /// The means over so many frames.
    pub fn mean_over(&self, frames: u64) -> Errors {
        let n = frames as f64;
        Errors {
            error: self.error / n,
            last: self.last / n,
            mean: self.mean / n,
            linear: self.linear.map(|e| e / n),
            period: self.period.map(|e| e / n),
        }
    }
}

/// How much better than the best baseline: `1 − error / min(error_last, error_mean, …)`.
///
/// 1 is perfect, 0 no better than a baseline, below 0 worse. Give it the means over the same frames. Where the
/// baseline is perfect (a denominator of 0) the ratio has no value: an agent that is perfect as well gets 0, as it
/// had nothing to add; any other gets `None`, to be left out of the record. NaN in gives NaN out.
pub fn skill(errors: Errors) -> Option<f64> {
    let baseline = errors.best_baseline();
    if errors.error.is_nan() || baseline.is_nan() {
        return Some(f64::NAN);
    }
    if baseline > 0.0 {
        Some(1.0 - errors.error / baseline)
    } else if errors.error == 0.0 {
        Some(0.0)
    } else {
        None
    }
}

/// What is remembered of a stream, by name.
pub type Remembered<'a> = Vec<(&'static str, &'a [f32])>;

/// Watches the frames of all streams.
#[derive(Debug, Default)]
pub struct Baselines {
    more: MoreBaselines,
    streams: HashMap<u64, Stream>,
}

/// What the baselines remember of a stream, for each element.
#[derive(Debug, Default)]
struct Stream {
    last: Vec<f32>,
    mean: Vec<f32>,
    // How often the number was observed. Exact up to 2^24; from there on the mean moves by 2^-24 of the way.
    seen: Vec<f32>,
    /// Of the further baselines, if there are any.
    more: Option<More>,
}

impl Baselines {
    /// With these baselines beside the last value and the mean.
    pub fn with(more: MoreBaselines) -> Self {
        Baselines { more, streams: HashMap::new() }
    }

    /// Takes in a frame, and returns the errors of its prediction and of the baselines; `None` without a prediction,
    /// as in a stream's first frame.
    ///
    /// NaN in `observation` is a missing value: not compared, not learned from. Observations and predictions are clamped
    /// to −1…1 as the agent's input is; a NaN prediction makes the error NaN. A number that was not predicted
    /// (a prediction may be shorter than the observation) counts as predicted 0. The length may change from frame
    /// to frame; what a longer frame taught is kept.
    pub fn observe(
        &mut self,
        stream: u64,
        observation: &[f32],
        prediction: Option<&[f32]>,
    ) -> Option<Errors> {
        let len = observation.len();
        let wanted = self.more;
        let Stream { last, mean, seen, more } = self.streams.entry(stream).or_default();
        if last.len() < len {
            for numbers in [&mut *last, &mut *mean, &mut *seen] {
                numbers.resize(len, 0.0);
            }
        }
        let mut further = [None; 2];
        if wanted != MoreBaselines::default() {
            // Before the last value becomes this one.
            further = more.get_or_insert_with(|| More::new(wanted, len)).compare(observation, last, seen);
        }
        let Some(prediction) = prediction else {
            compare(observation, observation, last, mean, seen);
            return None;
        };
        let (whole, rest) = observation.split_at(prediction.len().min(len));
        let (last, last_rest) = last.split_at_mut(whole.len());
        let (mean, mean_rest) = mean.split_at_mut(whole.len());
        let (seen, seen_rest) = seen.split_at_mut(whole.len());
        let mut errors = compare(whole, prediction, last, mean, seen);
        if !rest.is_empty() {
            let more = compare(rest, &vec![0.0; rest.len()], last_rest, mean_rest, seen_rest);
            errors.error += more.error;
            errors.last += more.last;
            errors.mean += more.mean;
        }
        [errors.linear, errors.period] = further;
        Some(errors)
    }

    /// What is remembered of each stream, by name: for each element its last value, its mean, how often it was observed, and
    /// what the further baselines need.
    pub fn save(&self) -> Vec<(u64, Remembered<'_>)> {
        let mut all: Vec<_> = self.streams.iter().map(|(id, stream)| (*id, stream.save())).collect();
        all.sort_by_key(|(id, _)| *id);
        all
    }

    /// Takes up what [`save`](Self::save) returned of a stream: what it had under a name, nothing if it had none.
    pub fn restore(&mut self, stream: u64, saved: impl Fn(&str) -> Vec<f32>) {
        let [last, mean, seen] = ["last", "mean", "seen"].map(&saved);
        let more =
            (self.more != MoreBaselines::default()).then(|| More::restore(self.more, last.len(), saved));
        self.streams.insert(stream, Stream { last, mean, seen, more });
    }

    /// Forgets a stream that has ended. Its number may come back as a new one.
    pub fn end(&mut self, stream: u64) {
        self.streams.remove(&stream);
    }
}

impl Stream {
    fn save(&self) -> Remembered<'_> {
        let mut all = vec![("last", &self.last[..]), ("mean", &self.mean), ("seen", &self.seen)];
        all.extend(self.more.iter().flat_map(More::save));
        all
    }
}

/// Numbers that are summed up in f32 before their sum is added in f64.
const BLOCK: usize = 512;
/// Independent sums, so that the compiler may use SIMD (it must not reorder a float sum by itself).
const LANES: usize = 8;

/// The errors of a frame; then its numbers are learned. `predicted` and the three others are at least as long
/// as `observed`.
fn compare(
    observed: &[f32],
    predicted: &[f32],
    last: &mut [f32],
    mean: &mut [f32],
    seen: &mut [f32],
) -> Errors {
    let mut sum = [0f64; 3];
    let mut start = 0;
    while start < observed.len() {
        let block = start..observed.len().min(start + BLOCK);
        let part = compare_block(
            &observed[block.clone()],
            &predicted[block.clone()],
            &mut last[block.clone()],
            &mut mean[block.clone()],
            &mut seen[block.clone()],
        );
        for (sum, part) in sum.iter_mut().zip(part) {
            *sum += f64::from(part);
        }
        start = block.end;
    }
    let [error, last, mean] = sum.map(|s| 0.5 * s);
    Errors { error, last, mean, ..Errors::default() }
}

/// Sums of squares (prediction, last, mean) of at most [`BLOCK`] numbers. Slices are equally long.
fn compare_block(
    observed: &[f32],
    predicted: &[f32],
    last: &mut [f32],
    mean: &mut [f32],
    seen: &mut [f32],
) -> [f32; 3] {
    let mut sums = [[0f32; LANES]; 3];
    let (observed, observed_tail) = observed.as_chunks::<LANES>();
    let (predicted, predicted_tail) = predicted.as_chunks::<LANES>();
    let (last, last_tail) = last.as_chunks_mut::<LANES>();
    let (mean, mean_tail) = mean.as_chunks_mut::<LANES>();
    let (seen, seen_tail) = seen.as_chunks_mut::<LANES>();
    for ((((o, p), l), m), s) in observed.iter().zip(predicted).zip(last).zip(mean).zip(seen) {
        for lane in 0..LANES {
            let squares = compare_one(o[lane], p[lane], &mut l[lane], &mut m[lane], &mut s[lane]);
            for (sum, square) in sums.iter_mut().zip(squares) {
                sum[lane] += square;
            }
        }
    }
    let mut sums = sums.map(|lanes| lanes.iter().sum::<f32>());
    for ((((o, p), l), m), s) in
        observed_tail.iter().zip(predicted_tail).zip(last_tail).zip(mean_tail).zip(seen_tail)
    {
        for (sum, square) in sums.iter_mut().zip(compare_one(*o, *p, l, m, s)) {
            *sum += square;
        }
    }
    sums
}

/// One number, without branches: a missing value computes the same and selects nothing of it.
#[inline(always)]
fn compare_one(observed: f32, predicted: f32, last: &mut f32, mean: &mut f32, seen: &mut f32) -> [f32; 3] {
    let missing = observed.is_nan();
    let observed = observed.clamp(-1.0, 1.0);
    let square = |difference: f32| if missing { 0.0 } else { difference * difference };
    let squares =
        [square(predicted.clamp(-1.0, 1.0) - observed), square(*last - observed), square(*mean - observed)];
    *seen += if missing { 0.0 } else { 1.0 };
    *mean += if missing { 0.0 } else { (observed - *mean) / *seen };
    *last = if missing { *last } else { observed };
    squares
}

#[cfg(test)]
mod tests {
    use super::*;

    const MISSING: f32 = f32::NAN;

    fn errors_of(error: f64, last: f64, mean: f64) -> Errors {
        Errors { error, last, mean, ..Errors::default() }
    }

    /// The definition, number by number, in f64 and over the whole history.
    fn by_definition(history: &[Vec<f32>], prediction: &[f32]) -> Errors {
        let (now, before) = history.split_last().unwrap();
        let mut errors = Errors::default();
        for (i, o) in now.iter().enumerate().filter(|(_, o)| !o.is_nan()) {
            let past: Vec<f64> = before
                .iter()
                .filter_map(|f| f.get(i).copied().filter(|v| !v.is_nan()))
                .map(|v| f64::from(v.clamp(-1.0, 1.0)))
                .collect();
            let o = f64::from(o.clamp(-1.0, 1.0));
            let half_square = |p: f64| 0.5 * (p - o).powi(2);
            errors.error +=
                half_square(f64::from(prediction.get(i).copied().unwrap_or(0.0).clamp(-1.0, 1.0)));
            errors.last += half_square(past.last().copied().unwrap_or(0.0));
            errors.mean += half_square(past.iter().sum::<f64>() / past.len().max(1) as f64);
        }
        errors
    }

    #[test]
    fn two_frames_by_hand() {
        let mut baselines = Baselines::default();
        assert_eq!(baselines.observe(7, &[0.5, MISSING, 1.0], None), None);
        let errors = baselines.observe(7, &[1.0, 1.0, MISSING], Some(&[0.0, 3.0, MISSING])).unwrap();
        // Number 0: predicted 0, last and mean .5. Number 1: predicted 3, which is clamped to 1; never seen: 0.
        assert_eq!(errors, errors_of(0.5, 0.125 + 0.5, 0.125 + 0.5));
        // Now the mean of number 0 is .75, its last 1; number 2 is still remembered from the first frame.
        let errors = baselines.observe(7, &[0.0, MISSING, 0.0], Some(&[0.0, 0.0, 0.0])).unwrap();
        assert_eq!(errors, errors_of(0.0, 1.0, 0.5 * 0.75f64.powi(2) + 0.5));
        baselines.end(7);
        let errors = baselines.observe(7, &[1.0], Some(&[1.0])).unwrap();
        assert_eq!(errors, errors_of(0.0, 0.5, 0.5), "an ended stream starts anew");
    }

    #[test]
    fn any_lengths_and_missing_values_agree_with_the_definition() {
        let mut state = 1u64;
        let mut random = move || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1u64 << 24) as f32
        };
        let mut baselines = Baselines::default();
        let mut histories = [Vec::new(), Vec::new()];
        for frame in 0..60 {
            let stream = frame % 2;
            let len: usize = [1500, 1031, 3, 0, 16][(random() * 5.0) as usize % 5];
            let number = |x: f32, missing: f32| if missing < 0.3 { MISSING } else { 2.4 * x - 1.2 };
            let observation: Vec<f32> = (0..len).map(|_| number(random(), random())).collect();
            let predicted = len.saturating_sub((random() * 20.0) as usize) + (random() * 10.0) as usize;
            let prediction: Vec<f32> = (0..predicted).map(|_| 3.0 * random() - 1.5).collect();
            histories[stream].push(observation.clone());
            let want = by_definition(&histories[stream], &prediction);
            let actual = baselines.observe(stream as u64, &observation, Some(&prediction)).unwrap();
            for (actual, want) in
                [(actual.error, want.error), (actual.last, want.last), (actual.mean, want.mean)]
            {
                assert!((actual - want).abs() <= 1e-5 * want.max(1.0), "frame {frame}: {actual} for {want}");
            }
        }
    }

    #[test]
    fn a_prediction_that_is_no_number_shows() {
        let mut baselines = Baselines::default();
        let errors = baselines.observe(0, &[0.0; 20], Some(&[MISSING; 20])).unwrap();
        assert!(errors.error.is_nan() && errors.last == 0.0);
        let errors = baselines.observe(0, &[MISSING; 20], Some(&[MISSING; 20])).unwrap();
        assert_eq!(errors, Errors::default(), "where nothing is observed, nothing counts");
    }

    #[test]
    fn skill_stands_beside_the_better_baseline() {
        let skill = |error, last, mean| skill(errors_of(error, last, mean));
        assert_eq!(skill(1.0, 4.0, 2.0), Some(0.5));
        assert_eq!(skill(6.0, 3.0, 9.0), Some(-1.0));
        assert_eq!(skill(0.0, 3.0, 9.0), Some(1.0));
        assert_eq!(skill(0.0, 0.0, 9.0), Some(0.0));
        assert_eq!(skill(0.1, 0.0, 9.0), None);
        assert!(skill(f64::NAN, 0.0, 9.0).unwrap().is_nan());
        let further = Errors { linear: Some(1.5), period: Some(8.0), ..errors_of(1.0, 4.0, 2.0) };
        assert_eq!(super::skill(further), Some(1.0 - 1.0 / 1.5));
        let further = Errors { period: Some(f64::NAN), ..further };
        assert!(super::skill(further).unwrap().is_nan());
    }
}

//! How many of our own threads make steps: all, or one.
//!
//! Where other programs take a core, steps on all threads take longer than on one: a thread that has begun a task, and then gets no
//! core, is waited for. So a few steps are made the other way now and then, and the faster way is kept. What a run computes does
//! not depend on it.
use std::time::Duration;

/// Steps of a sample, of which the median counts. They are an even number: an unroll of 2 makes every other step long, and then as
/// many of them are in each sample.
const SAMPLE: usize = 6;
/// Shorter steps are made on all threads without a trial: most of what they do is too little to be shared anyway.
const WORTH_A_TRIAL: Duration = Duration::from_millis(1);
/// The other way is kept if a step takes at most so many times as long.
const BETTER: f64 = 0.9;
/// Samples between two trials, at least and at most; with each trial that changes nothing they become twice as many.
const BETWEEN: [u32; 2] = [32, 256];
/// The same after a change, which may have been a mistake.
const AFTER_A_CHANGE: u32 = 8;
/// If the steps of two samples take so many times as long as before the last trial, or that much less, the next one comes as
/// soon as it may.
const CHANGED: f64 = 1.25;

/// The way steps are made, and what is known of how long they take.
#[derive(Debug)]
pub(super) struct Team {
    /// Whether all threads make the steps, but for trials.
    all: bool,
    /// Whether a trial of the other way is under way.
    trial: bool,
    /// Whether the next step is a warm-up, and does not count: the way has just changed.
    warm_up: bool,
    sample: [Duration; SAMPLE],
    filled: usize,
    /// The median before the last trial; 0: there was none.
    before: f64,
    /// Samples since the last trial, and at how many the next one comes.
    samples: u32,
    wait: u32,
    /// Whether the last sample was another one than before the trial.
    changed: bool,
}

impl Team {
    /// All threads.
    pub(super) const fn new() -> Self {
        let sample = [Duration::ZERO; SAMPLE];
        Team {
            all: true,
            trial: false,
            warm_up: false,
            sample,
            filled: 0,
            before: 0.0,
            samples: 0,
            wait: BETWEEN[0],
            changed: false,
        }
    }

    /// Notes how long a step took. Returns whether all threads are to make the next ones, if that changes.
    pub(super) fn after_step(&mut self, took: Duration) -> Option<bool> {
        if std::mem::take(&mut self.warm_up) {
            return None;
        }
        self.sample[self.filled] = took;
        self.filled += 1;
        if self.filled < SAMPLE {
            return None;
        }
        self.filled = 0;
        self.sample.sort();
        let median = self.sample[SAMPLE / 2];
        if self.trial { self.end_trial(median.as_secs_f64()) } else { self.begin_trial(median) }
    }

    fn begin_trial(&mut self, median: Duration) -> Option<bool> {
        self.samples += 1;
        let now = median.as_secs_f64();
        let changed = now > CHANGED * self.before || now * CHANGED < self.before;
        let twice = std::mem::replace(&mut self.changed, changed) && changed;
        let wait = if twice { self.wait.min(BETWEEN[0]) } else { self.wait };
        if median < WORTH_A_TRIAL || self.before > 0.0 && self.samples < wait {
            return None;
        }
        self.wait = wait;
        (self.before, self.trial, self.warm_up) = (now, true, true);
        Some(!self.all)
    }

    fn end_trial(&mut self, median: f64) -> Option<bool> {
        (self.trial, self.samples, self.changed) = (false, 0, false);
        if median <= BETTER * self.before {
            (self.all, self.before, self.wait) = (!self.all, median, AFTER_A_CHANGE);
            return None;
        }
        (self.wait, self.warm_up) = ((2 * self.wait).min(BETWEEN[1]), true);
        Some(self.all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Milliseconds of so many steps that take so many on all threads and on one, and which of them were made on all.
    fn steps(
        team: &mut Team,
        all: &mut bool,
        count: usize,
        took: impl Fn(usize, bool) -> f64,
    ) -> (f64, Vec<bool>) {
        let (mut sum, mut ways) = (0.0, Vec::new());
        for i in 0..count {
            let ms = took(i, *all);
            sum += ms;
            ways.push(*all);
            *all = team.after_step(Duration::from_secs_f64(ms / 1e3)).unwrap_or(*all);
        }
        (sum, ways)
    }

    #[test]
    fn the_faster_way_is_kept_and_found_again_when_others_come_and_go() {
        let (mut team, mut all) = (Team::new(), true);
        let quiet = |_: usize, all: bool| if all { 5.0 } else { 8.0 };
        let busy = |i: usize, all: bool| if all { 16.0 + 4.0 * (i % 3) as f64 } else { 12.0 };
        let (took, ways) = steps(&mut team, &mut all, 3_000, quiet);
        assert!(took < 1.02 * 3_000.0 * 5.0, "trials cost little: {took}");
        assert!(ways[7..13].iter().all(|all| !all), "the first trial comes at once");
        let (_, ways) = steps(&mut team, &mut all, 1_000, busy);
        let on_all = ways.iter().filter(|all| **all).count();
        assert!(on_all < 250 && !all, "{on_all}");
        let (_, ways) = steps(&mut team, &mut all, 2_000, quiet);
        let on_one = ways.iter().filter(|all| !**all).count();
        assert!(on_one < 1_000 && all, "{on_one}");
    }

    #[test]
    fn steps_of_an_unroll_are_not_taken_for_ways() {
        for unroll in 1..20 {
            let (mut team, mut all) = (Team::new(), true);
            let took = |i: usize, all: bool| {
                let long = if i.is_multiple_of(unroll) { 20.0 } else { 2.0 };
                if all { long } else { 1.5 * long }
            };
            let (_, ways) = steps(&mut team, &mut all, 2_000, took);
            let on_one = ways.iter().filter(|all| !**all).count();
            assert!(on_one < 80, "unroll {unroll}: {on_one} steps on one thread");
        }
    }

    #[test]
    fn short_steps_are_not_tried() {
        let (mut team, mut all) = (Team::new(), true);
        let (_, ways) = steps(&mut team, &mut all, 1_000, |_, all| if all { 0.9 } else { 0.5 });
        assert!(ways.iter().all(|all| *all));
    }
}

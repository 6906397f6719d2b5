//! When an engine is said to make no progress, and in which words.
use super::words::{during, of_step};
use efference_runs::Lasting;
use efference_supervision::{Doing, Phase, Standing};
use std::time::{Duration, Instant};

/// How long something may go on until it is said, and said again; from the last one on, as often as that.
const SAID_AFTER: [u64; 5] = [10, 30, 60, 300, 1_800];
/// How long a step may go on in which plugins are being called all the time.
const LONG_STEP: u64 = 60;
/// Without a look for so long, this process stood still, and what it did not see is no progress of the engine's.
const BLIND: Duration = Duration::from_secs(3);

/// Looks at an engine every so often.
pub(super) struct Waits {
    looked: Instant,
    /// Since when nothing has moved, and when it is said next.
    still: Wait,
    /// Since when the step goes on.
    step: Wait,
    /// What is waited for without a word: twice as long as it took before.
    patience: (u64, u64),
    calls: (u64, Phase),
    steps: (u64, Phase),
    /// The plugin that was called last, as far as it was seen.
    last: Option<(String, String)>,
}

struct Wait {
    since: Instant,
    said: usize,
}

impl Wait {
    fn begins(now: Instant) -> Wait {
        Wait { since: now, said: 0 }
    }

    /// Whether it is to be said now.
    fn is_due(&mut self, now: Instant, from: u64) -> bool {
        let last = SAID_AFTER.len() - 1;
        let first = SAID_AFTER.iter().position(|after| *after >= from).unwrap_or(last);
        let at = first + self.said;
        // Beyond the last: as often as that.
        let after = SAID_AFTER[at.min(last)] * (1 + at.saturating_sub(last) as u64);
        let due = now.duration_since(self.since).as_secs() >= after;
        self.said += usize::from(due);
        due
    }
}

impl Waits {
    pub(super) fn new(now: Instant) -> Waits {
        let nothing = (0, Phase::Starting);
        let wait = || Wait::begins(now);
        let patience = (SAID_AFTER[0], LONG_STEP);
        Waits {
            looked: now,
            still: wait(),
            step: wait(),
            patience,
            calls: nothing,
            steps: nothing,
            last: None,
        }
    }

    /// How long nothing has moved.
    pub(super) fn still_for(&self, now: Instant) -> Duration {
        now.duration_since(self.still.since)
    }

    /// What is to be said of an engine that is doing this.
    pub(super) fn look(&mut self, now: Instant, doing: &Doing) -> Option<String> {
        if doing.call.is_some() {
            self.last.clone_from(&doing.call);
        }
        if doing.phase == Phase::Ended {
            return None; // for that there is a limit
        }
        // What someone has paused waits for him alone.
        if now.duration_since(self.looked) > BLIND || doing.standing == Standing::Paused {
            (self.still, self.step) = (Wait::begins(now), Wait::begins(now));
        }
        self.looked = now;
        let (calls, steps) = ((doing.calls, doing.phase), (doing.step, doing.phase));
        let mut moved = None;
        if (calls, steps) != (self.calls, self.steps) {
            if self.still.said > 0 {
                moved = Some(format!("it goes on after {}", whole(self.still_for(now))));
                self.patience.0 = self.patience.0.max(2 * self.still_for(now).as_secs());
            }
            self.still = Wait::begins(now);
        }
        if steps != self.steps {
            if self.step.said > 0 {
                self.patience.1 = self.patience.1.max(2 * now.duration_since(self.step.since).as_secs());
            }
            self.step = Wait::begins(now);
        }
        (self.calls, self.steps) = (calls, steps);
        if self.still.is_due(now, self.patience.0) {
            return Some(waiting(doing, self.still_for(now)));
        }
        let steps_take_long = doing.phase == Phase::Stepping && self.still.said == 0;
        if steps_take_long && self.step.is_due(now, self.patience.1) {
            let lasts = whole(now.duration_since(self.step.since));
            let last = self.last.as_ref().map(|call| format!("; called last: {}", during(call)));
            return Some(format!(
                "step {} has been going on for {lasts}{}",
                doing.step,
                last.unwrap_or_default()
            ));
        }
        moved
    }
}

/// Whole seconds that have passed.
pub(super) fn whole(duration: Duration) -> Lasting {
    Lasting(duration.as_secs() as f64)
}

/// `waiting for layer 'x' since 10 s (forward, step 812)`
fn waiting(doing: &Doing, since: Duration) -> String {
    let since = whole(since);
    match &doing.call {
        Some((plugin, method)) => {
            let step =
                if doing.phase >= Phase::Stepping { format!(", step {}", doing.step) } else { String::new() };
            format!("waiting for {plugin} since {since} ({method}{step})")
        }
        None => {
            let what = match doing.phase {
                Phase::Starting => "the engine to be loaded".to_owned(),
                Phase::Working => "the engine to begin".to_owned(),
                Phase::Stepping | Phase::Evaluating => {
                    format!("what comes between the calls of plugins{}", of_step(doing))
                }
                Phase::Ending | Phase::Ended => "what is left to be written".to_owned(),
            };
            format!("waiting for {what} since {since}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use efference_supervision::Activity;

    fn doing(calls: u64, step: u64, call: Option<(&str, &str)>) -> Doing {
        Doing {
            phase: Phase::Stepping,
            step,
            calls,
            call: call.map(|(plugin, method)| (plugin.to_owned(), method.to_owned())),
            ..Activity::new().doing()
        }
    }

    /// What is said of an engine that is doing this, looked at each second for so many; and when.
    fn said(seconds: u64, doing: impl Fn(u64) -> Doing) -> Vec<(u64, String)> {
        let began = Instant::now();
        let mut waits = Waits::new(began);
        (0..=seconds)
            .filter_map(|s| Some((s, waits.look(began + Duration::from_secs(s), &doing(s))?)))
            .collect()
    }

    #[test]
    fn a_call_that_does_not_return_is_said_ever_more_rarely() {
        let call = Some(("layer 'x'", "forward"));
        let said = said(4_000, |_| doing(7, 812, call));
        let at: Vec<u64> = said.iter().map(|(at, _)| *at).collect();
        assert_eq!(at, [10, 30, 60, 300, 1_800, 3_600]);
        assert_eq!(said[0].1, "waiting for layer 'x' since 10 s (forward, step 812)");
        assert_eq!(said[3].1, "waiting for layer 'x' since 5 min 00 s (forward, step 812)");
    }

    #[test]
    fn that_it_goes_on_is_said_if_the_wait_was() {
        let call = Some(("layer 'x'", "forward"));
        let after = |end: u64| said(59, move |s| doing(7 + u64::from(s >= end) * s, 812, call));
        assert_eq!(after(9), []);
        assert_eq!(after(14)[1], (14, "it goes on after 14 s".to_owned()));
    }

    #[test]
    fn what_always_takes_long_is_not_said_each_time() {
        // 40 calls of 14 s each: by then it is known.
        let said = said(560, |s| doing(s / 14, 3, Some(("environment 'x'", "poll"))));
        let waits = said.iter().filter(|(_, text)| text.starts_with("waiting")).count();
        assert_eq!(waits, 1, "{said:?}");
    }

    #[test]
    fn a_step_that_calls_and_calls_is_said_after_a_minute() {
        let said = said(100, |s| doing(s, 3, (s % 2 == 0).then_some(("environment 'x'", "poll"))));
        let text = "step 3 has been going on for 1 min 00 s; called last: environment 'x', in poll";
        assert_eq!(said, [(60, text.to_owned())]);
    }

    #[test]
    fn a_run_that_someone_has_paused_is_no_wait() {
        let paused = |s: u64| if (5..900).contains(&s) { Standing::Paused } else { Standing::No };
        assert_eq!(said(905, |s| Doing { standing: paused(s), ..doing(7, 812, None) }), []);
        let goes_on = said(915, |s| Doing { standing: paused(s), ..doing(7, 812, None) });
        assert_eq!(goes_on[0].0, 909, "{goes_on:?}");
    }

    #[test]
    fn steps_that_are_made_are_not_worth_a_word() {
        assert_eq!(said(1_000, |s| doing(s, s / 9, None)), []);
    }

    #[test]
    fn time_that_this_process_stood_still_does_not_count() {
        let began = Instant::now();
        let mut waits = Waits::new(began);
        let at = |s: u64| began + Duration::from_secs(s);
        assert_eq!(waits.look(at(1), &doing(7, 1, None)), None);
        assert_eq!(waits.look(at(500), &doing(7, 1, None)), None);
        assert_eq!(waits.look(at(502), &doing(7, 1, None)), None);
    }
}

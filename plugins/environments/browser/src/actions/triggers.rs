//! Ways to another page: when each goes off.
use super::config::{Trigger, Triggers};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// When each trigger of a group went off for the last time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Timers {
    /// How long after the stream began, and whether anything went off since then.
    last: Vec<(Duration, bool)>,
}

impl Timers {
    /// Of a stream that begins.
    pub(super) fn new(triggers: &Triggers) -> Self {
        Timers { last: vec![(Duration::ZERO, false); triggers.triggers.len()] }
    }

    /// Of how many triggers.
    pub(super) fn count(&self) -> usize {
        self.last.len()
    }

    /// What goes off now, one at a time, if these are wanted.
    pub(super) fn fire(&mut self, triggers: &Triggers, wanted: &[bool], now: Duration) -> Option<Trigger> {
        let seconds = |s: f64| Duration::try_from_secs_f64(s).unwrap_or(Duration::MAX);
        let (cooldown, interval) = (seconds(triggers.cooldown), seconds(triggers.interval));
        let due = |((last, fired), wanted): (&(Duration, bool), &bool)| {
            let since = now.saturating_sub(*last);
            let ready = !fired || since >= cooldown;
            ready && *wanted || !interval.is_zero() && since >= interval.max(cooldown)
        };
        let which = self.last.iter().zip(wanted).position(due)?;
        self.last[which] = (now, true);
        triggers.triggers.get(which).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triggers_cool_down_and_go_off_by_themselves() {
        let triggers = Triggers { cooldown: 5.0, interval: 60.0, ..Triggers::default() };
        let mut timers = Timers::new(&triggers);
        let mut at =
            |seconds: u64, wanted: [bool; 3]| timers.fire(&triggers, &wanted, Duration::from_secs(seconds));
        let (back, both) = ([false, true, false], [true, true, false]);
        assert_eq!(at(0, [false; 3]), None);
        assert_eq!(at(1, back), Some(Trigger::Back), "at once, the first time");
        assert_eq!(at(2, back), None);
        assert_eq!(at(3, both), Some(Trigger::Homepage), "each cools down by itself");
        assert_eq!(at(4, both), None);
        assert_eq!(at(6, back), Some(Trigger::Back));
        // A minute after the start, and after the last time.
        assert_eq!(at(59, [false; 3]), None);
        assert_eq!(at(60, [false; 3]), Some(Trigger::RandomLink));
        assert_eq!(at(63, [false; 3]), Some(Trigger::Homepage));
        assert_eq!(at(64, [false; 3]), None);
        assert_eq!(at(66, [false; 3]), Some(Trigger::Back));
    }

    #[test]
    fn without_an_interval_nothing_goes_off_by_itself() {
        let triggers = Triggers { cooldown: 0.0, ..Triggers::default() };
        let mut timers = Timers::new(&triggers);
        assert_eq!(timers.fire(&triggers, &[false; 3], Duration::from_secs(1_000_000)), None);
        for _ in 0..2 {
            assert_eq!(timers.fire(&triggers, &[true; 3], Duration::ZERO), Some(Trigger::Homepage));
        }
    }
}

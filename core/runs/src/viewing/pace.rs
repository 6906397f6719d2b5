//! How often pictures are drawn for viewers.
use std::time::{Duration, Instant};

/// From one picture to the next, at least.
const EVERY: Duration = Duration::from_nanos(1_000_000_000 / 30);
/// A picture that took so long to draw is followed by so many times that without one: so all of them take less than 2 % of the
/// time, 1.5 % and what a clock misses.
const REST: u32 = 65;

/// When the next picture is due.
#[derive(Debug, Default)]
pub(super) struct Pace {
    due: Option<Instant>,
}

impl Pace {
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_none_or(|due| now >= due)
    }

    /// The next one is due then.
    pub(super) fn wait_until(&mut self, due: Instant) {
        self.due = Some(due);
    }

    /// A picture was drawn from `began` to `ended`; `hurry`: nothing else waits for the time that it takes.
    pub(super) fn drawn(&mut self, began: Instant, ended: Instant, hurry: bool) {
        let rest = if hurry { Duration::ZERO } else { ended.duration_since(began).saturating_mul(REST) };
        // Counted from when this one was due, if that was a moment ago: else each would come a step too late.
        let from = self.due.filter(|due| began.saturating_duration_since(*due) < EVERY).unwrap_or(began);
        self.due = Some((from + EVERY).max(ended + rest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pictures drawn in ten seconds by steps of `step` where each takes `drawing`, and their part of the time.
    fn ten_seconds(step: Duration, drawing: Duration) -> (u32, f64) {
        let began = Instant::now();
        let (mut now, mut pace, mut drawn) = (began, Pace::default(), 0);
        while now < began + Duration::from_secs(10) {
            now += step;
            if pace.is_due(now) {
                pace.drawn(now, now + drawing, false);
                now += drawing;
                drawn += 1;
            }
        }
        (drawn, (drawing * drawn).as_secs_f64() / 10.0)
    }

    #[test]
    fn there_are_thirty_pictures_a_second_and_never_more() {
        let micro = Duration::from_micros;
        assert_eq!(ten_seconds(micro(200), micro(50)).0, 300);
        let (slow, _) = ten_seconds(Duration::from_millis(5), micro(50));
        assert!((295..=300).contains(&slow), "{slow}");
        assert_eq!(ten_seconds(Duration::from_millis(100), micro(50)).0, 100, "one a step");
    }

    #[test]
    fn pictures_that_take_long_are_fewer_and_take_less_than_two_hundredths() {
        for drawing in [1, 10, 100].map(Duration::from_millis) {
            let (drawn, part) = ten_seconds(Duration::from_micros(500), drawing);
            assert!(drawn >= 1 && part < 0.02, "{drawing:?}: {drawn}, {part}");
        }
    }

    #[test]
    fn nothing_has_to_rest_while_nothing_else_is_done() {
        let (began, mut pace) = (Instant::now(), Pace::default());
        let ended = began + Duration::from_millis(50);
        pace.drawn(began, ended, true);
        assert!(pace.is_due(ended));
    }
}

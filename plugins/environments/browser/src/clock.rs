//! When frames are due, and when pictures are asked for.
use std::time::{Duration, Instant};

/// How long before a frame is due its picture is asked for; it comes within 15 to 30 ms.
const LEAD: Duration = Duration::from_millis(30);
/// From this period on pictures are asked for one by one: a browser that makes 60 a second for 5 that are wanted works for
/// nothing. Below, the difference is small.
const SLOW: Duration = Duration::from_millis(40);
/// How much longer than until it is due a frame waits for the picture that was asked for.
const GRACE: Duration = Duration::from_millis(50);

/// When frames are due.
pub(crate) struct Clock {
    /// From frame to frame; `None`: as the browser draws.
    period: Option<Duration>,
    /// When the next frame is due, whatever the browser draws.
    next: Instant,
    /// Whether the agent was back in time for a picture to be asked for; `None`: it is not back yet.
    on_time: Option<bool>,
    /// Whether the next frame's picture was asked for.
    asked: bool,
}

impl Clock {
    /// How long a picture may stand still before it is sent again, if there is no period.
    const STILL: Duration = Duration::from_millis(100);

    pub(crate) fn new(frames_per_second: f64) -> Self {
        let period = (frames_per_second > 0.0).then(|| {
            Duration::try_from_secs_f64(1.0 / frames_per_second).unwrap_or(Duration::from_secs(3600))
        });
        Clock { period, next: Instant::now(), on_time: None, asked: false }
    }

    /// Whether frames come as the browser draws.
    pub(crate) fn follows_pictures(&self) -> bool {
        self.period.is_none()
    }

    /// The agent is back from its last frame. An agent that is late would only wait for a picture: then the browser makes
    /// as many as it can, and the newest is there. Returns whether pictures are asked for one by one.
    pub(crate) fn agent_is_back(&mut self, now: Instant) -> bool {
        let on_time = *self.on_time.get_or_insert(now + LEAD <= self.next);
        on_time && self.period.is_some_and(|period| period >= SLOW)
    }

    /// Whether the next frame's picture is to be asked for now; once.
    pub(crate) fn asks(&mut self, now: Instant) -> bool {
        let asks = !self.asked && now + LEAD >= self.next;
        self.asked |= asks;
        asks
    }

    /// Whether a frame is due, of streams that have a `fresh` picture or not.
    pub(crate) fn due(&self, now: Instant, fresh: bool) -> bool {
        match self.period {
            None => fresh || now >= self.next,
            Some(period) if self.asked && !fresh => now >= self.next + GRACE.min(period / 2),
            Some(_) => now >= self.next,
        }
    }

    /// When to look again.
    pub(crate) fn look_again(&self, now: Instant, one_by_one: bool) -> Instant {
        match self.period {
            Some(_) if one_by_one && !self.asked => self.next.checked_sub(LEAD).unwrap_or(self.next),
            Some(period) if now >= self.next => self.next + GRACE.min(period / 2),
            _ => self.next,
        }
    }

    /// A frame is sent. A late one is not made up for by quick ones.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.next = match self.period {
            None => now + Self::STILL,
            Some(period) if now < self.next + period => self.next + period,
            Some(period) => now + period,
        };
        (self.on_time, self.asked) = (None, false);
    }
}

//! What goes wrong again and again, in few lines of the log: the first time of each kind, then how often it came, each minute
//! and when it has ended.
use efference_sdk::tracing;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often a kind that goes on is counted.
const PERIOD: Duration = Duration::from_secs(60);

/// Kinds of trouble that were seen lately.
#[derive(Debug, Default)]
pub(crate) struct Troubles(BTreeMap<&'static str, Trouble>);

#[derive(Debug)]
struct Trouble {
    warns: bool,
    /// When it was last written of.
    told: Instant,
    /// How often it came since.
    again: u64,
    /// What was last said of it.
    last: String,
}

impl Troubles {
    /// Something is wrong.
    pub(crate) fn warn(&mut self, kind: &'static str, what: &str) {
        self.add(kind, true, what);
    }

    /// Something happened that someone may look for.
    pub(crate) fn info(&mut self, kind: &'static str, what: &str) {
        self.add(kind, false, what);
    }

    fn add(&mut self, kind: &'static str, warns: bool, what: &str) {
        if let Some(trouble) = self.0.get_mut(kind) {
            trouble.again += 1;
            trouble.last.clear();
            trouble.last.push_str(what);
            return;
        }
        say(warns, what);
        let trouble = Trouble { warns, told: Instant::now(), again: 0, last: String::new() };
        self.0.insert(kind, trouble);
    }

    /// How often a kind came lately.
    #[cfg(test)]
    pub(crate) fn count(&self, kind: &str) -> u64 {
        self.0.get(kind).map_or(0, |trouble| trouble.again + 1)
    }

    /// Counts what went on for a minute, and forgets what did not.
    pub(crate) fn look(&mut self, now: Instant) {
        self.0.retain(|_, trouble| {
            if now.saturating_duration_since(trouble.told) < PERIOD {
                return true;
            }
            let went_on = trouble.again > 0;
            trouble.count(now);
            went_on
        });
    }
}

impl Trouble {
    fn count(&mut self, now: Instant) {
        if self.again > 0 {
            let seconds = now.saturating_duration_since(self.told).as_secs_f64();
            let text =
                format!("{} ({} times more of this kind within {seconds:.0} s)", self.last, self.again);
            say(self.warns, &text);
        }
        (self.told, self.again) = (now, 0);
    }
}

impl Drop for Troubles {
    fn drop(&mut self) {
        let now = Instant::now();
        self.0.values_mut().for_each(|trouble| trouble.count(now));
    }
}

fn say(warns: bool, text: &str) {
    if warns {
        tracing::warn!("{text}");
    } else {
        tracing::info!("{text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use efference_sdk::tracing::field::{Field, Visit};
    use efference_sdk::tracing::span::{Attributes, Id, Record};
    use efference_sdk::tracing::subscriber::with_default;
    use efference_sdk::tracing::{Event, Metadata, Subscriber};
    use std::fmt;
    use std::sync::{Arc, Mutex};

    /// Collects what is logged.
    struct Lines(Arc<Mutex<Vec<String>>>);

    impl Subscriber for Lines {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, event: &Event<'_>) {
            struct Text(String);
            impl Visit for Text {
                fn record_debug(&mut self, _: &Field, value: &dyn fmt::Debug) {
                    self.0 = format!("{value:?}");
                }
            }
            let mut text = Text(String::new());
            event.record(&mut text);
            self.0.lock().unwrap().push(format!("{} {}", event.metadata().level(), text.0));
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn a_kind_of_trouble_is_written_once_and_then_counted() {
        let lines = Arc::default();
        with_default(Lines(Arc::clone(&lines)), || {
            let mut troubles = Troubles::default();
            let minutes = |n: u32| Instant::now() + n * PERIOD;
            for i in 0..100 {
                troubles.warn("hung", &format!("hung {i}"));
                troubles.info("popup", "popup");
            }
            troubles.look(minutes(1));
            troubles.look(minutes(2)); // nothing more: forgotten
            troubles.warn("hung", "hung again");
            troubles.warn("hung", "hung at last");
        });
        let expected = [
            "WARN hung 0",
            "INFO popup",
            "WARN hung 99 (99 times more of this kind within 60 s)",
            "INFO popup (99 times more of this kind within 60 s)",
            "WARN hung again",
            "WARN hung at last (1 times more of this kind within 0 s)",
        ];
        assert_eq!(*lines.lock().unwrap(), expected);
    }
}

//! Ctrl-C and its like: the first ends a run after its step, the second at once.
//!
//! Rules of the unsafe code here: what runs in a handler counts in an atomic and may end the process by `_exit`; both are
//! allowed there.
#![allow(unsafe_code)]
use efference_supervision::{Activity, Meaning, is_ignored, meaning, of_this_process};
use signal_hook::low_level;
use std::io;

/// Whether someone wants the run to stop.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stop(Option<&'static Activity>);

impl Stop {
    /// Listens to signals from now on, but for those that this process was started to ignore. What came to the program that
    /// started it counts too.
    pub fn on_signals() -> io::Result<Stop> {
        let activity = of_this_process();
        for (signal, meaning) in meaning() {
            if is_ignored(signal) {
                continue;
            }
            let heard = move || match meaning {
                Meaning::Nothing => {}
                Meaning::StopSoon => _ = activity.ask(signal, true),
                Meaning::Stop => {
                    if activity.ask(signal, false) > 1 {
                        low_level::exit(128 + signal);
                    }
                }
            };
            // SAFETY: see the rules above.
            unsafe { low_level::register(signal, heard)? };
        }
        activity.listens();
        Ok(Stop(Some(activity)))
    }

    /// Whether the run should stop.
    pub fn wanted(&self) -> bool {
        self.0.is_some_and(|activity| activity.stops() > 0)
    }
}

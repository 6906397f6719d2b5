//! This program as the parent of an engine: it starts it, passes on what is asked of it, says when it makes no progress, and if it
//! dies, says of what and writes how the run ended.
//!
//! It computes nothing and holds nothing that a run needs, so that it is there when the engine is not any more.
mod death;
mod end;
mod heard;
mod memory;
mod waits;
mod words;

use efference_runs::FileError;
use efference_runs::directory::{RunDirectory, RunHandle};
use efference_supervision::{Activity, Doing, Meaning, Phase, Shared, Standing, is_stopped, meaning};
use efference_view::page::{Page, Serving};
use end::Ended;
use heard::{Event, Heard};
use memory::OutOfMemory;
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::low_level::signal_name;
use std::io;
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use waits::{Waits, whole};
use words::{during, note, say};

/// How often it is looked what the engine is doing.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Looks between two at where the run's directory is: a disk that does not answer is to be asked rarely.
const MOVED_EVERY: u64 = 8;
/// How long an engine may take to end whose run has ended.
const ENDS_WITHIN: Duration = Duration::from_secs(10);
/// A call that lasts longer is worth a word to someone who waits for the step's end.
const NOTICED: Duration = Duration::from_secs(2);

/// Starts a command that is the engine, and stays with it until it has ended; returns the exit status. The run is shown on a
/// page, if there is one, until then.
///
/// To be called by the main thread: the engine ends with the thread that has started it.
///
/// # Errors
/// If it cannot be started.
pub(crate) fn run(command: &mut Command, page: Option<Page>) -> io::Result<u8> {
    let mut heard = Heard::new()?;
    let memory = OutOfMemory::now();
    let shared = Shared::new()?;
    shared.pass_to(command);
    let child = command.spawn()?;
    let mut engine = Engine {
        process: Pid::from_child(&child),
        child,
        activity: shared.activity(),
        waits: Waits::new(Instant::now()),
        run: None,
        page,
        shown: None,
        looks: 0,
        said_stop: false,
        said_moved: false,
        at_once: None,
        standing: Standing::No,
        ended: None,
        hung: false,
    };
    loop {
        for event in heard.events() {
            engine.hears(event);
        }
        if let Some(status) = engine.child.try_wait()? {
            let doing = engine.activity.doing();
            engine.take_hold(&doing);
            if doing.asked > 0 && !engine.said_stop && doing.status.is_some() {
                // It was quicker than a word.
                let signal = signal_name(doing.asked_by).unwrap_or("a signal");
                say(format_args!("stopped, as {signal} asked for"));
            }
            let at_once = engine.at_once.or((engine.activity.stops() > 1).then_some(None));
            let run = engine.run.map(|run| run.and_then(|run| run.now()));
            return Ok(Ended { status, doing, run, at_once, hung: engine.hung, memory: &memory }.conclude());
        }
        engine.look();
        heard.wait(LOOK_EVERY);
    }
}

struct Engine {
    child: Child,
    process: Pid,
    activity: &'static Activity,
    waits: Waits,
    /// The directory of its run, once there is one.
    run: Option<Result<RunHandle, FileError>>,
    /// Where it is to be shown, until it is.
    page: Option<Page>,
    shown: Option<Serving>,
    looks: u64,
    said_stop: bool,
    said_moved: bool,
    /// The signal that wanted it to end at once.
    at_once: Option<Option<i32>>,
    /// Whether someone who looks at the run has paused it.
    standing: Standing,
    /// Since when its run has ended.
    ended: Option<Instant>,
    hung: bool,
}

impl Engine {
    fn hears(&mut self, event: Event) {
        let (signal, meaning) = match event {
            Event::Wish(signal, meaning) => (signal, meaning),
            Event::PassOn(signal) => return self.send(signal),
        };
        if meaning == Meaning::Nothing {
            return;
        }
        let doing = self.activity.doing();
        let soon = meaning == Meaning::StopSoon;
        if doing.listening {
            // Before it may end.
            self.say_stop(&doing, soon.then_some(signal));
        }
        self.activity.parent_asks(soon);
        if self.activity.stops() > 1 {
            self.at_once = Some(Some(signal));
            // Ended already is ended too.
            let _ = self.child.kill();
        } else if !doing.listening {
            // It does not know what this means, or not yet.
            self.send(signal);
        }
    }

    /// Sends a signal to the engine. One that has ended already is no error.
    fn send(&self, signal: i32) {
        if let Some(signal) = Signal::from_named_raw(signal) {
            let _ = kill_process(self.process, signal);
        }
    }

    fn say_stop(&mut self, doing: &Doing, soon: Option<i32>) {
        if self.said_stop || doing.phase == Phase::Ended {
            return;
        }
        self.said_stop = true;
        let stepping = doing.run.is_some() && doing.phase >= Phase::Stepping;
        let mut text = if stepping { "stopping after this step" } else { "stopping" }.to_owned();
        let still = self.waits.still_for(Instant::now());
        if let Some((plugin, method)) = doing.call.as_ref().filter(|_| still > NOTICED) {
            text += &format!(", but {plugin} has been in {method} for {}", whole(still));
        }
        match soon.and_then(signal_name) {
            Some(signal) => say(format_args!("{text}, as {signal} asks for")),
            None => say(format_args!("{text}; again: at once")),
        }
    }

    /// Looks what the engine is doing.
    fn look(&mut self) {
        self.looks += 1;
        let doing = self.activity.doing();
        self.take_hold(&doing);
        if doing.suspended {
            // This process goes on, so the engine may.
            self.send(Signal::CONT.as_raw());
        }
        if doing.asked == 1 && self.activity.stops() == 1 {
            // It has heard of it alone.
            let by = |(signal, meaning)| signal == doing.asked_by && meaning == Meaning::StopSoon;
            self.say_stop(&doing, meaning().into_iter().any(by).then_some(doing.asked_by));
        }
        self.say_standing(&doing);
        if let Some(text) = self.waits.look(Instant::now(), &doing) {
            let stands = is_stopped(self.process) && !doing.suspended;
            let why = match stands {
                true => format!(
                    "; its process was stopped: `kill -CONT {}` lets it go on",
                    self.process.as_raw_nonzero()
                ),
                false => String::new(),
            };
            self.report(&format!("{text}{why}"));
        }
        if self.looks.is_multiple_of(MOVED_EVERY) {
            self.say_where_it_was_moved();
        }
        self.end_what_hangs(&doing);
    }

    fn say_standing(&mut self, doing: &Doing) {
        let before = std::mem::replace(&mut self.standing, doing.standing);
        let text = match (before, doing.standing) {
            (before, now) if before == now => return,
            (_, Standing::Paused) => {
                format!("paused by someone who looks at the run, after {} steps", doing.step)
            }
            (Standing::Paused, Standing::No) if self.activity.stops() == 0 => "the run goes on".to_owned(),
            (_, Standing::LeftAlone) => "the run goes on: nobody looks at it any more".to_owned(),
            (_, Standing::No) => return,
        };
        say(&text);
        self.note(&format!(" INFO efference: {text}"));
    }

    /// The directory may be moved from now on.
    fn take_hold(&mut self, doing: &Doing) {
        if let (None, Some(run)) = (&self.run, &doing.run) {
            self.run = Some(RunDirectory::open(run).and_then(|run| run.handle()));
            self.show();
        }
    }

    /// Shows the run, if that is wanted and not done yet.
    fn show(&mut self) {
        let Some(Ok(run)) = &self.run else { return };
        let Some(page) = self.page.take() else { return };
        let address = page.address();
        match page.show(run.directory().clone()) {
            Ok(shown) => {
                self.shown = Some(shown);
                say(format_args!("the run is shown at {address}"));
            }
            Err(error) => {
                self.report(&format!("the run goes on without its page, which cannot be served: {error}"))
            }
        }
    }

    fn say_where_it_was_moved(&mut self) {
        let Some(Ok(run)) = &self.run else { return };
        let now = match run.now() {
            Ok(now) if now == *run.directory() => return,
            Ok(now) => format!("was moved to {} while the run goes on", now.path().display()),
            Err(_) => "was removed while the run goes on: nothing of it will be left".to_owned(),
        };
        let text = format!("the directory {} {now}", run.directory().path().display());
        if !std::mem::replace(&mut self.said_moved, true) {
            self.report(&text);
        }
    }

    /// A run that has ended has its record. What its plugins do when they are dropped may take some time, and no more.
    fn end_what_hangs(&mut self, doing: &Doing) {
        if doing.phase != Phase::Ended || self.hung {
            return;
        }
        if self.ended.get_or_insert_with(Instant::now).elapsed() >= ENDS_WITHIN {
            self.hung = true;
            let who = doing.call.as_ref().map_or("the engine".to_owned(), during);
            self.report(&format!(
                "the run has ended, and {who}, does not end within {}: its process is ended",
                whole(ENDS_WITHIN)
            ));
            let _ = self.child.kill();
        }
    }

    /// Says something, and notes it in the run's log.
    fn report(&self, text: &str) {
        say(text);
        self.note(&format!(" WARN efference: {text}"));
    }

    fn note(&self, text: &str) {
        if let Some(Ok(run)) = self.run.as_ref().map(|run| run.as_ref().map(RunHandle::now))
            && let Ok(run) = run
        {
            note(&run, text);
        }
    }
}

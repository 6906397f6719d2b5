//! A thread that prints, so that nobody else waits for who reads.
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Prints text on two streams, in the order in which it came: mostly standard output, and standard error beside it. What
/// comes faster than it is read waits, up to a bound. Then the oldest progress is left out for the newest, and what else
/// would be printed beside it, as lines of a log, is counted and left out.
#[derive(Clone)]
pub struct Printer(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Piece>,
    /// Bytes of the progress, and of the lines beside it, that wait.
    progress: usize,
    beside: usize,
    left_out: u64,
    /// Whether the thread is at it.
    printing: bool,
}

enum Piece {
    /// A line of progress.
    Progress(String),
    /// A bar, drawn in one row, whose beginning takes the one before away; empty: there is none any more.
    Bar(String),
    /// What is printed whatever comes.
    Text(String),
    /// What is printed on the other stream.
    Beside(Vec<u8>),
    /// So many lines were left out before this.
    LeftOut(u64),
}

/// Bytes of progress that wait; a pipe holds as much again.
const PROGRESS: usize = 64 << 10;
/// Bytes of lines beside it that wait.
const BESIDE: usize = 1 << 20;
/// Takes what is in the row away.
pub(super) const CLEAR_ROW: &str = "\r\x1b[2K";

impl Printer {
    /// Starts the thread, which ends with the last handle when all is printed. Without one, nothing is printed.
    pub fn new(to: impl Write + Send + 'static, beside: impl Write + Send + 'static) -> Self {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let theirs = Arc::clone(&shared);
        let mut streams = Streams { to: Stream::new(to), beside: Stream::new(beside), bar: String::new() };
        let printing = move || {
            loop {
                let Some(piece) = theirs.take() else {
                    // Nothing waits, and nobody can bring more.
                    if Arc::strong_count(&theirs) == 1 {
                        return;
                    }
                    continue;
                };
                let left_out = streams.print(piece);
                let mut state = theirs.state.lock();
                state.printing = false;
                state.left_out += left_out;
                drop(state);
                theirs.changed.notify_all();
            }
        };
        // What comes without the thread waits, is replaced, and is never seen: a run is none the worse.
        let _ = thread::Builder::new().name("printer".to_owned()).spawn(printing);
        Printer(shared)
    }

    /// Prints a line of progress.
    pub fn progress(&self, line: &str) {
        self.push(Piece::Progress(format!("{line}\n")));
    }

    /// Draws a bar in place of the last one.
    pub(super) fn bar(&self, drawn: String) {
        self.push(Piece::Bar(drawn));
    }

    /// Prints text that is not left out.
    pub fn text(&self, text: String) {
        self.push(Piece::Text(text));
    }

    /// Prints lines on the other stream.
    pub fn beside(&self, lines: &[u8]) {
        self.push(Piece::Beside(lines.to_vec()));
    }

    /// Waits until all is printed, but not for longer than this; whether it is.
    pub fn finish(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut state = self.0.state.lock();
        while state.printing || !state.waiting.is_empty() {
            if self.0.changed.wait_until(&mut state, until).timed_out() {
                return false;
            }
        }
        true
    }

    fn push(&self, piece: Piece) {
        let mut state = self.0.state.lock();
        match &piece {
            Piece::Bar(_) => state.waiting.retain(|waiting| !matches!(waiting, Piece::Bar(_))),
            Piece::Progress(line) => {
                state.progress += line.len();
                while state.progress > PROGRESS
                    && let Some(at) = state.waiting.iter().position(|p| matches!(p, Piece::Progress(_)))
                {
                    if let Some(Piece::Progress(old)) = state.waiting.remove(at) {
                        state.progress -= old.len();
                    }
                }
            }
            Piece::Beside(lines) => {
                if state.beside > 0 && state.beside + lines.len() > BESIDE {
                    state.left_out += 1;
                    return;
                }
                state.beside += lines.len();
                if let left_out @ 1.. = std::mem::take(&mut state.left_out) {
                    state.waiting.push_back(Piece::LeftOut(left_out));
                }
            }
            Piece::Text(_) | Piece::LeftOut(_) => {}
        }
        state.waiting.push_back(piece);
        drop(state);
        self.0.changed.notify_all();
    }
}

impl Shared {
    /// The next piece, if one comes soon.
    fn take(&self) -> Option<Piece> {
        const SOON: Duration = Duration::from_secs(1);
        let mut state = self.state.lock();
        if state.waiting.is_empty() {
            self.changed.wait_for(&mut state, SOON);
        }
        let piece = state.waiting.pop_front()?;
        match &piece {
            Piece::Progress(line) => state.progress -= line.len(),
            Piece::Beside(lines) => state.beside -= lines.len(),
            _ => {}
        }
        state.printing = true;
        Some(piece)
    }
}

/// A stream, until who reads it goes away.
struct Stream(Option<Box<dyn Write + Send>>);

impl Stream {
    fn new(to: impl Write + Send + 'static) -> Self {
        Stream(Some(Box::new(to)))
    }

    /// Whether it was printed.
    fn print(&mut self, bytes: &[u8]) -> bool {
        let Some(to) = &mut self.0 else { return false };
        match to.write_all(bytes).and_then(|()| to.flush()) {
            Ok(()) => true,
            Err(e) => {
                // A disk that is full may have room again.
                if e.kind() == io::ErrorKind::BrokenPipe {
                    self.0 = None;
                }
                false
            }
        }
    }
}

/// What the thread has.
struct Streams {
    to: Stream,
    beside: Stream,
    bar: String,
}

impl Streams {
    /// Returns how many lines were left out.
    fn print(&mut self, piece: Piece) -> u64 {
        match piece {
            Piece::Progress(text) | Piece::Text(text) => {
                self.to.print(text.as_bytes());
                0
            }
            Piece::Bar(bar) => {
                let cleared = format!("{CLEAR_ROW}{bar}");
                self.to.print(cleared.as_bytes());
                self.bar = bar;
                0
            }
            Piece::Beside(lines) => u64::from(!self.aside(&lines)),
            Piece::LeftOut(number) => {
                let said =
                    format!("({number} lines of the log were left out here, as they could not be written)\n");
                if self.aside(said.as_bytes()) { 0 } else { number }
            }
        }
    }

    /// Takes the bar away, prints on the other stream, and brings the bar back.
    fn aside(&mut self, lines: &[u8]) -> bool {
        if self.bar.is_empty() {
            return self.beside.print(lines);
        }
        self.to.print(CLEAR_ROW.as_bytes());
        let printed = self.beside.print(lines);
        self.to.print(self.bar.as_bytes());
        printed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream whose reader is asleep until it is woken.
    #[derive(Clone, Default)]
    struct Sleeper {
        read: Arc<Mutex<Vec<u8>>>,
        asleep: Arc<Mutex<()>>,
    }

    impl Write for Sleeper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _awake = self.asleep.lock();
            self.read.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_sleeps_holds_up_nobody_and_gets_the_newest() {
        let (to, beside) = (Sleeper::default(), Sleeper::default());
        let printer = Printer::new(to.clone(), beside.clone());
        let asleep = to.asleep.lock();
        printer.progress("the first, with which the thread falls asleep");
        while !printer.0.state.lock().printing {
            thread::yield_now();
        }
        for step in 0..100_000 {
            printer.progress(&format!("step {step}"));
            printer.beside(format!("a warning in step {step:06}\n").as_bytes());
        }
        printer.text("the end\n".to_owned());
        assert!(!printer.finish(Duration::from_millis(50)), "it does not wait for long");
        drop(asleep);
        assert!(printer.finish(Duration::from_secs(60)));
        let read = String::from_utf8(to.read.lock().clone()).unwrap();
        assert!(read.len() < PROGRESS + 100, "{} bytes waited", read.len());
        assert!(read.ends_with("step 99998\nstep 99999\nthe end\n"), "{}", &read[read.len() - 60..]);
        // Then lines come again, and the first says how many were left out.
        printer.beside(b"one more\n");
        assert!(printer.finish(Duration::from_secs(60)));
        let read = String::from_utf8(beside.read.lock().clone()).unwrap();
        assert!(read.len() < BESIDE + 100);
        let lines: Vec<_> = read.lines().collect();
        let [lines @ .., left_out, last] = &lines[..] else { panic!("{read}") };
        assert_eq!(
            *left_out,
            format!(
                "({} lines of the log were left out here, as they could not be written)",
                100_000 - lines.len()
            )
        );
        assert_eq!((lines[3], *last), ("a warning in step 000003", "one more"));
    }

    #[test]
    fn a_reader_that_goes_away_is_no_error() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let other = Sleeper::default();
        let printer = Printer::new(Gone, other.clone());
        printer.progress("step 1");
        printer.beside(b"a warning\n");
        printer.text("the end\n".to_owned());
        assert!(printer.finish(Duration::from_secs(60)));
        assert_eq!(*other.read.lock(), b"a warning\n");
    }
}

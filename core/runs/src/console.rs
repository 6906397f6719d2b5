//! Progress: a bar on a terminal, plain lines elsewhere.
mod printer;

use super::readable::{Grouped, Lasting, StepRate, ThreeDigits};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use parking_lot::Mutex;
pub use printer::Printer;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fmt};

/// Shows where a run is: steps, steps per second, what was last recorded of the loss and its like, time left.
///
/// Progress belongs on stdout, where a run's summary comes last: so `efference run SPEC | tee log` shows and
/// keeps both. Errors and warnings are stderr's; [`Aside`] keeps them from running into the bar. Whoever makes
/// a `Progress` hands it the stream, as the host keeps the real stdout to itself while plugins run.
///
/// A reader that goes away (`| head`) does not end the run: nothing more is shown. One that sleeps does not hold it up:
/// a thread prints, and older progress is left out for newer.
pub struct Progress {
    shown: Shown,
    total: Option<u64>,
    step: u64,
    values: Vec<(&'static str, f64, u8)>,
    speed: Speed,
    due: Instant,
}

/// The bar is drawn this often.
const BAR_EVERY: Duration = Duration::from_millis(125);
/// Columns that are left to the bar on a narrow terminal.
const SHORTEST_BAR: usize = 8;
/// Plain lines come this often.
const LINES_EVERY: Duration = Duration::from_secs(2);
/// A reader is waited for at the end.
const PATIENCE_AT_THE_END: Duration = Duration::from_secs(2);

impl Progress {
    /// Progress of a run to `total` steps (`None`: until it is stopped), `first` of which are behind it (those
    /// before it was resumed).
    pub fn new(shown: Shown, total: Option<u64>, first: u64) -> Self {
        Progress::starting_at(Instant::now(), shown, total, first)
    }

    fn starting_at(now: Instant, shown: Shown, total: Option<u64>, first: u64) -> Self {
        if let How::Bar(bar, _) = &shown.how {
            match total {
                Some(total) => bar.set_length(total),
                None => {
                    bar.set_style(ProgressStyle::default_spinner().template("{msg}").unwrap_or(bar.style()))
                }
            }
        }
        let due = now + shown.every;
        Progress { shown, total, step: first, values: Vec::new(), speed: Speed::new(now, first), due }
    }

    /// So many steps are done. To be called after every one: nearly always this only looks at the clock.
    pub fn step(&mut self, step: u64) {
        self.step_at(Instant::now(), step);
    }

    fn step_at(&mut self, now: Instant, step: u64) {
        self.step = step;
        if now >= self.due {
            self.due = now + self.shown.every;
            self.speed.measure(now, step);
            self.show();
        }
    }

    /// What was recorded last; of it, the metrics of [`metric::in_progress`](crate::metric::in_progress) are shown.
    pub fn values(&mut self, values: &[(String, f64)]) {
        self.values = crate::metric::in_progress(values);
    }

    /// A handle for those who write to the terminal meanwhile.
    pub fn aside(&self) -> Aside {
        Aside(self.shown.printer.clone())
    }

    /// Takes the bar away, and writes where the run got to as a last plain line. Waits a little for who reads.
    pub fn finish(mut self) {
        let now = Instant::now();
        self.speed.measure(now, self.step);
        if let How::Bar(bar, _) = &self.shown.how {
            bar.finish_and_clear();
        }
        self.shown.printer.text(self.text(usize::MAX) + "\n");
        self.shown.printer.finish(PATIENCE_AT_THE_END);
    }

    fn show(&mut self) {
        match &self.shown.how {
            How::Bar(bar, width) => {
                let columns = usize::from(width()).saturating_sub(SHORTEST_BAR + 1);
                let text = self.text(columns);
                bar.update(|state| state.set_pos(self.step));
                bar.set_message(text);
            }
            How::Lines => self.shown.printer.progress(&self.text(usize::MAX)),
        }
    }

    /// `step 1,200 of 20,000  812 steps/s  loss 3.21  23 s left`, without what does not fit into the columns.
    fn text(&self, columns: usize) -> String {
        // Each part, and when it is dropped: the lowest number first, 0 never.
        const SPEED: u8 = u8::MAX;
        const TIME_LEFT: u8 = u8::MAX - 1;
        let step = Grouped(self.step);
        let mut parts = vec![(
            0,
            match self.total {
                Some(total) => format!("step {step} of {}", Grouped(total)),
                None => format!("step {step}"),
            },
        )];
        parts.extend(self.speed.rate.map(|rate| (SPEED, StepRate(rate).to_string())));
        parts.extend(
            self.values.iter().map(|(name, value, drop)| (*drop, format!("{name} {}", ThreeDigits(*value)))),
        );
        let left = self.total.unwrap_or(0).saturating_sub(self.step);
        let rate = self.speed.rate.filter(|rate| *rate > 0.0 && left > 0);
        parts.extend(rate.map(|rate| (TIME_LEFT, format!("{} left", Lasting(left as f64 / rate)))));

        let length = |parts: &[(u8, String)]| parts.iter().map(|(_, part)| part.len() + 2).sum::<usize>();
        while length(&parts).saturating_sub(2) > columns {
            let droppable = (0..parts.len()).filter(|at| parts[*at].0 > 0);
            let Some(at) = droppable.min_by_key(|at| parts[*at].0) else { break };
            parts.remove(at);
        }
        parts.into_iter().map(|(_, part)| part).collect::<Vec<_>>().join("  ")
    }
}

/// However a run ends, its bar does not stay behind.
impl Drop for Progress {
    fn drop(&mut self) {
        if let How::Bar(bar, _) = &self.shown.how {
            bar.finish_and_clear();
        }
    }
}

/// Lets others write to standard error without running into the bar, and without waiting for who reads.
#[derive(Clone)]
pub struct Aside(Printer);

impl Aside {
    /// Prints lines on standard error.
    pub fn write(&self, lines: &[u8]) {
        self.0.beside(lines);
    }

    /// Waits until they are printed, but not for longer than this.
    pub fn finish(&self, patience: Duration) {
        self.0.finish(patience);
    }
}

/// How progress is shown, and where.
pub struct Shown {
    how: How,
    every: Duration,
    printer: Printer,
}

enum How {
    /// A bar, and how many columns the terminal has.
    Bar(ProgressBar, Columns),
    Lines,
}

type Columns = Arc<dyn Fn() -> u16 + Send + Sync>;

impl Shown {
    /// A bar if `stream` is a terminal that can show one (in colour unless `NO_COLOR` is set and not empty), else
    /// plain lines, one every two seconds at most.
    pub fn on(stream: impl Write + AsFd + Send + 'static) -> Self {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty());
        let can_draw = set("TERM").is_some_and(|term| term != "dumb");
        if can_draw && stream.as_fd().is_terminal() {
            // The stream itself goes into the box; a second handle on it keeps telling how wide it is.
            if let Ok(fd) = stream.as_fd().try_clone_to_owned() {
                let width = move || terminal_size::terminal_size_of(&fd).map_or(80, |(width, _)| width.0);
                return Shown::bar(stream, width, set("NO_COLOR").is_none());
            }
        }
        Shown::lines(stream, LINES_EVERY)
    }

    /// Lets plain lines come another `every` so often; a bar stays as quick as it is.
    pub fn lines_every(mut self, every: Duration) -> Self {
        if let How::Lines = self.how {
            self.every = every;
        }
        self
    }

    /// Plain lines, one `every` so often at most.
    pub fn lines(to: impl Write + Send + 'static, every: Duration) -> Self {
        Shown { how: How::Lines, every, printer: Printer::new(to, io::stderr()) }
    }

    /// A bar on a terminal of so many columns.
    pub fn bar(
        to: impl Write + Send + 'static,
        width: impl Fn() -> u16 + Send + Sync + 'static,
        colour: bool,
    ) -> Self {
        Shown::bar_of(Printer::new(to, io::stderr()), width, colour)
    }

    fn bar_of(printer: Printer, width: impl Fn() -> u16 + Send + Sync + 'static, colour: bool) -> Self {
        let width: Columns = Arc::new(width);
        let terminal = Terminal {
            printer: printer.clone(),
            drawn: Mutex::default(),
            shown: Mutex::default(),
            width: Arc::clone(&width),
        };
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::term_like(Box::new(terminal)));
        let (cyan, plain) = if colour { ("\x1b[36m", "\x1b[0m") } else { ("", "") };
        let template = format!("{cyan}{{wide_bar}}{plain} {{msg}}");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
        }
        Shown { how: How::Bar(bar, width), every: BAR_EVERY, printer }
    }
}

/// A terminal, as indicatif wants it. The bar has one row, so that moving to other rows means nothing.
struct Terminal {
    printer: Printer,
    /// What is being drawn in the row, and what was drawn last.
    drawn: Mutex<String>,
    shown: Mutex<String>,
    width: Columns,
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Terminal")
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        (self.width)()
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        let mut drawn = self.drawn.lock();
        match text {
            "\r" => drawn.clear(),
            text => drawn.push_str(text),
        }
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.drawn.lock().clear();
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let drawn = self.drawn.lock().clone();
        let mut shown = self.shown.lock();
        if *shown != drawn {
            shown.clone_from(&drawn);
            self.printer.bar(drawn);
        }
        Ok(())
    }
}

/// Steps per second, smoothed.
struct Speed {
    at: Instant,
    step: u64,
    rate: Option<f64>,
}

impl Speed {
    fn new(at: Instant, step: u64) -> Self {
        Speed { at, step, rate: None }
    }

    fn measure(&mut self, now: Instant, step: u64) {
        let seconds = (now - self.at).as_secs_f64();
        if step <= self.step || seconds <= 0.0 {
            return; // nothing new: a rate of 0 would only make the time left jump
        }
        let rate = (step - self.step) as f64 / seconds;
        let weight = 1.0 - (-seconds / 3.0).exp();
        self.rate = Some(self.rate.map_or(rate, |old| old + weight * (rate - old)));
        (self.at, self.step) = (now, step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was written, for a test to look at.
    #[derive(Clone, Default)]
    struct Sheet(Arc<Mutex<Vec<u8>>>);

    impl Write for Sheet {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sheet {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().clone()).unwrap()
        }
    }

    const LONG: Duration = Duration::from_secs(60);

    fn values() -> Vec<(String, f64)> {
        [("reward", 0.33), ("goal", 9.0), ("loss", 3.214), ("skill", -0.1204)]
            .map(|(n, v)| (n.to_owned(), v))
            .into()
    }

    #[test]
    fn a_pipe_gets_a_line_every_so_often() {
        let sheet = Sheet::default();
        let start = Instant::now();
        let shown = Shown::lines(sheet.clone(), Duration::ZERO).lines_every(Duration::from_secs(2));
        let printer = shown.printer.clone();
        let mut progress = Progress::starting_at(start, shown, Some(20_000), 0);
        progress.values(&values());
        for step in 1..=2_500 {
            progress.step_at(start + Duration::from_micros(2_000) * step, u64::from(step));
        }
        assert!(printer.finish(LONG));
        assert_eq!(
            sheet.text(),
            "step 1,000 of 20,000  500 steps/s  loss 3.21  skill -0.120  reward 0.330  38 s left\n\
             step 2,000 of 20,000  500 steps/s  loss 3.21  skill -0.120  reward 0.330  36 s left\n"
        );
        progress.finish();
        assert!(sheet.text().lines().last().unwrap().starts_with("step 2,500 of 20,000  "));
    }

    #[test]
    fn a_terminal_gets_a_bar_that_goes_away() {
        for colour in [true, false] {
            let sheet = Sheet::default();
            let start = Instant::now();
            let printer = Printer::new(sheet.clone(), sheet.clone());
            let shown = Shown::bar_of(printer.clone(), || 100, colour);
            let mut progress = Progress::starting_at(start, shown, Some(10), 5);
            progress.values(&values());
            progress.step_at(start + Duration::from_secs(1), 7);
            progress.aside().write(b"a warning\n");
            assert!(printer.finish(LONG));
            let drawn = sheet.text();
            assert!(drawn.contains("step 7 of 10  2.00 steps/s  loss 3.21"), "{drawn:?}");
            let (_, after) = drawn.split_once("\r\x1b[2Ka warning\n").unwrap_or_else(|| panic!("{drawn:?}"));
            assert!(
                after.contains("step 7 of 10  2.00 steps/s  loss 3.21"),
                "the bar is there again: {after:?}"
            );
            assert_eq!(drawn.contains("\x1b[36m"), colour);
            progress.finish();
            let text = sheet.text();
            let last = text.trim_end().rsplit("\x1b[2K").next().unwrap();
            assert!(last.starts_with("step 7 of 10"), "{last:?} is the plain line, with nothing after it");
        }
    }

    #[test]
    fn a_narrow_terminal_gets_one_row_with_what_matters_most() {
        for (columns, text) in [
            (100, " step 70 of 10,000  70.0 steps/s  loss 3.21  skill -0.120  reward 0.330  2 min 22 s left"),
            (80, " step 70 of 10,000  70.0 steps/s  loss 3.21  2 min 22 s left"),
            (60, " step 70 of 10,000  70.0 steps/s  2 min 22 s left"),
            (30, " step 70 of 10,000"),
        ] {
            let sheet = Sheet::default();
            let start = Instant::now();
            let shown = Shown::bar(sheet.clone(), move || columns, false);
            let printer = shown.printer.clone();
            let mut progress = Progress::starting_at(start, shown, Some(10_000), 0);
            progress.values(&values());
            progress.step_at(start + Duration::from_secs(1), 70);
            assert!(printer.finish(LONG));
            let drawn = sheet.text();
            let row = drawn.split("\x1b[2K").last().unwrap();
            assert!(row.trim_end().ends_with(text), "{row:?}");
            assert!(row.chars().count() <= columns.into(), "{row:?}");
        }
    }

    #[test]
    fn a_run_without_an_end_has_no_bar_and_no_time_left() {
        let start = Instant::now();
        let show = |shown: Shown| {
            let printer = shown.printer.clone();
            let mut progress = Progress::starting_at(start, shown, None, 0);
            progress.step_at(start + Duration::from_secs(1), 1_070);
            assert!(printer.finish(LONG));
        };
        let (lines, bar) = (Sheet::default(), Sheet::default());
        show(Shown::lines(lines.clone(), Duration::from_secs(1)));
        assert_eq!(lines.text(), "step 1,070  1,070 steps/s\n");
        show(Shown::bar(bar.clone(), || 80, false));
        assert!(bar.text().starts_with("\r\x1b[2Kstep 1,070  1,070 steps/s "), "{:?}", bar.text());
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
        let start = Instant::now();
        for shown in [Shown::lines(Gone, Duration::ZERO), Shown::bar(Gone, || 80, true)] {
            let mut progress = Progress::starting_at(start, shown, Some(10), 0);
            progress.step_at(start + Duration::from_secs(1), 1);
            progress.step_at(start + Duration::from_secs(2), 2);
            progress.finish();
        }
    }
}

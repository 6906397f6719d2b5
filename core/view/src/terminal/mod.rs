//! A run in the terminal, drawn again as its files grow.
mod half_blocks;
mod run_view;
mod screen;
#[cfg(test)]
mod tests;

use efference_runs::FileError;
use efference_runs::directory::RunDirectory;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::Rect;
use run_view::RunView;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, io};

/// How often the files are looked at.
const REFRESH_EVERY: Duration = Duration::from_millis(500);
/// How soon a signal is noticed.
const POLL_EVERY: Duration = Duration::from_millis(100);

/// Why a run can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The run is not there, or no longer.
    #[error(transparent)]
    Run(#[from] FileError),
    /// The terminal does not do what it must.
    #[error("the terminal can't be drawn on: {0}; `efference watch RUN | cat` prints the run once")]
    Terminal(#[from] io::Error),
}

/// How the view was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// By a key.
    ByKey,
    /// By this signal.
    BySignal(usize),
}

/// Shows a run until someone leaves: by q, Escape or Ctrl-C, or with a signal. The terminal is left as it was found,
/// after a panic too.
///
/// # Errors
/// If the run is not there, or the terminal does not let itself be drawn on.
pub fn show(directory: RunDirectory) -> Result<Left, ViewError> {
    let mut view = RunView::new(directory);
    view.refresh()?;
    let signal = Arc::new(AtomicUsize::new(0));
    let registered: Vec<_> = [SIGTERM, SIGHUP, SIGINT, SIGQUIT]
        .into_iter()
        .map(|number| signal_hook::flag::register_usize(number, Arc::clone(&signal), number as usize))
        .collect::<Result<_, _>>()?;
    let left = {
        let _restored = Restored;
        run(&mut view, &signal)
    };
    for id in registered {
        signal_hook::low_level::unregister(id);
    }
    left
}

/// Brings the terminal back when it goes.
struct Restored;

impl Drop for Restored {
    fn drop(&mut self) {
        // Best effort: a terminal that is gone needs nothing.
        let _ = ratatui::try_restore();
    }
}

fn run(view: &mut RunView, signal: &AtomicUsize) -> Result<Left, ViewError> {
    let mut terminal = ratatui::try_init()?; // also restores the terminal at a panic
    let colour = has_colours();
    let mut looked = Instant::now();
    let mut changed = true;
    loop {
        if changed {
            terminal
                .draw(|frame| screen::draw(view, colour, "q leaves", frame.area(), frame.buffer_mut()))?;
            changed = false;
        }
        if event::poll(POLL_EVERY)? {
            match event::read()? {
                Event::Key(key) if key.kind == KeyEventKind::Press => {
                    let interrupts =
                        key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
                    if interrupts || matches!(key.code, KeyCode::Char('q' | 'Q') | KeyCode::Esc) {
                        return Ok(Left::ByKey);
                    }
                }
                Event::Resize(..) => changed = true,
                _ => {}
            }
        }
        match signal.load(Ordering::Relaxed) {
            0 => {}
            number => return Ok(Left::BySignal(number)),
        }
        if looked.elapsed() >= REFRESH_EVERY {
            changed |= view.refresh()?;
            looked = Instant::now();
        }
    }
}

/// The variable `NO_COLOR`, set to anything, asks for none (<https://no-color.org>).
fn has_colours() -> bool {
    env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The run as it is now, as plain text of so many columns and rows.
///
/// # Errors
/// If the run is not there.
pub fn snapshot(directory: RunDirectory, width: u16, height: u16) -> Result<String, FileError> {
    let mut view = RunView::new(directory);
    view.refresh()?;
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    screen::draw(&view, false, "", area, &mut buffer);
    let row = |y: u16| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    let rows: Vec<String> = (0..height).map(row).collect();
    let last = rows.iter().rposition(|row| !row.is_empty()).map_or(0, |last| last + 1);
    Ok(rows[..last].join("\n") + "\n")
}

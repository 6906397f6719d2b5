//! What a program prints: for the log and for errors, bounded and escaped.
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Mutex, PoisonError};

/// Bytes of a line that are kept, lines that wait for the log, and lines that errors quote.
const LINE: usize = 500;
const WAITING: usize = 50;
const QUOTED: usize = 12;

/// The last lines that a program has printed. Shared by the thread that reads them and whoever asks for them.
#[derive(Debug)]
pub struct Printed {
    lines: Mutex<Lines>,
    /// Whether an error does without a line, as it would push out others that say more.
    is_noise: fn(&str) -> bool,
}

impl Default for Printed {
    fn default() -> Self {
        Printed::without(|_| false)
    }
}

#[derive(Debug, Default)]
struct Lines {
    waiting: VecDeque<String>,
    dropped: usize,
    tail: VecDeque<String>,
}

impl Printed {
    /// Errors do without lines that are `noise`.
    pub fn without(is_noise: fn(&str) -> bool) -> Printed {
        Printed { lines: Mutex::default(), is_noise }
    }

    /// Reads lines until there are no more.
    pub fn read(&self, from: impl Read) {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        loop {
            line.clear();
            // A line longer than that comes in pieces: the rest of it is skipped below.
            match from.by_ref().take(LINE as u64).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let whole = line.last() == Some(&b'\n') || line.len() < LINE;
            if !whole && from.skip_until(b'\n').is_err() {
                return;
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end();
            if !text.is_empty() {
                let more = if whole { "" } else { " …" };
                self.put(format!("{}{more}", text.escape_debug()));
            }
        }
    }

    fn put(&self, line: String) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if !(self.is_noise)(&line) {
            if lines.tail.len() == QUOTED {
                lines.tail.pop_front();
            }
            lines.tail.push_back(line.clone());
        }
        if lines.waiting.len() == WAITING {
            lines.waiting.pop_front();
            lines.dropped += 1;
        }
        lines.waiting.push_back(line);
    }

    /// Takes the lines that wait, and how many before them were too many.
    pub fn take(&self) -> (usize, VecDeque<String>) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut lines.dropped), std::mem::take(&mut lines.waiting))
    }

    /// The last lines, to be quoted in an error.
    pub fn tail(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.tail.iter().map(|line| format!("\n  | {line}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_in_length_and_number_and_escaped() {
        let log = Printed::without(|line| line.trim_start().starts_with("at "));
        let mut text = b"\x1b[31mred\n\n".to_vec();
        text.extend([b'x'; 100_000]);
        text.extend(b"\nlast");
        log.read(text.as_slice());
        let (dropped, lines) = log.take();
        assert_eq!((dropped, lines.len()), (0, 3));
        assert_eq!(lines[0], r"\u{1b}[31mred");
        assert_eq!(lines[1].chars().count(), LINE + 2);
        assert_eq!(lines[2], "last");
        log.read("a line\n    at f (g.js:1)\n".repeat(30).as_bytes());
        let (dropped, lines) = log.take();
        assert_eq!((dropped, lines.len()), (10, WAITING));
        assert_eq!(log.tail(), "\n  | a line".repeat(QUOTED));
    }
}

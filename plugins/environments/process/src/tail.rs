//! What the program prints on its standard error: for the log, and quoted in errors; bounded and escaped.
use efference_sdk::tracing;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Mutex, PoisonError};

/// Bytes of a line at most; the rest of it is left out.
const LINE: usize = 500;
/// Lines that wait for the log; what comes meanwhile is counted.
const WAITING: usize = 100;
/// Lines that an error quotes.
const QUOTED: usize = 12;

/// The last lines.
#[derive(Debug, Default)]
pub(crate) struct Tail(Mutex<Lines>);

#[derive(Debug, Default)]
struct Lines {
    waiting: Vec<String>,
    left_out: usize,
    last: VecDeque<String>,
}

impl Tail {
    /// Reads lines until there are no more.
    pub(crate) fn read(&self, from: impl Read) {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        loop {
            line.clear();
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
                self.add(format!("{}{}", text.escape_debug(), if whole { "" } else { " …" }));
            }
        }
    }

    fn add(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.last.len() == QUOTED {
            lines.last.pop_front();
        }
        lines.last.push_back(line.clone());
        if lines.waiting.len() < WAITING {
            lines.waiting.push(line);
        } else {
            lines.left_out += 1;
        }
    }

    /// Writes to the log what came since the last call.
    pub(crate) fn log(&self) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (waiting, left_out) = (std::mem::take(&mut lines.waiting), std::mem::take(&mut lines.left_out));
        drop(lines);
        for line in waiting {
            tracing::info!("the program printed: {line}");
        }
        if left_out > 0 {
            tracing::info!("the program printed {left_out} lines more");
        }
    }

    /// The last lines, as the end of an error.
    pub(crate) fn quoted(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.last.is_empty() {
            return "it printed nothing on its standard error".to_owned();
        }
        let last: String = lines.last.iter().map(|line| format!("\n  | {line}")).collect();
        format!("it printed last:{last}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_in_length_and_number_and_escaped() {
        let tail = Tail::default();
        let mut text = b"\x1b[31mred\n\n".to_vec();
        text.extend([b'x'; 100_000]);
        text.extend(b"\nlast");
        tail.read(text.as_slice());
        let long = format!("{} …", "x".repeat(LINE));
        assert_eq!(tail.quoted(), format!("it printed last:\n  | \\u{{1b}}[31mred\n  | {long}\n  | last"));
        tail.read("a line\n".repeat(1_000).as_bytes());
        assert_eq!(tail.quoted(), format!("it printed last:{}", "\n  | a line".repeat(QUOTED)));
        let lines = tail.0.lock().unwrap();
        assert_eq!((lines.waiting.len(), lines.left_out), (WAITING, 1_003 - WAITING));
    }
}

//! What is said where a spec is not TOML.
use super::diagnostic::Diagnostic;
use super::key_path::KeyPath;
use super::source::{Place, SourceFile};
use super::visible::look_alike;
use std::ops::Range;
use std::sync::Arc;

/// The bytes of the value that an error is about, if it is about one value on one line: that spoils the value
/// alone, while a broken header spoils where the lines after it belong, and a broken list where it ends.
fn spoilt_value(text: &str, at: usize) -> Option<Range<usize>> {
    let start = text.get(..at)?.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text.get(start..)?.lines().next()?;
    let (key, value) = line.split_once('=')?;
    KeyPath::parse(key.trim().trim_start_matches('\u{feff}'))?;
    let value = value.split('#').next().unwrap_or_default();
    let from = start + key.len() + 1 + (value.len() - value.trim_start().len());
    let value = value.trim();
    (at > start + key.len() && !value.starts_with(['[', '{', '"', '\''])).then_some(from..from + value.len())
}

/// What is wrong, and whether the rest of the file can be trusted all the same.
pub(super) fn syntax_error(file: &Arc<SourceFile>, message: &str, span: Range<usize>) -> (Diagnostic, bool) {
    let whole = file.text();
    let place = |span| Place::InFile { file: file.clone(), span };
    if message == "duplicate key" {
        let key = whole.get(span.clone()).unwrap_or_default();
        let help = "keep one of them; a second table of the same name goes into the first".to_owned();
        return (
            Diagnostic::new(place(span), format!("`{key}` is said twice"), "said before", Some(help)),
            true,
        );
    }
    let value = spoilt_value(whole, span.start);
    if let Some((at, c)) = look_alike_near(file, span.start, value.as_ref()) {
        let (what, advice) = look_alike(c).unwrap_or_default();
        let (column, code) = (file.position(at).1, c as u32);
        let message =
            format!("this is not TOML: column {column} is {what} (U+{code:04X}), not what a keyboard types");
        let help = Some(format!("{advice}; pages of the web and word processors put it in"));
        return (Diagnostic::new(place(at..at + c.len_utf8()), message, what, help), value.is_some());
    }
    let Some(value) = value else {
        return (Diagnostic::new(place(span), format!("this is not TOML: {message}"), message, None), false);
    };
    let text = whole.get(value.clone()).unwrap_or_default();
    if text.is_empty() {
        return (Diagnostic::new(place(span), "a value is missing", "expected a value", None), true);
    }
    let is_word = text.starts_with(|c: char| c.is_alphabetic());
    let label = if is_word { "not a value" } else { message };
    let help = is_word.then(|| format!("if it is text, put it in quotes: \"{text}\""));
    (Diagnostic::new(place(value), format!("`{text}` is no value of TOML"), label, help), true)
}

/// The letter that looks like another and lies nearest to an error in its line, not within quotes or a comment.
fn look_alike_near(file: &SourceFile, at: usize, value: Option<&Range<usize>>) -> Option<(usize, char)> {
    let line = file.line(file.line_of(at) - 1);
    let text = file.text().get(line.clone())?;
    let (mut quote, mut nearest) = (None, None);
    for (offset, c) in text.char_indices() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (None, '#') => break,
            (Some(open), _) if open == c => quote = None,
            (None, _) if look_alike(c).is_some() => {
                let here = line.start + offset;
                // In a file that was read so far, the byte order mark at its front is no mistake.
                let distance = here.abs_diff(at);
                let is_nearer = nearest.is_none_or(|(_, _, least)| distance < least);
                if is_nearer && here > 0 {
                    nearest = Some((here, c, distance));
                }
            }
            _ => {}
        }
    }
    let (here, c, distance) = nearest?;
    (distance <= 4 || value.is_some_and(|value| value.contains(&here))).then_some((here, c))
}

//! Text of others on its way to a terminal, and letters that look like others.
use std::borrow::Cow;

/// The same text with what would steer a terminal, or would not be seen, written out: ESC as `\u{1b}`. Line breaks and
/// tabs stay. A plugin's description, a key or the name of a file may hold anything.
pub fn visible(text: &str) -> Cow<'_, str> {
    written_out(text, |c| !matches!(c, '\n' | '\t') && hides(c))
}

/// As [`visible`], for what is to stay on its line.
pub(super) fn visible_in_line(text: &str) -> Cow<'_, str> {
    written_out(text, hides)
}

fn written_out(text: &str, bad: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&bad) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match bad(c) {
            true => out.extend(c.escape_unicode()),
            false => out.push(c),
        }
    }
    out.into()
}

/// Control characters, and those of Unicode that turn the direction of text or have no width.
pub(super) fn hides(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A letter that pages of the web and word processors put in place of one that is typed: what it is, and what to do.
pub(super) fn look_alike(c: char) -> Option<(&'static str, &'static str)> {
    Some(match c {
        '\u{a0}' | '\u{202f}' => ("a no-break space", "type a space in its place"),
        '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{205f}' | '\u{3000}' => {
            ("a space of another width", "type a space in its place")
        }
        '\u{200b}' => ("a space without width", "delete it"),
        '\u{200c}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{ad}' => ("a letter that is not seen", "delete it"),
        '\u{201c}'..='\u{201f}' | '\u{ab}' | '\u{bb}' | '\u{2033}' | '\u{ff02}' => {
            ("a typographic quotation mark", "type \" in its place")
        }
        '\u{2018}'..='\u{201b}' | '\u{2039}' | '\u{203a}' | '\u{2032}' | '\u{b4}' | '\u{ff07}' => {
            ("a typographic quotation mark", "type ' in its place")
        }
        '\u{2212}' | '\u{2010}'..='\u{2015}' | '\u{fe63}' | '\u{ff0d}' => {
            ("a dash that is no minus sign of a keyboard", "type - in its place")
        }
        '\u{ff1d}' => ("an equals sign of full width", "type = in its place"),
        '\u{ff0c}' => ("a comma of another script", "type , in its place"),
        '\u{2024}' | '\u{ff0e}' => ("a point of another script", "type . in its place"),
        '\u{ff3b}' | '\u{ff3d}' => ("a bracket of full width", "type [ or ] in its place"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_written_out_and_the_rest_stays() {
        assert_eq!(visible("red\u{1b}[31m\r\u{7}\u{9b}2J"), "red\\u{1b}[31m\\u{d}\\u{7}\\u{9b}2J");
        assert_eq!(visible("a\u{202e}b\u{200b}c"), "a\\u{202e}b\\u{200b}c");
        for text in ["", "one\n\ttwo", "naïve – “x” 日本 …"] {
            assert!(matches!(visible(text), Cow::Borrowed(same) if same == text));
        }
        assert_eq!(visible_in_line("a\nb"), "a\\u{a}b");
    }
}

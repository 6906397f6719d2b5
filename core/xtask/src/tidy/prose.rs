//! Text for people as words: comments, documents, and what programs print.

use super::lexer::Kind;
use super::tree::File;

/// A word, and what stands around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProseWord<'a> {
    pub(super) text: &'a str,
    pub(super) line: usize,
    /// Whether it stands in backticks, in the braces of a format string or in a block of code.
    pub(super) is_code: bool,
    /// Whether a sentence, or a part of one, ends before it.
    pub(super) begins: bool,
}

/// The pieces of prose of a file, each with the line it begins on: what belongs to one comment is one piece.
pub(super) fn pieces(file: &File<'_>) -> Vec<(usize, String)> {
    let Some(source) = &file.source else {
        return match file.extension() {
            "md" | "toml" => vec![(1, file.text.to_owned())],
            _ => Vec::new(),
        };
    };
    let mut pieces: Vec<(usize, String)> = Vec::new();
    let mut next = 0;
    for comment in &source.comments {
        match pieces.last_mut() {
            Some((_, text)) if comment.line == next => {
                text.push('\n');
                text.push_str(comment.text);
            }
            _ => pieces.push((comment.line, comment.text.to_owned())),
        }
        next = comment.line + comment.text.matches('\n').count() + 1;
    }
    let strings = source.tokens.iter().filter(|token| token.kind == Kind::Str);
    pieces.extend(strings.map(|token| (token.line, token.text.to_owned())));
    pieces
}

/// The words of a piece that begins on `line`.
pub(super) fn words(text: &str, mut line: usize) -> Vec<ProseWord<'_>> {
    let mut words = Vec::new();
    let (mut code, mut fence, mut braces, mut begins) = (false, false, 0_usize, true);
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\n' => {
                line += 1;
                if text[at + 1..].starts_with('\n') {
                    // A backtick that nothing closes ends with its paragraph.
                    (begins, code) = (true, false);
                }
            }
            '`' if text[at..].starts_with("```") => {
                (fence, code, begins) = (!fence, false, true);
                chars.next();
                chars.next();
            }
            '`' => code = !code && !fence,
            '{' => braces += 1,
            '}' => braces = braces.saturating_sub(1),
            '\\' if matches!(chars.peek(), Some((_, 'n' | 't'))) => {
                chars.next();
                begins = true;
            }
            '.' if chars.peek().is_some_and(|(_, next)| next.is_alphanumeric()) => {}
            '.' | ',' | ';' | ':' | '!' | '?' | '(' | ')' | '|' => begins = true,
            c if c.is_alphanumeric() || c == '_' => {
                let mut end = at + c.len_utf8();
                while let Some((next, c)) = chars.peek().copied() {
                    // `65,536` is one word, and so is `part's`.
                    let inside = matches!(c, ',' | '\'' | '’')
                        && text[next + c.len_utf8()..].starts_with(|c: char| c.is_alphanumeric())
                        && (c != ',' || text[..next].ends_with(|c: char| c.is_ascii_digit()));
                    if !(c.is_alphanumeric() || c == '_' || inside) {
                        break;
                    }
                    end = next + c.len_utf8();
                    chars.next();
                }
                let is_code = code || fence || braces > 0;
                words.push(ProseWord { text: &text[at..end], line, is_code, begins });
                begins = false;
            }
            _ => {}
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_know_where_they_stand() {
        let words = words("a `b_c` of\n65,536 it's. {d} e.f `\n\ng", 7);
        let seen: Vec<_> = words.iter().map(|w| (w.text, w.line, w.is_code, w.begins)).collect();
        assert_eq!(
            seen,
            [
                ("a", 7, false, true),
                ("b_c", 7, true, false),
                ("of", 7, false, false),
                ("65,536", 8, false, false),
                ("it's", 8, false, false),
                ("d", 8, true, true),
                ("e", 8, false, false),
                ("f", 8, false, false),
                ("g", 10, false, true),
            ]
        );
    }
}

//! Rust text as tokens: enough to tell code from comments and strings, and to find paths, items and blocks.
//!
//! A parser such as `syn` would drop the comments, which half of the checks read, and would be built on each bare
//! clone. What compiles is split here as rustc splits it, but for two things no check needs: numbers with a sign in
//! the exponent come in two pieces, and only `::` is a token of more than one character of punctuation.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A name or a keyword; `r#type` without its `r#`.
    Ident,
    /// Punctuation: one character, or `::`.
    Punct,
    /// A string literal of any sort; the text is between the quotes, escapes as they are written.
    Str,
    /// A number, a character or a lifetime.
    Other,
}

/// A piece of code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
    /// Its place in the file, in bytes.
    pub(crate) at: usize,
    /// The line it begins on, from 1.
    pub(crate) line: usize,
}

impl Token<'_> {
    pub(crate) fn is(&self, text: &str) -> bool {
        self.text == text && matches!(self.kind, Kind::Ident | Kind::Punct)
    }

    pub(crate) fn end(&self) -> usize {
        self.at + self.text.len()
    }
}

/// A comment, without its `//`, `///`, `//!` or `/* */`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Comment<'a> {
    pub(crate) text: &'a str,
    pub(crate) line: usize,
    /// Whether it is documentation of the item that follows it (`///`).
    pub(crate) outer_doc: bool,
}

/// The code and the comments of a file of Rust, C or C++.
pub(crate) fn split(text: &str) -> (Vec<Token<'_>>, Vec<Comment<'_>>) {
    let mut lexer = Lexer { text, bytes: text.as_bytes(), at: 0, line: 1 };
    let (mut tokens, mut comments) = (Vec::new(), Vec::new());
    while lexer.at < lexer.bytes.len() {
        lexer.next(&mut tokens, &mut comments);
    }
    (tokens, comments)
}

struct Lexer<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    line: usize,
}

impl<'a> Lexer<'a> {
    fn next(&mut self, tokens: &mut Vec<Token<'a>>, comments: &mut Vec<Comment<'a>>) {
        let (start, line) = (self.at, self.line);
        let rest = &self.bytes[start..];
        let kind = match rest[0] {
            b'\n' => {
                self.line += 1;
                self.at += 1;
                return;
            }
            b' ' | b'\t' | b'\r' => {
                self.at += 1;
                return;
            }
            b'/' if rest.starts_with(b"//") => return comments.push(self.line_comment()),
            b'/' if rest.starts_with(b"/*") => return comments.push(self.block_comment()),
            b'"' => return tokens.push(self.string(0)),
            b'r' | b'b' | b'c' if let Some(prefix) = raw_prefix(rest) => {
                return tokens.push(self.raw_string(prefix));
            }
            b'b' | b'c' if rest.get(1) == Some(&b'"') => return tokens.push(self.string(1)),
            b'b' if rest.get(1) == Some(&b'\'') => {
                self.at += 1;
                self.character();
                Kind::Other
            }
            b'\'' => {
                self.character();
                Kind::Other
            }
            b'r' if rest.starts_with(b"r#") && rest.get(2).is_some_and(|b| is_word(*b)) => {
                self.at += 2;
                self.word();
                let text = &self.text[start + 2..self.at];
                return tokens.push(Token { kind: Kind::Ident, text, at: start + 2, line });
            }
            b'0'..=b'9' => {
                self.number();
                Kind::Other
            }
            byte if is_word(byte) => {
                self.word();
                Kind::Ident
            }
            _ if rest.starts_with(b"::") => {
                self.at += 2;
                Kind::Punct
            }
            _ => {
                self.at += 1;
                Kind::Punct
            }
        };
        tokens.push(Token { kind, text: &self.text[start..self.at], at: start, line });
    }

    fn word(&mut self) {
        while self.bytes.get(self.at).is_some_and(|b| is_word(*b)) {
            self.at += 1;
        }
    }

    fn number(&mut self) {
        self.word();
        // `1.5`, but neither `1..2` nor `1.max(2)`.
        if self.bytes.get(self.at) == Some(&b'.')
            && self.bytes.get(self.at + 1).is_some_and(u8::is_ascii_digit)
        {
            self.at += 1;
            self.word();
        }
    }

    /// A character literal, or a lifetime.
    fn character(&mut self) {
        self.at += 1;
        if self.bytes.get(self.at) == Some(&b'\\') {
            self.at += 2;
            while self.bytes.get(self.at).is_some_and(|b| *b != b'\'' && *b != b'\n') {
                self.at += 1;
            }
            self.at = (self.at + 1).min(self.bytes.len());
            return;
        }
        let width = self.text[self.at..].chars().next().map_or(0, char::len_utf8);
        if self.bytes.get(self.at + width) == Some(&b'\'') {
            self.at += width + 1;
        } else {
            self.word();
        }
    }

    fn string(&mut self, prefix: usize) -> Token<'a> {
        let (line, start) = (self.line, self.at + prefix + 1);
        self.at = start;
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b'"' => break,
                b'\\' => {
                    self.line += usize::from(self.bytes.get(self.at + 1) == Some(&b'\n'));
                    self.at += 1;
                }
                b'\n' => self.line += 1,
                _ => {}
            }
            self.at += 1;
        }
        let end = self.at.min(self.bytes.len());
        self.at = (end + 1).min(self.bytes.len());
        Token { kind: Kind::Str, text: &self.text[start..end], at: start, line }
    }

    fn raw_string(&mut self, (prefix, hashes): (usize, usize)) -> Token<'a> {
        let (line, start) = (self.line, self.at + prefix);
        let close = format!("\"{}", "#".repeat(hashes));
        let end = self.text[start..].find(&close).map_or(self.bytes.len(), |n| start + n);
        let text = &self.text[start..end];
        self.line += text.matches('\n').count();
        self.at = (end + close.len()).min(self.bytes.len());
        Token { kind: Kind::Str, text, at: start, line }
    }

    fn line_comment(&mut self) -> Comment<'a> {
        let end = self.text[self.at..].find('\n').map_or(self.bytes.len(), |n| self.at + n);
        let whole = &self.text[self.at..end];
        self.at = end;
        let outer_doc = whole.starts_with("///") && !whole.starts_with("////");
        let text = whole.strip_prefix("//!").unwrap_or_else(|| whole.trim_start_matches('/'));
        Comment { text, line: self.line, outer_doc }
    }

    fn block_comment(&mut self) -> Comment<'a> {
        let (line, start) = (self.line, self.at + 2);
        let mut depth = 1;
        self.at = start;
        while depth > 0 && self.at < self.bytes.len() {
            let rest = &self.bytes[self.at..];
            if rest.starts_with(b"*/") {
                depth -= 1;
                self.at += 1;
            } else if rest.starts_with(b"/*") {
                depth += 1;
                self.at += 1;
            } else if rest[0] == b'\n' {
                self.line += 1;
            }
            self.at += 1;
        }
        let end = if depth == 0 { self.at - 2 } else { self.at };
        let text = &self.text[start..end];
        Comment { text, line, outer_doc: text.starts_with('*') && !text.starts_with("**") }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// For `r"`, `br##"` and the like: how long that is, and how many hashes there are.
fn raw_prefix(rest: &[u8]) -> Option<(usize, usize)> {
    let letters = if matches!(rest[0], b'b' | b'c') { 2 } else { 1 };
    if rest.get(letters - 1) != Some(&b'r') {
        return None;
    }
    let hashes = rest[letters..].iter().take_while(|b| **b == b'#').count();
    (rest.get(letters + hashes) == Some(&b'"')).then_some((letters + hashes + 1, hashes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        split(text).0.iter().map(|t| t.text).collect()
    }

    #[test]
    fn code_is_split_as_rustc_splits_it() {
        assert_eq!(
            texts("fn f<'a>(x: &'a r#type) -> u8 { x::y(1.5, 1..2, b'\\'', '\"') }"),
            [
                "fn", "f", "<", "'a", ">", "(", "x", ":", "&", "'a", "type", ")", "-", ">", "u8", "{", "x",
                "::", "y", "(", "1.5", ",", "1", ".", ".", "2", ",", "b'\\''", ",", "'\"'", ")", "}"
            ]
        );
        assert_eq!(texts("r\"a\\\" + b\"c\\\"d\" + br#\"e\"f\"#"), ["a\\", "+", "c\\\"d", "+", "e\"f"]);
        assert_eq!(texts("'é' 'b' 'static"), ["'é'", "'b'", "'static"]);
    }

    #[test]
    fn comments_are_told_from_code_and_lines_are_counted() {
        let (tokens, comments) = split("a // b \"\n/// c\n/* d /* e\n*/ */ f \"g\nh\" i\n//! j\n");
        assert_eq!(
            tokens.iter().map(|t| (t.text, t.line)).collect::<Vec<_>>(),
            [("a", 1), ("f", 4), ("g\nh", 4), ("i", 5)]
        );
        assert_eq!(
            comments.iter().map(|c| (c.text, c.line, c.outer_doc)).collect::<Vec<_>>(),
            [(" b \"", 1, false), (" c", 2, true), (" d /* e\n*/ ", 3, false), (" j", 6, false)]
        );
    }
}

//! A file of code: its tokens, which brackets belong together, and which tokens are test code.

use super::lexer::{Comment, Kind, Token, split};
use std::ops::Range;

pub(crate) struct Source<'a> {
    pub(crate) tokens: Vec<Token<'a>>,
    pub(crate) comments: Vec<Comment<'a>>,
    /// For each token that opens a bracket, the token that closes it; for all others themselves.
    closes: Vec<usize>,
    /// The tokens of items under `#[cfg(test)]` or `#[test]`, as ranges in order.
    tests: Vec<Range<usize>>,
    /// Whether the whole file is test code, by the folder it lies in.
    is_test: bool,
}

impl<'a> Source<'a> {
    pub(crate) fn new(path: &str, text: &'a str) -> Self {
        let (tokens, comments) = split(text);
        let closes = closes(&tokens);
        let is_test = in_test_folder(path);
        let mut source = Source { tokens, comments, closes, tests: Vec::new(), is_test };
        source.tests = source.test_items();
        source
    }

    /// Whether the file lies in a folder of tests. The programs under `tests/src` are no tests.
    pub(crate) fn is_test_file(&self) -> bool {
        self.is_test
    }

    /// Whether a token is test code.
    pub(crate) fn is_test(&self, token: usize) -> bool {
        self.is_test || self.tests.iter().any(|range| range.contains(&token))
    }

    /// The token that closes the bracket that a token opens; a token that opens none is its own.
    pub(crate) fn close(&self, token: usize) -> usize {
        self.closes[token]
    }

    pub(crate) fn is(&self, token: usize, text: &str) -> bool {
        self.tokens.get(token).is_some_and(|t| t.is(text))
    }

    /// The name at a token, if it is one.
    pub(crate) fn ident(&self, token: usize) -> Option<&'a str> {
        self.tokens.get(token).filter(|t| t.kind == Kind::Ident).map(|t| t.text)
    }

    /// Whether a token is the `#` of an attribute, and where its brackets open.
    pub(crate) fn attribute(&self, token: usize) -> Option<usize> {
        let open = token + 1 + usize::from(self.is(token + 1, "!"));
        (self.is(token, "#") && self.is(open, "[")).then_some(open)
    }

    /// One past the last token of the item that begins at `start`, its attributes included: its `;`, or the end of
    /// its first block.
    pub(crate) fn item_end(&self, start: usize) -> usize {
        let mut at = start;
        while let Some(open) = self.attribute(at) {
            at = self.close(open) + 1;
        }
        // The braces of a `use` tree do not end it.
        let is_use = self.is(at, "use") || self.is(self.after_visibility(at), "use");
        while at < self.tokens.len() {
            if self.is(at, ";") || self.is(at, ",") || self.is(at, "}") {
                return at + 1;
            }
            if self.is(at, "{") && !is_use {
                return self.close(at) + 1;
            }
            at = self.close(at) + 1;
        }
        at
    }

    /// Where an item goes on after `pub` or `pub(…)`, if one is there.
    pub(crate) fn after_visibility(&self, at: usize) -> usize {
        match self.is(at, "pub") {
            true if self.is(at + 1, "(") => self.close(at + 1) + 1,
            true => at + 1,
            false => at,
        }
    }

    fn test_items(&self) -> Vec<Range<usize>> {
        let mut tests = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            match self.attribute(at) {
                Some(open) if self.is_test_attribute(open) => {
                    let end = match self.is(at + 1, "!") {
                        true => self.tokens.len(),
                        false => self.item_end(at),
                    };
                    tests.push(at..end);
                    at = end;
                }
                _ => at += 1,
            }
        }
        tests
    }

    /// `#[test]`, `#[cfg(test)]`, `#[cfg(all(test, …))]`.
    fn is_test_attribute(&self, open: usize) -> bool {
        let inside = &self.tokens[open + 1..self.close(open)];
        let has = |name: &str| inside.iter().any(|t| t.is(name));
        has("test") && (inside.len() == 1 || inside[0].is("cfg") && !has("not"))
    }
}

fn closes(tokens: &[Token<'_>]) -> Vec<usize> {
    let mut closes: Vec<usize> = (0..tokens.len()).collect();
    let mut open = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match (token.kind, token.text) {
            (Kind::Punct, "(" | "[" | "{") => open.push(at),
            (Kind::Punct, ")" | "]" | "}") => {
                if let Some(begin) = open.pop() {
                    closes[begin] = at;
                }
            }
            _ => {}
        }
    }
    closes
}

fn in_test_folder(path: &str) -> bool {
    let mut folders: Vec<&str> = path.split('/').collect();
    folders.pop();
    let programs = folders.starts_with(&["tests", "src"]);
    !programs && folders.iter().any(|f| matches!(*f, "tests" | "benches" | "examples" | "fixtures"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_code_is_found() {
        let text = "fn a() {} #[cfg(test)] mod tests { fn b() {} } #[cfg(not(test))] fn c() {}
            #[cfg(all(test, unix))] #[allow(x)] use d::{e, f}; #[test] fn g() { h } fn i() {}";
        let source = Source::new("core/x/src/lib.rs", text);
        let code = source.tokens.iter().enumerate().filter(|(at, _)| !source.is_test(*at));
        let names: Vec<&str> = code.map(|(_, t)| t.text).filter(|t| t.len() == 1 && *t >= "a").collect();
        assert_eq!(names, ["a", "{", "}", "c", "{", "}", "i", "{", "}"]);
    }

    #[test]
    fn folders_of_tests_are_known() {
        for (path, is) in [
            ("core/x/tests/a.rs", true),
            ("core/x/src/spec/tests/a.rs", true),
            ("tests/fixtures/hostile/lib.rs", true),
            ("tests/tests/end_to_end/main.rs", true),
            ("tests/src/bench/main.rs", false),
            ("core/x/src/a.rs", false),
        ] {
            assert_eq!(Source::new(path, "").is_test_file(), is, "{path}");
        }
    }
}

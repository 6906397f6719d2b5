//! The field's words, in names and in prose: refuses the left column of the table in `words.rs`.

use super::lexer::Kind;
use super::prose::{ProseWord, pieces, words};
use super::source::Source;
use super::tree::{File, Tree};
use super::violation::Violation;
use super::words::{EXCEPTIONS, Name, RULES, Rule};
use std::collections::HashMap;
use std::rc::Rc;

/// The table itself, and tests that quote it.
const TABLE: &str = "core/xtask/src/tidy/";

/// A name of so many words is a sentence, as tests have them.
const SENTENCE: usize = 5;

pub(super) fn check(tree: &Tree<'_>) -> Vec<Violation> {
    let files = tree.files.iter().filter(|file| {
        matches!(file.extension(), "rs" | "md" | "toml" | "cpp" | "h") && !file.path.starts_with(TABLE)
    });
    let mut wording = Wording::new();
    for file in files {
        wording.prose(file);
        if let Some(source) = &file.source {
            wording.code(file, source);
        }
    }
    let mut violations = wording.violations;
    // An exception that nothing needs lets the word come back.
    let table = tree.files.iter().find(|file| file.path == "core/xtask/src/tidy/words.rs");
    let unused = EXCEPTIONS.iter().zip(&wording.excepted).filter(|(_, used)| table.is_some() && !**used);
    violations.extend(unused.map(|(exception, _)| Violation {
        file: "core/xtask/src/tidy/words.rs".into(),
        line: table.map_or(1, |file| exception.line_in(file.text)),
        message: format!("nothing needs the exception for `{}` in {}", exception.rule, exception.path),
        help: "remove it, or name the file as it is called now".into(),
    }));
    violations.sort();
    violations.dedup();
    violations
}

/// A phrase, as its words, and its rule.
type Phrase = (Vec<&'static str>, &'static Rule);

struct Wording {
    /// Phrases by their first word; those that begin with `#` by `#`.
    phrases: HashMap<&'static str, Vec<Phrase>>,
    /// What was found out about each name.
    names: HashMap<String, Rc<Verdict>>,
    /// Which exceptions were needed.
    excepted: Vec<bool>,
    violations: Vec<Violation>,
}

/// What the rules say of a name, wherever it stands.
enum Verdict {
    /// A sentence is prose.
    Sentence(String),
    RefusedBy(Vec<&'static Rule>),
}

impl Wording {
    fn new() -> Self {
        let mut phrases: HashMap<&str, Vec<Phrase>> = HashMap::new();
        for rule in RULES {
            for phrase in rule.phrases {
                let words: Vec<&str> = phrase.split(' ').collect();
                phrases.entry(words[0]).or_default().push((words, rule));
            }
        }
        Wording {
            phrases,
            names: HashMap::new(),
            excepted: vec![false; EXCEPTIONS.len()],
            violations: Vec::new(),
        }
    }

    fn verdict(&mut self, name: &str) -> Rc<Verdict> {
        if let Some(verdict) = self.names.get(name) {
            return verdict.clone();
        }
        let split = name_words(name);
        let verdict = Rc::new(match split.len() >= SENTENCE {
            true => Verdict::Sentence(split.join(" ")),
            false => Verdict::RefusedBy(RULES.iter().filter(|rule| is_refused(rule, name, &split)).collect()),
        });
        self.names.insert(name.to_owned(), verdict.clone());
        verdict
    }

    fn code(&mut self, file: &File<'_>, source: &Source<'_>) {
        for (at, token) in source.tokens.iter().enumerate().filter(|(_, token)| token.kind == Kind::Ident) {
            match &*self.verdict(token.text) {
                Verdict::Sentence(text) => self.find_phrases(file, &words(text, token.line)),
                Verdict::RefusedBy(rules) => {
                    for rule in rules.iter().filter(|rule| rule.in_tests || !source.is_test(at)) {
                        self.report(file, token.line, rule, token.text);
                    }
                }
            }
            let after = |text| at > 0 && source.is(at - 1, text);
            if after("fn") || after("::") && at > 1 && source.is(at - 2, "raw") {
                let is_it = |name: &Name| matches!(name, Name::Function(function) if *function == token.text);
                for rule in RULES.iter().filter(|rule| rule.names.iter().any(is_it)) {
                    self.report(file, token.line, rule, token.text);
                }
            }
        }
    }

    fn prose(&mut self, file: &File<'_>) {
        for (line, text) in pieces(file) {
            let words = words(&text, line);
            // In prose, what is written like a name is one.
            let names =
                words.iter().filter(|word| word.is_code || word.text.contains('_') || is_camel(word.text));
            for word in names {
                if let Verdict::RefusedBy(rules) = &*self.verdict(word.text) {
                    for rule in rules.iter().filter(|rule| rule.in_tests) {
                        self.report(file, word.line, rule, word.text);
                    }
                }
            }
            self.find_phrases(file, &words);
        }
    }

    fn find_phrases(&mut self, file: &File<'_>, words: &[ProseWord<'_>]) {
        let mut first = String::new();
        for (at, word) in words.iter().enumerate() {
            first.clear();
            first.extend(word.text.chars().flat_map(char::to_lowercase));
            let own = first.strip_suffix("'s").and_then(|base| self.phrases.get(base));
            let keys = [own, self.phrases.get(first.as_str()), self.phrases.get("#")];
            let mut found: Vec<Phrase> = Vec::new();
            for (phrase, rule) in keys.into_iter().flatten().flatten() {
                let is_allowed = at > 0 && rule.after.contains(&words[at - 1].text);
                if words.get(at..at + phrase.len()).is_some_and(|found| matches(found, phrase)) && !is_allowed
                {
                    found.push((phrase.clone(), rule));
                }
            }
            for (phrase, rule) in found {
                let text: Vec<&str> = words[at..at + phrase.len()].iter().map(|word| word.text).collect();
                self.report(file, word.line, rule, &text.join(" "));
            }
        }
    }

    fn report(&mut self, file: &File<'_>, line: usize, rule: &Rule, word: &str) {
        let exception = EXCEPTIONS.iter().position(|exception| {
            exception.rule == rule.not
                && (exception.word.is_empty() || exception.word == word)
                && covers(exception.path, file.path)
        });
        if let Some(exception) = exception {
            self.excepted[exception] = true;
        } else {
            self.violations.push(Violation {
                file: file.path.into(),
                line,
                message: format!("`{word}` is not a word of this project"),
                help: format!("not {}, but {}", rule.not, rule.but),
            });
        }
    }
}

fn matches(words: &[ProseWord<'_>], phrase: &[&str]) -> bool {
    let fits = |(word, expected): (&ProseWord<'_>, &&str)| match *expected {
        "#" if word.is_code => !word.text.starts_with(|c: char| c.is_ascii_uppercase()),
        "#" => word.text.starts_with(|c: char| c.is_ascii_digit()),
        expected => {
            let base = if expected.contains('\'') {
                word.text
            } else {
                word.text.strip_suffix("'s").unwrap_or(word.text)
            };
            base.eq_ignore_ascii_case(expected)
        }
    };
    words.iter().skip(1).all(|word| !word.begins) && words.iter().zip(phrase).all(fits)
}

fn is_refused(rule: &Rule, text: &str, split: &[String]) -> bool {
    rule.names.iter().any(|name| match name {
        Name::Exact(exact) => text == *exact,
        Name::Word(word) => {
            let wanted = word.split('_').count();
            split.windows(wanted).any(|part| part.join("_") == *word)
        }
        Name::Type(word) => {
            text.starts_with(|c: char| c.is_ascii_uppercase())
                && text.contains(|c: char| c.is_ascii_lowercase())
                && split.iter().any(|part| part.eq_ignore_ascii_case(word))
        }
        Name::Function(_) => false,
    })
}

/// The words of a name, in small letters: `page_score`, `PageScore` and `PAGE_SCORE` are `page`, `score`.
fn name_words(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    for piece in name.split('_').filter(|piece| !piece.is_empty()) {
        let mut word = String::new();
        let mut after_small = false;
        for c in piece.chars() {
            if c.is_uppercase() && after_small {
                words.push(std::mem::take(&mut word));
            }
            after_small = c.is_lowercase() || c.is_ascii_digit();
            word.extend(c.to_lowercase());
        }
        words.push(word);
    }
    words
}

fn is_camel(word: &str) -> bool {
    word.as_bytes().windows(2).any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
}

fn covers(pattern: &str, path: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(end) => path.ends_with(end),
        None if pattern.ends_with('/') => path.starts_with(pattern),
        None => path == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(path: &str, text: &str) -> Vec<(usize, String)> {
        let found = check(&Tree::new([(path, text)]));
        found.into_iter().map(|v| (v.line, v.help)).collect()
    }

    /// For each rule a text that must be refused, and one that must pass.
    const CASES: &[(&str, &str, &str)] = &[
        ("score", "let page_score = 1;", "let direct = \"directScore\";"),
        ("score", "/// The score's sum.", "/// The reward's sum."),
        ("episode end", "frame.episode_end", "// when an episode ends"),
        ("live stream", "// of the live\n/// streams", "// a live page that streams"),
        ("numbers", "// a state of 65,536 numbers", "// random numbers; the number of streams"),
        ("numbers", "\"an input of {width} numbers\"", "\"{width} elements, numbers apart\""),
        ("lane", "// the lanes", "// eight SIMD lanes"),
        ("lane", "struct LanesProduct;", "const LANES: usize = 8; // planes"),
        ("kept", "let kept = 1;", "// what was recorded is kept"),
        ("part", "struct PartKeys;", "let part = text.split(','); // a part of the text"),
        ("part", "struct PartKeys;", "enum Cuda { NoCudaPart }"),
        ("part", "// [optimizer.parts.cell]", "// all parts"),
        ("guarded", "struct Guarded;", "let guard = lock();"),
        ("watch", "fn watch() {}", "// to watch a file"),
        ("cure", "fn cure() {}", "fn secure() {}"),
        ("catalogue", "// the catalogue", "// the registry"),
        ("Choice", "struct Choice;", "// a choice among three"),
        ("lend", "raw::lend(x)", "cell.take(); writer.see(x)"),
        ("lend", "fn give(x: u8) {}", "// functions that give"),
        ("hole", "// NaN is a hole", "// the whole"),
        ("fool", "// what a fool gets", "// foolproof"),
        ("got", "f(got)", "// what it got\n#[cfg(test)] mod t { fn f() { let got = 1; } }"),
        ("reserved", "// the reserved numbers", "// the reserved slots"),
        ("passes", "trait Passes {}", "fn every_case_passes() {}"),
        ("passes", "// a layer's\n// passes", "// the forward and backward passes"),
        ("incoming", "let incoming = 1;", "// incoming connections"),
        ("Store", "fn each(f: F) {}", "struct ParamStore; // each store"),
        ("Work", "let w = Work::default();", "struct Worker; // the work"),
        ("stamp", "struct FileStamp;", "let timestamp = 1;"),
        ("mistake", "fn mistakes() {}", "// all mistakes are reported at once"),
        ("Inbox", "let inbox = 1;", "// the buffer"),
        ("answers with", "// Answers with the sum", "// what answers. With it"),
        ("is told", "// the goal is\n// told", "// which is. Told by"),
        ("is handed", "\"is handed over\"", "\"receives\""),
        ("fools", "fn fools_get_the_errors_that_are_promised() {}", "fn f() {}"),
    ];

    #[test]
    fn each_rule_refuses_and_lets_pass() {
        for (rule, wrong, right) in CASES {
            assert!(!refused("core/x/src/a.rs", wrong).is_empty(), "{rule}: not refused: {wrong}");
            assert_eq!(refused("core/x/src/a.rs", right), [], "{rule}: refused: {right}");
        }
        for rule in RULES {
            let not = rule.not.to_lowercase();
            let has = |case: &str| not.contains(&case.to_lowercase());
            assert!(CASES.iter().any(|(case, _, _)| has(case)), "no case for '{}'", rule.not);
        }
    }

    #[test]
    fn documents_and_settings_are_looked_at_too() {
        let text = "# Fools\n\n```rust\nlet mistakes = 1;\n```\nmistakes `mistakes`\n";
        assert_eq!(refused("a.md", text).iter().map(|f| f.0).collect::<Vec<_>>(), [1, 4, 6]);
        assert_eq!(refused("a.toml", "reset_at_episode_end = true # no score\n").len(), 2);
        assert_eq!(refused("a.js", "score"), []);
    }

    #[test]
    fn exceptions_hold_where_they_say() {
        assert_eq!(refused("plugins/layers/ldl/src/native/avx2.rs", "let lanes = 8;"), []);
        assert_eq!(refused("core/sdk/src/testkit/lanes.rs", "let lanes = 8;").len(), 1);
        let found = check(&Tree::new([("core/xtask/src/tidy/words.rs", "")]));
        assert_eq!(found.len(), EXCEPTIONS.len(), "an exception that nothing needs is refused");
        for exception in EXCEPTIONS {
            assert!(RULES.iter().any(|rule| rule.not == exception.rule), "no rule '{}'", exception.rule);
        }
    }
}

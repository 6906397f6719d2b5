//! The pieces of documents that are to be taken literally: what stands in backticks, in links and in blocks of code.

use super::tree::File;

/// A piece of code in a document.
pub(super) struct Snippet<'a> {
    pub(super) line: usize,
    /// What is between spaces; a quotation in `'…'` stays one word.
    pub(super) words: Vec<&'a str>,
    /// Whether it is the target of a link.
    pub(super) is_link: bool,
    /// Whether it is a line of a block.
    pub(super) is_block: bool,
}

impl Snippet<'_> {
    /// Whether a word is the program of a command: the first, or behind variables that are set for it.
    pub(super) fn starts_command(&self, at: usize) -> bool {
        self.words[..at].iter().all(|word| word.contains('=') && !word.starts_with('-'))
    }
}

/// The snippets of a file; none if it is no document and has no comments.
pub(super) fn snippets<'a>(file: &File<'a>) -> Vec<Snippet<'a>> {
    let mut snippets = Vec::new();
    match (&file.source, file.extension()) {
        (Some(source), _) => {
            for comment in &source.comments {
                for (at, line) in comment.text.lines().enumerate() {
                    spans(line, comment.line + at, false, &mut snippets);
                    // A command in an indented block, such as a page's example.
                    if line.starts_with("     ") {
                        block(line, comment.line + at, &mut snippets);
                    }
                }
            }
        }
        (None, "md") => document(file.text, &mut snippets),
        (None, "toml") if file.path.starts_with("experiments/") => {
            for (at, line) in file.text.lines().enumerate() {
                if let Some((_, comment)) = line.split_once('#') {
                    match comment.starts_with("   ") {
                        true => block(comment, at + 1, &mut snippets),
                        false => spans(comment, at + 1, false, &mut snippets),
                    }
                }
            }
        }
        _ => {}
    }
    snippets
}

fn document<'a>(text: &'a str, snippets: &mut Vec<Snippet<'a>>) {
    let (mut is_fenced, mut after_empty) = (false, true);
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if is_fenced || line.starts_with("    ") && after_empty {
            block(line, at + 1, snippets);
            continue;
        } else {
            spans(line, at + 1, true, snippets);
        }
        after_empty = line.trim().is_empty();
    }
}

/// What stands in backticks in a line, and with `links` the targets of `[…](…)`.
fn spans<'a>(line: &'a str, number: usize, links: bool, snippets: &mut Vec<Snippet<'a>>) {
    for span in line.split('`').skip(1).step_by(2) {
        push(span, number, false, snippets);
    }
    if links {
        for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let is_ours = !target.contains("://") && !target.starts_with(['#', '<']);
            if is_ours {
                let line = number;
                snippets.push(Snippet { line, words: vec![target], is_link: true, is_block: false });
            }
        }
    }
}

fn block<'a>(line: &'a str, number: usize, snippets: &mut Vec<Snippet<'a>>) {
    push(line, number, true, snippets);
}

fn push<'a>(text: &'a str, line: usize, is_block: bool, snippets: &mut Vec<Snippet<'a>>) {
    let mut words = Vec::new();
    for word in text.split_whitespace() {
        if word == "#" && is_block {
            break;
        }
        words.push(word);
    }
    if !words.is_empty() {
        snippets.push(Snippet { line, words, is_link: false, is_block });
    }
}

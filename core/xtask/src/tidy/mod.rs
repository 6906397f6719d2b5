//! `cargo xtask tidy`: what neither rustfmt nor clippy looks at, checked in the files as they are.
//!
//! Each check is a function of the tree that returns what it refuses, with place, sentence and help. The checks read
//! text and tokens, never types: they are quick, need no build, and now and then let something pass.

mod abi;
mod book;
mod circles;
mod commands;
mod dead;
mod documents;
mod keys;
mod layout;
mod length;
mod lexer;
mod modules;
mod prose;
mod snippets;
mod source;
mod tree;
mod use_tree;
mod uses;
mod violation;
mod wording;
mod words;
mod workplace;

use crate::error::{Error, Result};
use crate::places::Places;
use std::io::Write;
use std::process::ExitCode;
use std::{fs, thread};
use tree::Tree;
use violation::Violation;

type Check = fn(&Tree<'_>) -> Vec<Violation>;

const CHECKS: [(&str, Check); 9] = [
    ("words", wording::check),
    ("length", length::check),
    ("circles", circles::check),
    ("dead", dead::check),
    ("uses", uses::check),
    ("documents", documents::check),
    ("workplace", workplace::check),
    ("book", book::check),
    ("abi", abi::check),
];

/// The names of the checks.
pub(crate) fn names() -> [&'static str; CHECKS.len()] {
    CHECKS.map(|(name, _)| name)
}

/// Lists what the checks refuse; with `only`, of the checks of these names.
pub(crate) fn run(places: &Places, only: &[String], fix: bool) -> Result<ExitCode> {
    let mut texts = tree::read(&places.root)?;
    if fix {
        for (path, text) in &mut texts {
            if let Some(fixed) = uses::fix(path, text) {
                let whole = places.root.join(path.as_str());
                fs::write(&whole, &fixed).map_err(|e| Error::file("write", &whole, &e))?;
                *text = fixed;
            }
        }
        let layout = abi::fix(&Tree::new(texts.iter().map(|(path, text)| (path.as_str(), text.as_str()))));
        if let Some(layout) = layout {
            let whole = places.root.join(abi::LAYOUT);
            fs::write(&whole, &layout).map_err(|e| Error::file("write", &whole, &e))?;
            texts.retain(|(path, _)| path != abi::LAYOUT);
            texts.push((abi::LAYOUT.to_owned(), layout));
        }
    }
    let tree = Tree::new(texts.iter().map(|(path, text)| (path.as_str(), text.as_str())));
    let chosen = CHECKS.iter().filter(|(name, _)| only.is_empty() || only.iter().any(|other| other == name));
    let results: Vec<(&str, Vec<Violation>)> = thread::scope(|scope| {
        let tree = &tree;
        let running: Vec<_> = chosen.map(|(name, check)| (*name, scope.spawn(move || check(tree)))).collect();
        let joined =
            running.into_iter().map(|(name, check)| (name, check.join().expect("a check does not panic")));
        joined.collect()
    });
    let mut out = std::io::stdout().lock();
    let mut counts = Vec::new();
    for (name, mut violations) in results {
        violations.sort();
        for violation in &violations {
            // A reader that went away has seen enough.
            let _ = writeln!(out, "{violation}");
        }
        if !violations.is_empty() {
            counts.push(format!("{name} {}", violations.len()));
        }
    }
    if counts.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let _ = writeln!(out, "tidy: refused: {}", counts.join(", "));
    Ok(ExitCode::FAILURE)
}

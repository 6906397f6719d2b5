//! One style of `use`: one declaration a module path, and those that are not `pub` in one block.

use super::source::Source;
use super::tree::Tree;
use super::use_tree::{Leaf, Use, uses};
use super::violation::Violation;
use std::collections::BTreeMap;
use std::ops::Range;

const HELP: &str = "`cargo xtask tidy --fix`, then `cargo fmt`, writes them so";

pub(super) fn check(tree: &Tree<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (file, source) in tree.rust() {
        let uses = uses(source);
        let mut report = |line, message: String| {
            violations.push(Violation { file: file.path.into(), line, message, help: HELP.into() });
        };
        for block in blocks(file.text, source, &uses) {
            for one in &uses[block.clone()] {
                if let Some(leaf) = one.leaves.iter().find(|leaf| leaf.in_braces > 1) {
                    let path = leaf.path[..leaf.path.len().saturating_sub(1)].join("::");
                    report(leaf.line, format!("`{path}::…` stands in the braces of another path"));
                }
            }
            for (one, path) in twice(source, &uses[block.clone()]) {
                report(line(source, one), format!("`use {path}::…` is there twice"));
            }
            for at in block.clone().skip(1) {
                if is_apart(file.text, source, &uses[at - 1], &uses[at]) {
                    report(line(source, &uses[at]), "an empty line parts the `use` lines".into());
                }
            }
        }
    }
    violations
}

/// The text with all `use` declarations in this style, if that changes it. `cargo fmt` then sorts them.
pub(super) fn fix(path: &str, text: &str) -> Option<String> {
    if !path.ends_with(".rs") {
        return None;
    }
    let source = Source::new(path, text);
    let uses = uses(&source);
    let mut fixed = String::new();
    let mut written = 0;
    for block in blocks(text, &source, &uses) {
        let block = &uses[block];
        let is_wrong = block.iter().any(|one| one.leaves.iter().any(|leaf| leaf.in_braces > 1))
            || !twice(&source, block).is_empty()
            || block.windows(2).any(|pair| is_apart(text, &source, &pair[0], &pair[1]));
        if is_wrong {
            let span =
                span(&source, &block[0].tokens).start..span(&source, &block[block.len() - 1].tokens).end;
            fixed.push_str(&text[written..span.start]);
            let line = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
            let indent = &text[line..span.start];
            fixed.push_str(&flat(text, &source, block).join(&format!("\n{indent}")));
            written = span.end;
        }
    }
    fixed.push_str(&text[written..]);
    (written > 0).then_some(fixed)
}

/// Declarations with nothing but space between them.
fn blocks(text: &str, source: &Source<'_>, uses: &[Use<'_>]) -> Vec<Range<usize>> {
    let mut blocks: Vec<Range<usize>> = Vec::new();
    for at in 0..uses.len() {
        let follows = at > 0 && {
            let (before, this) = (span(source, &uses[at - 1].tokens), span(source, &uses[at].tokens));
            before.end <= this.start && text[before.end..this.start].trim().is_empty()
        };
        match blocks.last_mut() {
            Some(block) if follows => block.end = at + 1,
            _ => blocks.push(at..at + 1),
        }
    }
    blocks
}

/// Those whose module path an earlier one with the same `pub` and attributes has too.
fn twice<'u, 'a>(source: &Source<'a>, block: &'u [Use<'a>]) -> Vec<(&'u Use<'a>, String)> {
    let mut seen = Vec::new();
    let mut twice = Vec::new();
    for one in block {
        let mut paths: Vec<String> = one.leaves.iter().map(module).collect();
        paths.dedup();
        for path in paths.into_iter().filter(|path| !path.is_empty()) {
            let key = (before(source, one), path.clone());
            match seen.contains(&key) {
                true => twice.push((one, path)),
                false => seen.push(key),
            }
        }
    }
    twice
}

fn before<'a>(source: &Source<'a>, one: &Use<'a>) -> Vec<&'a str> {
    source.tokens[one.before.clone()].iter().map(|token| token.text).collect()
}

/// The module that something is imported from.
fn module(leaf: &Leaf<'_>) -> String {
    let whole = leaf.is_glob || leaf.is_self;
    leaf.path[..leaf.path.len() - usize::from(!whole && !leaf.path.is_empty())].join("::")
}

/// Whether an empty line stands between two that are neither `pub` nor under attributes.
fn is_apart(text: &str, source: &Source<'_>, one: &Use<'_>, next: &Use<'_>) -> bool {
    let between = &text[span(source, &one.tokens).end..span(source, &next.tokens).start];
    one.before.is_empty() && next.before.is_empty() && between.matches('\n').count() > 1
}

fn line(source: &Source<'_>, one: &Use<'_>) -> usize {
    source.tokens[one.tree].line
}

fn span(source: &Source<'_>, tokens: &Range<usize>) -> Range<usize> {
    source.tokens[tokens.start].at..source.tokens[(tokens.end - 1).min(source.tokens.len() - 1)].end()
}

fn flat(text: &str, source: &Source<'_>, block: &[Use<'_>]) -> Vec<String> {
    let mut keys: Vec<(&str, String)> = Vec::new();
    let mut names: BTreeMap<(&str, String), Vec<String>> = BTreeMap::new();
    for one in block {
        let before = match one.before.is_empty() {
            true => "",
            false => &text[span(source, &one.before)],
        };
        let root = if source.is(one.tree, "::") { "::" } else { "" };
        for leaf in &one.leaves {
            let key = (before, format!("{root}{}", module(leaf)));
            let name = match () {
                () if leaf.is_glob => "*",
                () if leaf.is_self => "self",
                () => leaf.path.last().copied().unwrap_or_default(),
            };
            let name = leaf.rename.map_or_else(|| name.to_owned(), |rename| format!("{name} as {rename}"));
            if !keys.contains(&key) {
                keys.push(key.clone());
            }
            let names = names.entry(key).or_default();
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    let mut lines = Vec::new();
    for key in keys {
        let (before, path) = (&key.0, &key.1);
        let before = if before.is_empty() { String::new() } else { format!("{before} ") };
        match names[&key].as_slice() {
            names if path.is_empty() => lines.extend(names.iter().map(|n| format!("{before}use {n};"))),
            [name] if !name.starts_with("self") => lines.push(format!("{before}use {path}::{name};")),
            [name] if name == "self" => lines.push(format!("{before}use {path};")),
            names => lines.push(format!("{before}use {path}::{{{}}};", names.join(", "))),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        check(&Tree::new([("core/x/src/a.rs", text)])).into_iter().map(|v| v.line).collect()
    }

    #[test]
    fn trees_in_trees_second_lines_and_gaps_are_refused() {
        assert_eq!(lines("use std::{\n    fs,\n    io::Write,\n};\n"), [3]);
        assert_eq!(lines("use a::{b, c::{self, d}};\n"), [1]);
        assert_eq!(lines("use std::fs;\nuse std::io;\n"), [2]);
        assert_eq!(lines("use a::b;\n\nuse c::d;\n"), [3]);
    }

    #[test]
    fn one_line_a_module_passes() {
        for text in [
            "use a::{self, B, c};\nuse a::c::D;\nuse std::io::{self, Write};\nuse b;\nuse c;\nuse a::d::*;\n",
            "pub use a::B;\npub use c::D;\n\nuse a::C;\n",
            "#[cfg(unix)]\nuse a::b;\nuse a::c;\n",
            "use a::b;\n// Why.\nuse a::c;\n",
            "fn f() {\n    use a::b;\n}\nfn g() {\n    use a::c;\n}\n",
        ] {
            assert_eq!(lines(text), [], "{text}");
            assert_eq!(fix("a.rs", text), None, "{text}");
        }
    }

    #[test]
    fn the_other_style_is_rewritten() {
        let text = "//! Doc.\n\nuse std::{\n    env, fs,\n    path::{self, Path},\n};\n\nuse crate::{\n    \
                    error::{Error, Result as R},\n    say,\n    all::*,\n};\n\nfn f() {\n    use a::{b::C, d::E};\n}\n";
        let fixed = "//! Doc.\n\nuse std::{env, fs};\nuse std::path::{self, Path};\nuse crate::error::{Error, Result as \
                     R};\nuse crate::say;\nuse crate::all::*;\n\nfn f() {\n    use a::b::C;\n    use a::d::E;\n}\n";
        assert_eq!(fix("a.rs", text).as_deref(), Some(fixed));
        assert_eq!(fix("a.rs", fixed), None);
        assert_eq!(fix("a.toml", text), None);
        let text = "pub(crate) use a::b;\npub(crate) use a::c;\nuse a::d;\n";
        assert_eq!(fix("a.rs", text).as_deref(), Some("pub(crate) use a::{b, c};\nuse a::d;\n"));
    }
}

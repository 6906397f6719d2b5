//! The book as mdBook would build it: each page is in the summary, and each include, link and anchor leads somewhere.

use super::documents::normal;
use super::tree::{File, Tree};
use super::violation::Violation;
use std::collections::{BTreeMap, BTreeSet};

const PAGES: &str = "core/book/src/";
const SUMMARY: &str = "core/book/src/SUMMARY.md";

/// Folders in the book that are links to others, since mdBook takes along what lies beside the pages alone.
const LINKED: [(&str, &str); 1] = [("core/book/src/pictures/", "experiments/pictures/")];

pub(super) fn check(tree: &Tree<'_>) -> Vec<Violation> {
    let book = Book::read(tree);
    let mut violations = Vec::new();
    for page in book.pages.values() {
        violations.extend(book.links(page));
    }
    violations.extend(book.summary());
    violations.extend(book.pages.values().flat_map(|page| page.wrong.clone()));
    violations
}

/// A page with what it includes.
struct Page<'a> {
    path: &'a str,
    /// Each line, and the line of the page itself that it comes from.
    lines: Vec<(usize, &'a str)>,
    /// What headings are called in addresses.
    anchors: BTreeSet<String>,
    wrong: Vec<Violation>,
}

struct Book<'a> {
    files: BTreeSet<&'a str>,
    pages: BTreeMap<&'a str, Page<'a>>,
}

impl<'a> Book<'a> {
    fn read(tree: &Tree<'a>) -> Self {
        let files = tree.files.iter().map(|file| file.path).collect();
        let pages = tree.files.iter().filter(|file| file.path.starts_with(PAGES) && file.extension() == "md");
        let pages = pages.map(|file| (file.path, Page::read(file, tree))).collect();
        Book { files, pages }
    }

    /// Whether there is a file, as the book sees it.
    fn has(&self, path: &str) -> bool {
        let linked =
            LINKED.iter().find_map(|(here, there)| Some(format!("{there}{}", path.strip_prefix(here)?)));
        self.files.contains(linked.as_deref().unwrap_or(path))
    }

    fn links(&self, page: &Page<'_>) -> Vec<Violation> {
        let mut violations = Vec::new();
        for (line, target) in page.links() {
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let whole = match path {
                "" => page.path.to_owned(),
                path => within(page.path, path),
            };
            let mut report = |message: String, help: &str| {
                violations.push(Violation { file: page.path.into(), line, message, help: help.into() });
            };
            match self.pages.get(whole.as_str()) {
                _ if !self.has(&whole) => report(
                    format!("the link to `{target}` leads nowhere"),
                    "a page links to pages and pictures of the book, by their place relative to it; a text that is included does too",
                ),
                Some(other) if !anchor.is_empty() && !other.anchors.contains(anchor) => report(
                    format!("`{path}` has no heading with the anchor `{anchor}`"),
                    "an anchor is the heading in small letters, with `-` for spaces",
                ),
                _ if path.ends_with(".md") && !whole.starts_with(PAGES) => {
                    report(format!("`{target}` is no page of the book"), "include what is meant");
                }
                _ => {}
            }
        }
        violations
    }

    fn summary(&self) -> Vec<Violation> {
        let Some(summary) = self.pages.get(SUMMARY) else {
            let is_empty = self.pages.is_empty();
            let missing = (!is_empty).then(|| Violation {
                file: SUMMARY.into(),
                line: 1,
                message: "the book has no summary".into(),
                help: "list the pages in it".into(),
            });
            return missing.into_iter().collect();
        };
        let listed: Vec<(usize, String)> =
            summary.links().into_iter().map(|(line, target)| (line, within(SUMMARY, target))).collect();
        let mut violations = Vec::new();
        for (at, (line, page)) in listed.iter().enumerate() {
            if listed[..at].iter().any(|(_, other)| other == page) {
                let message = format!("`{page}` is listed twice");
                let help = "mdBook takes each page once".to_owned();
                violations.push(Violation { file: SUMMARY.into(), line: *line, message, help });
            }
        }
        for path in self.pages.keys().filter(|path| **path != SUMMARY) {
            if !listed.iter().any(|(_, page)| page == path) {
                let message = "the page is not in SUMMARY.md, so nobody finds it".to_owned();
                violations.push(Violation {
                    file: (*path).into(),
                    line: 1,
                    message,
                    help: "list it there".into(),
                });
            }
        }
        violations
    }
}

impl<'a> Page<'a> {
    fn read(file: &File<'a>, tree: &Tree<'a>) -> Self {
        let mut page =
            Page { path: file.path, lines: Vec::new(), anchors: BTreeSet::new(), wrong: Vec::new() };
        for (at, line) in file.text.lines().enumerate() {
            match line.trim().strip_prefix("{{") {
                Some(directive) => page.include(directive, at + 1, tree),
                None => page.lines.push((at + 1, line)),
            }
        }
        let mut counts = BTreeMap::<String, usize>::new();
        for (_, line) in outside_code(&page.lines) {
            let Some(heading) = line.strip_prefix('#') else { continue };
            let anchor = anchor(heading.trim_start_matches('#').trim());
            let count = counts.entry(anchor.clone()).or_default();
            page.anchors.insert(if *count == 0 { anchor } else { format!("{anchor}-{count}") });
            *count += 1;
        }
        page
    }

    fn include(&mut self, directive: &str, line: usize, tree: &Tree<'a>) {
        let path = self.path;
        let mut refuse = |message: String, help: &str| {
            self.wrong.push(Violation { file: path.into(), line, message, help: help.into() });
        };
        let Some(target) = directive.strip_suffix("}}").and_then(|said| said.strip_prefix("#include "))
        else {
            return refuse(
                format!("`{{{{{directive}` is no include"),
                "write `{{#include FILE}}` or `{{#include FILE:ANCHOR}}` on a line of its own",
            );
        };
        let (file, anchor) = target.split_once(':').unwrap_or((target, ""));
        let whole = within(path, file);
        let Some(found) = tree.files.iter().find(|file| file.path == whole) else {
            return refuse(format!("there is no file `{whole}` to include"), "name it relative to the page");
        };
        if anchor.starts_with(|c: char| c.is_ascii_digit()) || anchor.contains(':') {
            return refuse(
                format!("`{target}` names lines by their numbers, which change"),
                "name an anchor, or take the whole file",
            );
        }
        let mut inside = anchor.is_empty();
        let mut taken = 0;
        for text in found.text.lines() {
            match marked(text) {
                Some((begins, name)) if name == anchor => inside = begins,
                Some(_) => {}
                None if inside => {
                    self.lines.push((line, text));
                    taken += 1;
                }
                None => {}
            }
        }
        if taken == 0 || inside && !anchor.is_empty() {
            refuse(
                format!("`{whole}` has nothing between `ANCHOR: {anchor}` and `ANCHOR_END: {anchor}`"),
                "put both around what is meant, each on a line of its own",
            );
        }
    }

    /// What the page links to within the book, with the line.
    fn links(&self) -> Vec<(usize, &'a str)> {
        let mut links = Vec::new();
        for (line, text) in outside_code(&self.lines) {
            // What stands in backticks is no link.
            let mut from = 0;
            for (number, piece) in text.split('`').enumerate() {
                let start = from;
                from += piece.len() + 1;
                if number % 2 == 1 {
                    continue;
                }
                for (at, _) in piece.match_indices("](") {
                    // The text of a link may hold backticks; its target none.
                    let target = &text[start + at + 2..];
                    let target = target.split([')', ' ']).next().unwrap_or_default();
                    if !target.contains("://") && !target.starts_with("mailto:") {
                        links.push((line, target));
                    }
                }
            }
        }
        links
    }
}

/// The lines that are no code.
fn outside_code<'l, 'a>(
    lines: &'l [(usize, &'a str)],
) -> impl Iterator<Item = (usize, &'a str)> + use<'l, 'a> {
    let (mut fenced, mut after_empty) = (false, true);
    lines.iter().copied().filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        let is_code = fenced || fence || after_empty && line.starts_with("    ");
        fenced ^= fence;
        after_empty = line.trim().is_empty() || is_code && !fenced;
        !is_code
    })
}

/// Whether a line marks the beginning or the end of what is included under a name.
fn marked(line: &str) -> Option<(bool, &str)> {
    let (begins, rest) = match line.split_once("ANCHOR: ") {
        Some((_, rest)) => (true, rest),
        None => (false, line.split_once("ANCHOR_END: ")?.1),
    };
    Some((begins, rest.split_whitespace().next().unwrap_or_default()))
}

/// What a heading is called in addresses.
fn anchor(heading: &str) -> String {
    let letters = heading.chars().flat_map(char::to_lowercase);
    let kept = letters.filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// A path relative to the folder of a file.
fn within(file: &str, path: &str) -> String {
    normal(file.rsplit_once('/').map_or("", |(folder, _)| folder), path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(page: &str) -> Vec<String> {
        let found = check(&Tree::new([
            (SUMMARY, "# Summary\n\n- [One](one.md)\n- [Two](deep/two.md)\n"),
            ("core/book/src/one.md", page),
            (
                "core/book/src/deep/two.md",
                "# Two\n\n## `a` key, and one\n\n## Twice\n\n## Twice\n\n[up](../one.md)\n",
            ),
            (
                "README.md",
                "<!-- ANCHOR: part -->\nsee [it](core/x.rs)\n<!-- ANCHOR_END: part -->\n\n# No more\n",
            ),
            ("core/x.rs", "fn f() {}\n"),
            ("experiments/pictures/a.png", ""),
        ]));
        found.into_iter().map(|violation| violation.message).collect()
    }

    #[test]
    fn what_leads_somewhere_passes() {
        for page in [
            "[two](deep/two.md#a-key-and-one), [here](#one)\n\n# One\n",
            "[again](deep/two.md#twice-1) ![a](pictures/a.png) [site](https://x.org/y.md)\n",
            "`[x](y.md)`\n\n    [x](y.md)\n\n```text\n[x](y.md)\n```\n",
            "```rust\n{{#include ../../x.rs}}\n```\n",
        ] {
            assert_eq!(refused(page), Vec::<String>::new(), "{page}");
        }
    }

    #[test]
    fn what_leads_nowhere_is_refused() {
        for (page, message) in [
            ("[x](three.md)", "the link to `three.md` leads nowhere"),
            ("[x](deep/two.md#three)", "`deep/two.md` has no heading with the anchor `three`"),
            ("[`x`](#none)", "`` has no heading with the anchor `none`"),
            ("[x](../../../README.md)", "`../../../README.md` is no page of the book"),
            ("![x](pictures/b.png)", "the link to `pictures/b.png` leads nowhere"),
            ("{{#include ../../y.rs}}", "there is no file `core/y.rs` to include"),
            ("{{#include ../../x.rs:1:2}}", "`../../x.rs:1:2` names lines by their numbers, which change"),
            ("{{#include ../../x.rs:a}}", "`core/x.rs` has nothing between `ANCHOR: a` and `ANCHOR_END: a`"),
            ("{{#title x}}", "`{{#title x}}` is no include"),
            // The link is right in the README, and not in the book.
            ("{{#include ../../../README.md:part}}", "the link to `core/x.rs` leads nowhere"),
        ] {
            assert_eq!(refused(page), [message], "{page}");
        }
        let found = check(&Tree::new([
            (SUMMARY, "- [One](one.md)\n- [One](one.md)\n"),
            ("core/book/src/one.md", "# One"),
            ("core/book/src/two.md", "# Two"),
        ]));
        let found: Vec<_> = found.into_iter().map(|violation| violation.message).collect();
        assert_eq!(
            found,
            ["`core/book/src/one.md` is listed twice", "the page is not in SUMMARY.md, so nobody finds it"]
        );
        assert_eq!(check(&Tree::new([("core/book/src/one.md", "# One")])).len(), 1);
        assert!(check(&Tree::new([("README.md", "# None")])).is_empty());
    }
}

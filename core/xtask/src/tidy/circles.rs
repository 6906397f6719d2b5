//! No circles between the files of a crate: what a file needs can be read without what needs it.
//!
//! A file needs another one if a path in it leads there: through `use`, through `crate::…`, `super::…` or the name of
//! a module. What a module re-exports counts as of where it comes from. A file's re-exports of modules under it, `mod`
//! lines and tests count for nothing.

use super::modules::{Crate, Module, crates};
use super::tree::Tree;
use super::violation::Violation;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// For each file the files it needs, with the line and the path that first shows it.
type Needs = BTreeMap<usize, BTreeMap<usize, (usize, String)>>;

pub(super) fn check(tree: &Tree<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for one in crates(tree) {
        let needs = needs(&one);
        let mut done = BTreeSet::new();
        for start in needs.keys() {
            let knot = knot(&needs, *start);
            if knot.len() > 1 && done.insert(knot.clone()) {
                violations.push(violation(tree, &needs, &knot));
            }
        }
    }
    violations.sort();
    violations.dedup();
    violations
}

fn violation(tree: &Tree<'_>, needs: &Needs, knot: &BTreeSet<usize>) -> Violation {
    let circles = knot.iter().filter_map(|start| circle(needs, *start));
    let circle = circles.min_by_key(Vec::len).unwrap_or_default();
    let name = |file: usize| short(tree, file);
    let mut path: Vec<&str> = circle.iter().map(|file| name(*file)).collect();
    path.extend(circle.first().map(|file| name(*file)));
    let arrows = circle.iter().zip(circle.iter().cycle().skip(1)).map(|(from, to)| {
        let (line, what) = &needs[from][to];
        format!("{}:{line} names `{what}` of {}", tree.files[*from].path, name(*to))
    });
    let arrows: Vec<String> = arrows.collect();
    let mut message = format!("circle between modules: {}", path.join(" → "));
    if knot.len() > circle.len() {
        let all: Vec<&str> = knot.iter().map(|file| name(*file)).collect();
        message.push_str(&format!(" (in a knot of {}: {})", all.len(), all.join(", ")));
    }
    let first = circle.first().zip(circle.get(1));
    Violation {
        file: circle.first().map_or("", |file| tree.files[*file].path).into(),
        line: first.map_or(1, |(from, to)| needs[from][to].0),
        message,
        help: format!("move what both need into a file of its own: {}", arrows.join("; ")),
    }
}

/// A file's path below `src`.
fn short<'a>(tree: &Tree<'a>, file: usize) -> &'a str {
    let path = tree.files[file].path;
    path.split_once("/src/").map_or(path, |(_, rest)| rest)
}

fn needs(all: &Crate<'_, '_>) -> Needs {
    let mut needs = Needs::new();
    for (at, module) in all.modules.iter().enumerate() {
        let mut need = |target: Option<usize>, line: usize, path: &[&str]| {
            if let Some(target) = target.map(|target| all.modules[target].file)
                && target != module.file
            {
                let what = || (line, path.join("::"));
                needs.entry(module.file).or_default().entry(target).or_insert_with(what);
            }
        };
        for one in &module.uses {
            for leaf in &one.leaves {
                let target = all.resolve(at, &leaf.path);
                // The paths that begin with a module's name say what of it is used.
                if !leaf.is_glob && all.resolve_module(at, &leaf.path).is_some() {
                    continue;
                }
                let is_below = target.is_some_and(|target| is_below(all, target, at));
                if !one.is_pub || !is_below {
                    need(target, leaf.line, &leaf.path);
                }
            }
        }
        for (line, path) in paths(module) {
            need(all.resolve(at, &path), line, &path);
        }
    }
    needs
}

fn is_below(all: &Crate<'_, '_>, module: usize, above: usize) -> bool {
    let parents = std::iter::successors(all.modules[module].parent, |parent| all.modules[*parent].parent);
    parents.into_iter().any(|parent| parent == above)
}

/// The paths `a::b…` in a module's code outside of `use` and of tests, with their lines.
fn paths<'a>(module: &Module<'_, 'a>) -> Vec<(usize, Vec<&'a str>)> {
    let source = module.source;
    let mut paths = Vec::new();
    let mut at = module.tokens.start;
    while at < module.tokens.end {
        if source.is(at, "use") {
            at = source.item_end(at);
            continue;
        }
        let follows = at > 0 && (source.is(at - 1, "::") || source.is(at - 1, "."));
        match source.ident(at) {
            Some(name) if !follows && source.is(at + 1, "::") && module.has(at) && !source.is_test(at) => {
                let line = source.tokens[at].line;
                let mut path = vec![name];
                while source.is(at + 1, "::")
                    && let Some(name) = source.ident(at + 2)
                {
                    path.push(name);
                    at += 2;
                }
                paths.push((line, path));
                at += 1;
            }
            _ => at += 1,
        }
    }
    paths
}

/// The files that `start` needs, directly or not, and that need it; itself included.
fn knot(needs: &Needs, start: usize) -> BTreeSet<usize> {
    let needed = reachable(needs, start);
    let mut knot: BTreeSet<usize> =
        needed.into_iter().filter(|file| reachable(needs, *file).contains(&start)).collect();
    knot.insert(start);
    knot
}

fn reachable(needs: &Needs, start: usize) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut open = vec![start];
    while let Some(at) = open.pop() {
        for next in needs.get(&at).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(*next) {
                open.push(*next);
            }
        }
    }
    reached
}

/// The shortest way from a file back to itself.
fn circle(needs: &Needs, start: usize) -> Option<Vec<usize>> {
    let mut from: BTreeMap<usize, usize> = BTreeMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(at) = open.pop_front() {
        for next in needs.get(&at).into_iter().flat_map(BTreeMap::keys) {
            if *next == start {
                let back = std::iter::successors(Some(at), |at| from.get(at).copied());
                let mut circle: Vec<usize> = back.collect();
                circle.reverse();
                return Some(circle);
            }
            if !from.contains_key(next) {
                from.insert(*next, at);
                open.push_back(*next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles(files: &[(&str, &str)]) -> Vec<String> {
        let mut all = vec![("x/Cargo.toml", "")];
        all.extend(files);
        let found = check(&Tree::new(all));
        found.into_iter().map(|v| format!("{}: {}", v.message, v.help)).collect()
    }

    fn assert_circle(files: &[(&str, &str)], expected: &[&str]) {
        let found = circles(files);
        assert_eq!(found.len(), 1, "{found:?}");
        for part in expected {
            assert!(found[0].contains(part), "no '{part}' in {found:?}");
        }
    }

    #[test]
    fn two_that_need_each_other_are_refused() {
        assert_circle(
            &[
                ("x/src/lib.rs", "mod a;\nmod b;\npub use a::A;"),
                ("x/src/a.rs", "use super::b::B;\npub struct A(B);"),
                ("x/src/b.rs", "pub struct B;\nfn f(_: crate::A) {}"),
            ],
            &[
                "a.rs → b.rs → a.rs",
                "x/src/a.rs:1 names `super::b::B`",
                "x/src/b.rs:2 names `crate::A` of a.rs",
            ],
        );
    }

    #[test]
    fn a_child_and_a_parent_that_uses_it_are_refused() {
        assert_circle(
            &[
                ("x/src/main.rs", "mod a;\nfn main() { a::f(); }\npub fn g() {}"),
                ("x/src/a.rs", "pub fn f() { super::g() }"),
            ],
            &["main.rs → a.rs → main.rs", "main.rs:2 names `a::f`"],
        );
    }

    #[test]
    fn longer_ones_through_globs_aliases_and_macros_are_refused() {
        assert_circle(
            &[
                ("x/src/lib.rs", "mod a; mod b; mod c; pub mod all { pub use super::c::*; }"),
                ("x/src/a.rs", "use super::b;\nfn f() { b::g() }\npub struct A;"),
                ("x/src/b.rs", "use crate::all::C;\npub fn g(_: C) {}"),
                ("x/src/c.rs", "pub struct C;\n#[macro_export] macro_rules! m { () => { $crate::a::A } }"),
            ],
            &["a.rs → b.rs → c.rs → a.rs"],
        );
        assert_circle(
            &[
                ("x/src/lib.rs", "mod a; mod b;"),
                ("x/src/a.rs", "#[macro_export]\nmacro_rules! m { () => {} }\nfn f() { super::b::g() }"),
                ("x/src/b.rs", "use crate::m;\npub fn g() { m!() }"),
            ],
            &["a.rs → b.rs → a.rs"],
        );
    }

    #[test]
    fn trees_pass() {
        let found = circles(&[
            (
                "x/src/lib.rs",
                "mod a; pub mod b; #[cfg(test)] mod tests; pub use a::A; pub use b::c::C; pub(crate) use b::B;",
            ),
            (
                "x/src/a.rs",
                "use crate::B; use std::fmt; use other::x::A as Y; pub struct A(B, fmt::Error, Y);",
            ),
            ("x/src/b/mod.rs", "pub mod c; pub use c::C; pub struct B; pub mod inner { use super::B; }"),
            ("x/src/b/c.rs", "use super::B; pub struct C(B); #[cfg(test)] mod tests { use crate::a::A; }"),
            ("x/src/tests.rs", "use crate::*;"),
        ]);
        assert_eq!(found, [] as [String; 0]);
    }
}

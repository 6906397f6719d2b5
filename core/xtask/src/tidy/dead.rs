//! No public item that nothing uses. rustc only says so of what no other crate can see.
//!
//! Names are compared, not items: what shares its name with something that is used counts as used, but for functions of
//! a type, which are used by `.name(…)` or behind `::` of that very type. An item's own
//! definition, the `impl` blocks of a type, `pub use` and tests are no uses. What the SDK, the test kit and the ABI offer
//! to authors counts as used if it is documented, and if the crate's root exports it or a plugin, a fixture, an example
//! or the README names it.

use super::lexer::Kind;
use super::source::Source;
use super::tree::{File, Tree};
use super::use_tree::uses;
use super::violation::Violation;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// The crates that are written for authors of plugins.
const FOR_AUTHORS: [&str; 3] = ["core/abi/", "core/sdk/", "core/testkit/"];

/// Items that only tests use, and may: the file, the item, and why.
const EXCEPTIONS: [(&str, &str); 2] = [
    // The reader's two entries for what was captured of a real WebEnv, which its tests read back.
    ("plugins/environments/webenv/src/protocol/reader.rs", "settled"),
    ("plugins/environments/webenv/src/protocol/reader.rs", "read_reply"),
];

pub(super) fn check(tree: &Tree<'_>) -> Vec<Violation> {
    let uses = names(tree);
    let authors = names_by_authors(tree);
    let code = Code::read(tree);
    let mut violations = Vec::new();
    for (place, (file, source)) in tree.rust().enumerate() {
        for item in items(source, &code.impls[place]) {
            let is_used = uses
                .get(item.name)
                .is_some_and(|all| all.iter().any(|used| code.is_use(&item, place, *used)));
            let is_offered = FOR_AUTHORS.iter().any(|folder| file.path.starts_with(folder))
                && is_documented(source, item.tokens.start)
                && (authors.contains(item.name)
                    || item.method_of.is_none() && is_exported(tree, file, item.name));
            let is_excepted = EXCEPTIONS.contains(&(file.path, item.name));
            if !is_used && !is_offered && !is_excepted && !is_exported_symbol(source, item.tokens.start) {
                violations.push(Violation {
                    file: file.path.into(),
                    line: source.tokens[item.at].line,
                    message: format!("nothing but tests uses `pub {} {}`", item.keyword, item.name),
                    help: "remove it, or move it into the tests that need it".into(),
                });
            }
        }
    }
    violations
}

/// All Rust files, in the order of the tree.
struct Code<'t, 'a> {
    sources: Vec<&'t Source<'a>>,
    impls: Vec<Vec<Impl<'a>>>,
    /// Other names of types: `type Alias = Type;`, `use Type as Alias;`.
    aliases: HashMap<&'a str, HashSet<&'a str>>,
}

impl<'t, 'a> Code<'t, 'a> {
    fn read(tree: &'t Tree<'a>) -> Self {
        let sources: Vec<&Source<'a>> = tree.rust().map(|(_, source)| source).collect();
        let impls = sources.iter().map(|source| impls(source)).collect();
        let mut aliases: HashMap<&str, HashSet<&str>> = HashMap::new();
        for source in &sources {
            for at in 0..source.tokens.len() {
                let Some(name) = source.ident(at + 1) else { continue };
                if source.is(at, "type") {
                    let end = source.item_end(at);
                    for of in (at + 2..end).filter_map(|at| source.ident(at)) {
                        aliases.entry(of).or_default().insert(name);
                    }
                } else if source.is(at, "as")
                    && at > 0
                    && let Some(of) = source.ident(at - 1)
                {
                    aliases.entry(of).or_default().insert(name);
                }
            }
        }
        Code { sources, impls, aliases }
    }

    /// Whether a name, at a token of a file, can be a use of an item of the file `of_file`.
    fn is_use(&self, item: &Item<'_>, of_file: usize, (file, at): (usize, usize)) -> bool {
        let of_type =
            |name| self.impls[file].iter().any(|block| block.of == name && block.tokens.contains(&at));
        if file == of_file && item.tokens.contains(&at) || item.is_type && of_type(item.name) {
            return false;
        }
        let source = self.sources[file];
        let after = |text| at > 0 && source.is(at - 1, text);
        match item.method_of {
            // `x.name(…)`, `x.name::<…>(…)`, whatever `x` is.
            Some(_) if after(".") => source.is(at + 1, "(") || source.is(at + 1, "::"),
            Some(of) if after("::") && at > 1 => match source.ident(at - 2) {
                Some("Self") => of_type(of),
                Some(name) => name == of || self.aliases.get(of).is_some_and(|all| all.contains(name)),
                // `<T>::name`, `Vec::<T>::name`.
                None => true,
            },
            // A macro may write the rest.
            Some(_) => after("$"),
            None => !after("."),
        }
    }
}

struct Item<'a> {
    keyword: &'a str,
    name: &'a str,
    at: usize,
    /// The whole definition, from `pub` on.
    tokens: Range<usize>,
    is_type: bool,
    /// The type whose `impl` block it stands in.
    method_of: Option<&'a str>,
}

/// The `pub` items outside of tests.
fn items<'a>(source: &Source<'a>, impls: &[Impl<'a>]) -> Vec<Item<'a>> {
    let mut items = Vec::new();
    for start in (0..source.tokens.len()).filter(|at| source.is(*at, "pub") && !source.is_test(*at)) {
        if source.is(start + 1, "(") {
            continue;
        }
        let mut at = start + 1;
        loop {
            let is_const_item =
                source.is(at, "const") && !source.is(at + 1, "fn") && !source.is(at + 1, "unsafe");
            let is_prefix =
                ["async", "unsafe", "extern", "const", "safe"].iter().any(|word| source.is(at, word));
            let is_abi = source.tokens.get(at).is_some_and(|token| token.kind == Kind::Str);
            if is_const_item || !is_prefix && !is_abi {
                break;
            }
            at += 1;
        }
        let Some(keyword) = source.ident(at) else { continue };
        let is_type = matches!(keyword, "struct" | "enum" | "union" | "trait" | "type");
        let at = at + 1 + usize::from(keyword == "static" && source.is(at + 1, "mut"));
        if !(is_type || matches!(keyword, "fn" | "const" | "static")) {
            continue;
        }
        let Some(name) = source.ident(at).filter(|name| *name != "_") else { continue };
        let block = impls.iter().find(|block| block.tokens.contains(&start));
        let method_of = block.map(|block| block.of);
        items.push(Item { keyword, name, at, tokens: start..source.item_end(at), is_type, method_of });
    }
    items
}

/// An `impl` block and the type that it is of.
struct Impl<'a> {
    of: &'a str,
    tokens: Range<usize>,
}

fn impls<'a>(source: &Source<'a>) -> Vec<Impl<'a>> {
    let mut impls = Vec::new();
    for start in (0..source.tokens.len()).filter(|at| source.is(*at, "impl")) {
        let begins =
            start == 0 || [";", "}", "{", "]", "unsafe"].iter().any(|text| source.is(start - 1, text));
        let Some(open) = (start..source.tokens.len()).find(|at| source.is(*at, "{") || source.is(*at, ";"))
        else {
            continue;
        };
        if !begins || !source.is(open, "{") {
            continue;
        }
        let of_trait = (start..open).find(|at| source.is(*at, "for") && !source.is(*at + 1, "<"));
        let mut at = of_trait.map_or(start + 1, |at| at + 1);
        if of_trait.is_none() && source.is(at, "<") {
            at = behind_generics(source, at);
        }
        while at < open && (source.ident(at).is_none() || source.is(at, "mut") || source.is(at, "dyn")) {
            at += 1;
        }
        while source.is(at + 1, "::") && source.ident(at + 2).is_some() {
            at += 2;
        }
        if let Some(of) = source.ident(at) {
            impls.push(Impl { of, tokens: start..source.close(open) + 1 });
        }
    }
    impls
}

fn behind_generics(source: &Source<'_>, open: usize) -> usize {
    let mut depth = 0;
    for at in open..source.tokens.len() {
        if source.is(at, "<") {
            depth += 1;
        } else if source.is(at, ">") && !source.is(at - 1, "-") {
            depth -= 1;
            if depth == 0 {
                return at + 1;
            }
        }
    }
    open
}

/// All names in code that is no test and no re-export: which Rust file, and which token.
fn names<'a>(tree: &Tree<'a>) -> HashMap<&'a str, Vec<(usize, usize)>> {
    let mut names: HashMap<&str, Vec<(usize, usize)>> = HashMap::new();
    for (place, (_, source)) in tree.rust().enumerate() {
        let reexports: Vec<Range<usize>> =
            uses(source).into_iter().filter(|one| one.is_pub).map(|one| one.tokens).collect();
        for (at, token) in source.tokens.iter().enumerate() {
            let counts = token.kind == Kind::Ident && !source.is_test(at);
            if counts && !reexports.iter().any(|range| range.contains(&at)) {
                names.entry(token.text).or_default().push((place, at));
            }
        }
    }
    names
}

/// What plugins, fixtures, examples and the README name, tests included.
fn names_by_authors<'a>(tree: &Tree<'a>) -> HashSet<&'a str> {
    let mut names = HashSet::new();
    for file in &tree.files {
        if file.path == "README.md" {
            names.extend(file.text.split(|c: char| !c.is_alphanumeric() && c != '_'));
        }
        let by_author = ["plugins/", "tests/"].iter().any(|f| file.path.starts_with(f))
            || file.path.contains("/examples/");
        if let (true, Some(source)) = (by_author, &file.source) {
            names.extend(source.tokens.iter().filter(|t| t.kind == Kind::Ident).map(|t| t.text));
        }
    }
    names
}

/// Where the attributes of an item begin, whose first token is its `pub`.
fn first_attribute(source: &Source<'_>, start: usize) -> usize {
    let mut first = start;
    while first > 0 && source.is(first - 1, "]") {
        match (0..first - 1).rev().find(|open| source.close(*open) == first - 1) {
            Some(open) if open > 0 && source.is(open - 1, "#") => first = open - 1,
            _ => break,
        }
    }
    first
}

/// Whether the linker is asked to keep an item's name, so that other programs can look it up.
fn is_exported_symbol(source: &Source<'_>, start: usize) -> bool {
    let attributes = &source.tokens[first_attribute(source, start)..start];
    attributes.iter().any(|token| token.is("no_mangle") || token.is("export_name"))
}

/// Whether `///` stands before an item.
fn is_documented(source: &Source<'_>, start: usize) -> bool {
    let first = first_attribute(source, start);
    let after = if first == 0 { 0 } else { source.tokens[first - 1].line };
    let before = source.tokens[start].line;
    source.comments.iter().any(|comment| comment.outer_doc && comment.line >= after && comment.line < before)
}

/// Whether the crate's root exports an item of a file: by name, with all of its module, or in a public module.
fn is_exported(tree: &Tree<'_>, file: &File<'_>, name: &str) -> bool {
    let Some((folder, inside)) = file.path.split_once("/src/") else { return false };
    let root = format!("{folder}/src/lib.rs");
    if file.path == root {
        return true;
    }
    let module = inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs");
    let exports = |path: &str| {
        let found = tree.rust().find(|(file, _)| file.path == path);
        found.is_some_and(|(_, source)| {
            let all = uses(source).into_iter().filter(|one| one.is_pub).flat_map(|one| one.leaves);
            all.into_iter().any(|leaf| match leaf.is_glob {
                true => leaf.path.last() == Some(&module),
                false => leaf.path.last() == Some(&name),
            })
        })
    };
    let is_public = || {
        let found = tree.rust().find(|(file, _)| file.path == root);
        found.is_some_and(|(_, source)| {
            (0..source.tokens.len())
                .any(|at| source.is(at, "pub") && source.is(at + 1, "mod") && source.is(at + 2, module))
        })
    };
    let facade = format!("{folder}/src/{module}/mod.rs");
    exports(&root)
        || is_public() && (inside == format!("{module}.rs") || file.path == facade || exports(&facade))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead(files: &[(&str, &str)]) -> Vec<String> {
        let found = check(&Tree::new(files.iter().copied()));
        found.into_iter().map(|v| format!("{}:{} {}", v.file, v.line, v.message)).collect()
    }

    #[test]
    fn what_only_tests_and_re_exports_name_is_refused() {
        let found = dead(&[
            ("core/x/src/lib.rs", "mod a;\npub use a::{Dead, dead};"),
            (
                "core/x/src/a.rs",
                "pub struct Dead;\nimpl Dead {\n    pub fn method(&self) -> Dead { Dead }\n}\n\
                 pub const fn dead() { dead() }\npub static DEAD: u8 = 0;\n\
                 #[cfg(test)]\nmod tests { fn f() { super::dead(); Dead.method() } }",
            ),
            ("core/x/tests/a.rs", "fn f() { x::dead(); x::DEAD; }"),
        ]);
        assert_eq!(
            found,
            [
                "core/x/src/a.rs:1 nothing but tests uses `pub struct Dead`",
                "core/x/src/a.rs:3 nothing but tests uses `pub fn method`",
                "core/x/src/a.rs:5 nothing but tests uses `pub fn dead`",
                "core/x/src/a.rs:6 nothing but tests uses `pub static DEAD`",
            ]
        );
    }

    #[test]
    fn what_is_used_passes() {
        let found = dead(&[
            (
                "core/x/src/lib.rs",
                "pub struct S { pub field: u8 }\nimpl S { pub fn m(&self) -> u8 { C } }\n\
                 pub const C: u8 = 1;\npub unsafe extern \"C\" fn f(s: &S) { s.m(); }\npub trait T {}\n\
                 impl S { pub fn new() -> S { S } pub fn made() -> S { Self::new() } }\ntype A = S;\n\
                 #[unsafe(no_mangle)]\npub static symbol: u8 = 0;\n",
            ),
            ("core/y/src/main.rs", "use x::{f, T, A};\nfn main() { f(); A::made(); }"),
        ]);
        assert_eq!(found, [] as [String; 0]);
    }

    #[test]
    fn a_name_of_something_else_is_no_use_of_a_method() {
        let found = dead(&[(
            "core/x/src/lib.rs",
            "pub struct S;\nimpl S {\n    pub fn open() {}\n    pub fn seed(&self) {}\n}\n\
                 fn f(seed: u8, s: &S) { File::open(); s.seed; }",
        )]);
        assert_eq!(
            found,
            [
                "core/x/src/lib.rs:3 nothing but tests uses `pub fn open`",
                "core/x/src/lib.rs:4 nothing but tests uses `pub fn seed`",
            ]
        );
    }

    #[test]
    fn what_is_offered_to_authors_is_documented_and_reached() {
        let sdk = "/// Documented.\n#[must_use]\npub struct A;\npub struct B;\n/// Documented.\npub struct C;\n\
                   impl A {\n    /// Documented.\n    pub fn named(&self) {}\n    /// Documented.\n    pub fn unnamed(&self) {}\n}\n";
        let found = dead(&[
            ("core/sdk/src/lib.rs", "mod a; pub use a::{A, B};"),
            ("core/sdk/src/a.rs", sdk),
            ("plugins/layers/l/src/lib.rs", "#[cfg(test)] fn f(a: &efference_sdk::A) { a.named() }"),
        ]);
        assert_eq!(
            found,
            [
                "core/sdk/src/a.rs:4 nothing but tests uses `pub struct B`",
                "core/sdk/src/a.rs:6 nothing but tests uses `pub struct C`",
                "core/sdk/src/a.rs:11 nothing but tests uses `pub fn unnamed`",
            ]
        );
    }
}

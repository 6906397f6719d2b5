//! The modules of the workspace's crates, and what a path in one of them leads to.

use super::lexer::Kind;
use super::source::Source;
use super::tree::Tree;
use super::use_tree::{Use, uses};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

/// A module: a file, or a `mod name { … }` in one.
pub(super) struct Module<'t, 'a> {
    /// Its place among the tree's files.
    pub(super) file: usize,
    pub(super) source: &'t Source<'a>,
    /// Its tokens.
    pub(super) tokens: Range<usize>,
    pub(super) parent: Option<usize>,
    pub(super) children: BTreeMap<&'a str, usize>,
    /// Its `use` declarations, without those of modules in it and of tests.
    pub(super) uses: Vec<Use<'a>>,
    /// The modules written in its file.
    inner: Vec<Range<usize>>,
    /// The items it declares itself.
    items: BTreeSet<&'a str>,
    root: usize,
}

/// The modules of one crate; the first is its root.
pub(super) struct Crate<'t, 'a> {
    pub(super) modules: Vec<Module<'t, 'a>>,
    /// `#[macro_export]` macros and the modules that they are written in.
    macros: HashMap<&'a str, usize>,
}

/// All crates: libraries, programs, tests, examples and benches.
pub(super) fn crates<'t, 'a>(tree: &'t Tree<'a>) -> Vec<Crate<'t, 'a>> {
    let places: HashMap<&str, usize> = tree.files.iter().enumerate().map(|(at, f)| (f.path, at)).collect();
    let roots = tree.files.iter().enumerate().filter(|(_, file)| is_root(tree, &places, file.path));
    roots.map(|(at, _)| Crate::read(tree, &places, at)).collect()
}

/// Whether a file is the root of a crate, by cargo's rules and by what `Cargo.toml` says.
fn is_root(tree: &Tree<'_>, places: &HashMap<&str, usize>, path: &str) -> bool {
    let Some(package) =
        ancestors(path).find(|folder| places.contains_key(join(folder, "Cargo.toml").as_str()))
    else {
        return false;
    };
    let Some(inside) = path[package.len()..].trim_start_matches('/').strip_suffix(".rs") else {
        return false;
    };
    let by_rule = matches!(
        inside.split('/').collect::<Vec<_>>()[..],
        ["build"]
            | ["src", "lib" | "main"]
            | ["src", "bin", _]
            | ["src", "bin", _, "main"]
            | ["tests" | "examples" | "benches", _]
            | ["tests" | "examples" | "benches", _, "main"]
    );
    let said = format!("path = \"{inside}.rs\"");
    by_rule || tree.files[places[join(package, "Cargo.toml").as_str()]].text.contains(&said)
}

fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(path.rsplit_once('/').map(|(folder, _)| folder), |folder| {
        folder.rsplit_once('/').map(|(parent, _)| parent)
    })
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

impl<'t, 'a> Crate<'t, 'a> {
    fn read(tree: &'t Tree<'a>, places: &HashMap<&str, usize>, root: usize) -> Self {
        let mut all = Crate { modules: Vec::new(), macros: HashMap::new() };
        let folder = tree.files[root].folder().to_owned();
        all.add_file(tree, places, root, None, &folder);
        all
    }

    /// Adds a file whose modules lie in `folder`, and those modules.
    fn add_file(
        &mut self,
        tree: &'t Tree<'a>,
        places: &HashMap<&str, usize>,
        file: usize,
        parent: Option<usize>,
        folder: &str,
    ) -> Option<usize> {
        let source = tree.files[file].source.as_ref()?;
        Some(self.add(tree, places, file, source, 0..source.tokens.len(), parent, folder))
    }

    #[allow(clippy::too_many_arguments)] // one function that calls itself
    fn add(
        &mut self,
        tree: &'t Tree<'a>,
        places: &HashMap<&str, usize>,
        file: usize,
        source: &'t Source<'a>,
        tokens: Range<usize>,
        parent: Option<usize>,
        folder: &str,
    ) -> usize {
        let this = self.modules.len();
        self.modules.push(Module {
            file,
            source,
            tokens: tokens.clone(),
            parent,
            children: BTreeMap::new(),
            uses: Vec::new(),
            inner: Vec::new(),
            items: BTreeSet::new(),
            root: 0,
        });
        let mut at = tokens.start;
        while at < tokens.end {
            if source.is_test_item(at) {
                at = source.item_end(at).max(at + 1);
                continue;
            }
            if let (true, Some(name)) = (source.is(at, "mod"), source.ident(at + 1)) {
                if source.is(at + 2, ";") {
                    let places_of = [format!("{name}.rs"), format!("{name}/mod.rs")];
                    let found = match source.path_attribute(at) {
                        Some(path) => places.get(normal(&join(tree.files[file].folder(), path)).as_str()),
                        None => places_of.iter().find_map(|place| places.get(join(folder, place).as_str())),
                    };
                    if let Some(child) = found
                        && let Some(child) =
                            self.add_file(tree, places, *child, Some(this), &join(folder, name))
                    {
                        self.modules[this].children.insert(name, child);
                    }
                    at += 3;
                    continue;
                }
                if source.is(at + 2, "{") {
                    let inside = at + 3..source.close(at + 2);
                    let child =
                        self.add(tree, places, file, source, inside.clone(), Some(this), &join(folder, name));
                    self.modules[this].children.insert(name, child);
                    self.modules[this].inner.push(inside.clone());
                    at = inside.end + 1;
                    continue;
                }
            }
            if let Some(name) = declared(source, at) {
                self.modules[this].items.insert(name);
            }
            if source.is(at, "macro_rules")
                && source.is(at + 1, "!")
                && source.is_exported(at)
                && let Some(name) = source.ident(at + 2)
            {
                self.macros.insert(name, this);
            }
            at += 1;
        }
        let module = &self.modules[this];
        let own = uses(source).into_iter().filter(|one| module.has(one.tree) && !source.is_test(one.tree));
        self.modules[this].uses = own.collect();
        this
    }

    /// The module that a path in `module` leads to or whose item it names; `None` for other crates.
    pub(super) fn resolve(&self, module: usize, path: &[&str]) -> Option<usize> {
        self.follow(module, path, 0).map(|(found, _)| found)
    }

    /// The module that the whole path names, if it names one.
    pub(super) fn resolve_module(&self, module: usize, path: &[&str]) -> Option<usize> {
        self.follow(module, path, 0).filter(|(_, whole)| *whole).map(|(found, _)| found)
    }

    /// Where a path leads, and whether the whole of it names a module.
    fn follow(&self, module: usize, path: &[&str], depth: usize) -> Option<(usize, bool)> {
        // `pub use` that lead to each other in a ring do not compile; this is for macros' patterns and the like.
        if depth > 20 {
            return None;
        }
        let mut at = module;
        let mut rest = path;
        let mut is_first = true;
        while let Some((name, after)) = rest.split_first() {
            match *name {
                "crate" if is_first => at = self.modules[module].root,
                "self" if is_first => {}
                "super" => at = self.modules[at].parent?,
                name => match self.named(at, name, is_first, depth)? {
                    (found, true) => at = found,
                    found => return Some(found),
                },
            }
            is_first = false;
            rest = after;
        }
        Some((at, true))
    }

    /// What a name means in a module.
    fn named(&self, at: usize, name: &str, is_first: bool, depth: usize) -> Option<(usize, bool)> {
        let module = &self.modules[at];
        if let Some(child) = module.children.get(name) {
            return Some((*child, true));
        }
        if module.items.contains(name) {
            return Some((at, false));
        }
        for one in &module.uses {
            for leaf in one.leaves.iter().filter(|leaf| leaf.name() == Some(name)) {
                // `use x;` of another crate called `x` is not a ring.
                if leaf.path != [name] {
                    return self.follow(at, &leaf.path, depth + 1);
                }
            }
        }
        if at == module.root
            && let Some(found) = self.macros.get(name)
        {
            return Some((*found, false));
        }
        for leaf in module.uses.iter().flat_map(|one| &one.leaves).filter(|leaf| leaf.is_glob) {
            if let Some((from, true)) = self.follow(at, &leaf.path, depth + 1)
                && from != at
                && let Some(found) = self.known(from, name, depth + 1)
            {
                return Some(found);
            }
        }
        // At the start of a path it is another crate, or in the prelude; later, what a macro made.
        (!is_first).then_some((at, false))
    }

    /// What a name means in a module, if that can be seen.
    fn known(&self, at: usize, name: &str, depth: usize) -> Option<(usize, bool)> {
        if depth > 20 { None } else { self.named(at, name, true, depth) }
    }
}

impl Module<'_, '_> {
    /// Whether a token is this module's and not that of a module written in it.
    pub(super) fn has(&self, token: usize) -> bool {
        self.tokens.contains(&token) && !self.inner.iter().any(|inner| inner.contains(&token))
    }
}

/// The name that an item declares, where its keyword is at a token.
fn declared<'a>(source: &Source<'a>, at: usize) -> Option<&'a str> {
    match source.ident(at)? {
        "fn" | "struct" | "enum" | "union" | "trait" | "type" | "static" => source.ident(at + 1),
        "const" => source.ident(at + 1).filter(|name| *name != "fn"),
        "macro_rules" => source.ident(at + 2),
        _ => None,
    }
}

/// A path without `..`.
fn normal(path: &str) -> String {
    let mut folders: Vec<&str> = Vec::new();
    for folder in path.split('/').filter(|folder| *folder != ".") {
        match folder {
            ".." => drop(folders.pop()),
            folder => folders.push(folder),
        }
    }
    folders.join("/")
}

impl<'a> Source<'a> {
    /// Whether the `#` of a test's attribute is at a token.
    fn is_test_item(&self, at: usize) -> bool {
        self.is(at, "#") && self.is_test(at)
    }

    /// The string of `#[path = "…"]` before `mod` or `pub mod`.
    fn path_attribute(&self, module: usize) -> Option<&'a str> {
        let attributes = self.tokens[..module].iter().rev().take(12);
        let mut before = attributes.take_while(|token| !token.is(";") && !token.is("}"));
        before.find(|token| token.kind == Kind::Str && token.text.ends_with(".rs")).map(|token| token.text)
    }

    /// Whether `#[macro_export]` stands before `macro_rules`.
    fn is_exported(&self, at: usize) -> bool {
        let before = self.tokens[..at].iter().rev().take(12);
        before.take_while(|token| !token.is("}") && !token.is(";")).any(|token| token.is("macro_export"))
    }
}

//! `use` declarations, taken apart.

use super::source::Source;
use std::ops::Range;

/// One `use …;`.
pub(super) struct Use<'a> {
    /// Its tokens, from its first attribute or `pub` to its `;`.
    pub(super) tokens: Range<usize>,
    /// Where its tree begins.
    pub(super) tree: usize,
    /// What stands before `use`, such as `pub(crate)`.
    pub(super) before: Range<usize>,
    pub(super) is_pub: bool,
    pub(super) leaves: Vec<Leaf<'a>>,
}

/// One thing that is imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leaf<'a> {
    /// Its whole path; `self` at the end of `a::{self}` is left out, and so is `*`.
    pub(super) path: Vec<&'a str>,
    pub(super) rename: Option<&'a str>,
    pub(super) is_glob: bool,
    /// Whether it is a `self` in braces.
    pub(super) is_self: bool,
    /// How many of the path's names stand in the outermost braces.
    pub(super) in_braces: usize,
    pub(super) line: usize,
}

impl<'a> Leaf<'a> {
    /// The name by which the file knows it.
    pub(super) fn name(&self) -> Option<&'a str> {
        match self.is_glob {
            true => None,
            false => self.rename.or(self.path.last().copied()),
        }
    }
}

/// All `use` declarations, in order.
pub(super) fn uses<'a>(source: &Source<'a>) -> Vec<Use<'a>> {
    let mut uses = Vec::new();
    for at in (0..source.tokens.len()).filter(|at| source.is(*at, "use")) {
        // `impl Trait + use<'a>` is something else.
        if source.is(at + 1, "<") {
            continue;
        }
        let mut leaves = Vec::new();
        let end = tree(source, at + 1, &mut Vec::new(), None, &mut leaves);
        let start = start(source, at);
        let is_pub = source.tokens[start..at].iter().any(|token| token.is("pub"));
        uses.push(Use {
            is_pub,
            tokens: start..(end + 1).min(source.tokens.len()),
            tree: at + 1,
            before: start..at,
            leaves,
        });
    }
    uses
}

/// Goes back over `pub`, `pub(…)` and attributes.
fn start(source: &Source<'_>, at: usize) -> usize {
    let mut start = at;
    loop {
        let opens = |close: usize| (0..close).rev().find(|open| source.close(*open) == close);
        if start > 0 && source.is(start - 1, "pub") {
            start -= 1;
        } else if start > 0
            && source.is(start - 1, ")")
            && let Some(open) = opens(start - 1)
            && open > 0
            && source.is(open - 1, "pub")
        {
            start = open - 1;
        } else if start > 0
            && source.is(start - 1, "]")
            && let Some(open) = opens(start - 1)
            && open > 0
            && source.is(open - 1, "#")
        {
            start = open - 1;
        } else {
            return start;
        }
    }
}

/// Reads a tree, adds its leaves, and returns the token behind it.
fn tree<'a>(
    source: &Source<'a>,
    mut at: usize,
    path: &mut Vec<&'a str>,
    outermost: Option<usize>,
    leaves: &mut Vec<Leaf<'a>>,
) -> usize {
    let depth = path.len();
    let mut leaf = |path: &[&'a str], rename, is_glob, at: usize| {
        let is_self = path.last() == Some(&"self") && path.len() > 1;
        let path = if is_self { &path[..path.len() - 1] } else { path };
        let names = path.len() + usize::from(is_glob || is_self);
        let in_braces = outermost.map_or(0, |outside| names - outside);
        let line = source.tokens.get(at).map_or(0, |token| token.line);
        leaves.push(Leaf { path: path.to_vec(), rename, is_glob, is_self, in_braces, line });
    };
    while at < source.tokens.len() {
        if source.is(at, "{") {
            let close = source.close(at);
            let outside = outermost.or(Some(path.len()));
            at += 1;
            while at < close {
                at = tree(source, at, path, outside, leaves);
                at += usize::from(source.is(at, ","));
            }
            path.truncate(depth);
            return close + 1;
        }
        if source.is(at, "*") {
            leaf(path, None, true, at);
            path.truncate(depth);
            return at + 1;
        }
        if source.is(at, "::") || source.is(at, "$") {
            at += 1;
            continue;
        }
        let Some(name) = source.ident(at) else { break };
        path.push(name);
        at += 1;
        if !source.is(at, "::") {
            let rename = source.is(at, "as").then(|| source.ident(at + 1)).flatten();
            leaf(path, rename, false, at - 1);
            path.truncate(depth);
            return if source.is(at, "as") { at + 2 } else { at };
        }
    }
    path.truncate(depth);
    // Not a tree, as in a macro's pattern: do not stand still.
    at + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(text: &str) -> Vec<String> {
        let source = Source::new("a.rs", text);
        let uses = uses(&source);
        let leaves = uses.iter().flat_map(|one| &one.leaves);
        let leaves = leaves.map(|l| format!("{}{}", l.path.join("::"), if l.is_glob { "::*" } else { "" }));
        leaves.collect()
    }

    #[test]
    fn trees_are_taken_apart() {
        assert_eq!(
            leaves("use a::{b, c::{self, d as e}, f::*}; pub(crate) use g; use ::h::i;"),
            ["a::b", "a::c", "a::c::d", "a::f::*", "g", "h::i"]
        );
        assert_eq!(leaves("fn f() -> impl X + use<'a> {} use a::b;"), ["a::b"]);
    }

    #[test]
    fn what_stands_before_belongs_to_it() {
        let source = Source::new("a.rs", "fn f() {} #[cfg(unix)] pub(in a::b) use c::d;");
        let uses = uses(&source);
        assert_eq!((uses[0].tokens.clone(), uses[0].before.clone()), (6..25, 6..20));
    }
}

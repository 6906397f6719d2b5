//! The commands and flags of our programs, read from where clap's derives declare them.

use super::lexer::Kind;
use super::source::Source;
use super::tree::Tree;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// A program, or a command of one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Command {
    /// Long flags, without `--`.
    pub(super) flags: BTreeSet<String>,
    pub(super) commands: BTreeMap<String, Command>,
    /// Whether what follows is handed to another program.
    pub(super) passes_on: bool,
}

impl Command {
    /// The program whose source lies in a folder; `None` if no type there derives `Parser`.
    pub(super) fn read(tree: &Tree<'_>, folder: &str) -> Option<Self> {
        let files = tree.rust().filter(|(file, _)| file.path.starts_with(folder));
        let declared: Vec<Declared<'_>> = files.flat_map(|(_, source)| declared(source)).collect();
        let types: BTreeMap<&str, &Declared<'_>> = declared.iter().map(|one| (one.name, one)).collect();
        let parsers = declared.iter().filter(|one| one.is_parser);
        let mut program = Command::default();
        let mut found = false;
        for parser in parsers {
            found = true;
            program.extend(&types, parser, 0);
        }
        program.flags.extend(["help".to_owned(), "version".to_owned()]);
        found.then_some(program)
    }

    fn extend(&mut self, types: &BTreeMap<&str, &Declared<'_>>, declared: &Declared<'_>, depth: usize) {
        // A type that holds itself is no command line.
        if depth > 8 {
            return;
        }
        self.fields(types, &declared.fields, depth);
        for variant in &declared.variants {
            let mut command = Command::default();
            command.fields(types, &variant.fields, depth);
            // A newtype variant: the type has the fields, or is a further choice.
            for name in &variant.of {
                if let Some(inner) = types.get(name) {
                    command.extend(types, inner, depth + 1);
                }
            }
            command.flags.insert("help".into());
            self.commands.insert(variant.name.clone(), command);
        }
    }

    fn fields(&mut self, types: &BTreeMap<&str, &Declared<'_>>, fields: &[Field<'_>], depth: usize) {
        for field in fields {
            self.flags.extend(field.flag.clone());
            self.passes_on |= field.passes_on;
            for inner in field.includes.iter().filter_map(|name| types.get(name)) {
                self.extend(types, inner, depth + 1);
            }
        }
    }

    /// All flags, those of commands included.
    pub(super) fn all_flags(&self) -> BTreeSet<&str> {
        let own = self.flags.iter().map(String::as_str);
        own.chain(self.commands.values().flat_map(Command::all_flags)).collect()
    }
}

/// A type with one of clap's derives.
struct Declared<'a> {
    name: &'a str,
    is_parser: bool,
    fields: Vec<Field<'a>>,
    variants: Vec<Variant<'a>>,
}

struct Variant<'a> {
    name: String,
    fields: Vec<Field<'a>>,
    /// The names in the types of a tuple variant.
    of: Vec<&'a str>,
}

struct Field<'a> {
    flag: Option<String>,
    /// The names in the type of a field that is flattened or a subcommand.
    includes: Vec<&'a str>,
    passes_on: bool,
}

fn declared<'a>(source: &Source<'a>) -> Vec<Declared<'a>> {
    let mut all = Vec::new();
    for at in 0..source.tokens.len() {
        let Some(open) = source.attribute(at) else { continue };
        let derive = &source.tokens[open + 1..source.close(open)];
        let derives = |name: &str| derive.iter().any(|token| token.is(name));
        if !derive.first().is_some_and(|token| token.is("derive"))
            || !["Parser", "Subcommand", "Args"].iter().any(|name| derives(name))
        {
            continue;
        }
        let mut item = at;
        while let Some(open) = source.attribute(item) {
            item = source.close(open) + 1;
        }
        item = source.after_visibility(item);
        let Some(name) = source.ident(item + 1) else { continue };
        let Some(open) = (item..source.tokens.len()).find(|at| source.is(*at, "{") || source.is(*at, ";"))
        else {
            continue;
        };
        let inside = open + 1..source.close(open);
        let mut one =
            Declared { name, is_parser: derives("Parser"), fields: Vec::new(), variants: Vec::new() };
        if source.is(open, "{") && source.is(item, "enum") {
            one.variants = members(source, inside).into_iter().map(|m| variant(source, m)).collect();
        } else if source.is(open, "{") {
            one.fields = members(source, inside).into_iter().map(|m| field(source, m)).collect();
        }
        all.push(one);
    }
    all
}

/// Fields or variants: what stands between commas.
fn members(source: &Source<'_>, inside: Range<usize>) -> Vec<Range<usize>> {
    let mut members = Vec::new();
    let (mut start, mut at, mut depth) = (inside.start, inside.start, 0_usize);
    while at < inside.end {
        if source.is(at, "<") {
            depth += 1;
        } else if source.is(at, ">") {
            depth = depth.saturating_sub(1);
        } else if source.is(at, ",") && depth == 0 {
            members.push(start..at);
            start = at + 1;
        }
        at = source.close(at) + 1;
    }
    members.push(start..inside.end);
    members.retain(|member| !member.is_empty());
    members
}

/// The attributes of a member as ranges, and where it goes on.
fn attributes(source: &Source<'_>, member: &Range<usize>) -> (Vec<Range<usize>>, usize) {
    let mut attributes = Vec::new();
    let mut at = member.start;
    while let Some(open) = source.attribute(at) {
        attributes.push(open + 1..source.close(open));
        at = source.close(open) + 1;
    }
    (attributes, source.after_visibility(at))
}

/// The string that is given to `key` in attributes, as in `name = "x"`.
fn given<'a>(source: &Source<'a>, attributes: &[Range<usize>], key: &str) -> Option<&'a str> {
    let mut all = attributes.iter().flat_map(Clone::clone);
    let at = all.find(|at| source.is(*at, key) && source.is(*at + 1, "="))?;
    Some(source.tokens[at + 2]).filter(|token| token.kind == Kind::Str).map(|token| token.text)
}

fn variant<'a>(source: &Source<'a>, member: Range<usize>) -> Variant<'a> {
    let (attributes, at) = attributes(source, &member);
    let own = source.ident(at).unwrap_or_default();
    let name = given(source, &attributes, "name").map_or_else(|| kebab(own), str::to_owned);
    let inside = at + 2..source.close((at + 1).min(source.tokens.len() - 1));
    let mut variant = Variant { name, fields: Vec::new(), of: Vec::new() };
    if source.is(at + 1, "{") {
        variant.fields = members(source, inside).into_iter().map(|m| field(source, m)).collect();
    } else if source.is(at + 1, "(") {
        variant.of = inside.filter_map(|at| source.ident(at)).collect();
    }
    variant
}

fn field<'a>(source: &Source<'a>, member: Range<usize>) -> Field<'a> {
    let (attributes, at) = attributes(source, &member);
    let has = |word: &str| attributes.iter().flat_map(Clone::clone).any(|at| source.is(at, word));
    let own = source.ident(at).unwrap_or_default();
    let flag = has("long")
        .then(|| given(source, &attributes, "long").map_or_else(|| own.replace('_', "-"), str::to_owned));
    let includes = match has("flatten") || has("subcommand") {
        true => (at + 1..member.end).filter_map(|at| source.ident(at)).collect(),
        false => Vec::new(),
    };
    Field { flag, includes, passes_on: has("trailing_var_arg") }
}

fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.extend(c.to_lowercase());
    }
    kebab
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_from_several_files() {
        let tree = Tree::new([
            (
                "core/cli/src/arguments.rs",
                "#[derive(Debug, Parser)]\n#[command(name = \"efference\")]\npub struct Cli {\n #[command(subcommand)]\n\
                 pub command: Command }\n#[derive(Subcommand)] enum Command { /// Runs.\n Run(run::Options), \
                 FirstDiff { #[arg(long, value_name = \"N\")] warm_up: u64, #[arg(trailing_var_arg = true)] rest: Vec<A, B> },\
                 #[command(name = \"ls\")] List, Plugins { #[command(subcommand)] what: Option<What>, #[arg(long = \"dir\", \
                 global = true)] path: Vec<PathBuf> } }\n#[derive(Subcommand)] enum What { Show { name: String } }",
            ),
            (
                "core/cli/src/commands/run.rs",
                "#[derive(Args)] pub struct Options { #[command(flatten)] pub spec: SpecArgs, #[arg(long)] runs: PathBuf }\n\
                 #[derive(clap::Args)] struct SpecArgs { file: PathBuf, #[arg(long)] set: Vec<String> }",
            ),
        ]);
        let program = Command::read(&tree, "core/cli/src/").unwrap();
        assert_eq!(program.commands.keys().collect::<Vec<_>>(), ["first-diff", "ls", "plugins", "run"]);
        let flags = |name: &str| program.commands[name].flags.iter().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(flags("run"), "help runs set");
        assert_eq!(flags("first-diff"), "help warm-up");
        assert!(program.commands["first-diff"].passes_on && !program.commands["run"].passes_on);
        assert_eq!(flags("plugins"), "dir help");
        assert_eq!(program.commands["plugins"].commands.keys().collect::<Vec<_>>(), ["show"]);
        assert_eq!(Command::read(&tree, "core/other/"), None);
    }
}

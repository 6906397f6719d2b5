//! What lies where in the structs of the boundary, read from their declarations in `core/abi`.

use super::lexer::{Kind, Token};
use super::source::Source;
use super::tree::Tree;
use std::collections::BTreeMap;
use std::ops::Range;

const FOLDER: &str = "core/abi/src/";

/// A struct, an enum or the constants of the boundary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// Such as `struct Frame`.
    pub(super) heading: String,
    /// Its fields, or values, in order.
    pub(super) lines: Vec<String>,
    /// Where it is declared.
    pub(super) file: String,
    /// On which line.
    pub(super) line: usize,
}

/// The boundary's number, and all that crosses it, by heading.
pub(super) fn read(tree: &Tree<'_>) -> (Option<String>, BTreeMap<String, Item>) {
    let mut declared = Declared::default();
    for (file, source) in tree.rust().filter(|(file, _)| file.path.starts_with(FOLDER)) {
        declared.read(file.path, source);
    }
    let number = declared.constants.get("ABI_VERSION").cloned();
    (number, declared.items())
}

/// A type, as its tokens without names of arguments.
type Type = Vec<String>;

struct Struct {
    fields: Vec<(String, Type)>,
    file: String,
    line: usize,
}

#[derive(Default)]
struct Declared {
    structs: BTreeMap<String, Struct>,
    enums: BTreeMap<String, Item>,
    /// Types that are others: `Status` is `i32`.
    aliases: BTreeMap<String, Type>,
    constants: BTreeMap<String, String>,
    /// Those of a type, as `Role::SEEN`, and those of the boundary, but for its number.
    numbers: BTreeMap<String, Item>,
}

impl Declared {
    fn read(&mut self, file: &str, source: &Source<'_>) {
        let mut of = String::new();
        let mut until = 0;
        for at in 0..source.tokens.len() {
            if at > until {
                of.clear();
            }
            let line = source.tokens[at].line;
            let Some(name) = source.ident(at + 1) else { continue };
            match source.tokens[at].text {
                "impl" => {
                    let open = (at..source.tokens.len()).find(|at| source.is(*at, "{")).unwrap_or(at);
                    (of, until) = (name.to_owned(), source.close(open));
                }
                "struct" => {
                    let open =
                        (at..source.tokens.len()).find(|at| source.is(*at, "{") || source.is(*at, "("));
                    let Some(open) = open else { continue };
                    let within = open + 1..source.close(open);
                    let fields = match source.is(open, "{") {
                        true => fields(source, within),
                        // A number under a name.
                        false => vec![("0".to_owned(), plain(&source.tokens[within.start + 1..within.end]))],
                    };
                    self.structs.insert(name.to_owned(), Struct { fields, file: file.to_owned(), line });
                }
                "enum" if source.is(at + 2, "{") => {
                    let within = &source.tokens[at + 3..source.close(at + 2)];
                    let values = within.split(|token| token.is(",")).filter_map(|value| {
                        let [.., name, _, number] = value else { return None };
                        Some(format!("{} = {}", name.text, number.text))
                    });
                    let heading = format!("enum {name}");
                    let lines = values.collect();
                    self.enums.insert(heading.clone(), Item { heading, lines, file: file.to_owned(), line });
                }
                "type" if source.is(at + 2, "=") => {
                    self.aliases.insert(name.to_owned(), plain(until_semicolon(source, at + 3)));
                }
                "const" if source.is(at + 2, ":") => {
                    let tokens = until_semicolon(source, at + 3);
                    let Some(equals) = tokens.iter().position(|token| token.is("=")) else { continue };
                    let value = &tokens[equals + 1..];
                    // Lists and empty structs are for those who write in Rust, and grow.
                    if value
                        .iter()
                        .any(|token| token.is("{") || token.is("&") || token.is("[") || token.is("::"))
                    {
                        continue;
                    }
                    let value: String = value.iter().map(written).collect();
                    self.constant(&of, name, value, file, line);
                }
                _ => {}
            }
        }
    }

    fn constant(&mut self, of: &str, name: &str, value: String, file: &str, line: usize) {
        if of.is_empty() {
            self.constants.insert(name.to_owned(), value.clone());
        }
        if name == "ABI_VERSION" {
            return;
        }
        let heading = if of.is_empty() { "constants".to_owned() } else { format!("constants of {of}") };
        let empty = Item { heading: heading.clone(), lines: Vec::new(), file: file.to_owned(), line };
        self.numbers.entry(heading).or_insert(empty).lines.push(format!("{name} = {value}"));
    }

    fn items(&self) -> BTreeMap<String, Item> {
        let structs = self.structs.iter().map(|(name, Struct { fields, file, line })| {
            let mut offset = 0;
            let lines = fields.iter().map(|(field, kind)| {
                let (size, align) = self.size(kind, 0);
                let at = offset_of(offset, align);
                offset = at + size;
                format!("{at} {field}: {}", kind.join(" "))
            });
            let (heading, lines) = (format!("struct {name}"), lines.collect());
            (heading.clone(), Item { heading, lines, file: file.clone(), line: *line })
        });
        let mut all: BTreeMap<String, Item> = structs.collect();
        all.extend(self.enums.clone());
        all.extend(self.numbers.clone());
        all
    }

    /// Size and alignment of a type on a machine of 64 bits.
    fn size(&self, kind: &[String], depth: usize) -> (usize, usize) {
        const WORD: (usize, usize) = (8, 8);
        let first = kind.first().map_or("", String::as_str);
        match first {
            // A pointer, or a function.
            "*" | "unsafe" | "Option" => WORD,
            "usize" | "u64" | "i64" | "f64" => WORD,
            "u32" | "i32" | "f32" => (4, 4),
            "u8" | "bool" => (1, 1),
            "[" => {
                let (size, align) = self.size(&kind[1..2], depth);
                let count = kind.get(3).map_or("", String::as_str);
                let count = self.constants.get(count).map_or(count, String::as_str);
                (size * count.parse::<usize>().unwrap_or(0), align)
            }
            _ if depth > 8 => WORD,
            name => match (self.structs.get(name), self.aliases.get(name)) {
                (Some(inner), _) => {
                    let sizes = inner.fields.iter().map(|(_, kind)| self.size(kind, depth + 1));
                    let (end, most) = sizes.fold((0, 1), |(end, most), (size, align)| {
                        (offset_of(end, align) + size, most.max(align))
                    });
                    (offset_of(end, most), most)
                }
                (None, Some(other)) => self.size(other, depth + 1),
                // An enum is a `u32`.
                (None, None) => (4, 4),
            },
        }
    }
}

/// The next place at or behind `end` that is aligned.
fn offset_of(end: usize, align: usize) -> usize {
    end.div_ceil(align) * align
}

/// Names and types of the fields between braces.
fn fields(source: &Source<'_>, within: Range<usize>) -> Vec<(String, Type)> {
    let mut fields = Vec::new();
    let mut at = within.start;
    while at < within.end {
        match source.attribute(at) {
            Some(open) => at = source.close(open) + 1,
            None if source.is(at + 1, ":") => {
                let (mut end, mut angles) = (at + 2, 0);
                while end < within.end && !(angles == 0 && source.is(end, ",")) {
                    let is_arrow = source.is(end, ">") && source.is(end - 1, "-");
                    angles += i32::from(source.is(end, "<")) - i32::from(source.is(end, ">") && !is_arrow);
                    end = source.close(end) + 1;
                }
                let name = source.ident(at).unwrap_or_default().to_owned();
                fields.push((name, plain(&source.tokens[at + 2..end.min(within.end)])));
                at = end + 1;
            }
            None => at += 1,
        }
    }
    fields
}

fn until_semicolon<'s, 'a>(source: &'s Source<'a>, from: usize) -> &'s [Token<'a>] {
    let end = (from..source.tokens.len()).find(|at| source.is(*at, ";")).unwrap_or(from);
    // That of an array stands within its brackets.
    let array = (from..end).find(|at| source.is(*at, "[") && source.close(*at) > end);
    let end = array.map_or(end, |open| {
        let close = source.close(open);
        (close..source.tokens.len()).find(|at| source.is(*at, ";")).unwrap_or(close)
    });
    &source.tokens[from..end]
}

/// A type's tokens; arguments by their types alone, since what they are called is nobody's.
fn plain(tokens: &[Token<'_>]) -> Type {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let is_name = tokens[at].kind == Kind::Ident && tokens.get(at + 1).is_some_and(|next| next.is(":"));
        let is_last_comma =
            tokens[at].is(",") && tokens.get(at + 1).is_some_and(|next| next.is(")") || next.is(">"));
        match () {
            () if is_name => at += 2,
            () if is_last_comma => at += 1,
            () => {
                kept.push(written(&tokens[at]));
                at += 1;
            }
        }
    }
    kept
}

fn written(token: &Token<'_>) -> String {
    match token.kind {
        Kind::Str => format!("{:?}", token.text),
        _ => token.text.to_owned(),
    }
}

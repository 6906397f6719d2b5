//! The boundary only grows: what `core/abi/layout.txt` says of it stays so within one number.

use super::layout::{Item, read};
use super::tree::Tree;
use super::violation::Violation;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The boundary as it was.
pub(super) const LAYOUT: &str = "core/abi/layout.txt";
const APPEND: &str = "`cargo xtask tidy abi --fix` appends it to core/abi/layout.txt; from then on it stays";
const BREAKS: &str = "a plugin that was built before would no longer fit. Append instead; if that cannot be, raise ABI_VERSION (see the \
                      book's page on the boundary)";

const HEAD: &str = "\
# What lies where in the boundary, on machines of 64 bits: to this may be appended, and nothing else changed. Written by
# `cargo xtask tidy abi --fix`, which refuses to do more than append within one number.
";

pub(super) fn check(tree: &Tree<'_>) -> Vec<Violation> {
    let (number, declared) = read(tree);
    let Some(number) = number else { return Vec::new() };
    let recorded = tree.files.iter().find(|file| file.path == LAYOUT).map(|file| parse(file.text));
    let at_layout = |message: String| Violation {
        file: LAYOUT.into(),
        line: 1,
        message,
        help: "`cargo xtask tidy abi --fix` writes it".into(),
    };
    match recorded {
        None => vec![at_layout("the layout of the boundary is not recorded".into())],
        Some((said, _)) if said != number => {
            vec![at_layout(format!(
                "this is the layout of boundary {said}, and the boundary is {number} now"
            ))]
        }
        Some((_, recorded)) => {
            let (mut broken, grown) = compare(&recorded, &declared);
            broken.extend(grown);
            broken
        }
    }
}

/// The layout as it is to be recorded, if that is another one and breaks nothing.
pub(super) fn fix(tree: &Tree<'_>) -> Option<String> {
    let (number, declared) = read(tree);
    let number = number?;
    let file = tree.files.iter().find(|file| file.path == LAYOUT);
    if let Some((said, recorded)) = file.map(|file| parse(file.text))
        && said == number
        && !compare(&recorded, &declared).0.is_empty()
    {
        return None;
    }
    let mut text = format!("{HEAD}\nboundary {number}\n");
    for item in declared.values() {
        let _ = write!(text, "\n{}\n", item.heading);
        item.lines.iter().for_each(|line| text += &format!("    {line}\n"));
    }
    (file.is_none_or(|file| file.text != text)).then_some(text)
}

/// The number, and each heading's lines.
fn parse(text: &str) -> (String, BTreeMap<String, Vec<String>>) {
    let (mut number, mut items) = (String::new(), BTreeMap::<String, Vec<String>>::new());
    let mut heading = String::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        if let Some(said) = line.strip_prefix("boundary ") {
            number = said.to_owned();
        } else if let Some(field) = line.strip_prefix("    ") {
            items.entry(heading.clone()).or_default().push(field.to_owned());
        } else {
            heading = line.to_owned();
            items.entry(heading.clone()).or_default();
        }
    }
    (number, items)
}

/// What breaks the recorded layout, and what was appended to it.
fn compare(
    recorded: &BTreeMap<String, Vec<String>>,
    declared: &BTreeMap<String, Item>,
) -> (Vec<Violation>, Vec<Violation>) {
    let (mut broken, mut grown) = (Vec::new(), Vec::new());
    for (heading, before) in recorded {
        let Some(item) = declared.get(heading) else {
            let message = format!("`{heading}` of the boundary is gone");
            broken.push(Violation { file: LAYOUT.into(), line: 1, message, help: BREAKS.into() });
            continue;
        };
        let violation = |message: String, help: &str| {
            let file = item.file.clone();
            Violation { file, line: item.line, message, help: help.into() }
        };
        if let Some((was, is)) = before.iter().zip(&item.lines).find(|(was, is)| was != is) {
            broken.push(violation(format!("`{heading}`: `{was}` has become `{is}`"), BREAKS));
        } else if let Some(lost) = before.get(item.lines.len()) {
            broken.push(violation(format!("`{heading}`: `{lost}` is gone"), BREAKS));
        } else if let Some(new) = item.lines.get(before.len()) {
            match may_grow(heading, before, new) {
                Ok(()) => grown.push(violation(format!("`{heading}` has the new `{new}`"), APPEND)),
                Err(why) => broken.push(violation(format!("`{heading}` has the new `{new}`, {why}"), BREAKS)),
            }
        }
    }
    for item in declared.values().filter(|item| !recorded.contains_key(&item.heading)) {
        let (file, line) = (item.file.clone(), item.line);
        let message = format!("`{}` of the boundary is new", item.heading);
        grown.push(Violation { file, line, message, help: APPEND.into() });
    }
    (broken, grown)
}

/// Why something cannot be appended.
fn may_grow(heading: &str, before: &[String], new: &str) -> Result<(), &'static str> {
    if !heading.starts_with("struct ") {
        return Ok(());
    }
    if before.first().is_none_or(|first| first != "0 size: usize") {
        return Err(
            "and does not begin with its size: whoever made one with the old layout would be misread",
        );
    }
    if new.contains(": unsafe extern") {
        return Err("which is no `Option`: those who were built before do not have it");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "pub const ABI_VERSION: u32 = 2;\npub const OK: Status = 0;\npub type Status = i32;\n\
        #[repr(transparent)] pub struct Role(pub u8);\nimpl Role { pub const SEEN: Role = Role(1); }\n\
        #[repr(C)] pub struct Str { pub ptr: *const u8, pub len: usize }\n\
        #[repr(C)] pub struct Table { pub size: usize, pub role: Role, pub name: Str, pub room: [u8; 16],\n\
            /// Calls.\n    pub call: unsafe extern \"C\" fn(this_: *mut c_void, x: Str,) -> Status,\n}\n\
        #[repr(u32)] pub enum Kind { A = 1, /** B */ B = 2, }\n";

    fn layout(text: &str) -> String {
        fix(&Tree::new([("core/abi/src/lib.rs", text)])).unwrap()
    }

    /// What is said of a change, and whether `--fix` would record it.
    fn changed(from: &str, to: &str) -> (Vec<String>, bool) {
        assert!(BEFORE.contains(from), "{from}");
        let (before, after) = (layout(BEFORE), BEFORE.replace(from, to));
        let tree = Tree::new([("core/abi/src/lib.rs", after.as_str()), (LAYOUT, &before)]);
        (check(&tree).into_iter().map(|violation| violation.message).collect(), fix(&tree).is_some())
    }

    #[test]
    fn the_layout_is_that_of_a_machine_of_64_bits() {
        let expected = "\nboundary 2\n\nconstants\n    OK = 0\n\nconstants of Role\n    SEEN = Role(1)\n\nenum Kind\n    A = 1\n    \
            B = 2\n\nstruct Role\n    0 0: u8\n\nstruct Str\n    0 ptr: * const u8\n    8 len: usize\n\nstruct Table\n    \
            0 size: usize\n    8 role: Role\n    16 name: Str\n    32 room: [ u8 ; 16 ]\n    \
            48 call: unsafe extern \"C\" fn ( * mut c_void , Str ) - > Status\n";
        assert_eq!(layout(BEFORE).strip_prefix(HEAD), Some(expected));
        assert_eq!(changed("this_: *mut c_void", "object: *mut c_void"), (vec![], false));
    }

    #[test]
    fn what_is_appended_is_to_be_recorded() {
        for (from, to, message) in [
            (
                "-> Status,\n}",
                "-> Status,\n pub more: Option<unsafe extern \"C\" fn() -> Status>,\n}",
                "`struct Table` has the new `56 more: Option < unsafe extern \"C\" fn ( ) - > Status >`",
            ),
            ("B = 2,", "B = 2, C = 3,", "`enum Kind` has the new `C = 3`"),
            (
                "pub const OK",
                "pub struct New { pub size: usize }\npub const OK",
                "`struct New` of the boundary is new",
            ),
        ] {
            assert_eq!(changed(from, to), (vec![message.to_owned()], true), "{to}");
        }
        let (said, is_written) = changed("u32 = 2", "u32 = 3");
        assert_eq!(said, ["this is the layout of boundary 2, and the boundary is 3 now"]);
        assert!(is_written);
    }

    #[test]
    fn what_breaks_the_boundary_is_refused_and_never_recorded() {
        for (from, to, message) in [
            ("pub len: usize }", "pub len: u32 }", "`struct Str`: `8 len: usize` has become `8 len: u32`"),
            ("pub name: Str, ", "", "`struct Table`: `16 name: Str` has become `9 room: [ u8 ; 16 ]`"),
            (
                ", x: Str",
                "",
                "`struct Table`: `48 call: unsafe extern \"C\" fn ( * mut c_void , Str ) - > Status` has become \
                `48 call: unsafe extern \"C\" fn ( * mut c_void ) - > Status`",
            ),
            ("A = 1", "A = 3", "`enum Kind`: `A = 1` has become `A = 3`"),
            ("Role(1)", "Role(2)", "`constants of Role`: `SEEN = Role(1)` has become `SEEN = Role(2)`"),
            ("B = 2, ", "", "`enum Kind`: `B = 2` is gone"),
            ("pub struct Str", "pub struct Text", "`struct Str` of the boundary is gone"),
            (
                "pub len: usize }",
                "pub len: usize, pub kind: u32 }",
                "`struct Str` has the new `16 kind: u32`, and does not begin with its size: whoever made one with the old \
                 layout would be misread",
            ),
            (
                "-> Status,\n}",
                "-> Status,\n pub more: unsafe extern \"C\" fn() -> Status,\n}",
                "`struct Table` has the new `56 more: unsafe extern \"C\" fn ( ) - > Status`, which is no `Option`: those who \
                 were built before do not have it",
            ),
        ] {
            let (said, is_written) = changed(from, to);
            assert!(said.contains(&message.to_owned()), "{said:?} for {to}");
            assert!(!is_written, "{to}");
        }
    }
}

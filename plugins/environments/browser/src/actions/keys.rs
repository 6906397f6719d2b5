//! The keys of a keyboard: their names in `KeyboardEvent.key`, and what else a page learns of them.
use efference_sdk::{Error, Result};
use std::borrow::Cow;

/// A key of a keyboard as they are made for the United States.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// As in `KeyboardEvent.key`.
    pub(crate) name: &'static str,
    /// As in `KeyboardEvent.code`: where it is on the keyboard.
    pub(crate) code: Cow<'static, str>,
    /// As in `KeyboardEvent.keyCode`.
    pub(crate) number: u8,
    /// What it types; empty: nothing.
    pub(crate) text: &'static str,
}

/// Keys that are called by a name: name, place, number, text.
const NAMED: &[(&str, &str, u8, &str)] = &[
    ("Backspace", "Backspace", 8, ""),
    ("Tab", "Tab", 9, ""),
    ("Enter", "Enter", 13, "\r"),
    ("Shift", "ShiftLeft", 16, ""),
    ("Control", "ControlLeft", 17, ""),
    ("Alt", "AltLeft", 18, ""),
    ("Escape", "Escape", 27, ""),
    ("PageUp", "PageUp", 33, ""),
    ("PageDown", "PageDown", 34, ""),
    ("End", "End", 35, ""),
    ("Home", "Home", 36, ""),
    ("ArrowLeft", "ArrowLeft", 37, ""),
    ("ArrowUp", "ArrowUp", 38, ""),
    ("ArrowRight", "ArrowRight", 39, ""),
    ("ArrowDown", "ArrowDown", 40, ""),
    ("Insert", "Insert", 45, ""),
    ("Delete", "Delete", 46, ""),
    ("F1", "F1", 112, ""),
    ("F2", "F2", 113, ""),
    ("F3", "F3", 114, ""),
    ("F4", "F4", 115, ""),
    ("F5", "F5", 116, ""),
    ("F6", "F6", 117, ""),
    ("F7", "F7", 118, ""),
    ("F8", "F8", 119, ""),
    ("F9", "F9", 120, ""),
    ("F10", "F10", 121, ""),
    ("F11", "F11", 122, ""),
    ("F12", "F12", 123, ""),
];

/// Keys that type a sign: without and with Shift, place, number.
const SIGNS: &[(&str, &str, u8)] = &[
    ("1!", "Digit1", 49),
    ("2@", "Digit2", 50),
    ("3#", "Digit3", 51),
    ("4$", "Digit4", 52),
    ("5%", "Digit5", 53),
    ("6^", "Digit6", 54),
    ("7&", "Digit7", 55),
    ("8*", "Digit8", 56),
    ("9(", "Digit9", 57),
    ("0)", "Digit0", 48),
    ("  ", "Space", 32),
    (";:", "Semicolon", 186),
    ("=+", "Equal", 187),
    (",<", "Comma", 188),
    ("-_", "Minus", 189),
    (".>", "Period", 190),
    ("/?", "Slash", 191),
    ("`~", "Backquote", 192),
    ("[{", "BracketLeft", 219),
    ("\\|", "Backslash", 220),
    ("]}", "BracketRight", 221),
    ("'\"", "Quote", 222),
];

const SMALL: &str = "abcdefghijklmnopqrstuvwxyz";
const LARGE: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// The key of this name, or what is wrong with the name.
pub(crate) fn named(name: &str) -> Result<Key> {
    find(name).ok_or_else(|| {
        let message = format!("there is no key {name:?}");
        Error::msg(match nearest(name) {
            Some(near) => format!("{message}; did you mean {near:?}?"),
            None => format!(
                "{message}; keys are the signs of a keyboard, like \"a\", \"A\", \"1\" or \" \", and {}",
                NAMED.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(", ")
            ),
        })
    })
}

fn find(name: &str) -> Option<Key> {
    if let Some((name, code, number, text)) = NAMED.iter().find(|(named, ..)| *named == name) {
        return Some(Key { name, code: Cow::Borrowed(code), number: *number, text });
    }
    let letter = |letters: &'static str| letters.find(name).map(|at| (at, &letters[at..=at]));
    if name.len() != 1 {
        return None;
    }
    if let Some((at, text)) = letter(SMALL).or_else(|| letter(LARGE)) {
        let large = LARGE.as_bytes()[at];
        return Some(Key {
            name: text,
            code: format!("Key{}", char::from(large)).into(),
            number: large,
            text,
        });
    }
    SIGNS.iter().find_map(|(signs, code, number)| {
        let at = signs.find(name)?;
        let text = &signs[at..=at];
        Some(Key { name: text, code: Cow::Borrowed(code), number: *number, text })
    })
}

/// The name that was meant, it seems.
fn nearest(name: &str) -> Option<&'static str> {
    // What people call keys that are called otherwise.
    let also = [
        ("space", " "),
        ("spacebar", " "),
        ("return", "Enter"),
        ("esc", "Escape"),
        ("ctrl", "Control"),
        ("del", "Delete"),
        ("up", "ArrowUp"),
        ("down", "ArrowDown"),
        ("left", "ArrowLeft"),
        ("right", "ArrowRight"),
    ];
    let known = NAMED.iter().map(|(name, ..)| (name.to_lowercase(), *name));
    let names = known.chain(also.map(|(other, name)| (other.to_owned(), name)));
    crate::nearest::nearest(name, names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_printable_sign_and_every_name_is_a_key() {
        for sign in ' '..='~' {
            let key = named(&sign.to_string()).unwrap();
            assert_eq!((key.name, key.text), (&*sign.to_string(), &*sign.to_string()));
        }
        // As the UI Events standard lists them.
        for (name, code, number) in [
            ("a", "KeyA", 65),
            ("Z", "KeyZ", 90),
            ("!", "Digit1", 49),
            ("_", "Minus", 189),
            ("Enter", "Enter", 13),
        ] {
            let key = named(name).unwrap();
            assert_eq!((&*key.code, key.number), (code, number), "{name}");
        }
    }

    #[test]
    fn unknown_names_are_refused_with_the_nearest() {
        for (name, near) in [
            ("Entr", "Enter"),
            ("arrowleft", "ArrowLeft"),
            ("Space", " "),
            ("Esc", "Escape"),
            ("left", "ArrowLeft"),
        ] {
            let error = named(name).unwrap_err().to_string();
            assert_eq!(error, format!("there is no key {name:?}; did you mean {near:?}?"));
        }
        for name in ["", "é", "hello", "\u{1b}", "xy"] {
            let error = named(name).unwrap_err().to_string();
            assert!(error.contains("keys are the signs of a keyboard"), "{error}");
        }
    }
}

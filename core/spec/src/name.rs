//! The rule for the name of an experiment, which names the directory of its runs.

/// Most bytes of a name.
const LONGEST: usize = 100;

/// Checks that this can be the name of an experiment: letters, digits, `-`, `_` and `.`, beginning with none of `-`
/// and `.`, at most 100 bytes.
///
/// # Errors
/// What is wrong with it, to be put behind the words that name it: "is empty".
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        Err("is empty".into())
    } else if let Some(bad) = name.chars().find(|c| !is_valid(*c)) {
        Err(format!("can't have {bad:?} in it"))
    } else if name.starts_with(['.', '-']) {
        Err("can't begin with a point or a dash".into())
    } else if name.len() > LONGEST {
        Err(format!("can't be longer than {LONGEST} letters"))
    } else {
        Ok(())
    }
}

/// A valid name as near to this text as there is one.
pub(super) fn nearest_name(text: &str) -> String {
    let name: String = text.chars().map(|c| if is_valid(c) { c } else { '-' }).take(LONGEST).collect();
    let name = name.trim_start_matches(['.', '-']);
    if name.is_empty() { "experiment".into() } else { name.into() }
}

fn is_valid(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["", "..", "../x", "a/b", ".hidden", "-rf", "a\nb", "a\0b", "a b", "é", &"n".repeat(101)]
        {
            assert!(check_name(name).is_err(), "{name:?}");
            assert_eq!(check_name(&nearest_name(name)), Ok(()), "{name:?}");
        }
        for name in ["first-light", "a.b_C-9", &"n".repeat(100)] {
            assert_eq!(check_name(name), Ok(()));
            assert_eq!(nearest_name(name), name);
        }
    }
}

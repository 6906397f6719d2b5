//! Nothing names the machine or the folders where this is worked on: a reader has neither.

use super::tree::Tree;
use super::violation::Violation;

/// In pieces, since this file is looked at too.
const NAMES: [&str; 5] = [
    concat!("/wo", "rk/"),
    concat!(".lib", "rary"),
    concat!("../sh", "ared"),
    concat!("fa", "rm-"),
    concat!("/tmp/", "wt"),
];

pub(super) fn check(tree: &Tree<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in &tree.files {
        for (number, line) in file.text.lines().enumerate() {
            for name in NAMES.iter().filter(|name| names(line, name)) {
                violations.push(Violation {
                    file: file.path.into(),
                    line: number + 1,
                    message: format!("`{name}` names a place on one machine"),
                    help: "say it without the place, or name a file of this repository".into(),
                });
            }
        }
    }
    violations
}

/// Whether a place stands in a line by itself: `self.x` and `charm-x` are other words.
fn names(line: &str, place: &str) -> bool {
    let mut found = line.match_indices(place);
    found.any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_)]?".contains(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_on_one_machine_are_refused() {
        for name in NAMES {
            let text = format!("first\nsee {name}x\n");
            let found = check(&Tree::new([("README.md", text.as_str())]));
            assert_eq!(found.iter().map(|v| v.line).collect::<Vec<_>>(), [2], "{name}");
        }
        let fits = "self.library, the shared/ folder, network/x, a library, /tmp/x, a-farm\n";
        assert!(check(&Tree::new([("README.md", fits)])).is_empty());
    }
}

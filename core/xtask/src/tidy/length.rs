//! No file of code above 500 lines.

use super::tree::Tree;
use super::violation::Violation;

const MOST: usize = 500;

/// What a program writes, not a person.
const GENERATED: [&str; 1] = ["core/abi/include/efference.h"];

pub(super) fn check(tree: &Tree<'_>) -> Vec<Violation> {
    let long = tree
        .files
        .iter()
        .filter(|file| matches!(file.extension(), "rs" | "cpp" | "h") && !GENERATED.contains(&file.path));
    let long = long.map(|file| (file, file.text.lines().count())).filter(|(_, lines)| *lines > MOST);
    long.map(|(file, lines)| Violation {
        file: file.path.into(),
        line: MOST + 1,
        message: format!("the file has {lines} lines; {MOST} are the most"),
        help: "move one concern into a file of its own".into(),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_are_refused() {
        let (fits, long) = ("\n".repeat(500), "\n".repeat(501));
        let tree = Tree::new([
            ("core/x/src/fits.rs", fits.as_str()),
            ("core/x/src/long.rs", &long),
            ("core/x/src/long.cpp", &long),
            ("core/abi/include/efference.h", &long),
            ("Cargo.lock", &long),
            ("README.md", &long),
        ]);
        let found = check(&tree);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].file.as_str(), found[0].line), ("core/x/src/long.rs", 501));
        assert_eq!(found[1].file, "core/x/src/long.cpp");
    }
}

//! The name of a plugin that is made, in the ways in which languages write it.

/// Names that neither a crate nor a module of Python can have, or that their files use for something else.
const TAKEN: &[&str] = &[
    "abstract",
    "alloc",
    "and",
    "as",
    "assert",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "class",
    "const",
    "continue",
    "core",
    "crate",
    "def",
    "del",
    "deps",
    "do",
    "dyn",
    "efference-sdk",
    "efference-testkit",
    "elif",
    "else",
    "enum",
    "except",
    "extern",
    "false",
    "final",
    "finally",
    "fn",
    "for",
    "from",
    "gen",
    "global",
    "if",
    "impl",
    "import",
    "in",
    "is",
    "lambda",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "none",
    "nonlocal",
    "not",
    "or",
    "override",
    "pass",
    "priv",
    "proc-macro",
    "pub",
    "raise",
    "ref",
    "return",
    "self",
    "src",
    "static",
    "std",
    "struct",
    "super",
    "tch",
    "test",
    "torch-sys",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "union",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "with",
    "yield",
];

/// As it stands in templates.
const KEBAB: &str = "my-plugin";
const SNAKE: &str = "my_plugin";
const CAMEL: &str = "MyPlugin";

/// A name that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name(String);

impl Name {
    /// # Errors
    /// What a name is, in a sentence.
    pub(super) fn read(text: &str) -> Result<Name, String> {
        let in_place = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let rule =
            "a name is made of small letters, digits and single hyphens, and begins with a letter: my-layer";
        let is_name = text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.chars().all(in_place)
            && !text.ends_with('-')
            && !text.contains("--");
        if !is_name {
            let near = near(text).map_or(String::new(), |near| format!("; did you mean '{near}'?"));
            return Err(format!("'{text}' cannot be the name of a plugin{near} ({rule})"));
        }
        if text.len() > 48 {
            return Err(format!("'{text}' is too long for the name of a plugin: 48 letters are the most"));
        }
        if TAKEN.contains(&text) {
            return Err(format!(
                "'{text}' cannot be the name of a plugin, as Rust or Python use it for something else: my-{text} can"
            ));
        }
        Ok(Name(text.to_owned()))
    }

    /// `my-layer`
    pub(super) fn kebab(&self) -> &str {
        &self.0
    }

    /// `my_layer`
    fn snake(&self) -> String {
        self.0.replace('-', "_")
    }

    /// `MyLayer`
    fn camel(&self) -> String {
        let capital = |word: &str| {
            let mut letters = word.chars();
            letters
                .next()
                .map_or(String::new(), |first| first.to_ascii_uppercase().to_string() + letters.as_str())
        };
        self.0.split('-').map(capital).collect()
    }

    /// The text of a template with this name in it.
    pub(super) fn put(&self, template: &str) -> String {
        let mut camel = self.camel();
        // A layer that is called `layer` is no trait of the SDK.
        while template.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == camel) {
            camel += "Plugin";
        }
        template.replace(KEBAB, &self.0).replace(SNAKE, &self.snake()).replace(CAMEL, &camel)
    }
}

/// What may have been meant.
fn near(text: &str) -> Option<String> {
    let mut near = String::new();
    for c in text.chars() {
        if c.is_ascii_uppercase() && near.ends_with(|last: char| last.is_ascii_lowercase()) {
            near.push('-');
        }
        match c {
            c if c.is_ascii_alphanumeric() => near.push(c.to_ascii_lowercase()),
            _ if !near.is_empty() && !near.ends_with('-') => near.push('-'),
            _ => {}
        }
    }
    let near = near.trim_end_matches('-');
    (near != text && Name::read(near).is_ok()).then(|| near.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_each_language_does() {
        let name = Name::read("low-rank-2").unwrap();
        assert_eq!(name.put("my-plugin my_plugin MyPlugin"), "low-rank-2 low_rank_2 LowRank2");
        // A type of the template's own is another one.
        let name = Name::read("layer").unwrap();
        assert_eq!(name.put("use Layer; impl Layer for MyPlugin"), "use Layer; impl Layer for LayerPlugin");
    }

    #[test]
    fn what_is_no_name_is_refused_with_one_that_is() {
        let refused = |text| Name::read(text).unwrap_err();
        assert!(refused("MyLayer").contains("did you mean 'my-layer'?"), "{}", refused("MyLayer"));
        assert!(refused("low_rank").contains("did you mean 'low-rank'?"));
        for text in ["", "-a", "a-", "a--b", "2d", "../a", "ä"] {
            assert!(refused(text).contains("begins with a letter"), "{text}");
        }
        assert!(refused("match").contains("my-match"));
        assert!(refused(&"a".repeat(49)).contains("too long"));
    }
}

//! The place of a value in a spec: `trainer.synthetic_gradient.learning_rate`.
use std::fmt;

/// One step into a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Step {
    /// Into a table.
    Key(String),
    /// Into a list, from 0.
    Index(usize),
}

/// The keys (and places in lists) from the top of a spec to a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct KeyPath(Vec<Step>);

impl KeyPath {
    /// The path of these keys.
    pub fn of(keys: &[&str]) -> Self {
        KeyPath(keys.iter().map(|key| Step::Key((*key).to_owned())).collect())
    }

    /// The path of this key under here.
    pub fn key(&self, key: &str) -> Self {
        self.step(Step::Key(key.to_owned()))
    }

    /// The path of this place of a list, counted from 0.
    pub fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    fn step(&self, step: Step) -> Self {
        KeyPath(self.0.iter().cloned().chain([step]).collect())
    }

    /// This path, and then that one.
    pub(super) fn join(&self, more: &KeyPath) -> Self {
        KeyPath(self.0.iter().chain(&more.0).cloned().collect())
    }

    /// The same below another path: it begins with `from`, and then with `to`.
    pub(super) fn moved(&self, from: &KeyPath, to: &KeyPath) -> Self {
        let rest = self.0.get(from.0.len()..).unwrap_or_default();
        to.join(&KeyPath(rest.to_vec()))
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Its keys, without places in lists.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Index(_) => None,
        })
    }

    /// The path of what holds this value; `None` at the top.
    pub fn parent(&self) -> Option<Self> {
        let (_, parents) = self.0.split_last()?;
        Some(KeyPath(parents.to_vec()))
    }

    /// The first key; `None` at the top.
    pub fn first_key(&self) -> Option<&str> {
        match self.0.first()? {
            Step::Key(key) => Some(key),
            Step::Index(_) => None,
        }
    }

    /// The last key, if the path ends with one.
    pub(super) fn last_key(&self) -> Option<&str> {
        match self.0.last()? {
            Step::Key(key) => Some(key),
            Step::Index(_) => None,
        }
    }

    /// Whether this is the top of the spec.
    pub fn is_top(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this is `start`, or a value within it.
    pub fn starts_with(&self, start: &KeyPath) -> bool {
        self.0.starts_with(&start.0)
    }

    /// Reads a path as TOML writes it, such as `sweep."trainer.unroll_length"`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.contains(['\n', '\r', '#', '=']) {
            return None;
        }
        let document = format!("{text} = 0");
        let mut value = toml::de::DeValue::Table(toml::de::DeTable::parse(&document).ok()?.into_inner());
        let mut path = KeyPath::default();
        while let toml::de::DeValue::Table(table) = value {
            let (key, inner) = table.into_iter().next()?;
            path = path.key(key.get_ref());
            value = inner.into_inner();
        }
        Some(path)
    }

    /// Reads a path as `serde_path_to_error` writes it, such as `synthetic_gradient.layers` or `list[0].x`; it
    /// writes `.` for the top and `?` for what it can't name.
    pub(super) fn parse_serde(text: &str) -> Self {
        let mut path = KeyPath::default();
        for part in text.split('.').filter(|part| !part.is_empty() && *part != "?") {
            let (key, indices) = part.split_once('[').unwrap_or((part, ""));
            if !key.is_empty() {
                path = path.key(key);
            }
            for index in indices.split('[').filter_map(|i| i.trim_end_matches(']').parse().ok()) {
                path = path.index(index);
            }
        }
        path
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if i == 0 => write!(f, "{}", quoted_key(key))?,
                Step::Key(key) => write!(f, ".{}", quoted_key(key))?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// A key as TOML writes it: in quotes where it must be.
pub(super) fn quoted_key(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(bare) {
        return key.to_owned();
    }
    // A JSON string is a basic string of TOML, but for the one control character that JSON leaves as it is.
    serde_json::Value::from(key).to_string().replace('\u{7f}', "\\u007F")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_as_they_are_written() {
        for text in [
            "seed",
            "trainer.synthetic_gradient.learning_rate",
            "sweep.\"trainer.unroll_length\"",
            "a.\"\\u007F\"",
        ] {
            assert_eq!(KeyPath::parse(text).unwrap().to_string(), text);
        }
        for text in ["", ".", "a.", "a b", "a\nb", "[a]", "a #"] {
            assert_eq!(KeyPath::parse(text), None, "{text:?}");
        }
        assert_eq!(KeyPath::parse_serde("list[0][2].x").to_string(), "list[0][2].x");
        assert!(KeyPath::parse_serde(".").is_top() && KeyPath::parse_serde("?").is_top());
    }
}

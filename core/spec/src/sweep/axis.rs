//! What a sweep varies.
use crate::key_path::KeyPath;
use serde_json::Value;

/// What varies as one in a sweep: a key, keys that vary together, or the variants.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepAxis {
    /// The key; `a + b` for keys that vary together; `variants`.
    pub name: String,
    /// What it takes in turn, in the order of the spec; never empty.
    pub points: Vec<SweepPoint>,
    /// Where it is said.
    pub(super) at: KeyPath,
}

/// What an axis takes in some runs.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepPoint {
    /// `2`, for `"trainer.unroll_length" = [1, 2]`; the name of a variant.
    pub label: String,
    pub(super) settings: Vec<Setting>,
    /// Where it is said.
    pub(super) at: KeyPath,
}

/// A key that a point sets.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Setting {
    pub(super) key: KeyPath,
    pub(super) value: Value,
    /// Where the key is said, and where the value.
    pub(super) key_at: KeyPath,
    pub(super) value_at: KeyPath,
}

/// The axis of all variants.
pub(crate) const VARIANTS: &str = "variants";

/// The axes of keys that vary together.
pub(crate) const PAIRED: &str = "paired";

impl SweepAxis {
    /// Whether the axis sets this key.
    pub fn sets(&self, key: &str) -> bool {
        self.points.iter().flat_map(|point| &point.settings).any(|setting| setting.key.to_string() == key)
    }
}

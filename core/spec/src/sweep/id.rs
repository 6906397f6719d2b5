//! What a run is called that a sweep makes: the same run has the same name, whoever asks for it.
use super::axis::VARIANTS;
use crate::resolved::Spec;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Letters of the readable part; the whole must fit into a file's name with others around it.
const LONGEST: usize = 80;

/// Letters of one value of the readable part.
const LONGEST_VALUE: usize = 24;

/// Letters of the hash that an id ends with.
const HASH: usize = 6;

impl Spec {
    /// A hash of all that the run depends on: 64 letters. It does not depend on where values came from or in which order
    /// they were written, nor on what changes nothing of the run: its `name`, where plugins are looked for, and
    /// `record.console_every_seconds`.
    pub fn digest(&self) -> String {
        let mut tree = self.tree.clone();
        for (table, key) in [("", "name"), ("plugins", "path"), ("record", "console_every_seconds")] {
            let table = if table.is_empty() { Some(&mut tree) } else { tree.get_mut(table) };
            if let Some(table) = table.and_then(Value::as_object_mut) {
                table.shift_remove(key);
            }
        }
        let hash = Sha256::digest(canonical(&tree).to_string());
        hash.iter().fold(String::new(), |mut text, byte| {
            // Writing to a String can't fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// The same for all ways to write a value: keys sorted, whole numbers without a point.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(table) => {
            let mut keys: Vec<_> = table.iter().collect();
            keys.sort_by_key(|(key, _)| *key);
            Value::Object(
                keys.into_iter().map(|(key, value)| (key.clone(), canonical(value))).collect::<Map<_, _>>(),
            )
        }
        Value::Array(items) => items.iter().map(canonical).collect(),
        Value::Number(number) => match number.as_f64() {
            Some(whole) if number.is_f64() && whole.fract() == 0.0 && whole.abs() < 9e15 => {
                (whole as i64).into()
            }
            _ => value.clone(),
        },
        _ => value.clone(),
    }
}

/// `unroll_length-1_seed-3_9f2a61`: what differs from other members, in a fixed order, and the beginning of the digest.
/// `parts` are the names of the axes with the labels of the points.
pub(super) fn id(parts: &[(&str, &str)], digest: &str) -> String {
    let mut parts: Vec<(bool, String)> = parts
        .iter()
        .map(|(axis, label)| {
            let label = valid(label);
            let text = match (*axis, axis.contains(" + ")) {
                (VARIANTS, _) => label,
                (_, true) => {
                    let keys: Vec<&str> = axis.split(" + ").map(last_key).collect();
                    format!("{}-{label}", valid(&keys.join("-")))
                }
                _ => format!("{}-{label}", valid(last_key(axis))),
            };
            (*axis == "seed", text)
        })
        .collect();
    parts.sort();
    let mut text = parts.into_iter().map(|(_, part)| part).collect::<Vec<_>>().join("_");
    text.truncate(LONGEST);
    // An id must not begin with these.
    let text = text.trim_start_matches(['.', '-', '_']);
    let separator = if text.is_empty() { "" } else { "_" };
    format!("{text}{separator}{}", &digest[..HASH])
}

fn last_key(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

/// As much of a text as can be in a file's name; ASCII only.
fn valid(text: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let text: String = text.chars().map(fits).take(LONGEST_VALUE).collect();
    text.trim_matches('-').to_owned()
}

//! What the spaces of an environment consist of, as the child says it, and where each part lies in the shared memory.
//!
//! The memory begins with four words: the number of the steps that are wanted, the number of those that are made, whether
//! this process waits, and whether the child does. Then come, of each stream, where its frame stands in its episode (a word),
//! its reward (a 64-bit float), its observation and its action. Each part begins with a word.
use crate::memory::WORD;
use efference_sdk::serde::{Deserialize, Serialize};
use efference_sdk::{Result, ensure};

/// The words at the beginning.
pub(crate) const COMMAND: usize = 0;
pub(crate) const DONE: usize = 1;
pub(crate) const HOST_WAITS: usize = 2;
pub(crate) const CHILD_WAITS: usize = 3;
const HEAD: usize = 4 * WORD;
/// Where no frame has come yet, and the environment is to be reset with its seed.
pub(crate) const NOTHING: u64 = u64::MAX;

/// Elements of an observation, or of an action, at most.
const MOST_ELEMENTS: usize = 1 << 26;
/// Bytes of the memory at most.
const MOST_BYTES: usize = 1 << 32;

/// One part of an observation or an action that is no `Dict` or `Tuple`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(crate = "efference_sdk::serde", deny_unknown_fields, tag = "kind", rename_all = "snake_case")]
pub(crate) enum Leaf {
    /// Numbers.
    Box { path: String, dtype: Dtype, shape: Vec<usize>, low: Bounds, high: Bounds },
    /// One of `n` integers.
    Discrete { path: String, n: u64, start: i64 },
    /// Each one of `n` integers.
    MultiDiscrete { path: String, shape: Vec<usize>, n: Vec<u64>, start: Vec<i64> },
    /// Each 0 or 1.
    MultiBinary { path: String, shape: Vec<usize> },
}

/// The type of a number in the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(crate = "efference_sdk::serde", rename_all = "lowercase")]
#[allow(missing_docs, reason = "NumPy's names: a kind and the bytes that it takes")]
pub(crate) enum Dtype {
    B1,
    I1,
    U1,
    I2,
    U2,
    I4,
    U4,
    I8,
    U8,
    F4,
    F8,
}

impl Dtype {
    /// Bytes of a number.
    pub(crate) fn size(self) -> usize {
        match self {
            Dtype::B1 | Dtype::I1 | Dtype::U1 => 1,
            Dtype::I2 | Dtype::U2 => 2,
            Dtype::I4 | Dtype::U4 | Dtype::F4 => 4,
            Dtype::I8 | Dtype::U8 | Dtype::F8 => 8,
        }
    }

    /// Whether it has no fractions.
    pub(crate) fn is_integer(self) -> bool {
        !matches!(self, Dtype::F4 | Dtype::F8)
    }
}

/// Bounds of a `Box`, on one side: the same of all elements, or of each; `None`: there is none.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(crate = "efference_sdk::serde", untagged)]
pub(crate) enum Bounds {
    /// Of all.
    All(Option<f64>),
    /// Of each.
    Each(Vec<Option<f64>>),
}

impl Bounds {
    /// That of an element.
    pub(crate) fn of(&self, element: usize) -> Option<f64> {
        match self {
            Bounds::All(bound) => *bound,
            Bounds::Each(bounds) => bounds.get(element).copied().flatten(),
        }
    }
}

/// Elements of such a shape, if they are few enough.
fn count(shape: &[usize]) -> Option<usize> {
    let product = shape.iter().try_fold(1_usize, |product, n| product.checked_mul(*n));
    product.filter(|count| *count <= MOST_ELEMENTS)
}

impl Leaf {
    /// Where it is in its space: keys of `Dict`s and numbers in `Tuple`s with dots between; empty: it is all of it.
    pub(crate) fn path(&self) -> &str {
        match self {
            Leaf::Box { path, .. }
            | Leaf::Discrete { path, .. }
            | Leaf::MultiDiscrete { path, .. }
            | Leaf::MultiBinary { path, .. } => path,
        }
    }

    /// Its name in a sentence: `observation`, `observation 'image'`.
    pub(crate) fn name(&self, of: &str) -> String {
        match self.path() {
            "" => of.to_owned(),
            path => format!("{of} '{path}'"),
        }
    }

    /// Numbers that it has in the memory.
    pub(crate) fn count(&self) -> usize {
        match self {
            Leaf::Discrete { .. } => 1,
            Leaf::Box { shape, .. } | Leaf::MultiDiscrete { shape, .. } | Leaf::MultiBinary { shape, .. } => {
                count(shape).unwrap_or_default()
            }
        }
    }

    /// Bytes that it takes in the memory.
    pub(crate) fn bytes(&self) -> usize {
        let size = match self {
            Leaf::Box { dtype, .. } => dtype.size(),
            Leaf::Discrete { .. } | Leaf::MultiDiscrete { .. } => 8,
            Leaf::MultiBinary { .. } => 1,
        };
        self.count() * size
    }

    /// Errors: what no space can be.
    pub(crate) fn check(&self, of: &str) -> Result<()> {
        let name = self.name(of);
        let shape = match self {
            Leaf::Box { shape, .. } | Leaf::MultiDiscrete { shape, .. } | Leaf::MultiBinary { shape, .. } => {
                shape
            }
            Leaf::Discrete { .. } => &Vec::new(),
        };
        ensure!(
            count(shape).is_some(),
            "the {name} is of the shape {shape:?}; more than {MOST_ELEMENTS} elements are not taken"
        );
        let numbers = self.count();
        match self {
            Leaf::Box { low, high, .. } => {
                let fits = |bounds: &Bounds| !matches!(bounds, Bounds::Each(all) if all.len() != numbers);
                ensure!(fits(low) && fits(high), "the {name} has another number of bounds than of elements");
            }
            Leaf::Discrete { n, .. } => check_choices(&name, &[*n])?,
            Leaf::MultiDiscrete { n, start, .. } => {
                ensure!(
                    n.len() == numbers && start.len() == numbers,
                    "the {name} has another number of sizes than of elements"
                );
                check_choices(&name, n)?;
            }
            Leaf::MultiBinary { .. } => {}
        }
        Ok(())
    }
}

fn check_choices(name: &str, n: &[u64]) -> Result<()> {
    let all = n.iter().try_fold(0_u64, |sum, n| sum.checked_add(*n));
    ensure!(n.iter().all(|n| *n > 0), "the {name} is one of 0 values, and so has none");
    ensure!(
        all.is_some_and(|all| all <= MOST_ELEMENTS as u64),
        "the {name} is one of {} values; more than {MOST_ELEMENTS} are not taken",
        n.iter().max().unwrap_or(&0)
    );
    Ok(())
}

/// Where everything lies; bytes from the beginning of the memory.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(crate = "efference_sdk::serde")]
pub(crate) struct Layout {
    /// Bytes of the memory.
    pub(crate) size: usize,
    pub(crate) streams: Vec<StreamLayout>,
}

/// Where the parts of a stream lie.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(crate = "efference_sdk::serde")]
pub(crate) struct StreamLayout {
    pub(crate) step_type: usize,
    pub(crate) reward: usize,
    pub(crate) observation: Vec<usize>,
    pub(crate) action: Vec<usize>,
}

impl Layout {
    /// Errors: it would be larger than can be.
    pub(crate) fn new(streams: usize, observation: &[Leaf], action: &[Leaf]) -> Result<Layout> {
        let whole_words = |leaf: &Leaf| leaf.bytes().next_multiple_of(WORD);
        let parts = observation.iter().chain(action);
        let of_stream = parts.map(whole_words).fold(2 * WORD, usize::saturating_add);
        let size = of_stream.saturating_mul(streams).saturating_add(HEAD);
        ensure!(
            size <= MOST_BYTES,
            "{streams} streams whose observations and actions take {of_stream} bytes each are more than the {} MiB that can be \
             shared",
            MOST_BYTES >> 20
        );
        let mut end = HEAD;
        let mut take = |bytes: usize| {
            end += bytes;
            end - bytes
        };
        let streams = (0..streams).map(|_| StreamLayout {
            step_type: take(WORD),
            reward: take(WORD),
            observation: observation.iter().map(|leaf| take(whole_words(leaf))).collect(),
            action: action.iter().map(|leaf| take(whole_words(leaf))).collect(),
        });
        let streams = streams.collect();
        Ok(Layout { size, streams })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use efference_sdk::serde_json;

    fn leaf(json: &str) -> Leaf {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn parts_begin_with_words_one_behind_the_other() {
        let picture = leaf(
            r#"{"kind": "box", "path": "image", "dtype": "u1", "shape": [3, 3], "low": 0, "high": 255}"#,
        );
        let choice = leaf(r#"{"kind": "discrete", "path": "", "n": 3, "start": 1}"#);
        assert_eq!(
            (picture.count(), picture.bytes(), picture.name("observation")),
            (9, 9, "observation 'image'".into())
        );
        let layout = Layout::new(2, &[picture, choice.clone()], &[choice]).unwrap();
        let stream = |at: usize| StreamLayout {
            step_type: at,
            reward: at + 8,
            observation: vec![at + 16, at + 32],
            action: vec![at + 40],
        };
        assert_eq!(layout, Layout { size: 128, streams: vec![stream(32), stream(80)] });
    }

    #[test]
    fn what_is_too_large_or_contradicts_itself_is_refused() {
        for (json, text) in [
            (
                r#"{"kind": "box", "path": "p", "dtype": "u1", "shape": [4294967296, 4294967296], "low": 0, "high": 1}"#,
                "observation 'p' is of the shape [4294967296, 4294967296]",
            ),
            (r#"{"kind": "discrete", "path": "", "n": 0, "start": 0}"#, "one of 0 values"),
            (
                r#"{"kind": "discrete", "path": "", "n": 99999999999, "start": 0}"#,
                "one of 99999999999 values",
            ),
            (
                r#"{"kind": "multi_discrete", "path": "", "shape": [2], "n": [18446744073709551615, 2], "start": [0, 0]}"#,
                "one of 18446744073709551615 values",
            ),
            (
                r#"{"kind": "box", "path": "", "dtype": "f4", "shape": [2], "low": [0], "high": null}"#,
                "another number of bounds",
            ),
        ] {
            let error = leaf(json).check("observation").unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
        let large = leaf(
            r#"{"kind": "box", "path": "", "dtype": "f8", "shape": [67108864], "low": null, "high": null}"#,
        );
        assert!(large.check("observation").is_ok());
        let error = Layout::new(9, &[large], &[]).unwrap_err().to_string();
        assert!(error.contains("9 streams"), "{error}");
    }
}

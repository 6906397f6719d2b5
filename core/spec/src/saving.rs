//! The keys that say when a run is saved, and when it is evaluated.
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::borrow::Cow;

/// When a run is saved, and which checkpoints are kept.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Checkpoint {
    /// Steps from one checkpoint to the next; "auto": one every 30 seconds; 0: one at the end only. One that is due in the
    /// middle of an unroll waits for its end.
    pub every: CheckpointEvery,
    /// How many of the last checkpoints are kept; "all": every one, for `efference fork --at`.
    pub keep: Keep,
    /// A metric: the checkpoint at which its mean since the one before was best is kept as well.
    pub best: Option<String>,
    /// Which value of that metric is best; without, what is known of it: "lowest" of errors and losses, "highest" of rewards
    /// and returns.
    pub best_is: Option<BestIs>,
}

/// Steps from one checkpoint to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CheckpointEvery {
    /// By the clock.
    #[default]
    Auto,
    /// So many; 0 for none but the last.
    Steps(u64),
}

/// Which checkpoints are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// So many of the last ones.
    Last(u64),
    /// All of them.
    All,
}

impl Default for Keep {
    fn default() -> Self {
        Keep::Last(2)
    }
}

/// Which value of a metric is best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BestIs {
    /// The lowest, as of an error.
    Lowest,
    /// The highest, as of a reward.
    Highest,
}

/// When a frozen copy of the agent is evaluated, acting greedily in an environment of its own.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Evaluation {
    /// Steps from one evaluation to the next; 0 for none.
    #[schemars(range(min = 0))]
    pub every: u64,
    /// Episodes of each evaluation, the same ones each time.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub episodes: u64,
}

impl Default for Evaluation {
    fn default() -> Self {
        Evaluation { every: 0, episodes: 20 }
    }
}

/// A number, or one word that stands for none.
macro_rules! number_or_word {
    ($type:ident, $word:literal is $named:ident, $numbered:ident from $least:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    $type::$named => serializer.serialize_str($word),
                    $type::$numbered(number) => serializer.serialize_u64(*number),
                }
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                match Value::deserialize(deserializer)? {
                    Value::String(text) if text == $word => Ok($type::$named),
                    value => u64::deserialize(value).map($type::$numbered).map_err(D::Error::custom),
                }
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "anyOf": [{ "type": "integer", "minimum": $least }, { "const": $word }] })
            }
        }
    };
}
number_or_word!(CheckpointEvery, "auto" is Auto, Steps from 0);
number_or_word!(Keep, "all" is All, Last from 1);

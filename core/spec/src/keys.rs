//! The keys of a spec that belong to the host: their types, defaults, ranges and docs, declared once.
use super::saving::{Checkpoint, Evaluation};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::fmt;

/// All keys of a spec but the sections of plugins and the sweep.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct HostKeys {
    /// Name of the experiment, and of the directory of its runs: letters, digits, `-`, `_` and `.`. If it is not
    /// said, the file's name.
    pub(super) name: Option<String>,
    /// Every random draw of a run follows from this number.
    #[schemars(range(min = 0))]
    pub(super) seed: u64,
    /// Steps after which the run is finished; without, it goes on until it is stopped.
    #[schemars(range(min = 1))]
    pub(super) steps: Option<u64>,
    /// Where tensors live: "auto", "cpu", "cuda" or "cuda:N". "auto" takes the first usable GPU, else the CPU.
    pub(super) device: String,
    /// CPU threads: kernels have so many, and libtorch's operations as many. Without, kernels take as many threads as the machine has
    /// physical cores, but no more than affinity and quota (control groups) let compute at once, and wait for none that gets no
    /// core, or one while that is faster, which is tried now and then; libtorch's own operations have several where that was faster
    /// in the first steps.
    #[schemars(range(min = 1, max = 4096))]
    pub(super) threads: Option<usize>,
    pub(super) state: State,
    pub(super) optimizer: OptimizerKeys,
    pub(super) record: Record,
    pub(super) checkpoint: Checkpoint,
    pub(super) evaluation: Evaluation,
    pub(super) plugins: Plugins,
}

impl Default for HostKeys {
    fn default() -> Self {
        HostKeys {
            name: None,
            seed: 1,
            steps: None,
            device: "auto".into(),
            threads: None,
            state: State::default(),
            optimizer: OptimizerKeys::default(),
            record: Record::default(),
            checkpoint: Checkpoint::default(),
            evaluation: Evaluation::default(),
            plugins: Plugins::default(),
        }
    }
}

/// What an agent remembers.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct State {
    /// Elements in the state of a stream. "auto": as many as the environment's observation and actions need.
    pub size: StateSize,
}

/// How large a state is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StateSize {
    /// As large as the environment's observation and actions need.
    #[default]
    Auto,
    /// So many elements.
    Elements(i64),
}

impl StateSize {
    /// The most elements that are accepted: 4 TiB. Sizes that are made of this one, such as twice it, do not overflow.
    pub const LARGEST: i64 = 1 << 40;
}

impl Serialize for StateSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            StateSize::Auto => serializer.serialize_str("auto"),
            StateSize::Elements(elements) => serializer.serialize_i64(*elements),
        }
    }
}

impl<'de> Deserialize<'de> for StateSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) if text == "auto" => Ok(StateSize::Auto),
            value => i64::deserialize(value).map(StateSize::Elements).map_err(D::Error::custom),
        }
    }
}

impl JsonSchema for StateSize {
    fn schema_name() -> Cow<'static, str> {
        "StateSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "integer", "minimum": 16, "maximum": StateSize::LARGEST }, { "const": "auto" }] })
    }
}

/// The rule by which a parameter follows its gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerKind {
    /// Adam; with weight decay, each update then multiplies what is no scalar by 1 − weight_decay.
    Adam,
    /// Adam with decoupled weight decay, scaled by the learning rate.
    Adamw,
    /// Stochastic gradient descent, with momentum.
    Sgd,
    /// The gradient over the root of its running mean square: Adam without its first moment.
    Rmsprop,
    /// Overshooting-bounded gradient descent (arXiv 2410.14606), for terms whose traces are followed: the longest step of size
    /// 1 that cannot overshoot. No learning rate.
    Obgd,
    /// Intentional updates (arXiv 2604.19033), for terms whose traces are followed: the size of a step follows from the effect
    /// that it should have. No learning rate.
    Intentional,
}

/// The format of Adam's two moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Moments {
    /// 32-bit floats.
    F32,
    /// Bfloat16 with stochastic rounding: half the memory, and an update reads and writes 20 bytes an element in place of 28.
    Bf16,
}

/// What is divided by one mean square.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NormaliseBy {
    /// Each element of a parameter by its own.
    Element,
    /// All elements of a parameter group by theirs in common.
    Group,
}

/// How the parameters of one group are updated.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct OptimizerSettings {
    /// The rule by which a parameter follows its gradient.
    pub kind: OptimizerKind,
    /// adam, adamw, sgd, rmsprop: size of an update.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub learning_rate: f64,
    /// adam, adamw: how much of the mean of gradients is kept in a step.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub beta1: f64,
    /// adam, adamw, rmsprop, intentional: how much of the mean of squared gradients is kept in a step.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub beta2: f64,
    /// adam, adamw, rmsprop, intentional: added to the root of the mean of squared gradients before dividing by it.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub epsilon: f64,
    /// sgd: how much of the last update is kept in a step.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub momentum: f64,
    /// adam, adamw, sgd, rmsprop: how much of a parameter is forgotten in a step.
    #[schemars(range(min = 0, max = 1))]
    pub weight_decay: f64,
    /// adam, adamw, sgd, rmsprop: largest norm of the gradient of a group: a longer one is scaled down to it.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub clip: Option<f64>,
    /// adam, adamw: the format of both moments, "f32" or "bf16".
    pub moments: Moments,
    /// rmsprop: what is divided by one mean square, "element" or "group".
    pub normalise_by: NormaliseBy,
    /// obgd: how much smaller than the step that would just not overshoot the steps stay. None: 2 for a term whose error is how
    /// far its value is from a target, 3 for one whose error weighs it, such as a policy.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub kappa: Option<f64>,
    /// intentional: which share of a term's error an update removes, or by how much an update changes the value of a term
    /// whose error weighs it. None: 0.25 and 0.05.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub intent: Option<f64>,
}

impl Default for OptimizerSettings {
    fn default() -> Self {
        OptimizerSettings {
            kind: OptimizerKind::Adam,
            learning_rate: 0.001,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            momentum: 0.0,
            weight_decay: 0.0,
            clip: None,
            moments: Moments::F32,
            normalise_by: NormaliseBy::Element,
            kappa: None,
            intent: None,
        }
    }
}

/// How parameters follow their gradients.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct OptimizerKeys {
    #[serde(flatten)]
    pub(super) all: OptimizerSettings,
    /// What is different for one group of parameters, those whose name begins with a prefix and a point; the longest
    /// prefix wins. What is not said (or "none") is as in `[optimizer]`; the clip "none" takes back the one there.
    #[schemars(schema_with = "groups_schema")]
    pub(super) groups: Map<String, Value>,
}

/// A table of groups. Each may have all keys of [`OptimizerSettings`], or none of them.
fn groups_schema(generator: &mut SchemaGenerator) -> Schema {
    let mut group = OptimizerSettings::json_schema(generator).to_value();
    group["additionalProperties"] = false.into();
    for property in group["properties"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        let Some(property) = property.as_object_mut() else { continue };
        property.shift_remove("default");
        match property.get("type") {
            Some(Value::String(name)) => property["type"] = json!([name, "null"]),
            Some(_) => {} // may be null already
            None => {
                let doc = property.shift_remove("description");
                let own = Value::from(std::mem::take(property));
                property.extend(doc.map(|doc| ("description".to_owned(), doc)));
                property.insert("anyOf".into(), json!([own, { "type": "null" }]));
            }
        }
    }
    json_schema!({ "type": "object", "additionalProperties": group })
}

/// What a run writes down as it goes.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Record {
    /// Steps from one line of metrics to the next.
    #[schemars(range(min = 1))]
    pub every: u64,
    /// Steps from one pair of pictures to the next; 0 for no pictures.
    #[schemars(range(min = 0))]
    pub pictures_every: u64,
    /// Whether TensorBoard's event files are written too.
    pub tensorboard: bool,
    /// Whether each step leaves a fingerprint of what it observed and computed, by which `efference diff` finds where two
    /// runs part.
    pub fingerprints: bool,
    /// Seconds from one line of progress to the next, where it is shown as lines.
    #[schemars(range(max = 1_000_000_000), extend("exclusiveMinimum" = 0))]
    pub console_every_seconds: f64,
}

impl Default for Record {
    fn default() -> Self {
        Record {
            every: 10,
            pictures_every: 500,
            tensorboard: true,
            fingerprints: true,
            console_every_seconds: 1.0,
        }
    }
}

/// Where plugins are found.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Plugins {
    /// More directories with plugin libraries, relative to the file that says so.
    pub path: Vec<String>,
    /// What happens when a plugin prints to standard output, which is the host's.
    pub stdout: PluginStdout,
}

/// What happens when a plugin prints to standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PluginStdout {
    /// The run ends with an error that names the plugin.
    #[default]
    Fail,
    /// It goes to the log, with the plugin's name.
    Log,
}

/// Where tensors live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// The first usable GPU, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device of this number.
    Cuda(usize),
}

impl Device {
    /// Reads `auto`, `cpu`, `cuda` (the device 0) or `cuda:N`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Device::Auto),
            "cpu" => Some(Device::Cpu),
            "cuda" => Some(Device::Cuda(0)),
            _ => {
                let number = text.strip_prefix("cuda:").filter(|n| n.bytes().all(|b| b.is_ascii_digit()))?;
                number.parse().ok().map(Device::Cuda)
            }
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Auto => f.write_str("auto"),
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

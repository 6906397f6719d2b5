//! Options as plugins declare them: the same derives as the SDK's `options!`, and the same check by serde.
use crate::{OptionError, PluginRegistry};
use efference_abi::Kind;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

macro_rules! options {
    ($(#[$meta:meta])* struct $name:ident { $($(#[$field_meta:meta])* $field:ident : $type:ty = $default:expr),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub(super) struct $name { $($(#[$field_meta])* $field: $type),* }
        impl Default for $name {
            fn default() -> Self {
                $name { $($field: $default),* }
            }
        }
    };
}

/// How the weights are shared.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Sharing {
    /// Along one axis.
    Axis,
    /// Not at all.
    None,
}

options! {
    /// Options of `ldl`.
    struct Ldl {
        /// Elements mixed at once.
        #[schemars(range(min = 2, max = 65_536))]
        radix: i64 = 16,
        /// How the weights are shared.
        sharing: Sharing = Sharing::Axis,
        /// Whether a bias is added.
        bias: bool = true,
    }
}

options! {
    /// Options of `dense`.
    struct Dense {
        /// Whether a bias is added.
        #[schemars(extend("x-old-names" = ["offset"]))]
        bias: bool = true,
    }
}

options! {
    /// Options of `worlds`.
    struct Worlds {
        /// The world.
        world: String = "bounce".into(),
        /// Streams at once.
        #[schemars(range(min = 1))]
        streams: i64 = 1,
        /// Sizes of the picture.
        size: Vec<u32> = vec![16, 16],
        /// Things to hear.
        ears: Vec<Ear> = Vec::new(),
    }
}

options! {
    /// One ear.
    struct Ear {
        /// Lowest tone that it hears, in Hz.
        #[schemars(range(min = 1))]
        lowest: f64 = 20.0,
        /// Which side of the head.
        left: bool = true,
    }
}

/// Options of `page`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// The page to look at.
    #[expect(dead_code)]
    url: String,
    /// Reward that the page gives itself.
    #[serde(rename = "directScore", default)]
    #[expect(dead_code)]
    direct_reward: bool,
    /// What is seen of it.
    #[serde(default)]
    #[expect(dead_code)]
    sees: Vec<See>,
}

/// A part of what is seen.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(dead_code)]
enum See {
    /// The whole window.
    Viewport(Viewport),
    /// The same number for ever.
    Constant(Constant),
}

options! {
    /// The whole window.
    struct Viewport {
        /// Pixels averaged to one.
        #[schemars(range(min = 1))]
        shrink: i64 = 8,
    }
}

options! {
    /// The same number for ever.
    struct Constant {
        /// The number.
        value: f64 = 1.0,
    }
}

options! {
    /// Options of `mgu`.
    struct Mgu {
        /// Layers in a stack.
        #[schemars(range(min = 1))]
        layers: i64 = 1,
    }
}

options! {
    /// The network that guesses the gradient of what comes.
    struct SyntheticGradient {
        /// Layers of the network.
        #[schemars(range(min = 1))]
        layers: i64 = 2,
        /// Size of its updates.
        #[schemars(extend("exclusiveMinimum" = 0))]
        learning_rate: f64 = 0.03,
    }
}

options! {
    /// Something to be switched off.
    struct Noise {
        /// Whether there is any.
        enabled: bool = true,
    }
}

options! {
    /// Options of `bptt`.
    struct Bptt {
        /// Steps between updates.
        #[schemars(range(min = 1), extend("x-old-names" = ["unrolls"]))]
        unroll_length: i64 = 1,
        /// What stands for the gradients of the future.
        synthetic_gradient: Option<SyntheticGradient> = Some(SyntheticGradient::default()),
        /// Something to be switched off.
        noise: Noise = Noise::default(),
        /// A name for it.
        label: Option<String> = None,
        /// Steps after which it is forgotten.
        horizon: Option<i64> = None,
        /// The state of an optimizer; see there.
        warm_up: Option<SyntheticGradient> = None,
    }
}

options! {
    /// Options of `predict`.
    struct Predict {
        /// Weight of the squared error.
        #[schemars(range(min = 0))]
        l2: f64 = 1.0,
    }
}

/// The plugins of the tests: `worlds`, `page` and `broken`; `ldl` and `dense`; `mgu`; `bptt`; `predict`. The layer `sparse` was not
/// built.
pub(super) struct Declared;

fn check<O: DeserializeOwned>(options: &Value) -> Result<O, OptionError> {
    serde_path_to_error::deserialize(options).map_err(|error| OptionError {
        path: error.path().to_string(),
        message: error.into_inner().to_string(),
    })
}

impl PluginRegistry for Declared {
    fn names(&self, kind: Kind) -> Vec<String> {
        let names: &[&str] = match kind {
            Kind::Environment => &["worlds", "page", "broken"],
            Kind::Layer => &["ldl", "dense"],
            Kind::Cell => &["mgu"],
            Kind::Trainer => &["bptt"],
            Kind::Goal => &["predict"],
        };
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn schema(&self, kind: Kind, name: &str) -> Result<Value, String> {
        Ok(match (kind, name) {
            (Kind::Environment, "worlds") => schemars::schema_for!(Worlds),
            (Kind::Environment, "page") => schemars::schema_for!(Page),
            (Kind::Layer, "ldl") => schemars::schema_for!(Ldl),
            (Kind::Layer, "dense") => schemars::schema_for!(Dense),
            (Kind::Cell, "mgu") => schemars::schema_for!(Mgu),
            (Kind::Trainer, "bptt") => schemars::schema_for!(Bptt),
            (Kind::Goal, "predict") => schemars::schema_for!(Predict),
            _ => return Err("it was made for another libtorch".into()),
        }
        .to_value())
    }

    fn not_built(&self, kind: Kind, name: &str) -> Option<String> {
        (kind == Kind::Layer && name == "sparse").then(|| "run `cargo build`".to_owned())
    }

    fn check(&self, kind: Kind, name: &str, options: &Value) -> Result<(), OptionError> {
        match (kind, name) {
            (Kind::Environment, "worlds") => {
                let worlds: Worlds = check(options)?;
                let known = ["bounce", "catch", "copy"].contains(&worlds.world.as_str());
                let message = format!("there is no world '{}'", worlds.world);
                if known { Ok(()) } else { Err(OptionError { path: "world".into(), message }) }
            }
            (Kind::Environment, "page") => check::<Page>(options).map(drop),
            (Kind::Layer, "ldl") => check::<Ldl>(options).map(drop),
            (Kind::Layer, "dense") => check::<Dense>(options).map(drop),
            (Kind::Cell, "mgu") => check::<Mgu>(options).map(drop),
            (Kind::Trainer, "bptt") => check::<Bptt>(options).map(drop),
            (Kind::Goal, "predict") => check::<Predict>(options).map(drop),
            _ => unreachable!("only plugins with a schema are asked"),
        }
    }
}

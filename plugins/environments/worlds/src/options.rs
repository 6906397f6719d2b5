//! The options of all worlds, and which world reads which.
use efference_sdk::{Result, ensure, serde_json, tracing};

efference_sdk::options! {
    /// Which world.
    pub enum WorldName {
        /// A soft ball that flies through a grey box and bounces off its walls: nothing to do, all to predict.
        Bounce,
        /// A dot falls, a paddle in the bottom row catches it: reward 1, or misses it: reward −1. Random play gets −0.5.
        Catch,
        /// A pole on a cart that is pushed to the left or to the right: reward 1 a step until it falls.
        #[serde(rename = "cartpole")]
        CartPole,
        /// A bit is shown once and asked for later: reward 1 for the right one, −1 for the other.
        Memory,
        /// Copy and repeat: N vectors of random bits, how often to repeat them, then the agent predicts them R times
        /// over; the sequences grow as it gets better.
        Copy,
        /// A diver sinks through a square: reward 1 at the end of one way in 2^size, small costs along it.
        DeepSea,
    }
}

efference_sdk::options! {
    /// How actions move the paddle of `catch` by one cell, or not at all.
    pub enum Control {
        /// A choice of three: left, stay, right.
        Choice,
        /// A value, in thirds: below −1/3 left, above 1/3 right.
        Lever,
    }
}

efference_sdk::options! {
    /// Options of `worlds`.
    pub struct Options {
        /// Which world.
        pub world: WorldName = WorldName::Bounce,
        /// Streams: independent copies of the world.
        #[schemars(range(min = 1, max = 65_536))]
        pub streams: usize = 1,
        /// bounce, catch, deep_sea: side of the square picture, in cells; an observation has size² features.
        #[schemars(range(min = 4, max = 256))]
        pub size: usize = 12,
        /// bounce: radius of the ball, in cells.
        #[schemars(range(min = 0.25, max = 64.0))]
        pub radius: f64 = 1.5,
        /// bounce: width of the ball's soft edge, in cells.
        #[schemars(range(min = 0.01, max = 64.0))]
        pub softness: f64 = 1.0,
        /// bounce: how far the ball flies in a step, in cells.
        #[schemars(range(min = 0.0, max = 64.0))]
        pub speed: f64 = 0.73,
        /// catch: width of the paddle, in cells; random play gets 2·paddle/size − 1.
        #[schemars(range(min = 1, max = 256))]
        pub paddle: usize = 3,
        /// catch: how actions move the paddle.
        pub control: Control = Control::Choice,
        /// catch: the dot is seen in this many rows from the top only, and must be remembered below; 0: in all.
        #[schemars(range(min = 0, max = 256))]
        pub seen_rows: usize = 0,
        /// deep_sea: random elements behind the picture, drawn anew for each frame.
        #[schemars(range(min = 0, max = 65_536))]
        pub noise: usize = 0,
        /// cartpole: steps after which an episode is cut off.
        #[schemars(range(min = 1, max = 1_000_000))]
        pub time_limit: u32 = 500,
        /// memory: frames of an episode that want an action, N; N − 1 steps lie between the bit and the question.
        #[schemars(range(min = 2, max = 128))]
        pub memory_length: usize = 10,
        /// memory: whether what is asked for is also observed after the answer, as a fourth number to be predicted.
        pub memory_answer: bool = false,
        /// copy: bits in a vector; an observation has 2·bits + 3 features.
        #[schemars(range(min = 1, max = 32))]
        pub bits: usize = 8,
        /// copy: vectors in a sequence at the start, N.
        #[schemars(range(min = 1, max = 1_000))]
        pub vectors: usize = 1,
        /// copy: how often a sequence is to be repeated at the start, R.
        #[schemars(range(min = 1, max = 1_000))]
        pub repeats: usize = 1,
        /// copy: repeats that the count shows as 1; more than that look the same.
        #[schemars(range(min = 1, max = 1_000))]
        pub most_repeats: usize = 10,
        /// copy: sequences, over all streams, after which it is decided whether N or R grows.
        #[schemars(range(min = 1, max = 1_000_000))]
        pub batch: u64 = 100,
        /// copy: N or R grows after a batch with less cross-entropy than this, in bits a number asked; 0: never.
        #[schemars(range(min = 0.0, max = 1.0))]
        pub grow_below: f64 = 0.15,
    }
}

impl WorldName {
    /// The options that this world reads, besides `world` and `streams`.
    fn reads(self) -> &'static [&'static str] {
        match self {
            WorldName::Bounce => &["size", "radius", "softness", "speed"],
            WorldName::Catch => &["size", "paddle", "control", "seen_rows"],
            WorldName::CartPole => &["time_limit"],
            WorldName::Memory => &["memory_length", "memory_answer"],
            WorldName::DeepSea => &["size", "noise"],
            WorldName::Copy => &["bits", "vectors", "repeats", "most_repeats", "batch", "grow_below"],
        }
    }
}

type Map = serde_json::Map<String, serde_json::Value>;

impl Options {
    fn map(&self) -> Map {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(map)) => map,
            // A flat struct of numbers and names always is an object.
            _ => Map::new(),
        }
    }

    /// Says which options were set though this world does not read them.
    pub(crate) fn warn_of_unused(&self) {
        let (mine, default) = (self.map(), Options::default().map());
        let used = |name: &str| name == "world" || name == "streams" || self.world.reads().contains(&name);
        for (name, value) in mine.iter().filter(|(name, _)| !used(name)) {
            if default.get(name) != Some(value) {
                let world = &mine["world"];
                tracing::warn!("environment 'worlds': {name} = {value} has no effect in world = {world}");
            }
        }
    }

    /// Errors unless the options that matter are those of `saved`.
    pub(crate) fn require_same(&self, saved: &Options) -> Result<()> {
        let (mine, saved) = (self.map(), saved.map());
        for name in ["world", "streams"].iter().chain(self.world.reads()) {
            ensure!(
                mine[*name] == saved[*name],
                "the world was saved with {name} = {}, but this one has {name} = {}; restore it with the options that it was saved with",
                saved[*name],
                mine[*name]
            );
        }
        Ok(())
    }
}

//! The options of `gymnasium`.
use efference_sdk::serde_json::Value;
use efference_sdk::{Error, Result};
use std::collections::BTreeMap;
use std::time::Duration;

efference_sdk::options! {
    /// How elements of a `Box` are brought into −1…1.
    pub enum Scaling {
        /// Linear between their bounds; where they have none, by their running mean and deviation.
        Bounds,
        /// All by their running mean and deviation.
        Running,
        /// Linear between their bounds; where they have none, x / (1 + |x|).
        Squash,
    }
}

efference_sdk::options! {
    /// What becomes of rewards.
    pub enum Reward {
        /// They are as the environment gives them, however large.
        Raw,
        /// They are limited to −1…1, and so episodes' returns are sums of such.
        Clip,
        /// −1, 0 or 1, as is usual with Atari games.
        Sign,
    }
}

efference_sdk::options! {
    /// Options of `gymnasium`.
    pub struct Options {
        /// The environment: "CartPole-v1", "ALE/Pong-v5", "MinAtar/Breakout-v1". A registered id, as gymnasium.make takes it.
        pub id: String = String::new(),
        /// The Python that has Gymnasium: a name on the PATH or a file, such as "venv/bin/python".
        pub python: String = String::from("python3"),
        /// Environments, each a stream of its own, in one Python.
        #[schemars(range(min = 1, max = 65_536))]
        pub streams: usize = 1,
        /// Keyword arguments of gymnasium.make: { frameskip = 4, max_episode_steps = 1000 }.
        pub arguments: BTreeMap<String, Value> = BTreeMap::new(),
        /// Modules that register the id when they are imported. Those of ALE, POPGym, MinAtar and MiniGrid are known.
        pub import: Vec<String> = Vec::new(),
        /// Wrappers around each environment, the innermost first: ["minigrid.wrappers:ImgObsWrapper"].
        pub wrappers: Vec<String> = Vec::new(),
        /// Entries of a Dict or Tuple observation that are left out: ["mission"]; an inner one is "camera.depth".
        pub without: Vec<String> = Vec::new(),
        /// How elements of a Box observation are brought into −1…1.
        pub scaling: Scaling = Scaling::Bounds,
        /// What becomes of rewards.
        pub reward: Reward = Reward::Raw,
        /// The bound, both ways, of actions that have none of their own; 0: there must be none.
        #[schemars(range(min = 0.0, max = 1e6))]
        pub action_bound: f64 = 0.0,
        /// Width to which pictures among the observation are scaled; 0: as they are. With `height`.
        #[schemars(range(min = 0, max = 8_192))]
        pub width: usize = 0,
        /// Height to which pictures among the observation are scaled; 0: as they are. With `width`.
        #[schemars(range(min = 0, max = 8_192))]
        pub height: usize = 0,
        /// Makes pictures among the observation grey.
        pub grey: bool = false,
        /// Records what the environment renders (its mode "rgb_array") as the picture of a stream.
        pub render: bool = false,
        /// Seconds that it may take from its start to its first frames; 0: as long as it likes.
        #[schemars(range(min = 0.0, max = 1e9))]
        pub start_timeout: f64 = 60.0,
        /// Seconds that a step may take; 0: as long as it likes.
        #[schemars(range(min = 0.0, max = 1e9))]
        pub silence_timeout: f64 = 60.0,
    }
}

impl Reward {
    /// What becomes of one.
    pub(crate) fn of(self, reward: f64) -> f32 {
        match self {
            Reward::Raw => reward as f32,
            Reward::Clip => reward.clamp(-1.0, 1.0) as f32,
            Reward::Sign if reward == 0.0 => 0.0,
            Reward::Sign => reward.signum() as f32,
        }
    }
}

impl Options {
    /// Errors: what can't be, whatever the environment is.
    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |option: &str, message: String| Err(Error::msg(message).in_option(option));
        if self.id.trim().is_empty() {
            return refuse("id", "it must name an environment, such as id = \"CartPole-v1\"".to_owned());
        }
        if self.python.trim().is_empty() {
            return refuse("python", "it must be a Python, such as python = \"python3\"".to_owned());
        }
        if self.streams == 0 {
            return refuse("streams", "0 streams are none: it must be 1 at least".to_owned());
        }
        if (self.width == 0) != (self.height == 0) {
            let other = if self.width == 0 { "width" } else { "height" };
            return refuse(other, "pictures are scaled to `width` × `height`: give both, or none".to_owned());
        }
        for wrapper in &self.wrappers {
            let halves = wrapper.split_once(':');
            if !halves.is_some_and(|(module, class)| !module.is_empty() && !class.is_empty()) {
                return refuse(
                    "wrappers",
                    format!(
                        "{wrapper:?} must be \"module:Class\", such as \"minigrid.wrappers:ImgObsWrapper\""
                    ),
                );
            }
        }
        for (name, number, most) in [
            ("start_timeout", self.start_timeout, 1e9),
            ("silence_timeout", self.silence_timeout, 1e9),
            ("action_bound", self.action_bound, 1e6),
        ] {
            if !(0.0..=most).contains(&number) {
                return refuse(name, format!("{number} must be in 0 … {most:e}"));
            }
        }
        Ok(())
    }

    /// A timeout of so many seconds; `None`: there is none.
    pub(crate) fn timeout(seconds: f64) -> Option<Duration> {
        (seconds > 0.0).then(|| Duration::from_secs_f64(seconds))
    }

    /// Whether pictures are changed.
    pub(crate) fn changes_pictures(&self) -> bool {
        self.width > 0 || self.grey
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rewards_are_raw_or_limited_or_signs() {
        let all = [-7.5, -0.25, 0.0, 1.0, 1e300];
        assert_eq!(all.map(|reward| Reward::Clip.of(reward)), [-1.0, -0.25, 0.0, 1.0, 1.0]);
        assert_eq!(all.map(|reward| Reward::Sign.of(reward)), [-1.0, -1.0, 0.0, 1.0, 1.0]);
        assert_eq!(all[..4].iter().map(|r| Reward::Raw.of(*r)).collect::<Vec<_>>(), [-7.5, -0.25, 0.0, 1.0]);
    }

    #[test]
    fn what_cannot_be_is_named_by_its_option() {
        let good = || Options { id: "CartPole-v1".into(), ..Options::default() };
        assert!(good().check().is_ok());
        for (options, option, text) in [
            (Options::default(), "id", "such as id = \"CartPole-v1\""),
            (Options { python: " ".into(), ..good() }, "python", "must be a Python"),
            (Options { streams: 0, ..good() }, "streams", "at least"),
            (Options { width: 84, ..good() }, "height", "give both"),
            (Options { height: 84, ..good() }, "width", "give both"),
            (Options { wrappers: vec!["ImgObsWrapper".into()], ..good() }, "wrappers", "module:Class"),
            (Options { action_bound: f64::NAN, ..good() }, "action_bound", "must be in 0"),
            (Options { silence_timeout: -1.0, ..good() }, "silence_timeout", "must be in 0"),
        ] {
            let error = options.check().unwrap_err();
            assert_eq!(error.option(), Some(option));
            assert!(error.to_string().contains(text), "{error}");
        }
    }
}

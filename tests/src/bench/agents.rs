//! Agents to be measured: specs of the reference configuration's kind, with other sizes.
use crate::noise::Noise;
use efference_engine::agent::GraphSharing;
use efference_engine::plugins::Registry;
use efference_engine::run::{Experiment, LoadedSpec};
use efference_sdk::{Error, Result};
use efference_spec as spec;
use std::path::Path;

/// What differs from the reference configuration.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    pub(crate) state: i64,
    pub(crate) streams: u64,
    pub(crate) observations: usize,
    /// `--set`s over the reference spec.
    pub(crate) sets: Vec<String>,
    /// How much gradient paths share.
    pub(crate) sharing: GraphSharing,
}

/// The spec of the reference configuration; its environment is replaced by [`Noise`].
const REFERENCE: &str = r#"
name = "reference"
device = "cpu"
threads = 2
[environment]
plugin = "worlds"
[state]
size = 65_536
[layer]
plugin = "ldl"
radix = 16
sharing = "axis"
[trainer]
plugin = "bptt"
unroll_length = 1
[goal]
plugin = "maximize"
"#;

/// The spec of the reference configuration with an environment that shows about as much, and without `threads`.
pub(crate) fn in_a_world() -> String {
    let world = "plugin = \"worlds\"\nworld = \"bounce\"\nsize = 122";
    REFERENCE.replace("threads = 2\n", "").replace("plugin = \"worlds\"", world)
}

impl Agent {
    /// State 65,536; radix 16; `sharing = "axis"`; concat; unroll 1; synthetic gradient; maximize; one stream of
    /// 15,007 observations.
    pub(crate) fn reference() -> Self {
        Agent {
            state: 65_536,
            streams: 1,
            observations: 15_007 - 4,
            sets: Vec::new(),
            sharing: GraphSharing::ForwardBackward,
        }
    }

    pub(crate) fn set(mut self, set: &str) -> Self {
        self.sets.push(set.to_owned());
        self
    }

    pub(crate) fn state(mut self, state: i64) -> Self {
        self.state = state;
        self.observations = self.observations.min(state as usize / 4);
        self
    }

    pub(crate) fn open(&self, registry: &Registry, directory: &Path) -> Result<Experiment> {
        let file = directory.join("reference.toml");
        std::fs::write(&file, REFERENCE)?;
        let mut sets = vec![format!("state.size={}", self.state)];
        sets.extend(self.sets.iter().cloned());
        let spec = spec::load(&file, &sets, std::iter::empty(), registry)
            .map_err(|m| Error::msg(m.report(&spec::ReportStyle::PLAIN)))?;
        let mut prepared = LoadedSpec::new(&spec, registry).map_err(Error::msg)?;
        prepared.sharing = self.sharing;
        let noise = Box::new(Noise::new(self.streams, self.observations, 118));
        prepared.open_with(noise, true)
    }
}

//! What must be true of every plugin, one sentence a check, kind by kind.
//!
//! `efference plugins check` goes through these lists with a plugin that it has loaded from its library; a plugin's own tests
//! do so with [`assert_all`]:
//!
//! ```no_run
//! # use efference_sdk::{Layer, Plugin};
//! # fn test<MyLayer: Layer + Plugin<Kind = dyn Layer>>() where MyLayer::Options: Default {
//! use efference_testkit::contract::{LAYER_CHECKS, Layers, assert_all};
//! let layers = Layers::new(|setup| Ok(Box::new(MyLayer::new(Default::default(), setup)?)));
//! assert_all(LAYER_CHECKS, &layers);
//! # }
//! ```

mod environment;
mod goal;
mod moments;
mod network;
mod networks;
mod process;
mod trainer;
mod units_cell;

pub use environment::{ENVIRONMENT_CHECKS, Environments, MakeEnvironment};
pub use goal::{GOAL_CHECKS, Goals, MakeGoal};
pub use network::{Cells, Layers, MakeCell, MakeLayer, Network, Networks};
pub use networks::{CELL_CHECKS, LAYER_CHECKS};
pub use trainer::{MakeTrainer, TRAINER_CHECKS, Trainers};

use efference_sdk::Result;
use process::ProcessState;

/// One thing that must be true of plugins that `M` makes.
pub struct Check<M: ?Sized> {
    /// What is true of a good plugin, as a sentence without a full stop.
    pub name: &'static str,
    /// What to do where it is not.
    pub help: &'static str,
    run: fn(&M) -> Result<Verdict>,
}

/// The first check of each kind; where it fails, the others cannot be made.
const MADE_NAME: &str = "it can be made";
const MADE_HELP: &str = "Its error says what it cannot do without: an option, which `efference plugins check` takes by `--set OPTION=VALUE`, or a fault in `new`.";

/// What a check says of a plugin that passes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is true.
    Holds,
    /// It is true, and this is of note: a figure.
    With(String),
    /// It is not asked of this plugin, for this reason.
    NotAsked(String),
}

impl<M: ?Sized> Check<M> {
    /// Whether it is true.
    ///
    /// # Errors
    /// What is not true, as far as it can be said.
    pub fn run(&self, make: &M) -> Result<Verdict> {
        let before = ProcessState::now()?;
        let verdict = (self.run)(make);
        let unchanged = before.check();
        let verdict = verdict?;
        unchanged.map(|()| verdict)
    }
}

/// Goes through all checks.
///
/// # Panics
/// With each check that fails, why, and what to do.
pub fn assert_all<M: ?Sized>(checks: &[Check<M>], make: &M) {
    let failed = checks.iter().filter_map(|check| {
        let why = check.run(make).err()?;
        Some(format!("it is not true that {}: {why:#}. {}", check.name, check.help))
    });
    let failed: Vec<String> = failed.collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

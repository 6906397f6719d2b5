//! What an experiment takes, and what stands in its way, before anything is allocated or started for it.
//!
//! The agent is built with parameters that take no memory, and makes some steps whose layers compute nothing
//! (`Model::rehearse`): so plugins count exactly as in a run, without a word from their authors. The environment is
//! not made; what its options say of it (`Outline`) is enough.
mod changes;
mod estimate;
mod gpu;
mod stand_in;

use crate::run::LoadedSpec;
use changes::{Change, lighter, mending};
use efference_runs::budget::{Budget, Forecast, Obstacle};
use efference_runs::limits::{Limits, MemoryLimit};
use efference_sdk::{Error, Result, bail};
use estimate::{Estimate, Really, estimate, fails_for_real};
use tch::Device;

/// What an experiment takes, and what stands in its way.
pub fn forecast(parts: &LoadedSpec<'_>) -> Forecast {
    let limit = limit(parts);
    let estimated = quietly(|| estimate(parts, bytes(limit.as_ref())));
    let obstacle = obstacle(parts, &estimated, limit.as_ref());
    Forecast { budget: estimated.budget(), obstacle }
}

/// The same for a device that this machine does not have: memory is as it may be.
pub fn forecast_elsewhere(parts: &LoadedSpec<'_>, device: String) -> Forecast {
    let estimated = quietly(|| estimate(parts, u64::MAX));
    let obstacle = obstacle(parts, &estimated, None);
    Forecast { budget: estimated.budget().map(|budget| Budget { device, ..budget }), obstacle }
}

/// Fails if an experiment takes more memory than there is, unless it is to be tried all the same.
///
/// # Errors
/// A sentence that names what it takes, the limit with what sets it, and the key to change.
pub fn check_memory(parts: &LoadedSpec<'_>) -> Result<()> {
    if parts.force {
        return Ok(());
    }
    let limit = limit(parts);
    let estimated = quietly(|| estimate(parts, bytes(limit.as_ref())));
    if let Estimate::Budget(budget, _) = &estimated {
        tracing::info!("memory: {}", budget.memory);
    }
    match too_much(parts, &estimated, limit.as_ref()) {
        Some(obstacle) => bail!("{obstacle}"),
        // Whatever else is wrong shows, and is reported, where the agent is made.
        None => Ok(()),
    }
}

/// How much memory can be had where the tensors of an experiment will live.
fn limit(parts: &LoadedSpec<'_>) -> Option<MemoryLimit> {
    match parts.device() {
        Device::Cuda(number) => gpu::free_memory(number),
        _ => Limits::of_this_process().memory(),
    }
}

fn bytes(limit: Option<&MemoryLimit>) -> u64 {
    limit.map_or(u64::MAX, |limit| limit.free)
}

fn obstacle(parts: &LoadedSpec<'_>, estimated: &Estimate, limit: Option<&MemoryLimit>) -> Option<Obstacle> {
    if let Some(obstacle) = too_much(parts, estimated, limit) {
        return Some(obstacle);
    }
    let error = match estimated {
        Estimate::Failed(error, bytes) => (error, *bytes),
        Estimate::Budget(budget, Some(error)) => (error, budget.memory.total()),
        _ => return None,
    };
    let found = || quietly(|| mending(parts, bytes(limit))).into_iter().next();
    match quietly(|| fails_for_real(parts, error, bytes(limit))) {
        Really::Fails(error) => Some(refused(parts, &error, found())),
        // What failed for want of values is not wrong.
        Really::Works => None,
        // With another value of one key it would not fail: so it is not for want of values that it does.
        Really::Unknown => found().map(|change| refused(parts, error.0, Some(change))),
    }
}

/// What a plugin refused, with the key whose change would mend it.
fn refused(parts: &LoadedSpec<'_>, error: &Error, change: Option<Change>) -> Obstacle {
    let section = error.plugin().map(|plugin| {
        // A bonus is a goal too.
        let mut of_kind = parts.plugins().filter(|(section, _)| section.kind() == plugin.kind);
        let found = of_kind.find(|(_, config)| config.plugin.info.name == plugin.name);
        found.map_or(plugin.kind.name(), |(section, _)| section.name()).to_owned()
    });
    let named = error.option().map(|option| match &section {
        Some(section) => format!("{section}.{option}"),
        None => option.to_owned(),
    });
    let key = named.or_else(|| change.as_ref().map(|change| change.key.clone())).or(section);
    Obstacle {
        key: key.unwrap_or_default(),
        message: format!("{error:#}"),
        help: change.map(|change| format!("With `{} = {}` it can be made", change.key, change.value)),
        can_be_forced: false,
    }
}

/// What is said if it takes more than there is.
fn too_much(parts: &LoadedSpec<'_>, estimated: &Estimate, limit: Option<&MemoryLimit>) -> Option<Obstacle> {
    let message = match (estimated, limit) {
        (Estimate::TooManyTensors(most), _) => {
            format!("the agent would have more than {most} parameters and buffers (tensors, not elements)")
        }
        (Estimate::Budget(budget, _), Some(limit)) if budget.memory.total() > limit.free => {
            format!("it takes {} of memory, and {limit}", budget.memory)
        }
        _ => return None,
    };
    let found = quietly(|| lighter(parts, bytes(limit)));
    let key = found.first().map_or("state.size", |change| &change.key).to_owned();
    let change =
        |change: &Change| format!("with `{} = {}` it takes {}", change.key, change.value, change.takes());
    let each: Vec<String> = found.iter().map(change).collect();
    let help = match each.is_empty() {
        true => format!("Lower `{key}`. `--force` tries it all the same"),
        false => format!("W{}. `--force` tries it all the same", &each.join("; ")[1..]),
    };
    Some(Obstacle { key, message, help: Some(help), can_be_forced: true })
}

/// Plugins say nothing to the log, and measure nothing, in a rehearsal.
fn quietly<R>(f: impl FnOnce() -> R) -> R {
    let result = tracing::subscriber::with_default(tracing::subscriber::NoSubscriber::new(), f);
    crate::plugins::take_metrics();
    result
}

impl Estimate {
    fn budget(&self) -> Option<Budget> {
        match self {
            Estimate::Budget(budget, _) => Some(budget.clone()),
            _ => None,
        }
    }
}

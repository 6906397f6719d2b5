//! Which change of a spec would help: found by trying, so that it is true whatever the plugins are.
use super::estimate::{Estimate, estimate};
use crate::agent::PluginConfig;
use crate::run::LoadedSpec;
use efference_abi::Kind;
use efference_runs::Bytes;
use efference_spec::{Section, plugin_options};
use serde_json::Value;

/// A change that helps.
pub(super) struct Change {
    /// The key.
    pub(super) key: String,
    /// Its value, as TOML writes it.
    pub(super) value: String,
    /// Bytes that the experiment takes then.
    bytes: u64,
}

impl Change {
    pub(super) fn takes(&self) -> String {
        format!("about {}", Bytes(self.bytes as f64))
    }
}

/// States are not made smaller than this to see whether that helps.
const LEAST_STATE: i64 = 16;

/// How many changes are named at most.
const MOST_NAMED: usize = 3;

/// What an experiment takes with a change; `None` if that can't be counted.
fn takes(parts: &LoadedSpec<'_>, limit: u64) -> Option<u64> {
    match estimate(parts, limit) {
        Estimate::Budget(budget, None) => Some(budget.memory.total()),
        _ => None,
    }
}

/// A key whose value is a whole number, and how the experiment is with another one.
struct Number<'a> {
    key: String,
    value: i64,
    with: Box<dyn Fn(i64) -> LoadedSpec<'a> + 'a>,
}

/// The size of a state, and all options that are whole numbers above 1.
fn numbers<'a>(parts: &'a LoadedSpec<'_>) -> Vec<Number<'a>> {
    let mut numbers = Vec::new();
    if let Some(size) = parts.said_state_size() {
        let with = Box::new(|size: i64| parts.with_state_size(size));
        numbers.push(Number { key: "state.size".to_owned(), value: size, with });
    }
    for (section, config) in parts.plugins() {
        let mut found = Vec::new();
        whole_numbers(&config.options, "", &mut found);
        for (path, value) in found {
            let key = format!("{}.{}", section.name(), path[1..].replace('/', "."));
            let with = Box::new(move |value: i64| with_option(parts, (section, config), &path, value.into()));
            numbers.push(Number { key, value, with });
        }
    }
    numbers
}

/// The whole numbers above 1 in options, each by its JSON pointer.
fn whole_numbers(options: &Value, at: &str, found: &mut Vec<(String, i64)>) {
    match options {
        Value::Object(table) => {
            table.iter().for_each(|(key, value)| whole_numbers(value, &format!("{at}/{key}"), found));
        }
        Value::Number(number) => {
            found.extend(number.as_i64().filter(|n| *n > 1).map(|n| (at.to_owned(), n)));
        }
        _ => {}
    }
}

fn with_option<'a>(
    parts: &LoadedSpec<'a>,
    (section, config): (Section, &PluginConfig),
    pointer: &str,
    value: Value,
) -> LoadedSpec<'a> {
    let mut config = config.clone();
    if let Some(place) = config.options.pointer_mut(pointer) {
        *place = value;
    }
    parts.with_plugin(section, config)
}

/// Changes by which an experiment takes less than `limit` bytes, or as little as one key allows; the one with the most effect
/// first.
pub(super) fn lighter(parts: &LoadedSpec<'_>, limit: u64) -> Vec<Change> {
    let before = takes(parts, limit).unwrap_or(u64::MAX);
    let mut found = layers(parts, limit);
    for Number { key, value, with } in numbers(parts) {
        // Its effect first: most keys have none.
        let less = if before == u64::MAX { 1 } else { value / 2 };
        if takes(&with(less), limit).is_none_or(|bytes| bytes > before / 10 * 9) {
            continue;
        }
        let halves = std::iter::successors(Some(value / 2), |n| Some(n / 2)).take_while(|n| *n > 0);
        let mut last = None;
        for value in halves {
            let Some(bytes) = takes(&with(value), limit) else { continue };
            last = Some((value, bytes));
            if bytes <= limit {
                break;
            }
        }
        found.extend(last.map(|(value, bytes)| Change { key, value: grouped(value), bytes }));
    }
    found.retain(|change| change.bytes < before);
    // Of those with much the same effect, the size of the state is the one that changes the most beside it.
    let rank = |change: &Change| (change.bytes.checked_ilog2(), change.key == "state.size", change.bytes);
    found.sort_by_key(|change| (change.bytes > limit, rank(change)));
    // What fits is worth naming; what does not, only where nothing does.
    let fitting = found.iter().filter(|change| change.bytes <= limit).count();
    found.truncate(fitting.clamp(1, MOST_NAMED));
    found
}

/// The other layers that are there, with their defaults.
fn layers(parts: &LoadedSpec<'_>, limit: u64) -> Vec<Change> {
    let now = &parts.plugin(Kind::Layer).plugin.info.name;
    let registry = parts.registry();
    let others = registry.found().iter().filter(|found| found.info.kind == Kind::Layer);
    let others = others.map(|found| &found.info.name).filter(|name| *name != now);
    let found = others.filter_map(|name| {
        let plugin = registry.load(Kind::Layer, name).ok()?;
        let choice = plugin_options(Kind::Layer, name, &[], registry).ok()?;
        let config = PluginConfig { plugin, options: Value::Object(choice.options) };
        let bytes = takes(&parts.with_plugin(Kind::Layer.into(), config), limit)?;
        Some(Change { key: "layer.plugin".to_owned(), value: format!("\"{name}\""), bytes })
    });
    found.collect()
}

/// Changes of one key by which an experiment that can't be made can be: another size of the state, or the default of an
/// option.
pub(super) fn mending(parts: &LoadedSpec<'_>, limit: u64) -> Vec<Change> {
    let works = |key: String, value: String, changed: LoadedSpec<'_>| {
        takes(&changed, limit).map(|bytes| Change { key, value, bytes })
    };
    let sizes = parts.said_state_size().and_then(|said| {
        let next = (said as u64).next_power_of_two();
        let larger = std::iter::successors(Some(next), |size| size.checked_mul(2)).take(12);
        let larger = larger.filter_map(|size| i64::try_from(size).ok());
        let smaller = std::iter::successors(Some(said / 2), |size| Some(size / 2));
        let smaller = smaller.take_while(|size| *size >= LEAST_STATE);
        let works = |size| works("state.size".to_owned(), grouped(size), parts.with_state_size(size));
        larger.chain(smaller).find_map(works)
    });
    let options = parts.plugins().flat_map(|(section, config)| {
        let defaults = plugin_options(section.kind(), &config.plugin.info.name, &[], parts.registry());
        let defaults = defaults.map(|choice| choice.options).unwrap_or_default();
        defaults.into_iter().filter_map(move |(key, default)| {
            if config.options.get(&key)? == &default {
                return None;
            }
            let value = efference_spec::to_toml_value(&default);
            let changed = with_option(parts, (section, config), &format!("/{key}"), default);
            works(format!("{}.{key}", section.name()), value, changed)
        })
    });
    sizes.into_iter().chain(options).collect()
}

/// `65_536`, as TOML writes large numbers.
fn grouped(number: i64) -> String {
    efference_runs::Grouped(number.unsigned_abs()).to_string().replace(',', "_")
}

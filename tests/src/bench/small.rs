//! Small agents in real worlds, on one thread: their steps are calls and bookkeeping more than arithmetic.
use crate::measure::{Bench, step};
use crate::table::{Row, Target, median};
use efference_engine::run::{Experiment, LoadedSpec};
use efference_sdk::{Error, Result};
use efference_spec as spec;
use std::time::Instant;

/// Two networks of 64 × 64, one update a transition; the same in experiments/cartpole.toml.
const CONTROL: &str = r#"
name = "control"
device = "cpu"
threads = 1
[environment]
plugin = "worlds"
world = "cartpole"
[state]
size = 16
[layer]
plugin = "dense"
gain = 0.58
[trainer]
plugin = "traces"
[goal]
plugin = "actor-critic"
[optimizer]
learning_rate = 0.0003
[optimizer.groups."goal.value"]
kind = "intentional"
"#;

/// The same with values of actions in place of value and policy.
const VALUES: [&str; 2] = ["goal.plugin=q-lambda", "optimizer.kind=obgd"];

/// An agent that predicts a ball in a box.
const PREDICT: &str = r#"
name = "predict"
device = "cpu"
threads = 1
[environment]
plugin = "worlds"
world = "bounce"
size = 10
[state]
size = 256
[goal]
plugin = "predict"
"#;

fn open(bench: &Bench<'_>, text: &str, sets: &[&str]) -> Result<Experiment> {
    let file = bench.directory.join("small.toml");
    std::fs::write(&file, text)?;
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    let spec = spec::load(&file, &sets, std::iter::empty(), bench.registry)
        .map_err(|m| Error::msg(m.report(&spec::ReportStyle::PLAIN)))?;
    LoadedSpec::new(&spec, bench.registry).map_err(Error::msg)?.open(None, true)
}

/// Steps a second: the median of rounds of so many steps.
fn rate(experiment: &mut Experiment, rounds: usize, steps: u32) -> Result<f64> {
    let mut rates = Vec::with_capacity(rounds);
    for round in 0..=rounds {
        let began = Instant::now();
        for _ in 0..steps {
            step(experiment)?;
        }
        // The first one warms up.
        if round > 0 {
            rates.push(f64::from(steps) / began.elapsed().as_secs_f64());
        }
    }
    Ok(median(rates))
}

/// Streaming actor-critic and Q(λ) on a pole.
pub(crate) fn control(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let actor_critic = rate(&mut open(bench, CONTROL, &[])?, 9, 2_000)?;
    // A group that there is no more would be a mistake of the spec.
    let values = CONTROL.split("[optimizer.groups").next().unwrap_or_default();
    let q_lambda = rate(&mut open(bench, values, &VALUES)?, 9, 2_000)?;
    Ok(vec![
        Row {
            name: "streaming actor-critic, two nets of 64×64, cartpole, one thread",
            value: actor_critic,
            unit: "steps/s",
            target: Target::AtLeast(40_000.0),
        },
        Row {
            name: "streaming Q(λ), 64×64, cartpole, one thread",
            value: q_lambda,
            unit: "steps/s",
            target: Target::AtLeast(65_000.0),
        },
    ])
}

/// An agent that predicts pictures of 10 × 10.
pub(crate) fn predict(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let value = rate(&mut open(bench, PREDICT, &[])?, 9, 1_000)?;
    let name = "a small agent: state 256, predict, worlds";
    Ok(vec![Row { name, value, unit: "steps/s", target: Target::AtLeast(12_000.0) }])
}

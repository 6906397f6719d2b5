//! Measures the time of a step for states of many sizes.
use super::data::{Growth, Plot, Point, Series};
use crate::agents::Agent;
use crate::measure::{Bench, step};
use crate::table::median;
use efference_engine::run::Experiment;
use efference_sdk::Result;
use efference_sdk::tch::get_num_threads;
use std::time::{Duration, Instant};

/// Each layer, with the powers of 2 that are the sizes of its states.
const LAYERS: [(&str, Growth, &[u32]); 2] = [
    ("ldl", Growth::Linearithmic, &[8, 10, 12, 14, 16, 18, 20]),
    ("dense", Growth::Quadratic, &[8, 9, 10, 11, 12, 13]),
];

/// An agent whose weights take more than so many GiB is left out.
const MOST_GIB: f64 = 6.0;

/// What training takes for a weight: five numbers of 4 bytes. Its value, its gradient, Adam's two means of that, and
/// a gradient in the making.
const GIB_A_WEIGHT: f64 = 5.0 * 4.0 / (1u64 << 30) as f64;

/// An agent has so many turns, each of as many steps as fit into so many milliseconds.
const TURNS: usize = 5;
const TURN: f64 = 200.0;

/// Measures all sizes, the smallest first. Says each result as it comes.
pub(crate) fn measure(bench: &Bench<'_>) -> Result<Plot> {
    let mut series =
        LAYERS.map(|(layer, growth, _)| Series { layer: layer.to_owned(), growth, points: Vec::new() });
    // Of the largest state so far: its numbers, and the agent's weights.
    let mut largest = [None; LAYERS.len()];
    let mut powers: Vec<u32> = LAYERS.iter().flat_map(|(_, _, powers)| *powers).copied().collect();
    powers.sort();
    powers.dedup();
    for power in powers {
        let n = 1 << power;
        let mut chosen = Vec::new();
        for (i, (layer, growth, powers)) in LAYERS.iter().enumerate() {
            let gib = largest[i].map_or(0.0, |(before, weights): (i64, i64)| {
                growth.of(n as f64) / growth.of(before as f64) * weights as f64 * GIB_A_WEIGHT
            });
            if !powers.contains(&power) {
                continue;
            } else if gib > MOST_GIB {
                println!(
                    "{layer:<6} N = 2^{power:<3} left out: takes {gib:.1} GiB, more than {MOST_GIB:.0} GiB"
                );
            } else {
                chosen.push((i, layer));
            }
        }
        let agent = |layer| Agent::reference().state(n).set(&format!("layer.plugin={layer}"));
        let mut experiments = chosen
            .iter()
            .map(|(_, layer)| agent(layer).open(bench.registry, bench.directory))
            .collect::<Result<Vec<_>>>()?;
        let medians = in_turns(&mut experiments)?;
        for (((i, layer), experiment), median_ms) in chosen.into_iter().zip(experiments).zip(medians) {
            println!("{layer:<6} N = 2^{power:<3} {median_ms:>10.3} ms a step");
            // Nobody can tell less than a microsecond.
            series[i].points.push(Point { n, median_ms: (median_ms * 1e3).round() / 1e3 });
            largest[i] = Some((n, experiment.model().store().trained_count()));
        }
    }
    let threads = get_num_threads();
    Ok(Plot {
        title: "Time of one step over N, the numbers in the state".to_owned(),
        settings: format!(
            "Reference configuration: unroll 1, synthetic gradient, maximize, 1 stream. Medians; CPU, {threads} thread{}.",
            if threads == 1 { "" } else { "s" }
        ),
        series: series.into(),
    })
}

/// Median milliseconds a step of experiments that take turns: slow ones make few steps in theirs, fast ones many.
fn in_turns(experiments: &mut [Experiment]) -> Result<Vec<f64>> {
    let mut steps = Vec::new();
    for experiment in &mut *experiments {
        // The first step makes the optimizers' means.
        step(experiment)?;
        let (began, mut made, mut last) = (Instant::now(), 0, 0.0);
        while made == 0 || (made < 20 && began.elapsed() < Duration::from_millis(500)) {
            last = step(experiment)?;
            made += 1;
        }
        steps.push((TURN / last).clamp(1.0, 200.0) as usize);
    }
    let mut times = vec![Vec::new(); experiments.len()];
    for _ in 0..TURNS {
        for ((experiment, times), steps) in experiments.iter_mut().zip(&mut times).zip(&steps) {
            // The first one after another's turn finds the caches cold. Where one step fills the turn it makes no
            // difference: what it reads is larger than the caches.
            if *steps > 1 {
                step(experiment)?;
            }
            for _ in 0..*steps {
                times.push(step(experiment)?);
            }
        }
    }
    Ok(times.into_iter().map(median).collect())
}

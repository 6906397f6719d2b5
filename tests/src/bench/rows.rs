//! What is measured. Where two things are compared they alternate, and medians are taken.
use crate::agents::Agent;
use crate::measure::{Bench, step};
use crate::table::{Row, Target, median, milliseconds};
use crate::{company, small};
use efference_abi::Kind;
use efference_engine::agent::{GraphSharing, ParameterStore};
use efference_engine::bench::{peak_memory, resident_memory};
use efference_engine::plugins::CallMonitor;
use efference_sdk::{
    Environment, EnvironmentSetup, Frame, Frames, Layer, LayerSetup, Params, Random, Result, Size,
    action_width, bail,
};
use serde_json::json;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tch::{Kind as Dtype, Tensor};

/// A row and how it is measured: the beginning of its name is what chooses it on the command line.
pub(crate) type Measure = fn(&Bench<'_>) -> Result<Vec<Row>>;

pub(crate) const ALL: [(&str, Measure); 17] = [
    ("reference", reference),
    ("state-4096", small_state),
    ("growth", growth),
    ("streams", streams),
    ("unroll", unroll),
    ("layer", layer),
    ("unshared", unshared),
    ("small-agent", small_agent),
    ("predict", small::predict),
    ("control", small::control),
    ("boundary", boundary),
    ("worlds", worlds),
    ("memory", memory),
    ("start", start),
    ("recording", recording),
    ("busy", company::busy),
    ("pair", company::pair),
];

/// Median milliseconds a step of several agents, which take turns of `turn` steps.
fn alternate(bench: &Bench<'_>, agents: &[Agent], rounds: usize, turn: usize) -> Result<Vec<f64>> {
    let mut experiments =
        agents.iter().map(|a| a.open(bench.registry, bench.directory)).collect::<Result<Vec<_>>>()?;
    for experiment in &mut experiments {
        for _ in 0..5 {
            step(experiment)?;
        }
    }
    let mut times = vec![Vec::new(); agents.len()];
    for _ in 0..rounds {
        for (experiment, times) in experiments.iter_mut().zip(&mut times) {
            // The first one after another agent's turn finds the caches cold.
            step(experiment)?;
            for _ in 0..turn {
                times.push(step(experiment)?);
            }
        }
    }
    Ok(times.into_iter().map(median).collect())
}

fn reference(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let mut plain = Agent::reference().set("layer.kernel=libtorch");
    plain.sharing = GraphSharing::None;
    let one_thread = Agent::reference().set("threads=1");
    let times = alternate(bench, &[Agent::reference(), plain], 5, 12)?;
    let alone = alternate(bench, &[one_thread], 5, 12)?[0];
    Ok(vec![
        Row { name: "reference configuration", value: times[0], unit: "ms", target: Target::AtMost(3.0) },
        Row { name: "reference: one thread", value: alone, unit: "ms", target: Target::AtMost(5.0) },
        Row {
            name: "reference: libtorch's kernels without shared forward, against it",
            value: times[1] / times[0],
            unit: "times",
            target: Target::AtLeast(25.0),
        },
    ])
}

fn small_state(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let times = alternate(bench, &[Agent::reference().state(4096)], 5, 200)?;
    Ok(vec![Row {
        name: "the same with state 4,096",
        value: times[0],
        unit: "ms",
        target: Target::AtMost(0.4),
    }])
}

fn growth(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let times = alternate(bench, &[Agent::reference(), Agent::reference().state(1 << 20)], 3, 6)?;
    let value = times[1] / times[0];
    Ok(vec![Row { name: "step at 2^20 / step at 2^16", value, unit: "times", target: Target::AtMost(22.0) }])
}

fn streams(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let eight = Agent { streams: 8, ..Agent::reference() };
    let times = alternate(bench, &[Agent::reference(), eight], 5, 8)?;
    let value = 8.0 * times[0] / times[1];
    Ok(vec![
        Row { name: "8 streams, a step of all", value: times[1], unit: "ms", target: Target::AtMost(16.0) },
        Row { name: "frames a second, 8 streams / 1", value, unit: "times", target: Target::AtLeast(3.0) },
    ])
}

fn unroll(bench: &Bench<'_>) -> Result<Vec<Row>> {
    // Steps of an unroll of 2 are unequal: their mean counts.
    let agents = [Agent::reference(), Agent::reference().set("trainer.unroll_length=2")];
    let mut experiments =
        agents.iter().map(|a| a.open(bench.registry, bench.directory)).collect::<Result<Vec<_>>>()?;
    let mut times = vec![Vec::new(); 2];
    for _ in 0..12 {
        for (experiment, times) in experiments.iter_mut().zip(&mut times) {
            step(experiment)?;
            step(experiment)?;
            let mut sum = 0.0;
            for _ in 0..6 {
                sum += step(experiment)?;
            }
            times.push(sum / 6.0);
        }
    }
    let [one, two] = [0, 1].map(|i| median(times[i].clone()));
    let target = Target::AtMost(1.1);
    Ok(vec![Row { name: "time a step, unroll 2 / unroll 1", value: two / one, unit: "times", target }])
}

fn made(
    bench: &Bench<'_>,
    store: &ParameterStore,
    name: &str,
    n: i64,
    options: serde_json::Value,
) -> Result<Box<dyn Layer>> {
    let plugin = bench.registry.load(Kind::Layer, name).map_err(efference_sdk::Error::msg)?;
    let params = Params::new(store).scope(format_args!("{name}{n}"));
    let setup = LayerSetup { size: Size { ins: n, outs: n }, params };
    plugin.create_layer(&options, &setup, &Arc::new(CallMonitor::default()))
}

/// A call over the boundary that does next to nothing: a checked proxy here, a plugin there, and back.
fn boundary(bench: &Bench<'_>) -> Result<Vec<Row>> {
    const CALLS: u32 = 100_000;
    let store = ParameterStore::new(1, tch::Device::Cpu);
    let layer = made(bench, &store, "dense", 4, json!({}))?;
    let mut times = Vec::new();
    for _ in 0..11 {
        let began = Instant::now();
        for _ in 0..CALLS {
            std::hint::black_box(layer.multiply_accumulates()?);
        }
        times.push(began.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS));
    }
    let name = "a call over the boundary that does nothing";
    Ok(vec![Row { name, value: median(times), unit: "ns", target: Target::AtMost(40.0) }])
}

/// One forward and backward pass, in milliseconds.
fn pass(layer: &dyn Layer, x: &Tensor, n: i64) -> Result<f64> {
    let began = Instant::now();
    let leaf = x.f_detach()?.f_set_requires_grad(true)?;
    layer.forward(&leaf, 0..n)?.f_sum(Dtype::Float)?.f_backward()?;
    Ok(milliseconds(began.elapsed()))
}

fn layer(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (n, name, target) in [
        (1024, "layer forward + backward, dense / ldl, N = 1,024", 3.0),
        (4096, "layer forward + backward, dense / ldl, N = 4,096", 50.0),
    ] {
        let store = ParameterStore::new(1, tch::Device::Cpu);
        let ldl = made(bench, &store, "ldl", n, json!({}))?;
        let dense = made(bench, &store, "dense", n, json!({}))?;
        let x = Random::new(2).normal(&[1, n], 1.0);
        let (mut fast, mut slow) = (Vec::new(), Vec::new());
        for _ in 0..30 {
            for (layer, times) in [(&ldl, &mut fast), (&dense, &mut slow)] {
                pass(&**layer, &x, n)?;
                times.push(pass(&**layer, &x, n)?);
            }
        }
        rows.push(Row {
            name,
            value: median(slow) / median(fast),
            unit: "times",
            target: Target::AtLeast(target),
        });
    }
    Ok(rows)
}

fn unshared(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let n = 1 << 16;
    let store = ParameterStore::new(1, tch::Device::Cpu);
    let ldl = made(bench, &store, "ldl", n, json!({"sharing": "none"}))?;
    let x = Random::new(2).normal(&[1, n], 1.0);
    let weights: i64 = store.trained("").iter().map(|(_, p)| p.numel() as i64).sum();
    let (from, mut to) = (
        Tensor::ones([weights], (Dtype::Float, tch::Device::Cpu)),
        Tensor::zeros([weights], (Dtype::Float, tch::Device::Cpu)),
    );
    let (mut times, mut copies) = (Vec::new(), Vec::new());
    for _ in 0..15 {
        for (_, p) in store.trained("").iter() {
            efference_sdk::autograd::clear_gradient(p);
        }
        times.push(pass(&*ldl, &x, n)?);
        let began = Instant::now();
        to.copy_(&from);
        copies.push(milliseconds(began.elapsed()));
    }
    // Forward reads the weights, backward reads them again and writes their gradients: three transfers of them; a
    // copy makes two.
    let value = median(times) / (1.5 * median(copies));
    let name = "ldl sharing = none at 2^16, against what it must read and write";
    Ok(vec![Row { name, value, unit: "times", target: Target::AtMost(1.5) }])
}

fn small_agent(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let agent = Agent {
        observations: 100,
        ..Agent::reference().state(256).set("goal.plugin=predict").set("threads=1")
    };
    let times = alternate(bench, &[agent], 5, 400)?;
    let name = "a small agent: state 256, predict";
    Ok(vec![Row { name, value: 1e3 / times[0], unit: "steps/s", target: Target::AtLeast(2000.0) }])
}

/// Counts frames and remembers how many actions each wants.
#[derive(Default)]
struct Counter {
    frames: Vec<(u64, usize, usize)>,
}

impl Frames for Counter {
    fn begin(&mut self, _: u64) -> Result<()> {
        Ok(())
    }

    fn frame(&mut self, frame: Frame<'_>) -> Result<()> {
        self.frames.push((frame.stream, frame.observation.len(), action_width(frame.actions)));
        Ok(())
    }

    fn end(&mut self, _: u64) -> Result<()> {
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

fn worlds(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let plugin = bench.registry.load(Kind::Environment, "worlds").map_err(efference_sdk::Error::msg)?;
    let monitor = Arc::new(CallMonitor::default());
    let options = json!({"world": "catch", "streams": 4});
    let mut world = plugin.create::<dyn Environment>(&options, &EnvironmentSetup::with_seed(1), &monitor)?;
    let mut random = Random::new(1);
    let actions: Vec<f32> = (0..4096).map(|_| (random.unit() * 2.0 - 1.0) as f32).collect();
    let prediction = vec![0.0; 4096];
    let (began, mut count) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_millis(500) {
        let mut counter = Counter::default();
        world.poll(Duration::ZERO, &mut counter)?;
        for (stream, observed, wanted) in counter.frames {
            let at = count % 4000;
            world.act(stream, &prediction[..observed], &actions[at..at + wanted])?;
            count += 1;
        }
    }
    let value = count as f64 / began.elapsed().as_secs_f64();
    let name = "worlds alone through the boundary, random actions";
    Ok(vec![Row { name, value, unit: "frames/s", target: Target::AtLeast(200_000.0) }])
}

fn memory(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let mut experiment = Agent::reference().open(bench.registry, bench.directory)?;
    for _ in 0..20 {
        step(&mut experiment)?;
    }
    let peak = peak_memory();
    // 100,000 steps of an agent that takes the same paths.
    let small = Agent { observations: 100, ..Agent::reference().state(256).set("threads=1") };
    let mut experiment = small.open(bench.registry, bench.directory)?;
    for _ in 0..2000 {
        step(&mut experiment)?;
    }
    let before = resident_memory();
    for _ in 0..100_000 {
        step(&mut experiment)?;
    }
    let grown = resident_memory() - before;
    Ok(vec![
        Row {
            name: "peak memory, reference configuration",
            value: peak,
            unit: "MiB",
            target: Target::AtMost(150.0),
        },
        Row {
            name: "memory grown over 100,000 steps",
            value: grown,
            unit: "MiB",
            target: Target::AtMost(4.0),
        },
    ])
}

/// Seconds that the program beside this one takes, its output unread.
fn program(bench: &Bench<'_>, arguments: &[&str]) -> Result<f64> {
    let own = std::env::current_exe()?;
    let began = Instant::now();
    let mut command = Command::new(own.with_file_name("efference"));
    let status = command
        .args(arguments)
        .current_dir(bench.directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if !status.success() {
        bail!("`efference {}` failed: {status}", arguments.join(" "));
    }
    Ok(began.elapsed().as_secs_f64())
}

fn start(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let spec = bench.directory.join("start.toml");
    std::fs::write(&spec, "steps = 1\n[environment]\nplugin = \"worlds\"\n[state]\nsize = 1024\n")?;
    let spec = spec.to_string_lossy();
    let times = |arguments: &[&str]| -> Result<f64> {
        Ok(median((0..5).map(|_| program(bench, arguments)).collect::<Result<Vec<_>>>()?))
    };
    Ok(vec![
        Row {
            name: "a run of one step, from typing it to its end",
            value: times(&["run", &spec])?,
            unit: "s",
            target: Target::AtMost(1.0),
        },
        Row {
            name: "efference plugins",
            value: times(&["plugins"])? * 1e3,
            unit: "ms",
            target: Target::AtMost(100.0),
        },
    ])
}

fn recording(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let spec = bench.directory.join("recording.toml");
    std::fs::write(
        &spec,
        "steps = 4_000\nthreads = 1\n[environment]\nplugin = \"worlds\"\n[state]\nsize = 1024\n",
    )?;
    let spec = spec.to_string_lossy();
    let off = [
        "--set",
        "record.every=1000000",
        "--set",
        "record.pictures_every=0",
        "--set",
        "record.tensorboard=false",
    ];
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        with.push(program(bench, &["run", &spec])?);
        without.push(program(bench, &[&["run", &spec][..], &off].concat())?);
    }
    let value = 100.0 * (median(with) / median(without) - 1.0);
    let name = "recording every 10 steps, pictures every 500: slower by";
    Ok(vec![Row { name, value, unit: "%", target: Target::AtMost(3.0) }])
}

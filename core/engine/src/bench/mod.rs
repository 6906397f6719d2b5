//! Measures how fast an experiment steps, where a step's time goes, and how far that is from what the machine can do.
mod peak;
mod report;

use crate::forecast::check_memory;
use crate::run::checkpoint::Checkpoints;
use crate::run::{Beside, Ended, Experiment, LoadedSpec, Origin, Recording, Stop, make_steps, threads};
use efference_cli::temporary::TemporaryPlace;
use efference_runs::directory::RunDirectory;
use efference_sdk::{Result, ResultExt, bail};
use efference_spec::Spec;
pub use peak::Peak;
pub use report::{Parts, Rates, Report};
use std::time::{Duration, Instant, SystemTime};

/// How an experiment is measured.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Steps that are made before.
    pub warm_up: u64,
    /// Steps that are measured.
    pub steps: u64,
    /// Gives up when someone stops it.
    pub stop: &'a Stop,
}

/// Makes steps as a run does, records them into a temporary directory, which does not stay, and says how long that
/// took; then measures what the machine can do at most.
///
/// # Errors
/// If a plugin fails, the environment ends too early, someone stops it, or there is no room for what is recorded.
pub fn measure(spec: &Spec, prepared: &LoadedSpec<'_>, request: &Request<'_>) -> Result<Report> {
    check_memory(prepared)?;
    let mut report = measure_steps(spec, prepared, request)?;
    // By now the experiment is gone, and with it what it may have had running beside it, such as a browser.
    threads::all_to_libtorch();
    let peak = Peak::measure(prepared.device());
    let peak =
        peak.inspect_err(|e| tracing::warn!("what the machine can do could not be measured: {e:#}")).ok();
    report.rates.peak_flop_per_second = peak.map(|p| p.flop_per_second);
    report.rates.peak_bytes_per_second = peak.map(|p| p.bytes_per_second);
    Ok(report)
}

fn measure_steps(spec: &Spec, prepared: &LoadedSpec<'_>, request: &Request<'_>) -> Result<Report> {
    let place = TemporaryPlace::new("bench");
    let place =
        place.context("no temporary directory could be made to record into; see the variable TMPDIR")?;
    let directory = RunDirectory::claim(place.path(), &spec.name, SystemTime::now(), &spec.to_toml())?;
    let mut experiment = prepared.open(Some(directory.path()), true)?;
    let mut recording = Recording::start(spec, &directory, &mut experiment, Origin::now(), None)?;
    let mut checkpoints = Checkpoints::new(&directory, &spec.checkpoint)?;

    let steps = request.steps;
    let mut each = Vec::with_capacity(steps.min(1 << 20) as usize);
    let (mut frames, mut recorded) = (0, Duration::ZERO);
    let ended = make_steps(
        &mut experiment,
        &mut recording,
        &mut checkpoints,
        Beside::default(),
        Some(request.warm_up),
        request.stop,
        |_, _, _| {},
    )?;
    check_all_made(ended, &experiment)?;
    experiment.times = Default::default();
    experiment.model().take_times();
    experiment.model().take_work();
    let measured_from = Instant::now();
    let ended = make_steps(
        &mut experiment,
        &mut recording,
        &mut checkpoints,
        Beside::default(),
        Some(request.warm_up.saturating_add(steps)),
        request.stop,
        |experiment, _, times| {
            recorded += times.record;
            each.push(times.advance + times.record);
            frames += experiment.active_streams();
        },
    )?;
    check_all_made(ended, &experiment)?;
    let all = measured_from.elapsed();
    let (outer, inner) = (experiment.times, experiment.model().take_times());
    let work = experiment.model().take_work();
    recording.finish(&experiment).complete()?;

    let mean = |d: Duration| d.as_secs_f64() * 1e3 / steps as f64;
    let within = inner.transition + inner.loss + inner.network + inner.update;
    each.sort();
    let at = |share: f64| {
        let place = ((each.len() as f64 - 1.0) * share).round() as usize;
        each.get(place).map_or(0.0, |d| d.as_secs_f64() * 1e3)
    };
    Ok(Report {
        steps,
        steps_per_second: steps as f64 / all.as_secs_f64(),
        frames_per_second: frames as f64 / all.as_secs_f64(),
        median: at(0.5),
        p95: at(0.95),
        parts: Parts {
            environment: mean(outer.environment),
            comparing: mean(outer.comparing),
            transition: mean(inner.transition),
            loss: mean(inner.loss),
            network: mean(inner.network),
            backward: mean(outer.trainer.saturating_sub(within)),
            update: mean(inner.update),
            recording: mean(recorded),
            other: mean(all.saturating_sub(outer.environment + outer.comparing + outer.trainer + recorded)),
        },
        peak_memory: peak_memory(),
        parameters: experiment.model().store().trained_count(),
        threads: threads::of_run(),
        rates: Rates {
            flop: work.flop as f64 / steps as f64,
            flop_is_lower_bound: work.flop_is_lower_bound,
            flop_per_second: work.flop as f64 / all.as_secs_f64(),
            peak_flop_per_second: None,
            bytes: work.bytes as f64 / steps as f64,
            bytes_per_second: work.bytes as f64 / all.as_secs_f64(),
            peak_bytes_per_second: None,
        },
    })
}

/// Fails if the steps ended before all were made.
fn check_all_made(ended: Ended, experiment: &Experiment) -> Result<()> {
    let step = experiment.step();
    match ended {
        Ended::Finished => Ok(()),
        Ended::Stopped => bail!("was stopped after {step} steps, before all was measured"),
        Ended::Closed => bail!("the environment ended after {step} steps: too early to be measured"),
    }
}

/// The largest memory that this process has had in use, in MiB; 0 where the system does not say.
pub fn peak_memory() -> f64 {
    memory("VmHWM:")
}

/// The memory that this process has in use, in MiB; 0 where the system does not say.
pub fn resident_memory() -> f64 {
    memory("VmRSS:")
}

fn memory(kind: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix(kind));
    let kib = line.and_then(|l| l.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or_default() / 1024.0
}

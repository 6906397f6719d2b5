//! `efference diff`: where two runs part.
use crate::engine::Engine;
use crate::paths::path;
use crate::run_spec::RunSpec;
use crate::{fail, print};
use clap::Args;
use efference_compare::{Difference, provenance_differences};
use efference_runs::Grouped;
use efference_runs::directory::RunDirectory;
use std::path::PathBuf;

/// Says what differs between two runs: keys of their specs, what made them, and the first step in which they part.
///
/// In that step, the component is named that is computed first of those that differ: the observation, the loss, the gradient or
/// the parameters of a group, the prediction and action. Exit status: 0 they are equal as far as both have come, 1 they
/// are not.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// One run: the path of its directory, or in `runs` NAME (its run that was started last), NAME/ID, ID, or `latest`.
    #[arg(value_name = "RUN", value_parser = path())]
    pub a: PathBuf,
    /// Another run.
    #[arg(value_name = "RUN", value_parser = path())]
    pub b: PathBuf,
}

/// Does it; returns the exit status.
pub fn run(arguments: &DiffArgs) -> u8 {
    let open = || Ok::<_, u8>((RunSpec::open(&arguments.a)?, RunSpec::open(&arguments.b)?));
    let (a, b) = match open() {
        Ok(both) => both,
        Err(status) => return status,
    };
    match report(a, b) {
        Ok((text, parted)) => {
            print(&text);
            u8::from(parted)
        }
        Err(status) => status,
    }
}

fn report(a: RunSpec, b: RunSpec) -> Result<(String, bool), u8> {
    let engine = Engine::default();
    let changes = a.changed(&[], &engine)?.new.changes(&b.changed(&[], &engine)?.new);
    let mut text = String::new();
    let mut section = |title: &str, lines: Vec<String>| {
        let all = lines.iter().map(|line| format!("\n  {line}"));
        let all = if lines.is_empty() { " the same.".to_owned() } else { all.collect() };
        text += &format!("{title}:{all}\n");
    };
    let change = |change: efference_spec::Change| {
        let shown = change.to_string();
        shown.rsplit_once(" (").map_or(shown.clone(), |(without_kind, _)| without_kind.to_owned())
    };
    section("Specs", changes.into_iter().map(change).collect());
    let (a, b) = (a.directory, b.directory);
    if let (Some(own), Some(other)) = (a.provenance(), b.provenance()) {
        section("What made them", provenance_differences(&own, &other));
    }
    let (steps, parted) = steps(&a, &b).map_err(fail)?;
    text += &steps;
    Ok((text, parted))
}

/// Where they part, in words.
fn steps(a: &RunDirectory, b: &RunDirectory) -> Result<(String, bool), efference_runs::FileError> {
    let difference = Difference::of(a, b)?;
    let metric = difference.metric.as_ref().map(|metric| {
        let [a, b] = metric.values.each_ref().map(|v| v.as_ref().map_or("–".to_owned(), ToString::to_string));
        format!("  In the line of step {}, {}: {a} and {b}.\n", Grouped(metric.step), metric.name)
    });
    let parted = difference.fingerprint.is_some() || metric.is_some();
    let lines = difference.lines;
    let steps = difference.steps.unwrap_or(0) as u64;
    let text = match (&difference.fingerprint, metric) {
        (Some((step, component)), metric) => {
            let metric = metric.unwrap_or_default();
            format!(
                "Steps: they part in step {}; what differs first in it: {component}.\n{metric}",
                Grouped(*step)
            )
        }
        (None, Some(metric)) if difference.steps.is_none() => {
            format!(
                "Steps: they part; without fingerprints, the lines of metrics tell no more than this.\n{metric}"
            )
        }
        (None, Some(metric)) => {
            format!("Steps: the fingerprints are the same, and metrics are not.\n{metric}")
        }
        (None, None) if steps == 0 && lines == 0 => "Steps: they have none in common.\n".to_owned(),
        (None, None) => {
            let of = if steps > 0 { format!("{} fingerprints and ", Grouped(steps)) } else { String::new() };
            format!("Steps: the same, bit for bit, by {of}{} lines of metrics.\n", Grouped(lines as u64))
        }
    };
    Ok((text, parted))
}

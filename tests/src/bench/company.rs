//! Steps while others use the machine: `efference bench` as a program, several at a time.
use crate::agents;
use crate::measure::Bench;
use crate::table::{Row, Target, median};
use efference_sdk::{Error, Result, bail};
use serde_json::Value;
use std::hint::spin_loop;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const ROUNDS: usize = 3;

/// Begins `efference bench` of the reference configuration in the world `bounce`.
fn begin(bench: &Bench<'_>, sets: &[&str]) -> Result<Child> {
    let file = bench.directory.join("company.toml");
    std::fs::write(&file, agents::in_a_world())?;
    let own = std::env::current_exe()?;
    let mut command = Command::new(own.with_file_name("efference"));
    command.args(["bench", "company.toml", "--json", "--steps", "100"]);
    command.args(sets.iter().flat_map(|set| ["--set", set]));
    command.current_dir(bench.directory).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    Ok(command.spawn()?)
}

/// The median milliseconds of a step that it reports.
fn end(child: Child) -> Result<f64> {
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("`efference bench` failed: {}", output.status);
    }
    let report: Value = serde_json::from_slice(&output.stdout)?;
    report["median"].as_f64().ok_or_else(|| Error::msg("`efference bench --json` has no 'median'"))
}

/// Calls `f` while a core is busy with something else.
fn beside_a_busy_core<R>(f: impl FnOnce() -> R) -> R {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                spin_loop();
            }
        });
        let result = f();
        over.store(true, Ordering::Relaxed);
        result
    })
}

/// One core is taken by another program, and nobody said how many threads to use.
pub(crate) fn busy(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let (alone, busy) = beside_a_busy_core(|| -> Result<_> {
            Ok((end(begin(bench, &["threads=1"])?)?, end(begin(bench, &[])?)?))
        })?;
        ratios.push(busy / alone);
    }
    Ok(vec![Row {
        name: "beside a busy core: `threads` not set, against one thread",
        value: median(ratios),
        unit: "times",
        target: Target::AtMost(1.25),
    }])
}

/// Two runs at once, each on one thread.
pub(crate) fn pair(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let alone = end(begin(bench, &["threads=1"])?)?;
        let (first, second) = (begin(bench, &["threads=1"])?, begin(bench, &["threads=1"])?);
        let (first, second) = (end(first)?, end(second)?);
        ratios.push((first + second) / 2.0 / alone);
    }
    Ok(vec![Row {
        name: "two runs at once, one thread each, against one alone",
        value: median(ratios),
        unit: "times",
        target: Target::AtMost(1.15),
    }])
}

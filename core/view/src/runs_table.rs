//! A list of runs, as a table for people and as JSON for programs.
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};
use efference_runs::{Grouped, Lasting, ListedRun, Listing, ThreeDigits, metric, time};
use serde_json::{Map, Value, json};
use std::time::SystemTime;

/// Columns before those of the metrics.
const FIRST: [&str; 5] = ["RUN", "STATE", "STEP", "OF", "STARTED"];

/// The table: a run a line, the one that was started last at the end. On a terminal of so many columns, what differs
/// goes on in further lines; without a width each run has just one.
pub fn table(listing: &Listing, now: SystemTime, width: Option<u16>) -> String {
    let shown: Vec<_> = listing.runs.iter().map(metrics).collect();
    // Each metric that some run has, in the order in which people are shown them.
    let mut names: Vec<&str> = Vec::new();
    for (at, name, _) in shown.iter().flatten() {
        if !names.contains(name) {
            let place = names.partition_point(|known| order(&shown, known) < *at);
            names.insert(place, name);
        }
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let differs = listing.runs.iter().any(|run| !run.differs.is_empty());
    let header = FIRST.iter().chain(&names).copied().chain(differs.then_some("DIFFERS"));
    table.set_header(header);
    for (run, shown) in listing.runs.iter().zip(&shown) {
        let mut cells = vec![
            format!("{}/{}", run.name, run.id),
            run.state.map_or("?", |state| state.name()).to_owned(),
            Grouped(run.step).to_string(),
            run.steps.map_or("-".to_owned(), |steps| Grouped(steps).to_string()),
            started(run, now),
        ];
        cells.extend(names.iter().map(|name| {
            let value = shown.iter().find(|(_, known, _)| known == name);
            value.map_or("-".to_owned(), |(_, _, value)| ThreeDigits(*value).to_string())
        }));
        if differs {
            let said: Vec<String> = run.differs.iter().map(|(key, value)| format!("{key}={value}")).collect();
            cells.push(said.join(" "));
        }
        table.add_row(cells);
    }
    let last = FIRST.len() + names.len();
    for (number, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if number == 2 || number == 3 || (FIRST.len()..last).contains(&number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        if number < last {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    table.trim_fmt() + "\n"
}

type Shown = Vec<(usize, &'static str, f64)>;

/// The metrics of a run that people are shown, each with its place among them.
fn metrics(run: &ListedRun) -> Shown {
    let values = run.last.as_ref().map_or(&[][..], |line| &line.values);
    metric::in_progress(values)
        .into_iter()
        .enumerate()
        .map(|(at, (name, value, _))| (at, name, value))
        .collect()
}

/// The first place that a metric has in any run.
fn order(shown: &[Shown], name: &str) -> usize {
    let places = shown.iter().flatten().filter(|(_, known, _)| *known == name);
    places.map(|(at, ..)| *at).min().unwrap_or_default()
}

fn started(run: &ListedRun, now: SystemTime) -> String {
    match now.duration_since(run.started) {
        Ok(ago) => format!("{} ago", Lasting(ago.as_secs_f64())),
        Err(_) => "in the future".to_owned(), // by this machine's clock
    }
}

/// A JSON list, one object a run; all metrics that were recorded last are in it.
pub fn json(listing: &Listing) -> String {
    let object = |run: &ListedRun| {
        let metrics = run.last.iter().flat_map(|line| &line.values);
        let metrics: Map<String, Value> = metrics.map(|(name, value)| (name.clone(), json!(value))).collect();
        let differs: Map<String, Value> =
            run.differs.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        json!({
            "name": run.name,
            "id": run.id,
            "path": run.path,
            "state": run.state.map(|state| state.name()),
            "step": run.step,
            "steps": run.steps,
            "started": time::rfc3339(run.started),
            "seconds": run.last.as_ref().map(|line| line.seconds),
            "metrics": metrics,
            "differs": differs,
        })
    };
    let runs: Value = listing.runs.iter().map(object).collect();
    format!("{runs:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use efference_runs::directory::{End, Ending, RunDirectory};
    use efference_runs::list_runs;
    use std::fs;
    use std::path::Path;
    use std::time::{Duration, UNIX_EPOCH};

    fn run(runs: &Path, second: u64, seed: u64, metrics: &str) -> RunDirectory {
        let at = UNIX_EPOCH + Duration::from_secs(1_000_000_000 + second);
        let run =
            RunDirectory::claim(runs, "light", at, &format!("steps = 20_000\nseed = {seed}\n")).unwrap();
        fs::write(run.path().join("metrics.jsonl"), metrics).unwrap();
        run
    }

    fn two(runs: &Path) -> (RunDirectory, RunDirectory) {
        let line = "{\"step\":1500,\"seconds\":2.5,\"reward\":0.25,\"error\":0.0123,\"own\":1}\n";
        let first = run(runs, 0, 1, line);
        let end =
            End { how: Ending::Finished, step: 1_500, seconds: 2.5, ended: String::new(), notes: Vec::new() };
        first.write_end(&end).unwrap();
        (first, run(runs, 7_200, 2, "{\"step\":20,\"seconds\":1,\"loss\":null}\n"))
    }

    #[test]
    fn each_run_has_a_line_with_its_metrics_in_columns() {
        let root = tempfile::tempdir().unwrap();
        let (first, second) = two(root.path());
        let listing = list_runs(root.path(), None).unwrap();
        let text = table(&listing, UNIX_EPOCH + Duration::from_secs(1_000_010_000), None);
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[0], ["RUN", "STATE", "STEP", "OF", "STARTED", "loss", "error", "reward", "DIFFERS"]);
        let id = format!("light/{}", first.id());
        assert_eq!(
            words[1],
            [
                &id, "finished", "1,500", "20,000", "2", "h", "46", "min", "ago", "-", "0.0123", "0.250",
                "seed=1"
            ]
        );
        let id = format!("light/{}", second.id());
        assert_eq!(
            words[2],
            [&id, "killed", "20", "20,000", "46", "min", "40", "s", "ago", "NaN", "-", "-", "seed=2"]
        );
        assert_eq!(words.len(), 3);
        let starts: Vec<_> = text.lines().map(|line| line.find("  ").unwrap()).collect();
        assert!(starts.iter().all(|start| *start >= 3), "{text}");
    }

    #[test]
    fn json_has_all_that_was_recorded_last() {
        let root = tempfile::tempdir().unwrap();
        let (first, _) = two(root.path());
        let value: Value = serde_json::from_str(&json(&list_runs(root.path(), None).unwrap())).unwrap();
        assert_eq!(value[0]["id"], first.id());
        assert_eq!(value[0]["state"], "finished");
        assert_eq!(value[0]["metrics"]["own"], 1.0);
        assert_eq!(value[0]["started"], "2001-09-09T01:46:40Z");
        assert_eq!(value[1]["metrics"]["loss"], Value::Null, "JSON has no NaN");
        assert_eq!(value[1]["differs"]["seed"], "2");
    }
}

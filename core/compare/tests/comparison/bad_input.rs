//! What is wrong with the input is said, and nothing is lost.
use crate::runs::{Runs, error, lines, spec, text};
use efference_compare::FigureKind;
use std::fs;
use std::path::PathBuf;

fn two() -> Runs {
    let runs = Runs::new();
    runs.unroll(1, 1, 4.0);
    runs.unroll(2, 1, 2.0);
    runs
}

#[test]
fn what_is_no_run_is_said_with_what_is() {
    let runs = two();
    let root = runs.root.path().display();
    let of = |name: PathBuf| error(runs.compare_paths(&[name], |_| {}));
    fs::create_dir(runs.root.path().join("empty")).unwrap();
    let help =
        "name the directory of a run (runs/<name>/<id>), one that holds runs (runs/<name>), or `latest`";
    assert_eq!(
        of("empty".into()),
        format!("'empty' is the directory of no run (it has no spec.toml) and holds none; {help}")
    );
    assert_eq!(of("y".into()), format!("'y' is not there, and neither is '{root}/y'; {help}"));
    assert!(of("emty".into()).ends_with(&format!("; did you mean '{root}/empty'?")));
    let file = runs.path().join("u1-s1/spec.toml");
    assert!(of(file.clone()).contains("is a file and no run"));
    fs::write(&file, "seed = = 1").unwrap();
    let said = error(runs.compare(|_| {}));
    assert!(said.contains("u1-s1/spec.toml' is no spec:") && said.contains("leave this run out"), "{said}");
}

#[test]
fn runs_are_found_by_path_by_name_and_as_the_latest_each_once() {
    let runs = two();
    let count = |names: &[&str]| {
        let names: Vec<PathBuf> = names.iter().map(PathBuf::from).collect();
        let found = runs.compare_paths(&names, |_| {}).unwrap();
        found.groups.iter().map(|group| group.runs.len()).sum::<usize>()
    };
    let root = runs.root.path().to_str().unwrap();
    assert_eq!(count(&["x"]), 2);
    assert_eq!(count(&[root]), 2);
    assert_eq!(count(&["x/u1-s1"]), 1);
    assert_eq!(count(&["x/latest"]), 1);
    assert_eq!(count(&["latest"]), 1);
    assert_eq!(count(&["latest", "x/u2-s1", "x", root]), 2);
}

#[test]
fn a_typo_in_the_metric_is_reported_with_the_nearest_one() {
    let said = error(two().compare(|request| request.metric = Some("eror".into())));
    assert_eq!(
        said,
        "none of the runs has recorded `eror`; did you mean `error`? Metrics that all runs have: loss, error"
    );
    let said = error(two().compare(|request| request.metric = Some("colour".into())));
    assert_eq!(said, "none of the runs has recorded `colour`. Metrics that all runs have: loss, error");
}

#[test]
fn runs_without_a_metric_in_common_are_listed_with_what_they_have() {
    let runs = Runs::new();
    let a = runs.add("a", &spec(1, 1), "{\"step\":1,\"seconds\":1,\"loss\":1}\n");
    let b = runs.add("b", &spec(2, 1), "{\"step\":1,\"seconds\":1,\"reward\":1}\n");
    assert_eq!(
        error(runs.compare(|_| {})),
        format!(
            "the runs have no metric in common.\n  {}: loss\n  {}: reward\nCompare those alone that have one, and name it: \
             --metric NAME",
            a.path().display(),
            b.path().display()
        )
    );
    let said = error(runs.compare(|request| request.metric = Some("reward".into())));
    assert_eq!(
        said,
        "no run with trainer.unroll_length = 1 has recorded `reward`. Metrics that all runs have: none"
    );
}

#[test]
fn what_can_not_be_known_is_asked_for() {
    let runs = Runs::new();
    runs.add("a", &spec(1, 1), "{\"step\":1,\"seconds\":1,\"streams\":1}\n");
    assert_eq!(
        error(runs.compare(|_| {})),
        "is less or more of `streams` better? Its name does not say it: add `--better lower` or `--better higher`"
    );
    assert!(runs.compare(|request| request.better = Some(efference_compare::Better::Higher)).is_ok());
    let said = error(runs.compare(|request| request.axis = efference_compare::Axis::Flop));
    assert!(said.starts_with("no run recorded the metric `flop`"), "{said}");
}

#[test]
fn a_half_written_last_line_does_not_count_and_a_damaged_one_is_named() {
    let runs = two();
    let file = runs.path().join("u1-s1/metrics.jsonl");
    let whole = text(&file);
    fs::write(&file, whole.clone() + "{\"step\":110,\"sec").unwrap();
    let found = runs.compare(|_| {}).unwrap();
    assert_eq!(found.groups[0].runs[0].figure, Some(4.0));
    assert_eq!(found.notes, ["The last line was only half written and does not count: u1-s1."]);
    fs::write(&file, whole.replacen("\"error\":9.0}", "\"err", 2)).unwrap();
    let said = error(runs.compare(|_| {}));
    assert!(said.contains("line 1 of '") && said.contains("u1-s1/metrics.jsonl' is damaged: "), "{said}");
}

#[test]
fn runs_of_different_lengths_are_noted_with_what_to_do() {
    let runs = two();
    runs.add("long", &spec(2, 2), &lines(30, 1.5));
    let found = runs.compare(|_| {}).unwrap();
    assert_eq!(
        found.notes[0],
        "The runs are of different lengths, 100 to 300 steps; each counts by its own end. `--at 100` takes all at the \
         same step."
    );
    let found = runs.compare(|request| request.figure = FigureKind::At(100.0)).unwrap();
    assert_eq!(found.groups[1].runs[1].figure, Some(9.0), "the long run is not far yet");
}

#[test]
fn a_run_that_another_process_writes_counts_as_far_as_it_is() {
    let runs = two();
    let run = runs.add("new", &spec(2, 2), &lines(4, 3.0));
    let lock = run.lock().unwrap();
    let found = runs.compare(|_| {}).unwrap();
    assert_eq!(found.groups[1].runs[1].state, "running");
    assert!(
        found.notes.contains(&"1 of 3 runs still go on, and count as far as they are: new.".to_owned()),
        "{:?}",
        found.notes
    );
    drop(lock);
    let empty = runs.add("empty", &spec(2, 3), "");
    let _lock = empty.lock().unwrap();
    let found = runs.compare(|_| {}).unwrap();
    assert_eq!(found.notes[0], "Left out, as they recorded nothing yet: empty.");
    let said = error(runs.compare_paths(&[empty.path().to_owned()], |_| {}));
    assert!(said.starts_with("none of the 1 runs has recorded anything yet"), "{said}");
}

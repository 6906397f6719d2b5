//! Recordings: how runs on them end, go on, and what is said of files that are not as they should be.
use crate::program::Workplace;
use std::fmt::Write;

const SPEC: &str = r#"
name = "flow"
steps = 1_000
threads = 1
[environment]
plugin = "recording"
files = ["flow.csv"]
period = 6
[state]
size = 16
[layer]
plugin = "dense"
[trainer]
plugin = "bptt"
unroll_length = 2
[trainer.synthetic_gradient]
enabled = false
[goal]
plugin = "predict"
[record]
every = 10
"#;

/// A table of so many rows: two numbers and a text.
fn table(rows: usize) -> String {
    let mut text = "height,flow,state\n".to_owned();
    for row in 0..rows {
        let angle = row as f64 * std::f64::consts::TAU / 6.0;
        let flow = if row % 7 == 3 { String::new() } else { format!("{:.4}", 100.0 + 5.0 * angle.sin()) };
        let state = ["low", "high"][usize::from(row % 6 < 3)];
        writeln!(text, "{},{flow},{state}", row % 11).unwrap();
    }
    text
}

fn workplace() -> Workplace {
    let place = Workplace::new();
    place.write("flow.csv", table(100));
    place.write("flow.toml", SPEC);
    place
}

#[test]
fn a_run_on_streams_of_unequal_lengths_ends_well_with_the_last_of_them() {
    let place = workplace();
    place.write("short.csv", table(37));
    let both = "environment.files=[\"flow.csv\", \"short.csv\"]";
    let flow = "environment.columns=[\"flow\", \"state\"]";
    place.efference(&["run", "flow.toml", "--set", both, "--set", flow]).expect(0);
    let run = place.run("flow");
    let end = run.end();
    assert_eq!((end["how"].as_str(), end["step"].as_u64()), (Some("finished"), Some(100)), "{end}");
    let lines = run.metrics();
    let streams: Vec<f64> = lines.iter().map(|line| line["streams"].as_f64().unwrap()).collect();
    assert_eq!(streams, [2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
    let last = lines.last().unwrap();
    for name in
        ["error_linear", "error_period", "recording/mae", "recording/run_rmse_period", "recording/accuracy"]
    {
        assert!(last[name].is_number(), "no '{name}' in {last}");
    }
    // With a period of 6, the value 6 rows ago is the flow again but where it was missing then.
    let of = |name: &str| last[name].as_f64().unwrap();
    assert!(of("recording/run_mae_period") < of("recording/run_mae_last"), "{last}");
}

#[test]
fn in_a_loop_a_run_makes_all_its_steps() {
    let place = workplace();
    place.efference(&["run", "flow.toml", "--set", "environment.loop=true", "--set", "steps=250"]).expect(0);
    assert_eq!(place.run("flow").metrics().len(), 25);
}

#[test]
fn recordings_go_on_bit_for_bit() {
    for (at, sets) in [
        (7, &["environment.loop=true"][..]),
        (41, &["environment.predict=change", "environment.seen_only=[\"height\"]"]),
        (43, &["environment.files=[\"flow.csv\", \"short.csv\"]", "environment.predicted_only=[\"flow\"]"]),
        (44, &["environment.files=[\"flow.csv\", \"short.csv\"]", "environment.statistics=own"]),
        (130, &["environment.loop=true", "environment.scale=deviation"]),
    ] {
        let place = workplace();
        place.write("short.csv", table(37));
        let at = at.to_string();
        let mut arguments = vec!["verify-resume", "flow.toml", "--at", &at];
        arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
        let answer = place.efference(&arguments).expect(0);
        assert!(answer.stdout.starts_with("Equal, bit for bit: "), "{sets:?}: {answer}");
    }
}

#[test]
fn a_file_that_has_changed_is_noticed_where_a_run_goes_on() {
    let place = workplace();
    place.efference(&["run", "flow.toml", "--id", "a", "--set", "steps=20"]).expect(0);
    place.write("flow.csv", table(101));
    let answer = place.efference(&["resume", "runs/flow/a", "--steps", "40"]).expect(1);
    answer.says(&["flow.csv is not what it was when the environment was saved"]);
}

#[test]
fn check_finds_what_is_wrong_with_a_table_and_names_line_column_and_help() {
    let place = workplace();
    let check = |sets: &[&str]| {
        let mut arguments = vec!["check", "flow.toml"];
        arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
        place.efference(&arguments)
    };
    check(&[]).expect(0);
    check(&["environment.files=[\"flwo.csv\"]"])
        .expect(2)
        .says(&["there is no file flwo.csv", "environment.files"]);
    check(&["environment.seen_only=[\"hieght\"]"])
        .expect(2)
        .says(&["no column \"hieght\"", "is \"height\" meant?"]);
    place.write("flow.csv", table(100).replacen("\n2,", "\ntwo,", 1));
    check(&[])
        .expect(2)
        .says(&["flow.csv, line 4, column \"height\": \"two\" is no number", "environment.text"]);
    check(&["environment.separator=;"]).expect(2).says(&["environment.separator = \",\""]);
    place.write("flow.csv", table(3));
    check(&[]).expect(2).says(&["period = 6", "has 3 rows"]);
}

//! A comparison as text, table, picture, page and runs of TensorBoard.
use crate::runs::{Runs, lines};
use efference_compare::report::{Colours, csv, html, markdown, plot, text};
use efference_compare::{Comparison, write_tensorboard};
use efference_view::png_of_svg;
use std::fs;
use std::process::Command;

const A: [f64; 4] = [4.1, 3.7, 4.4, 3.8];
const B: [f64; 4] = [1.7, 1.9, 1.8, 1.5];

fn compared() -> (Runs, Comparison) {
    let runs = Runs::new();
    for seed in 0..4 {
        runs.unroll(1, seed, A[seed as usize]);
        runs.unroll(2, seed, B[seed as usize]);
    }
    let found = runs.compare(|request| request.curves = true).unwrap();
    (runs, found)
}

/// numpy: means 4.0 and 1.725 (of which the nearest double is below, so 1.72), medians 3.95 and 1.75; scipy.stats.trim_mean(x, 0.25): the same as the medians here.
#[test]
fn the_table_has_a_line_a_group_in_each_format() {
    let (_runs, found) = compared();
    let text = text(&found);
    let table: Vec<&str> = text.lines().skip(2).take(3).collect();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(table[1])[..5], ["unroll_length=1", "4", "4.00", "3.95", "3.95"]);
    assert_eq!(words(table[2])[..6], ["unroll_length=2", "*", "4", "1.72", "1.75", "1.75"]);
    let end = |line: &str| line.chars().count();
    assert_eq!([end(table[0]), end(table[1])], [end(table[2]); 2], "columns end at the same place");

    let markdown = markdown(&found);
    assert!(markdown.contains("| unroll_length=1 | 4 | 4.00 | 3.95 | 3.95 |"), "{markdown}");
    assert!(markdown.contains("| unroll_length=2 \\* | 4 | 1.72 |"), "{markdown}");
    let csv = csv(&found);
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0][..4], ["trainer.unroll_length", "runs", "n", "mean"]);
    assert_eq!((rows[1][0], rows[1][1], rows[2][0]), ("1", "4", "2"));
    assert!((rows[2][3].parse::<f64>().unwrap() - 1.725).abs() < 1e-12);
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["groups"][0]["runs"][2]["figure"], 4.4);
    assert_eq!(json["differences"][0]["verdict"]["is"], "better");
}

#[test]
fn the_plot_is_drawn_in_pixels_too_without_fonts_of_the_system() {
    let (_runs, found) = compared();
    let svg = plot(&found, Colours::Own);
    assert!(svg.contains("unroll_length=2") && !svg.contains("NaN"));
    let png = png_of_svg(&svg, 2.0).unwrap();
    assert_eq!(png[..8], *b"\x89PNG\r\n\x1a\n");
    let empty = plot(&found, Colours::Own).replace("unroll_length", "");
    assert_ne!(png.len(), png_of_svg(&empty, 2.0).unwrap().len(), "letters make pixels");
}

#[test]
fn the_page_loads_nothing_and_shows_names_as_they_are() {
    let runs = Runs::new();
    for (id, value) in [("a", "<script>"), ("b", "b & c")] {
        let run = runs.add(id, &format!("seed = 1\n[cell]\nkind = \"{value}\"\n"), &lines(10, 1.0));
        fs::create_dir_all(run.path().join("pictures")).unwrap();
        for step in [500, 1_000] {
            fs::write(run.path().join(format!("pictures/step-{step:06}-stream-0.png")), format!("PNG{step}"))
                .unwrap();
        }
    }
    let found = runs.compare(|request| request.curves = true).unwrap();
    let page = html(&found, "Made now.");
    assert!(page.contains("kind=&lt;script&gt;") && page.contains("b &amp; c") && !page.contains("<script"));
    // base64 of PNG1000, the last picture.
    assert!(page.contains("data:image/png;base64,UE5HMTAwMA==") && page.contains("step 1,000"));
    let loads = ["http://", "https://", "@import", " src=\"/", "url(/"];
    let page = page.replace("http://www.w3.org/2000/svg", "");
    assert!(loads.iter().all(|way| !page.contains(way)));
    assert!(page.contains("prefers-color-scheme: dark"));
}

#[test]
fn tensorboard_gets_a_new_directory_only() {
    let (runs, found) = compared();
    let directory = runs.root.path().join("tensorboard");
    write_tensorboard(&found, &directory).unwrap();
    for name in ["unroll_length=1/mean", "unroll_length=2/low", "unroll_length=2/high", "hparams/u1-s3"] {
        assert_eq!(fs::read_dir(directory.join(name)).unwrap().count(), 1, "{name}");
    }
    let error = write_tensorboard(&found, &directory).unwrap_err().to_string();
    assert!(error.contains("it is not empty") && error.contains("name a new directory"), "{error}");
}

/// Reads the event files with TensorBoard's own reader.
const READER: &str = r#"
import sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata
def read(name):
    events = EventAccumulator(sys.argv[1] + "/" + name)
    events.Reload()
    return events
for name in ["mean", "low", "high"]:
    values = [round(s.value, 4) for s in read("unroll_length=2/" + name).Scalars("error")]
    assert len(values) == 10 and values[0] == 9.0, values
    last = {"mean": 1.725, "low": 1.575, "high": 1.85}[name]
    assert abs(values[-1] - last) < 0.051, (name, values)
session = read("hparams/u2-s1")
content = session.PluginTagToContent(metadata.PLUGIN_NAME)
start = metadata.parse_session_start_info_plugin_data(content[metadata.SESSION_START_INFO_TAG])
assert start.hparams["trainer.unroll_length"].number_value == 2 and start.group_name == "unroll_length=2", start
experiment = metadata.parse_experiment_plugin_data(content[metadata.EXPERIMENT_TAG])
assert [m.name.tag for m in experiment.metric_infos] == ["figure of error", "steps per second"], experiment
assert abs(session.Scalars("figure of error")[0].value - 1.9) < 1e-6
"#;

/// The mean is numpy's; the ends of the band are near numpy's percentiles of resampled means.
#[test]
#[ignore = "needs TensorBoard: `cargo xtask test` installs it, and names its python in EFFERENCE_TENSORBOARD_PYTHON"]
fn tensorboard_itself_reads_curves_and_settings() {
    let python =
        std::env::var_os("EFFERENCE_TENSORBOARD_PYTHON").expect("EFFERENCE_TENSORBOARD_PYTHON is set");
    let (runs, found) = compared();
    let directory = runs.root.path().join("tensorboard");
    write_tensorboard(&found, &directory).unwrap();
    let output = Command::new(python).args(["-c", READER]).arg(&directory).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

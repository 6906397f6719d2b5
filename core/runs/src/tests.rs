//! Recording with real files, as a run does it.
use super::recorder::Limits;
use super::*;
use crate::Picture;
use crate::directory::RunDirectory;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn files(dir: &Path) -> RecorderFiles {
    let files = RecorderFiles {
        fingerprints: None,
        metrics: dir.join("metrics.jsonl"),
        tensorboard: Some(dir.join("tensorboard")),
        pictures: dir.join("pictures"),
        evaluations: dir.join("evaluations.jsonl"),
        reserved: None,
    };
    fs::create_dir_all(dir.join("tensorboard")).unwrap();
    fs::create_dir_all(&files.pictures).unwrap();
    files
}

fn line(step: u64) -> Line {
    let values = [("loss", 1.0 / step as f64), ("reward", if step == 20 { f64::NAN } else { 0.5 })];
    Line { step, seconds: step as f64 * 0.25, values: values.map(|(n, v)| (n.to_owned(), v)).into() }
}

fn pair(step: u64, stream: u64) -> PicturePair {
    let picture = |red: u8| Picture { width: 12, height: 8, rgb: [red, 40, 40].repeat(96) };
    PicturePair { step, stream, observation: picture(255), prediction: Some(picture(90)) }
}

fn lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn events(dir: &Path) -> Vec<std::path::PathBuf> {
    fs::read_dir(dir.join("tensorboard")).unwrap().map(|e| e.unwrap().path()).collect()
}

#[test]
fn lines_pictures_and_events_are_there_in_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path());
    let mut recorder = Recorder::start(files.clone(), SystemTime::now(), None).unwrap();
    for step in (10..=5_000).step_by(10) {
        recorder.record(line(step)).unwrap();
    }
    for stream in 0..2 {
        recorder.picture(pair(500, stream), 1.0).unwrap();
    }
    let recorded = recorder.finish().unwrap();
    assert_eq!(recorded, Recorded { lines: 500, pictures: 2, ..Recorded::default() });
    let lines = lines(&files.metrics);
    assert_eq!(lines.len(), 500);
    assert_eq!(lines[1], serde_json::json!({"step": 20, "seconds": 5.0, "loss": 0.05, "reward": null}));
    for stream in 0..2 {
        assert!(files.pictures.join(format!("step-000500-stream-{stream}.png")).is_file());
    }
    assert_eq!(events(dir.path()).len(), 1);

    // A resumed run adds to the lines, and its events go to a file of their own.
    let mut recorder = Recorder::start(files.clone(), SystemTime::now(), None).unwrap();
    recorder.record(line(5_010)).unwrap();
    drop(recorder);
    assert_eq!(self::lines(&files.metrics).len(), 501, "dropping writes what waits");
    assert_eq!(events(dir.path()).len(), 2);
}

#[test]
fn without_tensorboard_there_are_lines_and_pictures_alone() {
    let dir = tempfile::tempdir().unwrap();
    let files = RecorderFiles { tensorboard: None, ..files(dir.path()) };
    let mut recorder = Recorder::start(files.clone(), SystemTime::now(), None).unwrap();
    recorder.record(line(10)).unwrap();
    recorder.picture(pair(10, 0), 1.0).unwrap();
    recorder.finish().unwrap();
    assert_eq!(lines(&files.metrics).len(), 1);
    assert!(files.pictures.join("step-000010-stream-0.png").is_file());
    assert!(events(dir.path()).is_empty());
}

#[test]
fn a_killed_run_keeps_what_was_recorded_a_second_ago() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path());
    let mut recorder = Recorder::start(files.clone(), SystemTime::now(), None).unwrap();
    let empty = fs::metadata(&events(dir.path())[0]).unwrap().len();
    let start = Instant::now();
    let mut step = 0;
    while start.elapsed() < Duration::from_millis(1_300) {
        step += 1;
        recorder.record(line(step)).unwrap();
        sleep(Duration::from_millis(5));
    }
    // Nothing is finished or dropped: this is what a SIGKILL would leave.
    let kept = lines(&files.metrics).len() as u64;
    assert!(kept > step / 4 && kept <= step, "{kept} of {step} lines");
    assert!(fs::metadata(&events(dir.path())[0]).unwrap().len() > empty + 40 * kept);
    drop(recorder);
    assert_eq!(lines(&files.metrics).len() as u64, step);
}

const SHORT: Duration = Duration::from_millis(100);

#[test]
fn a_full_disk_is_waited_for_and_what_is_missing_in_the_end_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path());
    std::os::unix::fs::symlink("/dev/full", &files.metrics).unwrap();
    let mut recorder =
        Recorder::start_with(files.clone(), SystemTime::now(), None, Limits::default(), SHORT).unwrap();
    for step in [10, 20, 30] {
        recorder.record(line(step)).unwrap();
        sleep(Duration::from_millis(300)); // longer than a disk is waited for at the end
    }
    let reply = recorder.sync().unwrap();
    let error = recorder.finish().unwrap_err().to_string();
    let cause = format!(
        "of steps 10 to 30, 3 lines are not in metrics.jsonl: cannot write '{}': No space left on device (os error \
         28); free some space on that disk, or put the runs on another one; it was tried since ",
        files.metrics.display()
    );
    assert!(error.starts_with(&cause), "{error}");
    assert!(error.contains(&format!("on the disk of '{}' (", dir.path().display())), "{error}");
    assert!(reply.recv().is_err(), "no checkpoint is made of what was not recorded");
}

#[test]
fn lines_wait_for_a_disk_that_comes_back_and_are_written_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = files(dir.path());
    // A pipe that nobody reads is a disk that takes nothing; what its reader gets is what the file has.
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    files.metrics = pipe.clone();
    let (go, come) = std::sync::mpsc::channel::<()>();
    let reader = std::thread::spawn(move || {
        let mut pipe = fs::File::open(&pipe).unwrap();
        come.recv().unwrap();
        std::io::read_to_string(&mut pipe).unwrap()
    });
    let patience = Duration::from_secs(60);
    let mut recorder =
        Recorder::start_with(files, SystemTime::now(), None, Limits::default(), patience).unwrap();
    let start = Instant::now();
    for step in 1..=20_000 {
        recorder.record(line(step)).unwrap();
    }
    sleep(2 * FLUSH_EVERY);
    assert!(start.elapsed() < Duration::from_secs(60), "nothing waited for the reader");
    go.send(()).unwrap();
    let recorded = recorder.finish().unwrap();
    assert_eq!(recorded.lines, 20_000);
    let text = reader.join().unwrap();
    let steps = text.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["step"].as_u64().unwrap());
    assert!(steps.eq(1..=20_000), "each line once, in order");
}

#[test]
fn a_run_whose_lines_cannot_wait_any_more_fails_and_says_which_are_missing() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path());
    std::os::unix::fs::symlink("/dev/full", &files.metrics).unwrap();
    let limits = Limits { lines: 10_000, pictures: 600, fingerprints: 10 };
    let mut recorder = Recorder::start_with(files, SystemTime::now(), None, limits, SHORT).unwrap();
    for number in 0..20 {
        recorder.fingerprints(vec![0; 8]).unwrap();
        recorder.picture(pair(1, number), 0.0).unwrap();
    }
    let (step, error) = (1..)
        .find_map(|step| {
            sleep(Duration::from_millis(20));
            recorder.record(line(step)).err().map(|error| (step, error.to_string()))
        })
        .unwrap();
    let beginning = "what is recorded can't be written, and 9.77 KiB of lines wait in memory, which is all that may: since 2";
    assert!(error.starts_with(beginning) && error.contains("No space left on device"), "{error}");
    let error = recorder.finish().unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("of steps 1 to {step}, {step} lines are not in metrics.jsonl: ")),
        "{error}"
    );
}

#[test]
fn the_room_that_is_held_is_given_back_for_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let files = RecorderFiles { reserved: Some(dir.path().join(".reserved")), ..files(dir.path()) };
    let mut recorder = Recorder::start(files.clone(), SystemTime::now(), None).unwrap();
    assert!(fs::metadata(dir.path().join(".reserved")).unwrap().len() > 100_000);
    recorder.record(line(1)).unwrap();
    recorder.finish().unwrap();
    assert!(!dir.path().join(".reserved").exists());
}

#[test]
fn a_hundred_thousand_metrics_are_recorded_in_whatever_order_they_come() {
    let dir = tempfile::tempdir().unwrap();
    let files = RecorderFiles { tensorboard: None, ..files(dir.path()) };
    let names: Vec<String> = (0..100_000).map(|i| format!("metric_{i}")).collect();
    let mut metrics = Metrics::default();
    let mut recorder = Recorder::start(files.clone(), SystemTime::now(), None).unwrap();
    for step in 1..=3 {
        // Backwards too, so that no order helps.
        names.iter().for_each(|name| metrics.add(name, 1.0));
        names.iter().rev().for_each(|name| metrics.add(name, 3.0));
        recorder.record(Line { step, seconds: 0.0, values: metrics.take() }).unwrap();
    }
    recorder.finish().unwrap();
    let last = last_line(&files.metrics).unwrap().unwrap();
    assert_eq!((last.values.len(), &last.values[99_999]), (100_000, &("metric_99999".to_owned(), 2.0)));
}

#[test]
fn what_others_do_to_the_files_is_noted_and_mended() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path());
    let mut recorder = Recorder::start(files.clone(), SystemTime::now(), None).unwrap();
    recorder.record(line(1)).unwrap();
    recorder.sync().unwrap().recv().unwrap();
    fs::remove_file(&files.metrics).unwrap();
    let start = Instant::now();
    let mut step = 1;
    while !files.metrics.exists() {
        step += 1;
        recorder.record(line(step)).unwrap();
        sleep(Duration::from_millis(20));
        assert!(start.elapsed() < Duration::from_secs(60), "it was not noticed");
    }
    let recorded = recorder.finish().unwrap();
    assert_eq!(lines(&files.metrics).len() as u64, step);
    assert_eq!(recorded.notes.len(), 1);
    assert!(recorded.notes[0].contains("metrics.jsonl' was removed or renamed"), "{}", recorded.notes[0]);
}

#[test]
fn a_place_that_takes_no_files_is_reported_with_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let good = files(dir.path());
    let start = |files: &RecorderFiles| Recorder::start(files.clone(), SystemTime::now(), None);

    let error = start(&RecorderFiles { metrics: dir.path().join("gone/metrics.jsonl"), ..good.clone() });
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("gone/metrics.jsonl'") && error.contains("a directory above it is missing"),
        "{error}"
    );
    let error =
        start(&RecorderFiles { metrics: dir.path().to_owned(), ..good.clone() }).unwrap_err().to_string();
    assert!(error.contains("a directory is in the way"), "{error}");
    let error = start(&RecorderFiles { tensorboard: Some(good.metrics.clone()), ..good.clone() })
        .unwrap_err()
        .to_string();
    assert!(error.contains("metrics.jsonl/events.out") && error.contains("a file is in the way"), "{error}");
}

#[test]
fn pictures_that_cannot_be_written_end_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let good = files(dir.path());
    let mut recorder = Recorder::start(good.clone(), SystemTime::now(), None).unwrap();
    fs::remove_dir_all(&good.pictures).unwrap();
    recorder.picture(pair(7, 3), 1.0).unwrap();
    recorder.sync().unwrap().recv().unwrap();
    assert!(good.pictures.join("step-000007-stream-3.png").is_file(), "the directory was made again");
    fs::remove_dir_all(&good.pictures).unwrap();
    fs::write(&good.pictures, "a file").unwrap();
    recorder.picture(pair(8, 3), 1.0).unwrap();
    recorder.record(line(8)).unwrap();
    let recorded = recorder.finish().unwrap();
    assert_eq!((recorded.lines, recorded.pictures, recorded.pictures_left_out), (1, 1, 1));
}

#[test]
fn a_picture_that_is_not_what_it_says_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::start(files(dir.path()), SystemTime::now(), None).unwrap();
    let mut bad = pair(1, 0);
    bad.observation.rgb.pop();
    assert!(matches!(recorder.picture(bad, 1.0), Err(RecordError::Picture { bytes: 287, .. })));
    recorder.record(line(1)).unwrap();
    assert_eq!(recorder.finish().unwrap().lines, 1, "and recording goes on");
}

/// Reads the event files of a directory with TensorBoard's own reader.
const READER: &str = r#"
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2, metadata
def layout_of(events):
    content = events.Tensors(metadata.CONFIG_SUMMARY_TAG)[0].tensor_proto.string_val[0]
    category, = layout_pb2.Layout.FromString(content).category
    assert metadata.CONFIG_SUMMARY_TAG in events.PluginTagToContent(metadata.PLUGIN_NAME)
    return {chart.title: list(chart.multiline.tag) for chart in category.chart}
events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "images": 0})
events.Reload()
tags = events.Tags()
print(json.dumps({
    "scalars": {t: [[s.step, s.wall_time, repr(s.value)] for s in events.Scalars(t)] for t in tags["scalars"]},
    "layout": layout_of(events),
    "images": {t: [[i.step, i.wall_time, i.width, i.height, i.encoded_image_string.hex()] for i in events.Images(t)]
               for t in tags["images"]},
}))
"#;

#[test]
#[ignore = "needs TensorBoard: `cargo xtask test` installs it, and names its python in EFFERENCE_TENSORBOARD_PYTHON"]
fn tensorboard_itself_reads_the_event_files() {
    let python =
        std::env::var_os("EFFERENCE_TENSORBOARD_PYTHON").expect("EFFERENCE_TENSORBOARD_PYTHON is set");
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path());
    let started = UNIX_EPOCH + Duration::from_millis(1_700_000_000_500);
    let mut recorder = Recorder::start(files.clone(), started, None).unwrap();
    for step in [10, 20, 30] {
        recorder.record(line(step)).unwrap();
    }
    recorder.picture(pair(30, 0), 7.5).unwrap();
    recorder.picture(pair(30, 12), 7.5).unwrap();
    recorder.finish().unwrap();
    let mut recorder = Recorder::start(files.clone(), started, None).unwrap();
    recorder.record(line(40)).unwrap();
    recorder.finish().unwrap();

    let output =
        Command::new(&python).args(["-c", READER]).arg(dir.path().join("tensorboard")).output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaints}");
    let read: Value = serde_json::from_slice(&output.stdout).unwrap();
    let time = |step: u64| 1_700_000_000.5 + 0.25 * step as f64;
    let loss = read["scalars"]["loss"].as_array().unwrap();
    assert_eq!(loss.len(), 4, "both files of the directory are read");
    for (at, step) in [(0, 10), (1, 20), (2, 30), (3, 40)] {
        assert_eq!((&loss[at][0], &loss[at][1]), (&step.into(), &time(step).into()));
        let value: f64 = loss[at][2].as_str().unwrap().parse().unwrap();
        assert!((value - 1.0 / step as f64).abs() < 1e-7, "loss at {step}: {value}");
    }
    assert_eq!(read["scalars"]["reward"][1], serde_json::json!([20, time(20), "nan"]));
    assert_eq!(read["scalars"].as_object().unwrap().len(), 2);

    assert_eq!(
        read["layout"],
        serde_json::json!({
            "error and its baselines": [
                "^error$",
                "^error_last$",
                "^error_mean$",
                "^error_linear$",
                "^error_period$"
            ],
            "reward and return": ["^reward$", "^return$"],
            "loss and its terms": ["^loss$", "^loss/.*$"],
        })
    );
    assert_eq!(read["images"].as_object().unwrap().keys().collect::<Vec<_>>(), ["stream 0", "stream 12"]);
    for stream in [0, 12] {
        let images = read["images"][format!("stream {stream}")].as_array().unwrap();
        assert_eq!(images.len(), 1);
        let file = fs::read(files.pictures.join(format!("step-000030-stream-{stream}.png"))).unwrap();
        let hex: String = file.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(images[0][0], 30);
        assert_eq!(images[0][1], time(30), "of the time of the run, as the curves");
        assert_eq!(
            (&images[0][2], &images[0][3]),
            (&(18 + 2 * (12 * 21 + 2)).into(), &(12 + 8 * 21 + 2).into())
        );
        assert!(images[0][4] == hex.as_str(), "the same PNG as on disk");
    }
}

#[test]
fn a_record_is_cut_at_a_checkpoint_and_goes_on_without_a_seam() {
    let root = tempfile::tempdir().unwrap();
    let run = RunDirectory::claim(root.path(), "x", SystemTime::now(), "").unwrap();
    let files = RecorderFiles {
        fingerprints: Some((run.path().join("fingerprints.bin"), vec!["loss".to_owned()])),
        ..run.recorder_files(true)
    };
    let record = |recorder: &mut Recorder, steps: &[u64]| {
        for step in steps {
            let mut bytes = step.to_le_bytes().to_vec();
            bytes.extend_from_slice(&[1, 0, 0, 0]);
            recorder.fingerprints(bytes).unwrap();
            let values = vec![("loss".to_owned(), *step as f64)];
            recorder.record(Line { step: *step, seconds: *step as f64, values }).unwrap();
            let picture = Picture { width: 1, height: 1, rgb: vec![1, 2, 3] };
            recorder
                .picture(PicturePair { step: *step, stream: 0, observation: picture, prediction: None }, 1.0)
                .unwrap();
        }
    };
    let mut recorder = Recorder::start(files.clone(), SystemTime::now(), None).unwrap();
    record(&mut recorder, &[10, 20]);
    assert_eq!(recorder.sync().unwrap().recv().unwrap(), ["loss"]);
    let two = fs::read_to_string(run.path().join("metrics.jsonl")).unwrap();
    assert_eq!(two.lines().count(), 2, "it is there as soon as the reply comes");
    // The third line is of a window that was cut short by a stop.
    record(&mut recorder, &[25, 30]);
    recorder.finish().unwrap();
    fs::write(run.evaluations(), "{\"step\":20}\n{\"step\":30}\n").unwrap();

    let before = fs::read_to_string(run.metrics()).unwrap();
    let refused = run.cut(25, 1_000).unwrap_err().to_string();
    assert!(refused.contains("and the checkpoint rests on 1000: others have removed or cut it"), "{refused}");
    assert_eq!(fs::read_to_string(run.metrics()).unwrap(), before);
    run.cut(25, 2).unwrap();
    let steps_of = |kind: &str| -> Vec<i64> {
        let mut files: Vec<_> =
            fs::read_dir(run.path().join("tensorboard")).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        let bytes: Vec<u8> = files.iter().flat_map(|f| fs::read(f).unwrap()).collect();
        let events = tensorboard::whole_events(&bytes).map(|(event, _)| event);
        let of_kind = |event: &tensorboard_proto::event::Event| match kind {
            "session" => event.has_session_log(),
            "scalar" => event.get_summary().get_value().iter().any(|v| v.has_simple_value()),
            _ => event.get_summary().get_value().iter().any(|v| v.has_image()),
        };
        events.filter(of_kind).map(|event| event.get_step()).collect()
    };
    assert_eq!((steps_of("scalar"), steps_of("image")), (vec![10, 20], vec![10, 20]));
    let mut names: Vec<_> = fs::read_dir(run.path().join("pictures"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names.len(), 3, "{names:?}");
    assert_eq!(fs::read_to_string(run.path().join("metrics.jsonl")).unwrap(), two);
    assert_eq!(fs::read_to_string(run.evaluations()).unwrap(), "{\"step\":20}\n");

    let until = RecordedUntil { step: 25, metrics: vec!["loss".to_owned()] };
    let mut recorder = Recorder::start(files, SystemTime::now(), Some(until)).unwrap();
    record(&mut recorder, &[30]);
    recorder.finish().unwrap();
    assert_eq!((steps_of("scalar"), steps_of("session")), (vec![10, 20, 30], vec![26]));
    let fingerprints = Fingerprints::read(&run.path().join("fingerprints.bin")).unwrap();
    let steps: Vec<_> = fingerprints.records.iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, [10, 20, 25, 30]);
}

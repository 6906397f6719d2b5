//! What recording costs a step: `cargo bench -p efference-runs`.
use efference_runs::{Baselines, Line, Metrics, Picture, PicturePair, Recorder, RecorderFiles};
use std::time::{Duration, Instant, SystemTime};

#[allow(clippy::print_stdout)] // what it measured is what it is for
fn main() {
    println!("{}", cost_of_a_frame());
    println!("{}", cost_of_recording());
}

/// Comparing predictions with 15,007 observed elements.
fn cost_of_a_frame() -> String {
    let observation: Vec<f32> =
        (0..15_007).map(|i| if i % 50 == 0 { f32::NAN } else { (i as f32 * 0.37).sin() }).collect();
    let prediction: Vec<f32> = observation.iter().rev().map(|x| x.max(-0.5)).collect();
    let mut baselines = Baselines::default();
    let mut times: Vec<f64> = (0..4_000)
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(baselines.observe(0, &observation, Some(&prediction)));
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    format!("a frame of 15,007 elements: median {:.1} µs, p95 {:.1} µs", times[2_000], times[3_800])
}

/// 15 metrics a step, a line each 10th, a pair of pictures each 500th.
fn cost_of_recording() -> String {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for name in ["events", "pictures"] {
        std::fs::create_dir(dir.path().join(name)).expect("a directory in it");
    }
    let files = RecorderFiles {
        fingerprints: None,
        metrics: dir.path().join("metrics.jsonl"),
        tensorboard: Some(dir.path().join("events")),
        pictures: dir.path().join("pictures"),
        evaluations: dir.path().join("evaluations.jsonl"),
        reserved: None,
    };
    let mut recorder = Recorder::start(files, SystemTime::now(), None).expect("the files can be made");
    let names: Vec<String> = (0..15).map(|i| format!("metric_{i}")).collect();
    let mut metrics = Metrics::default();
    let (mut adding, mut recording, mut picturing) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let steps = 20_000;
    for step in 1..=steps {
        let start = Instant::now();
        for (i, name) in names.iter().enumerate() {
            metrics.add(name, (step * i as u64) as f64);
        }
        adding += start.elapsed();
        if step % 10 == 0 {
            let start = Instant::now();
            recorder.record(Line { step, seconds: step as f64, values: metrics.take() }).expect("recorded");
            recording += start.elapsed();
        }
        if step % 500 == 0 {
            let picture = || Picture { width: 12, height: 8, rgb: vec![100; 3 * 12 * 8] };
            let pair = PicturePair { step, stream: 0, observation: picture(), prediction: Some(picture()) };
            let start = Instant::now();
            recorder.picture(pair, step as f64).expect("recorded");
            picturing += start.elapsed();
        }
        std::thread::sleep(Duration::from_micros(50)); // a step's work
    }
    let start = Instant::now();
    recorder.finish().expect("all is written");
    format!(
        "a step: {:?} to add 15 metrics; each 10th {:?} to record; each 500th {:?} for pictures; {:?} to finish",
        adding / steps as u32,
        recording / (steps / 10) as u32,
        picturing / (steps / 500) as u32,
        start.elapsed()
    )
}

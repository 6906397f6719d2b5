//! The environment as a host sees it, on small files that are made here.
mod driver;
mod files;
mod saving;

use crate::{Labels, Options, Order, Source};
use driver::{drive, elements, frames, idx, new, options, poll, shown};
use efference_sdk::{Environment, Plugin, Restores, StepType};
use std::collections::BTreeMap;

#[test]
fn pictures_and_labels_come_in_turns() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut labels = new(Options { labels: Source::File, order: Order::File, ..options(folder.path()) });
    let spaces = labels.spaces().expect("asked").expect("known");
    assert_eq!((spaces.observation, spaces.action_width()), (6 + 4, 0));
    let frames = frames(&mut labels, 2 * 7);
    for (i, frame) in frames.iter().enumerate() {
        assert_eq!((frame.reward, frame.step_type), (None, StepType::MIDDLE));
        let (picture, classes) = frame.observation.split_at(6);
        // Picture n begins with pixel 10 n and goes on in steps of 40; its label is n mod 4.
        let n = i / 2 % 5;
        if i % 2 == 0 {
            let pixels = (0..6).map(|p| ((10 * n + 40 * p) as f64 / 255.0 * 2.0 - 1.0) as f32);
            for (seen, wanted) in picture.iter().zip(pixels) {
                assert!((seen - wanted).abs() < 1e-6, "frame {i}: {seen}, {wanted}");
            }
            assert!(classes.iter().all(|c| c.is_nan()), "frame {i}");
        } else {
            assert!(picture.iter().all(|p| p.is_nan()), "frame {i}");
            let wanted: Vec<f32> = (0..4).map(|c| if c == n % 4 { 1.0 } else { -1.0 }).collect();
            assert_eq!(classes, wanted, "frame {i}");
        }
    }
}

#[test]
fn black_is_minus_one_and_white_is_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("two");
    std::fs::write(&path, idx(&[1, 1, 2], &[0, 255])).expect("written");
    let images = path.to_string_lossy().into_owned();
    let mut labels = new(Options { images, count: 1, ..options(folder.path()) });
    assert_eq!(poll(&mut labels)[0].observation[..2], [-1.0, 1.0]);
}

#[test]
fn a_shrunk_picture_has_the_mean_of_each_square() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("two");
    // Two pictures of 2 × 4 pixels.
    let pixels = [0, 2, 100, 100, 4, 6, 100, 101, 255, 255, 0, 1, 255, 255, 1, 0];
    std::fs::write(&path, idx(&[2, 2, 4], &pixels)).expect("written");
    let images = path.to_string_lossy().into_owned();
    let base = Options { images, count: 2, shrink: 2, order: Order::File, ..options(folder.path()) };
    let frames = frames(&mut new(base.clone()), 4);
    // 0 2 4 6: 3; 100 100 100 101: 100.25, so 100; 255; 0 1 1 0: 0.5, so 1.
    for (frame, wanted) in [(&frames[0], [3.0, 100.0]), (&frames[2], [255.0, 1.0])] {
        assert_eq!(frame.observation.len(), 2 + 4);
        assert_eq!(frame.observation[..2], wanted.map(|mean: f32| mean / 127.5 - 1.0));
    }
    let made = Labels::new(Options { shrink: 4, ..base }, &efference_sdk::EnvironmentSetup::with_seed(1));
    assert_eq!(
        refused(made.map(drop)),
        "shrink = 4, but pictures of 2 × 4 pixels are not made of squares of 4 × 4: set environment.shrink to a divisor of both sides"
    );
}

#[test]
fn each_pass_of_each_stream_has_every_picture_once_in_an_order_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("many");
    let pixels: Vec<u8> = (0..200).collect();
    std::fs::write(&path, idx(&[200, 1, 1], &pixels)).expect("written");
    let images = path.to_string_lossy().into_owned();
    let many = Options { images, count: 200, streams: 2, classes: 5, ..options(folder.path()) };
    let mut labels = new(many.clone());
    let mut orders: BTreeMap<Vec<usize>, ()> = BTreeMap::new();
    let mut label_of = [None; 200];
    let streams = drive(&mut labels, 2 * 200 * 3, |_| Vec::new());
    for stream in 0..2 {
        let frames: Vec<_> = streams.iter().filter(|f| f.stream == stream).collect();
        for pass in frames.chunks(400) {
            let mut order = Vec::new();
            for pair in pass.chunks(2) {
                let picture = ((pair[0].observation[0] + 1.0) * 127.5).round() as usize;
                let label = shown(&pair[1].observation[1..]);
                // The same one in all passes of all streams.
                assert_eq!(*label_of[picture].get_or_insert(label), label);
                order.push(picture);
            }
            let mut sorted = order.clone();
            sorted.sort();
            assert_eq!(sorted, (0..200).collect::<Vec<_>>());
            orders.insert(order, ());
        }
    }
    assert_eq!(orders.len(), 6);
    // 40 of each label on average, with a deviation of 5.7.
    let mut counts = [0; 5];
    label_of.iter().flatten().for_each(|label| counts[*label] += 1);
    assert!(counts.iter().all(|n| (15..65).contains(n)), "{counts:?}");
}

#[test]
fn streams_in_the_order_of_the_file_begin_equally_far_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = Options { labels: Source::File, order: Order::File, ..options(folder.path()) };
    let mut labels = new(Options { streams: 2, count: 4, ..file });
    let frames = drive(&mut labels, 10, |_| Vec::new());
    let seen = |stream: u64| -> Vec<usize> {
        let labelled = frames.iter().filter(|f| f.stream == stream && !f.observation[6].is_nan());
        labelled.map(|f| shown(&f.observation[6..])).collect()
    };
    assert_eq!(seen(0), [0, 1, 2, 3, 0]);
    assert_eq!(seen(1), [2, 3, 0, 1, 2]);
}

#[test]
fn the_seed_decides_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |seed, streams| {
        let mut labels = driver::with_seed(Options { streams, ..options(folder.path()) }, seed);
        let mut frames = drive(&mut labels, 40, |_| Vec::new());
        frames.retain(|f| f.stream == 0);
        frames.iter().map(|f| elements(&f.observation)).collect::<Vec<_>>()
    };
    assert!(run(1, 1) == run(1, 1));
    assert!(run(1, 1) != run(2, 1));
    // More streams do not change those that were there.
    assert!(run(1, 1) == run(1, 3));
}

#[test]
fn accuracy_counts_the_predictions_after_pictures_whose_largest_class_is_the_label() {
    let folder = tempfile::tempdir().expect("a folder");
    let nan = f32::NAN;
    let file = Options { labels: Source::File, order: Order::File, ..options(folder.path()) };
    // Predicted classes for picture 0, 1, …, whose labels are 0, 1, 2, 3, 0, 0, 1, …
    let cases: [(&[f32], Option<bool>); 8] = [
        (&[0.1, 0.0, 0.0, -1.0], Some(true)),
        (&[0.1, 0.0, 0.0, -1.0], Some(false)),
        (&[-9.0, nan, -3.0, -4.0], Some(true)),
        (&[nan, nan, nan, -1.0], Some(true)),
        (&[nan; 4], Some(false)),
        // The first one of several.
        (&[0.5, 0.5, 0.5, 0.5], Some(true)),
        (&[0.5, 0.5, 0.5, 0.5], Some(false)),
        // Nothing is predicted.
        (&[], None),
    ];
    let mut labels = new(file);
    for (classes, wanted) in cases {
        // What is predicted of the picture does not matter.
        let prediction = if classes.is_empty() { Vec::new() } else { [&[5.0; 6], classes].concat() };
        assert_eq!(poll(&mut labels).len(), 1);
        assert_eq!(labels.respond(0, &prediction, &[]).expect("the right lengths"), wanted, "{classes:?}");
        // After a label, nothing counts.
        assert_eq!(poll(&mut labels).len(), 1);
        assert_eq!(labels.respond(0, &prediction, &[]).expect("the right lengths"), None);
    }
}

fn refused(result: efference_sdk::Result<()>) -> String {
    format!("{:#}", result.expect_err("this should be refused"))
}

#[test]
fn wrong_responses_are_refused_and_change_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut labels = new(Options { streams: 2, ..options(folder.path()) });
    let early = refused(labels.act(0, &[], &[]));
    assert_eq!(early, "stream 0 does not wait for a response: poll its next frame before acting again");
    poll(&mut labels);
    let saved = labels.save().expect("it saves");
    for (stream, prediction, action, message) in [
        (2, 10, 0, "there is no stream 2 in this environment; its streams are 0 to 1"),
        (0, 11, 0, "the prediction for stream 0 has 11 elements, but its observation has 10"),
        (0, 10, 1, "the action for stream 0 has 1 elements, but its frame asked for none"),
    ] {
        assert_eq!(refused(labels.act(stream, &vec![0.0; prediction], &vec![0.0; action])), message);
    }
    assert_eq!(labels.save().expect("it saves"), saved);
}

#[test]
fn impossible_options_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = options(folder.path());
    for (options, message) in [
        (Options { shrink: 0, ..base.clone() }, "shrink = 0 must be in 1 … 1,024"),
        (Options { classes: 1, ..base.clone() }, "classes = 1 must be in 2 … 10,000"),
        (Options { count: 0, ..base.clone() }, "count = 0 must be in 1 … 10,000,000"),
        (Options { streams: 0, ..base.clone() }, "streams = 0 must be in 1 … 1,024"),
    ] {
        let made = Labels::new(options, &efference_sdk::EnvironmentSetup::with_seed(1));
        assert_eq!(refused(made.map(drop)), message);
    }
}

#[test]
fn a_picture_shows_pixels_above_a_line_above_classes() {
    let folder = tempfile::tempdir().expect("a folder");
    let labels = new(options(folder.path()));
    assert_eq!(labels.restores().expect("known"), Restores::Exact);
    // 2 rows of 3 pixels, a line, 4 classes in rows of 3; 8 pixels a cell.
    let observation = [-1.0, 0.0, 1.0, f32::NAN, 9.0, -9.0, 1.0, f32::NAN, -1.0, 0.0];
    let picture = labels.picture(0, &observation).expect("drawn").expect("it has pictures");
    assert_eq!((picture.width, picture.height, picture.rgb.len()), (24, 40, 3 * 24 * 40));
    let cell = |row: usize, column: usize| {
        let at = 3 * (24 * (8 * row + 7) + 8 * column + 7);
        [picture.rgb[at], picture.rgb[at + 1], picture.rgb[at + 2]]
    };
    let (black, grey, white, violet, line) = ([0; 3], [128; 3], [255; 3], [112, 0, 160], [64, 64, 96]);
    let wanted = [
        [black, grey, white],
        [violet, white, black],
        [line, line, line],
        [white, violet, black],
        [grey, line, line],
    ];
    for (row, colours) in wanted.iter().enumerate() {
        assert_eq!([cell(row, 0), cell(row, 1), cell(row, 2)], *colours, "row {row}");
    }
    let short = labels.picture(0, &observation[1..]).map(drop);
    assert_eq!(refused(short), "there are 9 features to draw, but an observation of this environment has 10");
}

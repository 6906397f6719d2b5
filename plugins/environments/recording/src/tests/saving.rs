//! Saved and restored, it goes on as if it had never stopped.
use super::driver::{Place, Received, drive, new, npy, paths, png, wav};
use crate::{Options, Predict, Recording, Scale, Statistics};
use efference_sdk::Environment;
use std::fmt::Write;

fn table(rows: usize) -> String {
    let mut text = String::from("a,b,s\n");
    for row in 0..rows {
        let b = if row % 5 == 2 { String::new() } else { format!("{}.{}", (row * 7) % 13, row % 9) };
        writeln!(
            text,
            "{},{b},{}",
            row % 4,
            ["x", "y", "z, with a comma"][row % 3].replace("z, with a comma", "\"z, with a comma\"")
        )
        .expect("a line");
    }
    text
}

/// What came, and what was summed up.
fn run(recording: &mut Recording, steps: usize) -> (Vec<Received>, String) {
    let received = drive(recording, steps);
    (received, format!("{:?}", recording.units))
}

#[track_caller]
fn goes_on(options: &Options, steps: usize) {
    let (expected, units) = run(&mut new(options.clone()), steps);
    for at in 0..steps {
        let mut straight = new(options.clone());
        let (before, _) = run(&mut straight, at);
        assert_eq!(before[..], expected[..before.len()]);
        if before.last().is_some_and(|received| received.closed) {
            break;
        }
        let saved = straight.save().expect("it saves");
        let mut other = new(options.clone());
        drive(&mut other, 3);
        other.restore(&saved).expect("bytes of the same files");
        assert_eq!(other.save().expect("it saves"), saved, "after {at} steps");
        // What the driver predicts depends on the step.
        let mut rest = Vec::new();
        for step in at..steps {
            let received = super::driver::try_poll(&mut other).expect("a row");
            for (stream, observation) in &received.frames {
                let value = |(i, bits): (usize, &u32)| {
                    let x = f32::from_bits(*bits);
                    if x.is_nan() { 0.1 } else { (0.9 * x + 0.01 * ((step + i) % 7) as f32).clamp(-1.0, 1.0) }
                };
                let prediction: Vec<f32> = observation.iter().enumerate().map(value).collect();
                other.act(*stream, &prediction, &[]).expect("the right lengths");
            }
            let over = received.closed;
            rest.push(received);
            if over {
                break;
            }
        }
        assert!(rest == expected[at..], "after {at} steps");
        assert_eq!(format!("{:?}", other.units), units, "after {at} steps");
    }
}

#[test]
fn tables_go_on_bit_for_bit_from_anywhere_also_across_the_end() {
    let place = Place::new();
    place.write("t1.csv", table(17));
    place.write("t2.csv", table(9));
    let files = vec![format!("{}/t*.csv", place.path().display())];
    let plain = Options { files, period: 4, ..Options::default() };
    for options in [
        plain.clone(),
        Options { r#loop: true, statistics: Statistics::Own, ..plain.clone() },
        Options { predict: Predict::Change, scale: Scale::Deviation, ..plain },
    ] {
        goes_on(&options, 30);
    }
}

#[test]
fn other_formats_go_on_too() {
    let place = Place::new();
    let folder = place.path().join("film");
    std::fs::create_dir(&folder).expect("a folder");
    (0..6u8).for_each(|i| png(&folder.join(format!("{i}.png")), 2, &[i, 40 * i, 7, 255 - i]));
    let samples: Vec<i16> = (0..40).map(|i| i * 700).collect();
    let elements: Vec<u8> = (0..24u8).collect();
    for options in [
        Options { files: paths(&[folder]), width: 2, height: 2, ..Options::default() },
        Options { samples: 3, r#loop: true, ..place.with("s.wav", wav(1, &samples)) },
        Options { r#loop: true, ..place.with("a.npy", npy("'<i2'", "False", "(4, 3)", &elements)) },
        place.with("t.txt", "añ aß añ"),
    ] {
        goes_on(&options, 16);
    }
}

#[track_caller]
fn said(recording: &mut Recording, saved: &[u8]) -> String {
    format!("{:#}", recording.restore(saved).expect_err("other bytes"))
}

#[test]
fn bytes_of_other_files_or_options_are_refused_and_change_nothing() {
    let place = Place::new();
    let options = Options { period: 3, ..place.with("t.csv", table(20)) };
    let mut recording = new(options.clone());
    drive(&mut recording, 5);
    let saved = recording.save().expect("it saves");
    // One character of the file, of the same length.
    std::fs::write(&options.files[0], table(20).replacen("0,0.0", "1,0.0", 1)).expect("written");
    let mut other = new(options.clone());
    let wanted = "t.csv is not what it was when the environment was saved: go on with the files that it was saved with";
    assert_eq!(place.plain(&said(&mut other, &saved)), wanted);
    std::fs::write(&options.files[0], table(20)).expect("written");
    let mut other = new(Options { period: 4, ..options.clone() });
    let wanted = "the environment was saved with period = 3, but this one has period = 4; restore it with the options that it \
                  was saved with";
    assert_eq!(said(&mut other, &saved), wanted);
    // Where the file lies does not matter.
    let moved = place.with("moved.csv", table(20));
    new(Options { period: 3, ..moved }).restore(&saved).expect("the same contents");
    let mut other = new(options);
    let before = other.save().expect("it saves");
    for damaged in [
        &b""[..],
        b"x\n",
        &saved[..saved.len() - 8],
        &saved[..saved.len() - 1],
        &[&saved[..], &[0; 8]].concat(),
    ] {
        let said = said(&mut other, damaged);
        assert!(said.contains("damaged"), "{said}");
        assert_eq!(other.save().expect("it saves"), before);
    }
}

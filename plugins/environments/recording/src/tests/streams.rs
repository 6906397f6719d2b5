//! Several streams, loops, statistics, and what is recorded in the data's own units.
use super::driver::{Place, drive, new, rows, try_poll};
use crate::units::Units;
use crate::{Options, Predict, Statistics};
use efference_sdk::Environment;

fn two_files(place: &Place) -> Options {
    place.write("b1.csv", "x\n1\n2\n3\n4\n");
    place.write("b2.csv", "x\n101\n103\n");
    Options { files: vec![format!("{}/b*.csv", place.path().display())], ..Options::default() }
}

#[test]
fn streams_of_unequal_lengths_end_one_after_the_other_and_then_all_is_over() {
    let place = Place::new();
    let received = drive(&mut new(two_files(&place)), 100);
    let active: Vec<usize> = received.iter().map(|r| r.frames.len()).collect();
    assert_eq!(active, [2, 2, 1, 1, 0]);
    assert_eq!((&received[2].ended[..], &received[4].ended[..]), (&[1][..], &[0][..]));
    assert!(received[4].closed && received[..4].iter().all(|r| !r.closed));
}

#[test]
fn in_a_loop_each_stream_begins_again_at_its_own_end() {
    let place = Place::new();
    let options = Options { r#loop: true, min: vec![0.0], max: vec![200.0], ..two_files(&place) };
    let received = drive(&mut new(options), 10);
    assert!(received.iter().all(|r| r.frames.len() == 2 && r.ended.is_empty() && !r.closed));
    let of = |stream: usize, step: usize| f32::from_bits(received[step].frames[stream].1[0]);
    for step in 0..6 {
        assert_eq!((of(0, step), of(1, step)), (of(0, step + 4), of(1, step + 2)), "step {step}");
    }
}

#[test]
fn statistics_are_of_all_streams_or_of_the_own_and_never_of_the_same_step() {
    let place = Place::new();
    let first_two = |statistics| {
        let received = drive(&mut new(Options { statistics, ..two_files(&place) }), 2);
        received
            .iter()
            .map(|r| [0, 1].map(|stream: usize| f32::from_bits(r.frames[stream].1[0])))
            .collect::<Vec<_>>()
    };
    // Before the second step 1 and 101 were seen: 2 is near the lower end of that, 103 beyond the upper one.
    assert_eq!(first_two(Statistics::Shared), [[0.0, 0.0], [(2.0f32 - 51.0) / 50.0, 1.0]]);
    assert_eq!(first_two(Statistics::Own), [[0.0, 0.0], [1.0, 1.0]]);
}

/// The sums of a run on a table whose predictions, −1…1, are these.
fn units(options: Options, predictions: &[f32]) -> Units {
    let mut recording = new(options);
    for prediction in predictions {
        let received = try_poll(&mut recording).expect("a row");
        let elements = received.frames[0].1.len();
        recording.act(0, &vec![*prediction; elements], &[]).expect("the right length");
    }
    recording.units
}

#[test]
fn errors_are_in_the_data_s_own_units() {
    let place = Place::new();
    let options = Options { period: 2, first_row: false, ..place.with("t.csv", "x\n10\n20\n40\n\n30\n5\n") };
    // Predicted after row 1: all were 10, so that it is 10. After row 2: .5 of 10…20 is 17.5; after row 3: 0 of 10…40 is 25.
    let units = units(options, &[0.3, 0.5, 0.0, -1.0, 0.0]);
    // 20, 40, 30 and 5 came; before them was 10, 20, 40, 30; two rows before them nothing (so the last), 10, 20, 40.
    let sums = |predicted: [f64; 4], last: [f64; 4], period: [f64; 4]| {
        let mut units = Units::default();
        for (i, came) in [20.0, 40.0, 30.0, 5.0].into_iter().enumerate() {
            units.number(came, predicted[i], last[i], Some(period[i]));
        }
        units
    };
    let wanted = sums([10.0, 17.5, 25.0, 10.0], [10.0, 20.0, 40.0, 30.0], [10.0, 10.0, 20.0, 40.0]);
    assert_eq!(units, wanted);
}

#[test]
fn the_first_row_and_what_was_never_observed_before_count_as_predicted_0_by_all_if_they_are_to() {
    let place = Place::new();
    let options = Options { period: 1, ..place.with("t.csv", "x,y\n10,\n12,\n12,7\n") };
    // x: 10 by 0, 12 by 10, 12 by the upper end of 10…12; y: 7 by 0.
    let counted = units(options.clone(), &[1.0; 3]);
    let mut wanted = Units::default();
    for (came, predicted, last) in [(10.0, 0.0, 0.0), (12.0, 10.0, 10.0), (12.0, 12.0, 12.0), (7.0, 0.0, 0.0)]
    {
        wanted.number(came, predicted, last, Some(last));
    }
    assert_eq!(counted, wanted);
    let mut without = Units::default();
    without.number(12.0, 10.0, 10.0, Some(10.0));
    without.number(12.0, 12.0, 12.0, Some(12.0));
    assert_eq!(units(Options { first_row: false, ..options }, &[1.0; 3]), without);
}

#[test]
fn to_predict_no_change_is_to_predict_the_last_value() {
    let place = Place::new();
    let options =
        Options { predict: Predict::Change, ..place.with("t.csv", "x,y\n10,1\n20,\n40,4\n30,3\n5,9\n") };
    let units = units(options, &[0.0; 5]);
    assert_eq!(units.numbers[0], units.numbers[1]);
    assert_ne!(units, Units::default());
}

#[test]
fn texts_that_were_foreseen_are_counted() {
    let place = Place::new();
    // a is foreseen each time, since all elements are equal and the first one counts.
    let units = units(place.with("t.csv", "s\na\nb\na\na\n"), &[0.0; 4]);
    assert_eq!(units.choices, [3.0, 2.0, 1.0]);
}

#[test]
fn without_predictions_nothing_is_compared() {
    let place = Place::new();
    let mut recording = new(place.with("t.csv", "x\n1\n2\n3\n"));
    for _ in 0..3 {
        try_poll(&mut recording).expect("a row");
        recording.act(0, &[], &[]).expect("no prediction");
    }
    assert_eq!(recording.units, Units::default());
}

#[test]
fn columns_without_values_or_changes_stay_in_bounds() {
    let place = Place::new();
    let table = format!("none,same,huge\n{}", ",7,99999999999999999999999\n".repeat(20));
    let all = rows(place.with("t.csv", table));
    assert_eq!(all.len(), 20);
    assert!(all.iter().all(|row| row[0].is_nan() && row[1] == 0.0 && row[2] == 0.0), "{all:?}");
}

#[test]
fn a_poll_without_a_response_sends_nothing_and_wrong_responses_are_refused() {
    let place = Place::new();
    let mut recording = new(place.with("t.csv", "x\n1\n2\n3\n"));
    assert_eq!(try_poll(&mut recording).expect("a row").frames.len(), 1);
    assert_eq!(try_poll(&mut recording).expect("nothing").frames.len(), 0);
    let said = |recording: &mut crate::Recording, stream, prediction: &[f32], action: &[f32]| {
        recording.act(stream, prediction, action).unwrap_err().to_string()
    };
    assert!(said(&mut recording, 1, &[0.0], &[]).contains("no stream 1"));
    assert!(said(&mut recording, 0, &[0.0; 2], &[]).contains("has 2 elements, but its observation has 1"));
    assert!(said(&mut recording, 0, &[0.0], &[1.0]).contains("asked for none"));
    recording.act(0, &[0.0], &[]).expect("it waits");
    assert!(said(&mut recording, 0, &[0.0], &[]).contains("does not wait"));
}

//! Saved and restored, it goes on as if it had never stopped.
use super::driver::{elements, frames, idx, new, options, poll, with_seed};
use super::refused;
use crate::{Labels, Options, Order, Source};
use efference_sdk::Environment;

fn run(labels: &mut Labels, steps: usize) -> Vec<(u64, Vec<u32>)> {
    frames(labels, steps).iter().map(|f| (f.stream, elements(&f.observation))).collect()
}

#[test]
fn restored_anywhere_it_goes_on_bit_for_bit_in_spite_of_another_seed() {
    let folder = tempfile::tempdir().expect("a folder");
    for (labels, order) in [(Source::Random, Order::Shuffled), (Source::File, Order::File)] {
        let options = Options { labels, order, streams: 3, ..options(folder.path()) };
        let expected = run(&mut new(options.clone()), 60);
        // Also between a picture and its label, and where a pass of 5 pictures ends.
        for steps in 0..25 {
            let mut straight = new(options.clone());
            assert_eq!(run(&mut straight, steps), expected[..3 * steps]);
            let saved = straight.save().expect("it saves");
            let mut other = with_seed(options.clone(), 8);
            run(&mut other, 13);
            other.restore(&saved).expect("bytes of the same options");
            assert_eq!(other.save().expect("it saves"), saved);
            assert!(run(&mut other, 60 - steps) == expected[3 * steps..], "after {steps} steps");
        }
    }
}

#[test]
fn saved_between_a_poll_and_its_response_it_still_knows_who_waits_for_whom() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut labels = new(Options { streams: 3, ..options(folder.path()) });
    poll(&mut labels);
    labels.act(1, &[], &[]).expect("it waits");
    let saved = labels.save().expect("it saves");
    let mut other = new(Options { streams: 3, ..options(folder.path()) });
    other.restore(&saved).expect("its own bytes");
    let [next] = &poll(&mut other)[..] else { panic!("only stream 1 was responded to") };
    assert_eq!((next.stream, next.observation[0].is_nan()), (1, true));
    other.act(0, &[], &[]).expect("it still waits");
}

#[test]
fn bytes_of_other_options_or_pictures_are_refused_and_change_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = options(folder.path());
    let mut labels = new(base.clone());
    run(&mut labels, 3);
    let before = labels.save().expect("it saves");
    for (other, message) in [
        (Options { classes: 3, ..base.clone() }, "classes = 3, but this one has classes = 4"),
        (Options { count: 4, ..base.clone() }, "count = 4, but this one has count = 5"),
        (Options { streams: 2, ..base.clone() }, "streams = 2, but this one has streams = 1"),
        (
            Options { order: Order::File, ..base.clone() },
            "order = \"file\", but this one has order = \"shuffled\"",
        ),
        (
            Options { labels: Source::File, ..base.clone() },
            "labels = \"file\", but this one has labels = \"random\"",
        ),
    ] {
        let saved = new(other).save().expect("it saves");
        let wanted = format!(
            "the environment was saved with {message}; restore it with the options that it was saved with"
        );
        assert_eq!(refused(labels.restore(&saved)), wanted);
    }
    let moved = folder.path().join("moved");
    let images = moved.to_string_lossy().into_owned();
    std::fs::copy(&base.images, &moved).expect("copied");
    let same = new(Options { images: images.clone(), ..base.clone() }).save().expect("it saves");
    labels.restore(&same).expect("where the file lies does not matter");
    labels.restore(&before).expect("its own bytes");
    std::fs::write(&moved, idx(&[5, 2, 3], &[9; 30])).expect("written");
    let other = new(Options { images, ..base.clone() }).save().expect("it saves");
    let wanted = format!(
        "the environment was saved with other pictures or labels than those of {}; restore it with the files that it was saved with",
        base.images
    );
    assert_eq!(refused(labels.restore(&other)), wanted);
    assert_eq!(labels.save().expect("it saves"), before);
}

#[test]
fn damaged_bytes_are_refused_without_a_panic() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut labels = new(options(folder.path()));
    run(&mut labels, 3);
    let before = labels.save().expect("it saves");
    let text = String::from_utf8(before.clone()).expect("JSON");
    assert!(
        refused(labels.restore(b"\x00"))
            .starts_with("these bytes are no saved state of `labels`, or are damaged")
    );
    for (from, to, message) in [
        (
            "\"format\":1",
            "\"format\":2",
            "this environment was saved in format 2, but this version of the plugin reads format 1; resume with the version that saved it",
        ),
        (
            "\"position\":1",
            "\"position\":5",
            "the saved environment is damaged: a stream is at picture 5 of 5",
        ),
        (
            "\"places\":[",
            "\"places\":[{\"pass\":0,\"position\":0,\"labelled\":false,\"ready\":true},",
            "the saved environment is damaged: it has 2 streams, not 1",
        ),
    ] {
        let damaged = text.replacen(from, to, 1);
        assert_ne!(damaged, text, "{from} is not in {text}");
        assert_eq!(refused(labels.restore(damaged.as_bytes())), message);
        assert_eq!(labels.save().expect("it saves"), before);
    }
}

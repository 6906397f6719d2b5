//! Pictures with labels: what a run records of them.
use crate::program::{Run, Workplace};

const SPEC: &str = r#"
name = "labels"
steps = 2_000
threads = 1
[environment]
plugin = "labels"
images = "pictures"
labels = "file"
label_file = "labels"
count = 4
[state]
size = 32
[layer]
plugin = "dense"
[trainer]
plugin = "bptt"
unroll_length = 2
[trainer.synthetic_gradient]
enabled = false
[goal]
plugin = "predict"
[optimizer]
learning_rate = 0.003
"#;

/// A file in the IDX format.
fn idx(sizes: &[u32], elements: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, sizes.len() as u8];
    sizes.iter().for_each(|size| file.extend(size.to_be_bytes()));
    file.extend(elements);
    file
}

/// A run on four pictures of four pixels, in each of which another pixel is white.
#[track_caller]
fn run(place: &Workplace, sets: &[&str]) -> Run {
    let pixels: Vec<u8> = (0..16).map(|pixel| if pixel % 5 == 0 { 255 } else { 0 }).collect();
    place.write("pictures", idx(&[4, 2, 2], &pixels));
    place.write("labels", idx(&[4], &[2, 0, 1, 2]));
    place.write("labels.toml", SPEC);
    let arguments = ["run", "labels.toml"].into_iter().chain(sets.iter().flat_map(|set| ["--set", set]));
    place.efference(&arguments.collect::<Vec<_>>()).expect(0);
    place.run("labels")
}

#[test]
fn the_labels_of_four_pictures_are_learnt_and_accuracy_says_so() {
    let place = Workplace::new();
    let metrics = run(&place, &[]).metrics();
    let accuracy: Vec<f64> = metrics.iter().map(|line| line["accuracy"].as_f64().unwrap()).collect();
    // A line is of ten frames: five pictures and their labels, so that it is a number of fifths.
    assert!(accuracy.iter().all(|a| (0..=5).any(|fifths| (a - f64::from(fifths) / 5.0).abs() < 1e-9)));
    let (first, last) = (&accuracy[..4], &accuracy[accuracy.len() - 20..]);
    assert!(first.iter().any(|a| *a < 1.0), "{first:?}");
    assert!(last.iter().all(|a| *a == 1.0), "{last:?}");
}

#[test]
fn a_missing_file_of_pictures_is_named_with_what_to_do() {
    let place = Workplace::new();
    place.write("labels.toml", SPEC);
    let answer = place.efference(&["run", "labels.toml"]);
    assert!(answer.code.is_some_and(|code| code != 0), "{answer}");
    answer.says(&[
        "there is no file pictures",
        "environment.images",
        "apt-get install dataset-fashion-mnist",
    ]);
}

//! Which files are read, and what is said of those that cannot be.
use super::driver::{idx, new, options, pictures, poll};
use super::{elements, refused};
use crate::{Labels, Options, Source};
use efference_sdk::{EnvironmentSetup, Plugin};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut file = GzEncoder::new(Vec::new(), Compression::default());
    file.write_all(bytes).expect("packed");
    file.finish().expect("packed")
}

/// What is said of a file of pictures with these bytes; PATH stands for where it is.
fn said_of(bytes: &[u8], count: usize) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("odd");
    std::fs::write(&path, bytes).expect("written");
    let images = path.to_string_lossy().into_owned();
    let made = Labels::new(
        Options { images: images.clone(), count, ..options(folder.path()) },
        &EnvironmentSetup::with_seed(1),
    );
    refused(made.map(drop)).replace(&images, "PATH")
}

#[test]
fn a_packed_file_is_the_same_as_an_unpacked_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let plain = options(folder.path());
    let path = folder.path().join("named-as-you-like");
    std::fs::write(&path, packed(&pictures())).expect("written");
    let gz = Options { images: path.to_string_lossy().into_owned(), ..plain.clone() };
    let observation = |options| elements(&poll(&mut new(options))[0].observation);
    assert_eq!(observation(gz), observation(plain));
}

#[test]
fn a_missing_file_is_named_with_the_option_and_the_package() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = options(folder.path());
    let make = |options| refused(Labels::new(options, &EnvironmentSetup::with_seed(1)).map(drop));
    assert_eq!(
        make(Options { images: "/nowhere/images".to_owned(), ..base.clone() }),
        "there is no file /nowhere/images: `apt-get install dataset-fashion-mnist` brings Debian's; or set environment.images to an IDX file of pictures that you have"
    );
    assert_eq!(
        make(Options { labels: Source::File, label_file: "/nowhere/labels".to_owned(), ..base.clone() }),
        "there is no file /nowhere/labels: `apt-get install dataset-fashion-mnist` brings Debian's; or set environment.label_file to an IDX file of labels that you have"
    );
    let directory = folder.path().to_string_lossy().into_owned();
    let said = make(Options { images: directory.clone(), ..base });
    assert!(said.starts_with(&format!("{directory} cannot be read: ")), "{said}");
}

#[test]
fn files_that_are_damaged_are_refused_with_a_sentence() {
    for (bytes, message) in [
        (
            b"PNG, or so".to_vec(),
            "PATH is no IDX file of pictures: it begins with 504e472c, but those begin with 00000803; set environment.images to one",
        ),
        (
            Vec::new(),
            "PATH is no IDX file of pictures: it is empty, but those begin with 00000803; set environment.images to one",
        ),
        (
            idx(&[5], &[0; 5]),
            "PATH is no IDX file of pictures: it holds labels, but those begin with 00000803; set environment.images to one",
        ),
        (
            pictures()[..15].to_vec(),
            "PATH is cut off: it ends before it says how many pictures it holds; fetch it again",
        ),
        (
            pictures()[..16 + 5 * 6 - 1].to_vec(),
            "PATH is cut off: it says that it holds 5 pictures of 2 × 3 pixels, but ends in picture 5 of the 5 that are wanted; fetch it again",
        ),
        (
            idx(&[5, 0, 3], &[]),
            "PATH says that its pictures have 0 × 3 pixels, but a side can have 1 to 1024: the file is damaged",
        ),
        // Nothing of that size is asked for.
        (
            idx(&[u32::MAX, 28, u32::MAX], &[1; 100]),
            "PATH says that its pictures have 28 × 4294967295 pixels, but a side can have 1 to 1024: the file is damaged",
        ),
        (
            idx(&[u32::MAX, 1024, 1024], &[1; 100]),
            "PATH is cut off: it says that it holds 4294967295 pictures of 1024 × 1024 pixels, but ends in picture 1 of the 5 that are wanted; fetch it again",
        ),
    ] {
        assert_eq!(said_of(&bytes, 5), message);
        // Packed, it is the same; an empty file has nothing that says that it is packed.
        assert_eq!(said_of(&packed(&bytes), 5), message);
    }
    assert_eq!(
        said_of(&pictures(), 6),
        "count = 6, but PATH holds 5 pictures: set environment.count to that or less"
    );
}

#[test]
fn a_damaged_package_is_refused_with_a_sentence() {
    let pixels: Vec<u8> = (0..5 * 6).collect();
    let mut package = packed(&idx(&[5, 2, 3], &pixels));
    assert_eq!(
        said_of(&package[..package.len() / 2], 5),
        "PATH is cut off, so that it cannot be unpacked; fetch it again"
    );
    // Behind the ten bytes of gzip's head: a block of a kind that does not exist.
    package[10] = 0xff;
    let said = said_of(&package, 5);
    assert!(said.starts_with("PATH cannot be unpacked: it is damaged; fetch it again: "), "{said}");
}

#[test]
fn labels_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = Options { labels: Source::File, ..options(folder.path()) };
    let said = |bytes: &[u8]| {
        std::fs::write(&base.label_file, bytes).expect("written");
        let made = Labels::new(base.clone(), &EnvironmentSetup::with_seed(1));
        refused(made.map(drop)).replace(&base.label_file, "PATH")
    };
    assert_eq!(
        said(&idx(&[4], &[0; 4])),
        "count = 5, but PATH holds 4 labels: set environment.count to that or less"
    );
    assert_eq!(
        said(&idx(&[5], &[0; 4])),
        "PATH is cut off: it says that it holds 5 labels, but ends after 4; fetch it again"
    );
    assert_eq!(
        said(&pictures()),
        "PATH is no IDX file of labels: it holds pictures, but those begin with 00000801; set environment.label_file to one"
    );
    assert_eq!(
        said(&idx(&[u32::MAX], &[0; 4])),
        "PATH says that it holds 4294967295 labels, and can hold 100000000: the file is damaged"
    );
}

#[test]
fn debians_pictures_are_read_as_their_package_describes_them() {
    let options = Options { labels: Source::File, ..Options::default() };
    if !std::path::Path::new(&options.images).exists() {
        // Not by `println!`, which is hidden where a test passes.
        let said = format!("SKIPPED: {} is not there: apt-get install dataset-fashion-mnist", options.images);
        let _ = writeln!(std::io::stderr(), "{said}");
        return;
    }
    // 28 × 28 pixels and 10 classes (Xiao, Rasul, Vollgraf, "Fashion-MNIST", 2017).
    let labels = new(options);
    assert_eq!((labels.dataset.rows, labels.dataset.columns, labels.dataset.classes), (28, 28, 10));
    assert_eq!(labels.dataset.count(), 10_000);
}

//! What the book quotes is what the program says.
use crate::program::{Workplace, fixtures, repository};
use std::path::Path;
use std::{env, fs};

/// Compares a file with what was found; with the variable `WRITE_BOOK` set, writes it.
#[track_caller]
fn is_up_to_date(file: &str, found: &str) {
    let path = repository().join(file);
    let there = fs::read_to_string(&path).unwrap_or_default();
    if there != found && env::var_os("WRITE_BOOK").is_some() {
        fs::write(&path, found).unwrap();
        return;
    }
    let differ = found.lines().zip(there.lines()).find(|(found, there)| found != there);
    assert!(
        there == found,
        "{file} is not what it was made from; set WRITE_BOOK=1 to write it again. First difference: {differ:?}"
    );
}

#[test]
fn the_page_of_all_keys_is_that_of_the_declarations() {
    let place = Workplace::new();
    let answer = place.efference(&["schema", "--markdown"]).expect(0);
    is_up_to_date("core/book/src/keys.md", &answer.stdout);
}

#[test]
fn the_calls_of_a_step_are_those_that_the_book_quotes() {
    let place = Workplace::new();
    let spec = fs::read_to_string(repository().join("tests/fixtures/recorder/recorder.toml")).unwrap();
    place.write("recorder.toml", spec);
    let path = format!("plugins.path=[{:?}]", fixtures());
    place.efference(&["run", "recorder.toml", "--set", &path, "--runs", "runs", "--id", "one"]).expect(0);
    let run = place.path().join("runs/recorder/one");
    let calls = fs::read_to_string(run.join(Path::new("recorder/calls.txt"))).unwrap();
    is_up_to_date("tests/fixtures/recorder/calls.txt", &calls);
}

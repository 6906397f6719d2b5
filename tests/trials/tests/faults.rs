//! The fuzzer finds faults of each kind, makes the input small, and shows the fault again with it.
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

/// The example, which cargo builds before the tests: target/release/examples/faulty beside target/release/deps.
fn faulty() -> PathBuf {
    let own = env::current_exe().unwrap();
    own.parent().and_then(Path::parent).unwrap().join("examples/faulty")
}

/// Tries one target; returns its output, and the failing input if there is one.
fn tried(target: &str) -> (Output, Option<PathBuf>, tempfile::TempDir) {
    let failures = tempfile::tempdir().unwrap();
    let output = Command::new(faulty())
        .args([target, "--runs", "2000", "--seconds", "60", "--minimise", "2", "--failures"])
        .arg(failures.path())
        .output()
        .unwrap();
    let input = fs::read_dir(failures.path()).unwrap().next().map(|file| file.unwrap().path());
    (output, input, failures)
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn each_kind_of_fault_is_found_and_shown_again() {
    for (target, says) in [
        ("wrong", "the answer is wrong: 1 is not 2"),
        ("panics", "faulty.rs"),
        ("aborts", "signal: 6 (SIGABRT)"),
        ("recurses", "has overflowed its stack"),
        ("takes-memory", "it takes too much memory: 100 MiB"),
        ("takes-all", "memory allocation of 2147483648 bytes failed"),
        ("hangs", "it does not return within 5 s"),
    ] {
        let (output, input, _failures) = tried(target);
        let said = text(&output);
        assert!(
            !output.status.success() && said.contains("FAILED") && said.contains(says),
            "{target}: {said}"
        );
        let input = input.unwrap_or_else(|| panic!("{target}: no input was saved: {said}"));
        if target != "hangs" {
            // Each try of an endless loop takes seconds.
            assert_eq!(fs::read(&input).unwrap(), b"\n\n", "{target}: the smallest input that shows it");
        }
        let again = Command::new(faulty()).args([target, "--input"]).arg(&input).output().unwrap();
        assert!(!again.status.success() && text(&again).contains(says), "{target}: {}", text(&again));
    }
}

#[test]
fn what_is_good_is_tried_as_often_as_asked_and_what_is_not_there_is_skipped() {
    let (output, input, _failures) = tried("good");
    let said = text(&output);
    assert!(output.status.success() && said.contains("2,000 inputs") && input.is_none(), "{said}");
    let (output, ..) = tried("skipped");
    assert!(output.status.success() && text(&output).contains("SKIPPED: there is no such thing here"));
    let output = Command::new(faulty()).arg("god").output().unwrap();
    assert!(
        !output.status.success() && text(&output).contains("there is no target 'god'"),
        "{}",
        text(&output)
    );
}

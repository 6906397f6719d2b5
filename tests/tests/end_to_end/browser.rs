//! The environment plugin `browser` in whole runs: what a spec may say, what is recorded, and Ctrl-C.
use crate::program::{Workplace, small_in};
use rustix::process::{Signal, kill_process};
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;

/// Whether there is a Chromium; else says so past the test harness, which hides what tests print.
fn has_chromium() -> bool {
    let found = [
        "/usr/lib/chromium/chromium",
        "/usr/lib/chromium-browser/chromium-browser",
        "/opt/google/chrome/chrome",
    ]
    .iter()
    .any(|file| Path::new(file).is_file());
    if !found {
        let _ = writeln!(std::io::stderr(), "SKIPPED a test of the browser plugin: there is no Chromium");
    }
    found
}

/// A small experiment in the browser, with these lines in its environment and a small view.
fn spec(lines: &str) -> String {
    let width = if lines.contains("view_width") { "" } else { "view_width = 32\n" };
    let environment = format!("plugin = \"browser\"\nview_height = 32\n{width}{lines}");
    small_in("browser").replace("plugin = \"browser\"", &environment).replace("size = 64", "size = 256")
}

#[test]
fn what_cannot_run_is_found_by_check_with_its_line() {
    let place = Workplace::new();
    place.write("page.html", "");
    for (line, said) in [
        ("url = \"example.org\"", "write an address in full"),
        ("url = \"pages/none.html\"", "no such folder or file"),
        ("url = [\"bundled\", \"chrome://crash\"]\nstreams = 2", "only http and https"),
        ("view_width = 70\nshrink = 8", "view_width = 70 must be a multiple of shrink = 8"),
        ("view_width = 2048", "shows nothing of the page beyond"),
    ] {
        place.write("small.toml", spec(line));
        let answer = place.efference(&["check", "small.toml"]).expect(2);
        let words = answer
            .stderr
            .split_whitespace()
            .filter(|w| !["|", "│"].contains(w))
            .collect::<Vec<_>>()
            .join(" ");
        let key = line.split(' ').next().unwrap();
        assert!(words.contains(said) && words.contains(key) && words.contains("small.toml:"), "{answer}");
        assert!(place.runs("small").is_empty());
    }
    for line in ["url = \"localhost:8000/page\"", "url = \"127.0.0.1:8000\"", "url = \"page.html\""] {
        place.write("small.toml", spec(line));
        place.efference(&["check", "small.toml"]).expect(0);
    }
}

#[test]
fn ctrl_c_is_heard_while_a_page_opens() {
    if !has_chromium() {
        return;
    }
    // A server that never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("environment.url=localhost:{}", silent.local_addr().unwrap().port());
    let place = Workplace::new();
    place.write("small.toml", spec(""));
    let mut started = place.start(&mut place.command(&["run", "small.toml", "--set", &url]));
    started.until(|| !place.runs("small").is_empty());
    // The page's request: from now on it is being opened.
    let page = silent.accept();
    let asked = std::time::Instant::now();
    kill_process(started.process(), Signal::INT).unwrap();
    started.wait().expect(130);
    // The limit of a server that does not answer is 30 s; ending takes a moment on a busy machine.
    assert!(asked.elapsed() < std::time::Duration::from_secs(10), "{:?}", asked.elapsed());
    assert_eq!(place.run("small").end()["how"], "stopped");
    drop(page);
}

#[test]
fn what_the_page_gives_and_what_became_of_it_is_recorded() {
    if !has_chromium() {
        return;
    }
    let place = Workplace::new();
    place.write("page.html", "<script>setInterval(() => directScore(-1), 20)</script>");
    place.write("small.toml", spec(""));
    let sets = ["--set", "environment.url=page.html", "--set", "steps=40"];
    place.efference(&[["run", "small.toml"].as_slice(), &sets].concat()).expect(0);
    let lines = place.run("small").metrics();
    let rewards: Vec<_> = lines.iter().filter_map(|line| line["browser/reward"].as_f64()).collect();
    assert!(!rewards.is_empty() && rewards.iter().all(|reward| *reward == -1.0), "{rewards:?}");
    let last = lines.last().unwrap();
    assert_eq!(last["browser/recoveries"], 0.0, "{last}");
    for seconds in ["browser/picture_age", "browser/reaction_time"] {
        assert!(last[seconds].as_f64().is_some_and(|age| (0.0..600.0).contains(&age)), "{last}");
    }
    assert!(last["browser/missed_pictures"].as_f64().is_some_and(|missed| missed >= 0.0), "{last}");
}

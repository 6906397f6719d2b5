//! The page of a run: `efference view` and `efference run --view`.
use crate::chromium::{Browser, found};
use crate::program::{SMALL, Started, Workplace, fixtures, small_in};
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// A page as a program asks it.
struct Page {
    port: u16,
    path: String,
}

impl Page {
    /// The one whose address was printed in this text.
    fn printed(text: &str) -> Page {
        let (_, address) = text.split_once("http://127.0.0.1:").unwrap_or_else(|| panic!("{text}"));
        let address = address.split_whitespace().next().unwrap();
        let (port, path) = address.split_once('/').unwrap();
        Page { port: port.parse().unwrap(), path: format!("/{path}") }
    }

    fn address(&self) -> String {
        format!("http://127.0.0.1:{}{}", self.port, self.path)
    }

    /// Status and body.
    fn ask(&self, method: &str, path: &str) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let head =
            format!("{method} {}{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", self.path);
        stream.write_all(head.as_bytes()).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        let end = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&all[..end]).into_owned();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), all.split_off(end + 4))
    }

    /// Where the run is, and the bytes of its pictures.
    fn look(&self, streams: &str) -> (Value, Vec<u8>) {
        let (status, mut body) = self.ask("GET", &format!("live?streams={streams}"));
        assert_eq!(status, 200);
        let length = u32::from_le_bytes(body[..4].try_into().unwrap()) as usize;
        let pictures = body.split_off(4 + length);
        (serde_json::from_slice(&body[4..]).unwrap(), pictures)
    }

    fn steer(&self, wish: &str) {
        let (status, body) = self.ask("POST", wish);
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    }

    /// Waits until what the run says of itself is so.
    #[track_caller]
    fn until(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let run = self.look("0").0["run"].take();
            if is(&run) {
                return run;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "never {what}: {run}");
        }
    }

    /// Pauses the run; returns at which step it stands.
    fn pause(&self) -> u64 {
        // A run that begins offers nothing yet.
        self.until("offered", |run| run["step"].is_u64());
        self.steer("pause");
        self.until("standing", |run| run["standing"] == true)["step"].as_u64().unwrap()
    }
}

/// What a program has said so far on standard error.
fn said(started: &mut Started, text: &str) -> String {
    started.until_said(text);
    started.said()
}

/// A run of [`SMALL`] that has so many steps, with its page.
fn shown(place: &Workplace, steps: u32, more: &[&str]) -> (Started, Page) {
    place.write("small.toml", SMALL);
    let steps = format!("steps={steps}");
    let sets = ["run", "small.toml", "--view", "--set", &steps];
    let mut started = place.start(&mut place.command(&[&sets[..], more].concat()));
    let page = Page::printed(&said(&mut started, "the run is shown at http"));
    (started, page)
}

#[test]
fn a_run_is_paused_stepped_and_resumed_and_computes_the_same() {
    let place = Workplace::new();
    let (mut started, page) = shown(&place, 8_000, &["--id", "paused"]);
    let paused_at = page.pause();
    for step in paused_at + 1..=paused_at + 5 {
        page.steer("step");
        page.until("one step more", |run| run["standing"] == true && run["step"] == step);
    }
    // Observation and prediction of that very step, and how long before it was made.
    let (object, pictures) = page.look("0");
    let shown = &object["run"]["shown"][0];
    let size = &shown["observation"];
    assert_eq!((size, &shown["delay"]["steps"]), (&shown["prediction"], &1.into()), "{object}");
    assert_eq!(
        2 * 3 * size["width"].as_u64().unwrap() * size["height"].as_u64().unwrap(),
        pictures.len() as u64
    );
    assert!(shown["errors"][0][1].as_f64().unwrap() > 0.0 && shown["trouble"] == Value::Null, "{shown}");
    started.until_said("paused by someone who looks at the run, after");
    std::thread::sleep(Duration::from_millis(300));
    page.steer("resume");
    started.until_said("the run goes on");
    // Looked at to its end.
    while TcpStream::connect(("127.0.0.1", page.port)).is_ok()
        && place.run("small").read("log.txt").len() < 1 << 20
    {
        let ended = fs::metadata(place.run("small").path.join("end.json")).is_ok();
        if ended {
            break;
        }
        page.look("0");
    }
    let answer = started.wait().expect(0);
    assert!(!answer.stderr.contains("waiting for"), "a pause is no hang: {answer}");
    place.efference(&["run", "small.toml", "--id", "never", "--set", "steps=8000"]).expect(0);
    let same = place.efference(&["diff", "runs/small/paused", "runs/small/never"]).expect(0);
    assert!(same.stdout.contains("the same, bit for bit"), "{same}");
    let socket = place.path().join("runs/small/paused/view");
    assert!(!socket.exists(), "the socket goes with the run");
}

#[test]
fn a_run_goes_on_when_nobody_looks_and_hears_signals_while_it_stands() {
    let place = Workplace::new();
    let (mut started, page) = shown(&place, 1_000_000_000, &[]);
    page.pause();
    started.until_said("the run goes on: nobody looks at it any more");
    for signal in [Signal::INT, Signal::TERM] {
        let place = Workplace::new();
        let (started, page) = shown(&place, 1_000_000_000, &[]);
        let step = page.pause();
        let began = Instant::now();
        kill_process(started.process(), signal).unwrap();
        let answer = started.wait().expect(130);
        assert!(began.elapsed() < Duration::from_secs(4), "{answer}");
        assert_eq!(place.run("small").end()["step"], step, "no step was made for it");
        assert!(!answer.stderr.contains("the run goes on"), "{answer}");
    }
    kill_process(started.process(), Signal::INT).unwrap();
    let answer = started.wait().expect(130);
    answer.says(&["paused by someone", "nobody looks at it any more"]);
}

#[test]
fn another_process_shows_a_run_that_goes_on_and_ctrl_c_ends_it_alone() {
    let place = Workplace::new();
    place.write("small.toml", SMALL);
    let mut run = place.start(&mut place.command(&["run", "small.toml", "--set", "steps=1000000000"]));
    run.until(|| !place.runs("small").is_empty() && place.run("small").path.join("view").exists());
    let view = || {
        let mut view = place.start(&mut place.command(&["view", "small"]));
        let address = view.until_printed("\n");
        (view, Page::printed(&address))
    };
    let ((first, one), (mut second, other)) = (view(), view());
    assert_ne!(one.path, other.path, "each has its own token");
    let ((object, pictures), (_, others)) = (one.look("0"), other.look("0"));
    assert_eq!((&object["state"], pictures.len()), (&"running".into(), others.len()), "{object}");
    assert!(!pictures.is_empty());
    // One pauses, the other one sees it.
    one.pause();
    other.until("paused", |run| run["standing"] == true);
    other.steer("resume");
    let began = Instant::now();
    kill_process(first.process(), Signal::INT).unwrap();
    assert_eq!(first.wait().code, None, "Ctrl-C ends it as it ends any program");
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_eq!(other.look("0").0["state"], "running");
    run.kill();
    place.run("small").until_nobody_writes_it();
    std::thread::sleep(Duration::from_millis(300));
    let (object, _) = other.look("0");
    assert_eq!((&object["state"], &object["run"]), (&"killed".into(), &Value::Null));
    assert!(second.kill());
}

#[test]
fn what_can_not_be_shown_is_said() {
    let place = Workplace::new();
    place.write("small.toml", SMALL);
    place.efference(&["view"]).expect(1).says(&["there is no directory 'runs'"]);
    place.efference(&["run", "small.toml", "--set", "record.pictures_every=0"]).expect(0);
    place.efference(&["view", "smal"]).expect(1).says(&["there is no run 'smal'", "did you mean 'small'?"]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let sentence = format!("port {port} of this machine is taken by another program");
    place.efference(&["view", "small", "--port", &port]).expect(1).says(&[&sentence, "--port"]);
    place.efference(&["run", "small.toml", "--view", "--port", &port]).expect(1).says(&[&sentence]);
    assert_eq!(place.runs("small").len(), 1, "nothing was begun");
    place.efference(&["run", "small.toml", "--port", "8000"]).expect(2).says(&["--view"]);
    place.efference(&["view", "small", "--port", "0"]).expect(2);
}

#[test]
fn a_browser_shows_it_and_steers_it() {
    let Some(chromium) = found() else { return };
    let place = Workplace::new();
    let sets = [
        "environment.world=\"catch\"",
        "environment.streams=3",
        "goal.plugin=\"maximize\"",
        "state.size=256",
        "trainer.merge=\"concat\"",
        "record.every=200",
    ];
    let text = SMALL.replace("world = \"bounce\"\nsize = 6\n", "");
    place.write("small.toml", text);
    let mut arguments = vec!["run", "small.toml", "--view", "--set", "steps=1000000000"];
    arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
    let mut started = place.start(&mut place.command(&arguments));
    let page = Page::printed(&said(&mut started, "the run is shown at http"));
    let mut browser = Browser::open(&chromium, place.path(), &page.address(), [1280, 900]);
    browser.until("document.getElementById('state').textContent === 'running'");
    browser.until("document.querySelectorAll('.panel').length === 3");
    browser.until("document.querySelectorAll('.chart canvas').length >= 4");
    browser.until(
        "document.querySelector('.trio figure:nth-child(2) figcaption').textContent.includes('1 step, ')",
    );
    browser.until("document.querySelectorAll('.action span.now').length >= 3");
    let click =
        "[...document.querySelectorAll('#streams button')].find(b => b.textContent === 'Stream 1').click()";
    browser.value(click);
    browser.until("document.querySelectorAll('.panel').length === 2");
    browser.press(" ");
    browser.until("document.getElementById('state').textContent === 'paused'");
    let step = |browser: &mut Browser| -> String {
        let step = "document.querySelector('#facts dd').firstChild.textContent.replaceAll(',', '')";
        browser.value(step).as_str().unwrap().to_owned()
    };
    // What is drawn is what the run sends: pixel by pixel, and the error between the two.
    let before: u64 = step(&mut browser).parse().unwrap();
    browser.press(".");
    let next =
        format!("document.querySelector('#facts dd').firstChild.textContent === '{}'", grouped(before + 1));
    browser.until(&next);
    browser.until(&format!(
        "document.querySelector('figcaption').textContent === 'observed at step {}'",
        grouped(before + 1)
    ));
    let (object, pictures) = page.look("0");
    let size = &object["run"]["shown"][0]["observation"];
    let (width, height) =
        (size["width"].as_u64().unwrap() as usize, size["height"].as_u64().unwrap() as usize);
    let mut drawn = |what: &str| -> Vec<u8> {
        let script = format!(
            "(() => {{ const c = document.querySelector('.panel canvas[data-what={what}]'); \
             return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].filter((_, i) => i % 4 < 3) }})()"
        );
        let pixels = browser.value(&script);
        pixels.as_array().unwrap().iter().map(|byte| byte.as_u64().unwrap() as u8).collect()
    };
    let (observed, predicted) = pictures.split_at(3 * width * height);
    let observed_there = drawn("observed");
    let differ = |a: &[u8], b: &[u8]| a.iter().zip(b).filter(|(a, b)| a != b).count();
    assert_eq!((observed_there.len(), differ(&observed_there, observed)), (observed.len(), 0), "{object}");
    assert_eq!(differ(&drawn("predicted"), predicted), 0);
    let differences: Vec<u8> = observed.iter().zip(predicted).map(|(a, b)| a.abs_diff(*b)).collect();
    let dark = [0, 0, 4];
    let error = drawn("error");
    let same = |at: usize| differences[3 * at..3 * at + 3] == [0; 3];
    assert!((0..width * height).all(|at| !same(at) || error[3 * at..3 * at + 3] == dark));
    let mean = differences.iter().map(|d| f64::from(*d)).sum::<f64>() / differences.len() as f64;
    let caption = browser.value("document.querySelector('.trio figure:nth-child(3) figcaption').textContent");
    let shown: f64 = caption.as_str().unwrap().split(' ').nth(3).unwrap().parse().unwrap();
    assert!((shown - mean).abs() < 0.01 * mean + 1e-3, "{caption} {mean}");
    browser.press(" ");
    browser.until("document.getElementById('state').textContent === 'running'");
    kill_process(started.process(), Signal::INT).unwrap();
    started.wait().expect(130);
    browser.until("document.getElementById('note').textContent.startsWith('The view has ended.')");
    let errors = browser.value("window.failed ?? null");
    assert_eq!(errors, Value::Null);
}

#[test]
fn a_browser_shows_a_run_that_has_ended_and_takes_no_name_for_html() {
    let Some(chromium) = found() else { return };
    let place = Workplace::new();
    place.write("small.toml", SMALL);
    place.efference(&["run", "small.toml", "--set", "record.pictures_every=4"]).expect(0);
    // Names of metrics are what plugins call them.
    let metrics = place.run("small").path.join("metrics.jsonl");
    let text = fs::read_to_string(&metrics)
        .unwrap()
        .replace("\"steps_per", "\"<img src=x onerror=alert(1)>\":1,\"steps_per");
    fs::write(&metrics, text).unwrap();
    let mut view = place.start(&mut place.command(&["view", "small"]));
    let page = Page::printed(&view.until_printed("\n"));
    let mut browser = Browser::open(&chromium, place.path(), &page.address(), [1280, 900]);
    browser.until("document.getElementById('state').textContent === 'finished'");
    browser.until("document.querySelectorAll('.panel').length === 1");
    browser.until("document.querySelector('figcaption').textContent === 'observed at step 12'");
    let earlier = "(() => { const at = document.getElementById('at'); at.value = 0; \
        at.dispatchEvent(new Event('input')); return true })()";
    browser.until(earlier);
    browser.until("document.querySelector('figcaption').textContent === 'observed at step 4'");
    browser.until("document.querySelector('#metrics').textContent.includes('<img src=x onerror=alert(1)>')");
    assert_eq!(browser.value("document.querySelectorAll('img').length"), json!(0));
    assert!(view.kill());
}

#[test]
fn a_run_without_pictures_says_so() {
    let place = Workplace::new();
    place.write("small.toml", small_in("visitors"));
    let plugins = format!("plugins.path=[{:?}]", fixtures().display().to_string());
    let sets = ["--set", &plugins, "--set", "environment.milliseconds=5", "--set", "steps=1000000000"];
    let mut started =
        place.start(&mut place.command(&[&["run", "small.toml", "--view"], &sets[..]].concat()));
    let page = Page::printed(&said(&mut started, "the run is shown at http"));
    let run = page.until("shown", |run| run["shown"][0]["stream"].is_u64() || run["active"][0].is_u64());
    let stream = run["active"][0].as_u64().unwrap();
    let (object, pictures) = page.look(&stream.to_string());
    let shown = &object["run"]["shown"][0];
    assert!(pictures.is_empty());
    if shown["stream"].is_u64() {
        assert_eq!(shown["trouble"], "This environment draws no pictures of its observations.", "{object}");
    }
    started.kill();
}

fn grouped(n: u64) -> String {
    efference_runs::Grouped(n).to_string()
}

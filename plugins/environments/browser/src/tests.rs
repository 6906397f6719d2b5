//! Tests with the real Chromium, on pages that a small server on a free port of this machine gives.
mod hostile;
mod kills;
mod lock_step;
mod mending;
mod network;
mod opening;
mod pages;
mod restoring;
mod sight;
mod tasks;

use crate::{Browser, Image, OneOrMore, Options, program};
use efference_sdk::{ActionGroup, Environment, EnvironmentSetup, Frame, Frames, Plugin, Result, StepType};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for what should come within a second, on a machine with other work.
const SOON: Duration = Duration::from_secs(30);

/// Tests at a time: they mostly wait, but ten browsers at once would be too slow for tests of time limits.
const AT_ONCE: usize = 2;
/// How many may begin.
static FREE: Mutex<usize> = Mutex::new(AT_ONCE);
static FREED: Condvar = Condvar::new();

/// The right to run, of so many tests at a time.
struct Turn(usize);

impl Turn {
    fn take(shares: usize) -> Turn {
        let free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        *FREED.wait_while(free, |free| *free < shares).unwrap_or_else(PoisonError::into_inner) -= shares;
        Turn(shares)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *FREE.lock().unwrap_or_else(PoisonError::into_inner) += self.0;
        FREED.notify_all();
    }
}

/// `None`, and a line that says so, if there is no browser to test with.
fn turn() -> Option<Turn> {
    turn_for(&Options::default(), 1)
}

/// As [`turn`], with no other test beside it.
fn alone() -> Option<Turn> {
    turn_for(&Options::default(), AT_ONCE)
}

/// As [`turn`], for the browser that these options ask for, and so many tests' worth of time.
fn turn_for(options: &Options, shares: usize) -> Option<Turn> {
    match program::find(options) {
        Ok(_) => Some(Turn::take(shares)),
        Err(error) => {
            skipped(&format!("{error:#}"));
            None
        }
    }
}

/// Says so past the test harness, which hides what tests print.
fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED a test of the browser plugin: {why}");
}

/// The last frame of each stream, and all rewards.
#[derive(Default)]
struct Seen {
    observations: HashMap<u64, Vec<f32>>,
    rewards: Vec<f32>,
    count: usize,
    /// How many frames each stream had.
    counts: HashMap<u64, usize>,
}

impl Frames for Seen {
    fn begin(&mut self, _: u64) -> Result<()> {
        Ok(())
    }
    fn end(&mut self, stream: u64) -> Result<()> {
        panic!("stream {stream} has ended");
    }
    fn close(&mut self) -> Result<()> {
        panic!("closed");
    }
    fn frame(&mut self, frame: Frame<'_>) -> Result<()> {
        assert_eq!((frame.actions, frame.step_type), (&[ActionGroup::VALUE; 4][..], StepType::MIDDLE));
        assert!(frame.observation.iter().all(|x| (-1.0..=1.0).contains(x)));
        assert!(frame.reward.is_none_or(f32::is_finite));
        self.observations.insert(frame.stream, frame.observation.to_vec());
        self.rewards.extend(frame.reward);
        self.count += 1;
        *self.counts.entry(frame.stream).or_default() += 1;
        Ok(())
    }
}

/// A browser all of whose pages were drawn.
fn open(options: Options) -> Browser {
    try_open(options).unwrap_or_else(|e| panic!("{e:#}"))
}

fn try_open(options: Options) -> Result<Browser> {
    let mut browser = Browser::new(options, &EnvironmentSetup::with_seed(0))?;
    let deadline = Instant::now() + 3 * SOON;
    while browser.streams.iter().any(|stream| stream.window.is_empty()) {
        browser.poll(Duration::from_millis(10), &mut Seen::default())?;
        assert!(Instant::now() < deadline, "not opened");
    }
    Ok(browser)
}

/// How often a page had to be brought back.
fn recoveries(browser: &Browser) -> u64 {
    browser.streams.iter().map(|stream| stream.recoveries).sum()
}

/// Polls until the page of stream 0 is open and answers.
fn settle(browser: &mut Browser) {
    until(browser, "the page answers", |browser, _| browser.streams[0].tab.well_for() > Duration::ZERO);
}

fn target(browser: &Browser) -> String {
    browser.streams[0].tab.target()
}

fn options(url: &str) -> Options {
    Options { url: OneOrMore::from(url), patience: 2.0, ..Options::default() }
}

/// Polls, with actions that do nothing, until something holds of what was seen.
fn until(browser: &mut Browser, what: &str, mut holds: impl FnMut(&Browser, &Seen) -> bool) -> Seen {
    let mut seen = Seen::default();
    let deadline = Instant::now() + SOON;
    loop {
        browser.poll(Duration::from_millis(100), &mut seen).unwrap_or_else(|e| panic!("{what}: {e:#}"));
        for stream in 0..browser.streams.len() {
            browser.act(stream as u64, &[], &[0.0; 4]).unwrap();
        }
        if holds(browser, &seen) {
            return seen;
        }
        assert!(Instant::now() < deadline, "in vain: {what}");
    }
}

/// The colour in the middle of what stream 0 sees, as bytes.
fn middle(browser: &Browser, seen: &Seen) -> [u8; 3] {
    let Some(observation) = seen.observations.get(&0) else { return [0; 3] };
    let picture = browser.picture(0, observation).unwrap().unwrap();
    let at = 3 * (picture.height / 2 * picture.width + picture.width / 2);
    [picture.rgb[at], picture.rgb[at + 1], picture.rgb[at + 2]]
}

fn is_green([red, green, blue]: [u8; 3]) -> bool {
    green > 200 && red < 60 && blue < 60
}

fn is_blue([red, green, blue]: [u8; 3]) -> bool {
    blue > 200 && red < 60 && green < 60
}

const GREEN: &str = "<body style='background:#0f0'>";

/// Serves pages by path; "/hang" never answers, "/slow" after 5 s. A page that begins with "location:" leads elsewhere. Gives the
/// address of the root.
fn serve<P: AsRef<str> + Sync>(pages: &'static [(&'static str, P)]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let root = format!("http://127.0.0.1:{}/", listener.local_addr().unwrap().port());
    thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut line = String::new();
                let mut reader = BufReader::new(connection.try_clone()?);
                reader.read_line(&mut line)?;
                let mut header = String::from("-");
                while !header.trim().is_empty() {
                    header.clear();
                    reader.read_line(&mut header)?;
                }
                let path = line.split(' ').nth(1).unwrap_or("/");
                let path = path.split('?').next().unwrap_or(path);
                if path == "/hang" {
                    let _ = reader.read(&mut [0]);
                }
                if path == "/slow" {
                    thread::sleep(Duration::from_secs(5));
                }
                let page = pages.iter().find(|(p, _)| *p == path);
                let (status, body) =
                    page.map_or(("404 Not Found", ""), |(_, body)| ("200 OK", body.as_ref()));
                let (status, more) = match body.strip_prefix("location:") {
                    Some(to) => ("302 Found", format!("Location: {to}\r\n")),
                    None => (status, String::new()),
                };
                let kind = if path.ends_with(".js") { "text/javascript" } else { "text/html" };
                write!(
                    connection,
                    "HTTP/1.1 {status}\r\n{more}Content-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                )
            });
        }
    });
    root
}

/// Processes whose command line names the folder, and that have not ended.
fn processes_of(folder: &Path) -> Vec<u32> {
    let folder = folder.to_str().unwrap();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(id) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&command).contains(folder) {
            found.push(id);
        }
    }
    found
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !holds() {
        assert!(Instant::now() < deadline, "not so: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_bundled_page_moves_and_rewards_and_nothing_stays_behind() {
    let Some(_turn) = turn() else { return };
    let mut browser = open(Options { mouse_spring: 0.0, ..options("bundled") });
    let mut first = None;
    let seen = until(&mut browser, "the picture moves and rewards come", |_, seen| {
        let Some(now) = seen.observations.get(&0) else { return false };
        let first = first.get_or_insert_with(|| now.clone());
        first != now && seen.rewards.len() > 5
    });
    let spaces = browser.spaces().unwrap().unwrap();
    assert_eq!((spaces.observation, spaces.action_width()), (32 * 32 * 3 + 2, 4));
    assert_eq!(seen.observations[&0].len(), spaces.observation);

    // The mouse goes where the actions say, and is seen by the page.
    for _ in 0..3 {
        browser.poll(Duration::from_secs(1), &mut Seen::default()).unwrap();
        browser.act(0, &[f32::NAN; 7], &[1.0, f32::NAN, f32::INFINITY, -1.0]).unwrap();
    }
    let seen = until(&mut browser, "the page knows the mouse", |browser, _| {
        browser.streams[0].tab.evaluate("mouse.x + ',' + mouse.y").unwrap() == "470,240"
    });
    let observation = &seen.observations[&0];
    assert!((observation[3072] - (2.0 * 470.0 / 639.0 - 1.0)).abs() < 1e-5, "{}", observation[3072]);
    assert!(browser.act(1, &[], &[]).unwrap_err().to_string().contains("no stream 1"));

    let folder = browser.chromium.folder().to_owned();
    assert!(folder.is_dir() && processes_of(&folder).len() > 2);
    if rustix::process::geteuid().is_root() {
        let owner =
            std::fs::read_to_string(format!("/proc/{}/status", browser.chromium.process().unwrap())).unwrap();
        let uid = owner.lines().find(|l| l.starts_with("Uid:")).unwrap();
        assert!(!uid.split_whitespace().any(|id| id == "0"), "as root, the browser must not be: {uid}");
    }
    drop(browser);
    assert!(!folder.exists(), "{} is still there", folder.display());
    eventually("every process has ended", || processes_of(&folder).is_empty());
}

#[test]
fn pngs_are_exact_and_still_pages_give_frames_at_the_asked_pace() {
    let Some(_turn) = alone() else { return };
    let root = serve(&[("/", "<body style='background:#123456'>")]);
    let mut browser =
        open(Options { image: Image::Png, frames_per_second: 40.0, streams: 2, ..options(&root) });
    let began = Instant::now();
    let seen = until(&mut browser, "40 frames", |_, seen| seen.count >= 80);
    assert!(began.elapsed() > Duration::from_millis(900), "{:?}", began.elapsed());
    assert_eq!(seen.observations.len(), 2);
    assert_eq!(middle(&browser, &seen), [0x12, 0x34, 0x56]);

    // A poll that must not wait does not.
    let began = Instant::now();
    browser.poll(Duration::ZERO, &mut Seen::default()).unwrap();
    assert!(began.elapsed() < Duration::from_millis(500));
}

#[test]
fn the_browser_recovers_from_crashes_hangs_and_pages_that_leave() {
    let Some(_turn) = turn() else { return };
    let root =
        serve(&[("/", "<body style='background:#00f'><script>directScore(1)</script>"), ("/green", GREEN)]);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut browser = open(options(&root));
    // As `window.close()` does, where a page may.
    let before = target(&browser);
    browser.streams[0].tab.send("Page.close");
    until(&mut browser, "Page.close", |browser, seen| {
        target(browser) != before && is_blue(middle(browser, seen))
    });
    for (what, mishap) in [
        ("a hang", "setTimeout(() => { for (;;); }, 0)"),
        ("a flood of dialogs", "setInterval(() => alert('x'.repeat(1e6)), 1)"),
        (
            "a dialog on leaving",
            "onbeforeunload = e => { e.preventDefault(); return 'no' }; location = '/none'; for (;;);",
        ),
        // By address: how long it takes to find out that a name does not exist depends on the network.
        ("a place where nobody listens", &format!("location = 'http://127.0.0.1:{nobody}/'")),
        ("a refused port", "location = 'http://127.0.0.1:1/'"),
    ] {
        // The page goes to green, and from there to a fault; it has recovered when it is blue again.
        settle(&mut browser);
        browser.streams[0].reset_backoff();
        browser.streams[0].tab.evaluate("location = '/green'").unwrap();
        until(&mut browser, what, |browser, seen| is_green(middle(browser, seen)));
        let before = target(&browser);
        browser.streams[0].tab.evaluate(&format!("setTimeout(() => {{ {mishap} }}, 0); 0")).unwrap();
        let seen = until(&mut browser, what, |browser, seen| {
            is_blue(middle(browser, seen)) && !seen.rewards.is_empty()
        });
        let replaced = target(&browser) != before;
        eprintln!(
            "{what}: recovered after {} frames, {} tab",
            seen.count,
            if replaced { "another" } else { "the same" }
        );
    }
    for what in ["Page.crash", "Browser.crash"] {
        settle(&mut browser);
        browser.streams[0].reset_backoff();
        browser.streams[0].tab.evaluate("location = '/green'").unwrap();
        until(&mut browser, what, |browser, seen| is_green(middle(browser, seen)));
        browser.streams[0].tab.send(what);
        let seen = until(&mut browser, what, |browser, seen| {
            is_blue(middle(browser, seen)) && !seen.rewards.is_empty()
        });
        eprintln!("{what}: recovered after {} frames", seen.count);
    }
}

#[test]
fn a_fault_of_one_stream_leaves_the_other_alone_and_popups_are_closed() {
    let Some(_turn) = turn() else { return };
    let mut browser = open(Options { streams: 2, frames_per_second: 0.0, ..options("bundled") });
    let page =
        |browser: &Browser, i: usize| browser.streams[i].tab.evaluate("performance.timeOrigin").unwrap();
    let origin = page(&browser, 1);
    let targets = |browser: &Browser| -> usize {
        let all: serde_json::Value =
            browser.chromium.connection.call("", "Target.getTargets", serde_json::json!({})).unwrap();
        all["targetInfos"].as_array().unwrap().iter().filter(|t| t["type"] == "page").count()
    };
    assert_eq!(targets(&browser), 2);
    // A click may open windows, as many as it likes.
    browser.streams[0]
        .tab
        .evaluate("onmousedown = () => { for (let i = 0; i < 3; i++) open('/', '', i ? 'noopener' : '') }; 0")
        .unwrap();
    browser.act(0, &[], &[0.0, 0.0, 1.0, 0.0]).unwrap();
    let mut popups = 0;
    until(&mut browser, "popups come and go", |browser, _| {
        popups = popups.max(browser.supervision.troubles.count("popup"));
        popups >= 1 && targets(browser) == 2
    });
    browser.streams[0].tab.send("Page.crash");
    let before = page(&browser, 1);
    let mut rewards = 0;
    until(&mut browser, "both streams go on", |_, seen| {
        rewards = seen.rewards.len();
        seen.observations.len() == 2 && rewards > 20
    });
    assert_eq!((before, page(&browser, 1)), (origin.clone(), origin), "the other page was not loaded again");
}

#[test]
fn rewards_hold_against_a_hostile_page() {
    let Some(_turn) = turn() else { return };
    let root = serve(&[
        ("/", "<iframe src='/inner'></iframe>"),
        ("/inner", "<script>try { top.framed = typeof directScore } catch {}</script>"),
    ]);
    let mut browser = open(options(&root));
    let evaluate = |browser: &Browser, script: &str| browser.streams[0].tab.evaluate(script).unwrap();
    assert_eq!(evaluate(&browser, "typeof efferenceReward"), "undefined", "the binding is out of reach");
    until(&mut browser, "the inner frame was loaded", |browser, _| {
        evaluate(browser, "framed") == "undefined"
    });

    evaluate(
        &browser,
        "for (const x of [NaN, Infinity, {}, 'x'.repeat(1e7), undefined]) directScore(x);
         dispatchEvent(new CustomEvent('efference-reward', { detail: { a: 'forged' } })); 0",
    );
    let seen = until(&mut browser, "10 frames", |_, seen| seen.count >= 10);
    assert!(seen.rewards.is_empty(), "none of that is a reward: {:?}", seen.rewards);

    evaluate(&browser, "for (let i = 0; i < 200000; i++) directScore(0.25); 0");
    let seen = until(&mut browser, "a flood arrives as a few rewards", |_, seen| !seen.rewards.is_empty());
    assert!((seen.rewards[0] - 0.25).abs() < 1e-6, "{:?}", seen.rewards);

    until(&mut browser, "the flood has passed", |_, seen| seen.count >= 10);

    // That page's rewards have a mean of 0.25 by now; what it gives just before it is gone counts.
    evaluate(&browser, "directScore(1e300); location = '/inner'; 0");
    let seen = until(&mut browser, "a last reward arrives", |_, seen| !seen.rewards.is_empty());
    assert!((seen.rewards[0] - 0.99).abs() < 1e-6, "{:?}", seen.rewards);
}

#[test]
fn what_cannot_be_opened_is_said() {
    let Some(_turn) = turn() else { return };
    let refused = |options: Options| format!("{:#}", try_open(options).err().expect("this must not open"));
    let error = refused(options("http://127.0.0.1:1/"));
    assert!(error.contains("http://127.0.0.1:1/ cannot be opened") && error.contains("net::ERR_"), "{error}");
    let silent = serve::<&str>(&[]) + "hang";
    let error = refused(Options { patience: 0.5, ..options(&silent) });
    assert!(error.contains("no answer within 3 s"), "{error}");
    let busy = serve(&[("/", "<script>for (;;);</script>")]);
    let error = refused(Options { patience: 0.5, ..options(&busy) });
    assert!(error.contains("cannot be opened: the page does not answer"), "{error}");
    let error = refused(options("chrome://version"));
    assert!(error.contains("only http and https"), "{error}");
    let list = vec!["bundled".to_owned(), "http://127.0.0.1:1/".to_owned()];
    let error = refused(Options { url: OneOrMore::Several(list), streams: 2, ..options("") });
    assert!(error.contains("http://127.0.0.1:1/ cannot be opened"), "{error}");
    let error = refused(Options { chromium: "/nowhere/chromium".to_owned(), ..options("bundled") });
    assert!(error.contains("no such file"), "{error}");
    // A program that is no browser: it ends at once, and says why.
    let error = refused(Options { chromium: "/bin/ls".to_owned(), ..options("bundled") });
    assert!(error.contains("does not answer") && error.contains("stderr ends with"), "{error}");
}

#[test]
fn nothing_stays_behind_when_the_host_is_killed() {
    let Some(_turn) = turn() else { return };
    let example = std::env::current_exe().unwrap().with_file_name("../examples/watch");
    // Cargo builds examples for a whole `cargo test`, but not for `cargo test --lib`.
    if !example.is_file() {
        return skipped(&format!("{} is not built; run `cargo test` without --lib", example.display()));
    }
    // A folder for temporary files of its own, so that nobody else sweeps it.
    let temporary = std::env::temp_dir().join(format!("efference-killed-{}", std::process::id()));
    std::fs::create_dir_all(&temporary).unwrap();
    std::fs::set_permissions(&temporary, std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    let parent = temporary.join(format!("efference-browser-{}", rustix::process::geteuid().as_raw()));
    let start = || {
        let mut victim = Command::new(&example)
            .args(["bundled", "2"])
            .env("TMPDIR", &temporary)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(victim.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "open\n");
        victim
    };
    let kill = |mut victim: Child| {
        assert!(processes_of(&temporary).len() > 2);
        victim.kill().unwrap();
        victim.wait().unwrap();
        let killed = Instant::now();
        eventually("every process has ended", || processes_of(&temporary).is_empty());
        eprintln!("no process is left {:?} after the host was killed", killed.elapsed());
    };
    kill(start());
    assert!(!parent.exists(), "nothing lies around");

    // Killed along with its cleanup process: then the folder stays, and the next start removes it.
    let victim = start();
    for id in processes_of(&temporary) {
        if std::fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|name| name.trim() == "sh") {
            kill_process(Pid::from_raw(id as i32).unwrap(), Signal::KILL).unwrap();
        }
    }
    kill(victim);
    std::fs::write(parent.join("0/left"), "").unwrap();
    let victim = start();
    assert!(parent.join("0").is_dir() && !parent.join("0/left").exists());
    assert_eq!(std::fs::read_dir(&parent).unwrap().count(), 2, "its folder and its lock");
    kill(victim);
    std::fs::remove_dir_all(&temporary).unwrap();
}

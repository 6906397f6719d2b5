//! Lock-step: what is seen depends on the page and on what is done, and on nothing else.
use super::*;
use crate::Pace;

/// `None`, and a line that says so, if there is no Chromium that can draw step by step.
pub(super) fn shell() -> Option<Turn> {
    turn_for(&Options { pace: Pace::LockStep, ..Options::default() }, 1)
}

pub(super) fn in_lock_step(url: &str) -> Options {
    Options { pace: Pace::LockStep, image: Image::Png, ..options(url) }
}

/// Makes a step with this action, and returns what was seen then.
fn step(browser: &mut Browser, action: &[f32; 4]) -> Seen {
    browser.act(0, &[], action).unwrap();
    let mut seen = Seen::default();
    let deadline = Instant::now() + SOON;
    while seen.count == 0 {
        browser.poll(Duration::from_millis(100), &mut seen).unwrap();
        assert!(Instant::now() < deadline, "no step");
    }
    seen
}

const STILL: [f32; 4] = [0.0; 4];
const PRESS: [f32; 4] = [0.0, 0.0, 1.0, 0.0];

/// Draws by all clocks that there are, and by chance. The animation does not jump: its times are rounded to 0.1 ms, by
/// chance up or down, so of two runs one could see it before a jump at the end of a step, and the other one after.
pub(super) const MOVING: &str = "<style>@keyframes m { from { left: 0 } to { left: 560px } }
 div { position: absolute; top: 260px; width: 60px; height: 60px; background: #0a0; animation: m 1s linear infinite alternate }</style>
 <body style='margin:0'><div></div><canvas id=c width=640 height=480></canvas><script>
 const x = c.getContext('2d');
 const draw = t => {
   x.fillStyle = `rgb(${Math.random() * 255}, ${performance.now() % 256}, ${Date.now() / 4 % 256})`;
   x.fillRect(0, 0, 640, 480);
   x.fillStyle = '#fff';
   x.fillRect(t / 3 % 640, 200, 40, 40);
   x.fillRect(performance.now() / 2 % 640, 240, 40, 40);
   requestAnimationFrame(draw);
 };
 requestAnimationFrame(draw);
 </script>";

#[test]
fn two_runs_see_the_same_however_long_the_agent_thinks() {
    let Some(_turn) = shell() else { return };
    let root = serve(&[("/", MOVING)]);
    let mut runs = Vec::new();
    for pause in [0, 70] {
        let mut browser = open(in_lock_step(&root));
        let mut run = Vec::new();
        for t in 0..30_u16 {
            let seen = step(&mut browser, &[f32::from(t % 7) / 7.0 - 0.4, 0.1, f32::from(t % 3), 0.0]);
            run.push(seen.observations);
            thread::sleep(Duration::from_millis(pause * u64::from(t % 2)));
        }
        assert!(run[0] != run[1] && run[10] != run[11], "it moves");
        runs.push(run);
    }
    let differs = runs[0].iter().zip(&runs[1]).position(|(a, b)| a != b);
    assert_eq!(differs, None, "the first step that differs");
}

#[test]
fn several_pages_step_together_and_each_sees_what_it_sees_alone() {
    let Some(_turn) = shell() else { return };
    let root = serve(&[("/", MOVING), ("/clock", "<body><script>const began = Date.now()</script>")]);
    let pages =
        |paths: &[&str]| OneOrMore::Several(paths.iter().map(|path| format!("{root}{path}")).collect());
    let mut runs = Vec::new();
    for paths in [&["", "clock", "", "clock"][..], &["", "clock", "", "clock"], &[""]] {
        let mut browser = open(Options { url: pages(paths), streams: paths.len(), ..in_lock_step("") });
        let time =
            |browser: &Browser| browser.streams.get(1).map(|s| s.tab.evaluate("Date.now() - began").unwrap());
        let before = time(&browser);
        let mut run = Vec::new();
        for _ in 0..20 {
            for stream in 1..browser.streams.len() {
                browser.act(stream as u64, &[], &STILL).unwrap();
            }
            let seen = step(&mut browser, &STILL);
            assert_eq!(seen.count, paths.len());
            run.push(seen.observations);
        }
        if let (Some(before), Some(after)) = (before, time(&browser)) {
            assert_eq!(after.as_i64().unwrap() - before.as_i64().unwrap(), 20 * 50);
        }
        assert!(run[3][&0] != run[4][&0], "it moves");
        runs.push(run);
    }
    for (t, both) in runs[0].iter().enumerate() {
        assert!(*both == runs[1][t], "step {t}");
        assert!(both[&0] == runs[2][t][&0], "step {t}: alone it is the same");
        assert!(both[&0] != both[&2], "step {t}: chance is each page's own");
    }
}

#[test]
fn a_click_shows_in_the_next_observation() {
    let Some(_turn) = shell() else { return };
    let root = serve(&[(
        "/",
        "<body style='background:#00f'><script>
         onmousedown = () => { document.body.style.background = '#0f0'; directScore(1) };
         onmouseup = () => document.body.style.background = '#00f'</script>",
    )]);
    let mut browser = open(in_lock_step(&root));
    for _ in 0..3 {
        let seen = step(&mut browser, &STILL);
        assert!(is_blue(middle(&browser, &seen)));
    }
    for _ in 0..5 {
        let seen = step(&mut browser, &PRESS);
        assert!(is_green(middle(&browser, &seen)));
        let seen = step(&mut browser, &STILL);
        assert!(is_blue(middle(&browser, &seen)));
    }
}

#[test]
fn the_time_of_a_page_waits_for_the_agent() {
    let Some(_turn) = shell() else { return };
    let root = serve(&[("/", "<body><script>const began = Date.now()</script>")]);
    let mut browser = open(Options { frames_per_second: 25.0, ..in_lock_step(&root) });
    let passed = |browser: &Browser| browser.streams[0].tab.evaluate("Date.now() - began").unwrap();
    let before = passed(&browser).as_i64().unwrap();
    thread::sleep(Duration::from_millis(300));
    assert_eq!(passed(&browser), before);
    (0..10).for_each(|_| drop(step(&mut browser, &STILL)));
    assert_eq!(passed(&browser), before + 400);
}

#[test]
fn what_a_page_waits_for_in_vain_holds_it_up_once() {
    let Some(_turn) = shell() else { return };
    let root =
        serve(&[("/", "<body style='background:#00f'><script>fetch('/hang')</script>"), ("/green", GREEN)]);
    let mut browser = open(Options { patience: 0.5, ..in_lock_step(&root) });
    let began = Instant::now();
    (0..20).for_each(|_| drop(step(&mut browser, &STILL)));
    assert!(began.elapsed() < SOON / 3, "{:?}", began.elapsed());
    assert_eq!(recoveries(&browser), 0);

    // A page that goes elsewhere by itself.
    browser.streams[0].tab.evaluate("location = '/green'").unwrap();
    until(&mut browser, "the other page", |browser, seen| is_green(middle(browser, seen)));
    assert_eq!(recoveries(&browser), 0);
}

#[test]
fn a_page_that_hangs_or_crashes_comes_again() {
    let Some(_turn) = shell() else { return };
    let root = serve(&[("/", "<body style='background:#00f'>")]);
    let mut browser = open(Options { patience: 0.5, ..in_lock_step(&root) });
    for mishap in ["setTimeout(() => { for (;;); }, 0); 0", "document.body.style.background = '#f00'; 0"] {
        let before = recoveries(&browser);
        browser.streams[0].reset_backoff();
        browser.streams[0].tab.evaluate(mishap).unwrap();
        if !mishap.contains("for") {
            browser.streams[0].tab.send("Page.crash");
        }
        until(&mut browser, mishap, |browser, seen| {
            recoveries(browser) > before && is_blue(middle(browser, seen))
        });
    }
    // A browser that ends is started again in lock-step.
    let process = Pid::from_raw(browser.chromium.process().unwrap() as i32).unwrap();
    kill_process(process, Signal::KILL).unwrap();
    let before = recoveries(&browser);
    until(&mut browser, "another browser", |browser, _| recoveries(browser) > before);
    let seen = until(&mut browser, "it steps", |_, seen| seen.counts.get(&0).is_some_and(|n| *n > 5));
    assert!(is_blue(middle(&browser, &seen)));
}

#[test]
fn what_opens_a_window_of_its_own_is_not_opened_or_does_not_stop_the_page_for_long() {
    let Some(_turn) = shell() else { return };
    let root = serve(&[
        (
            "/",
            "<script>document.write('<input type=' + location.search.slice(1) +
             ' style=\"position: fixed; inset: 0; width: 640px; height: 480px; font-size: 200px\">')</script>",
        ),
        (
            "/shown",
            "<body style='background: #00f'><input type=date id=when><script>onclick = () => when.showPicker()</script>",
        ),
    ]);
    for kind in ["date", "time", "color", "week"] {
        let mut browser = open(Options { patience: 0.5, ..in_lock_step(&format!("{root}?{kind}")) });
        // Where it was opened with a mouse, the step did not end.
        for x in [-1.0, 0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0] {
            step(&mut browser, &[x, 0.0, 0.0, 0.0]);
            step(&mut browser, &PRESS);
            step(&mut browser, &STILL);
        }
        assert_eq!(recoveries(&browser), 0, "{kind}");
    }
    let mut browser = open(Options { patience: 0.5, ..in_lock_step(&format!("{root}shown")) });
    step(&mut browser, &PRESS);
    step(&mut browser, &STILL);
    let seen =
        until(&mut browser, "it steps on", |browser, seen| seen.count > 5 && is_blue(middle(browser, seen)));
    assert!(seen.count > 5);
}

#[test]
fn a_pace_that_cannot_be_had_is_refused_by_name() {
    let named = |pace: &str| efference_sdk::options::read::<Options>(&format!("{{\"pace\": \"{pace}\"}}"));
    for (pace, name) in [(Pace::LockStep, "lock-step"), (Pace::RealTime, "real-time"), (Pace::Auto, "auto")] {
        assert_eq!(named(name).unwrap().pace, pace);
    }
    let missing = Options { pace: Pace::LockStep, chromium: "/no/such".to_owned(), ..Options::default() };
    let error = program::find(&missing).unwrap_err();
    assert_eq!(error.option(), Some("chromium"));
    let Some(_turn) = turn() else { return };
    // The whole Chromium cannot draw step by step.
    let whole = program::find(&Options::default()).unwrap().path.display().to_string();
    let error = try_open(Options { chromium: whole, ..in_lock_step("bundled") }).err().unwrap();
    let text = format!("{error:#}");
    assert!(text.contains("chromium-headless-shell") && text.contains("lock-step"), "{text}");
}

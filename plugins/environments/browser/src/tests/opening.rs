//! Opening and waiting: no call waits for a page or for the browser.
use super::*;

/// Longer than a call that waits for nothing takes on a busy machine, and shorter than any limit of the browser.
const AT_ONCE: Duration = Duration::from_millis(2_500);

#[test]
fn a_page_that_does_not_come_holds_up_neither_the_caller_nor_other_streams() {
    let Some(_turn) = turn() else { return };
    let silent = serve::<&str>(&[]) + "hang";
    let began = Instant::now();
    let url = OneOrMore::Several(vec![silent, "bundled".to_owned()]);
    let mut browser =
        Browser::new(Options { url, streams: 2, ..options("") }, &EnvironmentSetup::with_seed(0)).unwrap();
    assert!(began.elapsed() < AT_ONCE, "new: {:?}", began.elapsed());
    let mut seen = Seen::default();
    let deadline = Instant::now() + SOON;
    while seen.counts.get(&1).is_none_or(|count| *count < 20) {
        let began = Instant::now();
        browser.poll(Duration::from_millis(50), &mut seen).unwrap();
        assert!(began.elapsed() < AT_ONCE, "poll: {:?}", began.elapsed());
        assert!(Instant::now() < deadline, "{:?}", seen.counts);
    }
    assert_eq!(seen.counts.get(&0), None, "a stream begins with its first picture");
}

#[test]
fn a_slow_server_is_no_hung_page() {
    let Some(_turn) = turn() else { return };
    let root = serve(&[("/", "<body style='background:#00f'>"), ("/slow", GREEN)]);
    let mut browser = open(options(&root));
    browser.streams[0].tab.evaluate("setTimeout(() => { location = '/slow' }, 0); 0").unwrap();
    let began = Instant::now();
    until(&mut browser, "the slow page comes", |browser, seen| is_green(middle(browser, seen)));
    assert!(began.elapsed() > Duration::from_secs(4));
    assert_eq!(recoveries(&browser), 0, "patience is 2 s, the server took 5");

    // One that never answers is given up after six times the patience, and a page that hangs after a patience.
    browser.options.patience = 0.5;
    let mut browser = open(Options { patience: 0.5, ..options(&root) });
    browser.streams[0].tab.evaluate("setTimeout(() => { location = '/hang' }, 0); 0").unwrap();
    let began = Instant::now();
    until(&mut browser, "the home page comes again", |browser, _| recoveries(browser) > 0);
    assert!(began.elapsed() > Duration::from_millis(2_500), "{:?}", began.elapsed());
    assert_eq!(browser.supervision.troubles.count("not loaded"), 1);
}

#[test]
fn a_browser_that_is_stopped_holds_up_no_call_and_no_page_is_loaded_again() {
    let Some(_turn) = turn() else { return };
    let mut browser = open(Options { patience: 1.0, ..options("bundled") });
    let process = Pid::from_raw(browser.chromium.process().unwrap() as i32).unwrap();
    kill_process(process, Signal::STOP).unwrap();
    let mut seen = Seen::default();
    let stopped = Instant::now();
    while stopped.elapsed() < Duration::from_secs(4) {
        let began = Instant::now();
        browser.poll(Duration::from_millis(100), &mut seen).unwrap();
        browser.act(0, &[], &[1.0, 0.0, 1.0, 1.0]).unwrap();
        assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    }
    assert!(seen.count > 20, "the last picture goes on: {}", seen.count);
    kill_process(process, Signal::CONT).unwrap();
    let mut first = None;
    until(&mut browser, "the picture moves again", |_, seen| {
        let Some(now) = seen.observations.get(&0) else { return false };
        first.get_or_insert_with(|| now.clone()) != now
    });
    assert_eq!(recoveries(&browser), 0);

    // One that stays silent is started again, without a call that waits.
    let process = Pid::from_raw(browser.chromium.process().unwrap() as i32).unwrap();
    kill_process(process, Signal::STOP).unwrap();
    let deadline = Instant::now() + SOON;
    while recoveries(&browser) == 0 {
        let began = Instant::now();
        browser.poll(Duration::from_millis(100), &mut seen).unwrap();
        assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
        assert!(Instant::now() < deadline, "it was not started again");
    }
    let mut first = None;
    until(&mut browser, "the new browser's picture moves", |_, seen| {
        let Some(now) = seen.observations.get(&0) else { return false };
        first.get_or_insert_with(|| now.clone()) != now
    });
}

#[test]
fn no_more_pictures_are_made_than_are_wanted() {
    let Some(_turn) = alone() else { return };
    // A page that is new in every frame.
    let root = serve(&[(
        "/",
        "<body><script>let n = 0; (function f() { document.body.style.background = n++ % 2 ? '#00f' : '#0f0';
         requestAnimationFrame(f) })()</script>",
    )]);
    let mut browser = open(Options { frames_per_second: 5.0, ..options(&root) });
    until(&mut browser, "the pace is found", |_, seen| seen.count > 3);
    let before = browser.chromium.bridge.pictures();
    let mut oldest = Duration::ZERO;
    let seen = until(&mut browser, "20 frames", |browser, seen| {
        oldest = oldest.max(browser.streams[0].pictured.elapsed());
        seen.count >= 20
    });
    let made = browser.chromium.bridge.pictures() - before;
    assert!(made <= 2 * seen.count as u64, "{made} pictures for {} frames", seen.count);
    assert!(made >= seen.count as u64 / 2, "{made} pictures for {} frames", seen.count);
}

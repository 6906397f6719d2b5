//! What is mended, and what of it is written down.
use super::*;

#[test]
fn a_page_that_breaks_its_own_origin_comes_again_with_new_cookies() {
    let Some(_turn) = turn() else { return };
    let root = serve(&[
        (
            "/",
            "<body style='background:#00f'><script>
             navigator.serviceWorker.register('/worker.js').then(() => navigator.serviceWorker.ready).then(() => { ready = 1 });
             ready = 0</script>",
        ),
        (
            "/worker.js",
            "onactivate = e => e.waitUntil(clients.claim()); onfetch = e => e.respondWith(new Promise(() => {}))",
        ),
    ]);
    let mut browser = open(Options { patience: 0.5, ..options(&root) });
    until(&mut browser, "the worker is there", |browser, _| {
        browser.streams[0].tab.evaluate("ready && navigator.serviceWorker.controller ? 1 : 0").unwrap() == 1
    });
    let context = |browser: &Browser| browser.streams[0].tab.context();
    let before = context(&browser);
    browser.streams[0].tab.send("Page.crash");
    // The first time the page is loaded again, which the worker swallows; then it begins anew.
    until(&mut browser, "the page is there again", |browser, _| {
        recoveries(browser) >= 2 && browser.streams[0].tab.well_for() > Duration::ZERO
    });
    assert_ne!(context(&browser), before);
    until(&mut browser, "it is drawn", |browser, seen| is_blue(middle(browser, seen)));
}

#[test]
fn a_page_that_takes_too_much_memory_is_ended() {
    let Some(_turn) = turn() else { return };
    let root = serve(&[("/", "<body style='background:#00f'>"), ("/green", GREEN)]);
    let mut browser = open(Options { memory: 300, ..options(&root) });
    for hog in [
        "setInterval(() => window.a.push(new Uint8Array(2e7).fill(1)), 20)",
        "setInterval(() => window.a.push(new Array(2e6).fill(1.5)), 20)",
        "for (let i = 0; i < 100; i++) for (let j = 0; j < 1e4; j++) document.body.append(document.createElement('p'))",
    ] {
        browser.streams[0].reset_backoff();
        let before = recoveries(&browser);
        let script = format!("window.a = []; setTimeout(() => {{ {hog} }}, 0); 0");
        browser.streams[0].tab.evaluate(&script).unwrap();
        until(&mut browser, hog, |browser, _| recoveries(browser) > before);
        settle(&mut browser);
    }
    assert!(browser.supervision.troubles.count("memory") > 0, "buffers are no objects of scripts");
}

#[test]
fn what_a_page_does_in_passing_leaves_a_trace() {
    let Some(_turn) = turn() else { return };
    let mut browser = open(options("bundled"));
    browser.streams[0]
        .tab
        .evaluate(
            "const a = document.createElement('a'); a.href = 'data:application/octet-stream,x'; a.download = 'x';
             document.body.append(a); a.click(); setTimeout(() => confirm('Really?'), 0); 0",
        )
        .unwrap();
    until(&mut browser, "both are noticed", |browser, _| {
        browser.supervision.troubles.count("download") > 0 && browser.supervision.troubles.count("dialog") > 0
    });
    assert_eq!(recoveries(&browser), 0);
}

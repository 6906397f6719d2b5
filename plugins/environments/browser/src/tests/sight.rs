//! What is observed and done, with the real Chromium.
use super::{SOON, options, serve, turn};
use crate::{Browser, Options};
use efference_sdk::options::read;
use efference_sdk::{Environment, EnvironmentSetup, Frame, Frames, Plugin, Result};
use std::time::{Duration, Instant};

/// The last frame.
#[derive(Default)]
struct Last(Vec<f32>);

impl Frames for Last {
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
        self.0 = frame.observation.to_vec();
        Ok(())
    }
}

/// A page's options, with the lists that a spec would have.
fn with(url: &str, lists: &str) -> Options {
    let Options { sees, does, .. } = read(lists).unwrap();
    Options { sees, does, image: crate::Image::Png, ..options(url) }
}

/// A browser whose page was drawn.
fn open(options: Options) -> Browser {
    let mut browser =
        Browser::new(options, &EnvironmentSetup::with_seed(0)).unwrap_or_else(|e| panic!("{e:#}"));
    until(&mut browser, "the page is drawn", &[], |_, _| true);
    browser
}

/// Polls and acts until something holds of the last observation.
#[track_caller]
fn until(browser: &mut Browser, what: &str, action: &[f32], mut holds: impl FnMut(&Browser, &[f32]) -> bool) {
    let deadline = Instant::now() + SOON;
    let mut last = Last::default();
    loop {
        browser.poll(Duration::from_millis(100), &mut last).unwrap_or_else(|e| panic!("{what}: {e:#}"));
        browser.act(0, &[], action).unwrap();
        if !last.0.is_empty() && holds(browser, &last.0) {
            return;
        }
        assert!(Instant::now() < deadline, "in vain: {what}; {:?}", last.0.get(..8));
    }
}

fn says(browser: &Browser, script: &str) -> String {
    match browser.streams[0].tab.evaluate(script).unwrap() {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    }
}

const EVENTS: &str = "<body style='margin:0;background:#fafafa'><div style='background:#08f;height:240px'></div><input autofocus>
    <div style='height:5000px'></div><script>
    log = '';
    for (const name of ['mousedown', 'mouseup', 'contextmenu', 'keydown', 'keyup'])
        addEventListener(name, e => log += `${name} ${e.key ?? e.button} ${e.code ?? e.buttons}${e.keyCode ? ' ' + e.keyCode : ''},`);
    onmousemove = e => at = e.clientX + ' ' + e.clientY;
    </script>";

#[test]
fn a_list_of_parts_is_seen_and_a_list_of_abilities_reaches_the_page() {
    let Some(_turn) = turn() else { return };
    let root = serve(&[("/", EVENTS)]);
    let mut browser = open(with(
        &root,
        r#"{ "sees": [{ "kind": "viewport", "shrink": 80 }, { "kind": "fovea", "radius": 50, "points": 500 },
                { "kind": "frame_time" }, { "kind": "mouse_position" }, { "kind": "constant", "value": -0.5 }],
            "does": [{ "kind": "mouse_absolute" }, { "kind": "buttons", "buttons": ["left", "right"] },
                { "kind": "wheel", "speed": 300 }, { "kind": "keyboard", "keys": ["a", "Shift", "!", "Enter"], "most": 2 }] }"#,
    ));
    let spaces = browser.spaces().unwrap().unwrap();
    assert_eq!((spaces.observation, spaces.action_width()), (3 * 48 + 1500 + 4, 9));

    // The mouse on the border of blue and the mask colour: above of it the fovea sees blue, below nothing.
    let colour = [0.0, 136.0, 255.0].map(|c: f32| (2.0 * c - 255.0) / 255.0);
    let still = [0.0; 9];
    until(&mut browser, "blue above the mask", &still, |browser, seen| {
        let fovea = &seen[144..1644];
        let blue = fovea[..3].iter().zip(colour).all(|(a, b)| (a - b).abs() < 0.01);
        blue && fovea[1497..].iter().all(|x| x.is_nan())
            && seen[..3].iter().zip(colour).all(|(a, b)| (a - b).abs() < 0.01)
            && seen[1644] >= -1.0
            && seen[1647] == -0.5
            && browser.picture(0, seen).unwrap().unwrap().width == 8
    });
    until(&mut browser, "the mouse at the top right", &[1.0, -1.0, 0.0], |browser, seen| {
        seen[1645..1647] == [1.0, -1.0] && says(browser, "at") == "639 0"
    });
    // The page has a field that takes what is typed.
    let act = |browser: &mut Browser, action: [f32; 9], expected: &str| {
        until(browser, expected, &action, |browser, _| says(browser, "log") == expected);
        says(browser, "log = ''");
    };
    let at = |rest: [f32; 7]| -> [f32; 9] {
        let mut action = [0.0, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        action[2..].copy_from_slice(&rest);
        action
    };
    act(&mut browser, at([0.6, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]), "mousedown 0 1,");
    act(&mut browser, at([0.6, 0.6, 0.0, 0.0, 0.0, 0.0, 0.0]), "mousedown 2 3,contextmenu 2 3,");
    act(&mut browser, at([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]), "mouseup 0 2,mouseup 2 0,");
    says(&browser, "document.querySelector('input').focus()");
    act(&mut browser, at([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]), "keydown a KeyA 65,");
    // Of three keys the two strongest, of which one is held already.
    act(&mut browser, at([0.0, 0.0, 0.0, 0.9, 0.8, 0.0, 0.7]), "keydown Shift ShiftLeft 16,");
    act(&mut browser, at([0.0, 0.0, 0.0, 0.0, 0.8, 0.7, 0.0]), "keyup A KeyA 65,keydown ! Digit1 49,");
    act(&mut browser, at([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]), "keyup Shift ShiftLeft 16,keyup ! Digit1 49,");
    assert_eq!(says(&browser, "document.querySelector('input').value"), "a!");
    until(&mut browser, "the page is scrolled", &at([0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]), |browser, _| {
        says(browser, "scrollY > 500") == "true"
    });
}

#[test]
fn ways_to_other_pages_are_taken() {
    let Some(_turn) = turn() else { return };
    const LINKS: &str = "<a href='/one'>1</a><a href='/#here'>here</a><a href='file:///etc/passwd'>f</a><a href='javascript:log=1'>j</a>";
    let root = serve(&[("/", LINKS), ("/one", "<a href='/two'>2</a>"), ("/two", "<body>no way")]);
    let lists = |name: &str, interval: f64| {
        format!(
            r#"{{ "sees": [{{ "kind": "constant" }}], "does": [{{ "kind": "triggers", "triggers": ["{name}"], "cooldown": 0.5,
                "interval": {interval} }}, {{ "kind": "triggers", "cooldown": 0.5, "triggers": ["back", "homepage"] }}] }}"#
        )
    };
    let mut browser = open(with(&root, &lists("random_link", 0.0)));
    let path = |browser: &Browser| says(browser, "location.pathname");
    let mut go = |action: &[f32], to: &str| {
        until(&mut browser, to, action, |browser, _| path(browser) == to);
    };
    // Of four links one leads to another page of the web.
    go(&[1.0, 0.0, 0.0], "/one");
    go(&[1.0, 0.0, 0.0], "/two");
    go(&[0.0, 1.0, 0.0], "/one");
    go(&[1.0, 0.0, 0.0], "/two");
    go(&[0.0, 0.0, 1.0], "/");
    // Where no link and nothing before is, it stays.
    let mut browser = open(with(&format!("{root}two"), &lists("random_link", 0.0)));
    let began = Instant::now();
    until(&mut browser, "nothing to follow", &[1.0, 1.0, 0.0], |browser, _| {
        assert_eq!(path(browser), "/two");
        began.elapsed() > Duration::from_millis(1500)
    });
    // By itself.
    let mut browser = open(with(&root, &lists("random_link", 1.0)));
    until(&mut browser, "a link is followed by itself", &[], |browser, _| path(browser) == "/two");
}

#[test]
fn a_page_offers_a_vector_and_no_page_can_offer_anything_else() {
    let Some(_turn) = turn() else { return };
    let root = serve(&[
        ("/", "<iframe src='/inner'></iframe><script>directLink([0.5, -0.25, 7])</script>"),
        ("/inner", "<script>try { top.framed = typeof directLink } catch {}</script>"),
        ("/other", "<body>nothing"),
    ]);
    let mut browser = open(with(&root, r#"{ "sees": [{ "kind": "link", "size": 3 }] }"#));
    until(&mut browser, "the vector", &[], |_, seen| seen == [0.5, -0.25, 1.0]);
    until(&mut browser, "the inner frame was loaded", &[], |browser, _| {
        says(browser, "framed") == "undefined"
    });
    assert_eq!(says(&browser, "typeof efferenceLink"), "undefined", "the binding is out of reach");

    says(
        &browser,
        "for (const bad of [[1, 2], [1, 2, 3, 4], [0, NaN, 0], [0, Infinity, 0], [], 'x'.repeat(1e6), {length: 3}, 3, new Array(1e6)])
            directLink(bad);
         for (const bad of ['x'.repeat(1e7), 'a,b,c', '1e400,0,0', '', null, { a: 1 }, [1, 2, 3], ',,'])
            dispatchEvent(new CustomEvent('efference-link', { detail: bad }));
         Object.prototype.toJSON = Array.prototype.toJSON = String.prototype.split = () => 'forged'; 0",
    );
    let mut frames = 0;
    until(&mut browser, "20 frames", &[], |_, seen| {
        assert_eq!(seen, [0.5, -0.25, 1.0]);
        frames += 1;
        frames > 20
    });
    says(&browser, "for (let i = 0; i < 100000; i++) directLink([i / 99999, 0, 0]); 0");
    until(&mut browser, "the last one of a flood", &[], |_, seen| seen == [1.0, 0.0, 0.0]);
    says(&browser, "directLink([0.125, 0, 0]); location = '/other'; 0");
    until(&mut browser, "another page offers nothing", &[], |_, seen| seen.iter().all(|x| x.is_nan()));
}

/// The frequency of what is heard, from how often it crosses zero, and its largest sample.
fn tone(samples: &[f32], rate: f32) -> (f32, f32) {
    let crossings = samples.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count();
    let largest = samples.iter().fold(0.0, |most: f32, x| most.max(x.abs()));
    (crossings as f32 * rate / samples.len() as f32, largest)
}

#[test]
fn pages_are_heard() {
    let Some(_turn) = turn() else { return };
    let root = serve(&[
        (
            "/",
            "<script>
            const context = new AudioContext(), tone = context.createOscillator(), volume = context.createGain();
            tone.frequency.value = 440; volume.gain.value = 0.5;
            tone.connect(volume).connect(context.destination); tone.start();
            </script>",
        ),
        (
            "/element",
            // A WAV file of one second, 8 bits, 8,000 samples, in which a square wave of 250 Hz is.
            "<script>
            const bytes = [];
            const word = n => bytes.push(n & 255, n >> 8 & 255, n >> 16 & 255, n >> 24 & 255);
            const text = t => bytes.push(...t.split('').map(c => c.charCodeAt(0)));
            text('RIFF'); word(8036); text('WAVEfmt '); word(16); word(0x10001); word(8000); word(8000); word(0x80001); text('data'); word(8000);
            for (let i = 0; i < 8000; i++) bytes.push(i % 32 < 16 ? 192 : 64);
            const player = new Audio(URL.createObjectURL(new Blob([new Uint8Array(bytes)], { type: 'audio/wav' })));
            player.loop = true;
            player.play();
            </script>",
        ),
    ]);
    let list = r#"{ "sees": [{ "kind": "audio", "samples": 4000, "rate": 16000 }] }"#;
    let mut browser = open(with(&root, list));
    let near = |found: f32, wanted: f32, by: f32| (found - wanted).abs() < by;
    until(&mut browser, "440 Hz at half volume", &[], |_, seen| {
        let (frequency, largest) = tone(seen, 16_000.0);
        near(frequency, 440.0, 8.0) && near(largest, 0.5, 0.05)
    });
    says(&browser, "volume.disconnect(context.destination); 0");
    until(&mut browser, "silence", &[], |_, seen| seen.iter().all(|x| *x == 0.0));
    says(&browser, "volume.connect(context.destination); 0");
    until(&mut browser, "and again", &[], |_, seen| near(tone(seen, 16_000.0).0, 440.0, 8.0));
    says(&browser, "location = '/element'; 0");
    until(&mut browser, "250 Hz of a media element", &[], |_, seen| near(tone(seen, 16_000.0).0, 250.0, 8.0));

    // Pieces that are none, and far too many.
    says(
        &browser,
        "player.pause();
         for (const bad of ['x'.repeat(1e7), '!', null, {}, 7]) dispatchEvent(new CustomEvent('efference-audio', { detail: bad }));
         for (let i = 0; i < 100000; i++) dispatchEvent(new CustomEvent('efference-audio', { detail: 'AAAA'.repeat(4000) })); 0",
    );
    until(&mut browser, "silence again", &[], |_, seen| seen.iter().all(|x| x.abs() < 1e-3));
}

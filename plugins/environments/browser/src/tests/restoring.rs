//! Pages in lock-step that are brought back to where they were.
use super::lock_step::{MOVING, in_lock_step, shell};
use super::tasks::Pages;
use super::*;
use crate::{Buttons, Do, MouseGrid, Pace, See, Trigger, Triggers, Viewport};
use efference_sdk::Restores;

/// All frames of all streams.
#[derive(Default, Debug, PartialEq)]
struct Sent(Vec<(u64, StepType, Option<f32>, Vec<f32>)>);

impl Frames for Sent {
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
        self.0.push((frame.stream, frame.step_type, frame.reward, frame.observation.to_vec()));
        Ok(())
    }
}

impl Sent {
    /// In which frames others differ from these, and in how many elements of the observation.
    fn unlike(&self, others: &Sent) -> String {
        let (streams, of_others) = (self.0.iter().map(|f| f.0), others.0.iter().map(|f| f.0));
        if streams.clone().ne(of_others.clone()) {
            let [expected, found] = [streams.collect::<Vec<_>>(), of_others.collect()];
            return format!("of the streams {found:?}, not {expected:?}");
        }
        let frames = self.0.iter().zip(&others.0).filter(|(expected, found)| expected != found);
        let differences = frames.map(|(expected, found)| {
            let elements = expected.3.iter().zip(&found.3).filter(|(a, b)| a != b).count();
            let ((stream, a, r, _), (_, b, q, _)) = (expected, found);
            format!("stream {stream} gave {b:?}, {q:?} and not {a:?}, {r:?}, with {elements} other elements")
        });
        differences.collect::<Vec<_>>().join("; ")
    }
}

/// The next frames, each responded to by the next action of a sequence that depends on the stream.
fn play(browser: &mut Browser, from: usize, polls: usize, action: fn(usize, u64) -> Vec<f32>) -> Vec<Sent> {
    let deadline = Instant::now() + 2 * SOON;
    let mut all = Vec::new();
    while all.len() < polls {
        let mut frames = Sent::default();
        browser.poll(Duration::from_millis(100), &mut frames).unwrap();
        assert!(Instant::now() < deadline, "{} frames of {polls}", all.len());
        if frames.0.is_empty() {
            continue;
        }
        for (stream, ..) in &frames.0 {
            browser.act(*stream, &[], &action(from + all.len(), *stream)).unwrap();
        }
        all.push(frames);
    }
    all
}

fn new(options: &Options) -> Browser {
    Browser::new(options.clone(), &EnvironmentSetup::with_seed(3)).unwrap()
}

/// Plays, saves, and compares what comes then with what comes after it was restored in another browser.
fn compare(options: &Options, before: usize, after: usize, action: fn(usize, u64) -> Vec<f32>) -> Vec<Sent> {
    let mut browser = new(options);
    play(&mut browser, 0, before, action);
    assert_eq!(browser.restores().unwrap(), Restores::Replay);
    let saved = browser.save().unwrap();
    let expected = play(&mut browser, before, after, action);
    drop(browser);
    let mut browser = new(options);
    browser.restore(&saved).unwrap();
    // What is not where it was yet is saved as what it was.
    assert!(browser.save().unwrap() == saved);
    let found = play(&mut browser, before, after, action);
    for (t, (expected, found)) in expected.iter().zip(&found).enumerate() {
        assert!(expected == found, "frame {t} of {after}: {}", expected.unlike(found));
    }
    expected
}

#[test]
fn a_page_goes_on_where_it_was() {
    let Some(_turn) = shell() else { return };
    const COUNTING: &str = "<body style='margin:0;background:#00f'><script>let n = 0;
        onmousedown = e => directScore(++n * e.clientX);
        onmousemove = e => document.body.style.background = `rgb(${e.clientX % 256},${n * 40 % 256},${e.clientY % 256})`;
        </script><a href='/moving' style='position: absolute; bottom: 0'>elsewhere</a>";
    let root = serve(&[("/", COUNTING), ("/moving", MOVING)]);
    let urls = ["", "moving"].map(|path| format!("{root}{path}"));
    let options = Options {
        url: OneOrMore::Several(urls.to_vec()),
        streams: 2,
        does: vec![
            Do::MouseGrid(MouseGrid { columns: 3, rows: 2 }),
            Do::Buttons(Buttons { clicks: true, ..Buttons::default() }),
            Do::Triggers(Triggers {
                triggers: vec![Trigger::RandomLink, Trigger::Homepage],
                cooldown: 0.2,
                interval: 0.0,
                choice: false,
            }),
        ],
        ..in_lock_step("")
    };
    let seen = compare(&options, 30, 15, |t, stream| {
        let mut action = vec![0.0; 10];
        action[(t + stream as usize) % 7] = 1.0;
        action[7] = f32::from(u8::from(t % 3 == 0));
        // There and back, before and after it is saved.
        action[8] = f32::from(u8::from(matches!(t, 10 | 33)));
        action[9] = f32::from(u8::from(matches!(t, 18 | 40)));
        action
    });
    assert!(seen.iter().flat_map(|frames| &frames.0).any(|(.., reward, _)| reward.is_some_and(|r| r != 0.0)));
}

#[test]
fn episodes_go_on_where_they_were_though_the_page_began_anew_between_them() {
    let Some(_turn) = shell() else { return };
    let pages = Pages::new(
        "restoring",
        &[(
            "stripes",
            "<body style='margin:0'><script>
             let t = 0, goal = 0;
             function startEpisode(seed) { t = 0; goal = 3 + seed % 5; paint(seed) }
             function paint(x) { document.body.style.background = `rgb(${x % 256},${(x >> 8) % 256},${(x >> 16) % 256})` }
             onmousemove = e => { paint(e.clientX * 7919 + ++t); if (t >= goal) endEpisode(t / 10, goal == 7) };
             </script>",
        )],
    );
    let options = Options { replay: 20, streams: 2, ..pages.options("stripes", Pace::LockStep) };
    let wave =
        |t: usize, stream: u64| vec![if (t + stream as usize) % 4 < 2 { 0.3 } else { -0.4 }, 0.1, 0.0, 0.0];
    let seen = compare(&options, 47, 30, wave);
    let of = |step_type| seen.iter().flat_map(|frames| &frames.0).filter(move |f| f.1 == step_type).count();
    assert!(of(StepType::FIRST) >= 4 && of(StepType::TERMINATED) >= 4, "{}", of(StepType::FIRST));
}

#[test]
fn what_is_not_remembered_begins_anew() {
    let Some(_turn) = shell() else { return };
    let root = serve(&[("/", "<body style='background:#00f'>")]);
    let options = Options { replay: 5, ..in_lock_step(&root) };
    let mut browser = new(&options);
    let still = |_, _| vec![0.0; 4];
    play(&mut browser, 0, 5, still);
    let saved = browser.save().unwrap();
    assert_eq!(browser.restores().unwrap(), Restores::Replay);
    play(&mut browser, 5, 1, still);
    assert_eq!((browser.restores().unwrap(), browser.save().unwrap().len()), (Restores::Fresh, 0));
    let real_time = Options { pace: Pace::RealTime, ..options };
    let Some(_turn) = turn_for(&real_time, 0) else { return };
    let mut browser = new(&real_time);
    assert_eq!(browser.restores().unwrap(), Restores::Fresh);
    let error = browser.restore(&saved).unwrap_err();
    assert!(format!("{error:#}").contains("pages in real time"), "{error:#}");
}

#[test]
fn a_page_that_has_changed_meanwhile_goes_on_as_it_is() {
    let Some(_turn) = shell() else { return };
    let still = |_, _| vec![0.0; 4];
    let page = |color: &str| {
        let page = "<body style='background:COLOR'><script>function startEpisode() {} onmousedown = () => endEpisode(1)</script>";
        page.replace("COLOR", color)
    };
    let pages = Pages::new("restoring-changed", &[("task", &page("#00f"))]);
    let options = pages.options("task", Pace::LockStep);
    let mut browser = new(&options);
    let click = |t, _| vec![0.0, 0.0, f32::from(u8::from(t % 4 == 3)), 0.0];
    play(&mut browser, 0, 6, click);
    let saved = browser.save().unwrap();
    drop(browser);
    // It looks other than it did.
    let changed = Pages::new("restoring-changed", &[("task", &page("#0f0"))]);
    let mut browser = new(&options);
    browser.restore(&saved).unwrap();
    let seen = play(&mut browser, 6, 1, still);
    assert_eq!(seen[0].0[0].1, StepType::MIDDLE);
    drop((browser, changed));
    // Its episode goes on though it had ended.
    let unending = page("#00f").replace("endEpisode(1)", "0");
    let _other = Pages::new("restoring-changed", &[("task", &unending)]);
    let mut browser = new(&options);
    browser.restore(&saved).unwrap();
    let seen = play(&mut browser, 6, 2, still);
    assert_eq!(seen.iter().map(|f| f.0[0].1).collect::<Vec<_>>(), [StepType::TRUNCATED, StepType::FIRST]);
}

#[test]
fn what_several_pages_give_comes_in_the_same_step_each_time() {
    let Some(_turn) = shell() else { return };
    let sees = vec![See::Viewport(Viewport { shrink: 8 })];
    let options = Options { width: 80, height: 80, streams: 4, sees, ..in_lock_step("bundled:catch") };
    let seen = compare(&options, 25, 20, |t, stream| {
        let to = (7 * t + 3 * stream as usize) % 5;
        vec![to as f32 / 4.0 - 0.5, 0.0, 0.0, 0.0]
    });
    let rewards = seen.iter().flat_map(|frames| &frames.0).filter(|(.., reward, _)| reward.is_some());
    assert_eq!(rewards.count(), 2 * 4, "each half second a ball lands in each");
}

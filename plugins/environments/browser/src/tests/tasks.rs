//! Pages with episodes: their own small ones, and MiniWoB's if a Python has them.
mod miniwob;

use super::*;
use crate::Pace;
use std::fs;
use std::path::PathBuf;

/// A folder of pages, which is removed when it is dropped.
pub(super) struct Pages(PathBuf);

impl Pages {
    pub(super) fn new(name: &str, pages: &[(&str, &str)]) -> Pages {
        let folder = std::env::temp_dir().join(format!("efference-tasks-of-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (page, text) in pages {
            fs::write(folder.join(format!("{page}.html")), text).unwrap();
        }
        Pages(folder)
    }

    pub(super) fn options(&self, task: &str, pace: Pace) -> Options {
        Options {
            tasks: self.0.display().to_string(),
            task: OneOrMore::from(task),
            patience: 2.0,
            image: Image::Png,
            pace,
            ..Options::default()
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// All frames of stream 0.
#[derive(Default)]
struct Played(Vec<(StepType, Option<f32>, Vec<f32>)>);

impl Frames for Played {
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
        if frame.stream == 0 {
            self.0.push((frame.step_type, frame.reward, frame.observation.to_vec()));
        }
        Ok(())
    }
}

/// The frame after this action.
fn next(browser: &mut Browser, action: &[f32]) -> Result<(StepType, Option<f32>, Vec<f32>)> {
    for stream in 0..browser.streams.len() {
        browser.act(stream as u64, &[], action)?;
    }
    let mut played = Played::default();
    let deadline = Instant::now() + 2 * SOON;
    while played.0.is_empty() {
        browser.poll(Duration::from_millis(100), &mut played)?;
        assert!(Instant::now() < deadline, "no frame");
    }
    assert_eq!(played.0.len(), 1, "at most one in a poll");
    Ok(played.0.remove(0))
}

/// The paces that can be had here; each of these holds in both.
fn paces() -> Option<(Turn, Vec<Pace>)> {
    let turn = turn()?;
    let mut paces = vec![Pace::RealTime];
    match program::find(&Options { pace: Pace::LockStep, ..Options::default() }) {
        Ok(_) => paces.push(Pace::LockStep),
        Err(error) => skipped(&format!("{error:#}")),
    }
    Some((turn, paces))
}

fn start(options: Options) -> Browser {
    Browser::new(options, &EnvironmentSetup::with_seed(0)).unwrap_or_else(|e| panic!("{e:#}"))
}

const STILL: [f32; 4] = [0.0; 4];
const PRESS: [f32; 4] = [0.0, 0.0, 1.0, 0.0];

const PRESSED: &str = "<body style='margin: 0'><script>
 let episodes = 0;
 async function startEpisode(seed) {
   await new Promise(done => setTimeout(done, 30));
   document.body.style.background = `rgb(${seed % 256}, ${seed >> 8 & 255}, ${++episodes})`;
 }
 onmousedown = () => { directScore(0.25); directScore(0.25); endEpisode(1); endEpisode(7) };
 onmouseup = () => directScore(-1);
 </script>";

#[test]
fn an_episode_begins_by_a_seed_and_ends_with_its_rewards() {
    let Some((_turn, paces)) = paces() else { return };
    let pages = Pages::new("pressed", &[("pressed", PRESSED)]);
    for pace in paces {
        let mut colours = Vec::new();
        for _ in 0..2 {
            let mut browser = start(pages.options("pressed", pace));
            let mut seen = Vec::new();
            for _ in 0..4 {
                let (first, reward, _) = next(&mut browser, &STILL).unwrap();
                assert_eq!(
                    (first, reward),
                    (StepType::FIRST, None),
                    "what is let go after the end is none of it"
                );
                let (step_type, reward, observation) = next(&mut browser, &STILL).unwrap();
                assert_eq!((step_type, reward), (StepType::MIDDLE, None));
                let picture = browser.picture(0, &observation).unwrap().unwrap();
                let at = 3 * (picture.height / 2 * picture.width + picture.width / 2);
                seen.push(picture.rgb[at..at + 3].to_vec());
                let mut frame = next(&mut browser, &PRESS).unwrap();
                // In real time it may have come too late for one frame.
                while pace == Pace::RealTime && frame.0 == StepType::MIDDLE {
                    frame = next(&mut browser, &PRESS).unwrap();
                }
                assert_eq!((frame.0, frame.1), (StepType::TERMINATED, Some(1.5)));
            }
            assert_eq!(seen.iter().map(|colour| colour[2]).collect::<Vec<_>>(), [1, 2, 3, 4]);
            assert!(seen[0][..2] != seen[1][..2], "{seen:?}");
            colours.push(seen);
            assert_eq!(recoveries(&browser), 0);
        }
        assert_eq!(colours[0], colours[1], "{pace:?}: the seeds follow from the experiment's");
    }
}

#[test]
fn episodes_are_cut_off_by_the_page_and_by_their_time_and_a_page_without_a_start_is_loaded_anew() {
    let Some((_turn, paces)) = paces() else { return };
    let page = "<body><script>onload = () => setTimeout(() => endEpisode(-0.5, true), 320)</script>";
    let pages = Pages::new("cut", &[("own", page), ("endless", "<body>")]);
    for pace in paces {
        let own = pages.options("own", pace);
        let endless = Options { episode_seconds: 0.3, ..pages.options("endless", pace) };
        for (options, last) in [(own, -0.5), (endless, 0.0)] {
            let mut browser = start(options);
            for _ in 0..3 {
                assert_eq!(next(&mut browser, &STILL).unwrap().0, StepType::FIRST);
                let mut steps = 1;
                let reward = loop {
                    let (step_type, reward, _) = next(&mut browser, &STILL).unwrap();
                    steps += 1;
                    if step_type == StepType::TRUNCATED {
                        break reward;
                    }
                    assert_eq!((step_type, reward), (StepType::MIDDLE, None));
                };
                assert_eq!(reward, Some(last));
                // 300 ms in steps of 50, of which loading may take one.
                assert!((3..=8).contains(&steps) || pace == Pace::RealTime, "{steps}");
            }
        }
    }
}

#[test]
fn what_an_end_gives_comes_with_the_end() {
    let Some((_turn, paces)) = paces() else { return };
    // Every second episode ends before it is seen, and is none; the others end at different moments between two frames.
    let page = "<body><script>
        let n = 0;
        const startEpisode = () => ++n % 2 ? endEpisode(7) : setTimeout(() => endEpisode(1), 150 + n * 7 % 50);
        </script>";
    let pages = Pages::new("ends", &[("ends", page)]);
    for pace in paces {
        let mut browser = start(Options { frames_per_second: 60.0, ..pages.options("ends", pace) });
        let (mut ends, deadline) = (0, Instant::now() + 6 * SOON);
        while ends < 20 {
            assert!(Instant::now() < deadline, "{pace:?}: no more than {ends} ends");
            let (step_type, reward, _) = next(&mut browser, &STILL).unwrap();
            let is_end = step_type == StepType::TERMINATED;
            assert_eq!(reward, is_end.then_some(1.0), "{pace:?}: {step_type:?} after {ends} ends");
            ends += usize::from(is_end);
        }
    }
}

#[test]
fn a_page_that_goes_or_crashes_cuts_the_episode_off_with_what_was_seen_last() {
    let Some((_turn, paces)) = paces() else { return };
    let page = "<body style='margin: 0'><script>
        const startEpisode = () => { document.body.style.background = '#00f' };
        onmousedown = () => { location = 'other.html' }</script>";
    let pages = Pages::new("gone", &[("gone", page), ("other", GREEN)]);
    for pace in paces {
        let mut browser = start(pages.options("gone", pace));
        for way in ["goes", "crashes"] {
            assert_eq!(next(&mut browser, &STILL).unwrap().0, StepType::FIRST, "{pace:?}, {way}");
            next(&mut browser, &STILL).unwrap();
            if way == "crashes" {
                browser.streams[0].tab.send("Page.crash");
            }
            let press = if way == "goes" { PRESS } else { STILL };
            let last = loop {
                let frame = next(&mut browser, &press).unwrap();
                if frame.0 != StepType::MIDDLE {
                    break frame;
                }
            };
            assert_eq!((last.0, last.1), (StepType::TRUNCATED, None), "{pace:?}, {way}");
            let picture = browser.picture(0, &last.2).unwrap().unwrap();
            let at = 3 * (picture.height / 2 * picture.width + picture.width / 2);
            let colour = [picture.rgb[at], picture.rgb[at + 1], picture.rgb[at + 2]];
            assert!(is_blue(colour), "{pace:?}, {way}: {colour:?}");
        }
    }
}

#[test]
fn a_page_that_cannot_begin_is_given_up_with_the_reason() {
    let Some((_turn, paces)) = paces() else { return };
    let pages = Pages::new(
        "broken",
        &[
            ("throws", "<script>function startEpisode() { throw new Error('no such thing') }</script>"),
            ("never", "<script>var WOB_TASK_READY = false</script>"),
            ("waits", "<script>function startEpisode() { return new Promise(() => {}) }</script>"),
        ],
    );
    let pace = paces[paces.len() - 1];
    for (task, why) in [
        ("throws", "startEpisode fails: Error: no such thing"),
        ("never", "does not become ready"),
        ("waits", "does not begin an episode within"),
    ] {
        let mut browser = start(Options { patience: 0.5, ..pages.options(task, pace) });
        let error = loop {
            if let Err(error) = browser.poll(Duration::from_millis(100), &mut Played::default()) {
                break format!("{error:#}");
            }
        };
        assert!(error.contains(why) && error.contains(&format!("{task}.html")), "{pace:?}: {error}");
    }
}

#[test]
fn what_contradicts_is_refused_before_anything_is_started() {
    let pages = Pages::new("options", &[("one", "x"), ("two", "x")]);
    let good = pages.options("one", Pace::RealTime);
    assert_eq!(good.check().unwrap().of(0).path(), "/one.html");
    let both = Options { url: OneOrMore::from("bundled:catch"), ..good.clone() };
    let unknown = Options { task: OneOrMore::from("tow"), ..good.clone() };
    let too_many =
        Options { task: OneOrMore::Several(vec!["one".to_owned(), "two".to_owned()]), ..good.clone() };
    let alone = Options { tasks: String::new(), ..good.clone() };
    let limit = Options { episode_seconds: 3.0, ..Options::default() };
    for (options, option, text) in [
        (both, "url", "leave one of them out"),
        (unknown, "task", "did you mean \"two\"?"),
        (too_many, "task", "names 2 pages"),
        (alone, "task", "add tasks"),
        (limit, "episode_seconds", "add tasks"),
    ] {
        let error = options.check().unwrap_err();
        assert!(error.option() == Some(option) && error.to_string().contains(text), "{error}");
    }
    let streams =
        Options { streams: 2, task: OneOrMore::Several(vec!["two".to_owned(), "one".to_owned()]), ..good };
    assert_eq!(streams.check().unwrap().of(1).path(), "/one.html");
}

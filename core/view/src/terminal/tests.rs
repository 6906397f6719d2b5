//! The view on ratatui's own test backend.
use super::run_view::RunView;
use super::{screen, snapshot};
use crate::raster::encode;
use efference_runs::Picture;
use efference_runs::directory::{End, Ending, RunDirectory};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use std::fmt::Write;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

fn claimed(runs: &Path) -> RunDirectory {
    RunDirectory::claim(runs, "light", UNIX_EPOCH + Duration::from_secs(1_000_000_000), "steps = 2_000\n")
        .unwrap()
}

/// Lines of an error that falls as 1 / step, at 100 steps a second.
fn lines(steps: impl Iterator<Item = u64>) -> String {
    let mut text = String::new();
    for step in steps {
        let (seconds, error) = (step as f64 / 100.0, 1.0 / step as f64);
        writeln!(
            text,
            "{{\"step\":{step},\"seconds\":{seconds},\"error\":{error},\"error_last\":0.5,\"reward\":-0.25}}"
        )
        .unwrap();
    }
    text
}

fn screen_of(view: &RunView, colour: bool, width: u16, height: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| screen::draw(view, colour, "q leaves", frame.area(), frame.buffer_mut())).unwrap();
    terminal
}

fn text(terminal: &Terminal<TestBackend>) -> String {
    let buffer = terminal.backend().buffer();
    let area = buffer.area;
    let row = |y| (0..area.width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (0..area.height).map(row).collect::<Vec<_>>().join("\n")
}

fn is_braille(symbol: &str) -> bool {
    symbol.chars().all(|c| ('\u{2801}'..='\u{28ff}').contains(&c))
}

#[test]
fn a_run_is_shown_with_progress_values_and_charts() {
    let root = tempfile::tempdir().unwrap();
    let run = claimed(root.path());
    fs::write(run.metrics(), lines((10..=1_000).step_by(10)) + "{\"step\":1010,\"sec").unwrap();
    let lock = run.lock().unwrap().unwrap();
    let mut view = RunView::new(run.clone());
    assert!(view.refresh().unwrap());
    let terminal = screen_of(&view, true, 100, 30);
    let shown = text(&terminal);
    for part in [
        &format!("light/{}  running", run.id()),
        "step 1,000 of 2,000  100 steps/s  10 s left",
        "error 0.00100  error_last 0.500  reward -0.250",
        "error, error_last (logarithmic)",
        "██████████░░░░░░░░░░  step",
        "1,000",
        "q leaves",
    ] {
        assert!(shown.contains(part), "no {part:?} in\n{shown}");
    }
    // The error falls from the upper left to the lower right of its chart: of each curve's colour there are marks.
    let buffer = terminal.backend().buffer();
    let marks = |colour: Color| -> Vec<(u16, u16)> {
        let cells = (0..30).flat_map(|y| (0..50).map(move |x| (x, y)));
        cells.filter(|at| buffer[*at].fg == colour && is_braille(buffer[*at].symbol())).collect()
    };
    let (error, baseline) = (marks(Color::Cyan), marks(Color::Yellow));
    assert!(error.len() > 20 && baseline.len() > 20, "{shown}");
    let height_at = |x: u16| error.iter().filter(|at| at.0 == x).map(|at| at.1).min();
    let (first, last) =
        (error.iter().map(|at| at.0).min().unwrap(), error.iter().map(|at| at.0).max().unwrap());
    assert!(height_at(first) < height_at(last), "{shown}");
    drop(lock);
}

#[test]
fn a_skill_far_below_the_baselines_does_not_flatten_the_rest() {
    let root = tempfile::tempdir().unwrap();
    let run = claimed(root.path());
    let skills = [-500.0, -1.5, -0.5, 0.25, 0.75];
    let line =
        |(at, skill): (usize, &f64)| format!("{{\"step\":{},\"seconds\":1,\"skill\":{skill}}}\n", at + 1);
    fs::write(run.metrics(), skills.iter().enumerate().map(line).collect::<String>()).unwrap();
    let shown = snapshot(run, 80, 24).unwrap();
    assert!(shown.contains("skill (what is below -1 is drawn there)"), "{shown}");
    assert!(shown.contains("│0.750 │") && shown.contains("│-1.00 │") && !shown.contains("-500"), "{shown}");
}

#[test]
fn what_is_added_to_the_files_is_shown() {
    let root = tempfile::tempdir().unwrap();
    let run = claimed(root.path());
    let mut view = RunView::new(run.clone());
    view.refresh().unwrap();
    assert!(text(&screen_of(&view, true, 80, 24)).contains("nothing is recorded yet"));
    fs::write(run.metrics(), lines((10..=100).step_by(10))).unwrap();
    assert!(view.refresh().unwrap());
    assert!(text(&screen_of(&view, true, 80, 24)).contains("step 100 of 2,000"));
    assert!(!view.refresh().unwrap(), "nothing is new");
    let mut file = OpenOptions::new().append(true).open(run.metrics()).unwrap();
    file.write_all(lines((110..=2_000).step_by(10)).as_bytes()).unwrap();
    run.write_end(&End {
        how: Ending::Finished,
        step: 2_000,
        seconds: 20.0,
        ended: String::new(),
        notes: Vec::new(),
    })
    .unwrap();
    assert!(view.refresh().unwrap());
    let shown = text(&screen_of(&view, true, 80, 24));
    assert!(
        shown.contains("finished") && shown.contains("step 2,000 of 2,000  100 steps/s  in 20 s"),
        "{shown}"
    );
    // Resumed from step 50: what came later is forgotten.
    fs::write(run.metrics(), lines((10..=50).step_by(10))).unwrap();
    assert!(view.refresh().unwrap());
    assert_eq!(view.curves[0].1.points().len(), 5);
    fs::remove_dir_all(run.path()).unwrap();
    let error = view.refresh().unwrap_err().to_string();
    assert!(error.contains(&run.id()), "{error}");
}

#[test]
fn the_last_pictures_are_half_blocks_and_a_half_written_one_waits() {
    let root = tempfile::tempdir().unwrap();
    let run = claimed(root.path());
    let picture = |name: &str, colour: [u8; 3]| {
        let bytes = encode(&Picture { width: 64, height: 32, rgb: colour.repeat(64 * 32) }).unwrap();
        fs::write(run.pictures().join(name), &bytes).unwrap();
        bytes
    };
    picture("step-000010-stream-0.png", [200, 10, 10]);
    let mut view = RunView::new(run.clone());
    view.refresh().unwrap();
    let shown = screen_of(&view, true, 80, 30);
    assert!(text(&shown).contains("stream 0 at step 10: observation, prediction"), "{}", text(&shown));
    let buffer = shown.backend().buffer();
    assert_eq!((buffer[(0, 21)].symbol(), buffer[(0, 21)].fg), ("▀", Color::Rgb(200, 10, 10)));
    let bytes = picture("step-000020-stream-0.png", [10, 10, 200]);
    let newest = run.pictures().join("step-000020-stream-0.png");
    fs::write(&newest, &bytes[..bytes.len() / 2]).unwrap();
    view.refresh().unwrap();
    assert_eq!((view.pictures[0].0.step, &view.trouble), (10, &None));
    fs::write(&newest, &bytes).unwrap();
    view.refresh().unwrap();
    assert_eq!(view.pictures[0].0.step, 20);
}

#[test]
fn a_failed_run_says_why() {
    let root = tempfile::tempdir().unwrap();
    let run = claimed(root.path());
    let messages = vec!["step 12".to_owned(), "the disk is full".to_owned()];
    let how = Ending::Failed { plugin: None, messages, help: None };
    run.write_end(&End { how, step: 12, seconds: 1.0, ended: String::new(), notes: Vec::new() }).unwrap();
    let shown = snapshot(run, 80, 24).unwrap();
    assert!(shown.contains("failed: step 12: the disk is full"), "{shown}");
}

#[test]
fn no_size_of_a_screen_and_no_values_are_too_odd() {
    let root = tempfile::tempdir().unwrap();
    let run = claimed(root.path());
    let odd =
        ["{\"step\":0,\"seconds\":0,\"error\":null,\"loss\":0,\"return\":1e300,\"own\":-1e-300}", "no line"];
    fs::write(run.metrics(), odd.join("\n") + "\n").unwrap();
    fs::write(
        run.pictures().join("step-000010-stream-0.png"),
        encode(&Picture { width: 3, height: 500, rgb: vec![9; 4_500] }).unwrap(),
    )
    .unwrap();
    let mut view = RunView::new(run);
    view.refresh().unwrap();
    for (width, height) in [(1, 1), (2, 40), (300, 3), (40, 20), (79, 23), (200, 90)] {
        for colour in [true, false] {
            let shown = text(&screen_of(&view, colour, width, height));
            if (width, height) == (200, 90) {
                assert!(shown.contains("1 lines of metrics.jsonl can't be read"), "{shown}");
                assert!(shown.contains("NaN so far"), "{shown}");
            }
        }
    }
}

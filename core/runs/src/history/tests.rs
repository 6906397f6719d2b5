//! What is read back is what was written: the expected values are those that the lines were made of.
use super::*;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

fn run(lines: &str) -> (TempDir, RunDirectory) {
    let root = tempfile::tempdir().unwrap();
    let run = RunDirectory::claim(root.path(), "x", UNIX_EPOCH, "").unwrap();
    fs::write(run.path().join("metrics.jsonl"), lines).unwrap();
    (root, run)
}

fn add(run: &RunDirectory, lines: &str) {
    let mut file = OpenOptions::new().append(true).open(run.path().join("metrics.jsonl")).unwrap();
    file.write_all(lines.as_bytes()).unwrap();
}

fn values(run: &RunDirectory, name: &str) -> Vec<(u64, f64)> {
    let series = History::read(run).unwrap().series(name, Over::Steps).unwrap().unwrap_or_default();
    series.x.into_iter().map(|step| step as u64).zip(series.values).collect()
}

fn over(run: &RunDirectory, name: &str, over: Over) -> Vec<f64> {
    History::read(run).unwrap().series(name, over).unwrap().unwrap_or_default().x
}

/// A number with 16 or 17 digits, another for each step.
fn loss(step: u64) -> f64 {
    1.0 / (step as f64 + 0.3)
}

/// Lines long enough for a file of columns; each 7th has a `return`.
fn long(steps: impl Iterator<Item = u64>, second: f64) -> String {
    let mut lines = String::new();
    for step in steps {
        write!(lines, "{{\"step\":{step},\"seconds\":{},\"loss\":{:?}", step as f64 * second, loss(step))
            .unwrap();
        if step % 7 == 0 {
            write!(lines, ",\"return\":{}", step * 2).unwrap();
        }
        lines += ",\"a rather long name of a metric\":0.5}\n";
    }
    lines
}

fn has_columns(run: &RunDirectory) -> bool {
    run.path().join("metrics.columns").is_file()
}

#[test]
fn metrics_come_and_go_and_null_is_nan() {
    let (_root, run) = run("{\"step\":10,\"seconds\":0.25,\"loss\":0.1}\n\
         {\"step\":20,\"seconds\":0.5,\"loss\":null,\"return\":-3e2}\n\
         {\"step\":30,\"seconds\":0.75,\"return\":7}\n\
         { \"seconds\": 1, \"step\": 40, \"loss\": 1e300, \"note\": \"text\", \"a \\\"b\\\"\": 0.30000000000000004 }\n");
    let history = History::read(&run).unwrap();
    assert_eq!(history.names(), ["loss", "return", "a \"b\""]);
    let loss = history.series("loss", Over::Seconds).unwrap().unwrap();
    assert_eq!(loss.x, [0.25, 0.5, 1.0]);
    assert_eq!(over(&run, "loss", Over::Steps), [10.0, 20.0, 40.0]);
    assert!(loss.values[1].is_nan());
    assert_eq!([loss.values[0], loss.values[2]], [0.1, 1e300]);
    assert_eq!(values(&run, "return"), [(20, -300.0), (30, 7.0)]);
    assert_eq!(values(&run, "a \"b\""), [(40, 0.1 + 0.2)]);
    assert_eq!(history.series("reward", Over::Steps).unwrap(), None);
    assert_eq!(history.ends(), Some(((10, 0.25), (40, 1.0))));
    assert!(!has_columns(&run) && !history.half_line());
}

#[test]
fn a_key_that_a_line_says_twice_counts_as_its_last_value_says() {
    let (_root, run) = run("{\"step\":10,\"seconds\":0.25,\"step\":20,\"loss\":1,\"loss\":2}\n");
    assert_eq!(values(&run, "loss"), [(20, 2.0)]);
    assert_eq!(History::read(&run).unwrap().names(), ["loss"]);
}

#[test]
fn a_run_that_has_recorded_nothing_is_empty() {
    let (_root, run) = run("");
    assert!(History::read(&run).unwrap().names().is_empty());
    fs::remove_file(run.path().join("metrics.jsonl")).unwrap();
    assert!(History::read(&run).unwrap().ends().is_none());
}

#[test]
fn a_half_written_last_line_is_left_out_and_a_damaged_one_named() {
    let whole = "{\"step\":1,\"seconds\":1.0,\"loss\":2.0}\n";
    for half in ["{", "{\"step\":2,\"seconds\":1.0,\"loss\":2", "{\"step\":2,\"seconds\":1.0,\"loss\":2.0}"] {
        let (_root, run) = run(&(whole.to_owned() + half));
        let history = History::read(&run).unwrap();
        assert!(history.half_line());
        assert_eq!(history.ends(), Some(((1, 1.0), (1, 1.0))));
    }
    for (bad, cause) in [
        ("{\"step\":2,\"sec", "EOF while parsing a string, at character 14"),
        ("{\"step\":2,\"seconds\":1.0,\"loss\":2..0}", "invalid number, at character 34"),
        ("{\"step\":2,\"seconds\":1.0,\"loss\":-inf}", "invalid number, at character 33"),
        ("{\"step\":2,\"seconds\":1.0,\"loss\":1}{}", "trailing characters, at character 34"),
        ("{\"seconds\":1.0}", "it has no `step`"),
        ("{\"step\":2}", "it has no `seconds`"),
        ("{\"step\":1.5,\"seconds\":1.0}", "its `step` is no whole number"),
        ("\0\0\0", "expected value, at character 1"),
    ] {
        let (_root, run) = run(&format!("{whole}{bad}\n{}", whole.replace(":1,", ":3,")));
        let error = History::read(&run).unwrap_err().to_string();
        let place = format!("line 2 of '{}", run.path().display());
        assert!(error.starts_with(&place) && error.contains(cause), "{bad}: {error}");
    }
}

#[test]
fn a_long_run_gets_columns_that_say_the_same_and_are_extended() {
    let (_root, run) = run(&long(1..=20_000, 0.5));
    let check = |until: u64| {
        let expected: Vec<(u64, f64)> = (1..=until).map(|step| (step, loss(step))).collect();
        assert_eq!(values(&run, "loss"), expected);
        let expected: Vec<(u64, f64)> = (1..=until / 7).map(|n| (7 * n, 14.0 * n as f64)).collect();
        assert_eq!(values(&run, "return"), expected);
        let expected: Vec<f64> = (1..=until).map(|step| step as f64 * 0.5).collect();
        assert_eq!(over(&run, "loss", Over::Seconds), expected);
        assert_eq!(History::read(&run).unwrap().ends(), Some(((1, 0.5), (until, until as f64 * 0.5))));
    };
    check(20_000);
    assert!(has_columns(&run));
    let columns = run.path().join("metrics.columns");
    let made = fs::metadata(&columns).unwrap().modified().unwrap();
    check(20_000);
    // A few lines more are read beside the columns; many make new ones.
    add(&run, &long(20_001..=20_010, 0.5));
    check(20_010);
    assert_eq!(fs::metadata(&columns).unwrap().modified().unwrap(), made);
    add(&run, &long(20_011..=50_000, 0.5));
    check(50_000);
    assert!(fs::metadata(&columns).unwrap().modified().unwrap() > made);
    assert_eq!(History::read(&run).unwrap().table.steps.len(), 0, "all of it is in the columns");
    check(50_000);
}

#[test]
fn columns_that_are_damaged_or_of_other_metrics_are_made_again() {
    let text = long(1..=20_000, 0.5);
    let (_root, run) = run(&text);
    let expected = values(&run, "loss");
    let columns = run.path().join("metrics.columns");
    let good = fs::read(&columns).unwrap();
    for at in [0, 9, 13, 40, 700, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 4;
        fs::write(&columns, bad).unwrap();
        assert_eq!(values(&run, "loss"), expected, "a bit of byte {at}");
        assert_eq!(values(&run, "return").len(), 20_000 / 7);
    }
    for length in [0, 12, 300, good.len() - 1] {
        fs::write(&columns, &good[..length]).unwrap();
        assert_eq!(values(&run, "loss"), expected, "cut to {length} bytes");
    }
    fs::write(&columns, &good).unwrap();

    // Another run's metrics, as long as before, and shorter, and longer.
    let metrics = run.path().join("metrics.jsonl");
    let other = text.replace("0.5}", "0.7}");
    let last = |run: &RunDirectory| values(run, "a rather long name of a metric").pop();
    fs::write(&metrics, &other).unwrap();
    let later = SystemTime::now() + Duration::from_secs(5);
    File::options().write(true).open(&metrics).unwrap().set_modified(later).unwrap();
    assert_eq!(last(&run), Some((20_000, 0.7)));
    fs::write(&columns, &good).unwrap();
    fs::write(&metrics, other.lines().take(15_000).map(|l| l.to_owned() + "\n").collect::<String>()).unwrap();
    assert_eq!(last(&run), Some((15_000, 0.7)));
    fs::write(&columns, &good).unwrap();
    fs::write(&metrics, other + &long(20_001..=20_002, 0.5)).unwrap();
    assert_eq!(values(&run, "a rather long name of a metric")[19_999], (20_000, 0.7));
}

/// Checksums are against accidents. What says with a right one that it is larger than its file, or has values for lines that
/// are not there, must not take memory for them, nor end the program.
#[test]
fn columns_that_claim_more_than_there_is_are_made_again() {
    let (_root, run) = run(&long(1..=20_000, 0.5));
    let expected = values(&run, "return");
    let columns = run.path().join("metrics.columns");
    let good = fs::read(&columns).unwrap();
    let length = u32::from_le_bytes(good[8..12].try_into().unwrap()) as usize;
    let header = str::from_utf8(&good[16..16 + length]).unwrap();
    for (of, to) in [
        ("\"count\":2857", "\"count\":1000000000"),
        ("\"count\":2857", "\"count\":18446744073709551615"),
        ("\"count\":20000", "\"count\":10000"),
        ("\"at\":0", "\"at\":18446744073709551615"),
    ] {
        assert!(header.contains(of), "{header}");
        let header = header.replace(of, to);
        let mut bad = [&good[..8], &(header.len() as u32).to_le_bytes(), &[0; 4]].concat();
        bad[12..].copy_from_slice(&crc32fast::hash(header.as_bytes()).to_le_bytes());
        bad.extend_from_slice(header.as_bytes());
        bad.extend_from_slice(&good[16 + length..]);
        fs::write(&columns, bad).unwrap();
        assert_eq!(values(&run, "return"), expected, "{of} as {to}");
    }
}

#[test]
fn lines_that_a_resumed_run_writes_again_count_once() {
    let (_root, run) = run(&long(1..=20_000, 0.5));
    assert!(!values(&run, "loss").is_empty() && has_columns(&run));
    // Resumed from a checkpoint of step 15,000, by a process that counts its seconds from its own start.
    let mut more = String::new();
    for step in 15_001..=15_003 {
        writeln!(more, "{{\"step\":{step},\"seconds\":{},\"loss\":9}}", (step - 15_000) as f64).unwrap();
    }
    add(&run, &more);
    let found = values(&run, "loss");
    assert_eq!(found[14_998..15_000], [(14_999, loss(14_999)), (15_000, loss(15_000))]);
    assert_eq!(found[15_000..], [(15_001, 9.0), (15_002, 9.0), (15_003, 9.0)]);
    let seconds = over(&run, "loss", Over::Seconds);
    assert_eq!(seconds[14_998..], [7_499.5, 7_500.0, 7_501.0, 7_502.0, 7_503.0]);
    assert_eq!(values(&run, "return").len(), 15_000 / 7);
    // And once more, within what was added.
    add(&run, "{\"step\":15002,\"seconds\":1.5,\"loss\":8}\n");
    assert_eq!(values(&run, "loss")[15_000..], [(15_001, 9.0), (15_002, 8.0)]);
    assert_eq!(over(&run, "loss", Over::Seconds)[15_001..], [7_501.5]);
}

#[test]
fn two_that_read_at_once_do_no_harm() {
    let (_root, run) = run(&long(1..=20_000, 0.5));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(values(&run, "loss")[19_999], (20_000, loss(20_000))));
        }
    });
    let names = fs::read_dir(run.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    assert!(names.into_iter().all(|name| !name.ends_with(".tmp")));
}

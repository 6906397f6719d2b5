//! Input of any size and shape: reports stay short, time and memory bounded, and a terminal is not steered.
use super::*;
use std::fmt::Write;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

const WORLDS: &str = "[environment]\nplugin = \"worlds\"\n";

#[test]
fn a_report_shows_the_first_fifty_and_says_how_many_more_there_are() {
    let mut text = String::from(WORLDS);
    (0..10_000).for_each(|number| writeln!(text, "unknown_{number} = {number}").unwrap());
    let began = Instant::now();
    let report = report_on(&text);
    // Not a measurement: it took four seconds when each diagnostic was compared with all others.
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_has(&report, &["`unknown_0`", "`unknown_49`", "and 9950 more", "10000 problems in spec.toml"]);
    assert!(!report.contains("`unknown_50`") && report.len() < 40_000, "{} bytes", report.len());
}

#[test]
fn a_long_line_is_cut_around_the_place() {
    for before in [0, 100, 1_900, 70_000, 2_000_000] {
        let text = format!("{WORLDS}size = [{}\"x\", {}]\n", " ".repeat(before), "2, ".repeat(5_000));
        let report = report_on(&text);
        let column = 9 + before;
        assert_has(
            &report,
            &["found the text \"x\"", &format!("spec.toml:3:{column}"), "\"x\"", "^", "1 problem"],
        );
        let longest = report.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(longest < 220 && report.len() < 2_000, "{longest} letters in a line:\n{report}");
    }
    // Many of them: each line is looked at once.
    let text = format!("{WORLDS}size = [{}]\n", "\"x\", ".repeat(20_000));
    assert_has(&report_on(&text), &["and 19950 more", "20000 problems"]);
    let text = format!("{WORLDS}size = [{}]\n", "1,".repeat(2_000_000));
    assert_has(&report_on(&text), &["a spec has more than 100000 values", "spec.toml:3:", "1 problem"]);
}

#[test]
fn what_would_steer_a_terminal_is_written_out() {
    let desk = Desk::new();
    desk.file("spec.toml", "[environment]\nplugin = \"worlds\"\n\"a\\u001b[31m\\u0007\" = 1\n\"b\u{9b}2J\" = 2\n[layer]\nplugin = \"\u{202e}x\"\n");
    let report = desk.report("spec.toml", &["name=\u{1b}]0;title\u{7}", "x\u{1b}[2J=1"], &[]);
    let steers = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
    assert!(!report.contains(steers), "{report:?}");
    assert_has(&report, &["there is no layer plugin `\\u{202e}x`"]);
    assert!(report.contains("--set name=\\u{1b}]0;title\\u{7}"), "{report}");
    // In the lines of the file too, which are not TOML then.
    desk.file("raw.toml", "seed = 1 \u{1b}[2J\n");
    let report = desk.report("raw.toml", &[], &[]);
    assert!(!report.contains(steers), "{report:?}");
    assert_has(&report, &["raw.toml:1:8", "seed = 1 \u{241b}[2J"]);
}

#[test]
fn letters_that_look_like_others_are_named() {
    for (line, parts) in [
        ("seed\u{a0}= 1", &["column 5 is a no-break space (U+00A0)", "spec.toml:1:5", "type a space"][..]),
        ("seed =\u{a0}1", &["column 7 is a no-break space (U+00A0)", "type a space", "1 problem"]),
        ("seed = 1\u{200b}", &["column 9 is a space without width (U+200B)", "delete it"]),
        (
            "name = \u{201c}x\u{201d}",
            &["column 8 is a typographic quotation mark (U+201C)", "type \" in its place"],
        ),
        (
            "name = \u{2018}x\u{2019}",
            &["column 8 is a typographic quotation mark (U+2018)", "type ' in its place"],
        ),
        (
            "seed = \u{2212}1",
            &["column 8 is a dash that is no minus sign", "(U+2212)", "type - in its place"],
        ),
    ] {
        assert_has(&report_on(&format!("{line}\n{WORLDS}")), parts);
    }
    // Within text they are what the user wrote.
    let desk = Desk::new();
    desk.file("spec.toml", format!("{WORLDS}world = \"catch\" # \u{201c}fine\u{201d}\n"));
    assert!(desk.load("spec.toml", &[], &[]).is_ok());
}

#[test]
fn what_is_no_file_is_refused_and_not_waited_for() {
    let desk = Desk::new();
    let at = |name: &str| desk.0.path().join(name);
    assert!(std::process::Command::new("mkfifo").arg(at("pipe.toml")).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(at("socket.toml")).unwrap();
    symlink("/dev/zero", at("device.toml")).unwrap();
    symlink("gone.toml", at("lost.toml")).unwrap();
    symlink("circle.toml", at("circle.toml")).unwrap();
    desk.file("extends.toml", "extends = \"pipe.toml\"\n");
    for (name, parts) in [
        ("pipe.toml", &["`pipe.toml` is a pipe, not a file", "write it to a file"][..]),
        ("socket.toml", &["`socket.toml` is a socket, not a file"]),
        ("device.toml", &["`device.toml` is a device, not a file"]),
        ("lost.toml", &["`lost.toml` is a link to `gone.toml`, which is not there"]),
        ("circle.toml", &["`circle.toml` is a link that leads back to itself"]),
        ("extends.toml", &["`pipe.toml` is a pipe, not a file", "extends.toml:1:11"]),
    ] {
        assert_has(&desk.report(name, &[], &[]), parts);
    }
}

#[test]
fn bases_that_meet_again_are_read_once_and_lie_under_all_that_extend_them() {
    let desk = Desk::new();
    desk.file("base.toml", format!("seed = 1\nsteps = 1\nthreads = 1\n{WORLDS}"));
    desk.file("left.toml", "extends = \"base.toml\"\nseed = 2\nsteps = 2\n");
    desk.file("right.toml", "extends = \"base.toml\"\nsteps = 3\n");
    desk.file("spec.toml", "extends = [\"left.toml\", \"right.toml\"]\n");
    let spec = desk.load("spec.toml", &[], &[]).unwrap();
    assert_eq!((spec.seed, spec.steps, spec.threads), (2, Some(3), Some(1)));

    // Without that, the last of these would be read four million times.
    for number in 0..22 {
        let next = format!("f{}.toml", number + 1);
        desk.file(&format!("f{number}.toml"), format!("extends = [\"{next}\", \"./{next}\"]\n"));
    }
    desk.file("f22.toml", WORLDS);
    assert!(desk.load("f0.toml", &[], &[]).is_ok());
}

#[test]
fn files_that_extend_one_another_without_end_are_refused() {
    let desk = Desk::new();
    for number in 0..70 {
        desk.file(&format!("c{number}.toml"), format!("extends = \"c{}.toml\"\n", number + 1));
        desk.file(&format!("b{number}.toml"), "");
    }
    assert_has(
        &desk.report("c0.toml", &[], &[]),
        &["more than 64 files extend one another in a row", "c63.toml:1:11", "1 problem"],
    );
    let many: Vec<String> = (0..300).map(|number| format!("\"m{number}.toml\"")).collect();
    (0..300).for_each(|number| drop(desk.file(&format!("m{number}.toml"), "")));
    desk.file("many.toml", format!("extends = [{}]\n{WORLDS}", many.join(", ")));
    assert_has(&desk.report("many.toml", &[], &[]), &["the spec extends more than 256 files", "1 problem"]);
}

#[test]
fn deep_nesting_is_refused() {
    let keys = vec!["a"; 79].join(".");
    let inline = (0..60).fold("1".to_owned(), |inner, _| format!("{{{keys} = {inner}}}"));
    for value in ["[".repeat(100_000), "{a=".repeat(100_000), format!("{}1", "[".repeat(40)), inline] {
        let report = report_on(&format!("x = {value}\n{WORLDS}"));
        assert!(report.contains("problem") && report.len() < 3_000, "{report}");
    }
    let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    assert_has(&report_on(&format!("x = {deep}\n{WORLDS}")), &["nested more than 32 deep", "spec.toml:1:"]);
    assert_has(&report_on(&format!("{} = 1\n", vec!["a"; 50_000].join("."))), &["problem"]);
    let desk = Desk::new();
    desk.file("spec.toml", WORLDS);
    let long = vec!["a"; 20_000].join(".");
    assert_has(&desk.report("spec.toml", &[&format!("{long}=1")], &[]), &["this is not `key=value`"]);
    let variable = format!("EFFERENCE_{}", vec!["A"; 20_000].join("__"));
    assert_has(&desk.report("spec.toml", &[], &[(&variable, "1")]), &["this names no key of a spec"]);
    let value = format!("record.every={}", "[".repeat(100_000));
    assert_has(&desk.report("spec.toml", &[&value], &[]), &["`record.every`: expected a whole number"]);
}

#[test]
fn a_link_to_a_spec_finds_what_lies_beside_the_spec() {
    let desk = Desk::new();
    desk.file("real/base.toml", format!("seed = 4\n{WORLDS}"));
    desk.file("real/spec.toml", "extends = [\"base.toml\", \"only-here.toml\"]\n");
    std::fs::create_dir(desk.0.path().join("links")).unwrap();
    symlink("../real/spec.toml", desk.0.path().join("links/spec.toml")).unwrap();
    // What lies beside the link counts where nothing of this name lies beside the spec.
    desk.file("links/base.toml", "seed = 5\n");
    desk.file("links/only-here.toml", "steps = 6\n");
    let spec = desk.load("links/spec.toml", &[], &[]).unwrap();
    assert_eq!((spec.seed, spec.steps), (4, Some(6)));
}

#[test]
fn seconds_that_no_clock_can_count_are_refused() {
    let desk = Desk::new();
    desk.file("spec.toml", WORLDS);
    let report = desk.report("spec.toml", &["record.console_every_seconds=1e19"], &[]);
    assert_has(&report, &["`record.console_every_seconds` must be at most 1_000_000_000, found 1e+19"]);
    assert!(desk.load("spec.toml", &["record.console_every_seconds=1e9"], &[]).is_ok());
    assert_has(
        &desk.report(
            "spec.toml",
            &["sweep.\"optimizer.learning_rate\"={from = -1e308, to = 1e308, count = 3}"],
            &[],
        ),
        &["is too wide"],
    );
}

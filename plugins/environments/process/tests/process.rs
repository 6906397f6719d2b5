//! The plugin with real programs: the example in Python, and shell scripts that do what they must not.
use efference_process::{Options, Process};
use efference_sdk::{
    ActionGroup, Environment, EnvironmentSetup, Frame, Frames, Plugin, Restores, Result, StepType,
};
use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

/// What came.
#[derive(Debug, Default, PartialEq, Clone)]
struct Seen {
    frames: Vec<(u64, Vec<f32>, Option<f32>, StepType)>,
    actions: Vec<ActionGroup>,
    began: Vec<u64>,
    ended: Vec<u64>,
    closed: bool,
}

impl Frames for Seen {
    fn begin(&mut self, stream: u64) -> Result<()> {
        self.began.push(stream);
        Ok(())
    }

    fn frame(&mut self, frame: Frame<'_>) -> Result<()> {
        self.actions = frame.actions.to_vec();
        self.frames.push((frame.stream, frame.observation.to_vec(), frame.reward, frame.step_type));
        Ok(())
    }

    fn end(&mut self, stream: u64) -> Result<()> {
        self.ended.push(stream);
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        self.closed = true;
        Ok(())
    }
}

fn start(command: &[&str]) -> Result<Process> {
    let command = command.iter().map(|&word| word.to_owned()).collect();
    let options = Options { command, start_timeout: 5.0, silence_timeout: 1.0 };
    Process::new(options, &EnvironmentSetup::with_seed(3))
}

/// A program that reads the greeting, then does this.
fn script(then: &str) -> Result<Process> {
    start(&["sh", "-c", &format!("read greeting; {then}")])
}

const DESCRIPTION: &str = r#"echo '{"efference": 1, "observation": 1}';"#;

fn poll(process: &mut Process) -> Result<Seen> {
    let mut seen = Seen::default();
    let deadline = Instant::now() + Duration::from_secs(20);
    while seen == Seen::default() && Instant::now() < deadline {
        process.poll(Duration::from_millis(100), &mut seen)?;
    }
    Ok(seen)
}

#[track_caller]
fn fails(process: Result<Process>, texts: &[&str]) {
    let error = match process.and_then(|mut process| poll(&mut process)) {
        Ok(seen) => panic!("it did not fail: {seen:?}"),
        Err(error) => format!("{error:#}"),
    };
    for text in texts {
        assert!(error.contains(text), "{text:?} is not in {error}");
    }
}

/// The example, if there is Python.
fn random_walk() -> Option<Process> {
    if Command::new("python3").arg("--version").output().is_err() {
        let _ = writeln!(std::io::stderr(), "SKIPPED a test of the plugin process: there is no python3");
        return None;
    }
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/random_walk.py");
    Some(start(&["python3", example]).unwrap())
}

/// Goes on for some frames, always to the left, and returns what came.
fn go_on(process: &mut Process, frames: usize) -> Vec<Seen> {
    let step = |_| {
        let seen = poll(process).unwrap();
        process.act(0, &[0.0, 0.0], &[1.0, 0.0, 0.0]).unwrap();
        seen
    };
    (0..frames).map(step).collect()
}

#[test]
fn the_example_is_a_world_with_episodes() {
    let Some(mut process) = random_walk() else { return };
    let spaces = process.spaces().unwrap().unwrap();
    assert_eq!((spaces.observation, spaces.actions), (2, vec![ActionGroup::choice(3)]));
    let seen = go_on(&mut process, 40);
    let frames: Vec<_> = seen.iter().map(|seen| seen.frames[0].clone()).collect();
    assert_eq!(frames[0], (0, vec![0.0, 0.0], None, StepType::FIRST));
    // A step to the left is −0.1, with noise of 0.05; the second frame is after one.
    assert!((frames[1].1[0] + 0.1).abs() < 0.25, "{frames:?}");
    assert!((frames[1].1[1] - 0.02).abs() < 1e-6, "{frames:?}");
    let end = frames.iter().position(|frame| frame.3 == StepType::TERMINATED).unwrap();
    assert_eq!((frames[end].1[0], frames[end].2), (-1.0, Some(-1.0)));
    assert_eq!(frames[end + 1].3, StepType::FIRST);
}

#[test]
fn the_example_goes_on_where_it_was_saved() {
    let (Some(mut one), Some(mut other)) = (random_walk(), random_walk()) else { return };
    go_on(&mut one, 5);
    let saved = one.save().unwrap();
    assert_eq!(one.restores().unwrap(), Restores::Exact);
    let expected = go_on(&mut one, 30);
    go_on(&mut other, 2);
    other.restore(&saved).unwrap();
    assert_eq!(go_on(&mut other, 30), expected);
    let refused = format!("{:#}", other.restore(b"nonsense").unwrap_err());
    assert!(refused.contains("it printed last:") && refused.contains("UnpicklingError"), "{refused}");
}

#[test]
fn streams_come_and_go_in_messages_of_many_frames() {
    let message = r#"printf '{"started": [7], "frames": [{"stream": 1, "reward": 0.5}, {"stream": 2}]}\n'
                     printf '\0\0\200\077\0\0\300\177';"#;
    let then = r#"printf '{"ended": [1], "frames": [{"stream": 1, "step": "first"}]}\n\0\0\0\277'; read end"#;
    let mut process = script(&format!("{DESCRIPTION} {message} read responses; {then}")).unwrap();
    let seen = poll(&mut process).unwrap();
    assert_eq!((seen.frames.len(), seen.began), (2, vec![7]));
    assert_eq!((seen.frames[0].0, &seen.frames[0].1[..], seen.frames[0].2), (1, &[1.0][..], Some(0.5)));
    assert!(seen.frames[1].0 == 2 && seen.frames[1].1[0].is_nan() && seen.frames[1].2.is_none());
    process.act(2, &[], &[]).unwrap();
    assert!(process.act(2, &[], &[]).is_err());
    process.act(1, &[], &[]).unwrap();
    let seen = poll(&mut process).unwrap();
    assert_eq!(
        (seen.ended, &seen.frames[0].1[..], seen.frames[0].3),
        (vec![1], &[-0.5][..], StepType::FIRST)
    );
}

#[test]
fn an_environment_that_closes_is_over() {
    let mut process = script(&format!(r#"{DESCRIPTION} echo '{{"close": true}}'"#)).unwrap();
    assert!(poll(&mut process).unwrap().closed);
    assert!(poll(&mut process).unwrap().closed);
}

#[test]
fn a_program_that_cannot_be_started_is_named() {
    fails(start(&[]), &["command is empty"]);
    fails(start(&["/no/such/program"]), &["cannot start '/no/such/program'", "No such file"]);
}

#[test]
fn what_is_no_description_is_shown() {
    fails(script("echo hello"), &["the program's first line must be its description", "\"hello\""]);
    fails(script("echo help me >&2; exit 3"), &["has ended (exit status: 3)", "  | help me"]);
    fails(script("sleep 60 & sleep 7"), &["has not described itself for", "start_timeout"]);
}

#[test]
fn what_is_no_message_is_shown() {
    let says = |what: &str| script(&format!("{DESCRIPTION} {what}"));
    fails(says("echo hello"), &["is no message: \"hello\"", "goes to its standard error"]);
    fails(says(r"printf '\377\n'"), &["is no message", "it is not UTF-8"]);
    fails(says("yes | tr -d '\\n' | head -c 2000000"), &["is no message", "longer than 1024 KiB"]);
    fails(says(r#"echo '{"frames": [{"stream": 0, "step": "last"}]}'"#), &["unknown variant `last`"]);
    fails(says(r#"echo '{"saved": 99999999999}'"#), &["announces more than 1024 MiB"]);
    fails(says(r#"echo '{"restored": true}'"#), &["answered a question that was not asked"]);
    fails(says(r#"echo '{"error": "the sky fell"}'; read end"#), &["can't go on: the sky fell"]);
    fails(
        says(r#"echo '{"frames": [{"stream": 0}]}'; printf abc"#),
        &["has ended (exit status: 0) in the middle of a message"],
    );
    fails(
        says(r#"printf '{"frames": [{"stream": 4}]}\n\0\0\200\177'; read end"#),
        &["an infinite number as element 0 of stream 4"],
    );
    fails(says("exit 0"), &["has ended (exit status: 0) without a last message", "printed nothing"]);
}

#[test]
fn a_program_that_hangs_or_dies_ends_the_run_with_its_last_words() {
    fails(
        script(&format!("{DESCRIPTION} echo thinking >&2; sleep 60")),
        &["has sent no frame for ", "silence_timeout", "  | thinking"],
    );
    fails(script(&format!("{DESCRIPTION} kill -SEGV $$")), &["has ended (signal: 11"]);
}

#[test]
fn nothing_of_it_is_left_behind() {
    // It and what it started ignore the end of their input.
    let mut process = script(
        r#"echo '{"efference": 1, "observation": 1}'; sleep 1234 & echo $! >&2; echo '{"started": [0]}'; sleep 1235"#,
    )
    .unwrap();
    assert_eq!(poll(&mut process).unwrap().began, [0]);
    let left = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let of = |p: std::fs::DirEntry| std::fs::read(p.path().join("cmdline")).unwrap_or_default();
        processes.map(of).filter(|line| line.starts_with(b"sleep\x00123")).count()
    };
    // The shell says so before its child has become `sleep`.
    let deadline = Instant::now() + Duration::from_secs(10);
    while left() < 2 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(left(), 2);
    drop(process);
    let deadline = Instant::now() + Duration::from_secs(10);
    while left() > 0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(left(), 0);
}

//! An engine that dies, hangs or is moved: the program that started it says so, and writes how the run ended.
use crate::program::{Answer, Run, SMALL, Started, Workplace, fixtures, small_in};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::time::{Duration, Instant};

/// In which step, from 0, things go wrong.
const STEP: u64 = 3;

/// The arguments of a run with the hostile plugin of `kind` and this fault, the spec of which is written to the place.
fn arguments(place: &Workplace, kind: &str, fault: &str, more: &[&str]) -> Vec<String> {
    place.write("small.toml", if kind == "environment" { small_in("hostile") } else { SMALL.to_owned() });
    let sets = [
        format!("plugins.path=[{:?}]", fixtures().display().to_string()),
        format!("{kind}.plugin=hostile"),
        format!("{kind}.fault={fault}"),
        format!("{kind}.step={STEP}"),
    ];
    let sets = sets.into_iter().chain(more.iter().map(|&s| s.to_owned()));
    ["run", "small.toml"]
        .map(str::to_owned)
        .into_iter()
        .chain(sets.flat_map(|set| ["--set".to_owned(), set]))
        .collect()
}

fn start(place: &Workplace, kind: &str, fault: &str, more: &[&str]) -> Started {
    let arguments = arguments(place, kind, fault, more);
    place.start(&mut place.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>()))
}

fn run(kind: &str, fault: &str, more: &[&str]) -> (Workplace, Answer) {
    let place = Workplace::new();
    let answer = start(&place, kind, fault, more).wait();
    (place, answer)
}

/// Checks what is left of a run whose engine has died.
#[track_caller]
fn died(place: &Workplace, answer: &Answer, status: i32, plugin: &str, step: u64, how: &str) -> Run {
    assert_eq!(answer.code, Some(status), "{answer}");
    let sentence =
        format!("error: the run failed in step {step}: {plugin}: {how}\n  plugin: {plugin}\n  help:   ");
    assert_eq!(answer.stderr.matches(&sentence).count(), 1, "no '{sentence}' in {answer}");
    let run = place.run("small");
    let end = run.end();
    assert_eq!((&end["how"], &end["plugin"], &end["step"]), (&"failed".into(), &plugin.into(), &step.into()));
    assert_eq!(end["messages"], serde_json::json!([plugin, how]));
    assert!(end["help"].as_str().unwrap().len() > 20 && end["seconds"].as_f64().unwrap() < 100.0, "{end}");
    assert!(!run.names(".").iter().any(|name| name.ends_with(".tmp")));
    assert!(run.read("log.txt").contains(how), "{}", run.read("log.txt"));
    run
}

#[test]
fn an_engine_that_dies_in_a_plugin_is_reported_with_plugin_step_and_call() {
    for (fault, status, how) in [
        ("segfault", 139, "died of SIGSEGV (segmentation fault) in forward"),
        ("abort", 134, "died of SIGABRT (abort) in forward"),
        ("overflow", 134, "died of SIGABRT (abort) in forward"),
        ("exit", 1, "ended the process by exit(0) in forward"),
    ] {
        for kind in ["layer", "cell"] {
            let (place, answer) = run(kind, fault, &[]);
            died(&place, &answer, status, &format!("{kind} 'hostile'"), STEP, how);
        }
    }
    let (place, answer) = run("environment", "exit", &[]);
    died(&place, &answer, 1, "environment 'hostile'", STEP, "ended the process by exit(0) in poll");
    let (place, answer) = run("layer", "exit_in_build", &[]);
    died(&place, &answer, 1, "layer 'hostile'", 0, "ended the process by exit(0) in new");
}

#[test]
fn a_run_that_died_goes_on_from_its_checkpoint() {
    let place = Workplace::new();
    let mut started = start(&place, "layer", "hang", &["checkpoint.every=2"]);
    // By then, the layer hangs in the next step.
    started.until(|| {
        place.runs("small").iter().any(|run| run.path.join("checkpoints/step-000000000002.json").exists())
    });
    std::thread::sleep(Duration::from_millis(300));
    kill_process(child_of(started.process()).expect("it has an engine"), Signal::SEGV).unwrap();
    let answer = started.wait();
    let how = "died of SIGSEGV (segmentation fault) in forward";
    let run = died(&place, &answer, 139, "layer 'hostile'", STEP, how);
    let shown = format!("runs/small/{}", run.path.file_name().unwrap().to_str().unwrap());
    let help = format!("Go on from step 2 with `efference resume {shown}`");
    let answer =
        answer.says(&[&help, &format!("what was recorded until half a second before is in {shown}")]);
    assert!(run.end()["help"].as_str().unwrap().ends_with(&help), "{answer}");
    place.efference(&["resume", &shown, "--set", "layer.fault=none"]).expect(0);
    assert_eq!(run.end()["how"], "finished");
    assert_eq!(run.metrics().len(), 12);
}

#[test]
fn a_sweep_goes_on_after_a_member_that_died() {
    let place = Workplace::new();
    let arguments = arguments(&place, "layer", "none", &["sweep.'layer.fault'=[\"none\", \"exit\"]"]);
    let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    arguments[0] = "sweep";
    let answer = place.efference(&arguments).expect(1);
    let answer = answer.says(&["failed: layer 'hostile': ended the process by exit(0) in forward"]);
    assert!(answer.stdout.contains("1 members are done"), "{answer}");
}

#[test]
fn what_plugins_do_when_they_are_dropped_does_not_change_how_a_run_ended() {
    for (fault, text) in [
        (
            "segfault_in_drop",
            "warning: the engine died of SIGSEGV (segmentation fault) (layer 'hostile', in drop) when",
        ),
        ("hang_in_drop", "the run has ended, and layer 'hostile', in drop, does not end within 10 s"),
    ] {
        let (place, answer) = run("layer", fault, &[]);
        let answer = answer.expect(0).says(&[text]);
        assert!(answer.stdout.contains("Finished after 12 steps"), "{answer}");
        let run = place.run("small");
        assert_eq!((run.end()["how"].as_str(), run.metrics().len()), (Some("finished"), 12));
    }
}

#[test]
fn a_plugin_that_does_not_return_is_named_and_ctrl_c_still_works() {
    let place = Workplace::new();
    let mut started = start(&place, "layer", "hang", &[]);
    started.until_said("waiting for layer 'hostile' since 10 s (forward, step 3)");
    kill_process(started.process(), Signal::INT).unwrap();
    started.until_said("stopping after this step, but layer 'hostile' has been in forward for 1");
    kill_process(started.process(), Signal::INT).unwrap();
    let answer = started.wait();
    assert_eq!(answer.code, Some(130), "{answer}");
    let answer = answer.says(&["s; again: at once\n", "stopped at once, in step 3\n"]);
    let run = place.run("small");
    assert_eq!(
        (run.end()["how"].as_str(), run.end()["step"].as_u64()),
        (Some("stopped"), Some(STEP)),
        "{answer}"
    );
    assert!(run.read("log.txt").contains("waiting for layer 'hostile' since 10 s"));
}

#[test]
fn a_plugin_that_returns_late_goes_on() {
    let (place, answer) = run("layer", "slow", &[]);
    answer.expect(0).says(&["waiting for layer 'hostile' since 10 s (forward, step 3)\n"]);
    assert_eq!(place.run("small").metrics().len(), 12);
}

#[test]
fn a_changed_working_directory_changes_nothing() {
    let (place, answer) =
        run("layer", "change_directory", &["checkpoint.every=2", "record.pictures_every=2"]);
    let text = format!("layer 'hostile' changed the working directory from {}", place.path().display());
    let answer = answer.expect(0).says(&[&text, " to /; the host has changed it back"]);
    assert_eq!(answer.stderr.matches("changed the working directory").count(), 1, "{answer}");
    let run = place.run("small");
    assert_eq!((run.end()["how"].as_str(), run.metrics().len()), (Some("finished"), 12));
    assert_eq!(run.names("pictures").len(), 6);
}

#[test]
fn a_panic_in_a_thread_of_a_plugin_is_not_lost() {
    let (place, answer) = run("layer", "panic_in_thread", &[]);
    let log = place.run("small").read("log.txt");
    assert_eq!(answer.code, Some(0), "{answer}");
    let answer = answer.says(&["a thread 'helper' of layer 'hostile' panicked at ", "nobody looks at me"]);
    assert_eq!(answer.stderr.matches("nobody looks at me").count(), 1, "{answer}");
    assert!(log.contains("nobody looks at me"), "{log}");
}

/// A run without an end, whose steps take 5 ms, and the process of its engine.
fn endless(place: &Workplace) -> (Started, Pid) {
    place.write("small.toml", small_in("visitors"));
    let sets = [
        format!("plugins.path=[{:?}]", fixtures().display().to_string()),
        "environment.milliseconds=5".to_owned(),
        "steps=1000000000".to_owned(),
    ];
    let mut arguments = vec!["run", "small.toml"];
    arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
    let mut started = place.start(&mut place.command(&arguments));
    started.until(|| lines(place) > 0);
    let engine = child_of(started.process()).expect("it has an engine");
    (started, engine)
}

fn lines(place: &Workplace) -> usize {
    let metrics = |run: &Run| fs::read_to_string(run.path.join("metrics.jsonl")).unwrap_or_default();
    place.runs("small").first().map_or(0, |run| metrics(run).lines().count())
}

fn child_of(parent: Pid) -> Option<Pid> {
    let wanted = format!("PPid:\t{}", parent.as_raw_nonzero());
    let processes =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let is_child = |process: &i32| {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        status.lines().any(|line| line == wanted)
    };
    processes.filter_map(|name| name.parse().ok()).find(is_child).and_then(Pid::from_raw)
}

/// Whether a process is there and no zombie.
fn is_there(process: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", process.as_raw_nonzero())).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}

#[track_caller]
fn soon(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn no_engine_is_left_behind_by_a_program_that_is_killed() {
    let place = Workplace::new();
    let (mut started, engine) = endless(&place);
    assert!(started.kill());
    soon("the engine is still there", || !is_there(engine));
    // Nobody was left to say it; and the run can be gone on with at once.
    assert!(!place.run("small").path.join("end.json").exists());
    place.efference(&["resume", "small", "--steps", "20"]).expect(0);
}

#[test]
fn an_engine_that_is_killed_is_reported() {
    for (signal, status, how, help) in [
        (Signal::KILL, 137, "died of SIGKILL (killed)", "someone killed it (`kill -9`), or the system did"),
        (Signal::ALARM, 142, "died of SIGALRM (alarm clock)", "someone sent it this signal"),
    ] {
        let place = Workplace::new();
        let (started, engine) = endless(&place);
        kill_process(engine, signal).unwrap();
        let answer = started.wait();
        assert_eq!(answer.code, Some(status), "{answer}");
        answer.says(&["error: the run failed in step ", how, help]);
        let end = place.run("small").end();
        assert_eq!(end["how"], "failed", "{end}");
        assert!(end["messages"].as_array().unwrap().last().unwrap().as_str().unwrap().contains(how), "{end}");
    }
}

#[test]
fn a_signal_may_reach_either_process_or_both() {
    for to in [&[true, false][..], &[false, true], &[true, true]] {
        let place = Workplace::new();
        let (started, engine) = endless(&place);
        for (process, _) in [started.process(), engine].iter().zip(to).filter(|(_, to)| **to) {
            kill_process(*process, Signal::INT).unwrap();
        }
        let answer = started.wait().expect(130);
        let text = "stopping after this step; again: at once\n";
        // An engine that has heard of it too may have ended before that could be said.
        let quick = to[1] && answer.stderr == "stopped, as SIGINT asked for\n";
        assert!(answer.stderr == text || quick, "{to:?}: {answer}");
        assert_eq!(place.run("small").end()["how"], "stopped");
    }
}

#[test]
fn what_was_ignored_at_the_start_stays_ignored() {
    for (signal, name, other) in [
        (Signal::HUP, "HUP", Signal::INT),
        (Signal::INT, "INT", Signal::TERM),
        (Signal::USR1, "USR1", Signal::INT),
    ] {
        let place = Workplace::new();
        place.write("small.toml", small_in("visitors"));
        let path = format!("plugins.path=[{:?}]", fixtures().display().to_string());
        let sets = ["environment.milliseconds=5", "steps=1000000000", &path];
        let run =
            place.command(&[&["run", "small.toml"][..], &sets.map(|set| ["--set", set]).concat()].concat());
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("trap '' {name}; exec \"$0\" \"$@\"")]).arg(run.get_program());
        shell.args(run.get_args()).current_dir(place.path()).env_clear().stdin(std::process::Stdio::null());
        let mut started = place.start(&mut shell);
        started.until(|| lines(&place) > 0);
        let engine = child_of(started.process()).expect("it has an engine");
        for process in [started.process(), engine] {
            kill_process(process, signal).unwrap();
            kill_process(process, signal).unwrap();
        }
        let before = lines(&place);
        started.until(|| lines(&place) > before + 20);
        kill_process(started.process(), other).unwrap();
        started.wait().expect(130);
        assert_eq!(place.run("small").end()["how"], "stopped", "{name}");
    }
}

#[test]
fn slurm_s_warning_and_the_limit_of_processor_time_stop_a_run_with_a_checkpoint() {
    for signal in [Signal::USR1, Signal::XCPU] {
        let place = Workplace::new();
        let (mut started, engine) = endless(&place);
        // What means nothing to a run, does nothing to it.
        for process in [started.process(), engine] {
            kill_process(process, Signal::USR2).unwrap();
            kill_process(process, Signal::XFSZ).unwrap();
        }
        let before = lines(&place);
        started.until(|| lines(&place) > before + 5);
        // However often: the system sends SIGXCPU each second.
        for process in [started.process(), engine, started.process(), engine] {
            kill_process(process, signal).unwrap();
        }
        let answer = started.wait().expect(130).says(&["stopping after this step"]);
        let run = place.run("small");
        assert_eq!(run.end()["how"], "stopped", "{answer}");
        assert_eq!(run.names("checkpoints").len(), 2, "it can be gone on with: {answer}");
    }
}

#[test]
fn a_program_that_is_stopped_and_goes_on_does_so_with_its_engine() {
    let place = Workplace::new();
    let (mut started, engine) = endless(&place);
    let state = |process: Pid| {
        let status = fs::read_to_string(format!("/proc/{}/status", process.as_raw_nonzero())).unwrap();
        status.lines().find_map(|line| line.strip_prefix("State:\t")?.chars().next()).unwrap()
    };
    kill_process(started.process(), Signal::STOP).unwrap();
    soon("the engine goes on alone", || state(engine) == 'T');
    kill_process(started.process(), Signal::CONT).unwrap();
    soon("the engine does not go on", || state(engine) != 'T');
    let before = lines(&place);
    started.until(|| lines(&place) > before + 20);
    kill_process(started.process(), Signal::INT).unwrap();
    started.wait().expect(130);
}

#[test]
fn the_end_is_written_where_the_directory_was_moved_to() {
    let place = Workplace::new();
    let (mut started, _) = endless(&place);
    let run = place.run("small");
    fs::rename(place.path().join("runs"), place.path().join("old")).unwrap();
    started.until_said(&format!(
        "old/small/{} while the run goes on",
        run.path.file_name().unwrap().to_str().unwrap()
    ));
    kill_process(started.process(), Signal::INT).unwrap();
    let answer = started.wait();
    let moved = Run { path: place.path().join("old/small").join(run.path.file_name().unwrap()) };
    // The last checkpoint has no place any more.
    assert_eq!((answer.code, moved.end()["how"].as_str()), (Some(1), Some("failed")), "{answer}");
    answer.says(&["was it removed or renamed meanwhile?"]);
    assert!(!place.path().join("runs").exists(), "nothing is made anew where it was");
}

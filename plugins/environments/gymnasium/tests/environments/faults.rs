//! Environments that do what they must not. Their package stands in the place of Gymnasium for that alone.
use crate::driver::{Came, choose, fake_python, options, play, start};
use efference_gymnasium::Options;
use efference_sdk::{Environment, Restores, StepType};
use std::path::Path;
use std::time::{Duration, Instant};

/// What is said where it can't be started, or within ten steps.
fn error(change: impl FnOnce(Options) -> Options, id: &str) -> Option<String> {
    let (_folder, python) = fake_python()?;
    let options = change(Options { silence_timeout: 1.0, ..options(&python, id) });
    let played = start(options).and_then(|mut world| {
        play(&mut world, 5, |_, _, width| choose(0, width))?;
        // Python no longer looks into the memory by itself, and waits for the socket.
        std::thread::sleep(Duration::from_millis(200));
        play(&mut world, 5, |_, _, width| choose(0, width))
    });
    match played {
        Ok(came) => panic!("{id} did not fail: {came:?}"),
        Err(error) => Some(format!("{error:#}").replace(&python, "PYTHON")),
    }
}

#[track_caller]
fn fails(id: &str, texts: &[&str]) {
    let Some(error) = error(|options| options, id) else { return };
    for text in texts {
        assert!(error.contains(text), "{text:?} is not in {error}");
    }
}

#[test]
fn a_plain_environment_has_episodes_and_is_saved() {
    let Some((_folder, python)) = fake_python() else { return };
    let mut world = start(Options { streams: 2, ..options(&python, "Counting-v0") }).unwrap();
    assert_eq!(world.restores().unwrap(), Restores::Exact);
    let came = play(&mut world, 8, |_, _, width| choose(1, width)).unwrap();
    let frame = |stream, step: usize| Came {
        stream,
        observation: choose(step % 6, 10),
        reward: [None, Some(0.0), Some(0.0), Some(0.0), Some(0.0), Some(1.0)][step % 6],
        step_type: match step {
            0 | 6 => StepType::FIRST,
            5 => StepType::TERMINATED,
            _ => StepType::MIDDLE,
        },
        width: 2,
    };
    let expected: Vec<_> = (0..8).map(|step| vec![frame(0, step), frame(1, step)]).collect();
    assert_eq!(came, expected);
    let saved = world.save().unwrap();
    let mut go_on = || play(&mut world, 3, |_, _, width| choose(0, width)).unwrap();
    let first = go_on();
    world.restore(&saved).unwrap();
    assert_eq!(play(&mut world, 3, |_, _, width| choose(0, width)).unwrap(), first);
}

#[test]
fn one_that_ends_does_so_with_its_last_words() {
    fails("Dies-v0", &["the Python of the environments has ended (exit status: 7)", "  | farewell"]);
    fails("Killed-v0", &["has ended (signal: 9 (SIGKILL))", "it printed nothing"]);
    fails("Leaves-v0", &["has ended (exit status: 3)"]);
}

#[test]
fn one_that_hangs_is_not_waited_for() {
    fails("Hangs-v0", &["has not finished a step for 1 s (silence_timeout)", "  | I am tired"]);
    let at_first = error(|o| Options { start_timeout: 2.0, ..o }, "HangsAtFirst-v0");
    assert!(at_first.is_none_or(|said| said.contains("has sent no first frame for 2 s (start_timeout)")));
    let arguments = || [("wait".to_owned(), 1000.into())].into();
    let made = error(|o| Options { start_timeout: 1.0, arguments: arguments(), ..o }, "Counting-v0");
    assert!(made.is_none_or(|said| said.contains("has not made its environments in 1 s (start_timeout)")));
}

#[test]
fn an_exception_is_shown_with_the_end_of_its_traceback() {
    fails(
        "Raises-v0",
        &[
            "Raises-v0 has failed in Python: ValueError: the world is flat",
            "  |     raise ValueError(\\\"the world is flat\\\")",
        ],
    );
    fails(
        "Four-v0",
        &["Four-v0 has failed in Python: ValueError: not enough values to unpack (expected 5, got 4)"],
    );
}

#[test]
fn what_is_no_number_or_beyond_its_space_is_refused() {
    fails("Beyond-v0", &["the observation is 10, and its space says that it is one of 10 values from 0 on"]);
    fails("Text-v0", &["Text-v0 sent an observation in stream 0 that is no number: 'three'"]);
    fails("NoReward-v0", &["NoReward-v0 sent a reward in stream 0 that is no number: None"]);
    fails("NanReward-v0", &["NanReward-v0 sent a reward in stream 0 that is no number: NaN"]);
}

#[test]
fn what_is_printed_does_not_disturb() {
    let Some((_folder, python)) = fake_python() else { return };
    let mut world = start(options(&python, "Prints-v0")).unwrap();
    let came = play(&mut world, 5, |_, _, width| choose(0, width)).unwrap();
    assert_eq!(came[4][0].observation, choose(4, 10));
}

#[test]
fn nonsense_on_the_way_to_the_host_ends_the_run() {
    fails("Nonsense-v0", &["has sent what is no message of this plugin: \"nonsense\""]);
    fails("Closes-v0", &["the Python of the environments has"]);
}

#[test]
fn spaces_that_have_no_elements_are_named() {
    fails(
        "Sequence-v0",
        &["the entry '1' of the observation of Sequence-v0 is of the space Sequence", "without = [\"1\"]"],
    );
    fails("Says-v0", &["the action of Says-v0 is of the space Text", "wrappers ="]);
    fails("Nothing-v0", &["the observation of Nothing-v0 has no elements"]);
    let left_out = error(|o| Options { without: vec!["2".into()], ..o }, "Sequence-v0");
    assert!(left_out.is_none_or(|said| said.contains("is of the space Sequence")));
    let Some((_folder, python)) = fake_python() else { return };
    let without = |path: &str| Options { without: vec![path.into()], ..options(&python, "Sequence-v0") };
    assert_eq!(start(without("1")).unwrap().spaces().unwrap().unwrap().observation, 2);
}

#[test]
fn what_is_not_there_is_named_with_what_helps() {
    fails(
        "Countin-v0",
        &["no environment 'Countin-v0' is registered", "The nearest that are: \"Counting-v0\""],
    );
    fails("Quite/Another-v7", &["import = [\"my_package\"]"]);
    fails("ALE/Pong-v5", &["no module 'ale_py', which ALE/Pong-v5 needs", "PYTHON -m pip install ale-py"]);
    let import = error(|o| Options { import: vec!["no_such.module".into()], ..o }, "Counting-v0");
    assert!(
        import
            .is_none_or(|said| said.contains("no module 'no_such'") && said.contains("pip install no-such"))
    );
    let need = [("need".to_owned(), "Box2D".into())].into();
    let need = error(|o| Options { arguments: need, ..o }, "Counting-v0");
    assert!(need.is_none_or(|said| said.contains("PYTHON -m pip install swig \"gymnasium[box2d]\"")));
    let wrapper = error(|o| Options { wrappers: vec!["json:Wrap".into()], ..o }, "Counting-v0");
    assert!(wrapper.is_none_or(|said| said.contains("'json' has no wrapper 'Wrap'")));
    let render = error(|o| Options { render: true, ..o }, "Counting-v0");
    assert!(render.is_none_or(|said| said.contains("render modes are [\"human\"]")));
    let python = error(|o| Options { python: "/no/such/python".into(), ..o }, "Counting-v0");
    assert!(python.is_none_or(|said| said.contains("cannot start '/no/such/python'")));
}

#[test]
fn a_python_without_gymnasium_is_named_with_the_command_that_installs_it() {
    let Some((folder, _)) = fake_python() else { return };
    // Isolated, it sees no packages that were installed.
    let python = folder.path().join("bare");
    std::fs::write(&python, "#!/bin/sh\nexec python3 -S -E \"$@\"\n").unwrap();
    std::fs::set_permissions(&python, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let python = python.display().to_string();
    let said = format!("{:#}", start(options(&python, "CartPole-v1")).err().unwrap());
    assert!(said.contains("has no module 'gymnasium', which CartPole-v1 needs"), "{said}");
    assert!(said.ends_with(&format!("{python} -m pip install gymnasium")), "{said}");
}

#[test]
fn it_ends_with_the_plugin() {
    let Some((_folder, python)) = fake_python() else { return };
    let mut world = start(options(&python, "Id-v0")).unwrap();
    let came = play(&mut world, 2, |_, _, width| choose(0, width)).unwrap();
    let place = format!("/proc/{}", came[1][0].reward.unwrap());
    assert!(Path::new(&place).exists(), "{place} was not there");
    drop(world);
    let deadline = Instant::now() + Duration::from_secs(5);
    while Path::new(&place).exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(!Path::new(&place).exists(), "{place} is still there");
}

#[test]
fn only_what_waits_for_a_response_gets_one() {
    let Some((_folder, python)) = fake_python() else { return };
    let mut world = start(Options { streams: 2, ..options(&python, "Counting-v0") }).unwrap();
    assert!(world.act(0, &[], &[1.0, 0.0]).unwrap_err().to_string().contains("does not wait"));
    play(&mut world, 1, |_, _, width| choose(0, width)).unwrap();
    assert!(world.act(7, &[], &[1.0, 0.0]).unwrap_err().to_string().contains("stream 7"));
    crate::driver::poll(&mut world).unwrap();
    assert!(world.act(0, &[], &[1.0]).unwrap_err().to_string().contains("has 1 elements"));
    assert!(world.act(0, &[], &[f32::NAN, 0.0]).unwrap_err().to_string().contains("diverged"));
    let saved = world.save().unwrap_err().to_string();
    assert!(saved.contains("only when each frame was responded to"), "{saved}");
}

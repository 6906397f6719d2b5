//! Environments of other packages, where the Python has them.
use crate::driver::{choose, options, play, python_with, start};
use crate::real::goes_on_exactly;
use efference_gymnasium::{Gymnasium, Options};
use efference_sdk::{ActionGroup, Environment, Restores, StepType};

fn spaces(world: &Gymnasium) -> (usize, Vec<ActionGroup>) {
    let spaces = world.spaces().unwrap().unwrap();
    (spaces.observation, spaces.actions)
}

#[test]
fn atari_games_are_pictures_that_are_scaled_and_rendered() {
    let Some(python) = python_with("gymnasium, ale_py") else { return };
    let mut raw = start(options(&python, "ALE/Pong-v5")).unwrap();
    assert_eq!(spaces(&raw), (210 * 160 * 3, vec![ActionGroup::choice(6)]));
    // The emulator cannot be pickled.
    assert_eq!((raw.restores().unwrap(), raw.save().unwrap().len()), (Restores::Fresh, 0));
    let came = play(&mut raw, 30, |_, _, width| choose(0, width)).unwrap();
    let picture = raw.picture(0, &came[29][0].observation).unwrap().unwrap();
    assert_eq!((picture.width, picture.height), (160, 210));
    // The colour of Pong's field.
    let [red, green, blue] = [144, 72, 17];
    let field = picture.rgb.as_chunks::<3>().0.iter().filter(|pixel| **pixel == [red, green, blue]);
    assert!(field.count() > 160 * 210 / 2, "the field is not of its colour");

    let small = Options { width: 84, height: 84, grey: true, ..options(&python, "ALE/Pong-v5") };
    let mut small = start(small).unwrap();
    let came = play(&mut small, 30, |_, _, width| choose(0, width)).unwrap();
    let observation = &came[29][0].observation;
    assert_eq!(observation.len(), 84 * 84);
    let grey = 0.299 * red as f32 + 0.587 * green as f32 + 0.114 * blue as f32;
    near(observation[84 * 42 + 10], grey / 127.5 - 1.0);

    let mut ram = start(Options {
        arguments: [("obs_type".to_owned(), "ram".into())].into(),
        render: true,
        ..options(&python, "ALE/Pong-v5")
    })
    .unwrap();
    assert_eq!(spaces(&ram).0, 128);
    let came = play(&mut ram, 30, |_, _, width| choose(0, width)).unwrap();
    let rendered = ram.picture(0, &came[29][0].observation).unwrap().unwrap();
    assert_eq!(rendered, picture, "the same moment is rendered in another way than it is observed");
    // What is only predicted is not rendered.
    assert_eq!(ram.picture(0, &[0.0; 128]).unwrap(), None);
}

#[track_caller]
fn near(a: f32, b: f32) {
    assert!((a - b).abs() < 1e-4, "{a} is not {b}");
}

#[test]
fn popgym_goes_on_exactly() {
    let Some(python) = python_with("gymnasium, popgym") else { return };
    let world = options(&python, "popgym-RepeatPreviousEasy-v0");
    assert_eq!(spaces(&start(world.clone()).unwrap()), (4, vec![ActionGroup::choice(4)]));
    goes_on_exactly(&world, 40);
}

#[test]
fn minatar_goes_on_exactly() {
    let Some(python) = python_with("gymnasium, minatar") else { return };
    let world = options(&python, "MinAtar/Breakout-v1");
    let mut played = start(world.clone()).unwrap();
    assert_eq!(spaces(&played), (10 * 10 * 4, vec![ActionGroup::choice(3)]));
    let came = play(&mut played, 200, |_, _, width| choose(0, width)).unwrap();
    assert!(came.iter().flatten().all(|came| came.observation.iter().all(|x| x.abs() == 1.0)));
    assert!(came.iter().flatten().any(|came| came.step_type == StepType::TERMINATED));
    goes_on_exactly(&world, 40);
}

#[test]
fn minigrid_says_its_mission_in_words_which_are_left_out() {
    let Some(python) = python_with("gymnasium, minigrid") else { return };
    let whole = options(&python, "MiniGrid-Empty-5x5-v0");
    let said = format!("{:#}", start(whole.clone()).err().unwrap());
    assert!(
        said.contains("the entry 'mission' of the observation") && said.contains("without = [\"mission\"]"),
        "{said}"
    );
    let world = Options { without: vec!["mission".into()], ..whole.clone() };
    assert_eq!(spaces(&start(world.clone()).unwrap()), (4 + 7 * 7 * 3, vec![ActionGroup::choice(7)]));
    goes_on_exactly(&world, 40);
    let wrapped = Options { wrappers: vec!["minigrid.wrappers:ImgObsWrapper".into()], ..whole };
    assert_eq!(spaces(&start(wrapped).unwrap()).0, 7 * 7 * 3);
}

#[test]
fn mujoco_goes_on_exactly() {
    let Some(python) = python_with("gymnasium, mujoco, imageio") else { return };
    let world = options(&python, "InvertedPendulum-v5");
    assert_eq!(spaces(&start(world.clone()).unwrap()), (4, vec![ActionGroup::VALUE]));
    goes_on_exactly(&world, 30);
    let mut cheetah = start(options(&python, "HalfCheetah-v5")).unwrap();
    assert_eq!(spaces(&cheetah), (17, vec![ActionGroup::VALUE; 6]));
    let came = play(&mut cheetah, 50, |_, _, width| vec![0.5; width]).unwrap();
    assert!(came.iter().flatten().all(|came| came.observation.iter().all(|x| x.abs() <= 1.0)));
}

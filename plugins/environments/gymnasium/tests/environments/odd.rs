//! Real Gymnasium with environments of all spaces, and with some that do not fit theirs.
use crate::driver::{choose, options, play, python_of, python_with, start};
use efference_gymnasium::Options;
use efference_sdk::{ActionGroup, Environment, Restores};

/// Options for an id, with the module of `tests/worlds`; the folder must live as long as they are used.
fn odd(id: &str) -> Option<(tempfile::TempDir, Options)> {
    let (folder, python) = python_of(&python_with("gymnasium")?, "tests/worlds");
    Some((folder, Options { import: vec!["odd".into()], ..options(&python, id) }))
}

fn wrapped(wrapper: &str) -> Option<(tempfile::TempDir, Options)> {
    let (folder, options) = odd("CartPole-v1")?;
    Some((folder, Options { wrappers: vec![format!("odd:{wrapper}")], ..options }))
}

#[test]
fn all_spaces_are_observed_and_done_in_their_order() {
    let Some((_folder, options)) = odd("Odd/Echo-v0") else { return };
    let mut world = start(options).unwrap();
    let spaces = world.spaces().unwrap().unwrap();
    let [value, choice] = [|| ActionGroup::VALUE, || ActionGroup::choice(2)];
    let groups = [
        value(),
        value(),
        ActionGroup::choice(3),
        choice(),
        choice(),
        choice(),
        ActionGroup::choice(4),
        value(),
        value(),
    ];
    assert_eq!((spaces.observation, &spaces.actions[..]), (2 + 3 + 2 + 6 + 2, &groups[..]));
    // A value of each box; −1, 0 or 1; two bits; of 0 and 1, and of 5 to 8; integers in −4…4.
    let action = |step: usize, _, width: usize| {
        let parts = [
            vec![0.5, -0.5],
            choose(step % 3, 3),
            choose(step % 2, 2),
            choose(1, 2),
            choose(1 - step % 2, 2),
            choose(step % 4, 4),
            vec![-1.0, 0.5],
        ];
        assert_eq!(parts.concat().len(), width);
        parts.concat()
    };
    let came = play(&mut world, 12, action).unwrap();
    for (step, came) in came.iter().enumerate().skip(1).map(|(at, came)| (at - 1, &came[0])) {
        let expected = [
            vec![0.5, -0.5],
            choose(step % 3, 3),
            vec![[-1.0, 1.0][step % 2], 1.0],
            choose(1 - step % 2, 2),
            choose(step % 4, 4),
            vec![-1.0, 0.5],
        ];
        assert_eq!(came.observation, expected.concat(), "in step {step}");
        assert_eq!(came.reward, Some(0.5));
    }
}

#[test]
fn observations_that_do_not_fit_their_space_end_the_run() {
    for (wrapper, text) in [
        ("Narrow", "the observation is of the shape [3], and should be of [4]"),
        ("Infinite", "element 1 of the observation is infinite"),
    ] {
        let Some((_folder, options)) = wrapped(wrapper) else { return };
        // Gymnasium's own checker would say something of it, but not the same in all versions.
        let arguments = [("disable_env_checker".to_owned(), true.into())].into();
        let played = start(Options { arguments, ..options })
            .and_then(|mut world| play(&mut world, 3, |_, _, width| choose(0, width)));
        let said = format!("{:#}", played.unwrap_err());
        assert!(said.contains(text), "{said}");
    }
}

#[test]
fn lists_do_for_arrays() {
    let Some((_folder, options)) = wrapped("Lists") else { return };
    let came = play(&mut start(options).unwrap(), 3, |_, _, width| choose(0, width)).unwrap();
    assert_eq!(came[2][0].observation.len(), 4);
}

#[test]
fn actions_without_bounds_need_some() {
    let Some((_folder, options)) = wrapped("Unbounded") else { return };
    let said = format!("{:#}", start(options.clone()).err().unwrap());
    assert!(
        said.contains("element 0 of the action of CartPole-v1 has no bounds")
            && said.contains("action_bound = 1.0"),
        "{said}"
    );
    let mut world = start(Options { action_bound: 2.0, ..options }).unwrap();
    assert_eq!(world.spaces().unwrap().unwrap().actions, [ActionGroup::VALUE]);
    play(&mut world, 3, |_, _, _| vec![0.5]).unwrap();
}

#[test]
fn what_takes_its_chance_from_elsewhere_is_not_said_to_be_exact() {
    let Some((_folder, options)) = wrapped("Global") else { return };
    let world = start(options).unwrap();
    assert_eq!((world.restores().unwrap(), world.save().unwrap().len()), (Restores::Fresh, 0));
}

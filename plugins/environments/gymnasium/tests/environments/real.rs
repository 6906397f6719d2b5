//! Gymnasium's own environments, compared with what Python sees of them.
use crate::driver::{Came, SEED, choose, options, play, python_with, start};
use efference_gymnasium::{Options, Scaling};
use efference_sdk::{ActionGroup, Environment, Restores, StepType, derive_seed, serde_json};
use std::process::Command;

/// The seed of a stream's first reset.
fn seed(stream: usize) -> u64 {
    derive_seed(SEED, &format!("gymnasium/{stream}")) & 0x7fff_ffff
}

/// Observations, rewards and flags that Python sees in so many steps, with a reset where an episode ends. `action` is an
/// expression of the number `n` of the step.
fn in_python(python: &str, id: &str, steps: usize, action: &str) -> Vec<(Vec<f64>, f64, bool, bool)> {
    let program = format!(
        "import gymnasium, json, numpy\nenv = gymnasium.make({id:?})\no, _ = env.reset(seed={})\nall = []\n\
         def put(o, *more): all.append([numpy.atleast_1d(o).tolist(), *more])\n\
         put(o, 0.0, False, False)\nlast = False\nfor n in range({steps} - 1):\n\
         \x20   if last:\n        o, _ = env.reset()\n        put(o, 0.0, False, False)\n        last = False\n\
         \x20   else:\n        o, r, t, c, _ = env.step({action})\n        put(o, float(r), bool(t), bool(c))\n        last = t or c\n\
         print(json.dumps(all))",
        seed(0)
    );
    let output = Command::new(python).args(["-c", &program]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Checks rewards and where frames stand, and returns the observations of both.
#[track_caller]
fn alike(came: &[Vec<Came>], expected: &[(Vec<f64>, f64, bool, bool)]) -> Vec<(Vec<f32>, Vec<f64>)> {
    assert_eq!(came.len(), expected.len());
    let mut first = true;
    let pairs = came.iter().zip(expected).map(|(came, (observation, reward, terminated, truncated))| {
        let [came] = &came[..] else { panic!("{came:?} is not of one stream") };
        let step_type = match (first, terminated, truncated) {
            (true, ..) => StepType::FIRST,
            (_, true, _) => StepType::TERMINATED,
            (_, _, true) => StepType::TRUNCATED,
            _ => StepType::MIDDLE,
        };
        assert_eq!((came.step_type, came.reward), (step_type, (!first).then_some(*reward as f32)));
        first = step_type.is_last();
        (came.observation.clone(), observation.clone())
    });
    pairs.collect()
}

#[track_caller]
fn near(a: f32, b: f64) {
    assert!((f64::from(a) - b).abs() < 1e-6, "{a} is not {b}");
}

#[test]
fn cartpole_is_what_python_sees_and_episodes_have_their_real_last_observation() {
    let Some(python) = python_with("gymnasium") else { return };
    let mut world = start(Options { scaling: Scaling::Squash, ..options(&python, "CartPole-v1") }).unwrap();
    let spaces = world.spaces().unwrap().unwrap();
    assert_eq!((spaces.observation, spaces.actions), (4, vec![ActionGroup::choice(2)]));
    let act = |step: usize, _, width| choose([0, 1, 1][step % 3], width);
    let came = play(&mut world, 60, act).unwrap();
    let expected = in_python(&python, "CartPole-v1", 60, "int(n % 3 != 0)");
    let mut ends = 0;
    for (came, expected) in alike(&came, &expected) {
        // Bounds of twice the limits at which it ends: 2.4 and 12°.
        near(came[0], (expected[0] / 4.8).clamp(-1.0, 1.0));
        near(came[2], (expected[2] / (24.0f64).to_radians()).clamp(-1.0, 1.0));
        near(came[1], expected[1] / (1.0 + expected[1].abs()));
        near(came[3], expected[3] / (1.0 + expected[3].abs()));
        ends += usize::from(came[2].abs() > 0.5);
    }
    assert!(ends >= 2, "no episode has ended beyond 12°");
}

#[test]
fn elements_without_bounds_are_scaled_by_what_came_until_then() {
    let Some(python) = python_with("gymnasium") else { return };
    let mut world = start(options(&python, "CartPole-v1")).unwrap();
    let came = play(&mut world, 40, |step, _, width| choose(step % 2, width)).unwrap();
    let expected = in_python(&python, "CartPole-v1", 40, "n % 2");
    let pairs = alike(&came, &expected);
    for (at, (came, _)) in pairs.iter().enumerate().skip(1) {
        let all: Vec<f64> = pairs[..=at].iter().map(|(_, expected)| expected[3]).collect();
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        let variance = all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / at as f64;
        let scaled = (all[at] - mean) / (variance + 1e-8).sqrt() / 4.0;
        assert!((f64::from(came[3]) - scaled).abs() < 1e-4, "{} is not {scaled}", came[3]);
    }
}

#[test]
fn values_are_torques_between_their_bounds() {
    let Some(python) = python_with("gymnasium") else { return };
    let mut world = start(options(&python, "Pendulum-v1")).unwrap();
    assert_eq!(world.spaces().unwrap().unwrap().actions, [ActionGroup::VALUE]);
    let came = play(&mut world, 230, |step, _, _| vec![[-1.0, 0.25, 3.0][step % 3]]).unwrap();
    let action = "numpy.array([[-2.0, 0.5, 2.0][n % 3]], dtype=numpy.float32)";
    let expected = in_python(&python, "Pendulum-v1", 230, action);
    for (came, expected) in alike(&came, &expected) {
        near(came[0], expected[0]);
        near(came[2], expected[2] / 8.0);
    }
    // It is cut off after 200 steps.
    assert_eq!(came[200][0].step_type, StepType::TRUNCATED);
}

#[test]
fn discrete_observations_are_one_hot() {
    let Some(python) = python_with("gymnasium") else { return };
    for (id, observation, choices) in [("FrozenLake-v1", 16, 4), ("CliffWalking-v1", 48, 4)] {
        let mut world = start(options(&python, id)).unwrap();
        let spaces = world.spaces().unwrap().unwrap();
        assert_eq!(
            (spaces.observation, &spaces.actions[..]),
            (observation, &[ActionGroup::choice(choices)][..])
        );
        let came = play(&mut world, 50, |step, _, width| choose(step % 4, width)).unwrap();
        for (came, expected) in alike(&came, &in_python(&python, id, 50, "n % 4")) {
            assert_eq!(came, choose(expected[0] as usize, observation));
        }
    }
    let mut cards = start(options(&python, "Blackjack-v1")).unwrap();
    assert_eq!(cards.spaces().unwrap().unwrap().observation, 32 + 11 + 2);
    let came = play(&mut cards, 30, |step, _, width| choose(step % 2, width)).unwrap();
    for came in came.iter().flatten() {
        assert_eq!(came.observation.iter().sum::<f32>(), 3.0);
    }
}

#[test]
fn streams_have_seeds_of_their_own_and_a_run_sees_the_same_again() {
    let Some(python) = python_with("gymnasium") else { return };
    let go = || {
        let mut world = start(Options { streams: 3, ..options(&python, "CartPole-v1") }).unwrap();
        play(&mut world, 100, |step, stream, width| choose((step + stream as usize) % 2, width)).unwrap()
    };
    let came = go();
    assert_eq!(came, go());
    let first = |stream: usize| came[0][stream].observation[0];
    assert!(first(0) != first(1) && first(1) != first(2), "{came:?}");
}

#[test]
fn arguments_and_rewards_are_as_asked_for() {
    let Some(python) = python_with("gymnasium") else { return };
    let arguments =
        [("max_episode_steps".to_owned(), 5.into()), ("sutton_barto_reward".to_owned(), true.into())];
    let with = Options { arguments: arguments.into(), ..options(&python, "CartPole-v1") };
    let came = play(&mut start(with).unwrap(), 7, |step, _, width| choose(step % 2, width)).unwrap();
    assert_eq!(came[5][0].step_type, StepType::TRUNCATED);
    assert_eq!(came[6][0].step_type, StepType::FIRST);
    assert_eq!(came[1][0].reward, Some(0.0));
    let wrong =
        Options { arguments: [("gravitas".to_owned(), 1.into())].into(), ..options(&python, "CartPole-v1") };
    let said = format!("{:#}", start(wrong).err().unwrap());
    assert!(
        said.contains("CartPole-v1 has failed in Python: TypeError") && said.contains("gravitas"),
        "{said}"
    );
}

#[test]
fn ids_that_do_not_exist_are_refused_with_the_nearest() {
    let Some(python) = python_with("gymnasium") else { return };
    for (id, text) in [
        ("CartPol-v1", "CartPole-v1"),
        ("cartpole-v1", "CartPole-v1"),
        ("CartPole-v9", "CartPole-v1"),
        ("Taxi-v2", "Taxi-v"),
        ("CartPole v1", "CartPole-v1"),
        ("Hopper-v1", "Hopper-v"),
    ] {
        let said = format!("{:#}", start(options(&python, id)).err().unwrap());
        let nearest = said.split("The nearest that").nth(1).unwrap_or_else(|| panic!("{said}"));
        assert!(
            said.contains(&format!("no environment '{id}' is registered")) && nearest.contains(text),
            "{said}"
        );
    }
}

/// Whether it goes on bit for bit from what was saved, in the same Python and in another.
pub(crate) fn goes_on_exactly(options: &Options, steps: usize) {
    let act = |step: usize, stream: u64, width: usize| match width {
        1 => vec![0.3],
        _ => choose((step * 7 / 3 + stream as usize) % width, width),
    };
    let mut world = start(options.clone()).unwrap();
    assert_eq!(world.restores().unwrap(), Restores::Exact, "{} is not", options.id);
    play(&mut world, steps, act).unwrap();
    let saved = world.save().unwrap();
    let expected = play(&mut world, 2 * steps, act).unwrap();
    world.restore(&saved).unwrap();
    assert_eq!(play(&mut world, 2 * steps, act).unwrap(), expected, "{} goes on in another way", options.id);
    let mut other = start(options.clone()).unwrap();
    play(&mut other, 3, act).unwrap();
    other.restore(&saved).unwrap();
    assert_eq!(play(&mut other, 2 * steps, act).unwrap(), expected, "{} goes on in another way", options.id);
}

#[test]
fn environments_go_on_where_they_were_saved() {
    let Some(python) = python_with("gymnasium") else { return };
    for id in [
        "CartPole-v1",
        "Acrobot-v1",
        "Pendulum-v1",
        "MountainCarContinuous-v0",
        "FrozenLake-v1",
        "Blackjack-v1",
    ] {
        goes_on_exactly(&Options { streams: 2, ..options(&python, id) }, 60);
    }
}

#[test]
fn saved_environments_of_others_are_refused() {
    let Some(python) = python_with("gymnasium") else { return };
    let saved = start(options(&python, "CartPole-v1")).unwrap().save().unwrap();
    let mut other = start(options(&python, "Acrobot-v1")).unwrap();
    let said = other.restore(&saved).unwrap_err().to_string();
    assert!(said.contains("this is a saved CartPole-v1, and the environment is Acrobot-v1"), "{said}");
    let said = format!("{:#}", other.restore(b"{}").unwrap_err());
    assert!(said.contains("are damaged"), "{said}");
}

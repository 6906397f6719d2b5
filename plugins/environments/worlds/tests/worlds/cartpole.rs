//! `cartpole`: its equations, its two ways to end, its scales.
use crate::driver::{Kept, at_random, choice, drive, new};
use efference_sdk::{ActionGroup, Environment, StepType, serde_json};
use efference_worlds::{Options, WorldName, Worlds};

fn options() -> Options {
    Options { world: WorldName::CartPole, ..Options::default() }
}

/// The state of stream 0 in full precision: x, x', θ, θ'.
fn state(world: &Worlds) -> [f64; 4] {
    let saved: serde_json::Value =
        serde_json::from_slice(&world.save().expect("a world saves")).expect("as JSON");
    let bits = |i: usize| saved["world"][0]["state"][i].as_u64().expect("the bits of a number");
    std::array::from_fn(|i| f64::from_bits(bits(i)))
}

/// The equations once more, as a system of two: mass matrix times accelerations is force, solved by Cramer's rule.
///
/// ```text
/// (M + m) x"      + m l cos θ θ" = F + m l θ'² sin θ
/// m l cos θ x" + (4/3) m l² θ"   = m g l sin θ
/// ```
fn next([x, v, angle, spin]: [f64; 4], force: f64) -> [f64; 4] {
    let (cart, pole, half, gravity, seconds) = (1.0, 0.1, 0.5, 9.8, 0.02);
    let (a, b) = (cart + pole, pole * half * angle.cos());
    let d = 4.0 / 3.0 * pole * half * half;
    let (e, f) = (force + pole * half * spin * spin * angle.sin(), pole * gravity * half * angle.sin());
    let determinant = a * d - b * b;
    let (pull, turn) = ((e * d - b * f) / determinant, (a * f - b * e) / determinant);
    [x + seconds * v, v + seconds * pull, angle + seconds * spin, spin + seconds * turn]
}

/// Keeps the pole upright and the cart about where it is.
fn balance(frame: &Kept) -> (Vec<f32>, Vec<f32>) {
    let o = &frame.observation;
    let lean = 0.3 * o[2] + 0.3 * 5.0 * o[3] + 0.05 * 2.5 * o[0] + 0.1 * 5.0 * o[1];
    (o.clone(), choice(usize::from(lean > 0.0), 2))
}

#[test]
fn steps_are_those_of_the_equations() {
    let mut world = new(options());
    let mut expected = state(&world);
    assert!(expected.iter().all(|x| x.abs() <= 0.05 && *x != 0.0), "{expected:?}");
    let mut act = at_random(1);
    for step in 0..200 {
        let mut force = 0.0;
        let frame = drive(&mut world, 1, |frame| {
            let (prediction, action) = act(frame);
            force = if action[1] > action[0] { 10.0 } else { -10.0 };
            (prediction, action)
        })
        .remove(0);
        for ((observed, x), scale) in frame.observation.iter().zip(expected).zip([2.5, 5.0, 0.3, 5.0]) {
            assert!((f64::from(*observed) - x / scale).abs() < 1e-6, "step {step}");
        }
        let now = state(&world);
        expected = if frame.step_type.is_last() { now } else { next(expected, force) };
        assert!(expected.iter().zip(now).all(|(a, b)| (a - b).abs() < 1e-12), "step {step}: {now:?}");
        expected = now;
    }
}

#[test]
fn a_pole_that_falls_terminates_the_episode() {
    for side in [0, 1] {
        let frames = drive(&mut new(options()), 40, |f| (f.observation.clone(), choice(side, 2)));
        let length = frames.iter().position(|f| f.step_type.is_last()).expect("it falls");
        // An independent program measured 9.35 steps on average for a constant push.
        assert!((7..=11).contains(&length), "{length}");
        let last = &frames[length];
        assert_eq!((last.step_type, last.reward), (StepType::TERMINATED, Some(1.0)));
        let limit = 12.0_f32.to_radians() / 0.3;
        assert!(last.observation[2].abs() > limit && frames[length - 1].observation[2].abs() <= limit);
        // It falls against the push.
        assert_eq!(last.observation[2] > 0.0, side == 0);
        let first = &frames[length + 1];
        assert_eq!((first.step_type, first.reward), (StepType::FIRST, None));
        assert!(first.observation.iter().all(|x| x.abs() <= 0.05 / 0.3));
        assert_eq!(frames.iter().map(|f| &*f.actions).next(), Some(&[ActionGroup::choice(2)][..]));
    }
}

#[test]
fn a_cart_that_leaves_the_track_terminates_the_episode() {
    // A pole that leans to one side is followed there.
    let frames = drive(&mut new(options()), 500, |f| {
        let o = &f.observation;
        (o.clone(), choice(usize::from(0.3 * o[2] - 0.1 + 0.3 * 5.0 * o[3] > 0.0), 2))
    });
    let length = frames.iter().position(|f| f.step_type.is_last()).expect("it leaves");
    let last = &frames[length];
    assert_eq!(last.step_type, StepType::TERMINATED);
    assert!(last.observation[0] > 2.4 / 2.5 && last.observation[2].abs() < 12.0_f32.to_radians() / 0.3);
    assert!(frames[length - 1].observation[0] <= 2.4 / 2.5);
}

#[test]
fn an_episode_of_500_steps_is_truncated() {
    for time_limit in [500, 20] {
        let mut world = new(Options { time_limit, ..options() });
        let frames = drive(&mut world, 2 * time_limit as usize + 2, balance);
        for (i, frame) in frames.iter().enumerate() {
            let step = i % (time_limit as usize + 1);
            let step_type = match step {
                0 => StepType::FIRST,
                s if s == time_limit as usize => StepType::TRUNCATED,
                _ => StepType::MIDDLE,
            };
            assert_eq!((frame.step_type, frame.reward), (step_type, (step > 0).then_some(1.0)), "frame {i}");
        }
    }
}

#[test]
fn random_play_lasts_as_long_as_elsewhere() {
    let frames = drive(&mut new(Options { streams: 8, ..options() }), 10_000, at_random(1));
    let episodes = frames.iter().filter(|f| f.step_type.is_last()).count() as f64;
    let steps = frames.iter().filter(|f| f.reward.is_some()).count() as f64;
    // Measured with an independent program: 22.1 steps a random episode.
    assert!((steps / episodes - 22.1).abs() < 0.8, "{}", steps / episodes);
    assert!(frames.iter().all(|f| f.step_type != StepType::TRUNCATED));
}

//! `catch`: rules, chance and skill.
use crate::driver::{Kept, at_random, baselines, choice, drive, new, poll};
use efference_sdk::{ActionGroup, Environment, StepType};
use efference_worlds::{Control, Options, WorldName};

fn options() -> Options {
    Options { world: WorldName::Catch, ..Options::default() }
}

fn mean_reward(frames: &[Kept]) -> f64 {
    let rewards: Vec<f64> = frames.iter().filter_map(|f| f.reward.map(f64::from)).collect();
    rewards.iter().sum::<f64>() / rewards.len() as f64
}

fn lit(frame: &Kept, row: usize) -> Vec<usize> {
    (0..12).filter(|column| frame.observation[row * 12 + column] == 1.0).collect()
}

/// A step towards the dot, as the picture shows it.
fn towards_the_dot(frame: &Kept) -> (Vec<f32>, Vec<f32>) {
    let paddle = lit(frame, 11);
    let dot = (0..11).find_map(|row| lit(frame, row).first().copied()).unwrap_or(paddle[1]);
    let chosen = 1 + usize::from(dot > paddle[1]) - usize::from(dot < paddle[1]);
    (frame.observation.clone(), choice(chosen, 3))
}

#[test]
fn random_play_gets_minus_a_half_and_skill_gets_one() {
    for control in [Control::Choice, Control::Lever] {
        let mut world = new(Options { streams: 8, control, ..options() });
        let random = mean_reward(&drive(&mut world, 6_000, at_random(1)));
        assert!((random + 0.5).abs() < 0.05, "{control:?}: random play got {random}");
    }
    assert_eq!(mean_reward(&drive(&mut new(options()), 1_200, towards_the_dot)), 1.0);
}

#[test]
fn baselines_get_about_what_they_got_in_the_lab() {
    let [black, mean, _] = baselines(&drive(&mut new(options()), 30_000, at_random(1)));
    assert!((black - 8.0).abs() < 0.2, "all black: {black}");
    assert!((mean - 6.3).abs() < 0.3, "the mean picture: {mean}");
}

#[test]
fn a_fall_is_an_episode_of_twelve_frames_that_ends_with_a_reward() {
    let frames = drive(&mut new(options()), 1_200, at_random(1));
    let (mut caught, mut missed) = (0, 0);
    for (i, frame) in frames.iter().enumerate() {
        let row = i % 12;
        let step_type = match row {
            0 => StepType::FIRST,
            11 => StepType::TERMINATED,
            _ => StepType::MIDDLE,
        };
        assert_eq!((frame.step_type, frame.reward.is_some()), (step_type, row == 11), "frame {i}");
        assert_eq!(frame.actions, [ActionGroup::choice(3)]);
        if row < 11 {
            assert_eq!((lit(frame, row).len(), lit(frame, 11).len()), (1, 3), "frame {i}");
            let lit = frame.observation.iter().filter(|x| **x == 1.0).count();
            let dark = frame.observation.iter().filter(|x| **x == -1.0).count();
            assert_eq!((lit, dark), (4, 140), "frame {i}");
        } else if lit(frame, 11).len() == 3 {
            assert_eq!(frame.reward, Some(1.0), "frame {i}");
            caught += 1;
        } else {
            assert_eq!(frame.reward, Some(-1.0), "frame {i}");
            missed += 1;
        }
    }
    assert!(caught > 10 && missed > 10, "{caught} caught, {missed} missed");
}

#[test]
fn the_action_after_the_last_frame_is_ignored() {
    for chosen in 0..3 {
        let mut world = new(options());
        let last = drive(&mut world, 12, at_random(1)).pop().expect("12 frames");
        assert!(last.step_type.is_last());
        let paddle = lit(&drive(&mut world, 1, at_random(2))[0], 11);
        let mut again = new(options());
        drive(&mut again, 11, at_random(1));
        assert!(drive(&mut again, 1, |f| (f.observation.clone(), choice(chosen, 3)))[0] == last);
        let first = poll(&mut again).remove(0);
        assert_eq!((first.step_type, lit(&first, 11)), (StepType::FIRST, paddle));
    }
}

#[test]
fn every_dot_can_be_caught_from_everywhere() {
    for (size, paddle) in [(4, 1), (9, 2), (12, 12), (16, 1)] {
        let mut world = new(Options { size, paddle, streams: 16, ..options() });
        let frames = drive(&mut world, 40 * size, |frame| {
            let row = |r: usize| &frame.observation[r * size..][..size];
            let column = |r: usize| row(r).iter().position(|x| *x == 1.0);
            let (left, dot) = (column(size - 1).expect("a paddle"), (0..size - 1).find_map(column));
            let chosen = match dot {
                Some(dot) if dot < left => 0,
                Some(dot) if dot >= left + paddle => 2,
                _ => 1,
            };
            (Vec::new(), choice(chosen, 3))
        });
        assert_eq!(mean_reward(&frames), 1.0, "size {size}, paddle {paddle}");
    }
}

#[test]
fn the_dot_hides_below_the_seen_rows() {
    let frames = drive(&mut new(Options { seen_rows: 4, ..options() }), 120, at_random(1));
    for (i, frame) in frames.iter().enumerate() {
        let lit = frame.observation.iter().filter(|x| **x == 1.0).count();
        assert_eq!(lit, if i % 12 < 4 { 4 } else { 3 }, "frame {i}");
    }
}

#[test]
fn actions_move_the_paddle_as_documented() {
    for (control, action, way) in [
        (Control::Choice, choice(0, 3), -1),
        (Control::Choice, choice(1, 3), 0),
        (Control::Choice, choice(2, 3), 1),
        (Control::Choice, vec![-0.2, -0.1, 0.1], 1),
        (Control::Choice, vec![0.0, 0.5, 0.5], 0),
        (Control::Lever, vec![-0.5], -1),
        (Control::Lever, vec![-0.3], 0),
        (Control::Lever, vec![0.3], 0),
        (Control::Lever, vec![0.4], 1),
    ] {
        let left = |frame: &Kept| lit(frame, 11)[0];
        let mut world = new(Options { control, streams: 8, ..options() });
        let frames = poll(&mut world);
        let before = frames.iter().find(|f| (1..9).contains(&left(f))).expect("a paddle off the walls");
        world.act(before.stream, &before.observation, &action).expect("the response has the right lengths");
        let after = poll(&mut world).remove(0);
        assert_eq!(left(&after) as i32 - left(before) as i32, way, "{control:?} {action:?}");
    }
}

#[test]
fn walls_stop_the_paddle() {
    for (action, wall) in [(choice(0, 3), 0), (choice(2, 3), 9)] {
        let frames = drive(&mut new(options()), 24, |f| (f.observation.clone(), action.clone()));
        let there = [wall, wall + 1, wall + 2];
        // In an episode's last frame the dot is in the paddle's row, too.
        assert!(frames[12..].iter().filter(|f| !f.step_type.is_last()).all(|f| lit(f, 11) == there));
    }
}

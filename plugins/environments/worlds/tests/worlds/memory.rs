//! `memory`: what an episode looks like, and what remembering it gets.
use crate::driver::{Kept, at_random, choice, drive, new};
use efference_sdk::{ActionGroup, StepType};
use efference_worlds::{Options, WorldName};

fn options(memory_length: usize) -> Options {
    Options { world: WorldName::Memory, memory_length, ..Options::default() }
}

fn mean_reward(frames: &[Kept]) -> f64 {
    let rewards: Vec<f64> = frames.iter().filter_map(|f| f.reward.map(f64::from)).collect();
    rewards.iter().sum::<f64>() / rewards.len() as f64
}

#[test]
fn an_episode_shows_the_context_first_and_the_query_last() {
    for n in [2, 5, 128] {
        let frames = drive(&mut new(options(n)), 40 * (n + 1), at_random(1));
        let mut contexts = [0; 2];
        for episode in frames.chunks(n + 1) {
            for (t, frame) in episode.iter().enumerate() {
                let [time, query, context] = frame.observation[..] else { panic!("{frame:?}") };
                assert!((time - (n - t) as f32 / n as f32).abs() < 1e-6, "{n}, {t}");
                assert_eq!(query, f32::from(t == n - 1), "{n}, {t}");
                assert_eq!(context.abs(), f32::from(t == 0), "{n}, {t}");
                let step_type = match t {
                    0 => StepType::FIRST,
                    t if t == n => StepType::TERMINATED,
                    _ => StepType::MIDDLE,
                };
                assert_eq!((frame.step_type, frame.reward.is_some()), (step_type, t == n), "{n}, {t}");
                assert_eq!(frame.actions, [ActionGroup::choice(2)]);
            }
            contexts[usize::from(episode[0].observation[2] > 0.0)] += 1;
        }
        assert!(contexts.iter().all(|c| *c > 8), "{contexts:?}");
    }
}

#[test]
fn who_remembers_gets_one_and_who_remembers_wrongly_minus_one() {
    for (n, right) in [(2, true), (2, false), (37, true), (128, true)] {
        let mut remembered = false;
        let frames = drive(&mut new(options(n)), 20 * (n + 1), |frame| {
            let o = &frame.observation;
            if frame.step_type.is_first() {
                remembered = (o[2] > 0.0) == right;
            }
            // Only the response to the query counts.
            let says = if o[1] > 0.0 { remembered } else { !remembered };
            (o.clone(), choice(usize::from(says), 2))
        });
        assert_eq!(mean_reward(&frames), if right { 1.0 } else { -1.0 }, "length {n}");
    }
}

#[test]
fn random_and_constant_play_get_nothing_on_average() {
    let world = || new(Options { streams: 16, ..options(3) });
    let random = mean_reward(&drive(&mut world(), 4_000, at_random(1)));
    let constant = mean_reward(&drive(&mut world(), 4_000, |f| (f.observation.clone(), choice(1, 2))));
    // 16,000 episodes: a deviation of the mean of 0.008.
    assert!(random.abs() < 0.03 && constant.abs() < 0.03, "{random}, {constant}");
}

#[test]
fn the_answer_is_observed_at_the_end_if_it_is_asked_for_and_missing_before() {
    let n = 5;
    let frames = drive(&mut new(Options { memory_answer: true, ..options(n) }), 20 * (n + 1), at_random(1));
    let plain = drive(&mut new(options(n)), 20 * (n + 1), at_random(1));
    for (episode, plain) in frames.chunks(n + 1).zip(plain.chunks(n + 1)) {
        for (t, (frame, plain)) in episode.iter().zip(plain).enumerate() {
            assert_eq!(frame.observation[..3], plain.observation[..]);
            let answer = frame.observation[3];
            assert!(
                if t == n { answer == episode[0].observation[2] } else { answer.is_nan() },
                "{t}: {answer}"
            );
        }
    }
}

//! `deep_sea`: what ways cost and where the treasure is, how rare it is, and what noise is like.
use crate::driver::{Kept, at_random, choice, drive, new, with_seed};
use efference_sdk::{ActionGroup, StepType};
use efference_worlds::{Options, WorldName};
use std::collections::BTreeMap;

const SIZE: usize = 4;

fn options() -> Options {
    Options { world: WorldName::DeepSea, size: SIZE, ..Options::default() }
}

/// Where the diver is; `None` below the square.
fn place(frame: &Kept) -> Option<(usize, usize)> {
    let cells = &frame.observation[..SIZE * SIZE];
    assert!(cells.iter().all(|x| *x == 1.0 || *x == -1.0));
    let lit: Vec<usize> = (0..cells.len()).filter(|cell| cells[*cell] == 1.0).collect();
    assert!(lit.len() < 2, "{lit:?}");
    lit.first().map(|cell| (cell / SIZE, cell % SIZE))
}

/// Which alternative goes right from a cell, as far as random play has shown: that which has a cost.
fn right(seed: u64) -> BTreeMap<(usize, usize), usize> {
    let mut random = at_random(1);
    let mut chosen = Vec::new();
    let frames = drive(&mut with_seed(options(), seed), 4_000, |frame| {
        let response = random(frame);
        chosen.push(usize::from(response.1[1] > response.1[0]));
        response
    });
    let mut right = BTreeMap::new();
    for (pair, chosen) in frames.windows(2).zip(chosen) {
        let (Some(from), Some(reward)) = (place(&pair[0]), pair[1].reward) else { continue };
        let went_right = reward != 0.0;
        let known = *right.entry(from).or_insert(if went_right { chosen } else { 1 - chosen });
        assert_eq!(known == chosen, went_right, "each cell is of one mind");
        if let Some((row, column)) = place(&pair[1]) {
            let expected = if went_right { (from.1 + 1).min(SIZE - 1) } else { from.1.saturating_sub(1) };
            assert_eq!((row, column), (from.0 + 1, expected));
        }
    }
    right
}

#[test]
fn going_right_costs_little_and_all_the_way_finds_the_treasure() {
    let right = right(7);
    // A triangle: further right than down is nowhere.
    assert_eq!(right.len(), SIZE * (SIZE + 1) / 2);
    let frames = drive(&mut new(options()), 5 * (SIZE + 1), |frame| {
        (Vec::new(), choice(place(frame).map_or(0, |place| right[&place]), 2))
    });
    for (i, frame) in frames.iter().enumerate() {
        let step = i % (SIZE + 1);
        let cost = 0.01 / SIZE as f32;
        let (step_type, reward) = match step {
            0 => (StepType::FIRST, None),
            SIZE => (StepType::TERMINATED, Some(1.0 - cost)),
            _ => (StepType::MIDDLE, Some(-cost)),
        };
        assert_eq!((frame.step_type, frame.reward), (step_type, reward), "frame {i}");
        assert_eq!(place(frame), (step < SIZE).then_some((step, step)));
        assert_eq!(frame.actions, [ActionGroup::choice(2)]);
    }
    let left = drive(&mut new(options()), 50, |frame| {
        (Vec::new(), choice(place(frame).map_or(0, |place| 1 - right[&place]), 2))
    });
    assert!(left.iter().all(|frame| frame.reward.is_none_or(|reward| reward == 0.0)));
}

#[test]
fn random_play_finds_it_once_in_two_to_the_size() {
    let frames = drive(&mut new(Options { streams: 16, ..options() }), 5_000, at_random(1));
    let episodes = frames.iter().filter(|frame| frame.step_type.is_last()).count();
    let found = frames.iter().filter(|frame| frame.reward.is_some_and(|reward| reward > 0.5)).count();
    let share = found as f64 / episodes as f64;
    // 16,000 episodes: a deviation of the share of 0.002.
    assert!((share - 1.0 / 16.0).abs() < 0.008, "{found} of {episodes}");
}

#[test]
fn streams_have_one_sea_and_each_seed_its_own() {
    let frames = drive(&mut new(Options { streams: 2, ..options() }), 60, |frame| {
        (Vec::new(), choice(usize::from(frame.step_type.is_first()), 2))
    });
    let of = |stream: u64| frames.iter().filter(move |f| f.stream == stream).map(place).collect::<Vec<_>>();
    assert_eq!(of(0), of(1));
    assert_ne!(right(7), right(8));
}

#[test]
fn noise_stands_behind_the_cells_and_is_drawn_anew() {
    let frames = drive(&mut new(Options { noise: 3, ..options() }), 2_000, at_random(1));
    let noise: Vec<f32> = frames.iter().flat_map(|f| f.observation[SIZE * SIZE..].to_vec()).collect();
    assert_eq!(noise.len(), 6_000);
    let mean = noise.iter().sum::<f32>() / 6_000.0;
    let square = noise.iter().map(|x| x * x).sum::<f32>() / 6_000.0;
    // Of numbers that are spread evenly over −1…1: 0 and 1/3.
    assert!(mean.abs() < 0.03 && (square - 1.0 / 3.0).abs() < 0.02, "{mean}, {square}");
    assert!(frames.windows(2).all(|w| w[0].observation[SIZE * SIZE..] != w[1].observation[SIZE * SIZE..]));
}

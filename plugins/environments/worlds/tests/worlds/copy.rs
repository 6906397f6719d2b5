//! `copy`: what a sequence looks like, and how it grows.
use crate::driver::{Kept, at_random, drive, new};
use efference_sdk::{Environment, StepType, serde_json};
use efference_worlds::{Options, WorldName, Worlds};

fn options() -> Options {
    Options { world: WorldName::Copy, ..Options::default() }
}

const INPUTS: usize = 10;

#[test]
fn a_sequence_is_flag_vectors_count_repeats_and_end() {
    let frames = drive(&mut new(Options { vectors: 3, repeats: 2, ..options() }), 3 * 12, at_random(1));
    for sequence in frames.chunks(12) {
        let split: Vec<_> = sequence.iter().map(|f| f.observation.split_at(INPUTS)).collect();
        for (t, (inputs, targets)) in split.iter().enumerate() {
            assert_eq!((inputs.len(), targets.len()), (10, 9));
            let step_type = match t {
                0 => StepType::FIRST,
                11 => StepType::TERMINATED,
                _ => StepType::MIDDLE,
            };
            assert_eq!((sequence[t].step_type, sequence[t].reward), (step_type, None));
            assert!(sequence[t].actions.is_empty());
            assert!(inputs.iter().all(|x| (-1.0..=1.0).contains(x)), "of the inputs no value is missing");
            assert_eq!(inputs[8], if t == 0 { 1.0 } else { -1.0 }, "start flag at {t}");
            // 2 of at most 10 repeats.
            assert_eq!(inputs[9], if t == 4 { 2.0 * 0.2 - 1.0 } else { -1.0 }, "count at {t}");
            if t < 5 {
                assert!(targets.iter().all(|x| x.is_nan()), "nothing is asked at {t}");
            } else {
                assert!(inputs[..8].iter().all(|x| *x == -1.0));
                assert_eq!(targets[8], if t == 11 { 1.0 } else { -1.0 }, "end flag at {t}");
                let bits = if t == 11 { [-1.0; 8].as_slice() } else { &split[1 + (t - 5) % 3].0[..8] };
                assert_eq!(&targets[..8], bits, "bits at {t}");
            }
        }
        assert!(split[1..4].iter().all(|(inputs, _)| inputs[..8].iter().all(|x| x.abs() == 1.0)));
    }
    assert_ne!(frames[1].observation[..8], frames[13].observation[..8], "the seed's sequences differ");
}

/// N and R by now.
fn level(world: &Worlds) -> (u64, u64) {
    let saved: serde_json::Value =
        serde_json::from_slice(&world.save().expect("a world saves")).expect("as JSON");
    let course = &saved["world"]["course"];
    (course["vectors"].as_u64().expect("a number"), course["repeats"].as_u64().expect("a number"))
}

/// Does the task perfectly: it remembers the vectors, and predicts the next frame's targets; `sure` is what
/// it predicts for a 1.
struct Copyist {
    sure: f32,
    /// Per stream: the vectors, how many targets were asked once they are, and the count.
    heard: Vec<(Vec<Vec<f32>>, Option<usize>, usize)>,
}

impl Copyist {
    fn new(streams: usize, sure: f32) -> Self {
        Copyist { sure, heard: vec![Default::default(); streams] }
    }

    fn respond(&mut self, frame: &Kept) -> (Vec<f32>, Vec<f32>) {
        let (vectors, asked, repeats) = &mut self.heard[frame.stream as usize];
        let inputs = &frame.observation[..INPUTS];
        if inputs[8] == 1.0 {
            (*vectors, *asked, *repeats) = (Vec::new(), None, 0);
        } else if let Some(asked) = asked {
            *asked += 1;
        } else if inputs[9] > -1.0 {
            *repeats = ((inputs[9] + 1.0) * 5.0).round() as usize;
            *asked = Some(0);
        } else {
            vectors.push(inputs[..8].to_vec());
        }
        let mut prediction = vec![-1.0; INPUTS];
        match *asked {
            Some(a) if a < vectors.len() * *repeats => {
                prediction.extend(&vectors[a % vectors.len()]);
                prediction.push(-1.0);
            }
            _ => prediction.extend([-1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, 1.0]),
        }
        (prediction.iter().map(|x| x * self.sure).collect(), Vec::new())
    }
}

#[test]
fn sequences_grow_for_an_agent_that_can_do_it() {
    let (streams, batch) = (3, 6);
    let mut world = new(Options { streams, batch, ..options() });
    let mut copyist = Copyist::new(streams, 0.9);
    let mut levels = vec![level(&world)];
    for _ in 0..2_000 {
        drive(&mut world, 1, |frame| copyist.respond(frame));
        if levels.last() != Some(&level(&world)) {
            levels.push(level(&world));
        }
    }
    // R += 1 if R < N else N += 1
    let published = [(1, 1), (2, 1), (2, 2), (3, 2), (3, 3), (4, 3), (4, 4), (5, 4)];
    assert_eq!(levels[..8], published, "{levels:?}");
}

#[test]
fn the_first_batch_ends_after_its_last_sequence() {
    let batch = 5;
    let mut world = new(Options { batch, ..options() });
    let mut copyist = Copyist::new(1, 0.9);
    // A sequence of N = R = 1 has 5 frames; the response to the last but one shows the last.
    drive(&mut world, 5 * 5 - 2, |frame| copyist.respond(frame));
    assert_eq!(level(&world), (1, 1));
    drive(&mut world, 1, |frame| copyist.respond(frame));
    assert_eq!(level(&world), (2, 1));
}

#[test]
fn sequences_stay_short_for_an_agent_that_is_unsure_or_by_option() {
    // p = 0.9 costs 0.152 bits, p = 0.905 costs 0.144: below 0.15.
    for (sure, grow_below, grows) in
        [(0.80, 0.15, false), (0.81, 0.15, true), (1.0, 0.0, false), (f32::NAN, 0.99, false)]
    {
        let mut world = new(Options { batch: 10, grow_below, ..options() });
        let mut copyist = Copyist::new(1, sure);
        drive(&mut world, 60, |frame| copyist.respond(frame));
        assert_eq!(level(&world) != (1, 1), grows, "sure {sure}, grow_below {grow_below}");
    }
}

#[test]
fn an_agent_that_predicts_nothing_is_taken_as_unsure() {
    let mut world = new(Options { batch: 10, grow_below: 0.99, ..options() });
    drive(&mut world, 60, |_| (Vec::new(), Vec::new()));
    assert_eq!(level(&world), (1, 1));
}

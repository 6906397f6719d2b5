//! What holds for every world: exact saving, the order of poll and act, errors, pictures.
use crate::driver::{at_random, drive, new, poll, with_seed};
use efference_sdk::{Environment, EnvironmentSetup, Plugin, Restores, StepType, action_width};
use efference_worlds::{Options, WorldName, Worlds};

fn every_world() -> Vec<Options> {
    [
        WorldName::Bounce,
        WorldName::Catch,
        WorldName::CartPole,
        WorldName::Memory,
        WorldName::Copy,
        WorldName::DeepSea,
    ]
    .map(|world| Options { world, streams: 3, batch: 2, grow_below: 20.0, noise: 4, ..Options::default() })
    .to_vec()
}

#[test]
fn a_restored_world_goes_on_bit_for_bit() {
    for options in every_world() {
        let mut world = new(options.clone());
        assert_eq!(world.restores().expect("known"), Restores::Exact);
        drive(&mut world, 500, at_random(1));
        let saved = world.save().expect("a world saves");
        let expected = drive(&mut world, 1_000, at_random(2));
        assert_eq!(expected.len(), 3_000);

        // The same world, and a fresh one with another seed.
        world.restore(&saved).expect("its own bytes");
        assert!(drive(&mut world, 1_000, at_random(2)) == expected, "{:?}", options.world);
        let mut other = with_seed(options.clone(), 8);
        other.restore(&saved).expect("bytes of the same world");
        assert_eq!(other.save().expect("a world saves"), saved);
        assert!(drive(&mut other, 1_000, at_random(2)) == expected, "{:?}", options.world);
    }
}

#[test]
fn the_seed_decides_and_nothing_else() {
    for options in every_world() {
        let frames = |seed| drive(&mut with_seed(options.clone(), seed), 100, at_random(1));
        assert!(frames(1) == frames(1));
        assert!(frames(1) != frames(2));
        // More streams do not change those that were there.
        let one = drive(&mut new(Options { streams: 1, grow_below: 0.0, ..options.clone() }), 50, |f| {
            (f.observation.clone(), vec![0.5; action_width(&f.actions)])
        });
        let mut many = drive(&mut new(Options { grow_below: 0.0, ..options.clone() }), 50, |f| {
            (f.observation.clone(), vec![0.5; action_width(&f.actions)])
        });
        many.retain(|f| f.stream == 0);
        assert!(one == many, "{:?}", options.world);
    }
}

#[test]
fn streams_move_only_when_responded_to() {
    for options in every_world() {
        let mut world = new(options);
        let first = poll(&mut world);
        assert_eq!(first.iter().map(|f| f.stream).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(poll(&mut world).is_empty());
        let action = first[1].no_action();
        world.act(1, &first[1].observation, &action).expect("the right lengths");
        // Saved in between, it still knows who waits for whom.
        let saved = world.save().expect("a world saves");
        let second = poll(&mut world);
        assert_eq!(second.iter().map(|f| f.stream).collect::<Vec<_>>(), [1]);
        world.restore(&saved).expect("its own bytes");
        assert!(poll(&mut world) == second);
    }
}

fn refused(result: efference_sdk::Result<()>) -> String {
    format!("{:#}", result.expect_err("this should be refused"))
}

#[test]
fn wrong_responses_are_refused_and_change_nothing() {
    let mut world = new(Options { world: WorldName::Catch, streams: 2, ..Options::default() });
    let early = refused(world.act(0, &[0.0; 144], &[0.0; 3]));
    assert_eq!(early, "stream 0 does not wait for a response: poll its next frame before acting again");
    poll(&mut world);
    let saved = world.save().expect("a world saves");
    for (stream, prediction, action, message) in [
        (2, 144, 3, "there is no stream 2 in this world; its streams are 0 to 1"),
        (u64::MAX, 144, 3, "there is no stream 18446744073709551615 in this world; its streams are 0 to 1"),
        (0, 143, 3, "the prediction for stream 0 has 143 elements, but its observation has 144"),
        (0, 144, 1, "the action for stream 0 has 1 elements, but its frame asked for 3"),
    ] {
        assert_eq!(refused(world.act(stream, &vec![0.0; prediction], &vec![0.0; action])), message);
    }
    let nan = refused(world.act(0, &[0.0; 144], &[0.0, f32::NAN, 0.0]));
    assert_eq!(nan, "element 1 of the action for stream 0 is not a number (NaN): the agent has diverged");
    assert_eq!(world.save().expect("a world saves"), saved);
    // Predictions may hold anything, or nothing, and actions be of any size.
    world.act(0, &[f32::NAN; 144], &[9.0, f32::INFINITY, -9.0]).expect("odd, but no fault of lengths");
    world.act(1, &[], &[0.0, 1.0, 0.0]).expect("nothing is predicted");
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let base = Options::default();
    for (options, message) in [
        (
            Options { size: 4, radius: 2.5, ..base.clone() },
            "a ball of radius 2.5 has -1 cells of a box of size 4 to fly in, fewer than its speed 0.73: make the box larger, or the ball smaller or slower",
        ),
        (
            Options { world: WorldName::Catch, size: 4, paddle: 5, ..base.clone() },
            "paddle = 5 must be at least 1 and fit into a box of size 4",
        ),
        (
            Options { world: WorldName::CartPole, time_limit: 0, ..base.clone() },
            "time_limit = 0, but an episode needs one step at least",
        ),
        (
            Options { world: WorldName::Memory, memory_length: 1, ..base.clone() },
            "memory_length = 1 must be in 2 … 128",
        ),
        (Options { world: WorldName::Copy, bits: 0, ..base.clone() }, "bits = 0 must be in 1 … 32"),
        (Options { streams: 0, ..base.clone() }, "streams = 0, but a world needs one stream at least"),
    ] {
        let opened = Worlds::new(options, &EnvironmentSetup::with_seed(1)).map(drop);
        assert_eq!(refused(opened), message);
    }
}

#[test]
fn bytes_of_another_world_are_refused() {
    let mut catch = new(Options { world: WorldName::Catch, ..Options::default() });
    let before = catch.save().expect("a world saves");
    for (other, message) in [
        (
            Options { world: WorldName::Bounce, ..Options::default() },
            "the world was saved with world = \"bounce\", but this one has world = \"catch\"; restore it with the options that it was saved with",
        ),
        (
            Options { world: WorldName::Catch, size: 16, ..Options::default() },
            "the world was saved with size = 16, but this one has size = 12; restore it with the options that it was saved with",
        ),
        (
            Options { world: WorldName::Catch, streams: 2, ..Options::default() },
            "the world was saved with streams = 2, but this one has streams = 1; restore it with the options that it was saved with",
        ),
    ] {
        let bytes = new(other).save().expect("a world saves");
        assert_eq!(refused(catch.restore(&bytes)), message);
    }
    // What catch does not read does not matter.
    let bytes = new(Options { world: WorldName::Catch, speed: 0.5, bits: 3, ..Options::default() }).save();
    catch.restore(&bytes.expect("a world saves")).expect("speed and bits are none of its options");
    catch.restore(&before).expect("its own bytes");
    assert!(refused(catch.restore(b"\x00")).starts_with("these bytes are no saved world, or are damaged: "));
    assert_eq!(catch.save().expect("a world saves"), before);
}

#[test]
fn damaged_bytes_are_refused_without_a_panic() {
    for options in every_world() {
        let mut world = new(options.clone());
        drive(&mut world, 37, at_random(1));
        let text = String::from_utf8(world.save().expect("a world saves")).expect("JSON");
        let before = world.save().expect("a world saves");
        // Every number in turn becomes an absurd one. Some are harmless (such as a random state), most are not.
        let mut refusals = 0;
        for (at, _) in text.match_indices(|c: char| c.is_ascii_digit()) {
            let (head, tail) = text.split_at(at);
            if head.ends_with(|c: char| c.is_ascii_digit() || c == '.') {
                continue;
            }
            let rest = tail.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
            match world.restore(format!("{head}4000000000{rest}").as_bytes()) {
                Err(_) => refusals += 1,
                Ok(()) => drop(drive(&mut world, 20, at_random(1))),
            }
            world.restore(&before).expect("its own bytes");
        }
        assert!(refusals > 5, "{:?}: only {refusals} refused", options.world);
    }
}

#[test]
fn pictures_show_observations_and_odd_predictions() {
    for (options, width, height) in every_world()
        .into_iter()
        .zip([96, 96, 128, 96, 32, 96])
        .zip([96, 96, 64, 32, 160, 104])
        .map(|((o, w), h)| (o, w, h))
    {
        let mut world = new(options);
        let frame = poll(&mut world).remove(0);
        let picture = world.picture(0, &frame.observation).expect("draws").expect("worlds have pictures");
        assert_eq!((picture.width, picture.height, picture.rgb.len()), (width, height, 3 * width * height));
        let mut colours: Vec<_> = picture.rgb.chunks(3).collect();
        colours.sort();
        colours.dedup();
        assert!(colours.len() > 1, "a picture of one colour shows nothing");
        let odd = [f32::NAN, f32::INFINITY, -3.0, 0.5];
        let prediction: Vec<f32> = (0..frame.observation.len()).map(|i| odd[i % 4]).collect();
        let drawn = world.picture(0, &prediction).expect("draws").expect("worlds have pictures");
        assert_ne!(drawn, picture);
        assert!(world.picture(0, &prediction[1..]).is_err());
    }
}

#[test]
fn spaces_say_what_frames_are_like() {
    for (options, observation, width, reward) in every_world()
        .into_iter()
        .zip([144, 144, 4, 3, 19, 148])
        .zip([0, 3, 2, 2, 0, 2])
        .zip([-1.0, -1.0, 0.0, -1.0, -1.0, -1.0])
        .map(|(((o, n), w), r)| (o, n, w, r))
    {
        let mut world = new(options.clone());
        let spaces = world.spaces().expect("asked").expect("known");
        assert_eq!((spaces.observation, spaces.action_width()), (observation, width), "{:?}", options.world);
        assert_eq!((spaces.reward.min, spaces.reward.max), (reward, 1.0), "{:?}", options.world);
        for frame in drive(&mut world, 2_000, at_random(3)) {
            assert_eq!((frame.observation.len(), &frame.actions), (observation, &spaces.actions));
            assert!(frame.observation.iter().all(|x| x.is_nan() || (-1.0..=1.0).contains(x)), "{frame:?}");
            assert!(frame.reward.is_none_or(|r| (reward..=1.0).contains(&r)), "{frame:?}");
        }
    }
}

#[test]
fn episodes_follow_each_other_without_a_gap() {
    for options in every_world().into_iter().filter(|o| o.world != WorldName::Bounce) {
        let frames = drive(&mut new(Options { streams: 1, ..options.clone() }), 2_000, at_random(4));
        assert_eq!(frames[0].step_type, StepType::FIRST);
        for pair in frames.windows(2) {
            let [before, after] = pair else { unreachable!("windows of two") };
            assert_eq!(after.step_type.is_first(), before.step_type.is_last(), "{:?}", options.world);
        }
        assert!(frames.iter().filter(|f| f.step_type.is_last()).count() > 5, "{:?}", options.world);
    }
}

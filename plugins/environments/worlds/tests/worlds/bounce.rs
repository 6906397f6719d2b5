//! `bounce`: what baselines get, and that the ball stays in its box.
use crate::driver::{at_random, baselines, drive, new};
use efference_sdk::StepType;
use efference_worlds::{Options, WorldName};

fn options() -> Options {
    Options { world: WorldName::Bounce, ..Options::default() }
}

#[test]
fn baselines_get_the_errors_that_the_documentation_promises() {
    let mut sums = [0.0; 3];
    let streams = 16;
    let frames = drive(&mut new(Options { streams, ..options() }), 2_000, at_random(1));
    for stream in 0..streams as u64 {
        let of_stream: Vec<_> = frames.iter().filter(|f| f.stream == stream).cloned().collect();
        baselines(&of_stream).iter().zip(&mut sums).for_each(|(error, sum)| *sum += error / streams as f64);
    }
    for (error, promised) in sums.iter().zip([11.5, 10.5, 3.8]) {
        assert!((error - promised).abs() < 0.15, "black, mean, last: {sums:.2?}, not 11.5, 10.5, 3.8");
    }
}

#[test]
fn the_ball_keeps_its_light_and_each_stream_starts_elsewhere() {
    let frames = drive(&mut new(Options { streams: 4, ..options() }), 500, at_random(1));
    for frame in &frames {
        assert_eq!(frame.observation.len(), 144);
        assert!(frame.actions.is_empty());
        assert_eq!((frame.reward, frame.step_type), (None, StepType::MIDDLE));
        assert!(frame.observation.iter().all(|x| (-1.0..=1.0).contains(x)));
        // The sum of brightness: the disc's area, less what the walls cut off its soft edge.
        let light: f32 = frame.observation.iter().map(|x| (x + 1.0) / 2.0).sum();
        assert!((5.5..8.5).contains(&light), "{light}");
    }
    for (i, a) in frames[..4].iter().enumerate() {
        assert!(frames[..i].iter().all(|b| a.observation != b.observation), "stream {i} starts as another");
    }
}

#[test]
fn the_centre_moves_at_its_speed_except_at_the_walls() {
    let frames = drive(&mut new(options()), 1_000, at_random(1));
    let centre = |o: &[f32]| {
        let light = |i: usize| f64::from((o[i] + 1.0) / 2.0);
        let all: f64 = (0..144).map(light).sum();
        let mean = |place: &dyn Fn(usize) -> usize| {
            (0..144).map(|i| light(i) * (place(i) as f64 + 0.5)).sum::<f64>() / all
        };
        (mean(&|i| i % 12), mean(&|i| i / 12))
    };
    let mut free = 0;
    for pair in frames.windows(2) {
        let [(ax, ay), (bx, by)] = [&pair[0], &pair[1]].map(|f| centre(&f.observation));
        let inside = |v: f64| (3.0..9.0).contains(&v);
        if [ax, ay, bx, by].into_iter().all(inside) {
            free += 1;
            let speed = (bx - ax).hypot(by - ay);
            assert!((speed - 0.73).abs() < 0.12, "{speed}");
        }
    }
    assert!(free > 100, "only {free} of 1,000 frames far from the walls");
}

#[test]
fn any_ball_that_fits_stays_in_the_box() {
    for (size, radius, softness, speed) in
        [(4, 1.5, 0.01, 1.0), (4, 0.25, 64.0, 3.5), (40, 5.0, 3.0, 30.0), (9, 1.0, 1.0, 0.0)]
    {
        let frames =
            drive(&mut new(Options { size, radius, softness, speed, ..options() }), 2_000, at_random(1));
        let seen = |f: &crate::driver::Kept| f.observation.iter().any(|x| *x > -1.0);
        assert!(frames.iter().all(seen), "size {size}: the ball is gone");
    }
}

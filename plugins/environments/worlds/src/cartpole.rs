//! `cartpole`: a pole on a cart that is pushed to the left or to the right (Barto, Sutton and Anderson, "Neuronlike
//! adaptive elements that can solve difficult learning control problems", 1983), with the constants of Gymnasium's
//! CartPole-v1.
//!
//! With the cart at x, the pole at the angle θ from upright, masses M = 1 and m = 0.1 kg, half the pole's length
//! l = 0.5 m, gravity g = 9.8 m/s² and a force F = ±10 N:
//!
//! ```text
//! p  = (F + m l θ'² sin θ) / (M + m)
//! θ" = (g sin θ − p cos θ) / (l (4/3 − m cos² θ / (M + m)))
//! x" = p − m l θ" cos θ / (M + m)
//! ```
//!
//! A step is 0.02 s by Euler's rule: x and θ move by the velocities that were there before. An episode begins with each
//! of x, x', θ, θ' even in −0.05…0.05. It is terminated where |x| > 2.4 m or |θ| > 12°, and truncated after `time_limit`
//! steps if it was not. The reward is 1 for each step, the last one included; the first frame has none. So the return
//! is the length of the episode in steps.
//!
//! Observed are x / 2.5 m, x' / (5 m/s), θ / 0.3 rad and θ' / (5 rad/s), kept within −1…1. The scales leave room for the
//! last frame of an episode, which is out of bounds.
use crate::options::Options;
use crate::random::SplitMix64;
use crate::world::{World, chosen};
use crate::{exact, picture};
use efference_sdk::serde::{Deserialize, Serialize};
use efference_sdk::{ActionGroup, Picture, Result, RewardRange, Spaces, StepType, ensure, serde_json};
use std::f64::consts::PI;

const GRAVITY: f64 = 9.8;
const CART_MASS: f64 = 1.0;
const POLE_MASS: f64 = 0.1;
const TOTAL_MASS: f64 = CART_MASS + POLE_MASS;
const HALF_LENGTH: f64 = 0.5;
const FORCE: f64 = 10.0;
const SECONDS: f64 = 0.02;
const MAX_POSITION: f64 = 2.4;
const MAX_ANGLE: f64 = 12.0 * 2.0 * PI / 360.0;
/// Each number of a state begins within this of 0.
const START: f64 = 0.05;
/// What is observed as 1: of the position, its velocity, the angle and its velocity.
const SCALES: [f64; 4] = [2.5, 5.0, 0.3, 5.0];

pub(crate) struct CartPole {
    time_limit: u32,
    carts: Vec<Cart>,
    observations: Vec<[f32; 4]>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(crate = "efference_sdk::serde", deny_unknown_fields)]
struct Cart {
    random: SplitMix64,
    /// Position, its velocity, angle, its velocity.
    #[serde(with = "exact::four")]
    state: [f64; 4],
    /// Since the episode began.
    steps: u32,
}

impl CartPole {
    pub(crate) fn new(options: &Options, seed: u64) -> Result<Self> {
        let time_limit = options.time_limit;
        ensure!(time_limit > 0, "time_limit = 0, but an episode needs one step at least");
        let begin = |stream| Cart::begin(SplitMix64::of_stream(seed, stream));
        let carts: Vec<Cart> = (0..options.streams).map(begin).collect();
        let observations = carts.iter().map(Cart::observe).collect();
        Ok(CartPole { time_limit, carts, observations })
    }
}

impl Cart {
    fn begin(mut random: SplitMix64) -> Self {
        let state = [(); 4].map(|()| START * (2.0 * random.unit() - 1.0));
        Cart { random, state, steps: 0 }
    }

    fn push(&mut self, force: f64) {
        let [x, speed, angle, spin] = self.state;
        let (sin, cos) = sin_cos(angle);
        let push = (force + POLE_MASS * HALF_LENGTH * spin * spin * sin) / TOTAL_MASS;
        let turn =
            (GRAVITY * sin - cos * push) / (HALF_LENGTH * (4.0 / 3.0 - POLE_MASS * cos * cos / TOTAL_MASS));
        let pull = push - POLE_MASS * HALF_LENGTH * turn * cos / TOTAL_MASS;
        self.state =
            [x + SECONDS * speed, speed + SECONDS * pull, angle + SECONDS * spin, spin + SECONDS * turn];
        self.steps += 1;
    }

    fn is_out(&self) -> bool {
        self.state[0].abs() > MAX_POSITION || self.state[2].abs() > MAX_ANGLE
    }

    fn observe(&self) -> [f32; 4] {
        std::array::from_fn(|i| (self.state[i] / SCALES[i]).clamp(-1.0, 1.0) as f32)
    }
}

/// Sine and cosine by their series, to the last bit or so for the angles of a pole that has not fallen: those of the
/// system's library differ between machines in their last bits.
fn sin_cos(angle: f64) -> (f64, f64) {
    let square = angle * angle;
    // 1 − a²/(n(n + 1)) (1 − a²/((n + 2)(n + 3)) (1 − …)), from the inside.
    let series = |n: u32| {
        (0..8).rev().map(|k| f64::from(n + 2 * k)).fold(1.0, |sum, n| 1.0 - square / (n * (n + 1.0)) * sum)
    };
    (angle * series(2), series(1))
}

/// What all streams observe and want.
pub(crate) fn spaces() -> Spaces {
    let reward = RewardRange { min: 0.0, max: 1.0 };
    Spaces { observation: 4, actions: vec![ActionGroup::choice(2)], reward }
}

impl World for CartPole {
    fn spaces(&self) -> Spaces {
        spaces()
    }

    fn observation(&self, stream: usize) -> &[f32] {
        &self.observations[stream]
    }

    fn reward(&self, stream: usize) -> Option<f32> {
        (self.carts[stream].steps > 0).then_some(1.0)
    }

    fn step_type(&self, stream: usize) -> StepType {
        let cart = &self.carts[stream];
        if cart.is_out() {
            StepType::TERMINATED
        } else if cart.steps >= self.time_limit {
            StepType::TRUNCATED
        } else if cart.steps == 0 {
            StepType::FIRST
        } else {
            StepType::MIDDLE
        }
    }

    fn step(&mut self, stream: usize, _prediction: &[f32], action: &[f32]) {
        let over = self.step_type(stream).is_last();
        let cart = &mut self.carts[stream];
        if over {
            *cart = Cart::begin(cart.random);
        } else {
            cart.push(if chosen(action) == 1 { FORCE } else { -FORCE });
        }
        self.observations[stream] = cart.observe();
    }

    /// The track from end to end, the cart on it, and the pole on the cart.
    fn picture(&self, observation: &[f32]) -> Result<Picture> {
        picture::require_length(observation, 4)?;
        Ok(draw(observation[0], observation[2]))
    }

    fn save(&self) -> Result<serde_json::Value> {
        Ok(serde_json::to_value(&self.carts)?)
    }

    fn restore(&mut self, saved: serde_json::Value) -> Result<()> {
        let carts: Vec<Cart> = serde_json::from_value(saved)?;
        ensure!(carts.len() == self.carts.len(), "it has {} carts, not {}", carts.len(), self.carts.len());
        let possible = |c: &Cart| c.steps <= self.time_limit && c.state.iter().all(|x| x.abs() < 1e3);
        ensure!(carts.iter().all(possible), "a cart is where none can be");
        self.observations = carts.iter().map(Cart::observe).collect();
        self.carts = carts;
        Ok(())
    }
}

/// Draws a cart at a position and a pole at an angle as they are observed. What is missing is not drawn, and the
/// ground is in its colour.
fn draw(position: f32, angle: f32) -> Picture {
    const SIZE: (usize, usize) = (128, 64);
    const TRACK: f64 = 52.0;
    const POLE: f64 = 40.0;
    let ground = if position.is_nan() || angle.is_nan() { picture::MISSING } else { [0; 3] };
    let mut rgb = ground.repeat(SIZE.0 * SIZE.1);
    let mut dot = |x: f64, y: f64, colour: [u8; 3]| {
        // Going to usize takes what is below 0 as 0.
        let (x, y) = ((x as usize).min(SIZE.0 - 1), (y as usize).min(SIZE.1 - 1));
        rgb[3 * (y * SIZE.0 + x)..][..3].copy_from_slice(&colour);
    };
    (0..SIZE.0).for_each(|x| dot(x as f64, TRACK + 4.0, [64; 3]));
    if !position.is_nan() {
        let x = 64.0 + 52.0 * f64::from(position.clamp(-1.0, 1.0));
        for row in -3..=3 {
            (-8..=8).for_each(|column| dot(x + f64::from(column), TRACK + f64::from(row), [128; 3]));
        }
        let (sin, cos) = sin_cos(f64::from(angle.clamp(-1.0, 1.0)) * SCALES[2]);
        if !angle.is_nan() {
            // In halves of a pixel, and two pixels wide.
            for half in 0..2 * POLE as u32 {
                let along = f64::from(half) / 2.0;
                let (x, y) = (x + sin * along, TRACK - cos * along);
                dot(x, y, [255; 3]);
                dot(x + 1.0, y, [255; 3]);
            }
        }
    }
    Picture { width: SIZE.0, height: SIZE.1, rgb }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sines_are_those_of_the_library() {
        for i in -300..=300 {
            let angle = f64::from(i) / 1000.0;
            let (sin, cos) = sin_cos(angle);
            assert!((sin - angle.sin()).abs() <= 1e-16, "{angle}: {sin}");
            assert!((cos - angle.cos()).abs() <= 3e-16, "{angle}: {cos}");
        }
    }

    #[test]
    fn the_equations_are_those_that_were_solved_by_hand() {
        // From an upright rest, F = 10: p = 10 / 1.1 = 9.090909, θ" = −p / (0.5 (4/3 − 1/11)) = −p / 0.6212121
        // = −14.634146, x" = p + 0.05 · 14.634146 / 1.1 = 9.756098.
        let mut cart = Cart { random: SplitMix64::of_stream(1, 0), state: [0.0; 4], steps: 0 };
        cart.push(FORCE);
        let expected = [0.0, 0.195_121_951, 0.0, -0.292_682_927];
        assert!(cart.state.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{:?}", cart.state);
        // Then the velocities count, and the sine of 0 still is 0.
        cart.push(-FORCE);
        let expected = [0.003_902_439, 0.0, -0.005_853_659, 0.0];
        assert!(cart.state.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{:?}", cart.state);
        assert_eq!(cart.steps, 2);
    }
}

//! `bounce`: a soft ball in a box.
//!
//! The ball's centre flies in a straight line at a fixed speed, and is mirrored where it would come nearer to a
//! wall than the radius. A cell whose centre is at distance `d` from the ball's is as bright as
//! `(radius − d) / softness + 1/2`, kept within 0…1; the observation codes 0…1 as −1…1.
//!
//! With the default options an error of `½·Σ(prediction − observation)²` is 11.5 for an all-black prediction, 10.5
//! for the mean picture and 3.8 for the last frame again (a test measures it).
use crate::options::Options;
use crate::picture;
use crate::random::SplitMix64;
use crate::world::{World, observations};
use efference_sdk::serde::{Deserialize, Serialize};
use efference_sdk::{Error, Picture, Result, RewardRange, Spaces, StepType, ensure, serde_json};
use std::ops::Range;

pub(crate) struct Bounce {
    room: Room,
    balls: Vec<Ball>,
    pictures: Vec<Vec<f32>>,
}

/// What is the same for all balls; see the options of the same names.
struct Room {
    size: usize,
    radius: f64,
    softness: f64,
    speed: f64,
}

/// In cells, from the corner where rows and columns begin.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Ball {
    x: f64,
    y: f64,
    /// How far it flies in a step.
    dx: f64,
    dy: f64,
}

/// A ball as it is saved: the bits of its numbers, since JSON's decimals need not come back the same.
#[derive(Serialize, Deserialize)]
#[serde(crate = "efference_sdk::serde", transparent)]
struct SavedBall([u64; 4]);

impl Bounce {
    pub(crate) fn new(options: &Options, seed: u64) -> Result<Self> {
        let room = Room::new(options)?;
        let balls: Vec<Ball> =
            (0..options.streams).map(|s| room.throw(&mut SplitMix64::of_stream(seed, s))).collect();
        let mut pictures = observations(balls.len(), room.size * room.size)?;
        balls.iter().zip(&mut pictures).for_each(|(ball, picture)| room.draw(ball, picture));
        Ok(Bounce { room, balls, pictures })
    }
}

/// What the options say of all streams.
pub(crate) fn spaces(options: &Options) -> Result<Spaces> {
    Ok(Room::new(options)?.spaces())
}

impl Room {
    fn new(options: &Options) -> Result<Room> {
        let Options { size, radius, softness, speed, .. } = *options;
        // Else it could fly past one wall, be mirrored, and stand behind the other.
        let room = size as f64 - 2.0 * radius;
        if !(radius > 0.0 && speed <= room) {
            let message = format!(
                "a ball of radius {radius} has {room} cells of a box of size {size} to fly in, fewer than its speed {speed}: make the box larger, or the ball smaller or slower"
            );
            // The one that is not the default was said, as a rule.
            let default = Options::default();
            let by_speed = radius == default.radius && speed != default.speed;
            return Err(Error::msg(message).in_option(if by_speed { "speed" } else { "radius" }));
        }
        ensure!(
            softness > 0.0 && speed >= 0.0,
            "softness = {softness} must be above 0, and speed = {speed} not below"
        );
        Ok(Room { size, radius, softness, speed })
    }

    fn spaces(&self) -> Spaces {
        let observation = self.size * self.size;
        Spaces { observation, actions: Vec::new(), reward: RewardRange::default() }
    }

    /// A ball anywhere, flying anywhere.
    fn throw(&self, random: &mut SplitMix64) -> Ball {
        let room = self.size as f64 - 2.0 * self.radius;
        let (x, y) = (self.radius + room * random.unit(), self.radius + room * random.unit());
        // A point of the disc, not an angle: sines differ between machines in their last bits, roots do not.
        loop {
            let (dx, dy) = (2.0 * random.unit() - 1.0, 2.0 * random.unit() - 1.0);
            let length = (dx * dx + dy * dy).sqrt();
            if (0.1..=1.0).contains(&length) {
                return Ball { x, y, dx: dx / length * self.speed, dy: dy / length * self.speed };
            }
        }
    }

    fn fly(&self, ball: &mut Ball) {
        let (near, far) = (self.radius, self.size as f64 - self.radius);
        for (place, way) in [(&mut ball.x, &mut ball.dx), (&mut ball.y, &mut ball.dy)] {
            *place += *way;
            let wall = if *place < near {
                near
            } else if *place > far {
                far
            } else {
                continue;
            };
            *place = 2.0 * wall - *place;
            *way = -*way;
        }
    }

    /// The cells that the ball can touch, along one axis.
    fn reach(&self, place: f64) -> Range<usize> {
        let reach = self.radius + self.softness / 2.0;
        // Going to usize takes what is below 0 as 0.
        (place - reach).floor() as usize..((place + reach).ceil() as usize).min(self.size)
    }

    fn erase(&self, ball: &Ball, picture: &mut [f32]) {
        for row in self.reach(ball.y) {
            for column in self.reach(ball.x) {
                picture[row * self.size + column] = -1.0;
            }
        }
    }

    fn draw(&self, ball: &Ball, picture: &mut [f32]) {
        for row in self.reach(ball.y) {
            let y = row as f64 + 0.5 - ball.y;
            for column in self.reach(ball.x) {
                let x = column as f64 + 0.5 - ball.x;
                let distance = (x * x + y * y).sqrt();
                let brightness = ((self.radius - distance) / self.softness + 0.5).clamp(0.0, 1.0);
                picture[row * self.size + column] = (2.0 * brightness - 1.0) as f32;
            }
        }
    }

    fn inside(&self, ball: &Ball) -> bool {
        let on_axis = |place: f64, way: f64| {
            (0.0..=self.size as f64).contains(&place) && way.abs() <= self.speed * 1.001
        };
        on_axis(ball.x, ball.dx) && on_axis(ball.y, ball.dy)
    }
}

impl World for Bounce {
    fn spaces(&self) -> Spaces {
        self.room.spaces()
    }

    fn observation(&self, stream: usize) -> &[f32] {
        &self.pictures[stream]
    }

    fn reward(&self, _stream: usize) -> Option<f32> {
        None
    }

    fn step_type(&self, _stream: usize) -> StepType {
        StepType::MIDDLE
    }

    fn step(&mut self, stream: usize, _prediction: &[f32], _action: &[f32]) {
        let (ball, picture) = (&mut self.balls[stream], &mut self.pictures[stream]);
        self.room.erase(ball, picture);
        self.room.fly(ball);
        self.room.draw(ball, picture);
    }

    fn picture(&self, observation: &[f32]) -> Result<Picture> {
        picture::square(self.room.size, observation)
    }

    fn save(&self) -> Result<serde_json::Value> {
        let bits = |b: &Ball| SavedBall([b.x, b.y, b.dx, b.dy].map(f64::to_bits));
        Ok(serde_json::to_value(self.balls.iter().map(bits).collect::<Vec<_>>())?)
    }

    fn restore(&mut self, saved: serde_json::Value) -> Result<()> {
        let saved: Vec<SavedBall> = serde_json::from_value(saved)?;
        let balls: Vec<Ball> = saved
            .iter()
            .map(|s| {
                let [x, y, dx, dy] = s.0.map(f64::from_bits);
                Ball { x, y, dx, dy }
            })
            .collect();
        ensure!(balls.len() == self.balls.len(), "it has {} balls, not {}", balls.len(), self.balls.len());
        ensure!(balls.iter().all(|b| self.room.inside(b)), "a ball is outside of the box, or too fast");
        self.balls = balls;
        for (ball, picture) in self.balls.iter().zip(&mut self.pictures) {
            picture.fill(-1.0);
            self.room.draw(ball, picture);
        }
        Ok(())
    }
}

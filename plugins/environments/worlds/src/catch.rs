//! `catch`: a paddle and a falling dot.
//!
//! A dot starts in a random column of the top row and falls by one row a frame; the paddle, in the bottom row, moves
//! by one cell to either side with each action, and stays where it is from one fall to the next. An episode is one
//! fall, of as many frames as there are rows. Its last frame, in which the dot is in the bottom row, carries the reward, 1
//! on the paddle and −1 beside it; all other frames have none. The frame after it shows the next dot. Every dot can be
//! reached from everywhere. Lit cells are 1, all others −1.
use crate::options::{Control, Options};
use crate::picture;
use crate::random::SplitMix64;
use crate::world::{World, chosen, observations};
use efference_sdk::serde::{Deserialize, Serialize};
use efference_sdk::{ActionGroup, Error, Picture, Result, RewardRange, Spaces, StepType, ensure, serde_json};

pub(crate) struct Catch {
    court: Court,
    games: Vec<Game>,
    pictures: Vec<Vec<f32>>,
}

/// What is the same for all games; see the options of the same names.
struct Court {
    size: usize,
    paddle: usize,
    control: Control,
    seen_rows: usize,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(crate = "efference_sdk::serde", deny_unknown_fields)]
struct Game {
    random: SplitMix64,
    row: usize,
    column: usize,
    /// The leftmost cell of the paddle.
    paddle: usize,
}

impl Catch {
    pub(crate) fn new(options: &Options, seed: u64) -> Result<Self> {
        let court = Court::new(options)?;
        let games: Vec<Game> =
            (0..options.streams).map(|s| court.begin(SplitMix64::of_stream(seed, s))).collect();
        let mut pictures = observations(games.len(), court.size * court.size)?;
        games.iter().zip(&mut pictures).for_each(|(game, picture)| court.draw(game, picture, 1.0));
        Ok(Catch { court, games, pictures })
    }
}

/// What the options say of all streams.
pub(crate) fn spaces(options: &Options) -> Result<Spaces> {
    Ok(Court::new(options)?.spaces())
}

impl Court {
    fn new(options: &Options) -> Result<Court> {
        let Options { size, paddle, control, seen_rows, .. } = *options;
        ensure!(size >= 2, "size = {size}, but a dot needs at least 2 rows to fall");
        if !(1..=size).contains(&paddle) {
            let message = format!("paddle = {paddle} must be at least 1 and fit into a box of size {size}");
            return Err(Error::msg(message).in_option("paddle"));
        }
        let seen_rows = if seen_rows == 0 { size } else { seen_rows };
        Ok(Court { size, paddle, control, seen_rows })
    }

    fn spaces(&self) -> Spaces {
        let action = match self.control {
            Control::Choice => ActionGroup::choice(3),
            Control::Lever => ActionGroup::VALUE,
        };
        let observation = self.size * self.size;
        Spaces { observation, actions: vec![action], reward: RewardRange::default() }
    }

    fn begin(&self, mut random: SplitMix64) -> Game {
        let (column, paddle) = (random.below(self.size), random.below(self.size - self.paddle + 1));
        Game { random, row: 0, column, paddle }
    }

    /// How many cells to the right; the action holds no NaN.
    fn move_of(&self, action: &[f32]) -> isize {
        match self.control {
            Control::Choice => chosen(action) as isize - 1,
            Control::Lever => {
                let right = |x: f32| isize::from(x > 1.0 / 3.0);
                right(action[0]) - right(-action[0])
            }
        }
    }

    fn play(&self, game: &mut Game, action: &[f32]) {
        if self.has_landed(game) {
            game.row = 0;
            game.column = game.random.below(self.size);
        } else {
            let right_most = self.size - self.paddle;
            game.paddle = game.paddle.saturating_add_signed(self.move_of(action)).min(right_most);
            game.row += 1;
        }
    }

    fn has_landed(&self, game: &Game) -> bool {
        game.row + 1 == self.size
    }

    /// Writes `lit` into the cells of the dot and the paddle: 1 draws them, −1 erases them.
    fn draw(&self, game: &Game, picture: &mut [f32], lit: f32) {
        let bottom = (self.size - 1) * self.size + game.paddle;
        picture[bottom..bottom + self.paddle].fill(lit);
        if game.row < self.seen_rows {
            picture[game.row * self.size + game.column] = lit;
        }
    }

    fn possible(&self, game: &Game) -> bool {
        game.row < self.size && game.column < self.size && game.paddle + self.paddle <= self.size
    }
}

impl World for Catch {
    fn spaces(&self) -> Spaces {
        self.court.spaces()
    }

    fn observation(&self, stream: usize) -> &[f32] {
        &self.pictures[stream]
    }

    fn reward(&self, stream: usize) -> Option<f32> {
        let game = &self.games[stream];
        let caught = (game.paddle..game.paddle + self.court.paddle).contains(&game.column);
        self.court.has_landed(game).then_some(if caught { 1.0 } else { -1.0 })
    }

    fn step_type(&self, stream: usize) -> StepType {
        match &self.games[stream] {
            game if self.court.has_landed(game) => StepType::TERMINATED,
            Game { row: 0, .. } => StepType::FIRST,
            _ => StepType::MIDDLE,
        }
    }

    fn step(&mut self, stream: usize, _prediction: &[f32], action: &[f32]) {
        let (game, picture) = (&mut self.games[stream], &mut self.pictures[stream]);
        self.court.draw(game, picture, -1.0);
        self.court.play(game, action);
        self.court.draw(game, picture, 1.0);
    }

    fn picture(&self, observation: &[f32]) -> Result<Picture> {
        picture::square(self.court.size, observation)
    }

    fn save(&self) -> Result<serde_json::Value> {
        Ok(serde_json::to_value(&self.games)?)
    }

    fn restore(&mut self, saved: serde_json::Value) -> Result<()> {
        let games: Vec<Game> = serde_json::from_value(saved)?;
        ensure!(games.len() == self.games.len(), "it has {} games, not {}", games.len(), self.games.len());
        ensure!(games.iter().all(|g| self.court.possible(g)), "a dot or a paddle is outside of the box");
        self.games = games;
        for (game, picture) in self.games.iter().zip(&mut self.pictures) {
            picture.fill(-1.0);
            self.court.draw(game, picture, 1.0);
        }
        Ok(())
    }
}

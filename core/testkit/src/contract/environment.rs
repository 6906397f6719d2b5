//! What must be true of every environment: it is played at random, and each frame is looked at.
use super::process::check_growth;
use super::{Check, MADE_HELP, MADE_NAME, Verdict};
use efference_sdk::{
    ActionGroup, Environment, EnvironmentSetup, Frame, Frames, Outline, Random, Restores, Result, ResultExt,
    Spaces, StepType, action_width, bail, ensure,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Makes environments.
pub type MakeEnvironment = Box<dyn Fn(&EnvironmentSetup) -> Result<Box<dyn Environment>>>;

/// Environments of one plugin.
pub struct Environments {
    make: MakeEnvironment,
    /// What its options say of it.
    outline: Outline,
    /// How long one may be silent.
    patience: Duration,
}

impl Environments {
    /// Those that this makes, which are as their options say.
    pub fn new(
        make: impl Fn(&EnvironmentSetup) -> Result<Box<dyn Environment>> + 'static,
        outline: Outline,
        patience: Duration,
    ) -> Self {
        Environments { make: Box::new(make), outline, patience }
    }

    fn play(&self, seed: u64) -> Result<Play> {
        let environment = (self.make)(&EnvironmentSetup::with_seed(seed)).context("when it was opened")?;
        let spaces = environment.spaces()?;
        let players = Players { spaces, ..Players::default() };
        Ok(Play { environment, players, patience: self.patience, closed: false })
    }
}

/// A frame, to be compared with others.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    stream: u64,
    observation: Vec<u32>,
    reward: Option<u32>,
    step_type: StepType,
}

/// The streams, as they come and go, and what is wrong with what they send.
#[derive(Default)]
struct Players {
    spaces: Option<Spaces>,
    /// Elements of each stream's observation.
    lengths: BTreeMap<u64, usize>,
    /// Streams whose episode is over.
    over: BTreeSet<u64>,
    /// Streams that wait for a response: elements of an observation, and the groups.
    waiting: BTreeMap<u64, (usize, Vec<ActionGroup>)>,
    /// Streams that have sent something in this poll.
    polled: BTreeSet<u64>,
    frames: Vec<Seen>,
    closed: bool,
    drawn: Option<(u64, Vec<f32>)>,
}

impl Frames for Players {
    fn begin(&mut self, _: u64) -> Result<()> {
        Ok(())
    }

    fn frame(&mut self, frame: Frame<'_>) -> Result<()> {
        let stream = frame.stream;
        ensure!(!self.closed, "a frame of stream {stream} came after the environment had closed");
        ensure!(self.polled.insert(stream), "two frames of stream {stream} came in one poll");
        self.waiting.remove(&stream);
        let length = frame.observation.len();
        let before = *self.lengths.entry(stream).or_insert(length);
        ensure!(length == before, "stream {stream} observed {before} elements, then {length}");
        ensure!(length <= 1 << 22, "stream {stream} observes {length} elements");
        let outside = frame.observation.iter().position(|x| !(x.is_nan() || (-1.0..=1.0).contains(x)));
        if let Some(element) = outside {
            let value = frame.observation[element];
            bail!(
                "element {element} of what stream {stream} observes is {value}: values lie in −1…1, or are NaN where missing"
            );
        }
        let width = action_width(frame.actions);
        ensure!(width <= 1 << 20, "stream {stream} wants {width} actions");
        if let Some(group) = frame.actions.iter().find(|group| group.choices == 1) {
            bail!("stream {stream} asks for a choice among {}", group.choices);
        }
        if let Some(spaces) = &self.spaces {
            ensure!(
                length == spaces.observation && frame.actions == spaces.actions,
                "stream {stream} observes {length} elements and wants {:?}, and `spaces` says {} and {:?}",
                frame.actions,
                spaces.observation,
                spaces.actions
            );
        }
        if let Some(reward) = frame.reward {
            let range = self.spaces.as_ref().map(|spaces| spaces.reward).unwrap_or_default();
            ensure!(
                (range.min..=range.max).contains(&reward),
                "stream {stream} sends a reward of {reward}; its range is {}…{}",
                range.min,
                range.max
            );
        }
        if self.over.remove(&stream) {
            ensure!(
                frame.step_type == StepType::FIRST,
                "stream {stream} sends a frame after an episode's last one that is not the first of an episode"
            );
        }
        if frame.step_type.is_last() {
            self.over.insert(stream);
        }
        self.waiting.insert(stream, (length, frame.actions.to_vec()));
        self.drawn = Some((stream, frame.observation.to_vec()));
        self.frames.push(Seen {
            stream,
            observation: frame.observation.iter().map(|x| x.to_bits()).collect(),
            reward: frame.reward.map(f32::to_bits),
            step_type: frame.step_type,
        });
        Ok(())
    }

    fn end(&mut self, stream: u64) -> Result<()> {
        self.waiting.remove(&stream);
        self.over.remove(&stream);
        self.lengths.remove(&stream);
        self.polled.remove(&stream);
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        self.closed = true;
        Ok(())
    }
}

/// An environment and who plays it.
struct Play {
    environment: Box<dyn Environment>,
    players: Players,
    patience: Duration,
    closed: bool,
}

impl Play {
    /// Sees at least so many frames more, responding at random; fewer if the environment closes. Returns them.
    fn frames(&mut self, count: usize, random: &mut Random) -> Result<Vec<Seen>> {
        let mut heard = Instant::now();
        let mut all = Vec::new();
        while all.len() < count && !self.closed {
            self.respond(random)?;
            self.players.polled.clear();
            self.environment.poll(Duration::from_millis(20), &mut self.players)?;
            self.closed = self.players.closed;
            let new = std::mem::take(&mut self.players.frames);
            if !new.is_empty() {
                heard = Instant::now();
            }
            ensure!(
                heard.elapsed() < self.patience,
                "no frame came for {} s, after {} frames",
                self.patience.as_secs(),
                all.len()
            );
            all.extend(new);
        }
        Ok(all)
    }

    fn respond(&mut self, random: &mut Random) -> Result<()> {
        for (stream, (length, groups)) in std::mem::take(&mut self.players.waiting) {
            let mut action = Vec::new();
            for group in &groups {
                match group.choices {
                    0 => action.push(random.unit() as f32 * 2.0 - 1.0),
                    choices => {
                        let chosen = random.below(u64::from(choices));
                        action.extend(
                            (0..u64::from(choices)).map(|choice| f32::from(u8::from(choice == chosen))),
                        );
                    }
                }
            }
            // A goal may predict nothing.
            let prediction = vec![0.25; if random.below(8) == 0 { 0 } else { length }];
            self.environment
                .act(stream, &prediction, &action)
                .with_context(|| format!("in the response to stream {stream}"))?;
        }
        Ok(())
    }
}

/// Frames that are looked at.
const FRAMES: usize = 300;

const MADE: Check<Environments> = Check {
    name: MADE_NAME,
    help: MADE_HELP,
    run: |environments| environments.play(1).map(|_| Verdict::Holds),
};

const PLAYED: Check<Environments> = Check {
    name: "each frame is as it says: lengths, −1…1 or NaN, rewards in their range, first and last in order, one a stream and poll",
    help: "Scale what is observed to −1…1; after a last frame comes a first one; `spaces` says what all frames have.",
    run: |environments| {
        let mut play = environments.play(1)?;
        let began = Instant::now();
        let frames = play.frames(FRAMES, &mut Random::new(5))?;
        ensure!(!frames.is_empty(), "it closed without a frame");
        let rate = frames.len() as f64 / began.elapsed().as_secs_f64();
        let episodes = frames.iter().filter(|frame| frame.step_type.is_last()).count();
        Ok(Verdict::With(format!("{} frames, {rate:.0} a second, {episodes} episodes ended", frames.len())))
    },
};

const OUTLINED: Check<Environments> = Check {
    name: "what its options say of it before it is made is what it is",
    help: "`Plugin::outline` and `Environment::spaces` are best made by one function.",
    run: |environments| {
        let Some(said) = &environments.outline.spaces else {
            return Ok(Verdict::NotAsked("its options do not say what it will be".to_owned()));
        };
        let play = environments.play(1)?;
        ensure!(
            play.players.spaces.as_ref() == Some(said),
            "its options say {said:?}, and it says {:?}",
            play.players.spaces
        );
        Ok(Verdict::Holds)
    },
};

const COMPARED: Check<Environments> = Check {
    name: "the roles of its elements, if it names them, are as many as its elements",
    help: "`comparison().roles` is empty, or has one role for each element of an observation, which `spaces` then tells.",
    run: |environments| {
        let play = environments.play(1)?;
        let comparison = play.environment.comparison()?;
        let roles = comparison.roles.len();
        if roles > 0 {
            let elements = play.players.spaces.as_ref().map(|spaces| spaces.observation);
            ensure!(
                elements == Some(roles),
                "it names {roles} roles, and `spaces` tells {elements:?} elements"
            );
        }
        ensure!(comparison.period != Some(0), "a period of 0 frames is none");
        Ok(Verdict::Holds)
    },
};

const PICTURES: Check<Environments> = Check {
    name: "its pictures have as many bytes as pixels, whatever is drawn",
    help: "`rgb` has 3 · width · height bytes; predictions outside −1…1 and missing values are drawn as well.",
    run: |environments| {
        let mut play = environments.play(1)?;
        play.frames(3, &mut Random::new(5))?;
        let Some((stream, observation)) = play.players.drawn.take() else {
            return Ok(Verdict::NotAsked("no frame came".to_owned()));
        };
        let mut size = None;
        for values in [observation.clone(), vec![f32::NAN; observation.len()], vec![7.5; observation.len()]] {
            let Some(picture) = play.environment.picture(stream, &values)? else { continue };
            let (width, height, bytes) = (picture.width, picture.height, picture.rgb.len());
            ensure!(
                bytes == 3 * width * height,
                "a picture of {width} × {height} pixels has {bytes} bytes, not {}",
                3 * width * height
            );
            size = Some((width, height));
        }
        Ok(match size {
            Some((width, height)) => Verdict::With(format!("{width} × {height}")),
            None => Verdict::NotAsked("it draws none".to_owned()),
        })
    },
};

/// `None`, with why, if what it does can't be compared frame by frame.
fn is_exact(play: &Play) -> Result<Option<Verdict>> {
    Ok(match play.environment.restores()? {
        Restores::Exact => None,
        Restores::Replay => Some(Verdict::NotAsked("it restores by doing again what was done".to_owned())),
        Restores::Fresh => Some(Verdict::NotAsked("it begins anew when it is restored".to_owned())),
    })
}

const SEEDED: Check<Environments> = Check {
    name: "the same seed and actions give the same frames",
    help: "All that is random follows from `setup.seed`: use `Random::new`, not a generator or a clock of your own.",
    run: |environments| {
        let (mut first, mut second) = (environments.play(3)?, environments.play(3)?);
        if let Some(verdict) = is_exact(&first)? {
            return Ok(verdict);
        }
        let expected = first.frames(FRAMES, &mut Random::new(5))?;
        same(&expected, &second.frames(FRAMES, &mut Random::new(5))?)?;
        Ok(Verdict::Holds)
    },
};

const RESTORED: Check<Environments> = Check {
    name: "saved and restored it goes on bit for bit, whatever seed it was made with",
    help: "`save` holds all that the next frame depends on: positions, the random generator, and who waits for whom.",
    run: |environments| {
        let mut play = environments.play(3)?;
        if let Some(verdict) = is_exact(&play)? {
            return Ok(verdict);
        }
        play.frames(FRAMES / 3, &mut Random::new(5))?;
        // As the host does: when all has been responded to.
        play.respond(&mut Random::new(6))?;
        let saved = play.environment.save()?;
        let expected = play.frames(FRAMES / 2, &mut Random::new(7))?;
        let mut other = environments.play(4)?;
        other.environment.restore(&saved)?;
        same(&expected, &other.frames(FRAMES / 2, &mut Random::new(7))?)
            .context("restored into one of another seed")?;
        play.players.waiting.clear();
        play.players.over.clear();
        play.closed = false;
        play.environment.restore(&saved)?;
        same(&expected, &play.frames(FRAMES / 2, &mut Random::new(7))?).context("restored into itself")?;
        Ok(Verdict::Holds)
    },
};

fn same(expected: &[Seen], found: &[Seen]) -> Result<()> {
    for (number, (a, b)) in expected.iter().zip(found).enumerate() {
        if a != b {
            let observed = a.observation.iter().zip(&b.observation).position(|(a, b)| a != b);
            let what = match observed {
                Some(element) => format!("element {element} of its observation"),
                None => "its reward, stream or place in the episode".to_owned(),
            };
            bail!("frame {number} is another one: {what} differs");
        }
    }
    ensure!(expected.len() == found.len(), "{} frames came, then {}", expected.len(), found.len());
    Ok(())
}

const REFUSED: Check<Environments> = Check {
    name: "a response to a stream that is not there, or of the wrong length, does not make it panic",
    help: "Check `stream` and the lengths in `act`, and return an error, or take no notice.",
    run: |environments| {
        let mut play = environments.play(1)?;
        play.frames(1, &mut Random::new(5))?;
        for (stream, action) in [(u64::MAX, vec![]), (0, vec![0.5; 99]), (0, vec![f32::NAN])] {
            if let Err(error) = play.environment.act(stream, &[], &action)
                && error.panicked()
            {
                return Err(error.context(format!("given {} actions for stream {stream}", action.len())));
            }
        }
        Ok(Verdict::Holds)
    },
};

const MEMORY: Check<Environments> = Check {
    name: "memory does not grow over 2,000 frames",
    help: "Something is kept from frame to frame: a list that grows?",
    run: |environments| {
        let mut play = environments.play(1)?;
        if is_exact(&play)?.is_some() {
            return Ok(Verdict::NotAsked("it follows a clock or another program".to_owned()));
        }
        let mut random = Random::new(5);
        check_growth(2_000, |_| play.frames(1, &mut random).map(drop))?;
        Ok(Verdict::Holds)
    },
};

/// What must be true of every environment.
pub const ENVIRONMENT_CHECKS: &[Check<Environments>] =
    &[MADE, PLAYED, OUTLINED, COMPARED, PICTURES, SEEDED, RESTORED, REFUSED, MEMORY];

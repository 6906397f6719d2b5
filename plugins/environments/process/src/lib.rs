//! Environment plugin: any program, in any language, over its standard input and output.
//!
//! ```toml
//! [environment]
//! plugin = "process"
//! command = ["python3", "random_walk.py"]
//! ```
//!
//! `command` is run from where the run is started, not from where the spec lies. Whether a program keeps the contract is said
//! by `efference plugins check random_walk.py`; of another language by `efference plugins check PATH/libefference_process.so
//! --set 'command=["./random_walk"]'`, where PATH is in the third line of `efference plugins show process`.
//!
//! # The protocol
//!
//! Each message is one line of JSON (UTF-8), followed by the bytes that the line announces. Numbers in those bytes are 32-bit
//! floats, little-endian. The program reads from its standard input and writes to its standard output, and flushes it
//! after each message; what it prints on its standard error goes to the run's log.
//!
//! 1. The host begins. `seed` is what random numbers should follow from; `folder`, which may be `null`, is where the program
//!    may make a folder for files of its own that belong to the run.
//!
//!    ```json
//!    {"efference": 1, "seed": 17, "folder": "/…/runs/walk/20260131-120000/process"}
//!    ```
//!
//! 2. The program describes itself: how many elements an observation has, which actions are wanted in response to a frame
//!    (each a choice among n, or a value in −1…1), and what else differs from these defaults:
//!
//!    ```json
//!    {"efference": 1, "observation": 2, "actions": [{"choice": 3}, "value"],
//!     "reward": [-1, 1], "restores": "fresh", "picture": null}
//!    ```
//!
//!    (On one line.) `picture`: which elements of an observation are one, row by row:
//!    `{"offset": 0, "width": 8, "height": 8, "channels": 1}`, or 3 channels for red, green and blue of each pixel.
//!
//! 3. The program sends frames, at most one a stream: what comes at the same moment comes in one message. Behind the line stand
//!    the observations, in the same order: elements in −1…1, NaN where a value is missing.
//!
//!    ```json
//!    {"frames": [{"stream": 0, "step": "first", "reward": null}, {"stream": 1, "step": "middle", "reward": 0.5}]}
//!    ```
//!
//!    `step` is where the frame stands in an episode: `"first"`, `"middle"` (the default), `"terminated"` (the episode has
//!    come to its end) or `"truncated"` (it was cut off). A last frame carries the episode's real last observation; the
//!    stream's next frame is a first one. A message may also have `"started": [2]` and `"ended": [1]`, streams that begin
//!    and end, and `"metrics": {"goals": 3}`, numbers to be recorded.
//!
//! 4. The host responds to all frames of a message at once: for each stream, what is predicted of its next observation (of
//!    no length if nothing is predicted) and the action (1 for what was chosen of a choice and 0 for the rest of it; a
//!    value as it is). Behind the line stand the numbers: prediction, action, prediction, action…
//!
//!    ```json
//!    {"responses": [{"stream": 0, "prediction": 2, "action": 4}, {"stream": 1, "prediction": 2, "action": 4}]}
//!    ```
//!
//!    Then 3 again, until the program sends `{"close": true}` and ends, or the host closes the program's standard input,
//!    whereupon it ends. `{"error": "…"}` ends the run as failed, with these words.
//!
//! 5. A program that restores (`"restores": "exact"`) may read two more messages, at any time after a response.
//!    `{"save": true}`: it answers `{"saved": 123}`, followed by so many bytes, from which it can go on.
//!    `{"restore": 123}`, followed by such bytes: it takes them up, answers `{"restored": true}`, and sends the frames
//!    that came after the state that was saved.
//!
//! `examples/random_walk.py` beside this crate's sources is a whole program.
//!
//! # Trouble
//!
//! A program that ends without `close`, is silent for longer than the option `silence_timeout`, or sends what is no message ends
//! the run, and the error shows what it printed last on its standard error. It is in a process group of its own, which is
//! ended with the run. Where the run is killed (SIGKILL), so is the program, and what the program has started is on its own.

mod link;
mod message;
mod options;

pub use options::Options;

use efference_sdk::{
    ActionGroup, Environment, EnvironmentSetup, Frame, Frames, Outline, Picture, Plugin, Restores, Result,
    Spaces, bail, ensure, metric, serde_json,
};
use link::{Link, Received};
use message::{Description, Greeting, Responses, VERSION};
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A running program.
pub struct Process {
    description: Description,
    actions: Vec<ActionGroup>,
    silence_timeout: Option<Duration>,
    session: Mutex<Session>,
}

/// What is said, and where in the conversation it stands.
struct Session {
    link: Link,
    /// Messages that came before what was waited for.
    waiting: VecDeque<Received>,
    /// Streams whose last frame was not responded to.
    open: BTreeSet<u64>,
    responses: Responses,
    over: bool,
    /// Of one frame.
    observation: Vec<f32>,
}

impl Plugin for Process {
    const NAME: &'static str = "process";
    const DESCRIPTION: &'static str = "Any program, in any language, over its standard input and output.";
    type Options = Options;
    type Kind = dyn Environment;

    fn outline(options: &Options) -> Result<Outline> {
        options.program()?;
        Ok(Outline::default())
    }

    /// Starts the program, and waits for it to describe itself. Errors: it can't be started, is silent, or says what it
    /// must not.
    fn new(options: Options, setup: &EnvironmentSetup) -> Result<Self> {
        let (program, arguments) = options.program()?;
        let mut link = Link::start(program, arguments)?;
        let folder = setup.folder(Self::NAME);
        let folder = folder.as_deref().map(|folder| folder.to_string_lossy());
        link.send(&message::line(&Greeting {
            efference: VERSION,
            seed: setup.seed,
            folder: folder.as_deref(),
        })?);
        let timeout = Options::timeout(options.start_timeout);
        let line = loop {
            if let Some(line) = link.line(Instant::now() + Duration::from_millis(100))? {
                break line;
            }
            check_silence(&link, timeout, "start_timeout", "has not described itself")?;
        };
        let description = Description::read(&line).map_err(|e| {
            e.context(format!(
                "the program's first line must be its description, such as {{\"efference\": 1, \"observation\": 2}}, and is \
                 {:?}",
                line.chars().take(200).collect::<String>()
            ))
        })?;
        Ok(Process {
            actions: description.spaces().actions,
            description,
            silence_timeout: Options::timeout(options.silence_timeout),
            session: Mutex::new(Session {
                link,
                waiting: VecDeque::new(),
                open: BTreeSet::new(),
                responses: Responses::default(),
                over: false,
                observation: Vec::new(),
            }),
        })
    }
}

fn check_silence(link: &Link, timeout: Option<Duration>, option: &str, what: &str) -> Result<()> {
    match timeout {
        Some(limit) if link.silent() > limit => {
            Err(link.says(&format!("{what} for {:.0} s ({option})", link.silent().as_secs_f64())))
        }
        _ => Ok(()),
    }
}

impl Process {
    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next message that `wanted` accepts; what comes before it goes to `others`.
    fn wait_for(
        &self,
        session: &mut Session,
        what: &str,
        wanted: impl Fn(&Received) -> bool,
        mut others: impl FnMut(&mut Session, Received),
    ) -> Result<Received> {
        let elements = self.description.spaces().observation;
        loop {
            let deadline = Instant::now() + Duration::from_millis(100);
            match session.link.message(elements, deadline)? {
                Some(received) if wanted(&received) => return Ok(received),
                Some(received) => others(session, received),
                None => check_silence(&session.link, self.silence_timeout, "silence_timeout", what)?,
            }
        }
    }
}

impl Session {
    /// Passes a message on.
    fn deliver(
        &mut self,
        received: &Received,
        elements: usize,
        actions: &[ActionGroup],
        frames: &mut dyn Frames,
    ) -> Result<()> {
        let message = &received.message;
        if let Some(why) = &message.error {
            return Err(self.link.says(&format!("can't go on: {why}")));
        }
        ensure!(
            message.saved.is_none() && !message.restored,
            "the program answered a question that was not asked: \"saved\" or \"restored\""
        );
        for stream in &message.ended {
            self.open.remove(stream);
            frames.end(*stream)?;
        }
        message.started.iter().try_for_each(|stream| frames.begin(*stream))?;
        for (name, value) in &message.metrics {
            metric(name, *value);
        }
        for (number, frame) in message.frames.iter().enumerate() {
            ensure!(
                self.open.insert(frame.stream),
                "the program sent a frame of stream {} before it had read the response to the one before",
                frame.stream
            );
            received.observation(number, elements, &mut self.observation);
            link::refuse_infinite(frame.stream, &self.observation)?;
            frames.frame(Frame {
                stream: frame.stream,
                observation: &self.observation,
                actions,
                reward: frame.reward,
                step_type: frame.step_type(),
            })?;
        }
        if message.close {
            self.over = true;
            frames.close()?;
        }
        Ok(())
    }
}

impl Environment for Process {
    /// Sends the frames of the next message.
    fn poll(&mut self, timeout: Duration, frames: &mut dyn Frames) -> Result<()> {
        let elements = self.description.spaces().observation;
        let session = self.session.get_mut().unwrap_or_else(PoisonError::into_inner);
        session.link.log();
        if session.over {
            return frames.close();
        }
        let received = match session.waiting.pop_front() {
            Some(received) => Some(received),
            None => session.link.message(elements, Instant::now() + timeout)?,
        };
        match received {
            Some(received) => session.deliver(&received, elements, &self.actions, frames),
            None if session.open.is_empty() => {
                check_silence(&session.link, self.silence_timeout, "silence_timeout", "has sent no frame")
            }
            None => Ok(()),
        }
    }

    /// Gathers the responses to the frames of a message; the last one sends them all.
    fn act(&mut self, stream: u64, prediction: &[f32], action: &[f32]) -> Result<()> {
        let session = self.session.get_mut().unwrap_or_else(PoisonError::into_inner);
        ensure!(session.open.remove(&stream), "stream {stream} does not wait for a response");
        session.responses.add(stream, prediction, action);
        if session.open.is_empty() {
            let message = session.responses.take()?;
            session.link.send(&message);
        }
        Ok(())
    }

    fn spaces(&self) -> Result<Option<Spaces>> {
        Ok(Some(self.description.spaces()))
    }

    /// Draws the elements that the program says are a picture: black is −1, white is 1, a missing value is violet.
    fn picture(&self, _stream: u64, observation: &[f32]) -> Result<Option<Picture>> {
        let Some(at) = self.description.picture else { return Ok(None) };
        let Some(elements) = observation.get(at.offset..at.offset + at.width * at.height * at.channels)
        else {
            return Ok(None);
        };
        let byte = |number: f32| ((number.clamp(-1.0, 1.0) + 1.0) * 127.5).round() as u8;
        let pixel = |pixel: &[f32]| match *pixel {
            _ if pixel.iter().any(|number| number.is_nan()) => [120, 60, 160],
            [grey] => [byte(grey); 3],
            [red, green, blue, ..] => [red, green, blue].map(byte),
            _ => [0; 3],
        };
        let rgb = elements.chunks_exact(at.channels).flat_map(pixel).collect();
        Ok(Some(Picture { width: at.width, height: at.height, rgb }))
    }

    fn restores(&self) -> Result<Restores> {
        Ok(self.description.restores())
    }

    /// Asks the program; nothing of one that does not restore.
    fn save(&self) -> Result<Vec<u8>> {
        if self.description.restores() == Restores::Fresh {
            return Ok(Vec::new());
        }
        let mut session = self.session();
        ensure!(session.open.is_empty(), "it can be saved only when each frame was responded to");
        if session.over {
            bail!("the program has closed, and can't be asked for its state any more");
        }
        session.link.send(&message::line(&serde_json::json!({ "save": true }))?);
        let is_it = |received: &Received| received.message.saved.is_some();
        // The frames after the state that it saves may be under way already.
        let saved = self.wait_for(&mut session, "has not answered \"save\"", is_it, |session, other| {
            session.waiting.push_back(other);
        })?;
        Ok(saved.payload)
    }

    fn restore(&mut self, saved: &[u8]) -> Result<()> {
        if self.description.restores() == Restores::Fresh {
            return Ok(());
        }
        let mut session = self.session();
        let mut message = message::line(&serde_json::json!({ "restore": saved.len() }))?;
        message.extend_from_slice(saved);
        session.link.send(&message);
        session.waiting.clear();
        session.open.clear();
        session.responses = Responses::default();
        // What it has sent before is of the state that it gives up.
        let is_it = |received: &Received| received.message.restored || received.message.error.is_some();
        let answer = self.wait_for(&mut session, "has not answered \"restore\"", is_it, |_, _| {})?;
        match answer.message.error {
            Some(why) => Err(session.link.says(&format!("can't take up what it saved: {why}"))),
            None => Ok(()),
        }
    }
}

efference_sdk::export! { environment: Process }

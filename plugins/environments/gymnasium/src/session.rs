//! The conversation with the child: how it begins, and how a step of all streams is asked for and waited for.
//!
//! A step costs no call of the system where both sides are quick: each looks into the memory for a while before it sleeps.
//! Where one is known to take longer, the other first sleeps for most of that time. Who sleeps at last says so in the memory,
//! and is woken by an empty line.
use crate::action::Actor;
use crate::help::Refusal;
use crate::leaf::{CHILD_WAITS, COMMAND, DONE, HOST_WAITS, Layout, Leaf, NOTHING};
use crate::link::Link;
use crate::memory::{Memory, WORD};
use crate::observation::Observer;
use crate::options::Options;
use efference_sdk::serde::{Deserialize, Serialize};
use efference_sdk::{Error, Result, StepType, derive_seed, ensure, serde_json, tracing};
use std::collections::BTreeMap;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::{Duration, Instant};

/// How long it looks into the memory at most before it sleeps.
const SPIN: Duration = Duration::from_micros(100);
/// How many times it does without at most, where that did not help.
const MOST_PAUSE: u32 = 1024;
/// How often a wait is interrupted to see whether all is well.
const CHECK_PERIOD: Duration = Duration::from_millis(100);

/// What the child makes environments of.
#[derive(Serialize)]
#[serde(crate = "efference_sdk::serde")]
struct Setup<'a> {
    id: &'a str,
    streams: usize,
    arguments: &'a BTreeMap<String, serde_json::Value>,
    import: &'a [String],
    wrappers: &'a [String],
    without: &'a [String],
    render: bool,
    seed: u64,
    seeds: Vec<u64>,
}

/// What it says of them.
#[derive(Deserialize)]
#[serde(crate = "efference_sdk::serde", deny_unknown_fields)]
struct Description {
    observation: Vec<Leaf>,
    action: Vec<Leaf>,
    /// Why they can't be saved, if they can't.
    why_not_exact: Option<String>,
    /// Of Python, Gymnasium and NumPy.
    versions: Vec<String>,
}

/// Answers to what it is asked.
#[derive(Deserialize, Default)]
#[serde(crate = "efference_sdk::serde", deny_unknown_fields, default)]
pub(crate) struct Answer {
    ready: bool,
    pub(crate) restored: bool,
    pub(crate) saved: Vec<usize>,
    pub(crate) rendered: [usize; 2],
    bytes: usize,
}

/// Running environments.
pub(crate) struct Session {
    pub(crate) link: Link,
    pub(crate) memory: Memory,
    pub(crate) layout: Layout,
    options: Options,
    /// When a step was asked for last, and how long steps usually take.
    asked: Instant,
    usual: Duration,
    /// How often not to look into the memory before it sleeps, and how often the next time that it does not help.
    pause: u32,
    longer: u32,
    begun: bool,
}

/// What is known of environments once they are made.
pub(crate) struct Made {
    pub(crate) session: Session,
    pub(crate) observer: Observer,
    pub(crate) actor: Actor,
    pub(crate) why_not_exact: Option<String>,
    pub(crate) versions: Vec<String>,
}

impl Session {
    /// Starts the child and has it make the environments.
    ///
    /// # Errors
    /// Each thing that it needs and does not have, spaces that can't be mapped, and silence.
    pub(crate) fn start(options: &Options, seed: u64) -> Result<Made> {
        let began = Instant::now();
        let mut link = Link::start(&options.python)?;
        let limit = Options::timeout(options.start_timeout);
        link.set_send_timeout(limit)?;
        // Seeds that all environments take: some want 32 bits with a sign.
        let seed_of = |purpose: &str| derive_seed(seed, purpose) & 0x7fff_ffff;
        let setup = Setup {
            id: options.id.trim(),
            streams: options.streams,
            arguments: &options.arguments,
            import: &options.import,
            wrappers: &options.wrappers,
            without: &options.without,
            render: options.render,
            seed: seed_of("gymnasium"),
            seeds: (0..options.streams).map(|stream| seed_of(&format!("gymnasium/{stream}"))).collect(),
        };
        link.send(&setup, &[])?;
        let silent = |link: &Link| match limit {
            Some(limit) if began.elapsed() > limit => {
                let seconds = began.elapsed().as_secs_f64();
                Err(link.says(&format!("has not made its environments in {seconds:.0} s (start_timeout)")))
            }
            _ => Ok(()),
        };
        let line = next_line(&mut link, options, silent)?;
        let said: Description = serde_json::from_slice(&line).map_err(|e| nonsense(&link, &line, &e))?;
        let observer = Observer::new(&said.observation, options)?;
        let actor = Actor::new(&said.action, options)?;
        let layout = Layout::new(options.streams, &said.observation, &said.action)?;
        let (memory, file) = Memory::new(layout.size.div_ceil(WORD))?;
        for stream in &layout.streams {
            memory.words()[stream.step_type / WORD].store(NOTHING, Ordering::Relaxed);
        }
        link.send_with_file(&layout, &file)?;
        let line = next_line(&mut link, options, silent)?;
        let answer: Answer = serde_json::from_slice(&line).map_err(|e| nonsense(&link, &line, &e))?;
        ensure!(
            answer.ready,
            "the Python of the environments was asked whether it is ready, and said that it is not"
        );
        link.set_send_timeout(Options::timeout(options.silence_timeout))?;
        let (asked, usual, options) = (Instant::now(), Duration::ZERO, options.clone());
        let session =
            Session { link, memory, layout, options, asked, usual, pause: 0, longer: 1, begun: false };
        Ok(Made { session, observer, actor, why_not_exact: said.why_not_exact, versions: said.versions })
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        &self.memory.words()[at]
    }

    /// Has all streams make a step, or begin an episode.
    pub(crate) fn ask(&mut self) -> Result<()> {
        let command = self.word(COMMAND);
        command.store(command.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
        // Either the child sees the command before it sleeps, or this sees that it sleeps.
        fence(Ordering::SeqCst);
        if self.word(CHILD_WAITS).load(Ordering::Acquire) != 0 {
            self.link.wake()?;
        }
        self.asked = Instant::now();
        Ok(())
    }

    /// Whether what was asked for is done.
    pub(crate) fn is_done(&self) -> bool {
        self.word(DONE).load(Ordering::Acquire) == self.word(COMMAND).load(Ordering::Relaxed)
    }

    /// Waits until what was asked for is done, at most until the deadline.
    ///
    /// # Errors
    /// The child has ended, has failed, or is silent for too long.
    pub(crate) fn wait(&mut self, deadline: Instant) -> Result<bool> {
        if !self.is_done() {
            if self.pause > 0 {
                self.pause -= 1;
            } else {
                self.wait_shortly(deadline)?;
            }
            self.block(deadline)?;
        }
        let done = self.is_done();
        if done {
            self.begun = true;
            // What took long once, such as a new episode, says little of the next step.
            let took = self.asked.elapsed().min(2 * self.usual + SPIN);
            self.usual = (7 * self.usual + took) / 8;
        }
        Ok(done)
    }

    /// Sleeps until shortly before it is usually done, and then looks into the memory for a while. Where that does not help,
    /// as where other programs want the processors, it is not done the next times.
    fn wait_shortly(&mut self, deadline: Instant) -> Result<()> {
        if self.usual > SPIN {
            self.block(deadline.min(self.asked + self.usual.saturating_sub(SPIN)))?;
        }
        let until = Instant::now() + SPIN;
        while !self.is_done() {
            if Instant::now() >= until {
                self.pause = self.longer;
                self.longer = (2 * self.longer).min(MOST_PAUSE);
                return Ok(());
            }
            (0..8).for_each(|_| spin_loop());
        }
        self.longer = 1;
        Ok(())
    }

    /// Sleeps until it is done, or until the deadline.
    fn block(&mut self, deadline: Instant) -> Result<()> {
        self.word(HOST_WAITS).store(1, Ordering::Relaxed);
        // Either the child sees that this waits, or this sees that it is done.
        fence(Ordering::SeqCst);
        while !self.is_done() && Instant::now() < deadline {
            self.read_message(deadline.min(Instant::now() + CHECK_PERIOD))?;
            if !self.is_done() {
                self.check_silence()?;
            }
        }
        self.word(HOST_WAITS).store(0, Ordering::Relaxed);
        Ok(())
    }

    fn check_silence(&self) -> Result<()> {
        let Options { start_timeout, silence_timeout, .. } = self.options;
        let (name, seconds) = match self.begun {
            true => ("silence_timeout", silence_timeout),
            false => ("start_timeout", start_timeout),
        };
        let silent = self.asked.elapsed();
        if Options::timeout(seconds).is_some_and(|limit| silent > limit) {
            let what = if self.begun { "has not finished a step" } else { "has sent no first frame" };
            return Err(self.link.says(&format!("{what} for {:.0} s ({name})", silent.as_secs_f64())));
        }
        Ok(())
    }

    /// Reads what may come while nothing was asked for but steps: an error.
    fn read_message(&mut self, deadline: Instant) -> Result<()> {
        match self.link.line(deadline)? {
            Some(line) => Err(refusal(&self.link, &self.options, &line)),
            None => Ok(()),
        }
    }

    /// Asks something, and waits for the answer and what follows it. All steps must be done.
    pub(crate) fn request(
        &mut self,
        message: &serde_json::Value,
        payload: &[u8],
    ) -> Result<(Answer, Vec<u8>)> {
        let asked = Instant::now();
        let limit = Options::timeout(self.options.silence_timeout);
        self.link.send(message, payload)?;
        let silent = |link: &Link| match limit {
            Some(limit) if asked.elapsed() > limit => Err(link.says(&format!(
                "has not answered for {:.0} s (silence_timeout)",
                asked.elapsed().as_secs_f64()
            ))),
            _ => Ok(()),
        };
        let line = next_line(&mut self.link, &self.options, silent)?;
        let answer: Answer = serde_json::from_slice(&line).map_err(|e| nonsense(&self.link, &line, &e))?;
        loop {
            if let Some(payload) = self.link.payload(answer.bytes, Instant::now() + CHECK_PERIOD)? {
                return Ok((answer, payload));
            }
            silent(&self.link)?;
        }
    }

    /// Where a stream's frame stands in its episode, and its reward, which a first one has not.
    pub(crate) fn frame(&self, stream: usize) -> Result<(StepType, Option<f64>)> {
        let layout = &self.layout.streams[stream];
        let word = |place: usize| self.memory.words()[place / WORD].load(Ordering::Relaxed);
        let step_type = match word(layout.step_type) {
            0 => StepType::MIDDLE,
            1 => StepType::FIRST,
            2 => StepType::TERMINATED,
            3 => StepType::TRUNCATED,
            other => efference_sdk::bail!(
                "the memory that Python shares is damaged: stream {stream} is at {other}"
            ),
        };
        let reward = f64::from_bits(word(layout.reward));
        ensure!(
            reward.is_finite(),
            "{} sent a reward in stream {stream} that is no number: {reward}",
            self.options.id
        );
        Ok((step_type, (!step_type.is_first()).then_some(reward)))
    }

    /// All of the memory behind its first words.
    pub(crate) fn content(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.layout.size - 4 * WORD];
        self.memory.read(4 * WORD, &mut bytes);
        bytes
    }

    /// Takes up what [`content`](Self::content) returned.
    pub(crate) fn set_content(&self, content: &[u8]) {
        self.memory.write(4 * WORD, content);
    }
}

/// The next line, with patience. An error that the child says is one.
fn next_line(link: &mut Link, options: &Options, silent: impl Fn(&Link) -> Result<()>) -> Result<Vec<u8>> {
    loop {
        if let Some(line) = link.line(Instant::now() + CHECK_PERIOD)? {
            let is_error = line.starts_with(b"{\"error\"");
            return if is_error { Err(refusal(link, options, &line)) } else { Ok(line) };
        }
        silent(link)?;
    }
}

/// What the child says of why it can't go on.
fn refusal(link: &Link, options: &Options, line: &[u8]) -> Error {
    match Refusal::read(line) {
        Ok(refusal) if refusal.is_of_python() => {
            link.wait_for_end();
            link.with_last_words(refusal.into_error(options))
        }
        Ok(refusal) => refusal.into_error(options),
        Err(e) => nonsense(link, line, &e),
    }
}

fn nonsense(link: &Link, line: &[u8], why: &dyn std::fmt::Display) -> Error {
    let shown: String = String::from_utf8_lossy(line).chars().take(100).collect();
    tracing::debug!("not understood: {why}");
    link.says(&format!("has sent what is no message of this plugin: {shown:?} ({why})"))
}

//! The environment: frames from packets, replies from actions, and errors with help.
use crate::frame_buffer::{Frame, OutputEnd};
use crate::link::{Link, Start};
use crate::options::Options;
use crate::protocol::{Form, Limits, REWARD_LENGTH, Reply};
use crate::script;
use efference_sdk::{
    ActionGroup, Environment, EnvironmentSetup, Error, Frames, Outline, Picture, Plugin, Result, StepType,
    ensure, tracing,
};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often a wait is interrupted to see whether WebEnv is still well.
const CHECK_PERIOD: Duration = Duration::from_millis(100);

/// A running WebEnv.
///
/// Observations are WebEnv's without the reward's 4 features, clamped to −1…1. A frame's reward is the last reward that
/// the page has given, as WebEnv repeats it with every packet: it stays as it is until the page gives the next, and
/// is absent before the first. So it is how well things stand, and not an event to be added up. Streams have no
/// episodes; each action is a value. The sizes are not known before the first frame.
pub struct WebEnv {
    link: Link,
    options: Options,
    form: Form,
    /// The streams that have begun; of each, how many actions its last frame wants, if there was no response to it.
    streams: BTreeMap<u32, Option<usize>>,
    waits_for_people: bool,
    /// Packets until now.
    received: u64,
    /// When something was said last, by either side.
    last: Instant,
    over: bool,
    warned: bool,
    /// As many values as the frame with the most actions wants.
    actions: Vec<ActionGroup>,
}

impl Plugin for WebEnv {
    const NAME: &'static str = "webenv";
    const DESCRIPTION: &'static str = "WebEnv from a checkout of yours, in Node, over its stdio protocol.";
    type Options = Options;
    type Kind = dyn Environment;

    /// How many streams there will be, and what they observe, only WebEnv knows.
    fn outline(options: &Options) -> Result<Outline> {
        options.check()?;
        Ok(Outline::default())
    }

    fn new(options: Options, _setup: &EnvironmentSetup) -> Result<Self> {
        options.check()?;
        let folder = options.checked_checkout()?;
        let form = Form::new(options.value_kind, options.byte_order);
        let limits = Limits {
            streams: options.max_streams,
            observation: options.max_observation.saturating_add(REWARD_LENGTH as u32),
            action: options.max_action,
        };
        let script = script::script(&folder.join("webenv.js"), &options)?;
        let link = Link::start(Start { node: options.node.clone(), script, folder, form, limits })?;
        tracing::info!(process = link.process.id(), "WebEnv has started");
        Ok(WebEnv {
            link,
            waits_for_people: script::waits_for_people(&options),
            options,
            form,
            streams: BTreeMap::new(),
            received: 0,
            last: Instant::now(),
            over: false,
            warned: false,
            actions: Vec::new(),
        })
    }
}

impl Environment for WebEnv {
    fn poll(&mut self, timeout: Duration, frames: &mut dyn Frames) -> Result<()> {
        self.log();
        if self.over {
            return frames.close();
        }
        let delivered = self.deliver(timeout, frames);
        if delivered.is_err() {
            self.over = true;
            self.log();
        }
        delivered
    }

    fn act(&mut self, stream: u64, prediction: &[f32], action: &[f32]) -> Result<()> {
        let open = u32::try_from(stream).ok().and_then(|s| Some((s, self.streams.get_mut(&s)?.take()?)));
        match open {
            Some((stream, wanted)) => self.reply(stream, wanted, prediction, action),
            // It has ended in between, and nobody waits for a response.
            None => Ok(()),
        }
    }

    fn picture(&self, _stream: u64, observation: &[f32]) -> Result<Option<Picture>> {
        let (width, height) = (self.options.picture_width, self.options.picture_height);
        let from = self.options.picture_offset;
        let Some(values) = observation.get(from..from.saturating_add(3 * width * height)) else {
            return Ok(None);
        };
        // WebEnv's (2c − 255) / 255, backwards; a missing value is black.
        let color = |v: &f32| (v.clamp(-1.0, 1.0) * 127.5 + 127.5).round() as u8;
        let rgb: Vec<u8> = values.iter().map(color).collect();
        Ok((!rgb.is_empty()).then_some(Picture { width, height, rgb }))
    }
}

impl WebEnv {
    fn deliver(&mut self, timeout: Duration, frames: &mut dyn Frames) -> Result<()> {
        let start = Instant::now();
        let mut was_over = false;
        loop {
            let left = timeout.saturating_sub(start.elapsed());
            let patience = if was_over { CHECK_PERIOD } else { left.min(CHECK_PERIOD) };
            let mut pending = self.link.buffer.wait(patience);
            if pending.received != self.received {
                self.received = pending.received;
                self.last = Instant::now();
            }
            let end = if pending.is_empty() { pending.output_end.take() } else { None };
            let taken = self.link.buffer.take(pending);
            if !taken.is_empty() {
                return taken
                    .into_iter()
                    .try_for_each(|(stream, ended, frame)| self.deliver_one(stream, ended, frame, frames));
            }
            match end {
                Some(OutputEnd::Ended) => return self.ended(frames),
                Some(OutputEnd::Broken(e)) => {
                    let place = "WebEnv's stdout does not follow its protocol, and there is no way to find the next packet: ";
                    return Err(self.error(format!("{place}{e}")));
                }
                None => {}
            }
            // Something that it has started may hold its stdout open, and then reading does not end. What it
            // wrote last has had the time of a check to be read.
            if was_over && end.is_none() {
                return self.ended(frames);
            }
            was_over = self.link.process.ended().is_some();
            self.check_silence()?;
            if left.is_zero() && !was_over {
                return Ok(());
            }
        }
    }

    fn deliver_one(
        &mut self,
        stream: u32,
        ended: bool,
        frame: Option<Frame>,
        frames: &mut dyn Frames,
    ) -> Result<()> {
        if ended && self.streams.remove(&stream).is_some() {
            frames.end(u64::from(stream))?;
        }
        let Some(Frame { mut observation, action_length }) = frame else { return Ok(()) };
        ensure!(
            observation.len() >= REWARD_LENGTH,
            "a packet of WebEnv's stream {stream} has {} features, and the {REWARD_LENGTH} of we.directScore() come first: use none that is hidden",
            observation.len()
        );
        match self.streams.get(&stream) {
            None => frames.begin(u64::from(stream))?,
            // The host has passed over a frame. WebEnv counts on a reply to each.
            Some(Some(wanted)) => self.reply(stream, *wanted, &[], &[])?,
            Some(None) => {}
        }
        let action_length = action_length as usize;
        self.streams.insert(stream, Some(action_length));
        for value in &mut observation {
            *value = value.clamp(-1.0, 1.0); // NaN stays NaN
        }
        if self.actions.len() < action_length {
            self.actions.resize(action_length, ActionGroup::VALUE);
        }
        frames.frame(efference_sdk::Frame {
            stream: u64::from(stream),
            observation: &observation[REWARD_LENGTH..],
            actions: &self.actions[..action_length],
            reward: Some(observation[0]).filter(|s| !s.is_nan()),
            step_type: StepType::MIDDLE,
        })
    }

    fn reply(&mut self, stream: u32, wanted: usize, prediction: &[f32], action: &[f32]) -> Result<()> {
        let clean = |v: &f32| if v.is_nan() { 0.0 } else { v.clamp(-1.0, 1.0) };
        // The reward's numbers are not predicted. WebEnv only shows predictions, so zeros do.
        let prediction = [0.0; REWARD_LENGTH].into_iter().chain(prediction.iter().map(clean)).collect();
        let mut action: Vec<f32> = action.iter().map(clean).collect();
        action.resize(wanted, 0.0);
        let mut reply = Reply { stream, prediction, action };
        reply.pad(self.form);
        let mut bytes = Vec::new();
        reply.write(self.form, &mut bytes);
        self.last = Instant::now();
        self.link.send(bytes)
    }

    /// Its output has ended.
    fn ended(&mut self, frames: &mut dyn Frames) -> Result<()> {
        let status = self.link.process.wait(Duration::from_secs(2));
        match status {
            Some(status) if !status.success() => {
                Err(self.error(format!("WebEnv has ended by itself, with {status}")))
            }
            _ if self.received == 0 => Err(self.error("WebEnv has ended before its first packet".to_owned())),
            _ => {
                tracing::info!("WebEnv has ended");
                self.over = true;
                frames.close()
            }
        }
    }

    fn check_silence(&self) -> Result<()> {
        let (limit, silent) = (&self.options, self.last.elapsed().as_secs_f64());
        if self.received == 0 {
            let patient = self.waits_for_people || limit.start_timeout <= 0.0;
            if !patient && silent > limit.start_timeout {
                let what =
                    format!("WebEnv has sent nothing in the {silent:.0} s since its start (start_timeout)");
                return Err(self.error(what));
            }
        } else if limit.silence_timeout > 0.0 && silent > limit.silence_timeout {
            // Without streams it waits for people; with a frame that was not responded to, it waits for the agent.
            if !self.streams.is_empty() && self.streams.values().all(Option::is_none) {
                let what = format!(
                    "WebEnv has sent nothing for {silent:.0} s (silence_timeout), though each frame was responded to: it hangs, or has closed its streams without saying so"
                );
                return Err(self.error(what));
            }
        }
        Ok(())
    }

    /// The exit error: with help if what WebEnv printed shows what helps, and with what it printed.
    fn error(&self, what: String) -> Error {
        let printed = self.link.stderr_tail();
        let what = match help(&printed) {
            Some(help) => format!("{what}. {help}"),
            None => what,
        };
        let printed = if printed.is_empty() {
            "it printed nothing".to_owned()
        } else {
            format!("it printed last:{printed}")
        };
        Error::msg(printed).context(what)
    }

    /// Logs what Node has printed.
    fn log(&mut self) {
        let (dropped, lines) = self.link.log.take();
        if dropped > 0 {
            tracing::warn!("WebEnv has printed {dropped} lines more than fit here");
        }
        for line in lines {
            tracing::info!("WebEnv: {line}");
            if !self.warned && self.received == 0 && line.contains("launch error") {
                self.warned = true;
                tracing::warn!(
                    "WebEnv tries to start its browser again. {}",
                    help(&line).unwrap_or_default()
                );
            }
        }
    }
}

/// What helps, by what WebEnv prints in known cases.
fn help(printed: &str) -> Option<&'static str> {
    let known = [
        (
            "Cannot find module",
            "A module is missing: run `npm install` in the WebEnv checkout, and correct what 'interfaces' requires",
        ),
        (
            "EADDRINUSE",
            "Its port is taken, maybe by another WebEnv: end that, or choose another with [\"we.settings\", { port = 1235 }] in 'interfaces'",
        ),
        (
            "Could not find expected browser",
            "Puppeteer has no Chromium: run `npm install` in the WebEnv checkout, or name one in the variable PUPPETEER_EXECUTABLE_PATH",
        ),
        (
            "Running as root without --no-sandbox",
            "Chromium does not run as root: run as another user, or use \"we.remote()\" or the environment plugin 'browser'",
        ),
        (
            "Missing X server",
            "Its own browser needs a display: run it under `xvfb-run`, or use \"we.remote()\" or the environment plugin 'browser'",
        ),
        (
            "launch error",
            "Its own browser (we.browser, also started if no interface is a stream) does not come up: it needs a Chromium that still takes Manifest V2 extensions, and today's do not. Use \"we.remote()\", to which the tabs of real users connect, or the environment plugin 'browser', which starts a Chromium of its own",
        ),
        (
            "SyntaxError",
            "The option 'interfaces' makes a program that is no JavaScript: strings in it must be",
        ),
        (
            "ReferenceError",
            "The option 'interfaces' uses a name that is not there: WebEnv's own begin with 'we.'",
        ),
        ("is not a function", "The option 'interfaces' calls something that this WebEnv does not have"),
        ("must be webenv", "The option 'interfaces' has a string that is no interface of WebEnv"),
    ];
    known.into_iter().find(|(sign, _)| printed.contains(sign)).map(|(_, help)| help)
}

//! The two pipes: messages in, with patience; messages out.
use crate::message::{LINE, Message};
use efference_child_process::Program;
use efference_sdk::{Error, Result, bail, tracing};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io::{ErrorKind, Read, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// A message with the bytes that it announced.
pub(crate) struct Received {
    pub(crate) message: Message,
    pub(crate) payload: Vec<u8>,
}

impl Received {
    /// The observation of a frame: its numbers, −1…1 or NaN.
    pub(crate) fn observation(&self, frame: usize, elements: usize, to: &mut Vec<f32>) {
        let bytes = &self.payload[4 * elements * frame..][..4 * elements];
        let numbers = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        to.clear();
        to.extend(numbers);
    }
}

/// The program and its pipes.
pub(crate) struct Link {
    // In the order in which they are dropped: the end of its input tells the program to end.
    stdin: Option<ChildStdin>,
    program: Program,
    stdout: ChildStdout,
    /// What was read and is no whole message yet.
    read: Vec<u8>,
    /// The message whose bytes are still to come.
    head: Option<(Message, usize)>,
    /// When something was said last, by either side.
    last: Instant,
}

impl Link {
    /// Starts the program.
    pub(crate) fn start(name: &str, arguments: &[String]) -> Result<Link> {
        let mut command = Command::new(name);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let (program, stdin, stdout) = Program::start(command).map_err(|e| {
            Error::from(e).context(format!(
                "cannot start '{name}', the program of the option 'command'. Install it, or say where it is"
            ))
        })?;
        let Some(stdout) = stdout else { bail!("the program was started without its pipes") };
        Ok(Link { stdin, program, stdout, read: Vec::new(), head: None, last: Instant::now() })
    }

    /// Writes to the log what the program printed since the last call.
    pub(crate) fn log(&self) {
        let (left_out, lines) = self.program.take_printed();
        if left_out > 0 {
            tracing::info!("the program printed {left_out} lines more than fit here");
        }
        for line in lines {
            tracing::info!("the program printed: {line}");
        }
    }

    /// Sends a message. If the program has gone it is lost, and reading shows why.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.last = Instant::now();
        if let Some(stdin) = &mut self.stdin
            && stdin.write_all(bytes).and_then(|()| stdin.flush()).is_err()
        {
            self.stdin = None;
        }
    }

    /// How long nothing was said.
    pub(crate) fn silent(&self) -> Duration {
        self.last.elapsed()
    }

    /// The next line; `None` if it is not there by the deadline.
    ///
    /// # Errors
    /// The output has ended, or is no line.
    pub(crate) fn line(&mut self, deadline: Instant) -> Result<Option<String>> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).take(end).collect();
                self.last = Instant::now();
                return match String::from_utf8(line) {
                    Ok(line) => Ok(Some(line)),
                    Err(e) => Err(not_a_message(e.as_bytes(), "it is not UTF-8")),
                };
            }
            if self.read.len() > LINE {
                return Err(not_a_message(&self.read, &format!("it is longer than {} KiB", LINE >> 10)));
            }
            if !self.fill(deadline)? {
                return Ok(None);
            }
        }
    }

    /// The next message; `None` if it is not there by the deadline. Frames have observations of so many elements.
    ///
    /// # Errors
    /// The output has ended, or is no message.
    pub(crate) fn message(&mut self, observation: usize, deadline: Instant) -> Result<Option<Received>> {
        if self.head.is_none() {
            let Some(line) = self.line(deadline)? else { return Ok(None) };
            let message = Message::read(&line).map_err(|e| not_a_message(line.as_bytes(), &e.to_string()))?;
            let bytes =
                message.payload(observation).map_err(|e| not_a_message(line.as_bytes(), &e.to_string()))?;
            self.head = Some((message, bytes));
        }
        while let Some((_, bytes)) = &self.head
            && self.read.len() < *bytes
        {
            if !self.fill(deadline)? {
                return Ok(None);
            }
        }
        let received = self.head.take().map(|(message, bytes)| {
            let payload = self.read.drain(..bytes).collect();
            Received { message, payload }
        });
        self.last = Instant::now();
        Ok(received)
    }

    /// Reads what is there, waiting for it until the deadline; whether there was anything.
    fn fill(&mut self, deadline: Instant) -> Result<bool> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            match poll(&mut [PollFd::new(&self.stdout, PollFlags::IN)], Some(&timeout)) {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(Errno::INTR) if left.is_zero() => return Ok(false),
                Err(Errno::INTR) => continue,
                Err(e) => return Err(e.into()),
            }
            let old = self.read.len();
            self.read.resize(old + (1 << 16), 0);
            let count = self.stdout.read(&mut self.read[old..]);
            self.read.truncate(old + *count.as_ref().unwrap_or(&0));
            match count {
                Ok(0) => return Err(self.ended()),
                Ok(_) => return Ok(true),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Its output has ended: how, and its last words.
    fn ended(&mut self) -> Error {
        self.stdin = None;
        let how = match self.program.wait(Duration::from_secs(2)) {
            Some(status) => format!("has ended ({status})"),
            None => "has closed its standard output".to_owned(),
        };
        let within =
            if self.read.is_empty() && self.head.is_none() { "" } else { " in the middle of a message" };
        self.says(&format!("{how}{within} without a last message {{\"close\": true}}"))
    }

    /// An error about the program, with its last words.
    pub(crate) fn says(&self, what: &str) -> Error {
        Error::msg(self.program.last_words()).context(format!("the program {what}"))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.stdin = None;
        self.log();
    }
}

fn not_a_message(line: &[u8], why: &str) -> Error {
    let shown: String = String::from_utf8_lossy(line).chars().take(100).collect();
    Error::msg(why).context(format!(
        "the program wrote a line on its standard output that is no message: {shown:?}. Only messages go there: what it \
         prints for people goes to its standard error"
    ))
}

/// The observation's elements, and which they are, if one is neither missing nor a number.
pub(crate) fn refuse_infinite(stream: u64, observation: &[f32]) -> Result<()> {
    match observation.iter().position(|number| number.is_infinite()) {
        Some(element) => {
            bail!("the program sent an infinite number as element {element} of stream {stream}")
        }
        None => Ok(()),
    }
}

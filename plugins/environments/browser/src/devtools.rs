//! The DevTools protocol over two pipes: JSON messages, each ended by a NUL byte.
//!
//! Replies are matched by id, never by order, and everything that waits has a time limit. What arrives comes from
//! a program that a hostile page may have talked into anything, so a message has a greatest length.
use efference_sdk::tracing;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The longest message that is taken from the browser, in bytes: the picture of the largest window as a PNG that
/// did not get any smaller, in base64, fits in.
pub(crate) const MESSAGE_LIMIT: usize = 24 << 20;

/// How long the browser may leave its end of the pipe unread before it is given up.
const WRITE_LIMIT: Duration = Duration::from_secs(2);

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The browser returned an error.
    #[error("{method}: the browser refuses: {}", printable(message))]
    Refused { method: &'static str, message: String },
    /// No answer came in time.
    #[error("{method}: no answer within {} s", limit.as_secs_f64())]
    Late { method: &'static str, limit: Duration },
    /// The browser is gone.
    #[error("{method}: the browser has ended")]
    Closed { method: &'static str },
    /// The answer is not what the protocol says.
    #[error("{method}: the browser's answer makes no sense: {error}")]
    Nonsense { method: &'static str, error: serde_json::Error },
}

/// What is done with the answer to a message: its result, or the text of the browser's error.
type Then = Box<dyn FnOnce(Result<&str, &str>) + Send>;

/// The writing side, and the calls that wait for an answer. Shared by threads.
pub(crate) struct Connection {
    writer: Mutex<Writer>,
    /// By the id of the call, with the session that it went to.
    waiting: Mutex<HashMap<u64, (String, Then)>>,
    closed: AtomicBool,
}

struct Writer {
    pipe: OwnedFd,
    last_id: u64,
}

/// What listens to the browser's events; called on the reading thread.
pub(crate) trait Listener {
    /// An event of a session; `params` is a JSON object.
    fn event(&self, connection: &Connection, session: &str, method: &str, params: &str);
}

#[derive(Serialize)]
struct Request<'a, P> {
    id: u64,
    method: &'a str,
    params: P,
    #[serde(rename = "sessionId", skip_serializing_if = "str::is_empty")]
    session: &'a str,
}

#[derive(Deserialize)]
struct Message<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "sessionId")]
    session: Option<Cow<'a, str>>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

impl Connection {
    /// `pipe` must not block when it is full.
    pub(crate) fn new(pipe: OwnedFd) -> Self {
        Connection {
            writer: Mutex::new(Writer { pipe, last_id: 0 }),
            waiting: Mutex::default(),
            closed: AtomicBool::new(false),
        }
    }

    /// Whether the browser is gone, or has stopped listening.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Lets every call that waits fail, and every later one.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        // Dropped after the lock: what is dropped with them may send.
        let waiting = std::mem::take(&mut *lock(&self.waiting));
        drop(waiting);
    }

    /// Sends a message whose answer does not matter.
    pub(crate) fn send(
        &self,
        session: &str,
        method: &'static str,
        params: impl Serialize,
    ) -> Result<(), Failure> {
        self.write(session, method, params, None).map(|_| ())
    }

    /// Sends a message; `then` is called with the answer on the reading thread, or dropped if none comes.
    pub(crate) fn send_then(
        &self,
        session: &str,
        method: &'static str,
        params: impl Serialize,
        then: impl FnOnce(Result<&str, &str>) + Send + 'static,
    ) -> Result<(), Failure> {
        self.write(session, method, params, Some(Box::new(then))).map(|_| ())
    }

    /// Sends a message and waits for the answer, as only tests may.
    #[cfg(test)]
    pub(crate) fn call(
        &self,
        session: &str,
        method: &'static str,
        params: impl Serialize,
    ) -> Result<serde_json::Value, Failure> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let then = move |answer: Result<&str, &str>| {
            let _ = sender.send(answer.map(str::to_owned).map_err(str::to_owned)); // the caller may have given up
        };
        self.send_then(session, method, params, then)?;
        match receiver.recv_timeout(Duration::from_secs(30)) {
            Ok(Ok(result)) => {
                serde_json::from_str(&result).map_err(|error| Failure::Nonsense { method, error })
            }
            Ok(Err(message)) => Err(Failure::Refused { method, message }),
            Err(_) => Err(Failure::Closed { method }),
        }
    }

    fn write(
        &self,
        session: &str,
        method: &'static str,
        params: impl Serialize,
        then: Option<Then>,
    ) -> Result<u64, Failure> {
        let mut writer = lock(&self.writer);
        writer.last_id += 1;
        let id = writer.last_id;
        let mut bytes = serde_json::to_vec(&Request { id, method, params, session })
            .map_err(|error| Failure::Nonsense { method, error })?;
        bytes.push(0);
        if let Some(then) = then {
            lock(&self.waiting).insert(id, (session.to_owned(), then));
        }
        // Looked at after the insertion: `close` either sees the entry or is seen here.
        if self.is_closed() || write_all(&writer.pipe, &bytes).is_err() {
            // A message that was written in part has spoilt the pipe.
            self.close();
            return Err(Failure::Closed { method });
        }
        Ok(id)
    }

    /// Reads until the browser closes its end.
    pub(crate) fn read(&self, pipe: OwnedFd, listener: &impl Listener) {
        let mut pipe = File::from(pipe);
        let mut chunk = vec![0; 256 << 10];
        let mut splitter = Splitter::new(MESSAGE_LIMIT);
        while !self.is_closed() {
            match pipe.read(&mut chunk) {
                Ok(0) => break,
                Ok(n) => splitter.feed(&chunk[..n], |piece| self.take(piece, listener)),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
    }

    fn take(&self, piece: Piece<'_>, listener: &impl Listener) {
        let message = match piece {
            Piece::Whole(bytes) => match serde_json::from_slice::<Message<'_>>(bytes) {
                Ok(message) => message,
                Err(error) => return tracing::warn!(%error, "the browser sent what is no message"),
            },
            Piece::TooLong(start) => {
                tracing::warn!(limit = MESSAGE_LIMIT, "a message of the browser is too long and was skipped");
                if let Some(id) = leading_id(start) {
                    self.answer(id, Err("the answer is too long"));
                }
                return;
            }
        };
        match (message.id, message.method) {
            (Some(id), _) => self.answer(
                id,
                match message.error {
                    Some(error) => Err(error.get()),
                    None => Ok(message.result.map_or("{}", RawValue::get)),
                },
            ),
            (None, Some(method)) => {
                let session = message.session.as_deref().unwrap_or_default();
                listener.event(self, session, &method, message.params.map_or("{}", RawValue::get));
            }
            (None, None) => {}
        }
    }

    fn answer(&self, id: u64, result: Result<&str, &str>) {
        let then = lock(&self.waiting).remove(&id);
        if let Some((_, then)) = then {
            then(result);
        }
    }

    /// Drops what waits for answers from a session that will give none.
    pub(crate) fn forget(&self, session: &str) {
        let forgotten: Vec<_> = lock(&self.waiting).extract_if(|_, (to, _)| to == session).collect();
        drop(forgotten);
    }
}

/// Locks; what the mutexes of this crate guard stays whole when a thread panics in between.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write_all(pipe: &OwnedFd, mut bytes: &[u8]) -> rustix::io::Result<()> {
    let deadline = Instant::now() + WRITE_LIMIT;
    while !bytes.is_empty() {
        match rustix::io::write(pipe, bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(Errno::TIMEDOUT);
                }
                let left =
                    Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
                match poll(&mut [PollFd::new(pipe, PollFlags::OUT)], Some(&left)) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(e) => return Err(e),
                }
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Cuts a stream of bytes at NUL bytes.
struct Splitter {
    limit: usize,
    held: Vec<u8>,
    skipping: bool,
}

enum Piece<'a> {
    Whole(&'a [u8]),
    /// The start of a message that is longer than the limit.
    TooLong(&'a [u8]),
}

impl Splitter {
    fn new(limit: usize) -> Self {
        Splitter { limit, held: Vec::new(), skipping: false }
    }

    fn feed(&mut self, mut bytes: &[u8], mut take: impl FnMut(Piece<'_>)) {
        while let Some(end) = bytes.iter().position(|b| *b == 0) {
            self.hold(&bytes[..end], &mut take);
            bytes = &bytes[end + 1..];
            if !self.skipping && !self.held.is_empty() {
                take(Piece::Whole(&self.held));
            }
            self.skipping = false;
            self.held.clear();
            // Pictures are a few 100 KB; what a rare huge message took is given back.
            self.held.shrink_to(1 << 20);
        }
        self.hold(bytes, &mut take);
    }

    fn hold(&mut self, bytes: &[u8], take: &mut impl FnMut(Piece<'_>)) {
        if self.skipping {
            return;
        }
        if self.held.len() + bytes.len() > self.limit {
            self.held.extend_from_slice(&bytes[..bytes.len().min(64)]);
            take(Piece::TooLong(&self.held));
            self.held.clear();
            self.skipping = true;
        } else {
            self.held.extend_from_slice(bytes);
        }
    }
}

/// The id of a reply of which only the start is known: Chromium writes `{"id":7,…`.
fn leading_id(start: &[u8]) -> Option<u64> {
    let digits = start.strip_prefix(br#"{"id":"#)?;
    let end = digits.iter().position(|b| !b.is_ascii_digit())?;
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

/// Text of a page, or of the browser about a page, made fit for a log: escaped, and at most 200 characters.
pub(crate) fn printable(text: &str) -> String {
    const LIMIT: usize = 200;
    let mut shown: String = text.chars().take(LIMIT).flat_map(char::escape_debug).collect();
    if text.chars().nth(LIMIT).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_wherever_the_chunks_end() {
        let stream = b"{\"id\":1}\0{\"id\":22,\"result\":\"0123456789012345678901234567890\"}\0\0[3]\0";
        for size in 1..=stream.len() {
            let (mut whole, mut long) = (Vec::new(), Vec::new());
            let mut splitter = Splitter::new(20);
            for chunk in stream.chunks(size) {
                splitter.feed(chunk, |piece| match piece {
                    Piece::Whole(bytes) => whole.push(bytes.to_vec()),
                    Piece::TooLong(start) => long.push(leading_id(start)),
                });
            }
            assert_eq!(whole, [b"{\"id\":1}".to_vec(), b"[3]".to_vec()], "chunks of {size}");
            assert_eq!(long, [Some(22)], "chunks of {size}");
        }
    }

    #[test]
    fn a_reader_that_stops_does_not_block_the_writer_for_ever() {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).unwrap();
        let connection = Connection::new(write);
        let began = Instant::now();
        let failed = (0..100).find_map(|_| connection.send("", "Test.fill", "x".repeat(10_000)).err());
        assert!(matches!(failed, Some(Failure::Closed { .. })), "{failed:?}");
        assert!(began.elapsed() < WRITE_LIMIT * 2);
        assert!(connection.is_closed());
        drop(read);
    }

    #[test]
    fn hostile_text_is_escaped_and_cut() {
        assert_eq!(printable("a\u{1b}[2J\n"), "a\\u{1b}[2J\\n");
        assert!(printable(&"é".repeat(100_000)).chars().count() == 201);
    }
}

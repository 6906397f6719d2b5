//! The engine's end: what is asked for waits here until a step is done, and what was drawn goes to threads that may wait.
use super::message::{Request, Snapshot, write_reply};
use super::pace::Pace;
use super::{MOST_STREAMS, socket_in};
use crate::FileError;
use crate::directory::RunDirectory;
use parking_lot::{Condvar, Mutex};
use serde_json::json;
use std::fs::{self, File, Permissions};
use std::io::{self, BufRead, BufReader, BufWriter, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long a viewer waits for a picture until it gets word of where the run is.
const LOOK_WITHIN: Duration = Duration::from_secs(1);
/// A viewer that asks nothing for so long has gone. One that is there asks at least once a second.
const GONE_AFTER: Duration = Duration::from_secs(5);
/// How long a viewer may leave a reply unread.
const READ_WITHIN: Duration = Duration::from_secs(10);
/// Viewers at once.
const MOST_VIEWERS: usize = 16;
/// Bytes of a request.
const LONGEST_LINE: u64 = 256;
/// How long it waits for one of its streams to be active in a step.
const ACTIVE_WITHIN: Duration = Duration::from_millis(300);
/// How often the same picture is sent again while the run stands still.
const SAME_AGAIN: Duration = Duration::from_millis(250);

/// A run that can be looked at, paused and resumed while it goes on. When it is dropped, the socket goes.
#[derive(Debug)]
pub struct Offer {
    shared: Arc<Shared>,
    directory: File,
    pace: Pace,
    /// The next picture is drawn without regard to the pace: someone has asked for one step.
    hurry: bool,
    /// Whether the run stood still when that was asked last.
    standing: bool,
    /// How often something was drawn, and how long that took, while the run did not stand still.
    drawn: (u64, Duration),
    /// What was drawn last, while the run stands still.
    same: Option<Arc<Snapshot>>,
}

/// Whether the run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// It does.
    No,
    /// It stands still.
    Paused,
    /// It stood still, and goes on as nobody looks any more.
    LeftAlone,
}

#[derive(Debug)]
struct Shared {
    /// Whether anything is asked for. Changed with the state locked.
    wanted: AtomicBool,
    step: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
    viewers: AtomicUsize,
    closed: AtomicBool,
}

#[derive(Debug)]
struct State {
    looks: Vec<Look>,
    looked: u64,
    paused: bool,
    standing: bool,
    /// Steps that may be made while it is paused.
    granted: u64,
    /// When a viewer asked for something.
    heard: Instant,
}

#[derive(Debug)]
struct Look {
    number: u64,
    since: Instant,
    streams: Vec<u64>,
    reply: SyncSender<Arc<Snapshot>>,
}

impl Shared {
    fn note_wanted(&self, state: &State) {
        self.wanted.store(state.paused || !state.looks.is_empty(), Ordering::Relaxed);
    }
}

impl Offer {
    /// Offers a run to viewers.
    ///
    /// # Errors
    /// If there can be no socket in its directory.
    pub fn open(run: &RunDirectory) -> Result<Offer, FileError> {
        let failed =
            |e: io::Error| FileError { help: None, ..FileError::new("make", &run.path().join("view"), &e) };
        let directory = File::open(run.path()).map_err(failed)?;
        let socket = socket_in(&directory);
        // Of a process that was killed: the run is ours, so nobody listens there.
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).map_err(failed)?;
        let shared = Arc::new(Shared {
            wanted: AtomicBool::new(false),
            step: AtomicU64::new(0),
            state: Mutex::new(State {
                looks: Vec::new(),
                looked: 0,
                paused: false,
                standing: false,
                granted: 0,
                heard: Instant::now(),
            }),
            changed: Condvar::new(),
            viewers: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        });
        let offer = Offer {
            shared: Arc::clone(&shared),
            directory,
            pace: Pace::default(),
            hurry: false,
            standing: false,
            drawn: (0, Duration::ZERO),
            same: None,
        };
        fs::set_permissions(&socket, Permissions::from_mode(0o600)).map_err(failed)?;
        thread::Builder::new()
            .name("view".to_owned())
            .spawn(move || listen(&listener, &shared))
            .map_err(failed)?;
        Ok(offer)
    }

    /// So many steps are made. Returns whether a viewer wants something; nothing else is to be done if not.
    #[inline]
    pub fn is_wanted(&self, step: u64) -> bool {
        self.shared.step.store(step, Ordering::Relaxed);
        self.shared.wanted.load(Ordering::Relaxed)
    }

    /// Has drawn what viewers have asked for, if the next picture is due and this step has one of their streams. `draw` gets the
    /// streams.
    pub fn answer(&mut self, is_active: impl Fn(u64) -> bool, draw: impl FnOnce(&[u64]) -> Snapshot) {
        let began = Instant::now();
        if !self.hurry && !self.pace.is_due(began) {
            return;
        }
        // Where a viewer is just asking, it is for the next step.
        let Some(mut state) = self.shared.state.try_lock() else { return };
        let due = |look: &mut Look| {
            let active = look.streams.iter().any(|stream| is_active(*stream));
            active || began.duration_since(look.since) > ACTIVE_WITHIN
        };
        let looks: Vec<Look> = state.looks.extract_if(.., due).collect();
        if looks.is_empty() {
            return;
        }
        let standing = state.standing;
        self.shared.note_wanted(&state);
        drop(state);
        let mut streams: Vec<u64> = looks.iter().flat_map(|look| look.streams.iter().copied()).collect();
        streams.sort_unstable();
        streams.dedup();
        streams.truncate(MOST_STREAMS);
        let same = self.same.take().filter(|same| standing && has(same, &streams));
        let snapshot = match same {
            Some(same) => {
                self.pace.wait_until(began + SAME_AGAIN);
                same
            }
            None => {
                let drawn = Arc::new(draw(&streams));
                let ended = Instant::now();
                self.pace.drawn(began, ended, standing);
                if !standing {
                    self.drawn = (self.drawn.0 + 1, self.drawn.1 + (ended - began));
                }
                drawn
            }
        };
        self.hurry = false;
        for look in looks {
            // It has room for one.
            let _ = look.reply.try_send(Arc::clone(&snapshot));
        }
        self.same = standing.then_some(snapshot);
    }

    /// How often something was drawn, and how long steps have waited for that.
    pub fn drawn(&self) -> (u64, Duration) {
        self.drawn
    }

    /// Whether the run is to stand still before its next step.
    pub fn holds(&mut self) -> Held {
        let Some(mut state) = self.shared.state.try_lock() else {
            // Whoever has it has it for a moment.
            return if self.standing { Held::Paused } else { Held::No };
        };
        let held = match () {
            () if !state.paused => Held::No,
            () if state.granted > 0 => {
                state.granted -= 1;
                self.hurry = true;
                Held::No
            }
            () if state.heard.elapsed() > GONE_AFTER => {
                state.paused = false;
                Held::LeftAlone
            }
            () => Held::Paused,
        };
        if held == Held::Paused && !self.standing {
            // From here on, pictures take nobody's time.
            self.pace = Pace::default();
        }
        self.standing = held == Held::Paused;
        state.standing = self.standing;
        if !self.standing {
            self.same = None;
        }
        self.shared.note_wanted(&state);
        held
    }

    /// Waits until a viewer asks for something, or so long.
    pub fn wait(&self, at_most: Duration) {
        let mut state = self.shared.state.lock();
        if state.granted == 0 && state.paused {
            self.shared.changed.wait_for(&mut state, at_most);
        }
    }
}

/// Whether a snapshot shows these streams, as far as they are active.
fn has(snapshot: &Snapshot, streams: &[u64]) -> bool {
    let active = streams.iter().filter(|stream| snapshot.active.contains(stream));
    active.eq(snapshot.shown.iter().map(|shown| &shown.stream))
}

impl Drop for Offer {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        let socket = socket_in(&self.directory);
        // Wakes the thread that listens, which then ends.
        let _ = UnixStream::connect(&socket);
        let _ = fs::remove_file(&socket);
        self.shared.state.lock().looks.clear();
    }
}

fn listen(listener: &UnixListener, shared: &Arc<Shared>) {
    loop {
        let viewer = listener.accept();
        if shared.closed.load(Ordering::Relaxed) {
            return;
        }
        let Ok((viewer, _)) = viewer else {
            thread::sleep(Duration::from_millis(100)); // no descriptor is free, perhaps
            continue;
        };
        if shared.viewers.fetch_add(1, Ordering::Relaxed) >= MOST_VIEWERS {
            shared.viewers.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let own = Arc::clone(shared);
        let served = thread::Builder::new().name("viewer".to_owned()).spawn(move || {
            // It has gone, or said what makes no sense.
            let _ = serve(&viewer, &own);
            own.viewers.fetch_sub(1, Ordering::Relaxed);
        });
        if served.is_err() {
            shared.viewers.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Replies to what a viewer asks until it goes.
fn serve(viewer: &UnixStream, shared: &Shared) -> io::Result<()> {
    viewer.set_write_timeout(Some(READ_WITHIN))?;
    let mut requests = BufReader::with_capacity(LONGEST_LINE as usize, viewer);
    let mut replies = BufWriter::with_capacity(1 << 16, viewer);
    let mut line = String::new();
    loop {
        line.clear();
        if requests.by_ref().take(LONGEST_LINE).read_line(&mut line)? == 0 || !line.ends_with('\n') {
            return Ok(());
        }
        let Some(request) = Request::of(&line) else { return Ok(()) };
        let streams = if let Request::Look(streams) = &request { streams.clone() } else { Vec::new() };
        let snapshot = shared.take(request)?;
        let (paused, standing) = {
            let state = shared.state.lock();
            (state.paused, state.standing)
        };
        match snapshot {
            Some(snapshot) => snapshot.write(&mut replies, &streams, [paused, standing])?,
            None => {
                let step = shared.step.load(Ordering::Relaxed);
                write_reply(
                    &mut replies,
                    &json!({ "step": step, "paused": paused, "standing": standing }),
                    &[],
                )?;
            }
        }
    }
}

impl Shared {
    /// Does what is asked for; returns a picture if that was asked for, and came in time.
    fn take(&self, request: Request) -> io::Result<Option<Arc<Snapshot>>> {
        let mut state = self.state.lock();
        state.heard = Instant::now();
        match request {
            Request::Look(streams) if streams.is_empty() => return Ok(None),
            Request::Look(streams) => {
                let (reply, drawn) = sync_channel(1);
                state.looked += 1;
                let number = state.looked;
                state.looks.push(Look { number, since: Instant::now(), streams, reply });
                self.wanted.store(true, Ordering::Relaxed);
                drop(state);
                self.changed.notify_one();
                return match drawn.recv_timeout(LOOK_WITHIN) {
                    Ok(snapshot) => Ok(Some(snapshot)),
                    Err(RecvTimeoutError::Timeout) => {
                        let mut state = self.state.lock();
                        state.looks.retain(|look| look.number != number);
                        state.heard = Instant::now();
                        self.note_wanted(&state);
                        // It may have come just now.
                        Ok(drawn.try_recv().ok())
                    }
                    Err(RecvTimeoutError::Disconnected) => Err(io::ErrorKind::ConnectionReset.into()),
                };
            }
            Request::Pause => state.paused = true,
            Request::Step if state.paused => state.granted += 1,
            Request::Step => state.paused = true,
            Request::Resume => (state.paused, state.granted) = (false, 0),
        }
        self.note_wanted(&state);
        drop(state);
        self.changed.notify_one();
        Ok(None)
    }
}

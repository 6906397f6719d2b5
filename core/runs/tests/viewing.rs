//! An engine that makes steps, and viewers of all kinds.
use efference_runs::Picture;
use efference_runs::directory::RunDirectory;
use efference_runs::viewing::{Held, Link, LinkError, Offer, Request, Shown, Snapshot};
use serde_json::Value;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

struct Place {
    _root: tempfile::TempDir,
    run: RunDirectory,
}

/// A run in a directory whose path is longer than a socket's address may be.
fn place() -> Place {
    let root = tempfile::tempdir().unwrap();
    let run = RunDirectory::claim(&root.path().join("long".repeat(40)), "x", UNIX_EPOCH, "").unwrap();
    Place { _root: root, run }
}

/// The socket of a run, by a path that is short enough; the file is to stay open meanwhile.
fn socket(run: &RunDirectory) -> (File, String) {
    let directory = File::open(run.path()).unwrap();
    let path = format!("/proc/self/fd/{}/view", directory.as_raw_fd());
    (directory, path)
}

/// A picture of this size in one grey.
fn grey(side: usize, value: u8) -> Picture {
    Picture { width: side, height: side, rgb: vec![value; 3 * side * side] }
}

/// What is counted of an engine.
#[derive(Default)]
struct Engine {
    stop: AtomicBool,
    steps: AtomicU64,
    drawn: AtomicU64,
    left_alone: AtomicBool,
}

impl Engine {
    /// Makes steps until it is stopped, as an engine does, with pictures of this size.
    fn run(&self, offer: &mut Offer, side: usize) {
        while !self.stop.load(Ordering::Relaxed) {
            let step = self.steps.load(Ordering::Relaxed);
            if !offer.is_wanted(step) {
                self.steps.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_micros(100));
                continue;
            }
            let draw = |streams: &[u64]| {
                self.drawn.fetch_add(1, Ordering::Relaxed);
                let shown = streams.iter().filter(|stream| **stream < 2).map(|stream| Shown {
                    stream: *stream,
                    observation: Some(grey(side, step as u8)),
                    prediction: (*stream == 0).then(|| grey(side, 7)),
                    ..Shown::default()
                });
                Snapshot {
                    step,
                    active: vec![0, 1],
                    streams: 2,
                    shown: shown.collect(),
                    ..Snapshot::default()
                }
            };
            offer.answer(|stream| stream < 2, draw);
            match offer.holds() {
                Held::Paused => offer.wait(Duration::from_millis(20)),
                held => {
                    self.left_alone.fetch_or(held == Held::LeftAlone, Ordering::Relaxed);
                    self.steps.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// Has it make steps while `view` looks at it.
    fn looked_at(&self, place: &Place, side: usize, view: impl FnOnce()) {
        let mut offer = Offer::open(&place.run).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| self.run(&mut offer, side));
            let _stopped = Stopped(self);
            view();
        });
    }

    fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }
}

/// Also where a test fails.
struct Stopped<'a>(&'a Engine);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

fn ask(link: &mut Link, request: Request) -> (Value, Vec<u8>) {
    let reply = link.ask(&request).unwrap();
    (serde_json::from_slice(&reply.object).unwrap(), reply.pictures)
}

fn until(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn what_is_asked_for_comes_with_its_pictures_and_nothing_is_drawn_for_nobody() {
    let (place, engine) = (place(), Engine::default());
    engine.looked_at(&place, 3, || {
        until("steps", || engine.steps() > 100);
        assert_eq!(engine.drawn.load(Ordering::Relaxed), 0);
        let mut link = Link::open(place.run.path()).unwrap();
        let (object, pictures) = ask(&mut link, Request::Look(vec![1, 0, 9]));
        let step = object["step"].as_u64().unwrap();
        assert_eq!((&object["streams"], &object["active"]), (&2.into(), &serde_json::json!([0, 1])));
        assert_eq!(object["shown"][0]["observation"], serde_json::json!({ "width": 3, "height": 3 }));
        assert_eq!(object["shown"][1]["prediction"], Value::Null);
        assert_eq!(pictures, [vec![step as u8; 27], vec![7; 27], vec![step as u8; 27]].concat());
        let (object, pictures) = ask(&mut link, Request::Look(vec![]));
        assert!(object["step"].as_u64().unwrap() >= step && pictures.is_empty());
        let drawn = engine.drawn.load(Ordering::Relaxed);
        until("steps", || engine.steps() > step + 100);
        assert_eq!(engine.drawn.load(Ordering::Relaxed), drawn);
    });
}

#[test]
fn the_socket_is_its_owners_and_goes_with_the_run() {
    let place = place();
    let socket = place.run.path().join("view");
    for _ in 0..2 {
        let offer = Offer::open(&place.run).unwrap();
        assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
        Link::open(place.run.path()).unwrap();
        drop(offer);
        assert!(!socket.exists());
        assert!(matches!(Link::open(place.run.path()), Err(LinkError::NotOffered(_))));
    }
    // One of a process that was killed is there, and nobody listens.
    let (_open, path) = self::socket(&place.run);
    drop(UnixListener::bind(path).unwrap());
    assert!(socket.exists() && Link::open(place.run.path()).is_err());
    let _offer = Offer::open(&place.run).unwrap();
    Link::open(place.run.path()).unwrap();
}

#[test]
fn a_run_is_paused_stepped_and_resumed() {
    let (place, engine) = (place(), Engine::default());
    engine.looked_at(&place, 1, || {
        let mut link = Link::open(place.run.path()).unwrap();
        ask(&mut link, Request::Pause);
        let standing = |link: &mut Link| ask(link, Request::Look(vec![0])).0["standing"] == true;
        until("it stands still", || standing(&mut link));
        let step = engine.steps();
        thread::sleep(Duration::from_millis(100));
        assert_eq!(engine.steps(), step);
        for made in 1..=3 {
            ask(&mut link, Request::Step);
            until("a step", || engine.steps() == step + made && standing(&mut link));
            thread::sleep(Duration::from_millis(50));
            let (object, _) = ask(&mut link, Request::Look(vec![0]));
            assert_eq!((engine.steps(), object["step"].as_u64()), (step + made, Some(step + made)));
        }
        ask(&mut link, Request::Resume);
        until("it goes on", || engine.steps() > step + 100);
        assert_eq!(ask(&mut link, Request::Look(vec![])).0["paused"], false);
        assert!(!engine.left_alone.load(Ordering::Relaxed));
    });
}

#[test]
fn a_run_goes_on_when_its_last_viewer_has_gone() {
    let (place, engine) = (place(), Engine::default());
    engine.looked_at(&place, 1, || {
        let mut link = Link::open(place.run.path()).unwrap();
        ask(&mut link, Request::Pause);
        until("it stands still", || ask(&mut link, Request::Look(vec![0])).0["standing"] == true);
        drop(link);
        let step = engine.steps();
        until("it goes on", || engine.steps() > step + 10);
        assert!(engine.left_alone.load(Ordering::Relaxed));
    });
}

#[test]
fn viewers_that_never_read_or_talk_nonsense_cost_nothing_and_steps_are_made() {
    let (place, engine) = (place(), Engine::default());
    engine.looked_at(&place, 512, || {
        let (_open, path) = socket(&place.run);
        let connect = || UnixStream::connect(&path).unwrap();
        let mut silent: Vec<UnixStream> = (0..4).map(|_| connect()).collect();
        // Each asks a hundred times for 0.8 MB, and reads none of it.
        silent.iter_mut().for_each(|viewer| viewer.write_all("look 0\n".repeat(100).as_bytes()).unwrap());
        let mut nonsense = connect();
        nonsense.write_all(&[b'x'; 10_000]).unwrap_or_default();
        let mut link = Link::open(place.run.path()).unwrap();
        let step = engine.steps();
        for _ in 0..10 {
            let (object, pictures) = ask(&mut link, Request::Look(vec![0]));
            assert_eq!((object["shown"][0]["stream"].as_u64(), pictures.len()), (Some(0), 2 * 3 * 512 * 512));
        }
        until("steps", || engine.steps() > step + 200);
        let drawn = engine.drawn.load(Ordering::Relaxed);
        assert!(drawn <= 10 + 4 * 3, "{drawn} drawn for viewers that took one each at most");
    });
}

#[test]
fn there_are_only_so_many_viewers() {
    let place = place();
    let _offer = Offer::open(&place.run).unwrap();
    let mut all: Vec<_> = (0..40).map(|_| Link::open(place.run.path()).unwrap()).collect();
    // None is closed before all have asked: its place would be taken by a later one.
    let replies = all.iter_mut().map(|link| link.ask(&Request::Look(vec![])).is_ok());
    assert_eq!(replies.filter(|replied| *replied).count(), 16);
}

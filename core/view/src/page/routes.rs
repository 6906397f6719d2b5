//! What the page asks for, and what it gets.
use super::curves::Curves;
use super::http::{Request, Response};
use super::recorded::{self, Recorded};
use super::status::{Now, Status};
use efference_runs::directory::{RunDirectory, RunState};
use efference_runs::viewing::{Link, Request as Ask};
use serde_json::Value;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// The files of the page.
const ASSETS: [(&str, &str, &str); 7] = [
    ("", "text/html; charset=utf-8", include_str!("assets/page.html")),
    ("page.css", "text/css; charset=utf-8", include_str!("assets/page.css")),
    ("page.js", SCRIPT, include_str!("assets/page.js")),
    ("charts.js", SCRIPT, include_str!("assets/charts.js")),
    ("streams.js", SCRIPT, include_str!("assets/streams.js")),
    ("server.js", SCRIPT, include_str!("assets/server.js")),
    ("words.js", SCRIPT, include_str!("assets/words.js")),
];
const SCRIPT: &str = "text/javascript; charset=utf-8";
const JSON: &str = "application/json";
const BYTES: &str = "application/octet-stream";

/// How long a page that shows no pictures waits for word of where the run is.
const HOLD: Duration = Duration::from_secs(1);

/// A run as its page shows it.
pub(super) struct Run {
    status: Mutex<Status>,
    curves: Mutex<Curves>,
    recorded: Mutex<Recorded>,
}

impl Run {
    pub(super) fn new(run: RunDirectory) -> Self {
        Run {
            status: Mutex::new(Status::new(run.clone())),
            curves: Mutex::new(Curves::new(run.clone())),
            recorded: Mutex::new(Recorded::new(run)),
        }
    }
}

/// What a thread left that panicked is read again.
fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Replies to a request that was admitted. `link` is that of its connection.
pub(super) fn reply(run: &Run, asked: &str, request: &Request, link: &mut Option<Link>) -> Response {
    let posted = request.method == "POST";
    match (posted, asked) {
        (false, "live") => look(run, request, link),
        (false, "curves") => curves(run, request),
        (false, "recorded") => recorded_pictures(run, request),
        (true, "pause") => steer(run, &Ask::Pause, link),
        (true, "step") => steer(run, &Ask::Step, link),
        (true, "resume") => steer(run, &Ask::Resume, link),
        (true, "live" | "curves" | "recorded") => Response::sentence(405, "This is asked for by GET."),
        (false, "pause" | "step" | "resume") => Response::sentence(405, "This is asked for by POST."),
        (_, path) => match ASSETS.iter().find(|(name, ..)| *name == path) {
            Some((.., kind, text)) if !posted => Response::new(kind, *text),
            _ => Response::sentence(404, "There is nothing of this name here."),
        },
    }
}

/// Where the run is, as a JSON object: that of its files, with `run` as it says itself, if it does; then the pictures.
fn look(run: &Run, request: &Request, link: &mut Option<Link>) -> Response {
    let now = lock(&run.status).now();
    let streams = request.numbers("streams");
    if request.query("hold").is_some() {
        thread::sleep(HOLD);
    }
    let reply = match now.state {
        Some(RunState::Running) => ask(&now, &Ask::Look(streams), link).ok(),
        _ => None,
    };
    let mut object = now.object();
    object["offered"] = reply.is_some().into();
    let (said, pictures) = reply.map_or((Value::Null, Vec::new()), |reply| {
        (serde_json::from_slice(&reply.object).unwrap_or_default(), reply.pictures)
    });
    object["run"] = said;
    Response::new(BYTES, packed(&object, &pictures))
}

/// An object and what it describes: the object's length (32 bits, little endian), the object, the rest.
fn packed(object: &Value, rest: &[u8]) -> Vec<u8> {
    let object = object.to_string().into_bytes();
    [&(object.len() as u32).to_le_bytes(), object.as_slice(), rest].concat()
}

/// Asks the engine, by the link that is there or a new one.
fn ask(
    now: &Now,
    request: &Ask,
    link: &mut Option<Link>,
) -> Result<efference_runs::viewing::Reply, efference_runs::viewing::LinkError> {
    if let Some(open) = link {
        match open.ask(request) {
            Ok(reply) => return Ok(reply),
            // The run may have ended since, and gone on in another process.
            Err(_) => *link = None,
        }
    }
    let mut open = Link::open(now.run.path())?;
    let reply = open.ask(request)?;
    *link = Some(open);
    Ok(reply)
}

fn steer(run: &Run, wish: &Ask, link: &mut Option<Link>) -> Response {
    let now = lock(&run.status).now();
    if now.state != Some(RunState::Running) {
        let state = now.state.map_or("gone", RunState::name);
        return Response::sentence(409, format!("The run does not go on any more: it is {state}."));
    }
    match ask(&now, wish, link) {
        Ok(reply) => Response::new(JSON, reply.object),
        Err(error) => Response::sentence(409, format!("The run cannot be paused from here: {error}.")),
    }
}

fn curves(run: &Run, request: &Request) -> Response {
    let mut curves = lock(&run.curves);
    curves.refresh();
    if request.query("since") == Some(&curves.version().to_string()) {
        return Response::nothing_new();
    }
    Response::new(JSON, curves.json(&request.numbers("show")))
}

fn recorded_pictures(run: &Run, request: &Request) -> Response {
    let mut recorded = lock(&run.recorded);
    let number = |name| request.query(name).and_then(|said| said.parse::<u64>().ok());
    let (Some(step), Some(stream)) = (number("step"), number("stream")) else {
        return match recorded.list() {
            Ok(list) => Response::new(JSON, list.to_string()),
            Err(error) => {
                Response::sentence(404, format!("The recorded pictures cannot be listed: {error}."))
            }
        };
    };
    match recorded.file(step, stream) {
        Ok(file) => {
            drop(recorded);
            match recorded::read(&file) {
                Ok((object, pictures)) => Response::new(BYTES, packed(&object, &pictures)),
                Err(error) => Response::sentence(404, format!("{error}.")),
            }
        }
        Err(error) => Response::sentence(404, error),
    }
}

//! A browser's messages without a browser: what arrived on the pipe is taken in as if it came now, and what it comes to is
//! returned. For trials with messages that no browser would send.
use crate::bridge::Bridge;
use crate::devtools::Connection;
use crate::reward::Normaliser;
use crate::view::Window;
use serde_json::json;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The session that is listened to.
pub const SESSION: &str = "S";

/// How many calls wait for an answer; their ids count from 1.
const CALLS: usize = 4;

/// What messages came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    /// The reward of the frame, as it would be sent: in −0.99…0.99, or absent.
    pub reward: Option<f32>,
    /// What would be observed around the middle of the window: colours in −1…1.
    pub observation: Vec<f32>,
    /// Whether the last picture could be read.
    pub drawn: bool,
    /// How many calls were answered.
    pub answers: usize,
}

/// Takes in all messages of a file or pipe, each ended by a zero byte, for a window of this width and height in pixels.
///
/// # Errors
/// If there is no `/dev/null` to send answers to.
pub fn replay(messages: OwnedFd, (width, height): (usize, usize)) -> io::Result<Replayed> {
    let connection = Connection::new(File::options().write(true).open("/dev/null")?.into());
    let bridge = Bridge::default();
    bridge.add(SESSION, "C");
    let answers = Arc::new(AtomicUsize::new(0));
    for _ in 0..CALLS {
        let answers = Arc::clone(&answers);
        let count = move |_: Result<&str, &str>| {
            answers.fetch_add(1, Ordering::Relaxed);
        };
        connection.send_then(SESSION, "Runtime.evaluate", json!({}), count).map_err(io::Error::other)?;
    }
    connection.read(messages, &bridge);
    let mut normaliser = Normaliser::default();
    let news = bridge.news(SESSION, |news| (normaliser.take(&mut news.rewards), news.picture.take()));
    let (given, picture) = news.unwrap_or_default();
    let mut window = Window::default();
    let drawn = picture.is_some_and(|(base64, _)| window.take(&base64, width, height));
    let mut observation = Vec::new();
    window.cut((width as i64 / 2, height as i64 / 2), (width, height), 1, &mut observation);
    let reward = given.map(|given| given.normalised);
    Ok(Replayed { reward, observation, drawn, answers: answers.load(Ordering::Relaxed) })
}

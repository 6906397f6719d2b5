//! What viewers ask and what they get.
use super::MOST_STREAMS;
use crate::Picture;
use serde::Serialize;
use serde_json::{Value, json};
use std::io::{self, Write};

/// What a viewer asks for: one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// `look 0 3`: what these streams observe, predicted and did, as soon as the next picture is due. Without streams: where
    /// the run is.
    Look(Vec<u64>),
    /// `pause`: the run stands still after its step.
    Pause,
    /// `step`: one step more, then it stands still.
    Step,
    /// `resume`: it goes on.
    Resume,
}

impl Request {
    /// The line, without its end.
    pub(super) fn line(&self) -> String {
        match self {
            Request::Look(streams) => {
                streams.iter().fold("look".to_owned(), |line, stream| format!("{line} {stream}"))
            }
            Request::Pause => "pause".to_owned(),
            Request::Step => "step".to_owned(),
            Request::Resume => "resume".to_owned(),
        }
    }

    /// What a line asks for; `None` if it is none.
    pub(super) fn of(line: &str) -> Option<Request> {
        let mut words = line.split_ascii_whitespace();
        let request = match words.next()? {
            "look" => {
                let streams: Result<Vec<u64>, _> = words.by_ref().map(str::parse).collect();
                Request::Look(streams.ok().filter(|streams| streams.len() <= MOST_STREAMS)?)
            }
            "pause" => Request::Pause,
            "step" => Request::Step,
            "resume" => Request::Resume,
            _ => return None,
        };
        words.next().is_none().then_some(request)
    }
}

/// A run at one step, as viewers see it.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Steps made.
    pub step: u64,
    /// Seconds that the run has taken.
    pub seconds: f64,
    /// The streams that observed something in this step, as far as they are listed.
    pub active: Vec<u64>,
    /// How many those are.
    pub streams: usize,
    /// Those that were asked for and are active.
    pub shown: Vec<Shown>,
}

/// One stream at that step.
#[derive(Debug, Default, Serialize)]
pub struct Shown {
    /// Its number.
    pub stream: u64,
    /// Whether the frame is the first of an episode, or the last.
    pub first: bool,
    /// See `first`.
    pub last: bool,
    /// What the environment said is to be maximised.
    pub reward: Option<f64>,
    /// What the goal added to it.
    pub bonus: Option<f64>,
    /// The error of the prediction, and those of the baselines, by the names of their metrics.
    pub errors: Vec<(&'static str, f64)>,
    /// How long before the observation the prediction was made.
    pub delay: Option<Delay>,
    /// What was done in response to the frame.
    pub actions: Vec<ActionTaken>,
    /// Why there is no picture, if there should be one.
    pub trouble: Option<String>,
    /// What was observed.
    #[serde(skip)]
    pub observation: Option<Picture>,
    /// What was predicted of that very observation.
    #[serde(skip)]
    pub prediction: Option<Picture>,
}

/// From a prediction to what it was of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Delay {
    /// Steps of the run.
    pub steps: u64,
    /// Seconds.
    pub seconds: f64,
}

/// What was done of one group of actions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ActionTaken {
    /// One of several.
    Chosen {
        /// Which.
        chosen: usize,
        /// Of how many.
        of: usize,
    },
    /// A value in −1…1.
    Value {
        /// The value.
        value: f32,
    },
}

/// Bytes of one picture that are sent, at most: 2,048 × 2,048 pixels.
const LARGEST: usize = 3 * 2_048 * 2_048;

impl Snapshot {
    /// Writes what it shows of these streams as a reply; with it, whether the run is to stand still, and whether it does.
    pub(super) fn write(
        &self,
        to: &mut impl Write,
        streams: &[u64],
        [paused, standing]: [bool; 2],
    ) -> io::Result<()> {
        let (mut shown, mut pictures) = (Vec::new(), Vec::new());
        for one in self.shown.iter().filter(|one| streams.contains(&one.stream)) {
            let mut object = serde_json::to_value(one)?;
            object["observation"] = described(one.observation.as_ref(), &mut pictures);
            object["prediction"] = described(one.prediction.as_ref(), &mut pictures);
            shown.push(object);
        }
        let Snapshot { step, seconds, active, streams: count, .. } = self;
        let object = json!({
            "step": step, "seconds": seconds, "paused": paused, "standing": standing,
            "active": active, "streams": count, "shown": shown,
        });
        write_reply(to, &object, &pictures)
    }
}

/// The size of a picture, which is sent; or why it is not.
fn described<'a>(picture: Option<&'a Picture>, pictures: &mut Vec<&'a [u8]>) -> Value {
    let Some(Picture { width, height, rgb }) = picture else { return Value::Null };
    let why = match rgb.len() {
        length if length == 0 || length != 3 * width * height => "not what it says",
        length if length > LARGEST => "too large to be shown here",
        _ => {
            pictures.push(rgb);
            return json!({ "width": width, "height": height });
        }
    };
    json!({ "trouble": format!("the picture of {width} × {height} pixels and {} bytes is {why}", rgb.len()) })
}

/// Writes a reply: an object, and the pictures that it describes.
pub(super) fn write_reply(to: &mut impl Write, object: &Value, pictures: &[&[u8]]) -> io::Result<()> {
    let text = serde_json::to_vec(object)?;
    let length = |bytes: usize| u32::try_from(bytes).map(u32::to_le_bytes).map_err(io::Error::other);
    to.write_all(&length(text.len())?)?;
    to.write_all(&text)?;
    to.write_all(&length(pictures.iter().map(|bytes| bytes.len()).sum())?)?;
    pictures.iter().try_for_each(|bytes| to.write_all(bytes))?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_asked_and_nothing_else_is_taken() {
        for request in [Request::Look(vec![0, 3]), Request::Look(vec![]), Request::Step, Request::Pause] {
            assert_eq!(Request::of(&request.line()), Some(request));
        }
        for line in ["", "look x", "look -1", "pause now", "look 1 2 3 4 5 6 7 8 9", "GET / HTTP/1.1"] {
            assert_eq!(Request::of(line), None, "{line:?}");
        }
    }
}

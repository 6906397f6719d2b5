//! Messages: a line of JSON each, and the bytes that it announces. The protocol is described on the crate's page.
use efference_sdk::serde::{Deserialize, Serialize};
use efference_sdk::{ActionGroup, Restores, Result, RewardRange, Spaces, StepType, ensure, serde_json};
use std::collections::BTreeMap;

/// The version of the protocol.
pub(crate) const VERSION: u32 = 1;
/// Bytes of a line at most: some ten thousand streams.
pub(crate) const LINE: usize = 1 << 20;
/// Bytes behind a line at most.
pub(crate) const PAYLOAD: usize = 1 << 30;

/// The host's first message.
#[derive(Serialize)]
#[serde(crate = "efference_sdk::serde")]
pub(crate) struct Greeting<'a> {
    pub(crate) efference: u32,
    pub(crate) seed: u64,
    pub(crate) folder: Option<&'a str>,
}

/// The program's first message.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(crate = "efference_sdk::serde", deny_unknown_fields)]
pub(crate) struct Description {
    efference: u32,
    observation: usize,
    #[serde(default)]
    actions: Vec<Group>,
    reward: Option<[f32; 2]>,
    #[serde(default)]
    restores: Restoring,
    pub(crate) picture: Option<PictureAt>,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(crate = "efference_sdk::serde", rename_all = "snake_case")]
enum Group {
    Value,
    #[serde(untagged)]
    Among {
        choice: u32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(crate = "efference_sdk::serde", rename_all = "snake_case")]
enum Restoring {
    Exact,
    #[default]
    Fresh,
}

/// Which elements of an observation are a picture.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(crate = "efference_sdk::serde", deny_unknown_fields)]
pub(crate) struct PictureAt {
    #[serde(default)]
    pub(crate) offset: usize,
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// 1: grey, 3: red, green and blue of each pixel.
    pub(crate) channels: usize,
}

impl Description {
    /// Reads it. Errors: it is none, or of another version, or can't be.
    pub(crate) fn read(line: &str) -> Result<Description> {
        let read: Description = serde_json::from_str(line)?;
        let Description { efference, observation, reward, picture, .. } = &read;
        ensure!(*efference == VERSION, "it speaks version {efference} of the protocol; this is {VERSION}");
        ensure!(
            (1..=PAYLOAD / 4).contains(observation),
            "\"observation\" is {observation}; it must be the number of elements, at least 1"
        );
        for group in &read.actions {
            if let Group::Among { choice } = group {
                ensure!(*choice >= 2, "{{\"choice\": {choice}}} leaves no choice: it must be at least 2");
            }
        }
        if let Some([min, max]) = reward {
            ensure!(min <= max && (max - min).is_finite(), "\"reward\" goes from {min} to {max}");
        }
        if let Some(PictureAt { offset, width, height, channels }) = *picture {
            ensure!(
                [1, 3].contains(&channels),
                "a picture has 1 or 3 \"channels\": grey, or red, green and blue"
            );
            let elements = width.checked_mul(height).and_then(|n| n.checked_mul(channels));
            let end = elements.and_then(|n| n.checked_add(offset));
            ensure!(
                elements != Some(0) && end.is_some_and(|end| end <= *observation),
                "\"picture\" does not lie within the {observation} elements of an observation"
            );
        }
        Ok(read)
    }

    pub(crate) fn spaces(&self) -> Spaces {
        let group = |group: &Group| match group {
            Group::Value => ActionGroup::VALUE,
            Group::Among { choice } => ActionGroup::choice(*choice),
        };
        Spaces {
            observation: self.observation,
            actions: self.actions.iter().map(group).collect(),
            reward: self.reward.map_or_else(RewardRange::default, |[min, max]| RewardRange { min, max }),
        }
    }

    pub(crate) fn restores(&self) -> Restores {
        match self.restores {
            Restoring::Exact => Restores::Exact,
            Restoring::Fresh => Restores::Fresh,
        }
    }
}

/// Every other message of the program.
#[derive(Debug, Default, Deserialize)]
#[serde(crate = "efference_sdk::serde", deny_unknown_fields, default)]
pub(crate) struct Message {
    /// Streams that have ended; their numbers may come back in the same message.
    pub(crate) ended: Vec<u64>,
    /// Streams that begin, perhaps without a frame yet.
    pub(crate) started: Vec<u64>,
    pub(crate) frames: Vec<FrameHead>,
    /// Numbers to be recorded.
    pub(crate) metrics: BTreeMap<String, f64>,
    /// No frame will come any more.
    pub(crate) close: bool,
    /// Why it can't go on.
    pub(crate) error: Option<String>,
    /// Bytes of its state, which follow.
    pub(crate) saved: Option<usize>,
    /// It has taken up the state that it was sent.
    pub(crate) restored: bool,
}

/// What is said of a frame beside its observation.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(crate = "efference_sdk::serde", deny_unknown_fields)]
pub(crate) struct FrameHead {
    pub(crate) stream: u64,
    #[serde(default)]
    pub(crate) reward: Option<f32>,
    #[serde(default)]
    step: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(crate = "efference_sdk::serde", rename_all = "snake_case")]
enum Step {
    First,
    #[default]
    Middle,
    Terminated,
    Truncated,
}

impl FrameHead {
    pub(crate) fn step_type(&self) -> StepType {
        match self.step {
            Step::First => StepType::FIRST,
            Step::Middle => StepType::MIDDLE,
            Step::Terminated => StepType::TERMINATED,
            Step::Truncated => StepType::TRUNCATED,
        }
    }
}

impl Message {
    /// Reads one. Errors: it is none.
    pub(crate) fn read(line: &str) -> Result<Message> {
        Ok(serde_json::from_str(line)?)
    }

    /// How many bytes follow it, if frames have observations of so many elements. Errors: too many.
    pub(crate) fn payload(&self, observation: usize) -> Result<usize> {
        let frames = self.frames.len().checked_mul(4 * observation);
        let all = frames.and_then(|n| n.checked_add(self.saved.unwrap_or(0)));
        match all.filter(|n| *n <= PAYLOAD) {
            Some(bytes) => Ok(bytes),
            None => efference_sdk::bail!("it announces more than {} MiB", PAYLOAD >> 20),
        }
    }
}

/// The host's responses, one a stream: the line, then for each the prediction and the action.
#[derive(Default)]
pub(crate) struct Responses {
    heads: Vec<ResponseHead>,
    payload: Vec<u8>,
}

#[derive(Serialize)]
#[serde(crate = "efference_sdk::serde")]
struct ResponsesLine<'a> {
    responses: &'a [ResponseHead],
}

#[derive(Serialize)]
#[serde(crate = "efference_sdk::serde")]
struct ResponseHead {
    stream: u64,
    prediction: usize,
    action: usize,
}

impl Responses {
    pub(crate) fn add(&mut self, stream: u64, prediction: &[f32], action: &[f32]) {
        self.heads.push(ResponseHead { stream, prediction: prediction.len(), action: action.len() });
        self.payload.extend(prediction.iter().chain(action).flat_map(|number| number.to_le_bytes()));
    }

    /// The whole message; there is nothing to respond to afterwards.
    pub(crate) fn take(&mut self) -> Result<Vec<u8>> {
        let mut bytes = line(&ResponsesLine { responses: &self.heads })?;
        bytes.append(&mut self.payload);
        self.heads.clear();
        Ok(bytes)
    }
}

/// A message as a line.
pub(crate) fn line(message: &impl Serialize) -> Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_says_what_there_is() {
        let line = r#"{"efference": 1, "observation": 7, "actions": [{"choice": 3}, "value"], "reward": [0, 2],
                       "restores": "exact", "picture": {"offset": 1, "width": 2, "height": 1, "channels": 3}}"#;
        let read = Description::read(line).unwrap();
        let spaces = read.spaces();
        assert_eq!(spaces.actions, [ActionGroup::choice(3), ActionGroup::VALUE]);
        assert_eq!((spaces.observation, spaces.reward), (7, RewardRange { min: 0.0, max: 2.0 }));
        assert_eq!(read.restores(), Restores::Exact);
        let least = Description::read(r#"{"efference": 1, "observation": 1}"#).unwrap();
        assert_eq!((least.spaces().actions.len(), least.restores()), (0, Restores::Fresh));
    }

    #[test]
    fn a_description_that_cannot_be_is_refused() {
        for (line, text) in [
            (r#"{"efference": 2, "observation": 1}"#, "it speaks version 2 of the protocol; this is 1"),
            (r#"{"efference": 1, "observation": 0}"#, "at least 1"),
            (r#"{"efference": 1, "observation": 99999999999}"#, "must be the number of elements"),
            (r#"{"efference": 1, "observation": 1, "actions": [{"choice": 1}]}"#, "leaves no choice"),
            (r#"{"efference": 1, "observation": 1, "reward": [1, 0]}"#, "\"reward\" goes from 1 to 0"),
            (r#"{"efference": 1, "observation": 1, "action": 2}"#, "unknown field `action`"),
            (
                r#"{"efference": 1, "observation": 5, "picture": {"width": 2, "height": 1, "channels": 3}}"#,
                "does not lie within the 5 elements",
            ),
            (
                r#"{"efference": 1, "observation": 5, "picture": {"width": 2, "height": 1, "channels": 2}}"#,
                "1 or 3 \"channels\"",
            ),
            (
                r#"{"efference": 1, "observation": 5,
                    "picture": {"width": 9223372036854775807, "height": 3, "channels": 1}}"#,
                "does not lie within",
            ),
        ] {
            let said = Description::read(line).unwrap_err().to_string();
            assert!(said.contains(text), "{line}: {said}");
        }
    }

    #[test]
    fn responses_are_a_line_and_their_numbers() {
        let mut responses = Responses::default();
        responses.add(3, &[0.5], &[1.0, 0.0]);
        let expected = [
            b"{\"responses\":[{\"stream\":3,\"prediction\":1,\"action\":2}]}\n".as_slice(),
            &0.5f32.to_le_bytes(),
            &1f32.to_le_bytes(),
            &0f32.to_le_bytes(),
        ];
        assert_eq!(responses.take().unwrap(), expected.concat());
    }

    #[test]
    fn what_follows_a_message_is_bounded() {
        let message = |text: &str| Message::read(text).unwrap();
        let two = message(r#"{"frames": [{"stream": 0}, {"stream": 1, "reward": 1, "step": "truncated"}]}"#);
        assert_eq!(two.payload(3).unwrap(), 24);
        assert_eq!(two.frames[1].step_type(), StepType::TRUNCATED);
        assert!(two.payload(usize::MAX / 4).is_err());
        assert!(message(r#"{"saved": 18446744073709551615}"#).payload(1).is_err());
        assert!(Message::read(r#"{"frame": []}"#).unwrap_err().to_string().contains("unknown field `frame`"));
    }
}

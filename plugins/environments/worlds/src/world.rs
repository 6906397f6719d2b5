//! What each world implements.
use efference_sdk::{Picture, Result, ResultExt, Spaces, StepType, serde_json};

/// The dynamics of a world and the state of its streams, which are numbered from 0.
///
/// The caller has checked the number of the stream and the lengths; no method allocates while stepping except where
/// a world grows.
pub(crate) trait World: Send {
    /// What all streams observe and want.
    fn spaces(&self) -> Spaces;
    /// What the stream shows now.
    fn observation(&self, stream: usize) -> &[f32];
    /// The reward that comes with the observation.
    fn reward(&self, stream: usize) -> Option<f32>;
    /// Where the observation stands in an episode.
    fn step_type(&self, stream: usize) -> StepType;
    /// Moves the stream on by one frame: after a last one to the first of the next episode, whatever the action.
    /// `prediction` is the agent's, of the frame that this makes; empty if it predicts nothing.
    fn step(&mut self, stream: usize, prediction: &[f32], action: &[f32]);
    /// Draws an observation or a prediction.
    fn picture(&self, observation: &[f32]) -> Result<Picture>;
    /// The state of all streams.
    fn save(&self) -> Result<serde_json::Value>;
    /// Takes up what `save` returned, or returns an error and changes nothing.
    fn restore(&mut self, saved: serde_json::Value) -> Result<()>;
}

/// An observation of −1 for each stream.
///
/// # Errors
/// If there is no room for them.
pub(crate) fn observations(streams: usize, elements: usize) -> Result<Vec<Vec<f32>>> {
    let one = || {
        let mut observation = Vec::new();
        observation.try_reserve_exact(elements).map(|()| {
            observation.resize(elements, -1.0);
            observation
        })
    };
    (0..streams).map(|_| one()).collect::<Result<_, _>>().with_context(|| {
        format!("there is no memory for the observations of {streams} streams, of {elements} elements each")
    })
}

/// Which of its alternatives a choice is: the largest element, the first one of several.
pub(crate) fn chosen(choice: &[f32]) -> usize {
    let larger = |best: usize, i: usize| if choice[i] > choice[best] { i } else { best };
    (1..choice.len()).fold(0, larger)
}

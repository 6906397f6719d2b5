//! The cell's input, as a trainer makes it.
use super::merge::{Merge, Merged};
use super::side_by_side::side_by_side;
use efference_sdk::autograd::detach;
use efference_sdk::tch::{Device, Tensor};
use efference_sdk::{InputLayout, Result, TrainerSetup, bail, ensure};

/// How the cell's input is made of a state, an observation and, if asked, the action that was done.
pub struct Input {
    merge: Merge,
    size: i64,
    device: Device,
    layout: InputLayout,
}

impl Input {
    /// Lays out the input of a trainer that is made from `setup`.
    ///
    /// # Errors
    /// `action_input`, and the environment wants no actions or does not know beforehand which.
    pub fn new(merge: Merge, action_input: bool, setup: &TrainerSetup<'_>) -> Result<Self> {
        let layout = layout(merge, action_input, setup)?;
        Ok(Input { merge, size: setup.state_size, device: setup.device, layout })
    }

    /// Where state, observation and action stand in the input.
    pub fn layout(&self) -> &InputLayout {
        &self.layout
    }

    /// The cell's input, and the state with what was observed over its front, which carries no gradient. `state` is (rows,
    /// state size), whose last `memory` elements are the cell's own; `observation` (rows, length) and `action` (rows, width)
    /// are those of a moment.
    pub fn merge(
        &self,
        state: &Tensor,
        observation: &Tensor,
        action: &Tensor,
        memory: i64,
    ) -> Result<(Tensor, Tensor)> {
        let (input, target) = if memory > 0 {
            self.merge_beside_memory(state, observation, memory)?
        } else {
            self.merge_state(state, observation)?
        };
        if self.layout.action.is_empty() {
            return Ok((input, target));
        }
        // Before the first action of a stream there is nothing to copy: zeros.
        let action = action.f_nan_to_num(0.0, None, None)?;
        let (width, wanted) = (action.size()[1], self.layout.action.end - self.layout.action.start);
        let action = action.f_constant_pad_nd([0, wanted - width])?.f_to_device(self.device)?;
        Ok((Tensor::f_cat(&[input, action], 1)?, target))
    }

    fn merge_state(&self, state: &Tensor, observation: &Tensor) -> Result<(Tensor, Tensor)> {
        let merged = |merge| -> Result<_> {
            let merged = Merged::new(state, observation)?;
            Ok((merged.input(merge, state)?, detach(&merged.target)?))
        };
        match self.merge {
            Merge::Concat => match side_by_side(state, observation)? {
                Some((input, target)) => Ok((input, detach(&target)?)),
                None => merged(Merge::Concat),
            },
            merge => merged(merge),
        }
    }

    /// The same where the last elements of the state are the cell's own memory, which no limit applies to.
    fn merge_beside_memory(
        &self,
        state: &Tensor,
        observation: &Tensor,
        memory: i64,
    ) -> Result<(Tensor, Tensor)> {
        let front = self.size - memory;
        let own = state.f_narrow(1, front, memory)?;
        let (input, target) = self.merge_state(&state.f_narrow(1, 0, front)?.f_contiguous()?, observation)?;
        // Behind each copy of the state in the input stands the memory.
        let mut parts = Vec::new();
        for part in input.f_split(front, 1)? {
            parts.push(part);
            parts.push(own.shallow_clone());
        }
        let target = Tensor::f_cat(&[target, own.f_detach()?], 1)?;
        Ok((Tensor::f_cat(&parts, 1)?, target))
    }
}

/// Where state, observation and action stand in the cell's input.
fn layout(merge: Merge, action_input: bool, setup: &TrainerSetup<'_>) -> Result<InputLayout> {
    let (size, reserved) = (setup.state_size, setup.reserved);
    let concat = merge == Merge::Concat;
    let front = if concat { 2 * size } else { size };
    let observation = match setup.spaces {
        Some(spaces) if concat => {
            let observed = i64::try_from(spaces.observation).unwrap_or(i64::MAX);
            size + reserved..(size + reserved).saturating_add(observed)
        }
        _ => 0..0,
    };
    if !action_input {
        return Ok(InputLayout { width: front, observation, action: 0..0 });
    }
    let Some(spaces) = setup.spaces else {
        bail!(
            "action_input = true needs an environment that knows beforehand which actions it wants, and this one does \
             not; set it to false"
        )
    };
    let actions = i64::try_from(spaces.action_width()).unwrap_or(i64::MAX);
    ensure!(actions > 0, "action_input = true, and the environment wants no actions; set it to false");
    let width = front.saturating_add(actions);
    Ok(InputLayout { width, observation, action: front..width })
}

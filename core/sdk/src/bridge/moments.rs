//! How what came from an environment crosses the boundary: moments, batches, inputs of a loss, frames.
use super::cross::{Arg, as_raw, borrow_raw, check_size, extend};
use super::lists::read_slice;
use crate::{ActionRequest, Batch, Frame, LossInput, Moment, Result};
use efference_abi::{self as abi, Slice};
use std::mem::ManuallyDrop;
use tch::Tensor;

/// A moment on the callee's stack.
pub struct SeenMoment {
    observation: ManuallyDrop<Tensor>,
    action: ManuallyDrop<Tensor>,
    raw: abi::Moment,
    value: Option<Moment<'static>>,
}

impl Arg for &Moment<'_> {
    type Abi = *const abi::Moment;
    type Lent = abi::Moment;
    type Seen = SeenMoment;

    fn as_raw(argument: &mut Self) -> Self::Lent {
        abi::Moment {
            size: size_of::<abi::Moment>(),
            streams: Slice::new(argument.streams),
            observation: as_raw(argument.observation),
            reward: Slice::new(argument.reward),
            action: as_raw(argument.action),
            step_types: Slice::new(argument.step_types),
        }
    }

    fn abi(lent: &mut Self::Lent) -> Self::Abi {
        lent
    }

    unsafe fn borrow_raw(abi: Self::Abi) -> Result<Self::Seen> {
        // SAFETY: a borrowed moment with borrowed tensors.
        unsafe {
            check_size(abi, "moment")?;
            let raw = *abi;
            let (observation, action) =
                (<&Tensor>::borrow_raw(raw.observation)?, <&Tensor>::borrow_raw(raw.action)?);
            Ok(SeenMoment { observation, action, raw, value: None })
        }
    }

    unsafe fn get(seen: &mut Self::Seen) -> Self {
        // SAFETY: by the caller's promise, which also covers the tensors in `seen`.
        unsafe {
            let raw = &seen.raw;
            let value = seen.value.insert(Moment {
                streams: read_slice(raw.streams.ptr, raw.streams.len),
                observation: extend(&seen.observation),
                reward: read_slice(raw.reward.ptr, raw.reward.len),
                action: extend(&seen.action),
                step_types: read_slice(raw.step_types.ptr, raw.step_types.len),
            });
            &*(&raw const *value).cast()
        }
    }
}

impl Arg for &Batch<'_> {
    type Abi = *const abi::Batch;
    type Lent = (abi::Moment, abi::Batch);
    type Seen = (SeenMoment, [Slice<u64>; 2], Option<Batch<'static>>);

    fn as_raw(argument: &mut Self) -> Self::Lent {
        let batch = abi::Batch {
            size: size_of::<abi::Batch>(),
            moment: std::ptr::null(),
            started: Slice::new(argument.started),
            ended: Slice::new(argument.ended),
        };
        (Arg::as_raw(&mut &argument.moment), batch)
    }

    fn abi(lent: &mut Self::Lent) -> Self::Abi {
        lent.1.moment = &raw const lent.0;
        &raw const lent.1
    }

    unsafe fn borrow_raw(abi: Self::Abi) -> Result<Self::Seen> {
        // SAFETY: a borrowed batch.
        unsafe {
            check_size(abi, "batch")?;
            Ok((<&Moment<'_>>::borrow_raw((*abi).moment)?, [(*abi).started, (*abi).ended], None))
        }
    }

    unsafe fn get(seen: &mut Self::Seen) -> Self {
        // SAFETY: by the caller's promise.
        unsafe {
            let moment: &Moment<'static> = Arg::get(&mut seen.0);
            let [started, ended] = seen.1.map(|s| read_slice(s.ptr, s.len));
            let value = seen.2.insert(Batch { moment: *moment, started, ended });
            &*(&raw const *value).cast()
        }
    }
}

/// A loss's input on the callee's stack.
pub struct SeenLossInput {
    moment: SeenMoment,
    state: ManuallyDrop<Tensor>,
    target: ManuallyDrop<Tensor>,
    next: Option<ManuallyDrop<Tensor>>,
    unroll: u64,
    value: Option<LossInput<'static>>,
}

impl Arg for &LossInput<'_> {
    type Abi = *const abi::LossInput;
    type Lent = (abi::Moment, abi::LossInput);
    type Seen = SeenLossInput;

    fn as_raw(argument: &mut Self) -> Self::Lent {
        let input = abi::LossInput {
            size: size_of::<abi::LossInput>(),
            moment: std::ptr::null(),
            state: as_raw(argument.state),
            target: as_raw(argument.target),
            next: argument.next.map_or(std::ptr::null(), as_raw),
            unroll: argument.unroll,
        };
        (Arg::as_raw(&mut { argument.moment }), input)
    }

    fn abi(lent: &mut Self::Lent) -> Self::Abi {
        lent.1.moment = &raw const lent.0;
        &raw const lent.1
    }

    unsafe fn borrow_raw(abi: Self::Abi) -> Result<Self::Seen> {
        // SAFETY: a borrowed struct with borrowed tensors.
        unsafe {
            check_size(abi, "loss input")?;
            let raw = &*abi;
            Ok(SeenLossInput {
                moment: <&Moment<'_>>::borrow_raw(raw.moment)?,
                state: <&Tensor>::borrow_raw(raw.state)?,
                target: <&Tensor>::borrow_raw(raw.target)?,
                next: (!raw.next.is_null()).then(|| borrow_raw(raw.next)),
                unroll: raw.unroll,
                value: None,
            })
        }
    }

    unsafe fn get(seen: &mut Self::Seen) -> Self {
        // SAFETY: by the caller's promise.
        unsafe {
            let value = seen.value.insert(LossInput {
                moment: Arg::get(&mut seen.moment),
                state: extend(&seen.state),
                target: extend(&seen.target),
                next: seen.next.as_ref().map(|next| extend(next)),
                unroll: seen.unroll,
            });
            &*(&raw const *value).cast()
        }
    }
}

impl Arg for &ActionRequest<'_> {
    type Abi = *const abi::ActionRequest;
    type Lent = abi::ActionRequest;
    type Seen = ActionRequest<'static>;

    fn as_raw(argument: &mut Self) -> Self::Lent {
        let ActionRequest { groups, seed, greedy } = **argument;
        abi::ActionRequest { size: size_of::<abi::ActionRequest>(), groups: Slice::new(groups), seed, greedy }
    }

    fn abi(lent: &mut Self::Lent) -> Self::Abi {
        lent
    }

    unsafe fn borrow_raw(abi: Self::Abi) -> Result<Self::Seen> {
        // SAFETY: a borrowed struct; its groups are borrowed for the call as well.
        unsafe {
            check_size(abi, "request for actions")?;
            let abi::ActionRequest { groups, seed, greedy, .. } = *abi;
            Ok(ActionRequest { groups: read_slice(groups.ptr, groups.len), seed, greedy })
        }
    }

    unsafe fn get(seen: &mut Self::Seen) -> Self {
        let request: *const ActionRequest<'static> = &raw const *seen;
        // SAFETY: by the caller's promise.
        unsafe { &*request }
    }
}

impl Arg for Frame<'_> {
    type Abi = *const abi::Frame;
    type Lent = abi::Frame;
    type Seen = abi::Frame;

    fn as_raw(argument: &mut Self) -> Self::Lent {
        abi::Frame {
            size: size_of::<abi::Frame>(),
            stream: argument.stream,
            observation: Slice::new(argument.observation),
            actions: Slice::new(argument.actions),
            reward: argument.reward.unwrap_or(f32::NAN),
            step_type: argument.step_type,
        }
    }

    fn abi(lent: &mut Self::Lent) -> Self::Abi {
        lent
    }

    unsafe fn borrow_raw(abi: Self::Abi) -> Result<Self::Seen> {
        // SAFETY: a borrowed frame.
        unsafe {
            check_size(abi, "frame")?;
            Ok(*abi)
        }
    }

    unsafe fn get(seen: &mut Self::Seen) -> Self {
        // SAFETY: borrowed elements, for the call.
        unsafe {
            Frame {
                stream: seen.stream,
                observation: read_slice(seen.observation.ptr, seen.observation.len),
                actions: read_slice(seen.actions.ptr, seen.actions.len),
                reward: (!seen.reward.is_nan()).then_some(seen.reward),
                step_type: seen.step_type,
            }
        }
    }
}

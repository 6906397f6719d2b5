//! How structs cross the boundary.
use super::cross::{Arg, RawTensor, Ret, as_raw, check_size, extend, tensors_from_raw, tensors_into_raw};
use super::lists::{list, list_with_owner, read_slice, read_str, take_list, try_take_list};
use crate::{
    Comparison, GradInput, GradMask, GradOutput, GradPath, InputLayout, Loss, NetworkSpec, Nonlinearity,
    ParamStore, Params, Picture, Recurrence, Result, RewardRange, Saved, Spaces, Stage, Term, TraceStep,
    WeightLayout, ensure,
};
use efference_abi::{self as abi, List, Slice, Str};
use std::mem::ManuallyDrop;
use tch::{Device, Kind, Tensor};

// ---- What the agent is made for ----

impl Arg for &Params<'_> {
    type Abi = abi::Object<crate::params::param_store::Table>;
    type Lent = *const (dyn ParamStore + 'static);
    type Seen = (crate::params::param_store::Proxy, Option<Params<'static>>);

    fn as_raw(argument: &mut Self) -> Self::Lent {
        Arg::as_raw(&mut (*argument as &dyn ParamStore))
    }

    fn abi(lent: &mut Self::Lent) -> Self::Abi {
        <&dyn ParamStore>::abi(lent)
    }

    unsafe fn borrow_raw(abi: Self::Abi) -> Result<Self::Seen> {
        // SAFETY: by the caller's promise.
        Ok((unsafe { <&dyn ParamStore>::borrow_raw(abi)? }, None))
    }

    unsafe fn get(seen: &mut Self::Seen) -> Self {
        // SAFETY: by the caller's promise.
        unsafe {
            let store: &'static dyn ParamStore = Arg::get(&mut seen.0);
            let params = seen.1.insert(Params::new(store));
            &*(&raw const *params).cast()
        }
    }
}

impl Ret for Option<Spaces> {
    type Abi = abi::Spaces;

    fn into_raw(self) -> Self::Abi {
        let size = size_of::<abi::Spaces>();
        match self {
            None => abi::Spaces {
                size,
                known: false,
                observation: 0,
                actions: List::EMPTY,
                reward_min: 0.0,
                reward_max: 0.0,
            },
            Some(Spaces { observation, actions, reward }) => abi::Spaces {
                size,
                known: true,
                observation,
                actions: list(actions),
                reward_min: reward.min,
                reward_max: reward.max,
            },
        }
    }

    unsafe fn from_raw(abi: Self::Abi) -> Result<Self> {
        // SAFETY: a list that was moved here, taken once.
        let actions = unsafe { take_list(abi.actions, |group| group) };
        let reward = RewardRange { min: abi.reward_min, max: abi.reward_max };
        Ok(abi.known.then_some(Spaces { observation: abi.observation, actions, reward }))
    }
}

impl Ret for Comparison {
    type Abi = abi::Comparison;

    fn into_raw(self) -> Self::Abi {
        abi::Comparison {
            size: size_of::<abi::Comparison>(),
            roles: list(self.roles),
            linear: self.linear,
            period: self.period.unwrap_or(0) as u64,
        }
    }

    unsafe fn from_raw(abi: Self::Abi) -> Result<Self> {
        // SAFETY: a list that was moved here, taken once.
        let roles = unsafe { take_list(abi.roles, |role| role) };
        let period = usize::try_from(abi.period).ok().filter(|period| *period > 0);
        Ok(Comparison { roles, linear: abi.linear, period })
    }
}

impl Ret for Option<Picture> {
    type Abi = abi::Picture;

    fn into_raw(self) -> Self::Abi {
        match self {
            Some(Picture { width, height, rgb }) => abi::Picture { width, height, rgb: list(rgb) },
            None => abi::Picture { width: 0, height: 0, rgb: List::EMPTY },
        }
    }

    unsafe fn from_raw(abi: Self::Abi) -> Result<Self> {
        let (width, height) = (abi.width, abi.height);
        // SAFETY: a list that was moved here, taken once.
        let rgb = unsafe { take_list(abi.rgb, |byte| byte) };
        if width == 0 || height == 0 {
            return Ok(None);
        }
        let bytes = width.checked_mul(height).and_then(|n| n.checked_mul(3));
        ensure!(
            bytes == Some(rgb.len()),
            "drew {} bytes for a picture of {width} × {height} pixels",
            rgb.len()
        );
        Ok(Some(Picture { width, height, rgb }))
    }
}

impl Ret for InputLayout {
    type Abi = abi::InputLayout;

    fn into_raw(self) -> Self::Abi {
        let InputLayout { width, observation, action } = self;
        abi::InputLayout { width, observation: observation.into_raw(), action: action.into_raw() }
    }

    unsafe fn from_raw(abi: Self::Abi) -> Result<Self> {
        let range = |r: abi::Range| r.start..r.end;
        Ok(InputLayout { width: abi.width, observation: range(abi.observation), action: range(abi.action) })
    }
}

impl Arg for &NetworkSpec<'_> {
    type Abi = *const abi::NetworkSpec;
    type Lent = abi::NetworkSpec;
    type Seen = (String, NetworkSpec<'static>, Option<NetworkSpec<'static>>);

    fn as_raw(argument: &mut Self) -> Self::Lent {
        abi::NetworkSpec {
            size: size_of::<abi::NetworkSpec>(),
            name: Str::new(argument.name),
            ins: argument.ins,
            outs: argument.outs,
            layers: argument.layers,
            nonlinearity: Str::new(argument.nonlinearity.name()),
            zero_at_start: argument.zero_at_start,
            learning_rate: argument.learning_rate.unwrap_or(f64::NAN),
        }
    }

    fn abi(lent: &mut Self::Lent) -> Self::Abi {
        lent
    }

    unsafe fn borrow_raw(abi: Self::Abi) -> Result<Self::Seen> {
        // SAFETY: a borrowed struct with borrowed texts.
        unsafe {
            check_size(abi, "network")?;
            let raw = &*abi;
            let spec = NetworkSpec {
                name: "",
                ins: raw.ins,
                outs: raw.outs,
                layers: raw.layers,
                nonlinearity: Nonlinearity::named(&read_str(raw.nonlinearity))?,
                zero_at_start: raw.zero_at_start,
                learning_rate: (!raw.learning_rate.is_nan()).then_some(raw.learning_rate),
            };
            Ok((read_str(raw.name), spec, None))
        }
    }

    unsafe fn get(seen: &mut Self::Seen) -> Self {
        let name: *const str = &raw const *seen.0;
        // SAFETY: by the caller's promise, which also covers the name in `seen`.
        unsafe {
            let name = &*name;
            let value = seen.2.insert(NetworkSpec { name, ..seen.1.clone() });
            &*(&raw const *value).cast()
        }
    }
}

impl Ret for Vec<WeightLayout> {
    type Abi = List<abi::WeightLayout>;

    fn into_raw(self) -> Self::Abi {
        let raw = |w: &WeightLayout| abi::WeightLayout {
            name: Str::new(&w.name),
            input_dims: Slice::new(&w.input_dims),
        };
        // The names and dims stay where they are when the vector is moved.
        list_with_owner(self.iter().map(raw).collect(), self)
    }

    unsafe fn from_raw(abi: Self::Abi) -> Result<Self> {
        // SAFETY: a list that was moved here, taken once.
        unsafe {
            Ok(take_list(abi, |w| WeightLayout {
                name: read_str(w.name),
                input_dims: read_slice(w.input_dims.ptr, w.input_dims.len).to_vec(),
            }))
        }
    }
}

impl Ret for Option<Recurrence> {
    type Abi = abi::Recurrence;

    fn into_raw(self) -> Self::Abi {
        match self {
            Some(Recurrence { elements, parts, units }) => {
                abi::Recurrence { elements: elements.into_raw(), parts, units: units.into_raw() }
            }
            None => abi::Recurrence { elements: (0..0).into_raw(), parts: 0, units: List::EMPTY },
        }
    }

    unsafe fn from_raw(abi: Self::Abi) -> Result<Self> {
        // SAFETY: a list that was moved here, taken once.
        let units = unsafe { Saved::from_raw(abi.units)? };
        let elements = abi.elements.start..abi.elements.end;
        let (parts, length) = (abi.parts, elements.end.saturating_sub(elements.start));
        if parts == 0 {
            return Ok(None);
        }
        ensure!(
            parts > 0 && elements.start >= 0 && length > 0 && length % parts == 0,
            "says that its state recurs in units of {parts} elements at {elements:?}, which holds no whole number of them"
        );
        Ok(Some(Recurrence { elements, parts, units }))
    }
}

impl Ret for Vec<Stage> {
    type Abi = List<abi::Stage>;

    fn into_raw(self) -> Self::Abi {
        let raw = |s: &Stage| abi::Stage { nodes: s.nodes, edges: Slice::new(&s.edges) };
        // The edges stay where they are when the vector is moved.
        list_with_owner(self.iter().map(raw).collect(), self)
    }

    unsafe fn from_raw(abi: Self::Abi) -> Result<Self> {
        // SAFETY: a list that was moved here, taken once.
        unsafe {
            Ok(take_list(abi, |s| Stage {
                nodes: s.nodes,
                edges: read_slice(s.edges.ptr, s.edges.len).to_vec(),
            }))
        }
    }
}

// ---- Gradients ----

impl Arg for &[GradPath] {
    type Abi = Slice<abi::GradPath>;
    type Lent = Vec<abi::GradPath>;
    type Seen = Vec<GradPath>;

    fn as_raw(argument: &mut Self) -> Self::Lent {
        let raw = |path: &GradPath| {
            let (chunk, open_chunks, period) = match path.mask {
                GradMask::All => (0, 1, 1),
                GradMask::EvenChunks { size } => (size, 0b01, 2),
                GradMask::OddChunks { size } => (size, 0b10, 2),
            };
            abi::GradPath {
                outs: path.outs.clone().into_raw(),
                chunk,
                open_chunks,
                period,
                frozen: path.frozen,
            }
        };
        argument.iter().map(raw).collect()
    }

    fn abi(lent: &mut Self::Lent) -> Self::Abi {
        Slice::new(lent)
    }

    unsafe fn borrow_raw(abi: Self::Abi) -> Result<Self::Seen> {
        // SAFETY: borrowed elements.
        let raw = unsafe { read_slice(abi.ptr, abi.len) };
        raw.iter()
            .map(|path| {
                let mask = match (path.chunk, path.period, path.open_chunks) {
                    (0, 1, 1) => GradMask::All,
                    (size, 2, 0b01) => GradMask::EvenChunks { size },
                    (size, 2, 0b10) => GradMask::OddChunks { size },
                    _ => crate::bail!("passed a gradient path whose chunks this SDK does not know"),
                };
                Ok(GradPath { outs: path.outs.start..path.outs.end, mask, frozen: path.frozen })
            })
            .collect()
    }

    unsafe fn get(seen: &mut Self::Seen) -> Self {
        // SAFETY: by the caller's promise.
        unsafe { std::slice::from_raw_parts(seen.as_ptr(), seen.len()) }
    }
}

impl Arg for &GradOutput<'_> {
    type Abi = *const abi::GradOutput;
    type Lent = abi::GradOutput;
    type Seen = (ManuallyDrop<Tensor>, Slice<bool>, usize, Option<GradOutput<'static>>);

    fn as_raw(argument: &mut Self) -> Self::Lent {
        abi::GradOutput {
            size: size_of::<abi::GradOutput>(),
            grad: as_raw(argument.grad),
            needs_param_grad: Slice::new(argument.needs_param_grad),
            input_paths: argument.input_paths,
        }
    }

    fn abi(lent: &mut Self::Lent) -> Self::Abi {
        lent
    }

    unsafe fn borrow_raw(abi: Self::Abi) -> Result<Self::Seen> {
        // SAFETY: a borrowed struct with a borrowed tensor.
        unsafe {
            check_size(abi, "gradient")?;
            Ok((<&Tensor>::borrow_raw((*abi).grad)?, (*abi).needs_param_grad, (*abi).input_paths, None))
        }
    }

    unsafe fn get(seen: &mut Self::Seen) -> Self {
        // SAFETY: by the caller's promise.
        unsafe {
            let (grad, needs_param_grad) = (extend(&seen.0), read_slice(seen.1.ptr, seen.1.len));
            let value = seen.3.insert(GradOutput { grad, needs_param_grad, input_paths: seen.2 });
            &*(&raw const *value).cast()
        }
    }
}

impl Ret for (Tensor, Vec<Tensor>) {
    type Abi = abi::VjpForward;

    fn into_raw(self) -> Self::Abi {
        abi::VjpForward { output: self.0.into_raw(), saved: tensors_into_raw(self.1) }
    }

    unsafe fn from_raw(abi: Self::Abi) -> Result<Self> {
        // SAFETY: tensors that were moved here, taken once.
        unsafe {
            let saved = tensors_from_raw(abi.saved);
            Ok((Tensor::from_raw(abi.output)?, saved?))
        }
    }
}

impl Ret for GradInput {
    type Abi = abi::GradInput;

    fn into_raw(self) -> Self::Abi {
        let params = self.params.into_iter().map(Ret::into_raw).collect();
        abi::GradInput { input: self.input.into_raw(), params: list(params) }
    }

    unsafe fn from_raw(abi: Self::Abi) -> Result<Self> {
        // SAFETY: tensors that were moved here, or null; taken once.
        unsafe {
            let params = try_take_list(abi.params, |t| <Option<Tensor>>::from_raw(t));
            Ok(GradInput { input: Ret::from_raw(abi.input)?, params: params? })
        }
    }
}

// ---- Losses ----

impl Ret for Loss {
    type Abi = abi::Loss;

    fn into_raw(self) -> Self::Abi {
        let mut names = Vec::with_capacity(self.terms.len());
        let mut terms: Vec<abi::LossTerm> = Vec::with_capacity(self.terms.len());
        for Term { name, value, error, traces } in self.terms {
            terms.push(abi::LossTerm {
                name: Str::new(&name),
                value: value.into_raw(),
                error: error.map(|error| with_trace_steps(error, &traces)).into_raw(),
            });
            // The bytes of the name stay where they are.
            names.push(name);
        }
        abi::Loss { terms: list_with_owner(terms, names), metrics: self.metrics.into_raw() }
    }

    unsafe fn from_raw(abi: Self::Abi) -> Result<Self> {
        // SAFETY: lists that were moved here, taken once.
        unsafe {
            let terms = try_take_list(abi.terms, |t| {
                let name = read_str(t.name);
                let error = <Option<Tensor>>::from_raw(t.error);
                let value = Tensor::from_raw(t.value)?;
                let (error, traces) = match error? {
                    Some(error) => split_trace_steps(&name, error)?,
                    None => (None, Vec::new()),
                };
                Ok(Term { name, value, error, traces })
            });
            let metrics = <Vec<(String, Tensor)>>::from_raw(abi.metrics);
            Ok(Loss { terms: terms?, metrics: metrics? })
        }
    }
}

/// Errors with what becomes of the traces behind them, (2, rows); without the latter the errors alone.
fn with_trace_steps(error: Tensor, traces: &[TraceStep]) -> Tensor {
    if traces.is_empty() {
        return error;
    }
    let codes = traces.iter().map(|step| match step {
        TraceStep::Continue => 1.0f32,
        TraceStep::Restart => 0.0,
        TraceStep::Rest => -1.0,
    });
    let codes = Tensor::from_slice(&codes.collect::<Vec<_>>());
    // What cannot be put together is refused as errors of a wrong shape.
    let rows = |t: &Tensor| t.f_reshape([1, -1]);
    let both = codes
        .f_to_device(error.device())
        .and_then(|codes| Tensor::f_cat(&[rows(&error)?, rows(&codes.f_to_kind(error.kind())?)?], 0));
    both.unwrap_or(error)
}

fn split_trace_steps(name: &str, error: Tensor) -> Result<(Option<Tensor>, Vec<TraceStep>)> {
    if error.dim() != 2 {
        return Ok((Some(error), Vec::new()));
    }
    let codes = error
        .f_get(1)
        .and_then(|codes| codes.f_to_kind(Kind::Float)?.f_to_device(Device::Cpu)?.f_contiguous());
    let codes = Vec::<f32>::try_from(&codes?)?;
    let steps = codes.iter().map(|code| match code {
        1.0 => Ok(TraceStep::Continue),
        0.0 => Ok(TraceStep::Restart),
        -1.0 => Ok(TraceStep::Rest),
        _ => crate::bail!("the loss term '{name}' says {code} of a trace; 1, 0 or −1 is known"),
    });
    Ok((Some(error.f_get(0)?.f_contiguous()?), steps.collect::<Result<_>>()?))
}

// `&[Tensor]` is read in place from tensors that crossed as pointers.
const _: () = assert!(size_of::<*const RawTensor>() == size_of::<Tensor>());

//! Cell plugin: attention over a window of remembered frames.
//!
//! The state of this cell ends with a memory of `window` frames, each compressed to `width` elements, the last one first:
//! `[p, m_1, …, m_window]`. Of an input that begins with this state and holds what was observed, `u`:
//!
//! ```text
//! m_0  = tanh(compress(u))                                     the frame that is just seen, (width)
//! q    = query([p, u])                                         (heads, width)
//! a_k  = Σ_i softmax_i(q_k · (m_i + e_i) / √width) · m_i       i = 0 … window; (heads, width)
//! s    = [p, u, a]
//! z    = sigmoid(z(s) − gate_bias)
//! p'   = (1 − z) · p + z · out_mult · tanh(candidate(s))
//! next state = [p', m_0, m_1, …, m_(window − 1)]
//! ```
//!
//! `e` says how old a frame is: a head can ask for what a frame shows, for its age, or for both. Keys and values are the
//! remembered frames themselves: a linear map of keys would be one more of queries, and one of values one more of what comes
//! behind, so that both are part of `query`, `z` and `candidate`, at no cost for each frame. That a few queries look at many inputs
//! is from the Perceiver (Jaegle et al., arXiv 2103.03206), the gate behind the attention, with a bias that can keep it shut at
//! the start, from GTrXL (Parisotto et al., arXiv 1910.06764). `compress`, `query`, `z` and `candidate` are stacks of the
//! experiment's layers.
//!
//! **Gradient.** It goes through the present frame: the query, its own compression `m_0`, the gate and the candidate. It does not go
//! into remembered frames: the memory is carried from step to step without gradient (`Cell::memory`). So `compress` learns from
//! what the present frame is good for, not from what it is remembered for; what is remembered is all the same at hand, without
//! an unroll as long as the window: credit through time is needed for `p` alone.
//!
//! **Cost.** `2 · heads · (window + 1) · width` multiply-accumulates a row for the attention, and `window · width` elements of the state
//! that are moved on by one place in each step, beside the four stacks. It is for what has to be recalled after up to `window`
//! steps as it was; beyond the window only `p` remembers. Frames not yet seen in a stream are zeros.
//!
//! `u` is the reward, the observation and the action that was done, where the trainer says where these stand (merge = "concat");
//! else all that stands behind the state but for the memory, and if nothing does, `p` itself.
mod layout;
#[cfg(test)]
mod tests;

use efference_sdk::nn::{check_forward, columns};
use efference_sdk::tch::{Kind, Tensor};
use efference_sdk::{Cell, CellSetup, Nonlinearity, Plugin, Result, Size, Stack, StackSpec, ensure};
use layout::{Beside, Window};
use std::ops::Range;

efference_sdk::options! {
    /// Options of `perceiver`.
    pub struct Options {
        /// How many frames are remembered.
        #[schemars(range(min = 1, max = 65_536))]
        pub window: i64 = 16,
        /// Elements that are kept of a frame; 0: as many as fill half of the state, in a shorter window if there is too little of it.
        #[schemars(range(min = 0, max = 65_536))]
        pub width: i64 = 0,
        /// How many queries look at the window.
        #[schemars(range(min = 1, max = 4_096))]
        pub heads: i64 = 16,
        /// What is taken from the gate's input: above 0 the cell begins by keeping its state.
        pub gate_bias: f64 = 0.0,
        /// How many layers stand in a row in the gate and in the candidate.
        #[schemars(range(min = 1, max = 4_096))]
        pub layers: i64 = 1,
        /// What stands between them.
        pub nonlinearity: Nonlinearity = Nonlinearity::Softsign,
        /// How far a state can go from zero; a little more than 1 lets it reach ±1 itself.
        pub out_mult: f64 = 1.2,
    }
}

/// A cell that looks back. Parameters: `age`, (window + 1, width), and those of the stacks under `compress`, `query`, `z` and
/// `candidate`.
pub struct Perceiver {
    size: Size,
    window: Window,
    beside: Beside,
    heads: i64,
    gate_bias: f64,
    out_mult: f64,
    age: Tensor,
    compress: Stack,
    query: Stack,
    z: Stack,
    candidate: Stack,
}

impl Plugin for Perceiver {
    const NAME: &'static str = "perceiver";
    const DESCRIPTION: &'static str = "Attention over a window of remembered frames, behind a gate.";
    type Options = Options;
    type Kind = dyn Cell;

    fn new(options: Options, setup: &CellSetup<'_>) -> Result<Self> {
        let Options { heads, gate_bias, layers, nonlinearity, out_mult, .. } = options;
        let (size, params) = (setup.size, &setup.params);
        ensure!(
            size.ins >= size.outs,
            "perceiver keeps a part of its input as the next state, so that its input ({} features) cannot be smaller than its \
             output ({})",
            size.ins,
            size.outs
        );
        ensure!(out_mult.is_finite(), "out_mult must be a finite number, and is {out_mult}");
        ensure!(gate_bias.is_finite(), "gate_bias must be a finite number, and is {gate_bias}");
        let window = Window::new(options.window, options.width, setup)?;
        let beside = Beside::new(setup, window.front);
        let (front, width) = (window.front, window.width);
        let seen = front + beside.width();
        let stack = |name: &str, ins: i64, outs: i64, layers: i64| {
            let spec = StackSpec { size: Size { ins, outs }, layers, nonlinearity, zero_at_start: false };
            Stack::new(spec, setup.layers, &params.scope(name))
        };
        let attended = seen + heads * width;
        Ok(Perceiver {
            age: params.normal("age", &[window.frames + 1, width], 1.0)?,
            compress: stack("compress", if beside.width() > 0 { beside.width() } else { front }, width, 1)?,
            query: stack("query", seen, heads * width, 1)?,
            z: stack("z", attended, front, layers)?,
            candidate: stack("candidate", attended, front, layers)?,
            size,
            window,
            beside,
            heads,
            gate_bias,
            out_mult,
        })
    }
}

impl Perceiver {
    /// What the queries `q` (batch, heads · width) find in `frames` (batch, window + 1, width): (batch, heads · width).
    fn attend(&self, q: &Tensor, frames: &Tensor) -> Result<Tensor> {
        let width = self.window.width;
        let q = q.f_view([-1, self.heads, width])?;
        let keys = frames.f_add(&self.age)?.f_transpose(1, 2)?;
        let likeness = q.f_bmm(&keys)?.f_div_scalar((width as f64).sqrt())?;
        let found = likeness.f_softmax(2, Kind::Float)?.f_bmm(frames)?;
        Ok(found.f_reshape([-1, self.heads * width])?)
    }
}

impl Cell for Perceiver {
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        check_forward(Self::NAME, self.size, x, &outs)?;
        let Window { front, frames, width } = self.window;
        let (p, memory) = (x.f_narrow(1, 0, front)?, x.f_narrow(1, front, frames * width)?);
        let beside = self.beside.of(x)?;
        let now = self.compress.forward(beside.as_ref().unwrap_or(&p))?.f_tanh()?;
        let all = Tensor::f_cat(&[&now, &memory], 1)?;
        let seen: Vec<&Tensor> = std::iter::once(&p).chain(&beside).collect();
        let q = self.query.forward(&Tensor::f_cat(&seen, 1)?)?;
        let found = self.attend(&q, &all.f_view([-1, frames + 1, width])?)?;
        let s = Tensor::f_cat(&[&seen[..], &[&found]].concat(), 1)?;
        let z = self.z.forward(&s)?.f_sub_scalar(self.gate_bias)?.f_sigmoid()?;
        let candidate = self.candidate.forward(&s)?.f_tanh()?.f_mul_scalar(self.out_mult)?;
        let p = p.f_lerp_tensor(&candidate, &z)?;
        // The oldest frame is dropped.
        let memory = all.f_narrow(1, 0, frames * width)?;
        columns(&Tensor::f_cat(&[p, memory], 1)?, &outs)
    }

    fn memory(&self) -> Result<i64> {
        Ok(self.window.frames * self.window.width)
    }
}

efference_sdk::export! { cell: Perceiver }

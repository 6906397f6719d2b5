//! Adam over plain memory: one pass over parameter, gradient and both moments, on all of libtorch's threads.
//!
//! Rules of the unsafe code here: a slice is made of a tensor's memory only where its numbers fill that stretch, are
//! 32-bit floats and on the CPU, and for no longer than one update, during which nobody else touches the tensor.
#![allow(unsafe_code)]
use efference_sdk::autograd::{
    bump_version, count, is_contiguous_cpu_f32, is_non_overlapping_and_dense, parallel,
};
use efference_sdk::simd;
use std::sync::{Mutex, PoisonError};
use tch::{Device, Kind, Tensor};

/// What an update by Adam multiplies with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Factors {
    pub(super) beta1: f32,
    pub(super) beta2: f32,
    pub(super) epsilon: f32,
    /// `learning rate / (1 − beta1^t)`
    pub(super) step_size: f32,
    /// `1 / √(1 − beta2^t)`
    pub(super) inverse_root: f32,
    /// The gradient is multiplied by this first.
    pub(super) gradient_scale: f32,
    /// The parameter is multiplied by this before the update.
    pub(super) decay_before: f32,
    /// The parameter is multiplied by this after the update.
    pub(super) decay_after: f32,
}

/// Numbers that are updated in one go: some hundred kilobytes, so that threads share the work evenly.
const PIECE: usize = 16_384;

struct Piece<'a> {
    parameter: &'a mut [f32],
    gradient: &'a [f32],
    m: &'a mut [f32],
    v: &'a mut [f32],
    factors: Factors,
}

/// Updates to be made together.
pub(super) struct Updates<'a> {
    pieces: Vec<Mutex<Option<Piece<'a>>>>,
    numbers: usize,
}

impl<'a> Updates<'a> {
    /// None yet, of so many parameters.
    pub(super) fn of(parameters: usize) -> Self {
        Updates { pieces: Vec::with_capacity(parameters), numbers: 0 }
    }

    /// Adds the update of a parameter by its gradient, with its two moments; returns `false` where they do not
    /// all lie alike, as 32-bit floats on the CPU.
    pub(super) fn add(&mut self, [parameter, gradient, m, v]: [&'a Tensor; 4], factors: Factors) -> bool {
        let all = [parameter, gradient, m, v];
        let n = count(parameter);
        let all_plain = all.into_iter().all(|t| is_contiguous_cpu_f32(t) && count(t) == n);
        if !all_plain && !lie_alike(all) {
            return false;
        }
        // SAFETY: checked above; the four are different tensors, and nobody else uses them while `self` lives.
        let slice = |t: &'a Tensor| unsafe { std::slice::from_raw_parts_mut(t.data_ptr().cast::<f32>(), n) };
        let moments = slice(m).chunks_mut(PIECE).zip(slice(v).chunks_mut(PIECE));
        let all = slice(parameter).chunks_mut(PIECE).zip(slice(gradient).chunks(PIECE)).zip(moments);
        // What a graph saved of the parameter before is no longer what it was.
        bump_version(parameter);
        self.numbers += n;
        self.pieces.extend(all.map(|((parameter, gradient), (m, v))| {
            Mutex::new(Some(Piece { parameter, gradient, m, v, factors }))
        }));
        true
    }

    /// Makes them.
    pub(super) fn run(self) {
        let make = |i: usize| {
            if let Some(piece) = self.pieces[i].lock().unwrap_or_else(PoisonError::into_inner).take() {
                simd!(update(piece));
            }
        };
        // For little work, waking other threads costs more than it brings.
        if self.numbers < 2 * PIECE {
            (0..self.pieces.len()).for_each(make);
        } else {
            parallel(self.pieces.len(), make);
        }
    }
}

/// Whether tensors of 32-bit floats on the CPU have the same shape and the same order of dims in memory.
fn lie_alike(all: [&Tensor; 4]) -> bool {
    let (shape, strides) = (all[0].size(), all[0].stride());
    all.into_iter().all(|t| {
        let lies = is_non_overlapping_and_dense(t) && t.stride() == strides && t.size() == shape;
        lies && t.device() == Device::Cpu && t.kind() == Kind::Float
    })
}

/// The formula of torch's Adam (Kingma & Ba, arXiv 1412.6980, with the bias corrections folded into two factors).
#[inline(always)]
fn update(piece: Piece<'_>) {
    let Piece { parameter, gradient, m, v, factors: f } = piece;
    for (((p, g), m), v) in parameter.iter_mut().zip(gradient).zip(m).zip(v) {
        let g = g * f.gradient_scale;
        *m += (g - *m) * (1.0 - f.beta1);
        *v = *v * f.beta2 + g * g * (1.0 - f.beta2);
        let denominator = v.sqrt() * f.inverse_root + f.epsilon;
        *p = (*p * f.decay_before - f.step_size * *m / denominator) * f.decay_after;
    }
}

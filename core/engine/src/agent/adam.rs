//! Adam over plain memory: one pass over parameter, gradient and both moments, on all of libtorch's threads.
//!
//! Rules of the unsafe code here: a slice is made of a tensor's memory only where its numbers fill that stretch, are
//! 32-bit floats and on the CPU, and for no longer than one update, during which nobody else touches the tensor.
#![allow(unsafe_code)]
use super::elements::Own;
use efference_sdk::autograd::{bump_version, elements_alike, parallel};
use efference_sdk::simd;
use std::sync::{Mutex, PoisonError};
use tch::Tensor;

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
    /// Whether each is made when it is added.
    at_once: bool,
}

impl<'a> Updates<'a> {
    /// None yet, of so many elements in all.
    pub(super) fn of(elements: usize) -> Self {
        // For little work, waking other threads costs more than it brings.
        Updates { pieces: Vec::new(), at_once: elements < 6 * PIECE }
    }

    /// Adds the update of a parameter by its gradient, with its two moments; returns `false` where they do not
    /// all lie alike, as 32-bit floats on the CPU.
    pub(super) fn add(
        &mut self,
        [parameter, m, v]: [&'a Tensor; 3],
        gradient: Own<'a>,
        factors: Factors,
    ) -> bool {
        let found = match gradient {
            Own::Tensor(g) => {
                elements_alike([parameter, m, v, g]).map(|([p, m, v, g], n)| ([p, m, v], g.cast_const(), n))
            }
            Own::Elements(g) => elements_alike([parameter, m, v])
                .filter(|(_, n)| *n == g.len())
                .map(|(places, n)| (places, g.as_ptr(), n)),
        };
        let Some((places, gradient, n)) = found else { return false };
        if n == 0 {
            return true;
        }
        // What a graph saved of the parameter before is no longer what it was.
        bump_version(parameter);
        // SAFETY: there are `n` elements at each place; the four are different tensors, and nobody else uses them while
        // `self` lives.
        let [parameter, m, v] = places.map(|place| unsafe { std::slice::from_raw_parts_mut::<'a>(place, n) });
        // SAFETY: as above.
        let gradient = unsafe { std::slice::from_raw_parts::<'a>(gradient, n) };
        if self.at_once {
            simd!(update(Piece { parameter, gradient, m, v, factors }));
            return true;
        }
        let moments = m.chunks_mut(PIECE).zip(v.chunks_mut(PIECE));
        let all = parameter.chunks_mut(PIECE).zip(gradient.chunks(PIECE)).zip(moments);
        self.pieces.extend(all.map(|((parameter, gradient), (m, v))| {
            Mutex::new(Some(Piece { parameter, gradient, m, v, factors }))
        }));
        true
    }

    /// Makes those that were not made yet.
    pub(super) fn run(self) {
        let make = |i: usize| {
            if let Some(piece) = self.pieces[i].lock().unwrap_or_else(PoisonError::into_inner).take() {
                simd!(update(piece));
            }
        };
        if !self.pieces.is_empty() {
            parallel(self.pieces.len(), make);
        }
    }
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

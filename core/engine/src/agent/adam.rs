//! Adam over plain memory: one pass over parameter, gradient and both moments, on the threads of kernels.
//!
//! Rules of the unsafe code here: a slice is made of a tensor's memory only where its numbers fill that stretch, are
//! 32-bit floats (moments may be bfloat16) and on the CPU, and for no longer than one update, during which nobody else
//! touches the tensor.
#![allow(unsafe_code)]
use super::bf16;
use super::elements::Own;
use efference_sdk::autograd::{bump_version, elements_alike, parallel, same_strides};
use efference_sdk::{Result, simd};
use efference_spec::Moments;
use std::slice::{from_raw_parts, from_raw_parts_mut};
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
    /// Random bits of the update, for stochastic rounding.
    pub(super) of_update: u32,
}

/// Numbers that are updated in one go: some hundred kilobytes, so that threads share the work evenly.
const PIECE: usize = 16_384;

struct Piece<'a> {
    parameter: &'a mut [f32],
    gradient: &'a [f32],
    means: Means<'a>,
    factors: Factors,
}

/// The two means, `m` and `v`.
enum Means<'a> {
    F32([&'a mut [f32]; 2]),
    /// And where the first element of the piece is in its parameter.
    Bf16([&'a mut [u16]; 2], usize),
}

impl<'a> Means<'a> {
    /// One a piece.
    fn pieces(self) -> Vec<Means<'a>> {
        match self {
            Means::F32([m, v]) => {
                m.chunks_mut(PIECE).zip(v.chunks_mut(PIECE)).map(|(m, v)| Means::F32([m, v])).collect()
            }
            Means::Bf16([m, v], first) => {
                let pieces = m.chunks_mut(PIECE).zip(v.chunks_mut(PIECE)).enumerate();
                pieces.map(|(i, (m, v))| Means::Bf16([m, v], first + i * PIECE)).collect()
            }
        }
    }
}

/// Updates to be made together.
pub(super) struct Updates<'a> {
    pieces: Vec<Mutex<Option<Piece<'a>>>>,
    /// Whether each is made when it is added.
    at_once: bool,
    /// Their format.
    moments: Moments,
}

impl<'a> Updates<'a> {
    /// None yet, of so many elements in all.
    pub(super) fn of(elements: usize, moments: Moments) -> Self {
        // For little work, waking other threads costs more than it brings.
        Updates { pieces: Vec::new(), at_once: elements < 6 * PIECE, moments }
    }

    /// Adds the update of a parameter by its gradient, with its two moments; returns `false` where they do not
    /// all lie alike, on the CPU, parameter and gradient as 32-bit floats and the moments as they are kept.
    pub(super) fn add(
        &mut self,
        [parameter, m, v]: [&'a Tensor; 3],
        gradient: Own<'a>,
        factors: Factors,
    ) -> bool {
        let found = match self.moments {
            Moments::F32 => places([parameter, m, v], gradient)
                .map(|([p, m, v], gradient, n)| (p, gradient, n, Places::F32([m, v]))),
            Moments::Bf16 => places([parameter], gradient).and_then(|([p], gradient, n)| {
                let means = [places_of_bf16(parameter, m)?, places_of_bf16(parameter, v)?];
                Some((p, gradient, n, Places::Bf16(means)))
            }),
        };
        let Some((place, gradient, n, means)) = found else { return false };
        if n == 0 {
            return true;
        }
        // What a graph saved of the parameter before is no longer what it was.
        bump_version(parameter);
        // SAFETY: there are `n` elements at each place; the four are different tensors, and nobody else uses them while
        // `self` lives.
        let (parameter, gradient, means) = unsafe {
            let means = match means {
                Places::F32(of) => Means::F32(of.map(|place| from_raw_parts_mut::<'a>(place, n))),
                Places::Bf16(of) => Means::Bf16(of.map(|place| from_raw_parts_mut::<'a>(place, n)), 0),
            };
            (from_raw_parts_mut::<'a>(place, n), from_raw_parts::<'a>(gradient, n), means)
        };
        if self.at_once {
            simd!(update(Piece { parameter, gradient, means, factors }));
            return true;
        }
        let all = parameter.chunks_mut(PIECE).zip(gradient.chunks(PIECE)).zip(means.pieces());
        self.pieces.extend(all.map(|((parameter, gradient), means)| {
            Mutex::new(Some(Piece { parameter, gradient, means, factors }))
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

/// Where two means lie.
enum Places {
    F32([*mut f32; 2]),
    Bf16([*mut u16; 2]),
}

/// Where the elements of a gradient lie, and those of tensors that lie alike, and how many they are; all 32-bit floats on the CPU.
fn places<const N: usize>(
    tensors: [&Tensor; N],
    gradient: Own<'_>,
) -> Option<([*mut f32; N], *const f32, usize)> {
    let (places, n) = elements_alike(tensors)?;
    let gradient = match gradient {
        Own::Tensor(g) => elements_alike([tensors[0], g])?.0[1].cast_const(),
        Own::Elements(g) => Some(g.as_ptr()).filter(|_| g.len() == n)?,
    };
    Some((places, gradient, n))
}

/// Where the elements of a mean lie that is kept as bfloat16, if they lie as those of its parameter.
fn places_of_bf16(parameter: &Tensor, mean: &Tensor) -> Option<*mut u16> {
    let fits = mean.kind() == Kind::BFloat16 && mean.device() == Device::Cpu && same_strides(parameter, mean);
    fits.then(|| mean.data_ptr().cast())
}

#[inline(always)]
fn update(piece: Piece<'_>) {
    let Piece { parameter, gradient, means, factors } = piece;
    let both = parameter.iter_mut().zip(gradient);
    match means {
        Means::F32([m, v]) => {
            for (((p, g), m), v) in both.zip(m).zip(v) {
                [*p, *m, *v] = updated([*p, *m, *v], *g, &factors);
            }
        }
        Means::Bf16([m, v], first) => {
            for (i, (((p, g), m), v)) in (first as u32..).zip(both.zip(m).zip(v)) {
                let [new, mean, square] = updated([*p, bf16::widen(*m), bf16::widen(*v)], *g, &factors);
                let random = bf16::of_element(i, factors.of_update);
                (*p, *m, *v) = (new, bf16::narrow(mean, random & 0xffff), bf16::narrow(square, random >> 16));
            }
        }
    }
}

/// Parameter, `m` and `v` after an update. The formula of torch's Adam (Kingma & Ba, arXiv 1412.6980, with the bias corrections
/// folded into two factors).
#[inline(always)]
fn updated([p, m, v]: [f32; 3], g: f32, f: &Factors) -> [f32; 3] {
    let g = g * f.gradient_scale;
    let m = m + (g - m) * (1.0 - f.beta1);
    let v = v * f.beta2 + g * g * (1.0 - f.beta2);
    let denominator = v.sqrt() * f.inverse_root + f.epsilon;
    [(p * f.decay_before - f.step_size * m / denominator) * f.decay_after, m, v]
}

/// The same update by libtorch's operations, on any device.
pub(super) fn by_libtorch(p: &Tensor, g: &Tensor, means: [&Tensor; 2], f: Factors) -> Result<()> {
    let mut p = p.shallow_clone();
    let g = if f.gradient_scale == 1.0 {
        g.shallow_clone()
    } else {
        g.f_mul_scalar(f64::from(f.gradient_scale))?
    };
    // The means themselves, unless they are kept as another kind of numbers.
    let [mut m, mut v] = [means[0].f_to_kind(g.kind())?, means[1].f_to_kind(g.kind())?];
    let _ = m.f_lerp_(&g, f64::from(1.0 - f.beta1))?;
    let _ = v.f_lerp_(&g.f_square()?, f64::from(1.0 - f.beta2))?;
    let denominator =
        v.f_sqrt()?.f_mul_scalar_(f64::from(f.inverse_root))?.f_add_scalar_(f64::from(f.epsilon))?;
    if f.decay_before != 1.0 {
        let _ = p.f_mul_scalar_(f64::from(f.decay_before))?;
    }
    let _ = p.f_addcdiv_(&m.f_mul_scalar(-f64::from(f.step_size))?, &denominator)?;
    if f.decay_after != 1.0 {
        let _ = p.f_mul_scalar_(f64::from(f.decay_after))?;
    }
    if means[0].kind() != g.kind() {
        let rounded = bf16::narrow_both([&m, &v], f.of_update)?;
        for (mean, rounded) in means.iter().zip(&rounded) {
            mean.shallow_clone().f_copy_(rounded)?;
        }
    }
    Ok(())
}

//! A layer's forward and backward over whole tensors, as slices.
//!
//! `unsafe` is allowed in this file: the lengths of all slices are checked here, once for each pass, and from then on
//! kernels go by pointers. That what two threads write is disjoint follows from [`super::walk`]: two pieces that run
//! at the same time are different units of one sub-layer, or belong to different blocks.
#![allow(unsafe_code)]
use super::backward::{backward, scratch_backward};
#[cfg(target_arch = "x86_64")]
use super::dispatch::{Avx2Kernels, Avx512Kernels};
use super::dispatch::{Kernels, PlainKernels, Processor};
use super::forward::{Forward, forward, scratch_forward};
use super::geometry::Geometry;
use super::gradient::Backward;
use super::scratch::{self, Arena, rounded};
use super::simd::LINE;
use super::walk::{Direction, Piece, Walk};
use crate::factors::Factors;
use efference_sdk::{Nonlinearity, Result, Size, ensure};
use std::ptr;

/// All that a layer's forward and backward depend on but for the elements of the tensors.
#[derive(Debug, Clone)]
pub struct Plan {
    geometry: Geometry,
    ins: usize,
    outs: usize,
    nonlinearity: Nonlinearity,
    /// The dims that index each sub-layer's weights.
    unique: Vec<Vec<usize>>,
    multiplications: usize,
    weight_lengths: Vec<usize>,
    bias_lengths: Vec<usize>,
    processor: Processor,
    far: usize,
    farther: usize,
}

/// A layer's parameters, in the order of its sub-layers; how each lies is said by [`Plan::order`].
#[derive(Debug, Clone, Copy)]
pub struct Parameters<'a> {
    /// Weights.
    pub weights: &'a [&'a [f32]],
    /// Biases, or none.
    pub biases: &'a [&'a [f32]],
}

/// What [`Plan::backward`] fills; what is empty is not computed.
#[derive(Debug, Default)]
pub struct GradientsOut<'a> {
    /// Of the input: a row for each row of the output's gradient, along the first paths or all of them.
    pub x: &'a mut [f32],
    /// Of the weights: all, or none.
    pub weights: Vec<&'a mut [f32]>,
    /// Of the biases: all, or none.
    pub biases: Vec<&'a mut [f32]>,
}

/// Elements of a layer and its batch above which they come from memory each time, and are prefetched: a quarter of a megabyte of
/// them, for there are other layers.
const FAR: usize = 64 << 10;
/// Weights above which their gradients are no longer in the caches when the optimizer reads them: eight megabytes.
const FARTHER: usize = 2 << 20;

impl Plan {
    /// A plan for a layer of this size, cut into these factors.
    pub fn new(size: Size, factors: &Factors, nonlinearity: Nonlinearity, skip_connections: bool) -> Self {
        let product = |shape: Vec<i64>| shape.iter().map(|n| usize::try_from(*n).unwrap_or(0)).product();
        let number = |n| usize::try_from(n).unwrap_or(0);
        Plan {
            geometry: Geometry::new(factors, skip_connections),
            ins: number(size.ins),
            outs: number(size.outs),
            nonlinearity,
            unique: factors.sub_layers.iter().map(|s| s.unique.clone()).collect(),
            multiplications: usize::try_from(factors.multiply_accumulates()).unwrap_or(usize::MAX),
            weight_lengths: factors.sub_layers.iter().map(|s| product(s.weight_shape())).collect(),
            bias_lengths: factors.sub_layers.iter().map(|s| product(s.bias_shape())).collect(),
            processor: Processor::detect(),
            far: FAR,
            farther: FARTHER,
        }
    }

    /// The same by the kernels for a processor that this one can do as well as.
    #[cfg(test)]
    pub(super) fn by(self, processor: Processor) -> Self {
        assert!(processor.is_here(), "this machine has no {processor:?}");
        Plan { processor, ..self }
    }

    /// The same as for a layer that no cache holds.
    #[cfg(test)]
    pub(super) fn beyond_caches(self) -> Self {
        Plan { far: 0, farther: 0, ..self }
    }

    /// How many elements a forward pass saves for the backward pass: the inputs of all sub-layers but the first
    /// (and that of the first, if it has to be padded).
    pub fn saved(&self, samples: usize) -> usize {
        let sizes = &self.geometry.sizes;
        let inner: usize = sizes[1..sizes.len() - 1].iter().sum();
        samples * (inner + if self.pads_input() { sizes[0] } else { 0 })
    }

    /// In which order the dims of sub-layer `t`'s weights (or of its biases, whose shape has as many) lie in memory:
    /// `shape[order[0]]` is the outermost. All slices of parameters and of their gradients are in this order.
    pub fn order(&self, t: usize) -> Vec<usize> {
        let blocks = self.unique[t].len();
        let (ins, outs) = (blocks, blocks + 1);
        let mix = &self.geometry.mixes[t];
        if !mix.l_last && mix.fold.is_none() {
            return (0..blocks + 2).collect();
        }
        let mut order: Vec<usize> = (0..blocks).collect();
        order.sort_by_key(|axis| self.unique[t][*axis]);
        // The last dims index the weights of every sub-layer whose vectors run along them.
        let l = order.split_off(order.len() - mix.tail);
        let mid = match &mix.fold {
            None => Vec::new(),
            // Such a sub-layer mixes the dim of its level.
            Some(_) => order.split_off(order.partition_point(|axis| self.unique[t][*axis] < mix.level)),
        };
        order.into_iter().chain([ins, outs]).chain(mid).chain(l).collect()
    }

    /// Multiplications of a forward pass over one sample.
    pub fn multiply_accumulates(&self) -> usize {
        self.multiplications
    }

    /// Numbers of a sample's output.
    pub fn outs(&self) -> i64 {
        self.outs as i64
    }

    /// Elements that a forward pass goes through: of weights, of the input, of what is saved, and of the output.
    fn elements(&self, samples: usize) -> usize {
        self.weight_lengths.iter().sum::<usize>() + samples * (self.ins + self.outs) + self.saved(samples)
    }

    fn pads_input(&self) -> bool {
        self.ins != self.geometry.sizes[0]
    }

    fn last_size(&self) -> usize {
        self.geometry.sizes[self.geometry.mixes.len()]
    }

    /// Where in what is saved the input of each sub-layer begins; `None`: it is the layer's input.
    fn places(&self, samples: usize) -> Vec<Option<usize>> {
        let mut at = 0;
        let mixes = self.geometry.mixes.len();
        (0..mixes)
            .map(|t| {
                if t == 0 && !self.pads_input() {
                    return None;
                }
                let place = at;
                at += samples * self.geometry.sizes[t];
                Some(place)
            })
            .collect()
    }

    /// `y` (samples, outs) of `x` (samples, ins). Fills `saved`, [`saved`](Plan::saved) numbers, for
    /// [`backward`](Plan::backward).
    pub fn forward(
        &self,
        x: &[f32],
        parameters: &Parameters<'_>,
        saved: &mut [f32],
        y: &mut [f32],
        threads: usize,
    ) -> Result<()> {
        let samples = x.len() / self.ins;
        check("the input", x.len(), samples * self.ins)?;
        check("the output", y.len(), samples * self.outs)?;
        check("what is saved", saved.len(), self.saved(samples))?;
        self.check_parameters(parameters)?;
        if samples == 0 {
            return Ok(());
        }
        match self.processor {
            // SAFETY: the processor is the one that was detected; lengths are checked.
            #[cfg(target_arch = "x86_64")]
            Processor::Avx512 => unsafe {
                self.forward_with::<Avx512Kernels>(samples, x, parameters, saved, y, threads)
            },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Processor::Avx2 => unsafe {
                self.forward_with::<Avx2Kernels>(samples, x, parameters, saved, y, threads)
            },
            // SAFETY: lengths are checked.
            Processor::Plain => unsafe {
                self.forward_with::<PlainKernels>(samples, x, parameters, saved, y, threads)
            },
        }
        Ok(())
    }

    /// # Safety
    /// All lengths are right, and the processor is the one that `K` is for.
    unsafe fn forward_with<K: Kernels>(
        &self,
        samples: usize,
        x: &[f32],
        parameters: &Parameters<'_>,
        saved: &mut [f32],
        y: &mut [f32],
        threads: usize,
    ) {
        let g = &self.geometry;
        let (mixes, sizes) = (g.mixes.len(), &g.sizes);
        let ahead = self.elements(samples) > self.far;
        let places = self.places(samples);
        if self.pads_input() {
            copy_rows(x, self.ins, saved, sizes[0]);
        }
        let saved = saved.as_mut_ptr();
        let input = |t: usize| places[t].map_or(x.as_ptr().cast_mut(), |place| saved.wrapping_add(place));
        let cuts_output = self.outs != self.last_size();
        let extra = if cuts_output { rounded(samples * sizes[mixes]) } else { 0 };
        scratch::with(extra, |arena| {
            let last = if cuts_output { arena.take(samples * sizes[mixes]) } else { y.as_mut_ptr() };
            let calls: Vec<Forward> = (0..mixes)
                .map(|t| Forward {
                    samples,
                    size_in: sizes[t],
                    size_out: sizes[t + 1],
                    input: input(t),
                    weight: parameters.weights[t].as_ptr(),
                    bias: parameters.biases.get(t).map_or(ptr::null(), |b| b.as_ptr()),
                    output: if t + 1 < mixes { input(t + 1) } else { last },
                    nonlinearity: self.nonlinearity_before(t),
                    ahead,
                })
                .collect();
            Walk {
                geometry: g,
                direction: Direction::Forward,
                work: samples * self.multiply_accumulates(),
                scratch: self.most(|mix| scratch_forward(mix, samples, LINE)),
                run: |piece: Piece, arena: &mut Arena<'_>| {
                    let Piece { mix, prefix, unit, outs } = piece;
                    // SAFETY: by the caller's promise, and the walk's order.
                    unsafe { forward::<K>(&g.mixes[mix], &calls[mix], prefix, unit, outs, arena) }
                },
                end: &|| {},
            }
            .all::<K>(threads);
            if cuts_output {
                // SAFETY: this piece of scratch memory holds so many elements, all written.
                let all = unsafe { std::slice::from_raw_parts(last, samples * sizes[mixes]) };
                copy_rows(all, sizes[mixes], y, self.outs);
            }
        });
    }

    /// What is applied to the input of sub-layer `t`.
    fn nonlinearity_before(&self, t: usize) -> Nonlinearity {
        if t == 0 { Nonlinearity::None } else { self.nonlinearity }
    }

    /// The gradients for those of the output: `gradient` (paths · samples, outs).
    ///
    /// Row `r` of it is a gradient of sample `r % samples` along path `r / samples`; `paths` says of each path whether
    /// it reaches the parameters. `x` and `saved` are those of the forward pass, (samples, ins).
    pub fn backward(
        &self,
        x: &[f32],
        parameters: &Parameters<'_>,
        saved: &[f32],
        paths: &[bool],
        gradient: &[f32],
        out: GradientsOut<'_>,
        threads: usize,
    ) -> Result<()> {
        let samples = x.len() / self.ins;
        let rows = samples * paths.len();
        check("the input", x.len(), samples * self.ins)?;
        check("what was saved", saved.len(), self.saved(samples))?;
        check("the output's gradient", gradient.len(), rows * self.outs)?;
        self.check_parameters(parameters)?;
        let input_paths = out.x.len().checked_div(samples * self.ins).unwrap_or_default().min(paths.len());
        check("the input's gradient", out.x.len(), input_paths * samples * self.ins)?;
        check_all("weights' gradients", out.weights.iter().map(|g| g.len()), &self.weight_lengths)?;
        check_all("biases' gradients", out.biases.iter().map(|g| g.len()), &self.bias_lengths)?;
        let mut out = out;
        if rows == 0 || !paths.contains(&true) {
            out.weights.iter_mut().chain(&mut out.biases).for_each(|g| g.fill(0.0));
        }
        if rows == 0 {
            return Ok(());
        }
        match self.processor {
            // SAFETY: the processor is the one that was detected; lengths are checked.
            #[cfg(target_arch = "x86_64")]
            Processor::Avx512 => unsafe {
                self.backward_with::<Avx512Kernels>(
                    samples, x, parameters, saved, paths, gradient, out, threads,
                );
            },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Processor::Avx2 => unsafe {
                self.backward_with::<Avx2Kernels>(
                    samples, x, parameters, saved, paths, gradient, out, threads,
                );
            },
            // SAFETY: lengths are checked.
            Processor::Plain => unsafe {
                self.backward_with::<PlainKernels>(
                    samples, x, parameters, saved, paths, gradient, out, threads,
                );
            },
        }
        Ok(())
    }

    /// # Safety
    /// As for [`forward_with`](Self::forward_with).
    #[allow(clippy::too_many_arguments, reason = "those of `backward`, and the number of samples")]
    unsafe fn backward_with<K: Kernels>(
        &self,
        samples: usize,
        x: &[f32],
        parameters: &Parameters<'_>,
        saved: &[f32],
        paths: &[bool],
        gradient: &[f32],
        out: GradientsOut<'_>,
        threads: usize,
    ) {
        let g = &self.geometry;
        let (mixes, sizes) = (g.mixes.len(), &g.sizes);
        let rows = samples * paths.len();
        let reaching = paths.iter().filter(|reaches| **reaches).count();
        let ahead = self.elements(samples) > self.far;
        let streams = self.weight_lengths.iter().sum::<usize>() > self.farther;
        let places = self.places(samples);
        let pads_output = self.outs != self.last_size();
        let GradientsOut { x: gradient_x, mut weights, mut biases } = out;
        let input_paths = gradient_x.len() / (samples * self.ins);
        // The gradient at place t belongs to the input of sub-layer t. Where sizes stay the same, it is replaced in
        // the memory of the result.
        let needed = |t: usize| t > 0 || input_paths > 0;
        let fresh = |t: usize| match t {
            _ if t == mixes => pads_output,
            0 => needed(0) && self.pads_input(),
            // The result has fewer rows.
            1 if input_paths < paths.len() => true,
            _ => !(needed(t - 1) && sizes[t] == sizes[t - 1]),
        };
        let fresh: Vec<bool> = (0..=mixes).map(fresh).collect();
        let extra: usize = (0..=mixes).filter(|t| fresh[*t]).map(|t| rounded(rows * sizes[t])).sum();
        scratch::with(extra, |arena| {
            let mut gradients: Vec<*mut f32> = vec![ptr::null_mut(); mixes + 1];
            for t in 0..=mixes {
                gradients[t] = if fresh[t] {
                    arena.take(rows * sizes[t])
                } else if t == mixes {
                    gradient.as_ptr().cast_mut()
                } else if t == 0 {
                    gradient_x.as_mut_ptr()
                } else {
                    gradients[t - 1]
                };
            }
            if pads_output {
                // SAFETY: this piece of scratch memory has room for so many elements, and is initialised.
                let padded = unsafe { std::slice::from_raw_parts_mut(gradients[mixes], rows * sizes[mixes]) };
                copy_rows(gradient, self.outs, padded, sizes[mixes]);
            }
            let calls: Vec<Backward<'_>> = (0..mixes)
                .map(|t| Backward {
                    samples,
                    paths,
                    size_in: sizes[t],
                    size_out: sizes[t + 1],
                    gradient_out: gradients[t + 1],
                    gradient_in: gradients[t],
                    input_paths: if t == 0 { input_paths } else { paths.len() },
                    input: places[t].map_or(x.as_ptr(), |place| saved.as_ptr().wrapping_add(place)),
                    weight: parameters.weights[t].as_ptr(),
                    weight_gradient: weights.get_mut(t).map_or(ptr::null_mut(), |w| w.as_mut_ptr()),
                    bias_gradient: biases.get_mut(t).map_or(ptr::null_mut(), |w| w.as_mut_ptr()),
                    nonlinearity: self.nonlinearity_before(t),
                    summed: if weights.is_empty() && biases.is_empty() { 0 } else { reaching },
                    ahead,
                    streams,
                })
                .collect();
            let parts = if input_paths > 0 { paths.len() } else { 0 } + usize::from(!weights.is_empty());
            Walk {
                geometry: g,
                direction: Direction::Backward,
                work: samples * self.multiply_accumulates() * parts,
                scratch: self.most(|mix| scratch_backward(mix, samples, paths.len(), LINE)),
                run: |piece: Piece, arena: &mut Arena<'_>| {
                    // SAFETY: by the caller's promise, and the walk's order.
                    unsafe {
                        backward::<K>(
                            &g.mixes[piece.mix],
                            &calls[piece.mix],
                            piece.prefix,
                            piece.unit,
                            arena,
                        );
                    }
                },
                // SAFETY: by the caller's promise.
                end: &|| unsafe { K::end_of_stream() },
            }
            .all::<K>(threads);
            if self.pads_input() && input_paths > 0 {
                // SAFETY: this piece of scratch memory holds so many elements, all written.
                let padded =
                    unsafe { std::slice::from_raw_parts(gradients[0], input_paths * samples * sizes[0]) };
                copy_rows(padded, sizes[0], gradient_x, self.ins);
            }
        });
    }

    fn most(&self, scratch: impl Fn(&super::geometry::Mix) -> usize) -> usize {
        self.geometry.mixes.iter().map(scratch).max().unwrap_or(0)
    }

    fn check_parameters(&self, parameters: &Parameters<'_>) -> Result<()> {
        let (weights, biases) = (parameters.weights, parameters.biases);
        check("the number of weights", weights.len(), self.weight_lengths.len())?;
        check_all("weights", weights.iter().map(|w| w.len()), &self.weight_lengths)?;
        check_all("biases", biases.iter().map(|b| b.len()), &self.bias_lengths)
    }
}

fn check(what: &str, is: usize, must: usize) -> Result<()> {
    ensure!(is == must, "ldl: {what} has a length of {is}, and should have {must}");
    Ok(())
}

/// All of these lengths are right, or there are none.
fn check_all(what: &str, lengths: impl ExactSizeIterator<Item = usize>, must: &[usize]) -> Result<()> {
    if lengths.len() == 0 {
        return Ok(());
    }
    let (count, expected) = (lengths.len(), must.len());
    ensure!(count == expected, "ldl: the list of {what} has a length of {count}, and should have {expected}");
    for (i, (is, must)) in lengths.zip(must).enumerate() {
        ensure!(is == *must, "ldl: number {i} of the {what} has a length of {is}, and should have {must}");
    }
    Ok(())
}

/// Copies rows of one length to rows of another: what is missing becomes 0, what is too much is left out.
fn copy_rows(from: &[f32], from_length: usize, to: &mut [f32], to_length: usize) {
    let both = from_length.min(to_length);
    for (from, to) in from.chunks_exact(from_length).zip(to.chunks_exact_mut(to_length)) {
        to[..both].copy_from_slice(&from[..both]);
        to[both..].fill(0.0);
    }
}

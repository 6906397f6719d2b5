//! The layer by libtorch's own operations: on every device, and what other kernels are checked against.
//!
//! A sub-layer is one batched matrix product. The dims that index its weights are brought to the front, the
//! dim that it mixes to the end, all else (batch, and the dim along which weights are shared) in between: each
//! block of weights then meets one matrix of rows. What order the dims stand in after a sub-layer is left as
//! it is; the next one goes on from there.
use crate::factors::{Factors, SubLayer};
use efference_sdk::tch::Tensor;
use efference_sdk::{Nonlinearity, Result};
use std::ops::Range;

/// What a forward pass needs beside its input.
pub(crate) struct Network<'a> {
    pub(crate) factors: &'a Factors,
    pub(crate) permutations: &'a Permutations,
    /// Of one sub-layer after the other: its weights, then its biases if it has such.
    pub(crate) parameters: &'a [Tensor],
    pub(crate) biased: bool,
    pub(crate) nonlinearity: Nonlinearity,
    pub(crate) skip_connections: bool,
}

/// How dims are reordered, which depends on sizes alone.
#[derive(Debug)]
pub(crate) struct Permutations {
    /// For each sub-layer, and for what follows the last one: where each axis comes from.
    axes: Vec<Vec<i64>>,
    padding: i64,
}

impl Permutations {
    pub(crate) fn new(factors: &Factors, ins: i64) -> Self {
        let count = factors.ins.len();
        let batch = count;
        // Axes are named by their dim, the batch by the number after the last dim.
        let mut at: Vec<usize> = std::iter::once(batch).chain(0..count).collect();
        let mut permutations = Vec::with_capacity(count + 1);
        let last = std::iter::once(batch).chain(0..count).collect();
        for wanted in factors.sub_layers.iter().map(|s| axes_of(s, batch)).chain([last]) {
            let place = |axis: &usize| at.iter().position(|a| a == axis).map_or(0, |p| p as i64);
            permutations.push(wanted.iter().map(place).collect());
            at = wanted;
        }
        Permutations { axes: permutations, padding: factors.ins.iter().product::<i64>() - ins }
    }
}

/// The order of axes that a sub-layer wants.
fn axes_of(sub_layer: &SubLayer, batch: usize) -> Vec<usize> {
    let rows = sub_layer.shared.into_iter().chain([batch, sub_layer.dim]);
    sub_layer.unique.iter().copied().chain(rows).collect()
}

/// Of `x` (batch, ins): the outputs `outs`, (batch, outs.len()).
pub(crate) fn forward(network: &Network<'_>, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
    let Network { factors, permutations, .. } = *network;
    let batch = x.size()[0];
    let padded = if permutations.padding > 0 {
        x.f_constant_pad_nd([0, permutations.padding])?
    } else {
        x.shallow_clone()
    };
    let mut shape = vec![batch];
    shape.extend(&factors.ins);
    let mut x = padded.f_reshape(&shape)?;
    for (i, sub_layer) in factors.sub_layers.iter().enumerate() {
        let permuted = x.f_permute(&permutations.axes[i])?;
        let mut shape = permuted.size();
        let blocks: i64 = sub_layer.blocks.iter().product();
        let rows = permuted.f_reshape([blocks, -1, sub_layer.ins])?;

        let y = if i == 0 { rows.shallow_clone() } else { network.nonlinearity.apply(&rows)? };
        let (weight, bias) = match network.biased {
            true => (&network.parameters[2 * i], Some(&network.parameters[2 * i + 1])),
            false => (&network.parameters[i], None),
        };
        let weight = weight.f_reshape([blocks, sub_layer.ins, sub_layer.outs])?;
        let y = match bias {
            Some(bias) => bias.f_reshape([blocks, 1, sub_layer.outs])?.f_baddbmm(&y, &weight, 1.0, 1.0)?,
            None => y.f_bmm(&weight)?,
        };
        let skip = network.skip_connections && sub_layer.ins == sub_layer.outs;
        let y = if skip { y.f_add(&rows)? } else { y };

        if let Some(mixed) = shape.last_mut() {
            *mixed = sub_layer.outs;
        }
        x = y.f_reshape(&shape)?;
    }
    let x = x.f_permute(&permutations.axes[factors.sub_layers.len()])?;
    let width: i64 = factors.outs.iter().product();
    let x = x.f_reshape([batch, width])?;
    Ok(if outs == (0..width) { x } else { x.f_narrow(1, outs.start, outs.end - outs.start)? })
}

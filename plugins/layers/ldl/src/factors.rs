//! How sizes are cut into dims, and what each sub-layer mixes.
use efference_sdk::{Edge, Result, Size, Stage, ensure};

/// One sub-layer: a mix along one dim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubLayer {
    /// The dim that is mixed; 0 is the outermost.
    pub dim: usize,
    /// Its size before.
    pub ins: i64,
    /// Its size after.
    pub outs: i64,
    /// The dims that index the weights, in the order in which they do.
    pub unique: Vec<usize>,
    /// The dim along which the weights are shared, if there is one.
    pub shared: Option<usize>,
    /// The sizes of the dims in `unique`, in the same order.
    pub blocks: Vec<i64>,
}

impl SubLayer {
    /// The shape of the weights: `(*blocks, ins, outs)`.
    pub fn weight_shape(&self) -> Vec<i64> {
        [&self.blocks[..], &[self.ins, self.outs]].concat()
    }

    /// The shape of the bias: `(*blocks, 1, outs)`.
    pub fn bias_shape(&self) -> Vec<i64> {
        [&self.blocks[..], &[1, self.outs]].concat()
    }
}

/// How a layer's numbers are laid out as a block of dims, and the sub-layers in the order of their use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Factors {
    /// Dims of the input, the outermost first; their product is at least the input's size.
    pub ins: Vec<i64>,
    /// Dims of the output, as many.
    pub outs: Vec<i64>,
    /// The sub-layers, in the order of their use.
    pub sub_layers: Vec<SubLayer>,
}

impl Factors {
    /// Cuts sizes into dims of at most `radix`, and says what is mixed when. `share`: whether weights are shared
    /// along one of the dims; `local_first`: whether the innermost dim is mixed first, not last.
    pub fn new(size: Size, radix: i64, share: bool, local_first: bool) -> Result<Self> {
        ensure!(radix >= 2, "radix must be at least 2, and is {radix}");
        ensure!(
            size.ins >= 1 && size.outs >= 1,
            "a layer needs at least 1 number in and 1 out, and {} → {} was asked for",
            size.ins,
            size.outs
        );
        let (mut ins, mut outs) = (dims_of(size.ins, radix), dims_of(size.outs, radix));
        let count = ins.len().max(outs.len());
        for dims in [&mut ins, &mut outs] {
            dims.splice(0..0, vec![1; count - dims.len()]);
        }

        let order: Vec<usize> = if local_first { (0..count).rev().collect() } else { (0..count).collect() };
        let mut now = ins.clone();
        let mut sub_layers = Vec::with_capacity(count);
        for dim in order {
            let mut others = other_dims(dim, count);
            let shared = if share && !others.is_empty() { Some(others.remove(0)) } else { None };
            sub_layers.push(SubLayer {
                dim,
                ins: ins[dim],
                outs: outs[dim],
                blocks: others.iter().map(|d| now[*d]).collect(),
                unique: others,
                shared,
            });
            now[dim] = outs[dim];
        }
        Ok(Factors { ins, outs, sub_layers })
    }

    /// Multiplications of a forward pass over one sample: each number that goes into a sub-layer is used for each of
    /// the numbers that the dim is mixed to.
    pub fn multiply_accumulates(&self) -> u64 {
        let mut now = self.ins.clone();
        let of = |s: &SubLayer| {
            let size: i64 = now.iter().product();
            now[s.dim] = s.outs;
            (size * s.outs) as u64
        };
        self.sub_layers.iter().map(of).sum()
    }
}

impl Factors {
    /// How the sub-layers of a layer of this size connect its numbers, one stage each; a weight's number is its place in
    /// `weight.i`. What only pads a size up to the product of its dims is no node of the first and last column.
    pub fn connections(&self, size: Size, skip_connections: bool) -> Vec<Stage> {
        let product = |dims: &[i64]| dims.iter().product::<i64>();
        let last = self.sub_layers.len().saturating_sub(1);
        let mut now = self.ins.clone();
        let stage = |(t, sub_layer): (usize, &SubLayer)| {
            let before = now.clone();
            now[sub_layer.dim] = sub_layer.outs;
            let nodes = Size {
                ins: if t == 0 { size.ins } else { product(&before) },
                outs: if t == last { size.outs } else { product(&now) },
            };
            let mut edges = Vec::new();
            for from in 0..nodes.ins {
                let mut place = coordinates(from, &before);
                let i = place[sub_layer.dim];
                let block = sub_layer.unique.iter().fold(0, |block, d| block * before[*d] + place[*d]);
                for j in 0..sub_layer.outs {
                    place[sub_layer.dim] = j;
                    let to = place.iter().zip(&now).fold(0, |to, (at, dim)| to * dim + at);
                    let weight = (block * sub_layer.ins + i) * sub_layer.outs + j;
                    edges.push(Edge { from, to, weight });
                }
                if skip_connections && sub_layer.ins == sub_layer.outs {
                    edges.push(Edge { from, to: from, weight: Stage::NO_WEIGHT });
                }
            }
            edges.retain(|edge| edge.to < nodes.outs);
            Stage { nodes, edges }
        };
        self.sub_layers.iter().enumerate().map(stage).collect()
    }

    /// Which of `outs` outputs each bias of the last sub-layer feeds, in their order; -1: none, for it only pads the size up
    /// to the product of its dims. A weight feeds what the bias of its block and output does. `None` if they feed several.
    pub fn units(&self, outs: i64) -> Option<Vec<i64>> {
        let last = self.sub_layers.last()?;
        if last.shared.is_some_and(|dim| self.outs[dim] > 1) {
            return None;
        }
        let blocks: i64 = last.blocks.iter().product();
        let unit = |block: i64, output: i64| {
            let mut place = vec![0; self.outs.len()];
            let at = coordinates(block, &last.blocks);
            last.unique.iter().zip(at).for_each(|(dim, at)| place[*dim] = at);
            place[last.dim] = output;
            let to = place.iter().zip(&self.outs).fold(0, |to, (at, dim)| to * dim + at);
            if to < outs { to } else { -1 }
        };
        Some(
            (0..blocks)
                .flat_map(|block| (0..last.outs).map(move |output| (block, output)))
                .map(|(b, o)| unit(b, o))
                .collect(),
        )
    }
}

/// Where a number lies in a block of these dims, the outermost first.
fn coordinates(number: i64, dims: &[i64]) -> Vec<i64> {
    let mut left = number;
    let mut place: Vec<i64> = dims.iter().rev().map(|dim| (left % dim, left /= dim).0).collect();
    place.reverse();
    place
}

/// The dims of a size, the outermost first: each is `radix`, but for the first, which is what is left.
fn dims_of(size: i64, radix: i64) -> Vec<i64> {
    let mut dims = Vec::new();
    let mut left = size;
    while left > radix {
        dims.push(radix);
        left = (left - 1) / radix + 1;
    }
    dims.push(left);
    dims.reverse();
    dims
}

/// The dims beside `dim`, in the order in which weights are indexed, the one that can be shared first.
///
/// That order is: the last but one, then the others from the outermost on, then the last; and the last one takes
/// the place of `dim`.
fn other_dims(dim: usize, count: usize) -> Vec<usize> {
    if count == 1 {
        return Vec::new();
    }
    let last = count - 1;
    let mut others = vec![count - 2];
    others.extend(0..count - 2);
    if dim != last {
        for d in &mut others {
            if *d == dim {
                *d = last;
            }
        }
    }
    others
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(ins: i64, outs: i64, radix: i64, share: bool) -> Factors {
        Factors::new(Size { ins, outs }, radix, share, false).unwrap()
    }

    #[test]
    fn ragged_sizes_are_rounded_up_in_the_outermost_dim() {
        let f = factors(64, 300, 16, true);
        assert_eq!((&f.ins[..], &f.outs[..]), (&[1, 4, 16][..], &[2, 16, 16][..]));
        let shapes: Vec<_> = f.sub_layers.iter().map(SubLayer::weight_shape).collect();
        assert_eq!(shapes, [[16, 1, 2], [2, 4, 16], [2, 16, 16]]);
        assert_eq!(factors(5, 3, 16, true).sub_layers[0].weight_shape(), [5, 3]);
        assert_eq!(factors(1, 1, 16, false).sub_layers[0].weight_shape(), [1, 1]);
    }

    #[test]
    fn weights_are_shared_along_one_dim_or_none() {
        let count = |share| -> i64 {
            let f = factors(65_536, 65_536, 16, share);
            f.sub_layers
                .iter()
                .flat_map(|s| [s.weight_shape(), s.bias_shape()])
                .map(|s| s.iter().product::<i64>())
                .sum()
        };
        assert_eq!(count(true), 278_528);
        assert_eq!(count(false), 4_456_448);
    }

    #[test]
    fn multiplications_are_those_of_all_sub_layers() {
        for share in [true, false] {
            assert_eq!(factors(65_536, 65_536, 16, share).multiply_accumulates(), 4 * 65_536 * 16);
            // In the block (1, 4, 16) 1 → 2, in (2, 4, 16) 4 → 16, in (2, 16, 16) 16 → 16.
            let (first, second, third) = ((4 * 16) * 2, (2 * 4 * 16) * 16, (2 * 16 * 16) * 16);
            assert_eq!(factors(64, 300, 16, share).multiply_accumulates(), first + second + third);
            assert_eq!(factors(5, 3, 16, share).multiply_accumulates(), 15);
        }
    }

    #[test]
    fn the_product_of_the_dims_holds_every_size() {
        for radix in [2, 3, 7, 16] {
            for size in 1..400 {
                let dims = dims_of(size, radix);
                let product: i64 = dims.iter().product();
                assert!(product >= size && dims.iter().all(|d| (1..=radix).contains(d)), "{size}: {dims:?}");
                assert!(dims.len() == 1 || (dims[0] - 1) * (product / dims[0]) < size, "{size}: {dims:?}");
            }
        }
    }
}

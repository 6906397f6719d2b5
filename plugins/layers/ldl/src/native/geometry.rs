//! Where the numbers of each sub-layer lie.
//!
//! At sub-layer `j` (the dim that it mixes) the tensor is `(prefix, i, mid, s, l)`: the dims before `j` as one, the
//! mixed dim, those between as one, the last but one, and the last. A *block* is what belongs to one prefix; it is
//! contiguous. The last two dims together are a *leaf*: both are mixed while it is in the innermost cache.
use super::fold::Fold;
use super::simd::LINE;
use crate::factors::{Factors, SubLayer};
use std::ops::Range;

/// How a sub-layer's weights meet its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A matrix for each place along `l`, the same for all `s`: the lanes of a vector run along `l`.
    Lanes,
    /// A matrix for each place: each one is used for one row of each sample.
    Apart,
    /// The last but one dim is mixed, by one matrix for all `l`.
    Columns,
    /// The last dim is mixed, by one matrix for all `s` or one for each.
    Rows,
}

/// One sub-layer.
#[derive(Debug, Clone)]
pub(super) struct Mix {
    pub(super) kind: Kind,
    /// Where in the recursion over dims it is done: see [`Geometry::levels`].
    pub(super) level: usize,
    /// Size of the mixed dim, before and after.
    pub(super) ins: usize,
    pub(super) outs: usize,
    pub(super) skip: bool,
    pub(super) mid: usize,
    pub(super) s: usize,
    pub(super) l: usize,
    /// Numbers in a block, before and after.
    pub(super) block_in: usize,
    pub(super) block_out: usize,
    /// Whether weights and biases lie in memory by `(prefix, mid, ins, outs, l)`, so that vectors along `l` are loaded
    /// as they lie; else by their shape.
    pub(super) l_last: bool,
    /// How many of the last dims `l` is.
    pub(super) tail: usize,
    /// How places share a vector, where `l` is a part of one.
    pub(super) fold: Option<Fold>,
    /// How many matrices lie between those of neighbours along a dim; 0: they share one.
    pub(super) prefix_step: usize,
    pub(super) mid_step: usize,
    pub(super) s_step: usize,
    pub(super) l_step: usize,
}

impl Mix {
    /// Numbers of one place along the mixed dim.
    pub(super) fn inner(&self) -> usize {
        self.mid * self.s * self.l
    }

    /// Where the matrices of all `l` begin, of `numbers` each, if they lie with `l` last.
    pub(super) fn l_last_place(&self, prefix: usize, mid: usize, numbers: usize) -> usize {
        debug_assert!(self.l_last);
        (prefix * self.mid + mid) * numbers * self.l
    }

    /// How far the tile after one of [`Kind::Lanes`] is, of a tensor of samples of `size`, with blocks of `block`.
    pub(super) fn to_next_tile(&self, samples: usize, size: usize, block: usize) -> usize {
        match self.mid {
            _ if samples > 1 => size,
            1 => block,
            _ => self.s * self.l,
        }
    }

    /// Which matrix belongs to a place.
    pub(super) fn matrix(&self, prefix: usize, mid: usize, s: usize, l: usize) -> usize {
        prefix * self.prefix_step + mid * self.mid_step + s * self.s_step + l * self.l_step
    }

    /// How many vectors, the last one perhaps in part, `l` takes.
    fn groups(&self, lanes: usize) -> usize {
        if self.fold.is_some() { 1 } else { self.l.div_ceil(lanes) }
    }

    /// Places along `mid` of a unit.
    fn places(&self) -> usize {
        self.fold.as_ref().map_or(1, |fold| fold.places)
    }

    /// Pieces of a block that can be worked on at the same time.
    pub(super) fn units(&self, lanes: usize) -> usize {
        match self.kind {
            Kind::Lanes => self.mid / self.places() * self.groups(lanes),
            Kind::Apart => self.mid * self.s * self.groups(lanes),
            Kind::Columns | Kind::Rows => 1,
        }
    }

    /// The place of a unit: `(mid, s, first l)`.
    pub(super) fn unit(&self, unit: usize, lanes: usize) -> (usize, usize, usize) {
        let groups = self.groups(lanes);
        let (rest, group) = (unit / groups, unit % groups);
        match self.kind {
            // Neighbours along `mid` are neighbours in the weights, too, of which each is read once.
            Kind::Apart => (rest % self.mid, rest / self.mid, group * lanes),
            _ => (rest * self.places(), 0, group * lanes),
        }
    }
}

/// All sub-layers of a layer, in the order of their use.
#[derive(Debug, Clone)]
pub(super) struct Geometry {
    pub(super) mixes: Vec<Mix>,
    /// Numbers of one sample before each sub-layer, and after the last one.
    pub(super) sizes: Vec<usize>,
    /// The blocks of level `v` are the places along the dims before `v`; each consists of `fan[v]` blocks of level
    /// `v + 1`. At the last level the leaves are mixed, at the others one dim each.
    pub(super) fan: Vec<usize>,
    /// Which sub-layers each level has: they follow one another.
    of_level: Vec<Range<usize>>,
    /// Whether the inner blocks come first.
    pub(super) local_first: bool,
}

impl Geometry {
    pub(super) fn new(factors: &Factors, skip_connections: bool) -> Self {
        let dims = |d: &[i64]| -> Vec<usize> { d.iter().map(|n| usize::try_from(*n).unwrap_or(0)).collect() };
        let (ins, outs) = (dims(&factors.ins), dims(&factors.outs));
        let count = ins.len();
        let local_first = count > 1 && factors.sub_layers[0].dim != 0;
        let mut now = ins.clone();
        let mut sizes = vec![now.iter().product()];
        let mut mixes = Vec::with_capacity(count);
        for sub_layer in &factors.sub_layers {
            mixes.push(mix(sub_layer, &now, &outs, skip_connections));
            now[sub_layer.dim] = outs[sub_layer.dim];
            sizes.push(now.iter().product());
        }
        let fan = if local_first { &ins } else { &outs };
        let fan = fan[..count.saturating_sub(2)].to_vec();
        let first = |level| mixes.iter().position(|mix| mix.level == level).unwrap_or(mixes.len());
        let number = |level| mixes.iter().filter(|mix| mix.level == level).count();
        let of_level = (0..=fan.len()).map(|level| first(level)..first(level) + number(level)).collect();
        Geometry { mixes, sizes, fan, of_level, local_first }
    }

    /// Levels of the recursion: level `v` mixes dim `v`, the last one the last two dims.
    pub(super) fn levels(&self) -> usize {
        self.fan.len() + 1
    }

    /// How many blocks a level has.
    pub(super) fn blocks(&self, level: usize) -> usize {
        self.fan[..level].iter().product()
    }

    /// The sub-layers of a level, in the order of their use.
    pub(super) fn at_level(&self, level: usize) -> Range<usize> {
        self.of_level[level].clone()
    }
}

fn mix(sub_layer: &SubLayer, now: &[usize], outs: &[usize], skip_connections: bool) -> Mix {
    let (count, dim) = (now.len(), sub_layer.dim);
    let (ins, outs) = (now[dim], outs[dim]);
    let last = count - 1;
    // Steps of the dims that index the weights: the last one named is the fastest.
    let mut steps = vec![0; count];
    let mut matrices = 1;
    for d in sub_layer.unique.iter().rev() {
        steps[*d] = matrices;
        matrices *= now[*d];
    }
    let leaf = dim + 2 >= count;
    // With a matrix for each place, dims behind this one that fill a vector together act as one, or `l` is a part of one; `s` is a
    // part of `mid` then.
    let fills = |dims: &usize| now[count - dims..].iter().product::<usize>() == LINE;
    let divides = |dims: &usize| now[count - dims] < LINE && LINE.is_multiple_of(now[count - dims]);
    let tail = match sub_layer.shared {
        None => (1..count - dim).find(fills).or((1..count - dim).next().filter(divides)),
        Some(_) => None,
    };
    let (mid, s, l) = match count - dim {
        _ if let Some(tail) = tail => {
            (now[dim + 1..count - tail].iter().product(), 1, now[count - tail..].iter().product())
        }
        1 => (1, if count == 1 { 1 } else { now[count - 2] }, 1),
        2 => (1, 1, now[last]),
        _ => (now[dim + 1..count - 2].iter().product(), now[count - 2], now[last]),
    };
    // The prefix of the last dim is what lies before the leaf.
    let before = if leaf { count.saturating_sub(2) } else { dim };
    let prefixes: usize = now[..before].iter().product();
    let inner = mid * s * l;
    let step_of = |range: Range<usize>| {
        // Neighbouring dims that index the weights one after the other act as one, with the step of the last.
        range.rev().map(|d| steps[d]).find(|step| *step != 0).unwrap_or(0)
    };
    let kind = match (count - dim, sub_layer.shared) {
        (1, _) => Kind::Rows,
        _ if tail.is_some() => Kind::Lanes,
        (2, Some(_)) => Kind::Columns,
        (_, Some(_)) => Kind::Lanes,
        (_, None) => Kind::Apart,
    };
    debug_assert_eq!(inner * ins * prefixes, now.iter().product::<usize>());
    Mix {
        kind,
        level: if leaf { count.saturating_sub(2) } else { dim },
        ins,
        outs,
        skip: skip_connections && ins == outs,
        mid,
        s,
        l,
        l_last: kind == Kind::Lanes && l == LINE,
        tail: tail.unwrap_or(1),
        fold: if kind == Kind::Lanes { Fold::new(mid, s, l) } else { None },
        block_in: inner * ins,
        block_out: inner * outs,
        prefix_step: step_of(0..before),
        mid_step: if leaf { 0 } else { step_of(dim + 1..count - 2) },
        s_step: if dim + 2 == count || count == 1 { 0 } else { steps[count - 2] },
        l_step: if dim == last { 0 } else { steps[last] },
    }
}

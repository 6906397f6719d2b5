//! The order of blocks and units, and their spread over threads.
//!
//! A sub-layer touches all of a block; what follows it touches the block's parts one by one. So, inside a block,
//! the walk goes down to a part, through all sub-layers that remain, before it begins the next part: what one
//! sub-layer leaves is still in the cache when the next one comes.
//!
//! Blocks are independent of each other, and go to different threads; sub-layers above them are cut into units.
//! Where the sub-layer right above comes first, each thread computes of it what its own blocks need, so that no
//! thread waits for another one, and nothing that one has written is read by another.
use super::dispatch::Kernels;
use super::geometry::Geometry;
use super::scratch::{self, Arena};
use super::simd::LINE;
use std::ops::Range;

/// Multiplications a thread, below which a second one costs more than it brings.
const WORTH_A_THREAD: usize = 400_000;
/// The same of a backward pass, in which threads wait for each other once more.
const WORTH_A_THREAD_BACKWARD: usize = 800_000;

/// One piece of work: a unit of a sub-layer in a block.
pub(super) struct Piece {
    /// Which sub-layer.
    pub(super) mix: usize,
    /// Which block of its level.
    pub(super) prefix: usize,
    pub(super) unit: usize,
    /// Which places along the mixed dim are computed.
    pub(super) outs: Range<usize>,
}

/// Which way the sub-layers are gone through.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Forward,
    Backward,
}

/// Goes through all pieces: each one after those that it depends on.
pub(super) struct Walk<'a, F> {
    pub(super) geometry: &'a Geometry,
    pub(super) direction: Direction,
    /// Multiplications of the whole walk, about.
    pub(super) work: usize,
    /// Numbers of scratch memory that a piece takes.
    pub(super) scratch: usize,
    pub(super) run: F,
    /// Called by each thread when it has done its share.
    pub(super) end: &'a (dyn Fn() + Sync),
}

impl<F: Fn(Piece, &mut Arena<'_>) + Sync> Walk<'_, F> {
    /// Runs, on at most so many threads.
    pub(super) fn all<K: Kernels>(&self, threads: usize) {
        let worth = match self.direction {
            Direction::Forward => WORTH_A_THREAD,
            Direction::Backward => WORTH_A_THREAD_BACKWARD,
        };
        let threads = threads.min(self.work / worth).max(1);
        let levels = self.geometry.levels();
        // Blocks of this level go to threads as a whole: enough of them to make equal shares.
        let enough = if threads == 1 { 1 } else { 4 * threads };
        let cut = (0..levels).find(|v| self.geometry.blocks(*v) >= enough).unwrap_or(levels - 1);
        if !self.own_first() {
            self.blocks::<K>(cut, threads, false);
            (0..cut).rev().for_each(|level| self.level::<K>(level, threads));
        } else if cut > 0 && self.direction == Direction::Forward {
            (0..cut - 1).for_each(|level| self.level::<K>(level, threads));
            self.blocks::<K>(cut, threads, true);
        } else {
            (0..cut).for_each(|level| self.level::<K>(level, threads));
            self.blocks::<K>(cut, threads, false);
        }
    }

    /// Whether a block's own sub-layers come before those of its parts.
    fn own_first(&self) -> bool {
        (self.direction == Direction::Forward) != self.geometry.local_first
    }

    /// The blocks of a level; with `above`, each thread begins with what its blocks need of the level above.
    fn blocks<K: Kernels>(&self, level: usize, threads: usize, above: bool) {
        spread(self.geometry.blocks(level), threads, |blocks| {
            scratch::with(self.scratch, |arena| {
                if above {
                    let fan = self.geometry.fan[level - 1];
                    for parent in blocks.start / fan..blocks.end.div_ceil(fan) {
                        let first = parent * fan;
                        let outs = blocks.start.max(first) - first..blocks.end.min(first + fan) - first;
                        self.own::<K>(level - 1, parent, Some(outs), arena);
                    }
                }
                blocks.for_each(|prefix| self.block::<K>(level, prefix, arena));
            });
            (self.end)();
        });
    }

    fn block<K: Kernels>(&self, level: usize, prefix: usize, arena: &mut Arena<'_>) {
        if self.own_first() {
            self.own::<K>(level, prefix, None, arena);
        }
        if let Some(fan) = self.geometry.fan.get(level) {
            (0..*fan).for_each(|part| self.block::<K>(level + 1, prefix * fan + part, arena));
        }
        if !self.own_first() {
            self.own::<K>(level, prefix, None, arena);
        }
    }

    /// The sub-layers that mix a block as a whole: all places, or some.
    fn own<K: Kernels>(
        &self,
        level: usize,
        prefix: usize,
        outs: Option<Range<usize>>,
        arena: &mut Arena<'_>,
    ) {
        let mut run = |mix: usize| {
            let whole = &self.geometry.mixes[mix];
            for unit in 0..whole.units(LINE) {
                let outs = outs.clone().unwrap_or(0..whole.outs);
                (self.run)(Piece { mix, prefix, unit, outs }, &mut arena.again());
            }
        };
        match self.direction {
            Direction::Forward => self.geometry.at_level(level).for_each(&mut run),
            Direction::Backward => self.geometry.at_level(level).rev().for_each(&mut run),
        }
    }

    /// The same of all blocks of a level, unit by unit.
    fn level<K: Kernels>(&self, level: usize, threads: usize) {
        for mix in self.geometry.at_level(level) {
            let whole = &self.geometry.mixes[mix];
            let units = whole.units(LINE);
            spread(self.geometry.blocks(level) * units, threads, |tasks| {
                scratch::with(self.scratch, |arena| {
                    for i in tasks {
                        let piece = Piece { mix, prefix: i / units, unit: i % units, outs: 0..whole.outs };
                        (self.run)(piece, &mut arena.again());
                    }
                });
                (self.end)();
            });
        }
    }
}

/// Calls `share` with ranges that make up `0..tasks`, on several threads. A thread gets neighbouring tasks, and the
/// same ones each time, since what they work on is then in its own caches.
fn spread(tasks: usize, threads: usize, share: impl Fn(Range<usize>) + Sync) {
    if threads == 1 {
        return share(0..tasks);
    }
    efference_sdk::autograd::parallel(threads, |thread| {
        let share_of = |thread: usize| thread * tasks / threads;
        let tasks = share_of(thread)..share_of(thread + 1);
        if !tasks.is_empty() {
            share(tasks);
        }
    });
}

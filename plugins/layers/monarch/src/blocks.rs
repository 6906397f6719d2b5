//! How the features of a layer are cut into blocks, and dealt out between them.
use efference_sdk::tch::Tensor;
use efference_sdk::{Result, Size, bail};

/// How many blocks there are, and how large they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blocks {
    /// Of the layer.
    pub(super) size: Size,
    /// Blocks of each matrix.
    pub(super) count: i64,
    /// Inputs of a block of the first matrix.
    pub(super) ins: i64,
    /// Outputs of a block of the first matrix, and inputs of one of the second.
    pub(super) between: i64,
    /// Outputs of a block of the second matrix.
    pub(super) outs: i64,
    /// How many features a block of the second matrix has from each one of the first.
    pub(super) share: i64,
}

impl Blocks {
    /// Of a layer of this size, with so many blocks; 0: as many as take the fewest weights.
    pub(super) fn new(size: Size, wanted: i64) -> Self {
        let least = size.ins.min(size.outs).max(1);
        let root = (1..).find(|root| root * root >= least).unwrap_or(1);
        let count = if wanted == 0 { root } else { wanted.clamp(1, root) };
        let share = ceil_div(least, count * count);
        let (ins, outs) = (ceil_div(size.ins, count).max(1), ceil_div(size.outs, count).max(1));
        Blocks { size, count, ins, between: count * share, outs, share }
    }

    /// (rows, features) → (blocks, rows, features of a block), with zeros behind the features where blocks have more.
    pub(super) fn split(self, x: &Tensor, of_block: i64) -> Result<Tensor> {
        let [rows, features] = x.size()[..] else { bail!("monarch got a tensor of shape {:?}", x.size()) };
        let missing = self.count * of_block - features;
        let x = if missing > 0 { &x.f_constant_pad_nd([0, missing])? } else { x };
        Ok(x.f_view([rows, self.count, of_block])?.f_transpose(0, 1)?)
    }

    /// The other way round, of which the first `features` are wanted.
    pub(super) fn join(self, blocks: &Tensor, features: i64) -> Result<Tensor> {
        let [_, rows, of_block] = blocks.size()[..] else {
            bail!("monarch got a tensor of shape {:?}", blocks.size())
        };
        let x = blocks.f_transpose(0, 1)?.f_reshape([rows, self.count * of_block])?;
        Ok(if self.count * of_block > features { x.f_narrow(1, 0, features)?.f_contiguous()? } else { x })
    }

    /// What the blocks of the first matrix made, (count, rows, between), as those of the second take it: of the same shape.
    pub(super) fn permute(self, made: &Tensor) -> Result<Tensor> {
        let rows = made.size()[1];
        let parts = made.f_view([self.count, rows, self.share, self.count])?;
        Ok(parts.f_permute([3, 1, 0, 2])?.f_reshape([self.count, rows, self.between])?)
    }

    /// The other way round.
    pub(super) fn permute_back(self, taken: &Tensor) -> Result<Tensor> {
        let rows = taken.size()[1];
        let parts = taken.f_view([self.count, rows, self.count, self.share])?;
        Ok(parts.f_permute([2, 1, 3, 0])?.f_reshape([self.count, rows, self.between])?)
    }
}

/// `⌈a / b⌉` of numbers that are not negative.
fn ceil_div(a: i64, b: i64) -> i64 {
    (a + b - 1) / b
}

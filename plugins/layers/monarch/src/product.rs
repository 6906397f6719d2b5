//! The product with both matrices, and its gradients: products of batches of matrices by libtorch, one matrix a block.
use efference_sdk::autograd::NamedVjp;
use efference_sdk::tch::{Kind, Tensor};
use efference_sdk::{GradInput, GradOutput, Result, Size, Vjp, bail};

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
    fn to_blocks(self, x: &Tensor, of_block: i64) -> Result<Tensor> {
        let [rows, features] = x.size()[..] else { bail!("monarch got a tensor of shape {:?}", x.size()) };
        let missing = self.count * of_block - features;
        let x = if missing > 0 { &x.f_constant_pad_nd([0, missing])? } else { x };
        Ok(x.f_view([rows, self.count, of_block])?.f_transpose(0, 1)?)
    }

    /// The other way round, of which the first `features` are wanted.
    fn from_blocks(self, blocks: &Tensor, features: i64) -> Result<Tensor> {
        let [_, rows, of_block] = blocks.size()[..] else {
            bail!("monarch got a tensor of shape {:?}", blocks.size())
        };
        let x = blocks.f_transpose(0, 1)?.f_reshape([rows, self.count * of_block])?;
        Ok(if self.count * of_block > features { x.f_narrow(1, 0, features)?.f_contiguous()? } else { x })
    }

    /// What the blocks of the first matrix made, (count, rows, between), as those of the second take it: of the same shape.
    fn permute(self, made: &Tensor) -> Result<Tensor> {
        let rows = made.size()[1];
        let parts = made.f_view([self.count, rows, self.share, self.count])?;
        Ok(parts.f_permute([3, 1, 0, 2])?.f_reshape([self.count, rows, self.between])?)
    }

    /// The other way round.
    fn permute_back(self, taken: &Tensor) -> Result<Tensor> {
        let rows = taken.size()[1];
        let parts = taken.f_view([self.count, rows, self.count, self.share])?;
        Ok(parts.f_permute([2, 1, 3, 0])?.f_reshape([self.count, rows, self.between])?)
    }
}

/// `⌈a / b⌉` of numbers that are not negative.
fn ceil_div(a: i64, b: i64) -> i64 {
    (a + b - 1) / b
}

/// The formula of the crate's first page.
pub(super) struct Product {
    pub(super) blocks: Blocks,
    /// (count, ins of a block, between)
    pub(super) first: Tensor,
    /// (count, between, outs of a block)
    pub(super) second: Tensor,
    /// (outs)
    pub(super) bias: Option<Tensor>,
}

impl Product {
    /// In the order in which they were made.
    pub(super) fn params(&self) -> Vec<Tensor> {
        let all = [Some(&self.first), Some(&self.second), self.bias.as_ref()];
        all.into_iter().flatten().map(Tensor::shallow_clone).collect()
    }
}

impl NamedVjp for Product {
    const NAME: &'static str = "monarch";
}

impl Vjp for Product {
    /// Saved: what each matrix's blocks were multiplied with, (count, rows, features of a block).
    fn forward(&self, x: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        let blocks = self.blocks;
        let taken = blocks.to_blocks(x, blocks.ins)?;
        let between = blocks.permute(&taken.f_bmm(&self.first)?)?;
        let mut y = blocks.from_blocks(&between.f_bmm(&self.second)?, blocks.size.outs)?;
        if let Some(bias) = &self.bias {
            y = y.f_add_(bias)?;
        }
        Ok((y, vec![taken, between]))
    }

    /// `g_second = betweenᵀ · g`, `g_between = g · secondᵀ`, `g_first = takenᵀ · P⁻¹ g_between`, `g_x = P⁻¹ g_between · firstᵀ`. The
    /// gradients of the parameters are linear in `g`, so the paths that reach them are summed first.
    fn backward(&self, saved: &[Tensor], grad: &GradOutput<'_>) -> Result<GradInput> {
        let [taken, between] = saved else { bail!("monarch did not receive what it saved") };
        let (blocks, batch) = (self.blocks, grad.batch());
        let g = blocks.to_blocks(grad.grad, blocks.outs)?;
        let g_made = blocks.permute_back(&g.f_bmm(&self.second.f_transpose(1, 2)?)?)?;
        let input = match grad.input_paths as i64 {
            0 => None,
            paths => {
                let g_made = g_made.f_narrow(1, 0, paths * batch)?;
                let g_x = g_made.f_bmm(&self.first.f_transpose(1, 2)?)?;
                Some(blocks.from_blocks(&g_x, blocks.size.ins)?)
            }
        };
        if !grad.needs_any_param_grad() {
            return Ok(GradInput { input, params: Vec::new() });
        }
        let sum = |all: &Tensor| sum_of_paths(all, batch, grad.needs_param_grad);
        let g_first = taken.f_transpose(1, 2)?.f_bmm(&sum(&g_made)?)?;
        let g_second = between.f_transpose(1, 2)?.f_bmm(&sum(&g)?)?;
        let mut params = vec![Some(g_first), Some(g_second)];
        if self.bias.is_some() {
            let rows = grad.grad.f_view([1, -1, blocks.size.outs])?;
            let of_bias = sum(&rows)?.f_sum_dim_intlist(&[0i64, 1][..], false, Kind::Float)?;
            params.push(Some(of_bias));
        }
        Ok(GradInput { input, params })
    }
}

/// Of (blocks, paths · batch, features): the sum of those paths that reach the parameters, (blocks, batch, features).
fn sum_of_paths(all: &Tensor, batch: i64, reaches: &[bool]) -> Result<Tensor> {
    if let [true] = reaches {
        return Ok(all.shallow_clone());
    }
    let mut sum: Option<Tensor> = None;
    for (path, _) in (0..).zip(reaches).filter(|(_, reaches)| **reaches) {
        let path = all.f_narrow(1, path * batch, batch)?;
        sum = Some(match sum {
            Some(sum) => sum.f_add(&path)?,
            None => path,
        });
    }
    match sum {
        Some(sum) => Ok(sum),
        None => bail!("no gradient path reaches the parameters of monarch"),
    }
}

//! The product with both matrices, and its gradients: of many rows, or on a GPU, by libtorch's products of batches of matrices, one
//! matrix a block; of a few rows on the CPU by loops of this plugin.
use super::blocks::Blocks;
use super::loops;
use efference_sdk::autograd::{NamedVjp, OutputBuffer, is_contiguous_cpu_f32, rows, slice};
use efference_sdk::tch::{Kind, Tensor};
use efference_sdk::{GradInput, GradOutput, Result, Vjp, bail, simd};

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
        let (mut y, saved) =
            if self.is_for_loops(x, rows(x)) { self.forward_here(x)? } else { self.forward_by_libtorch(x)? };
        if let Some(bias) = &self.bias {
            y = y.f_add_(bias)?;
        }
        Ok((y, saved))
    }

    fn backward(&self, saved: &[Tensor], grad: &GradOutput<'_>) -> Result<GradInput> {
        let [taken, between] = saved else { bail!("monarch did not receive what it saved") };
        let here = self.is_for_loops(grad.grad, grad.batch()) && is_contiguous_cpu_f32(taken);
        let mut found = if here && is_contiguous_cpu_f32(between) {
            self.backward_here([taken, between], grad)?
        } else {
            self.backward_by_libtorch([taken, between], grad)?
        };
        if grad.needs_any_param_grad() && self.bias.is_some() {
            let all = grad.grad.f_view([1, -1, self.blocks.size.outs])?;
            let sum = sum_of_paths(&all, grad.batch(), grad.needs_param_grad)?;
            found.params.push(Some(sum.f_sum_dim_intlist(&[0i64, 1][..], false, Kind::Float)?));
        }
        Ok(found)
    }
}

impl Product {
    /// Whether a product of this tensor's rows, of which a path has so many, is one for loops.
    fn is_for_loops(&self, rows: &Tensor, batch: i64) -> bool {
        batch <= loops::MOST_ROWS && [rows, &self.first, &self.second].into_iter().all(is_contiguous_cpu_f32)
    }

    fn forward_here(&self, x: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        let blocks @ Blocks { size, count, ins, between, .. } = self.blocks;
        let rows = rows(x);
        let mut y = OutputBuffer::empty(&[rows, size.outs])?;
        let mut taken = OutputBuffer::empty(&[count, rows, ins])?;
        let mut middle = OutputBuffer::empty(&[count, rows, between])?;
        let (x, weights) = (slice(x)?, [slice(&self.first)?, slice(&self.second)?]);
        simd!(loops::forward(blocks, x, weights, [&mut taken, &mut middle], &mut y));
        Ok((y.into_tensor(), vec![taken.into_tensor(), middle.into_tensor()]))
    }

    fn forward_by_libtorch(&self, x: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        let blocks = self.blocks;
        let taken = blocks.split(x, blocks.ins)?;
        let between = blocks.permute(&taken.f_bmm(&self.first)?)?;
        let y = blocks.join(&between.f_bmm(&self.second)?, blocks.size.outs)?;
        Ok((y, vec![taken, between]))
    }

    /// As [`backward_by_libtorch`](Self::backward_by_libtorch), path after path.
    fn backward_here(&self, saved: [&Tensor; 2], grad: &GradOutput<'_>) -> Result<GradInput> {
        let blocks = self.blocks;
        let (g, batch) = (slice(grad.grad)?, grad.batch());
        let [first, second] = [slice(&self.first)?, slice(&self.second)?];
        let mut g_made = OutputBuffer::empty(&[blocks.count, rows(grad.grad), blocks.between])?;
        simd!(loops::to_made(blocks, g, second, &mut g_made));
        let mut found = GradInput::default();
        if grad.input_paths > 0 {
            let mut g_x = OutputBuffer::empty(&[grad.input_paths as i64 * batch, blocks.size.ins])?;
            simd!(loops::to_input(blocks, &g_made, first, &mut g_x));
            found.input = Some(g_x.into_tensor());
        }
        if grad.needs_any_param_grad() {
            let mut of_first = OutputBuffer::zeros(&self.first.size())?;
            let mut of_second = OutputBuffer::zeros(&self.second.size())?;
            let saved = [slice(saved[0])?, slice(saved[1])?];
            for (path, _) in grad.needs_param_grad.iter().enumerate().filter(|(_, reaches)| **reaches) {
                let from = path * batch as usize;
                let sums: [&mut [f32]; 2] = [&mut of_first, &mut of_second];
                simd!(loops::to_parameters(blocks, from, [g, &g_made], saved, sums));
            }
            found.params = vec![Some(of_first.into_tensor()), Some(of_second.into_tensor())];
        }
        Ok(found)
    }

    /// `g_second = betweenᵀ · g`, `g_between = g · secondᵀ`, `g_first = takenᵀ · P⁻¹ g_between`, `g_x = P⁻¹ g_between · firstᵀ`. The
    /// gradients of the parameters are linear in `g`, so the paths that reach them are summed first.
    fn backward_by_libtorch(
        &self,
        [taken, between]: [&Tensor; 2],
        grad: &GradOutput<'_>,
    ) -> Result<GradInput> {
        let (blocks, batch) = (self.blocks, grad.batch());
        let g = blocks.split(grad.grad, blocks.outs)?;
        let g_made = blocks.permute_back(&g.f_bmm(&self.second.f_transpose(1, 2)?)?)?;
        let input = match grad.input_paths as i64 {
            0 => None,
            paths => {
                let g_made = g_made.f_narrow(1, 0, paths * batch)?;
                let g_x = g_made.f_bmm(&self.first.f_transpose(1, 2)?)?;
                Some(blocks.join(&g_x, blocks.size.ins)?)
            }
        };
        if !grad.needs_any_param_grad() {
            return Ok(GradInput { input, params: Vec::new() });
        }
        let sum = |all: &Tensor| sum_of_paths(all, batch, grad.needs_param_grad);
        let g_first = taken.f_transpose(1, 2)?.f_bmm(&sum(&g_made)?)?;
        let g_second = between.f_transpose(1, 2)?.f_bmm(&sum(&g)?)?;
        Ok(GradInput { input, params: vec![Some(g_first), Some(g_second)] })
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

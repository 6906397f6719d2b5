//! The next state, put together from the gradient paths' values: in one pass each way on the CPU.
use efference_sdk::autograd::{
    Context, Gradients, Op, OutputBuffer, apply, copy_elements, is_contiguous_cpu_f32, slice,
};
use efference_sdk::tch::Tensor;
use efference_sdk::{Result, bail};

/// Where the two goals stand in the state.
pub(crate) const GOALS: std::ops::Range<i64> = 2..4;

/// `cat(first, second)`, both (batch, size); its numbers 2 and 3 are `goals`, (batch, 2), if there are such.
pub(crate) fn assemble(first: &Tensor, second: &Tensor, goals: Option<&Tensor>) -> Result<Tensor> {
    let mut parts = vec![first, second];
    parts.extend(goals);
    if parts.iter().all(|t| is_contiguous_cpu_f32(t)) {
        return Ok(apply(Assemble, &parts)?.remove(0));
    }
    let Some(goals) = goals else { return Ok(Tensor::f_cat(&parts, 1)?) };
    let before = first.f_narrow(1, 0, GOALS.start)?;
    let after = first.f_narrow(1, GOALS.end, first.size()[1] - GOALS.end)?;
    Ok(Tensor::f_cat(&[&before, goals, &after, second], 1)?)
}

/// Inputs: the halves, and the goals if there are such.
struct Assemble;

const GOAL_NUMBERS: std::ops::Range<usize> = GOALS.start as usize..GOALS.end as usize;

impl Op for Assemble {
    const NAME: &'static str = "assemble";

    fn forward(&mut self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        let [first, second, goals @ ..] = inputs else { bail!("two halves are to be put together") };
        let size = first.size()[1] as usize;
        let mut state = OutputBuffer::empty(&[first.size()[0], 2 * size as i64])?;
        let halves = slice(first)?.chunks_exact(size).zip(slice(second)?.chunks_exact(size));
        for (row, (first, second)) in state.chunks_exact_mut(2 * size).zip(halves) {
            copy_elements(first, &mut row[..size]);
            copy_elements(second, &mut row[size..]);
        }
        if let [goals] = goals {
            let goals = slice(goals)?.chunks_exact(GOAL_NUMBERS.len());
            for (row, goals) in state.chunks_exact_mut(2 * size).zip(goals) {
                row[GOAL_NUMBERS].copy_from_slice(goals);
            }
        }
        Ok(vec![state.into_tensor()])
    }

    fn backward(&self, _: &[Tensor], gradients: &Gradients<'_>) -> Result<Vec<Option<Tensor>>> {
        let has_goals = gradients.input_count() > 2;
        let Some(g) = gradients.of_output(0) else {
            return Ok(gradients.none());
        };
        let g = g.f_contiguous()?;
        let (batch, size) = (g.size()[0], g.size()[1] as usize / 2);
        let mut first = OutputBuffer::empty(&[batch, size as i64])?;
        let mut second = OutputBuffer::empty(&[batch, size as i64])?;
        let mut goals = OutputBuffer::empty(&[batch, GOAL_NUMBERS.len() as i64])?;
        let halves = first.chunks_exact_mut(size).zip(second.chunks_exact_mut(size));
        let parts = halves.zip(goals.chunks_exact_mut(GOAL_NUMBERS.len()));
        for (g, ((first, second), goals)) in slice(&g)?.chunks_exact(2 * size).zip(parts) {
            copy_elements(&g[..size], first);
            copy_elements(&g[size..], second);
            if has_goals {
                goals.copy_from_slice(&g[GOAL_NUMBERS]);
                first[GOAL_NUMBERS].fill(0.0);
            }
        }
        let mut answer = vec![Some(first.into_tensor()), Some(second.into_tensor())];
        if has_goals {
            answer.push(Some(goals.into_tensor()));
        }
        Ok(answer.into_iter().enumerate().map(|(i, g)| g.filter(|_| gradients.needs_input_grad(i))).collect())
    }
}

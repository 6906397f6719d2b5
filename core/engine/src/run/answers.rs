//! What a step's streams get back: predictions and actions, gathered from tensors.
use efference_sdk::autograd::{is_contiguous_cpu_f32, shape2, slice};
use efference_sdk::tch::Tensor;

/// Columns of a matrix.
pub(super) fn columns(matrix: &Tensor) -> i64 {
    shape2(matrix).map_or(0, |[_, columns]| columns)
}

/// Row by row, what is predicted, behind the reserved slots of the states, and the actions; `false` where they are not plain
/// memory.
pub(super) fn gather(
    states: &Tensor,
    actions: Option<&Tensor>,
    reserved: usize,
    observed: usize,
    into: &mut Vec<f32>,
) -> bool {
    if !is_contiguous_cpu_f32(states) || !actions.is_none_or(is_contiguous_cpu_f32) {
        return false;
    }
    let (Ok(of_states), Ok(of_actions)) = (slice(states), actions.map_or(Ok(&[][..]), slice)) else {
        return false;
    };
    let (size, width) = (columns(states) as usize, actions.map_or(0, |actions| columns(actions) as usize));
    into.clear();
    for (row, state) in of_states.chunks_exact(size.max(1)).enumerate() {
        let (Some(predicted), Some(action)) =
            (state.get(reserved..reserved + observed), of_actions.get(row * width..(row + 1) * width))
        else {
            return false;
        };
        into.extend_from_slice(predicted);
        into.extend_from_slice(action);
    }
    true
}

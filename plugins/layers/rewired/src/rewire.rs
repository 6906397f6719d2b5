//! Which connections go, and which come.
use efference_sdk::Random;

/// Replaces the `replaced` weakest of the `fan_in` connections of each output, with weights of 0, by inputs that the output did
/// not have. `weights` and `inputs` are (outs, fan_in); there are `replaced` inputs or more that an output does not have.
///
/// Of weights that are equally small the first go.
pub(super) fn rewire(
    weights: &mut [f32],
    inputs: &mut [i32],
    ins: i64,
    fan_in: i64,
    replaced: usize,
    random: &mut Random,
) {
    let fan_in = fan_in as usize;
    let mut taken = vec![false; ins as usize];
    let mut order: Vec<usize> = Vec::with_capacity(fan_in);
    for (weights, inputs) in weights.chunks_exact_mut(fan_in).zip(inputs.chunks_exact_mut(fan_in)) {
        order.clear();
        order.extend(0..fan_in);
        order.sort_by(|a, b| weights[*a].abs().total_cmp(&weights[*b].abs()));
        let before = inputs.to_vec();
        before.iter().for_each(|input| taken[*input as usize] = true);
        for place in &order[..replaced] {
            let new = loop {
                let input = random.below(ins as u64) as usize;
                if !taken[input] {
                    break input;
                }
            };
            taken[new] = true;
            (inputs[*place], weights[*place]) = (new as i32, 0.0);
        }
        before.iter().chain(&*inputs).for_each(|input| taken[*input as usize] = false);
    }
}

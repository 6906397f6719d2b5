//! Sparse first values of a layer's weights.
use crate::{Layer, ParamStore, Params, Random, Result, bail, derive_seed, ensure};
use tch::Tensor;

/// Sets a share of each unit's incoming weights to zero, drawn from a seed.
///
/// `params` is the scope in which `layer` was made. Of each weight that [`Layer::weights`] lists, each unit (one index
/// of the dims that do not run over inputs) has `n` incoming weights, of which `⌈share · n⌉` become zero, but never all
/// of them. They are ordinary first values: no mask is kept, and training changes them. A layer that lists no weights
/// stays as it is.
///
/// With a running normalisation of inputs, this is how a small network learns online: each unit looks at a few inputs,
/// and a step changes few of them (Elsayed et al., "Streaming deep reinforcement learning finally works", 2024, use a
/// share of 0.9).
///
/// # Errors
/// `share` is not within 0…1, or the layer lists a weight or dim that it does not have.
pub fn sparsify(layer: &dyn Layer, params: &Params<'_>, share: f64, seed: u64) -> Result<()> {
    ensure!(
        (0.0..=1.0).contains(&share),
        "the share of weights that are zero must be within 0…1, and is {share}"
    );
    if params.only_counts()? {
        return Ok(());
    }
    for layout in layer.weights()? {
        let name = &layout.name;
        let found = params.list(name)?.into_iter().find(|(found, _)| found == name);
        let Some((_, mut weight)) = found else { bail!("the layer lists the weight '{name}', and has none") };
        let shape = weight.size();
        for dim in &layout.input_dims {
            ensure!(
                (0..shape.len() as i64).contains(dim),
                "the layer lists dim {dim} of the weight '{name}', whose shape is {shape:?}"
            );
        }
        let fan_in: i64 = layout.input_dims.iter().map(|d| shape[*d as usize]).product();
        let keep = keep_mask(
            weight.numel() / fan_in.max(1) as usize,
            fan_in as usize,
            share,
            derive_seed(seed, name),
        );

        // The mask has its units first and inputs last; `order` says where each of these dims belongs.
        let is_input = |d: &i64| layout.input_dims.contains(d);
        let (inputs, units): (Vec<_>, Vec<_>) = (0..shape.len() as i64).partition(is_input);
        let order: Vec<i64> = units.into_iter().chain(inputs).collect();
        let sorted: Vec<i64> = order.iter().map(|d| shape[*d as usize]).collect();
        let mut back = vec![0; order.len()];
        order.iter().zip(0..).for_each(|(d, place)| back[*d as usize] = place);
        let keep = Tensor::f_from_slice(&keep)?.f_reshape(&sorted)?.f_permute(&back)?;
        let keep = keep.f_to_device(weight.device())?.f_to_kind(weight.kind())?;
        tch::no_grad(|| weight.f_mul_(&keep).map(drop))?;
    }
    Ok(())
}

/// 1 for each weight that stays, 0 for one that becomes zero: (units, fan_in).
fn keep_mask(units: usize, fan_in: usize, share: f64, seed: u64) -> Vec<f32> {
    // What rounding leaves of a product such as 0.9 · 10 is not one more.
    let zeros = ((share * fan_in as f64 - 1e-9).ceil() as usize).min(fan_in.saturating_sub(1));
    let mut random = Random::new(seed);
    let mut keep = vec![1.0; units * fan_in];
    let mut places: Vec<usize> = (0..fan_in).collect();
    for unit in keep.chunks_exact_mut(fan_in.max(1)) {
        // The first places of a random order.
        for i in 0..zeros {
            places.swap(i, i + random.below((fan_in - i) as u64) as usize);
            unit[places[i]] = 0.0;
        }
    }
    keep
}

//! Running statistics of latents: by them latents are centred and scaled, and a collapse is seen.
use efference_sdk::tch::{self, Device, Kind, Tensor};
use efference_sdk::{ParamStore, Params, Result, autograd};

/// How much of a running mean is kept at each loss, once there were enough of them.
const DECAY: f64 = 0.995;
/// What is added to a variance: latents whose deviation is far below 0.01 are not scaled up to 1.
const EPSILON: f64 = 1e-4;

/// All of it is in buffers, so that it is saved and that no loss changes what the goal keeps beside them.
pub(crate) struct Spread {
    /// (1): losses so far.
    count: Tensor,
    /// (latent): running mean and variance of the slow copy's latents.
    mean: Tensor,
    variance: Tensor,
    /// (latent): the running mean of those latents over their norms.
    direction: Tensor,
    /// (latent, latent): the running mean of products of the elements of targets.
    products: Tensor,
}

impl Spread {
    pub(crate) fn new(latent: i64, params: &Params<'_>) -> Result<Self> {
        let device = params.device()?;
        let zeros = |name: &str, shape: &[i64]| -> Result<Tensor> {
            params.buffer(name, Tensor::f_zeros(shape, (Kind::Float, device))?)
        };
        Ok(Spread {
            count: zeros("count", &[1])?,
            mean: zeros("mean", &[latent])?,
            variance: params.buffer("variance", Tensor::f_ones([latent], (Kind::Float, device))?)?,
            direction: zeros("direction", &[latent])?,
            products: zeros("products", &[latent, latent])?,
        })
    }

    /// Latents (rows, latent) less their running mean, over their running deviation, over their norm: what is foretold.
    pub(crate) fn target(&self, latents: &Tensor) -> Result<Tensor> {
        let deviation = self.variance.f_add_scalar(EPSILON)?.f_sqrt()?;
        unit(&latents.f_sub(&self.mean)?.f_div(&deviation)?)
    }

    /// Counts latents and what [`target`](Self::target) made of them.
    pub(crate) fn count(&self, latents: &Tensor, target: &Tensor) -> Result<()> {
        tch::no_grad(|| {
            let mut count = self.count.shallow_clone();
            let rate = (1.0 / (count.f_double_value(&[0])? + 1.0)).max(1.0 - DECAY);
            let follow = |mean: &Tensor, now: Tensor| -> Result<()> {
                let _ = mean.shallow_clone().f_lerp_(&now, rate)?;
                Ok(())
            };
            let rows: &[i64] = &[0];
            follow(&self.mean, latents.f_mean_dim(rows, false, Kind::Float)?)?;
            let squares = latents.f_sub(&self.mean)?.f_square()?;
            follow(&self.variance, squares.f_mean_dim(rows, false, Kind::Float)?)?;
            follow(&self.direction, unit(latents)?.f_mean_dim(rows, false, Kind::Float)?)?;
            let products = target.f_tr()?.f_matmul(target)?;
            follow(&self.products, products.f_div_scalar(target.size()[0] as f64)?)?;
            let _ = count.f_add_scalar_(1.0)?;
            Ok(())
        })
    }

    /// √(1 − |mean of unit latents of late|²), 0…1: the root of the sum of their elements' variances.
    pub(crate) fn deviation(&self) -> Result<Tensor> {
        let direction = self.direction.f_to_device(Device::Cpu)?;
        let square: f32 = autograd::slice(&direction)?.iter().map(|m| m * m).sum();
        autograd::scalar((1.0 - square).max(0.0).sqrt())
    }

    /// (Σ λ)² / Σ λ² of the eigenvalues λ of the mean products of targets: in about how many dimensions they lie, 1 to latent.
    pub(crate) fn dimensions(&self) -> Result<Tensor> {
        let trace = self.products.f_trace()?.f_square()?;
        let squares = self.products.f_square()?.f_sum(Kind::Float)?;
        Ok(trace.f_div(&squares.f_clamp_min(1e-12)?)?)
    }
}

/// What is added to a squared norm, so that a row of zeros has a gradient, and a small one.
const NORM_EPSILON: f64 = 1e-6;

/// Each row over its norm.
pub(crate) fn unit(rows: &Tensor) -> Result<Tensor> {
    let square = rows.f_square()?.f_sum_dim_intlist([1].as_slice(), true, Kind::Float)?;
    Ok(rows.f_div(&square.f_add_scalar(NORM_EPSILON)?.f_sqrt()?)?)
}

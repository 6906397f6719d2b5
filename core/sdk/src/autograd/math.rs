//! Functions of one element that compile to SIMD where loops over them do.

/// `eˣ`, with a relative error below 3·10⁻⁷; 0 below −87.3, and 3.4·10³⁸ above 88.3.
///
/// The argument is reduced to `n · ln 2 + r` with `|r| ≤ ½ ln 2`; a polynomial gives `eʳ` (the coefficients are
/// those of Cephes' `expf`, S. L. Moshier), and `n` becomes the exponent.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding and subtracting this rounds to a whole number, without a call.
    const ROUND: f32 = 12_582_912.0;
    let clamped = x.clamp(-87.3, 88.3);
    let n = (clamped * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let r = clamped - n * LN2_HIGH - n * LN2_LOW;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let power = p * r * r + r + 1.0;
    let scale = f32::from_bits(((n as i32 + 127) as u32) << 23);
    if x.is_nan() { x } else { power * scale }
}

/// `1 / (1 + e⁻ˣ)`, with an error below 10⁻⁶.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The hyperbolic tangent, with an error below 10⁻⁶.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_what_they_say() {
        for i in -100_000..100_000i32 {
            let x = i as f32 * 1e-3;
            let wide = f64::from(x);
            if x.abs() < 87.0 {
                let e = wide.exp();
                assert!((f64::from(exp(x)) - e).abs() <= 3e-7 * e, "exp({x})");
            }
            assert!((f64::from(sigmoid(x)) - 1.0 / (1.0 + (-wide).exp())).abs() < 1e-6, "sigmoid({x})");
            assert!((f64::from(tanh(x)) - wide.tanh()).abs() < 1e-6, "tanh({x})");
        }
        assert!(exp(f32::NAN).is_nan() && sigmoid(f32::NAN).is_nan() && tanh(f32::NAN).is_nan());
        assert_eq!((tanh(f32::INFINITY), tanh(f32::NEG_INFINITY)), (1.0, -1.0));
        assert_eq!(sigmoid(f32::INFINITY), 1.0);
    }
}

//! Moments in 16 bits: bfloat16 with stochastic rounding.
//!
//! A bfloat16 is a 32-bit float without its last 16 bits; 8 bits of its significand are left. A mean that keeps 0.999 of itself
//! mostly changes by less than half of the last of them: rounded to the nearest it would stay where it is for good. Rounded up with
//! a probability that is the share of a last bit which is cut off, and down otherwise, it is right on average (Gupta et al.,
//! arXiv 1502.02551).
//!
//! What decides follows from the number of the update and the element's place, so it does not depend on threads, and a run that is
//! resumed rounds as it would have done. For one element it looks random from update to update, which is what its mean needs; in
//! one update it is spread evenly over the elements (a Weyl sequence), which costs an addition and no more.
use efference_sdk::Result;
use tch::{Kind, Tensor};

/// The 32-bit float that is this bfloat16.
#[inline(always)]
pub(super) fn widen(x: u16) -> f32 {
    f32::from_bits(u32::from(x) << 16)
}

/// One of the two bfloat16 that `x` lies between: the one farther from zero with a probability of `2⁻¹⁶` times what is cut off.
/// `random` is from `0..2^16`. Of a NaN it may be any number: a parameter is NaN once one of its means is.
#[inline(always)]
pub(super) fn narrow(x: f32, random: u32) -> u16 {
    (x.to_bits().wrapping_add(random) >> 16) as u16
}

/// 32 random bits for an element, by its place in its parameter and the [bits of the update](of_update).
#[inline(always)]
pub(super) fn of_element(place: u32, of_update: u32) -> u32 {
    place.wrapping_mul(GOLDEN).wrapping_add(of_update)
}

/// 32 random bits for an update, by its number. The multipliers are those of C. Wellons' `lowbias32`.
pub(super) fn of_update(number: i64) -> u32 {
    let mut x = (number as u32).wrapping_add(1);
    x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// 2³² divided by the golden ratio, and odd.
const GOLDEN: u32 = 0x9e37_79b9;

/// Both means of a parameter as bfloat16, by libtorch's operations, on any device; places count in the order of its dims.
pub(super) fn narrow_both(means: [&Tensor; 2], of_update: u32) -> Result<[Tensor; 2]> {
    let places = Tensor::f_arange(means[0].numel() as i64, (Kind::Int64, means[0].device()))?;
    let bits =
        places.f_mul_scalar(i64::from(GOLDEN))?.f_add_scalar(i64::from(of_update))?.f_view_as(means[0])?;
    let [low, high] =
        [&bits, &bits.f_bitwise_right_shift_tensor_scalar(16)?].map(|bits| bits.f_bitwise_and(LOW));
    let [low, high] = [low?, high?];
    Ok([narrow_tensor(means[0], &low)?, narrow_tensor(means[1], &high)?])
}

const LOW: i64 = 0xffff;

fn narrow_tensor(mean: &Tensor, random: &Tensor) -> Result<Tensor> {
    let bits = mean.f_to_kind(Kind::Float)?.f_view_dtype(Kind::Int)?;
    let rounded = bits.f_add(&random.f_to_kind(Kind::Int)?)?.f_bitwise_and(!LOW)?;
    Ok(rounded.f_view_dtype(Kind::Float)?.f_to_kind(Kind::BFloat16)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bfloat16_has_stays_and_what_lies_between_is_right_on_average() {
        for x in [0.0, -0.0, 1.0, -2.5, f32::INFINITY, f32::NEG_INFINITY, f32::MIN_POSITIVE] {
            for random in [0, 1, 0xffff] {
                assert_eq!(widen(narrow(x, random)).to_bits(), x.to_bits(), "{x} {random}");
            }
        }
        for x in [1.001f32, -0.3, 1e-8, 7e30] {
            // Of one element in many updates, for both of its means, and of many elements in one update.
            let ways: [fn(u32) -> u32; 3] = [
                |i| of_element(12, of_update(i64::from(i))) & 0xffff,
                |i| of_element(12, of_update(i64::from(i))) >> 16,
                |i| of_element(i, of_update(5)) & 0xffff,
            ];
            for (way, random) in ways.iter().enumerate() {
                let mean = (0..100_000).map(|i| f64::from(widen(narrow(x, random(i))))).sum::<f64>() / 1e5;
                // A last bit is at most 2^-7 of x, so the mean of so many is off by 1e-5 of x or so.
                assert!((mean / f64::from(x) - 1.0).abs() < 5e-5, "{x}, way {way}: {mean}");
            }
        }
    }

    #[test]
    fn libtorchs_operations_round_in_the_same_way() {
        let mut x: Vec<f32> = (0..1_000).map(|i| (i as f32 - 500.0) * 0.377).collect();
        x.extend([f32::INFINITY, f32::NEG_INFINITY]);
        let both = narrow_both([&Tensor::from_slice(&x), &Tensor::from_slice(&x)], u32::MAX - 9).unwrap();
        let [m, v] = both.map(|t| Vec::<f32>::try_from(t.to_kind(Kind::Float)).unwrap());
        for (i, x) in x.iter().enumerate() {
            let bits = of_element(i as u32, u32::MAX - 9);
            for (found, random) in [(m[i], bits & 0xffff), (v[i], bits >> 16)] {
                assert_eq!(found, widen(narrow(*x, random)), "{x}");
            }
        }
    }
}

//! Shapes of what layers and cells take and return.
use crate::autograd::{narrow, shape2};
use crate::{Result, Size, ensure};
use std::ops::Range;
use tch::Tensor;

/// Checks the arguments of the forward pass of the layer or cell `name`: `x` is (batch, ins), and `outs` lies within its
/// outputs.
///
/// # Errors
/// The sentence names `name`, what it takes and what it got.
pub fn check_forward(name: &str, size: Size, x: &Tensor, outs: &Range<i64>) -> Result<()> {
    let Size { ins, outs: all } = size;
    let shape = x.size();
    ensure!(
        shape.len() == 2 && shape[1] == ins,
        "{name} takes (batch, {ins}) numbers, and was given {shape:?}"
    );
    ensure!(
        0 <= outs.start && outs.start <= outs.end && outs.end <= all,
        "{name} has the outputs 0..{all}, and was asked for {outs:?}"
    );
    Ok(())
}

/// The columns `range` of `x` (batch, features): (batch, range.len()). `x` itself, without an operation of libtorch's, if
/// these are all.
pub fn columns(x: &Tensor, range: &Range<i64>) -> Result<Tensor> {
    let length = range.end - range.start;
    let all = range.start == 0 && shape2(x).is_some_and(|[_, columns]| columns == length);
    Ok(if all { x.shallow_clone() } else { narrow(x, 1, range.start, length)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn what_does_not_fit_is_an_error_that_names_both_sides() {
        let x = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, Device::Cpu));
        let check = |shape: &[i64], outs| check_forward("net", Size { ins: 3, outs: 4 }, &x(shape), &outs);
        assert!(check(&[2, 3], 0..4).is_ok() && check(&[0, 3], 4..4).is_ok());
        for shape in [&[2, 4][..], &[3], &[1, 2, 3]] {
            let said = check(shape, 0..4).unwrap_err().to_string();
            assert_eq!(said, format!("net takes (batch, 3) numbers, and was given {shape:?}"));
        }
        for outs in [-1..2, Range { start: 3, end: 2 }, 2..5] {
            let said = check(&[2, 3], outs.clone()).unwrap_err().to_string();
            assert_eq!(said, format!("net has the outputs 0..4, and was asked for {outs:?}"));
        }
    }

    #[test]
    fn all_columns_are_the_tensor_itself() {
        let x = Tensor::from_slice2(&[[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]]);
        assert_eq!(columns(&x, &(0..3)).unwrap().data_ptr(), x.data_ptr());
        assert_eq!(columns(&x, &(1..3)).unwrap(), Tensor::from_slice2(&[[2.0f32, 3.0], [5.0, 6.0]]));
    }
}

//! An estimate of the work of layers and optimizers: floating-point operations, and bytes that have to move.
//!
//! Products of matrices are counted, at two operations a multiply-accumulate. What is done number by number (biases,
//! nonlinearities, losses, updates) is left out of the operations, and all that only layers know of themselves (what
//! they keep for the backward pass, copies) out of the bytes: those are a lower bound.
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// OpCount that was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpCount {
    /// Floating-point operations.
    pub flop: u64,
    /// Bytes read and written, at least.
    pub bytes: u64,
    /// Whether some layers do not know their multiply-accumulates, so that `flop` is less than the truth.
    pub flop_is_lower_bound: bool,
}

impl std::ops::AddAssign for OpCount {
    fn add_assign(&mut self, other: OpCount) {
        self.flop += other.flop;
        self.bytes += other.bytes;
        self.flop_is_lower_bound |= other.flop_is_lower_bound;
    }
}

/// Adds work up, whichever threads do it.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    flop: AtomicU64,
    bytes: AtomicU64,
    lower_bound: AtomicBool,
}

impl Counter {
    pub(crate) fn add(&self, work: OpCount) {
        self.flop.fetch_add(work.flop, Ordering::Relaxed);
        self.bytes.fetch_add(work.bytes, Ordering::Relaxed);
        if work.flop_is_lower_bound {
            self.lower_bound.store(true, Ordering::Relaxed);
        }
    }

    /// What was added since the last call.
    pub(crate) fn take(&self) -> OpCount {
        OpCount {
            flop: self.flop.swap(0, Ordering::Relaxed),
            bytes: self.bytes.swap(0, Ordering::Relaxed),
            flop_is_lower_bound: self.lower_bound.swap(false, Ordering::Relaxed),
        }
    }
}

/// What the passes of a layer cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CostModel {
    /// Numbers in and out.
    pub(crate) ins: u64,
    pub(crate) outs: u64,
    /// Numbers in its parameters and buffers.
    pub(super) parameters: u64,
    /// How many of those tensors are trained.
    pub(crate) trained: usize,
    /// Of a forward pass over one row; `None` if it does not know, which counts as one for each parameter.
    pub(super) multiply_accumulates: Option<u64>,
}

/// Bytes of a number.
const NUMBER: u64 = 4;

impl CostModel {
    /// A forward pass: parameters and input are read, the output is written.
    pub(crate) fn forward(&self, rows: u64) -> OpCount {
        self.work(rows, self.parameters + rows * (self.ins + self.outs))
    }

    /// A backward pass of `rows` rows along `paths` gradient paths, of which `to_input` reach the input, and some the parameters
    /// if `to_parameters`: one product for each of these, and one for the parameters of all paths together.
    pub(crate) fn backward(&self, rows: u64, paths: u64, to_input: u64, to_parameters: bool) -> OpCount {
        let to_parameters = u64::from(to_parameters);
        // Parameters and the output's gradient are read, the input's gradient is written…
        let through = self.parameters + rows * (paths * self.outs + to_input * self.ins);
        // …and for that of the parameters, which is written, the input is read.
        let aside = to_parameters * (self.parameters + rows * self.ins);
        self.work(rows * (to_input + to_parameters), through + aside)
    }

    /// `products` rows multiplied, `numbers` moved.
    fn work(&self, products: u64, numbers: u64) -> OpCount {
        OpCount {
            flop: 2 * products * self.multiply_accumulates.unwrap_or(self.parameters),
            bytes: NUMBER * numbers,
            flop_is_lower_bound: self.multiply_accumulates.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENSE: CostModel =
        CostModel { ins: 300, outs: 200, parameters: 60_200, trained: 1, multiply_accumulates: Some(60_000) };

    #[test]
    fn a_forward_pass_is_one_product_a_row() {
        let OpCount { flop, bytes, flop_is_lower_bound } = DENSE.forward(3);
        assert_eq!((flop, flop_is_lower_bound), (3 * 2 * 60_000, false));
        assert_eq!(bytes, 4 * (60_200 + 3 * 300 + 3 * 200));
    }

    #[test]
    fn a_backward_pass_is_one_product_a_path_that_goes_on_and_one_for_the_parameters() {
        let product = 5 * 2 * 60_000;
        for (paths, to_input, to_parameters, products) in [
            (1, 1, true, 2),
            (1, 0, true, 1),
            (1, 1, false, 1),
            (3, 3, true, 4),
            (3, 2, true, 3),
            (2, 0, false, 0),
        ] {
            let work = DENSE.backward(5, paths, to_input, to_parameters);
            assert_eq!(work.flop, products * product, "{paths} {to_input} {to_parameters}");
            let read = 60_200 + 5 * paths * 200 + if to_parameters { 5 * 300 } else { 0 };
            let written = 5 * to_input * 300 + if to_parameters { 60_200 } else { 0 };
            assert_eq!(work.bytes, 4 * (read + written), "{paths} {to_input} {to_parameters}");
        }
    }

    #[test]
    fn a_layer_that_does_not_know_counts_its_parameters_and_says_so() {
        let unknown = CostModel { multiply_accumulates: None, ..DENSE };
        assert_eq!(unknown.forward(3).flop, 3 * 2 * 60_200);
        let counter = Counter::default();
        counter.add(DENSE.forward(3));
        counter.add(unknown.forward(1));
        let taken = counter.take();
        assert_eq!((taken.flop, taken.flop_is_lower_bound), (6 * 60_000 + 2 * 60_200, true));
        assert_eq!(counter.take(), OpCount::default());
    }
}

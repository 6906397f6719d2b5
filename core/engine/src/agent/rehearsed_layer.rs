//! A layer that computes nothing: zeros of the right shape, counted as the work that the real one would do.
use super::rehearsal::Rehearsal;
use crate::plugins::{CallMonitor, CostModel};
use efference_sdk::{GradInput, GradOutput, Layer, Result, Saved, Stage, Vjp, WeightLayout};
use std::ops::Range;
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

/// Stands in for a layer whose parameters are stand-ins.
pub(super) struct RehearsedLayer {
    /// Which was made, and is never computed with.
    layer: Box<dyn Layer>,
    cost: CostModel,
    /// A zero that asks for gradients if the layer has trained parameters: so results do as well.
    zero: Tensor,
    monitor: Arc<CallMonitor>,
    rehearsal: Arc<Rehearsal>,
}

impl RehearsedLayer {
    /// In place of `layer`, whose work is counted by `cost`.
    pub(super) fn new(
        layer: Box<dyn Layer>,
        cost: CostModel,
        monitor: Arc<CallMonitor>,
        rehearsal: Arc<Rehearsal>,
    ) -> Result<Self> {
        let zero = zeros(&[1])?.f_set_requires_grad(cost.trained > 0)?;
        Ok(RehearsedLayer { layer, cost, zero, monitor, rehearsal })
    }

    fn rows(x: &Tensor) -> u64 {
        x.size().first().map_or(0, |rows| *rows as u64)
    }

    fn saves(&self, rows: u64) {
        self.rehearsal.forward(rows * (self.cost.ins + self.cost.outs));
    }
}

fn zeros(shape: &[i64]) -> Result<Tensor> {
    Ok(Tensor::f_zeros(shape, (Kind::Float, Device::Cpu))?)
}

impl Layer for RehearsedLayer {
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        let rows = Self::rows(x);
        // Zeros that depend on `x` and on the parameters, for autograd.
        let one = x.f_narrow(1, 0, 1)?.f_mul_scalar(0.0)?.f_add(&self.zero)?;
        let y = one.f_expand([rows as i64, outs.end - outs.start], false)?.f_contiguous()?;
        // As the monitor of a real layer counts it.
        self.monitor.add_work(self.cost.forward(rows));
        if y.requires_grad() {
            let to_input = u64::from(x.requires_grad());
            self.monitor.add_work(self.cost.backward(rows, 1, to_input, self.cost.trained > 0));
            self.saves(rows);
        }
        Ok(y)
    }

    fn vjp(&self) -> Option<&dyn Vjp> {
        self.layer.vjp().map(|_| self as &dyn Vjp)
    }

    fn multiply_accumulates(&self) -> Result<Option<u64>> {
        self.layer.multiply_accumulates()
    }

    fn weights(&self) -> Result<Vec<WeightLayout>> {
        self.layer.weights()
    }

    fn connections(&self) -> Result<Vec<Stage>> {
        self.layer.connections()
    }

    fn units(&self) -> Result<Saved> {
        self.layer.units()
    }
}

impl Vjp for RehearsedLayer {
    fn forward(&self, x: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        let rows = Self::rows(x);
        self.monitor.add_work(self.cost.forward(rows));
        self.saves(rows);
        Ok((zeros(&[rows as i64, self.cost.outs as i64])?, vec![x.shallow_clone()]))
    }

    fn backward(&self, _: &[Tensor], grad: &GradOutput<'_>) -> Result<GradInput> {
        let trains = self.cost.trained > 0 && grad.needs_any_param_grad();
        let (rows, paths, to_input) =
            (grad.batch() as u64, grad.path_count() as u64, grad.input_paths as u64);
        self.monitor.add_work(self.cost.backward(rows, paths, to_input, trains));
        self.rehearsal.backward();
        let input = match grad.input_paths as i64 {
            0 => None,
            paths => Some(zeros(&[paths * grad.batch(), self.cost.ins as i64])?),
        };
        // No gradient of the parameters: it would take as much memory as they do.
        let params = if grad.needs_any_param_grad() { self.cost.trained } else { 0 };
        Ok(GradInput { input, params: (0..params).map(|_| None).collect() })
    }
}

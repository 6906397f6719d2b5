//! The networks of value and policy: two of them, or one trunk with two heads.
use crate::options::Options;
use efference_sdk::nn::{FeedForward, FeedForwardSpec};
use efference_sdk::tch::Tensor;
use efference_sdk::{GoalSetup, Result, Size};

/// Names of the terms, and of the parameter groups that they have without a shared trunk.
pub(crate) const VALUE: &str = "value";
pub(crate) const POLICY: &str = "policy";

/// What they return of some features.
pub(crate) struct Outputs {
    /// (rows)
    pub(crate) value: Tensor,
    /// (rows, parameters of the policy)
    pub(crate) policy: Tensor,
}

pub(crate) struct Networks {
    trunk: Option<FeedForward>,
    value: FeedForward,
    policy: FeedForward,
}

impl Networks {
    /// Of `ins` features; the policy has `outs` parameters.
    pub(crate) fn new(options: &Options, ins: i64, outs: i64, setup: &GoalSetup<'_>) -> Result<Self> {
        let Options { shared, width, depth, sparsity, .. } = *options;
        let make = |name: &str, size: Size, depth: i64, activate_last: bool| {
            let matrix_last = options.matrix_heads && !activate_last;
            let spec = FeedForwardSpec { size, width, depth, sparsity, matrix_last, activate_last };
            FeedForward::new(spec, setup.layers, &setup.params.scope(name))
        };
        // A trunk without layers would be the features themselves.
        if !shared || depth == 0 {
            let value = make(VALUE, Size { ins, outs: 1 }, depth, false)?;
            return Ok(Networks {
                trunk: None,
                value,
                policy: make(POLICY, Size { ins, outs }, depth, false)?,
            });
        }
        // No group has the name of a term: traces of both run through all of it.
        Ok(Networks {
            trunk: Some(make("trunk", Size { ins, outs: width }, depth - 1, true)?),
            value: make("head.value", Size { ins: width, outs: 1 }, 0, false)?,
            policy: make("head.policy", Size { ins: width, outs }, 0, false)?,
        })
    }

    /// Of `x` (rows, ins).
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Outputs> {
        let trunk = self.trunk.as_ref().map(|trunk| trunk.forward(x)).transpose()?;
        let x = trunk.as_ref().unwrap_or(x);
        Ok(Outputs { value: flat(self.value.forward(x)?)?, policy: self.policy.forward(x)? })
    }

    /// The value alone, (rows).
    pub(crate) fn value(&self, x: &Tensor) -> Result<Tensor> {
        let trunk = self.trunk.as_ref().map(|trunk| trunk.forward(x)).transpose()?;
        flat(self.value.forward(trunk.as_ref().unwrap_or(x))?)
    }
}

/// (rows) in place of (rows, 1).
fn flat(y: Tensor) -> Result<Tensor> {
    Ok(y.f_view([y.size()[0]])?)
}

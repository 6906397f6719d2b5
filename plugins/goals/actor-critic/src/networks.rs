//! The networks of value and policy: two of them, or one trunk with two heads.
use crate::options::Options;
use efference_sdk::nn::{FeedForward, FeedForwardSpec, Pass};
use efference_sdk::tch::Tensor;
use efference_sdk::{GoalSetup, Result, Size};

/// Names of the terms, and of the parameter groups that they have without a shared trunk.
pub(crate) const VALUE: &str = "value";
pub(crate) const POLICY: &str = "policy";
/// The scopes of a shared trunk, and of the heads on it.
const TRUNK: &str = "trunk";
const HEAD: &str = "head.";

/// What they return of some features.
pub(crate) struct Outputs {
    /// (rows), or (rows, 1) without a graph.
    pub(crate) value: Tensor,
    /// (rows, parameters of the policy)
    pub(crate) policy: Tensor,
    /// In place of a graph, if there is none.
    pub(crate) evaluation: Option<Evaluation>,
}

/// What the backward pass of each network needs of its forward pass.
pub(crate) struct Evaluation {
    trunk: Option<Pass>,
    value: Pass,
    policy: Pass,
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
            trunk: Some(make(TRUNK, Size { ins, outs: width }, depth - 1, true)?),
            value: make(&format!("{HEAD}{VALUE}"), Size { ins: width, outs: 1 }, 0, false)?,
            policy: make(&format!("{HEAD}{POLICY}"), Size { ins: width, outs }, 0, false)?,
        })
    }

    /// Of `x` (rows, ins).
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Outputs> {
        let trunk = self.trunk.as_ref().map(|trunk| trunk.forward(x)).transpose()?;
        let x = trunk.as_ref().unwrap_or(x);
        let (value, policy) = (flat(self.value.forward(x)?)?, self.policy.forward(x)?);
        Ok(Outputs { value, policy, evaluation: None })
    }

    /// Whether [`evaluate`](Self::evaluate) can be asked for.
    pub(crate) fn have_vjps(&self) -> bool {
        let trunk = self.trunk.as_ref().is_none_or(FeedForward::has_vjp);
        trunk && self.value.has_vjp() && self.policy.has_vjp()
    }

    /// The same as [`forward`](Self::forward), without a graph.
    pub(crate) fn evaluate(&self, x: &Tensor) -> Result<Outputs> {
        let (x, trunk) = match &self.trunk {
            Some(trunk) => {
                let (x, pass) = trunk.evaluate(x)?;
                (x, Some(pass))
            }
            None => (x.shallow_clone(), None),
        };
        let ((value, of_value), (policy, of_policy)) = (self.value.evaluate(&x)?, self.policy.evaluate(&x)?);
        let evaluation = Some(Evaluation { trunk, value: of_value, policy: of_policy });
        Ok(Outputs { value, policy, evaluation })
    }

    /// The network that a term is the output of, with its pass.
    fn head<'a>(&'a self, term: &str, evaluation: &'a Evaluation) -> (&'a FeedForward, &'a Pass) {
        match term {
            VALUE => (&self.value, &evaluation.value),
            _ => (&self.policy, &evaluation.policy),
        }
    }

    /// The gradients of the parameters that a term depends on, from that of its network's outputs (rows, outs).
    pub(crate) fn gradients(
        &self,
        term: &str,
        evaluation: &Evaluation,
        grad: Tensor,
    ) -> Result<Vec<Option<Tensor>>> {
        let (head, pass) = self.head(term, evaluation);
        let (Some(trunk), Some(pass_of_trunk)) = (&self.trunk, &evaluation.trunk) else {
            return head.traced_gradients(pass, grad);
        };
        let found = head.backward(pass, grad, true)?;
        let mut all = match found.input {
            Some(grad) => trunk.backward(pass_of_trunk, grad, false)?.params,
            None => Vec::new(),
        };
        all.extend(found.params);
        Ok(all)
    }

    /// How many tensors [`gradients`](Self::gradients) returns.
    pub(crate) fn gradient_count(&self, term: &str, evaluation: &Evaluation) -> usize {
        let (head, pass) = self.head(term, evaluation);
        match &self.trunk {
            Some(trunk) => trunk.parameters().len() + head.parameters().len(),
            None => head.traced_count(pass),
        }
    }

    /// The names of those parameters.
    pub(crate) fn parameters(&self, term: &str) -> Vec<String> {
        let head = if term == VALUE { &self.value } else { &self.policy };
        let scope = if self.trunk.is_some() { format!("{HEAD}{term}") } else { term.to_owned() };
        let trunk = self.trunk.iter().flat_map(|trunk| trunk.parameters());
        let trunk = trunk.map(|name| format!("{TRUNK}.{name}"));
        trunk.chain(head.parameters().iter().map(|name| format!("{scope}.{name}"))).collect()
    }

    /// The value alone, (rows, 1), without gradient.
    pub(crate) fn value(&self, x: &Tensor) -> Result<Tensor> {
        let trunk = self.trunk.as_ref().map(|trunk| trunk.value(x)).transpose()?;
        self.value.value(trunk.as_ref().unwrap_or(x))
    }
}

/// (rows) in place of (rows, 1).
fn flat(y: Tensor) -> Result<Tensor> {
    Ok(y.f_view([y.size()[0]])?)
}

//! Gradients of the same scale for all parameters.
use efference_sdk::tch::{Kind, Tensor};
use efference_sdk::{Agent, Result, Saved, ensure, group};
use std::collections::BTreeMap;

/// Divides the gradient of each parameter by the root of its running mean square: one number a parameter, not one an
/// element.
///
/// ```text
/// v = decay · v + (1 − decay) · mean(g²)
/// g = g / (√(v / (1 − decay^n)) + 1e-8)        after n gradients
/// ```
pub(crate) struct Normaliser {
    decay: f64,
    /// By the parameter's name: the running mean, and how many gradients it is of.
    means: BTreeMap<String, (f64, u64)>,
}

const PREFIX: &str = "mean_square.";
const EPSILON: f64 = 1e-8;

impl Normaliser {
    pub(crate) fn new(decay: f64) -> Result<Self> {
        ensure!((0.0..1.0).contains(&decay), "normalise_decay must be within 0…1, below 1, and is {decay}");
        Ok(Normaliser { decay, means: BTreeMap::new() })
    }

    /// Changes the gradients that are gathered in the parameters.
    pub(crate) fn normalise(&mut self, agent: &dyn Agent) -> Result<()> {
        for (name, parameter) in agent.parameters(group::ALL)? {
            let mut gradient = parameter.f_grad()?;
            if !gradient.defined() || gradient.numel() == 0 {
                continue;
            }
            let square = gradient.f_square()?.f_mean(Kind::Double)?.f_double_value(&[])?;
            let (mean, count) = self.means.entry(name).or_default();
            *count += 1;
            *mean = self.decay * *mean + (1.0 - self.decay) * square;
            let unbiased = *mean / (1.0 - self.decay.powf(*count as f64));
            let _ = gradient.f_mul_scalar_(1.0 / (unbiased.sqrt() + EPSILON))?;
        }
        Ok(())
    }

    pub(crate) fn save(&self) -> Result<Saved> {
        let one = |(name, (mean, count)): (&String, &(f64, u64))| {
            Ok((format!("{PREFIX}{name}"), Tensor::f_from_slice(&[*mean, *count as f64])?))
        };
        self.means.iter().map(one).collect()
    }

    pub(crate) fn restore(&mut self, saved: &Saved) -> Result<()> {
        self.means.clear();
        for (name, tensor) in saved.iter().filter_map(|(n, t)| Some((n.strip_prefix(PREFIX)?, t))) {
            let numbers = Vec::<f64>::try_from(tensor)?;
            let [mean, count] = numbers[..] else {
                efference_sdk::bail!(
                    "the mean square of '{name}' that was saved holds {} numbers, not 2",
                    numbers.len()
                )
            };
            self.means.insert(name.to_owned(), (mean, count as u64));
        }
        Ok(())
    }
}

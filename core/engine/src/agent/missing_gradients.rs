//! Notices what gets no gradient: a loss term that trains nothing, a parameter that does not learn.
use efference_sdk::Loss;

/// After so many losses or updates without a gradient it is said, once.
const PATIENCE: u64 = 100;
/// Parameters that are named.
const NAMED: usize = 5;

/// What has had no gradient so far.
#[derive(Debug, Default)]
pub(super) struct MissingGradients {
    /// Loss terms, and in how many steps they had none; `None` once they had one, or it was said.
    terms: Vec<(String, Option<u64>)>,
    updates: u64,
}

impl MissingGradients {
    /// Takes in the loss of a step; returns a warning if one is due.
    pub(super) fn loss(&mut self, loss: &Loss) -> Option<String> {
        let mut warning = None;
        for term in &loss.terms {
            let found = self.terms.iter().position(|(name, _)| *name == term.name);
            let place = found.unwrap_or_else(|| {
                self.terms.push((term.name.clone(), Some(0)));
                self.terms.len() - 1
            });
            let steps = &mut self.terms[place].1;
            let Some(without) = steps else { continue };
            *without += 1;
            if term.value.requires_grad() {
                *steps = None;
            } else if *without == PATIENCE {
                *steps = None;
                warning = Some(format!(
                    "the loss term '{}' had no gradient in the first {PATIENCE} steps: it trains nothing. Is it made of \
                     detached tensors?",
                    term.name
                ));
            }
        }
        warning
    }

    /// Counts an update; `without` tells which parameters never had a gradient, and is asked once. Returns a warning if one
    /// is due.
    pub(super) fn update(&mut self, without: impl FnOnce() -> Vec<String>) -> Option<String> {
        self.updates += 1;
        if self.updates != PATIENCE {
            return None;
        }
        let names = without();
        let (first, more) = (names.first()?, names.len().saturating_sub(NAMED));
        let listed: Vec<_> = names.iter().take(NAMED).map(|name| format!("'{name}'")).collect();
        Some(match names.len() {
            1 => format!("parameter '{first}' got no gradient in {PATIENCE} updates: it does not learn"),
            _ => format!(
                "parameters {}{} got no gradient in {PATIENCE} updates: they do not learn",
                listed.join(", "),
                if more == 0 { String::new() } else { format!(" and {more} more") }
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Kind, Tensor};

    fn loss(requires_grad: &[bool]) -> Loss {
        let mut loss = Loss::default();
        for (i, requires_grad) in requires_grad.iter().enumerate() {
            let value = Tensor::ones([3], (Kind::Float, tch::Device::Cpu));
            loss.term(&format!("term {i}"), value.set_requires_grad(*requires_grad));
        }
        loss
    }

    #[test]
    fn a_loss_term_that_never_has_a_gradient_is_reported_once() {
        let mut missing = MissingGradients::default();
        let said: Vec<_> =
            (1..=300).filter_map(|step| Some((step, missing.loss(&loss(&[step == 50, false]))?))).collect();
        assert_eq!(said.len(), 1, "{said:?}");
        assert_eq!(said[0].0, 100);
        assert!(
            said[0].1.starts_with("the loss term 'term 1' had no gradient in the first 100 steps"),
            "{said:?}"
        );
    }

    #[test]
    fn parameters_are_named_as_far_as_they_can_be_read() {
        let said = |names: &[&str]| {
            let mut missing = MissingGradients::default();
            let names = || names.iter().map(|name| (*name).to_owned()).collect();
            let said: Vec<_> = (0..300).filter_map(|_| missing.update(names)).collect();
            assert!(said.len() <= 1);
            said.into_iter().next()
        };
        assert_eq!(said(&[]), None);
        assert_eq!(said(&["a"]).unwrap(), "parameter 'a' got no gradient in 100 updates: it does not learn");
        let all = said(&["a", "b", "c", "d", "e", "f", "g"]).unwrap();
        assert_eq!(
            all,
            "parameters 'a', 'b', 'c', 'd', 'e' and 2 more got no gradient in 100 updates: they do not learn"
        );
    }
}

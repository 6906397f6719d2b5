//! Notices what gets no gradient: a loss term that trains nothing, a parameter that does not learn.
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
    /// Takes in the terms of a step's loss, each with whether it has a gradient; returns a warning if one is due.
    pub(super) fn loss<'a>(&mut self, terms: impl Iterator<Item = (&'a str, bool)>) -> Option<String> {
        let mut warning = None;
        for (term, has_gradient) in terms {
            let found = self.terms.iter().position(|(name, _)| name == term);
            let place = found.unwrap_or_else(|| {
                self.terms.push((term.to_owned(), Some(0)));
                self.terms.len() - 1
            });
            let steps = &mut self.terms[place].1;
            let Some(without) = steps else { continue };
            *without += 1;
            if has_gradient {
                *steps = None;
            } else if *without == PATIENCE {
                *steps = None;
                warning = Some(format!(
                    "the loss term '{term}' had no gradient in the first {PATIENCE} steps: it trains nothing. Is it made of \
                     detached tensors?"
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

    #[test]
    fn a_loss_term_that_never_has_a_gradient_is_reported_once() {
        let mut missing = MissingGradients::default();
        let terms = |step| [("term 0", step == 50), ("term 1", false)];
        let said: Vec<_> =
            (1..=300).filter_map(|step| Some((step, missing.loss(terms(step).into_iter())?))).collect();
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

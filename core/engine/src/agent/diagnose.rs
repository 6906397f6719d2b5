//! Finds out which plugin it was: that made the numbers of a transition not finite, that kept a graph which is gone.
use super::model::Model;
use super::with_bonus::PREFIX;
use crate::plugins::is_finite;
use efference_abi::Kind;
use efference_sdk::{Error, Loss, LossInput, Moment, Result, Term};
use efference_spec::Section;
use tch::{Kind as Number, Tensor};

impl Model {
    /// Why the state that `x` was turned into is not finite.
    pub(super) fn find_not_finite(&self, x: &Tensor) -> Error {
        let not_finite = |what: &str| {
            Error::msg(format!(
                "{what} are not finite (NaN or infinity). Lower the learning rate, or set `clip` under [optimizer]"
            ))
        };
        if let Ok(false) = is_finite(x) {
            return not_finite("the numbers that the trainer passes to the cell");
        }
        for (name, p) in self.store.trained("").iter() {
            if let Ok(false) = is_finite(p) {
                return not_finite(&format!("the elements of parameter '{name}'"));
            }
        }
        let again = self.monitor.search(|| tch::no_grad(|| self.evaluate(x)));
        again.err().unwrap_or_else(|| not_finite("the elements of the new state"))
    }

    /// Whose tensors they were, if a step failed because its backward pass came upon a graph that had been freed or
    /// overwritten. The trainer runs that pass, whoever brought the tensors. So goal, layers and cell are each given
    /// new ones: where the backward pass fails again, it is for what they kept. The agent can't be used after this.
    pub fn keeper_of_a_graph(&self, error: &Error, moment: &Moment<'_>, input_width: i64) -> Option<Section> {
        if !is_of_a_kept_graph(error) {
            return None;
        }
        let leaf = |rows: i64, width: i64| -> Result<Tensor> {
            Ok(Tensor::f_zeros([rows, width], (Number::Float, self.device))?.f_set_requires_grad(true)?)
        };
        let rows = moment.streams.len() as i64;
        let loss = || -> Result<Loss> {
            let [state, target, next] = [(); 3].map(|()| leaf(rows, self.state_size));
            let (state, target, next) = (state?, target?.f_detach()?, next?);
            self.goal.borrow_mut().loss(&LossInput {
                moment,
                state: &state,
                target: &target,
                next: Some(&next),
                unroll: u64::MAX, // whatever the goal has, it is of another
            })
        };
        // Both of the same loss: what is kept of this one would do.
        let terms = loss().map(|loss| loss.terms).unwrap_or_default();
        let (of_bonus, of_goal): (Vec<_>, Vec<_>) =
            terms.into_iter().partition(|t| t.name.starts_with(PREFIX));
        let back = |terms: Vec<Term>| -> Result<()> {
            match (Loss { terms, ..Loss::default() }).total()?.filter(Tensor::requires_grad) {
                Some(total) => Ok(total.f_backward()?),
                None => Ok(()),
            }
        };
        let through = |y: Tensor| -> Result<()> { Ok(y.f_sum(Number::Float)?.f_backward()?) };
        let layers = || {
            self.layers.try_for_each(|layer, size| through(layer.forward(&leaf(1, size.ins)?, 0..size.outs)?))
        };
        let cell = || through(self.evaluate(&leaf(rows, input_width)?)?);
        let fails = |result: Result<()>| result.is_err_and(|error| is_of_a_kept_graph(&error));
        if fails(back(of_goal)) {
            Some(Kind::Goal.into())
        } else if fails(back(of_bonus)) {
            Some(Section::Bonus)
        } else if fails(layers()) {
            Some(Kind::Layer.into())
        } else if fails(cell()) {
            Some(Kind::Cell.into())
        } else {
            None
        }
    }
}

/// By libtorch's own words.
fn is_of_a_kept_graph(error: &Error) -> bool {
    const WORDS: [&str; 2] = ["backward through the graph a second time", "modified by an inplace operation"];
    error.chain().any(|message| WORDS.iter().any(|words| message.contains(words)))
}

//! Finds out which plugin made the numbers of a transition not finite.
use super::model::Model;
use crate::plugins::is_finite;
use efference_sdk::Error;
use tch::Tensor;

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
}

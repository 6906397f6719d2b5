//! The agent as the trainer sees it.
use super::groups::Followed;
use super::model::Model;
use super::optimizer::clear_gradients;
use super::roles::Roles;
use crate::plugins::{OpCount, is_finite};
use efference_sdk::{
    Agent, Goal, Loss, LossInput, Recurrence, Result, ResultExt, Saved, TracedLoss, autograd, bail,
    derive_seed, ensure, group,
};
use tch::{Device, Tensor};

impl Agent for Model {
    fn transition(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.timed(|t| &mut t.transition, || self.evaluate(x))?;
        // On a GPU this would wait for it; there the numbers are checked where they come to the CPU anyway.
        if self.device == Device::Cpu && !is_finite(&autograd::detach(&y)?)? {
            return Err(self.find_not_finite(&x.f_detach()?));
        }
        Ok(y)
    }

    fn slow_transition(&self, x: &Tensor) -> Result<Tensor> {
        let Some(slow) = &self.slow_cell else {
            bail!("the agent keeps no slow copy of its cell: ask for it where the trainer is made")
        };
        self.timed(|t| &mut t.transition, || tch::no_grad(|| self.evaluate_by(&slow.cell, x)))
    }

    fn loss(&self, input: &LossInput<'_>) -> Result<Loss> {
        let loss = self.ask(input, |goal, input| goal.loss(input))?;
        self.notice(loss.terms.iter().map(|term| (term.name.as_str(), term.value.requires_grad())));
        let total = self.means.borrow_mut().add(&loss)?;
        if let Some(total) = total.filter(|t| t.device() == Device::Cpu) {
            self.add_fingerprint(autograd::item(&total)? as f32);
        }
        Ok(loss)
    }

    fn traced_loss(&self, input: &LossInput<'_>) -> Result<Option<TracedLoss>> {
        let Some(loss) = self.ask(input, |goal, input| goal.traced_loss(input))? else { return Ok(None) };
        let others = loss.others.terms.iter().map(|term| (term.name.as_str(), term.value.requires_grad()));
        let traced = loss.traced.iter();
        let traced = traced.map(|term| (term.name.as_str(), term.gradients.iter().any(Option::is_some)));
        self.notice(others.chain(traced));
        if let Some(total) = self.means.borrow_mut().add_traced(&loss)? {
            self.add_fingerprint(total);
        }
        // What is only recorded is of no use to the trainer.
        Ok(Some(TracedLoss { numbers: Vec::new(), ..loss }))
    }

    fn may_replay(&self) -> Result<()> {
        ensure!(
            self.goal.borrow().replayable()?,
            "the goal, or the bonus beside it, keeps something from moment to moment (traces, running statistics), which \
             remembered moments would disturb: choose a goal such as 'predict' and no bonus, or a trainer that does not replay"
        );
        ensure!(
            !self.roles.as_ref().is_some_and(Roles::hides),
            "the environment has elements that are only predicted, which the host knows of the step's moment alone: let all \
             elements be seen, or choose a trainer that does not replay"
        );
        Ok(())
    }

    fn replayed_loss(&self, input: &LossInput<'_>) -> Result<Loss> {
        self.ask(input, |goal, input| goal.loss(input))
    }

    fn traced_parameters(&self, term: &str) -> Result<Vec<String>> {
        let names = self.goal.borrow().traced_parameters(term)?;
        Ok(names.into_iter().map(|name| format!("{}.{name}", group::GOAL)).collect())
    }

    fn network(&self, name: &str, x: &Tensor) -> Result<Tensor> {
        let networks = self.networks.borrow();
        match networks.get(name) {
            Some(network) => self
                .timed(|t| &mut t.network, || network.stack.forward(x))
                .with_context(|| format!("network '{name}'")),
            None => bail!("the agent has no network '{name}': ask for it where the trainer is made"),
        }
    }

    fn parameters(&self, group: &str) -> Result<Saved> {
        self.optimizers.borrow_mut().parameters(group, &self.store)
    }

    fn update(&self, group: &str) -> Result<()> {
        if let Some(rehearsal) = &self.rehearsal {
            rehearsal.update();
        }
        if self.frozen.get() {
            return self.clear_gradients(group);
        }
        self.updated(group, || {
            self.optimizers.borrow_mut().update(group, &self.store).map(|moved| moved.bytes)
        })
    }

    fn descend(&self, name: &str, group: &str, gradients: &[Option<&Tensor>]) -> Result<()> {
        if let Some(rehearsal) = &self.rehearsal {
            rehearsal.descend(name, group);
        }
        if self.frozen.get() {
            return Ok(());
        }
        self.updated(group, || {
            let moved = self.optimizers.borrow_mut().descend(name, group, gradients, &self.store);
            moved.map(|moved| moved.bytes)
        })
    }

    fn follow(
        &self,
        name: &str,
        group: &str,
        decay: f64,
        errors: &[f64],
        traces: &[Option<&Tensor>],
        gradients: &[Option<&Tensor>],
    ) -> Result<()> {
        if let Some(rehearsal) = &self.rehearsal {
            rehearsal.descend(name, group);
        }
        if self.frozen.get() {
            return Ok(());
        }
        let weighs = self.goal.borrow().weighs(name)?;
        let followed = Followed { decay, weighs, errors, traces, gradients };
        self.updated(group, || {
            let moved = self.optimizers.borrow_mut().follow(name, group, &followed, &self.store);
            moved.map(|moved| moved.bytes)
        })
    }

    fn clear_gradients(&self, group: &str) -> Result<()> {
        clear_gradients(&self.parameters(group)?)
    }

    fn seed(&self, purpose: &str) -> Result<u64> {
        Ok(derive_seed(self.step_seed(), purpose))
    }

    fn step(&self) -> Result<u64> {
        Ok(self.step.get())
    }

    fn memory(&self) -> Result<i64> {
        Ok(self.memory)
    }

    fn recurrence(&self) -> Result<Option<Recurrence>> {
        self.cell_recurrence()
    }
}

impl Model {
    /// Asks the goal for a loss.
    fn ask<R>(
        &self,
        input: &LossInput<'_>,
        f: impl FnOnce(&mut dyn Goal, &LossInput<'_>) -> Result<R>,
    ) -> Result<R> {
        self.timed(
            |t| &mut t.loss,
            || match &self.roles {
                None => f(&mut **self.goal.borrow_mut(), input),
                Some(roles) => {
                    let target = roles.target(input)?;
                    f(&mut **self.goal.borrow_mut(), &LossInput { target: &target, ..*input })
                }
            },
        )
    }

    /// Warns of a loss's terms, each with whether it has a gradient, that never have one.
    fn notice<'a>(&self, terms: impl Iterator<Item = (&'a str, bool)>) {
        if !self.frozen.get()
            && let Some(warning) = self.missing_gradients.borrow_mut().loss(terms)
        {
            tracing::warn!("{warning}");
        }
    }

    fn add_fingerprint(&self, total: f32) {
        let mut print = self.loss_fingerprint.get();
        print.add(total.to_bits());
        self.loss_fingerprint.set(print);
    }

    /// Makes an update of a group, which returns how many bytes it moved, and what follows from one.
    fn updated(&self, group: &str, update: impl FnOnce() -> Result<u64>) -> Result<()> {
        self.timed(
            |t| &mut t.update,
            || {
                let bytes = update()?;
                let without = || self.optimizers.borrow().without_gradient(&self.store);
                if let Some(warning) = self.missing_gradients.borrow_mut().update(without) {
                    tracing::warn!("{warning}");
                }
                self.monitor.add_work(OpCount { bytes, ..OpCount::default() });
                let of_cell = group::contains(group, "cell") || group::contains("cell", group);
                if let Some(slow) = self.slow_cell.as_ref().filter(|_| of_cell) {
                    slow.follow()?;
                }
                self.layers.updated(self.step.get())
            },
        )
    }
}

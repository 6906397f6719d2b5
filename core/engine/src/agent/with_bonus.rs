//! A goal with a bonus beside it, as one goal.
use efference_sdk::{
    ActionRequest, Goal, Loss, LossInput, Moment, Result, Saved, Term, TracedLoss, Transition, ensure,
};
use tch::Tensor;

/// The scope of the bonus's parameters, which are a parameter group of this name.
pub(super) const SCOPE: &str = "bonus";
/// What the names of its terms, its metrics and what it saves begin with.
pub(super) const PREFIX: &str = "bonus/";

/// Acts as the goal does, adds the bonus to the reward, and learns from the terms of both.
pub(super) struct WithBonus {
    goal: Box<dyn Goal>,
    bonus: Box<dyn Goal>,
    /// Slots at the front of an observation that are the goal's, and that the bonus does not see.
    reserved: i64,
}

impl WithBonus {
    pub(super) fn new(goal: Box<dyn Goal>, bonus: Box<dyn Goal>) -> Result<Self> {
        Ok(WithBonus { reserved: goal.reserved()?, goal, bonus })
    }

    /// What was observed, without the goal's slots.
    fn observed(&self, moment: &Moment<'_>) -> Result<Tensor> {
        let observation = moment.observation;
        Ok(match self.reserved {
            0 => observation.shallow_clone(),
            reserved => observation.f_narrow(1, reserved, observation.size()[1] - reserved)?,
        })
    }

    /// Adds the terms and metrics of the bonus to a loss.
    fn add(&mut self, input: &LossInput<'_>, loss: &mut Loss) -> Result<()> {
        let observation = self.observed(input.moment)?;
        let moment = Moment { observation: &observation, ..*input.moment };
        let own = self.bonus.loss(&LossInput { moment: &moment, ..*input })?;
        for term in own.terms {
            // A trace would be one of the goal's parameters.
            let value = if term.error.is_some() { term.total()? } else { term.value };
            loss.terms.push(Term {
                name: format!("{PREFIX}{}", term.name),
                value,
                error: None,
                traces: Vec::new(),
            });
        }
        loss.metrics.extend(own.metrics.into_iter().map(|(name, value)| (format!("{PREFIX}{name}"), value)));
        Ok(())
    }
}

impl Goal for WithBonus {
    fn loss(&mut self, input: &LossInput<'_>) -> Result<Loss> {
        let mut loss = self.goal.loss(input)?;
        self.add(input, &mut loss)?;
        Ok(loss)
    }

    fn traced_loss(&mut self, input: &LossInput<'_>) -> Result<Option<TracedLoss>> {
        let Some(mut loss) = self.goal.traced_loss(input)? else { return Ok(None) };
        self.add(input, &mut loss.others)?;
        Ok(Some(loss))
    }

    fn traced_parameters(&self, term: &str) -> Result<Vec<String>> {
        self.goal.traced_parameters(term)
    }

    fn reserved(&self) -> Result<i64> {
        Ok(self.reserved)
    }

    fn predicts(&self) -> Result<bool> {
        self.goal.predicts()
    }

    fn transition(&mut self, cell: &dyn Transition, x: &Tensor) -> Result<Tensor> {
        self.goal.transition(cell, x)
    }

    fn act(&mut self, moment: &Moment<'_>, state: &Tensor, request: &ActionRequest<'_>) -> Result<Tensor> {
        self.goal.act(moment, state, request)
    }

    /// The bonus; what the goal adds by itself is added too.
    fn bonus(&mut self, moment: &Moment<'_>) -> Result<Option<Tensor>> {
        let of_goal = self.goal.bonus(moment)?;
        let observation = self.observed(moment)?;
        let own = self.bonus.bonus(&Moment { observation: &observation, ..*moment })?;
        Ok(match (of_goal, own) {
            (Some(of_goal), Some(own)) => Some(of_goal.f_add(&own)?),
            (of_goal, own) => of_goal.or(own),
        })
    }

    fn save(&self) -> Result<Saved> {
        let mut saved = self.goal.save()?;
        let taken = saved.iter().find(|(name, _)| name.starts_with(PREFIX));
        ensure!(
            taken.is_none(),
            "the goal saves tensors whose names begin with '{PREFIX}', as those of a bonus do: it cannot have one beside it"
        );
        saved
            .extend(self.bonus.save()?.into_iter().map(|(name, tensor)| (format!("{PREFIX}{name}"), tensor)));
        Ok(saved)
    }

    /// A bonus that nothing was saved of begins anew, as in a fork that adds one.
    fn restore(&mut self, saved: Saved) -> Result<()> {
        let (own, of_goal): (Saved, Saved) =
            saved.into_iter().partition(|(name, _)| name.starts_with(PREFIX));
        if !of_goal.is_empty() {
            self.goal.restore(of_goal)?;
        }
        if own.is_empty() {
            return Ok(());
        }
        self.bonus.restore(own.into_iter().map(|(name, t)| (name[PREFIX.len()..].to_owned(), t)).collect())
    }

    fn ended(&mut self, streams: &[u64]) -> Result<()> {
        self.goal.ended(streams)?;
        self.bonus.ended(streams)
    }

    fn weighs(&self, term: &str) -> Result<bool> {
        match term.strip_prefix(PREFIX) {
            Some(own) => self.bonus.weighs(own),
            None => self.goal.weighs(term),
        }
    }
}

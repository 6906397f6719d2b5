//! Trainer plugin: one update a step, by the gradient through the transition that made the prediction.
use efference_sdk::tch::{self, Tensor};
use efference_sdk::{
    Agent, Batch, InputLayout, LossInput, Plugin, Result, Saved, Trainer, TrainerSetup, autograd, group,
    saved,
};
use efference_stream_states::{Input, Merge, Streams, Went, loss_gradient};

efference_sdk::options! {
    /// Options of `my-plugin`.
    pub struct Options {
        /// How state and observation are made one input for the cell.
        pub merge: Merge = Merge::Concat,
    }
}

/// In step `t`, with the states `s(t − 1)` and what was observed, `o(t)`:
///
/// ```text
/// g    = gradient of loss(s(t − 1), o(t)) in s(t − 1)
/// update by the gradient of ⟨g, F(s(t − 2), o(t − 1))⟩, made again with the parameters of now
/// s(t) = F(s(t − 1), o(t))
/// ```
pub struct MyPlugin {
    input: Input,
    streams: Streams,
    steps: u64,
}

impl Plugin for MyPlugin {
    const NAME: &'static str = "my-plugin";
    const DESCRIPTION: &'static str = "One update a step, by the gradient through one transition.";
    type Options = Options;
    type Kind = dyn Trainer;

    fn new(options: Options, setup: &TrainerSetup<'_>) -> Result<Self> {
        Ok(MyPlugin {
            input: Input::new(options.merge, false, setup)?,
            streams: Streams::new(setup.state_size, setup.device, 1),
            steps: 0,
        })
    }
}

impl Trainer for MyPlugin {
    fn input(&self) -> Result<InputLayout> {
        Ok(self.input.layout().clone())
    }

    fn step(&mut self, agent: &dyn Agent, batch: &Batch<'_>) -> Result<Tensor> {
        let (moment, memory) = (&batch.moment, agent.memory()?);
        self.streams.end(batch.ended);
        self.streams.begin(batch.started);
        self.streams.begin(moment.streams);

        // How wrong was what the states predicted?
        let state = self.streams.states(moment.streams)?;
        let (input, target) = self.input.merge(&state, moment.observation, moment.action, memory)?;
        let leaf = state.f_detach()?.f_set_requires_grad(true)?;
        let question = LossInput { moment, state: &leaf, target: &target, next: None, unroll: self.steps };
        let gradient = loss_gradient(&agent.loss(&question)?, &leaf)?;

        // The transitions that made them; a stream that has just begun has none, and its step is passed over.
        let have_one = moment.streams.iter().all(|stream| self.streams.count(*stream) > 0);
        if let Some(gradient) = gradient.filter(|_| have_one) {
            let went = self.streams.went(moment.streams, 1)?;
            let (before, _) = self.input.merge(&went.state, &went.observation, &went.action, memory)?;
            let again = agent.transition(&before)?;
            autograd::backward(&[(&again, &gradient)])?;
        }
        agent.update(group::ALL)?;

        let next = tch::no_grad(|| agent.transition(&input))?.f_detach()?;
        let (observation, action) = (moment.observation.shallow_clone(), moment.action.shallow_clone());
        self.streams.push(moment.streams, &Went { state, observation, action, next: next.shallow_clone() });
        self.steps += 1;
        Ok(next)
    }

    fn save(&self) -> Result<Saved> {
        let mut all = self.streams.save()?;
        saved::put_numbers(&mut all, "steps", &[self.steps as f64])?;
        Ok(all)
    }

    fn restore(&mut self, all: Saved) -> Result<()> {
        self.steps = saved::numbers(&all, "steps", 1)?[0] as u64;
        self.streams.restore(&all)
    }

    fn unroll_length(&self) -> Result<u64> {
        Ok(1)
    }
}

efference_sdk::export! { trainer: MyPlugin }

#[cfg(test)]
mod tests {
    use super::*;
    use efference_sdk::{LayerFactory, Nonlinearity, ParamStore, Params, Random, Size, Stack, StackSpec};
    use efference_testkit::{LayersOf, Matrix, PlainAgent, Predicts, StackCell, play, sgd, story};

    fn agent(layers: &dyn LayerFactory) -> (PlainAgent<'_>, MyPlugin) {
        let mut agent = PlainAgent::new(8, layers, 1, sgd(0.02));
        let trainer = MyPlugin::new(Options::default(), &agent.trainer_setup(4)).unwrap();
        let size = Size { ins: trainer.input().unwrap().width, outs: 8 };
        let spec = StackSpec { size, layers: 1, nonlinearity: Nonlinearity::Softsign, zero_at_start: false };
        let stack = Stack::new(spec, layers, &Params::new(&agent.store).scope("cell")).unwrap();
        agent.set_cell(Box::new(StackCell(stack)));
        agent.set_goal(Box::new(Predicts));
        (agent, trainer)
    }

    #[test]
    fn saved_and_restored_it_goes_on_bit_for_bit() {
        let layers = LayersOf::<Matrix>::new("{}").unwrap();
        let story = story(&mut Random::new(9), 24, 6);
        let (first, mut trainer) = agent(&layers);
        play(&first, &mut trainer, &story[..11]).unwrap();
        let (second, mut restored) = agent(&layers);
        for (name, value) in first.store.list("").unwrap() {
            second.store.set(&name, &value).unwrap();
        }
        restored.restore(trainer.save().unwrap()).unwrap();
        let answers = play(&first, &mut trainer, &story[11..]).unwrap();
        for (a, b) in answers.iter().zip(play(&second, &mut restored, &story[11..]).unwrap()) {
            assert!(a.equal(&b));
        }
    }
}

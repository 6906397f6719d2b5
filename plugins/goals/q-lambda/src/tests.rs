//! The goal without a host.
use super::*;
use efference_sdk::tch::Kind;
use efference_sdk::{Params, RewardRange, Spaces};
use efference_testkit::{LayersOf, Matrix, MemoryStore, OwnedMoment};

const CHOICE: ActionGroup = ActionGroup::choice(3);

fn spaces(actions: &[ActionGroup]) -> Spaces {
    Spaces { observation: 4, actions: actions.to_vec(), reward: RewardRange::default() }
}

fn made(options: Options, spaces: Option<&Spaces>) -> Result<QLambda> {
    let (store, layers) = (MemoryStore::new(3), LayersOf::<Matrix>::new(r#"{"vjp": true}"#)?);
    let setup = GoalSetup { state_size: 8, spaces, layers: &layers, params: Params::new(&store) };
    QLambda::new(options, &setup)
}

fn moment(step_type: StepType, action: &[f32]) -> OwnedMoment {
    let mut moment = OwnedMoment::of(&Random::new(1).normal(&[1, 4], 0.5));
    (moment.reward, moment.step_types) = (vec![1.0], vec![step_type]);
    moment.action = Tensor::from_slice(action).view([1, action.len() as i64]);
    moment
}

fn act(goal: &mut QLambda, seed: u64, greedy: bool) -> usize {
    let (moment, state) = (moment(StepType::MIDDLE, &[]), Tensor::zeros([1, 8], (Kind::Float, Device::Cpu)));
    let request = ActionRequest { groups: &[CHOICE], seed, greedy };
    let action = tch::no_grad(|| goal.act(&moment.get(), &state, &request)).unwrap();
    largest(slice(&action).unwrap())
}

/// `Q` of the features that the goal acts upon in these tests, whose running statistics are those of one row.
fn values(goal: &QLambda) -> Vec<f32> {
    let x = goal.acted.values().next().unwrap();
    Vec::try_from(&goal.network.forward(x).unwrap().view([-1])).unwrap()
}

fn loss(goal: &mut QLambda, step_type: StepType, chosen: usize) -> (f32, f32, TraceStep) {
    let mut action = [0.0; 3];
    action[chosen] = 1.0;
    let (moment, state) = (moment(step_type, &action), Tensor::zeros([1, 8], (Kind::Float, Device::Cpu)));
    let moment = moment.get();
    let input = LossInput { moment: &moment, state: &state, target: &state, next: Some(&state), unroll: 0 };
    let loss = goal.loss(&input).unwrap();
    let [term] = &loss.terms[..] else { panic!("{loss:?}") };
    assert_eq!((term.name.as_str(), term.value.requires_grad()), ("q", true));
    (slice(&term.value).unwrap()[0], slice(term.error.as_ref().unwrap()).unwrap()[0], term.traces[0])
}

#[test]
fn its_error_is_that_of_q_learning_and_only_the_best_action_continues_the_trace() {
    let plain = || Options { normalise_features: false, normalise_reward: false, ..Options::default() };
    let mut goal = made(plain(), Some(&spaces(&[CHOICE]))).unwrap();
    act(&mut goal, 1, true);
    let values = values(&goal);
    let best = largest(&values);
    for chosen in 0..3 {
        // The same observation follows: s′ = s.
        let (value, error, trace) = loss(&mut goal, StepType::MIDDLE, chosen);
        assert_eq!(value, values[chosen]);
        assert!((error - (1.0 + 0.99 * values[best] - values[chosen])).abs() < 1e-6);
        assert_eq!(trace, if chosen == best { TraceStep::Continue } else { TraceStep::Restart });
        assert_eq!(loss(&mut goal, StepType::TERMINATED, chosen).1, 1.0 - values[chosen]);
        let truncated = loss(&mut goal, StepType::TRUNCATED, chosen).1;
        assert_eq!(truncated, error);
        assert_eq!(loss(&mut goal, StepType::FIRST, chosen).2, TraceStep::Rest);
    }
}

#[test]
fn it_explores_less_and_less_and_not_at_all_when_it_is_evaluated() {
    let options = Options { epsilon_steps: 1_000, epsilon_end: 0.0, ..Options::default() };
    let mut goal = made(options, Some(&spaces(&[CHOICE]))).unwrap();
    let others = |goal: &mut QLambda, seeds: std::ops::Range<u64>, greedy| {
        let other = |seed: &u64| {
            let chosen = act(goal, *seed, greedy);
            chosen != largest(&values(goal))
        };
        seeds.filter(other).count()
    };
    assert_eq!(others(&mut goal, 0..200, true), 0);
    assert_eq!(goal.steps, 0);
    // Two of three random actions are not the best one; epsilon is 1 … 0.8, 0.9 on average.
    let first = others(&mut goal, 0..200, false);
    assert!((90..150).contains(&first), "{first}");
    others(&mut goal, 200..1_000, false);
    assert_eq!(others(&mut goal, 1_000..1_200, false), 0);
}

#[test]
fn an_environment_without_one_choice_is_refused_with_what_to_do() {
    let refusal = |spaces: Option<&Spaces>| made(Options::default(), spaces).err().unwrap().to_string();
    assert!(refusal(None).contains("says which actions it wants"));
    for (actions, expected) in [
        (&[ActionGroup::VALUE][..], "1 actions, of which 0 are choices"),
        (&[CHOICE, CHOICE], "2 actions, of which 2"),
        (&[], "0 actions"),
    ] {
        let error = refusal(Some(&spaces(actions)));
        assert!(error.contains(expected) && error.contains("actor-critic"), "{error}");
    }
}

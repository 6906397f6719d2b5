use super::*;
use efference_sdk::{Nonlinearity, ParamStore, Params, Random, Size, Stack, StackSpec};
use efference_testkit::{LayersOf, Matrix, PlainAgent, Predicts, StackCell, play, sgd, story};

#[test]
fn a_longer_window_learns_from_further_back() {
    let layers = LayersOf::<Matrix>::new("{}").unwrap();
    let story = story(&mut Random::new(3), 30, 6);
    let learned = |length: u64| {
        let mut agent = PlainAgent::new(8, &layers, 1, sgd(0.05));
        let options = Options { length, ..Options::default() };
        let mut trainer = Sliding::new(options, &agent.trainer_setup(4)).unwrap();
        assert_eq!(trainer.unroll_length().unwrap(), length);
        let size = Size { ins: trainer.input().unwrap().width, outs: 8 };
        let spec = StackSpec { size, layers: 1, nonlinearity: Nonlinearity::Softsign, zero_at_start: false };
        let stack = Stack::new(spec, &layers, &Params::new(&agent.store).scope("cell")).unwrap();
        agent.set_cell(Box::new(StackCell(stack)));
        agent.set_goal(Box::new(Predicts));
        play(&agent, &mut trainer, &story).unwrap();
        agent.store.list("cell.").unwrap().remove(0).1.copy()
    };
    assert!(!learned(1).allclose(&learned(3), 1e-4, 1e-4, false));
    // No stream of the story lives through more than its steps.
    assert!(learned(30).equal(&learned(31)));
}

#[test]
fn a_window_of_nothing_is_refused() {
    let layers = LayersOf::<Matrix>::new("{}").unwrap();
    let agent = PlainAgent::new(8, &layers, 1, sgd(0.05));
    let options = Options { length: 0, ..Options::default() };
    let said = Sliding::new(options, &agent.trainer_setup(4)).err().unwrap().to_string();
    assert_eq!(said, "length must be in 1…1,000,000, and is 0");
}

//! Each check finds the plugin that breaks it, and no other check does.
use efference_sdk::tch::{self, Device, Kind, Tensor};
use efference_sdk::{
    ActionGroup, Environment, EnvironmentSetup, Frame, Frames, Goal, GradInput, GradOutput, Layer,
    LayerSetup, Loss, LossInput, Outline, Picture, Random, Restores, Result, RewardRange, Saved, Spaces,
    StepType, Vjp, bail,
};
use efference_testkit::contract::{
    Check, ENVIRONMENT_CHECKS, Environments, GOAL_CHECKS, Goals, LAYER_CHECKS, Layers, Networks,
};
use std::cell::RefCell;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// One test at a time: what another one takes of memory would look as if the plugin took it.
static ALONE: Mutex<()> = Mutex::new(());

/// The beginnings of the names of the checks that fail.
fn failing<M: ?Sized>(checks: &[Check<M>], make: &M) -> Vec<&'static str> {
    checks.iter().filter(|check| check.run(make).is_err()).map(|check| check.name).collect()
}

#[track_caller]
fn fails<M: ?Sized>(checks: &[Check<M>], make: &M, expected: &[&str]) {
    let failing = failing(checks, make);
    let same = failing.len() == expected.len() && failing.iter().zip(expected).all(|(a, b)| a.starts_with(b));
    assert!(same, "{expected:?} were expected to fail, and {failing:?} did");
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    Range,
    Counts,
    MixesRows,
    HidesNan,
    Half,
    WrongGradient,
    WrongVjp,
    OwnWeight,
    SwitchesGradientsOn,
    TakesAnyWidth,
    WrongUnits,
    Hoards,
}

/// A matrix, `weight` (ins, outs), with a fault.
struct Bad {
    fault: Fault,
    weight: Tensor,
    own: f64,
    calls: RefCell<f64>,
    hoard: RefCell<Vec<Tensor>>,
}

fn bad(fault: Fault) -> Layers {
    Layers::new(move |setup: &LayerSetup<'_>| {
        let weight = setup.params.normal("weight", &[setup.size.ins, setup.size.outs], 0.3)?;
        let own = setup.params.random("own")?.unit();
        Ok(Box::new(Bad { fault, weight, own, calls: RefCell::default(), hoard: RefCell::default() }))
    })
}

impl Bad {
    fn of(&self, x: &Tensor) -> Result<Tensor> {
        match self.fault {
            Fault::TakesAnyWidth => Ok(x.f_narrow(1, 0, self.weight.size()[0])?.f_matmul(&self.weight)?),
            _ => Ok(x.f_matmul(&self.weight)?),
        }
    }
}

impl Layer for Bad {
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        let y = self.of(x)?;
        *self.calls.borrow_mut() += 1.0;
        let (from, count) = (outs.start, outs.end - outs.start);
        let narrow = |y: &Tensor| Ok(y.f_narrow(1, from, count)?);
        match self.fault {
            Fault::Range => Ok(y.f_narrow(1, 0, count)?),
            Fault::Counts => Ok(narrow(&y)?.f_add_scalar(*self.calls.borrow())?),
            Fault::MixesRows => Ok(narrow(&y)?
                .f_sub(&narrow(&y.f_mean_dim(0, true, Kind::Float)?)?.f_nan_to_num(0.0, None, None)?)?),
            Fault::HidesNan => Ok(narrow(&y)?.f_nan_to_num(0.0, None, None)?),
            Fault::Half => Ok(narrow(&y)?.f_to_kind(Kind::Half)?),
            Fault::WrongGradient => Ok(narrow(&y)?.f_add(&narrow(&y)?.f_detach()?)?),
            Fault::OwnWeight => Ok(narrow(&y)?.f_mul_scalar(1.0 + self.own)?),
            Fault::SwitchesGradientsOn => tch::with_grad(|| narrow(&self.of(x)?)),
            Fault::Hoards => {
                self.hoard.borrow_mut().push(Tensor::f_zeros([1_000], (Kind::Float, Device::Cpu))?);
                narrow(&y)
            }
            _ => narrow(&y),
        }
    }

    fn vjp(&self) -> Option<&dyn Vjp> {
        (self.fault == Fault::WrongVjp).then_some(self)
    }

    fn units(&self) -> Result<Saved> {
        let zeros = Tensor::f_zeros([1, 1], (Kind::Int64, Device::Cpu))?;
        Ok(if self.fault == Fault::WrongUnits { vec![("weight".to_owned(), zeros)] } else { Vec::new() })
    }
}

impl Vjp for Bad {
    fn forward(&self, x: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        Ok((self.of(x)?, vec![x.shallow_clone()]))
    }

    /// Twice the gradient.
    fn backward(&self, saved: &[Tensor], grad: &GradOutput<'_>) -> Result<GradInput> {
        let [x] = saved else { bail!("one tensor was saved") };
        let rows = x.size()[0];
        let mut weight: Option<Tensor> = None;
        for (path, needs) in (0..).zip(grad.needs_param_grad) {
            if *needs {
                let g = grad.grad.f_narrow(0, path * rows, rows)?;
                let of_path = x.f_tr()?.f_matmul(&g)?.f_mul_scalar(2.0)?;
                weight = Some(weight.map_or(Ok(of_path.shallow_clone()), |sum| sum.f_add(&of_path))?);
            }
        }
        let count = grad.input_paths as i64 * rows;
        let input = (count > 0)
            .then(|| grad.grad.f_narrow(0, 0, count)?.f_matmul(&self.weight.f_tr()?))
            .transpose()?;
        Ok(GradInput { input, params: vec![weight] })
    }
}

#[test]
fn each_fault_of_a_layer_is_found() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let fails = |fault: Fault, expected: &[&str]| fails::<dyn Networks>(LAYER_CHECKS, &bad(fault), expected);
    fails(Fault::None, &[]);
    fails(Fault::Range, &["a range of the outputs"]);
    fails(
        Fault::Counts,
        &[
            "a range of the outputs",
            "the same input",
            "rows of a batch",
            "gradients of its input",
            "without gradients",
        ],
    );
    fails(Fault::MixesRows, &["rows of a batch"]);
    fails(Fault::HidesNan, &["rows of a batch"]);
    fails(Fault::WrongGradient, &["gradients of its input"]);
    fails(Fault::WrongVjp, &["its custom VJP"]);
    fails(Fault::OwnWeight, &["with the parameters"]);
    fails(Fault::SwitchesGradientsOn, &["without gradients"]);
    fails(Fault::TakesAnyWidth, &["an input that is too wide"]);
    fails(Fault::WrongUnits, &["what it tells"]);
    fails(Fault::Hoards, &["memory does not grow"]);
    let half = failing::<dyn Networks>(LAYER_CHECKS, &bad(Fault::Half));
    assert!(half.len() > 5 && half[0].starts_with("for many sizes"), "{half:?}");
}

/// What is wrong with a world of one stream, which counts.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Wrong {
    Nothing,
    Clock,
    Forgets,
    Outside,
    Reward,
    Order,
    Outline,
    Picture,
    Panics,
}

struct World {
    wrong: Wrong,
    seed: u64,
    time: u64,
    is_ready: bool,
}

fn spaces() -> Spaces {
    Spaces { observation: 2, actions: vec![ActionGroup::choice(2)], reward: RewardRange::default() }
}

fn world(wrong: Wrong) -> Environments {
    let said = if wrong == Wrong::Outline { Spaces { observation: 3, ..spaces() } } else { spaces() };
    let make = move |setup: &EnvironmentSetup| -> Result<Box<dyn Environment>> {
        Ok(Box::new(World { wrong, seed: setup.seed, time: 0, is_ready: true }))
    };
    Environments::new(make, Outline { streams: Some(1), spaces: Some(said) }, Duration::from_secs(5))
}

impl Environment for World {
    fn poll(&mut self, _: Duration, frames: &mut dyn Frames) -> Result<()> {
        if !std::mem::take(&mut self.is_ready) {
            return Ok(());
        }
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let seed = if self.wrong == Wrong::Clock { since.as_nanos() as u64 } else { self.seed };
        let place = Random::new(seed.wrapping_add(self.time)).unit() as f32;
        let step_type = match self.time % 10 {
            0 => StepType::FIRST,
            9 => StepType::TERMINATED,
            _ => StepType::MIDDLE,
        };
        let step_type =
            if self.wrong == Wrong::Order && self.time == 10 { StepType::MIDDLE } else { step_type };
        let observation = [place, if self.wrong == Wrong::Outside { 1.5 } else { 0.5 }];
        let reward = if self.wrong == Wrong::Reward { f32::NAN } else { 0.5 };
        frames.frame(Frame {
            stream: 0,
            observation: &observation,
            actions: &spaces().actions,
            reward: Some(reward),
            step_type,
        })
    }

    fn act(&mut self, stream: u64, _: &[f32], action: &[f32]) -> Result<()> {
        if self.wrong == Wrong::Panics {
            let _ = action[1];
        }
        if stream != 0 || action.len() != 2 {
            bail!("stream {stream} does not wait for {} actions", action.len());
        }
        (self.time, self.is_ready) = (self.time + 1, true);
        Ok(())
    }

    fn spaces(&self) -> Result<Option<Spaces>> {
        Ok(Some(spaces()))
    }

    fn picture(&self, _: u64, _: &[f32]) -> Result<Option<Picture>> {
        let bytes = if self.wrong == Wrong::Picture { 5 } else { 6 };
        Ok(Some(Picture { width: 2, height: 1, rgb: vec![0; bytes] }))
    }

    fn restores(&self) -> Result<Restores> {
        Ok(Restores::Exact)
    }

    fn save(&self) -> Result<Vec<u8>> {
        let seed = if self.wrong == Wrong::Forgets { 0 } else { self.seed };
        Ok([seed, self.time, u64::from(self.is_ready)]
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect())
    }

    fn restore(&mut self, saved: &[u8]) -> Result<()> {
        let numbers: Vec<u64> = saved.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        let [seed, time, is_ready] = numbers[..] else { bail!("these are {} bytes", saved.len()) };
        (self.seed, self.time, self.is_ready) = (seed, time, is_ready == 1);
        Ok(())
    }
}

#[test]
fn each_fault_of_an_environment_is_found() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let fails = |wrong: Wrong, expected: &[&str]| fails(ENVIRONMENT_CHECKS, &world(wrong), expected);
    fails(Wrong::Nothing, &[]);
    fails(Wrong::Clock, &["the same seed", "saved and restored"]);
    fails(Wrong::Forgets, &["saved and restored"]);
    fails(Wrong::Outline, &["what its options say"]);
    fails(Wrong::Picture, &["its pictures"]);
    for wrong in [Wrong::Outside, Wrong::Reward, Wrong::Order] {
        let failing = failing(ENVIRONMENT_CHECKS, &world(wrong));
        assert!(failing.first().is_some_and(|name| name.starts_with("each frame")), "{wrong:?}: {failing:?}");
    }
    // A panic is caught at the boundary of a library; here there is none.
    let panics = std::panic::catch_unwind(|| failing(ENVIRONMENT_CHECKS, &world(Wrong::Panics)));
    assert!(panics.is_err());
}

/// A goal that draws its loss from what it keeps, and saves it or not.
struct Keeps {
    saves: bool,
    detaches: bool,
    before: f64,
    kept: Option<Tensor>,
}

impl Goal for Keeps {
    fn loss(&mut self, input: &LossInput<'_>) -> Result<Loss> {
        let squares = input.state.f_sub(input.target)?.f_square()?.f_sum(Kind::Float)?;
        let mut loss = Loss::default();
        let value = squares.f_add_scalar(self.before)?;
        self.before = squares.f_double_value(&[])?;
        let value = match self.kept.replace(if self.detaches { squares.f_detach()? } else { squares }) {
            Some(kept) => value.f_add(&kept)?,
            None => value,
        };
        loss.term("error", value);
        Ok(loss)
    }

    fn save(&self) -> Result<Saved> {
        let kept = self.kept.as_ref().filter(|_| self.saves);
        Ok(kept.map(|kept| ("kept".to_owned(), kept.detach())).into_iter().collect())
    }

    fn restore(&mut self, saved: Saved) -> Result<()> {
        self.kept = saved.into_iter().next().map(|(_, kept)| kept);
        self.before = self.kept.as_ref().map_or(0.0, |kept| kept.double_value(&[]));
        Ok(())
    }
}

#[test]
fn each_fault_of_a_goal_is_found() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let goals = |saves, detaches| {
        Goals::new(move |_| Ok(Box::new(Keeps { saves, detaches, before: 0.0, kept: None })))
    };
    fails(GOAL_CHECKS, &goals(true, true), &[]);
    fails(GOAL_CHECKS, &goals(false, true), &["saved and restored"]);
    let failing = failing(GOAL_CHECKS, &goals(true, false));
    assert!(failing.iter().any(|name| name.starts_with("no graph is carried")), "{failing:?}");
}

//! Networks, traces and normalisers for control.
use efference_sdk::nn::{FeedForward, FeedForwardSpec, Normaliser, RewardScale, Traces};
use efference_sdk::tch::{Device, Kind, Tensor};
use efference_sdk::{
    Agent, Layer, LayerFactory, Loss, LossInput, Moment, ParamStore, Params, Random, Result, Saved, Size,
    StepType, TraceStep, TracedLoss, TracedRow, TracedTerm, Vjp, bail, group, nn, split_elements,
};
use efference_testkit::{LayersOf, Matrix, MemoryStore, OwnedMoment};
use std::cell::RefCell;
use std::ops::Range;

#[test]
fn a_network_by_custom_vjps_is_the_network_by_autograd() {
    let x = Random::new(5).normal(&[3, 7], 1.0);
    for (outs, activate_last, matrix_last) in [(1, false, true), (4, false, false), (4, true, false)] {
        let made = |vjp| {
            let store = MemoryStore::new(2);
            let size = Size { ins: 7, outs };
            let spec =
                FeedForwardSpec { size, width: 12, depth: 2, sparsity: 0.5, matrix_last, activate_last };
            let layers = LayersOf::<Matrix>::new(format!(r#"{{"vjp": {vjp}}}"#)).unwrap();
            let net = FeedForward::new(spec, &layers, &Params::new(&store)).unwrap();
            let x = x.copy().set_requires_grad(true);
            let y = net.forward(&x).unwrap();
            assert_eq!(y.size(), [3, outs]);
            (&y * Random::new(3).normal(&[3, outs], 1.0)).sum(Kind::Float).backward();
            let gradients = store.list("").unwrap().into_iter().map(|(_, t)| t.grad());
            [y.detach(), x.grad()].into_iter().chain(gradients).collect::<Vec<_>>()
        };
        for (by_vjp, by_autograd) in made(true).iter().zip(&made(false)) {
            assert!(by_vjp.allclose(by_autograd, 1e-4, 1e-5, false), "{by_vjp} {by_autograd}");
        }
    }
}

/// Makes matrices, which say that they are such, or do not.
struct Matrices {
    say: bool,
}

/// A matrix that does not say so.
struct Silent(nn::Matrix);

impl Layer for Silent {
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        self.0.forward(x, outs)
    }

    fn vjp(&self) -> Option<&dyn Vjp> {
        Layer::vjp(&self.0)
    }
}

impl LayerFactory for Matrices {
    fn make(&self, size: Size, params: &Params<'_>) -> Result<Box<dyn Layer>> {
        let matrix = nn::Matrix::new(size, true, 1.0, params)?;
        Ok(if self.say { Box::new(matrix) } else { Box::new(Silent(matrix)) })
    }
}

#[test]
fn a_network_without_a_graph_has_the_values_and_gradients_of_the_one_with() {
    let x = Random::new(5).normal(&[3, 7], 1.0);
    for (outs, activate_last, say) in
        [(1, false, true), (1, false, false), (4, false, true), (4, true, true), (4, true, false)]
    {
        let store = MemoryStore::new(2);
        let size = Size { ins: 7, outs };
        let spec =
            FeedForwardSpec { size, width: 12, depth: 2, sparsity: 0.0, matrix_last: false, activate_last };
        let net = FeedForward::new(spec, &Matrices { say }, &Params::new(&store)).unwrap();
        let g = Random::new(3).normal(&[3, outs], 1.0);
        let leaf = x.copy().set_requires_grad(true);
        let y = net.forward(&leaf).unwrap();
        (&y * &g).sum(Kind::Float).backward();

        assert!(net.has_vjp());
        let (value, pass) = net.evaluate(&x).unwrap();
        assert!(!value.requires_grad());
        let close = |a: &Tensor, b: &Tensor| assert!(a.allclose(b, 1e-4, 1e-5, false), "{say}: {a} {b}");
        close(&value, &y.detach());
        close(&net.value(&x).unwrap(), &value);
        let found = net.backward(&pass, g.copy(), true).unwrap();
        close(&found.input.unwrap(), &leaf.grad());
        let parameters = store.list("").unwrap();
        assert_eq!(net.parameters(), parameters.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
        for ((_, p), found) in parameters.iter().zip(found.params) {
            close(&found.unwrap(), &p.grad());
        }
        let mut traced = net.traced_gradients(&pass, g.copy()).unwrap();
        assert_eq!((traced.len(), net.traced_count(&pass) == 1), (net.traced_count(&pass), say));
        if say {
            let parameters: Vec<&Tensor> = parameters.iter().map(|(_, p)| p).collect();
            let all = traced.remove(0).unwrap();
            traced = split_elements(&all, &parameters).unwrap().into_iter().map(Some).collect();
            assert!(split_elements(&all, &parameters[1..]).is_err());
        }
        for ((_, p), traced) in parameters.iter().zip(traced) {
            close(&traced.unwrap(), &p.grad());
        }
        assert!(net.backward(&pass, g.copy(), false).unwrap().input.is_none());
    }
}

/// What an agent was asked to follow: the name of the group, errors, traces.
type Followed = (String, Vec<f64>, Vec<Tensor>);

/// An agent that writes down what it follows.
struct Listener {
    /// Of the goal.
    parameters: Saved,
    followed: RefCell<Vec<Followed>>,
    /// What the goal answers next, and which parameters the gradients are of.
    traced: RefCell<Option<TracedLoss>>,
    known: Vec<String>,
}

impl Agent for Listener {
    fn parameters(&self, asked: &str) -> Result<Saved> {
        let own = self.parameters.iter().filter(|(name, _)| group::contains(asked, name));
        Ok(own.map(|(name, p)| (name.clone(), p.shallow_clone())).collect())
    }

    fn traced_loss(&self, _: &LossInput<'_>) -> Result<Option<TracedLoss>> {
        Ok(self.traced.take())
    }

    fn traced_parameters(&self, _: &str) -> Result<Vec<String>> {
        Ok(self.known.clone())
    }

    fn follow(
        &self,
        _: &str,
        group: &str,
        decay: f64,
        errors: &[f64],
        traces: &[Option<&Tensor>],
        gradients: &[Option<&Tensor>],
    ) -> Result<()> {
        assert_eq!((decay, gradients.len()), (0.5, traces.len()));
        let traces = traces.iter().map(|t| t.unwrap().copy()).collect();
        self.followed.borrow_mut().push((group.to_owned(), errors.to_vec(), traces));
        Ok(())
    }

    fn transition(&self, _: &Tensor) -> Result<Tensor> {
        bail!("nobody asks")
    }

    fn slow_transition(&self, _: &Tensor) -> Result<Tensor> {
        bail!("nobody asks")
    }

    fn loss(&self, _: &LossInput<'_>) -> Result<Loss> {
        bail!("nobody asks")
    }

    fn network(&self, _: &str, _: &Tensor) -> Result<Tensor> {
        bail!("nobody asks")
    }

    fn update(&self, _: &str) -> Result<()> {
        bail!("nobody asks")
    }

    fn descend(&self, _: &str, _: &str, _: &[Option<&Tensor>]) -> Result<()> {
        bail!("nobody asks")
    }

    fn clear_gradients(&self, _: &str) -> Result<()> {
        bail!("nobody asks")
    }

    fn seed(&self, _: &str) -> Result<u64> {
        bail!("nobody asks")
    }

    fn step(&self) -> Result<u64> {
        Ok(0)
    }

    fn memory(&self) -> Result<i64> {
        Ok(0)
    }
}

/// With one parameter, which lies in memory with its dims swapped.
fn listener(name: &str) -> Listener {
    let parameter = Tensor::zeros([3, 2], (Kind::Float, Device::Cpu)).tr().set_requires_grad(true);
    let parameters = vec![(name.to_owned(), parameter)];
    Listener { parameters, followed: RefCell::default(), traced: RefCell::default(), known: Vec::new() }
}

fn moment(streams: &[u64], step_types: &[StepType]) -> OwnedMoment {
    let rows = streams.len() as i64;
    let mut moment = OwnedMoment::of(&Tensor::zeros([rows, 1], (Kind::Float, Device::Cpu)));
    (moment.streams, moment.step_types) = (streams.to_vec(), step_types.to_vec());
    moment
}

/// The loss whose value has, in each row, the gradient `g` everywhere, with an error of one.
fn loss(agent: &Listener, gradients: &[f32], steps: &[TraceStep]) -> Loss {
    let g = Tensor::from_slice(gradients);
    let value = g * agent.parameters[0].1.sum(Kind::Float);
    let mut loss = Loss::default();
    let ones = Tensor::ones([gradients.len() as i64], (Kind::Float, Device::Cpu));
    loss.traced("term", value, ones, steps.to_vec());
    loss
}

/// What was followed last: the first element of each trace, all of whose elements must be equal.
fn last(agent: &Listener) -> Vec<f32> {
    let followed = agent.followed.borrow();
    let (_, _, traces) = followed.last().unwrap();
    let equal = |t: &Tensor| {
        assert_eq!(
            t.stride(),
            agent.parameters[0].1.stride(),
            "a trace lies in memory as its parameter does"
        );
        let elements = Vec::<f32>::try_from(&t.contiguous().view([-1])).unwrap();
        assert!(elements.iter().all(|x| *x == elements[0]), "{elements:?}");
        elements[0]
    };
    traces.iter().map(equal).collect()
}

#[test]
fn a_trace_decays_and_gathers_and_begins_anew_after_an_episode() {
    let agent = listener("goal.term.weight");
    let mut traces = Traces::new(1.0, 0.5);
    let (middle, end) = (StepType::MIDDLE, StepType::TRUNCATED);
    let step = |traces: &mut Traces, types: &[StepType], gradients: &[f32], steps: &[TraceStep]| {
        let moment = moment(&[7, 9], types);
        let moment: Moment<'_> = moment.get();
        traces.follow(&agent, &moment, &loss(&agent, gradients, steps).terms).unwrap();
    };
    step(&mut traces, &[middle, middle], &[4.0, 1.0], &[]);
    assert_eq!(last(&agent), [4.0, 1.0]);
    step(&mut traces, &[middle, end], &[1.0, 1.0], &[]);
    assert_eq!(last(&agent), [3.0, 1.5]);
    // What led to a first frame is nobody's doing.
    step(&mut traces, &[middle, StepType::FIRST], &[1.0, 8.0], &[]);
    assert_eq!(last(&agent), [2.5]);

    let mut saved = Saved::new();
    traces.save(&mut saved).unwrap();
    let mut restored = Traces::new(1.0, 0.5);
    restored.restore(&saved).unwrap();
    for traces in [&mut traces, &mut restored] {
        step(traces, &[middle, middle], &[1.0, 2.0], &[]);
        assert_eq!(last(&agent), [2.25, 2.0]);
        step(traces, &[middle, middle], &[1.0, 1.0], &[TraceStep::Restart, TraceStep::Continue]);
        assert_eq!(last(&agent), [1.0, 2.0]);
        step(traces, &[middle, middle], &[9.0, 1.0], &[TraceStep::Rest, TraceStep::Continue]);
        assert_eq!(last(&agent), [2.0]);
        step(traces, &[middle, middle], &[1.0, 1.0], &[]);
        assert_eq!(last(&agent), [1.5, 2.0]);
        traces.end(&[9]);
        step(traces, &[middle, middle], &[1.0, 1.0], &[]);
        assert_eq!(last(&agent), [1.75, 1.0]);
    }
}

/// Two parameters, whose gradients come as two tensors or as one that stands for both, in their order or in another.
#[test]
fn one_gradient_for_all_parameters_is_traced_as_one_for_each() {
    let float = (Kind::Float, Device::Cpu);
    for known in [["goal.term.a", "goal.term.b"], ["goal.term.b", "goal.term.a"]] {
        let shapes: [(&str, &[i64]); 2] = [("goal.term.a", &[2, 2]), ("goal.term.b", &[3])];
        let made = shapes
            .map(|(name, shape)| (name.to_owned(), Tensor::zeros(shape, float).set_requires_grad(true)));
        let agent =
            Listener { parameters: made.into(), known: known.map(str::to_owned).into(), ..listener("") };
        let (mut traces, mut expected) = (Traces::new(1.0, 0.5), vec![0.0; 7]);
        let moment = moment(&[7], &[StepType::MIDDLE]);
        let (moment, state) = (moment.get(), Tensor::zeros([1, 1], float));
        let input = LossInput { moment: &moment, state: &state, target: &state, next: None, unroll: 0 };
        for (step, one_for_all) in [true, true, false, false, true].into_iter().enumerate() {
            let of = |name: &str| if name == "goal.term.a" { (0..4, vec![2, 2]) } else { (4..7, vec![3]) };
            let new: Vec<f32> = (0..7).map(|i| (i + 10 * step) as f32).collect();
            expected.iter_mut().zip(&new).for_each(|(z, g)| *z = 0.5 * *z + g);
            let mut gradients: Vec<Option<Tensor>> = known
                .iter()
                .map(|name| Some(Tensor::from_slice(&new[of(name).0]).view(&of(name).1[..])))
                .collect();
            if one_for_all {
                let flat: Vec<Tensor> = gradients.iter().flatten().map(|g| g.view([-1])).collect();
                gradients = vec![Some(Tensor::cat(&flat, 0))];
            }
            let rows = vec![TracedRow { value: 0.0, error: 1.0, step: TraceStep::Continue }];
            let term = TracedTerm { name: "term".to_owned(), rows, gradients };
            *agent.traced.borrow_mut() = Some(TracedLoss { traced: vec![term], ..TracedLoss::default() });
            traces.loss(&agent, &input).unwrap();
            let followed = agent.followed.borrow();
            let (group, errors, found) = followed.last().unwrap();
            assert_eq!((group.as_str(), &errors[..]), ("goal.term", &[1.0][..]));
            let found: Vec<f32> =
                found.iter().flat_map(|t| Vec::<f32>::try_from(t.view([-1])).unwrap()).collect();
            assert_eq!(found, expected, "{known:?}, step {step}");
        }
        // A gradient of another size is none of these parameters.
        let rows = vec![TracedRow { value: 0.0, error: 1.0, step: TraceStep::Continue }];
        let gradients = vec![Some(Tensor::zeros([6], float))];
        let term = TracedTerm { name: "term".to_owned(), rows, gradients };
        *agent.traced.borrow_mut() = Some(TracedLoss { traced: vec![term], ..TracedLoss::default() });
        let said = traces.loss(&agent, &input).unwrap_err().to_string();
        assert!(
            said.contains("[6]") && (said.contains("does not fit") || said.contains("cannot stand")),
            "{said}"
        );
    }
}

#[test]
fn traces_run_in_the_group_of_their_term_or_else_in_all_of_the_goal() {
    for (name, expected) in [("goal.term.weight", "goal.term"), ("goal.trunk.weight", "goal")] {
        let agent = listener(name);
        let moment = moment(&[1], &[StepType::MIDDLE]);
        Traces::new(1.0, 0.5).follow(&agent, &moment.get(), &loss(&agent, &[1.0], &[]).terms).unwrap();
        assert_eq!(agent.followed.borrow()[0].0, expected);
    }
}

#[test]
fn running_normalisers_are_those_of_all_rows_so_far() {
    let rows = Random::new(4).normal(&[50, 3], 2.0) + 5.0;
    let mut normaliser = Normaliser::new(3);
    let found = Tensor::cat(
        &rows.split(7, 0).iter().map(|r| normaliser.normalise(r).unwrap()).collect::<Vec<_>>(),
        0,
    );
    for n in [2, 30, 50] {
        let so_far = rows.narrow(0, 0, n);
        let (mean, deviation) = (
            so_far.mean_dim([0i64].as_slice(), false, Kind::Float),
            so_far.std_dim([0i64].as_slice(), true, false),
        );
        let expected = (rows.get(n - 1) - mean) / deviation;
        assert!(found.get(n - 1).allclose(&expected, 1e-4, 1e-5, false), "row {n}");
    }

    let (mut scale, rewards) = (RewardScale::new(0.9), [1.0, 0.0, -2.0, 3.0]);
    let (mut u, mut sums) = (0.0, Vec::new());
    for (i, reward) in rewards.into_iter().enumerate() {
        u = 0.9 * u + reward;
        sums.push(u);
        let found = scale.scale(1, reward, i == 2);
        u = if i == 2 { 0.0 } else { u };
        let mean = sums.iter().sum::<f64>() / sums.len() as f64;
        let variance = sums.iter().map(|s| (s - mean) * (s - mean)).sum::<f64>() / (sums.len() as f64 - 1.0);
        let expected = if i == 0 { reward } else { reward / (variance + 1e-8).sqrt() };
        assert!((found - expected).abs() < 1e-9, "{found} {expected}");
    }
}

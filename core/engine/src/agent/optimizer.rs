//! Optimizers with open state: what they keep is named tensors, so that a checkpoint holds all of it.
use super::adam::{self, Factors, Updates};
use super::bf16;
use super::elements::{Elements, Own, laid_out_as};
use super::fingerprints::{self, GroupFingerprint};
use efference_sdk::autograd::{count, is_contiguous_cpu_f32, sum_of};
use efference_sdk::{Result, Saved, autograd, bail, elementwise, weighted_traces};
use efference_spec::{Moments, NormaliseBy, OptimizerKind, OptimizerSettings};
use tch::{self, Kind, Tensor};

mod intentional;
mod obgd;

#[derive(Default)]
struct State {
    steps: i64,
    /// Adam: the means `m` and `v`. Sgd: the velocity alone. Rmsprop by elements, intentional: `v`.
    tensors: Vec<Tensor>,
}

/// What is kept of each parameter, in the order in which they came first. They come in the same order each time, so one is
/// found without looking for it.
#[derive(Default)]
struct States(Vec<(String, State)>);

impl States {
    fn place(&self, i: usize, name: &str) -> Option<usize> {
        match self.0.get(i) {
            Some((found, _)) if found == name => Some(i),
            _ => self.0.iter().position(|(found, _)| found == name),
        }
    }

    /// That of the parameter of this name, which is likely number `i`.
    fn get(&self, i: usize, name: &str) -> Option<&State> {
        self.place(i, name).map(|place| &self.0[place].1)
    }

    /// The same, made where there is none.
    fn get_or_add(&mut self, i: usize, name: &str) -> &mut State {
        let place = self.place(i, name).unwrap_or_else(|| {
            self.0.push((name.to_owned(), State::default()));
            self.0.len() - 1
        });
        &mut self.0[place].1
    }
}

/// A row whose traces are followed: its error, and for each parameter the trace and the gradient that it was extended by.
pub(super) struct Row<'a> {
    pub(super) error: f64,
    pub(super) traces: Elements<'a>,
    pub(super) gradients: Elements<'a>,
}

/// Rows of one loss term.
pub(super) struct Rows<'a> {
    pub(super) rows: Vec<Row<'a>>,
    /// What is left of a trace a step later.
    pub(super) decay: f64,
    /// Whether errors weigh the term's value, and are not how far it is from its target.
    pub(super) weighs: bool,
}

/// Updates the parameters of one group.
pub(super) struct Optimizer {
    settings: OptimizerSettings,
    states: States,
    /// What all parameters of the group have in common: of rmsprop by groups, and of intentional.
    shared: Vec<f64>,
    /// Numbers that had a gradient in the last update.
    updated: u64,
    /// Room for a number a parameter's element, in an update.
    scratch: Vec<f32>,
    /// Of the updates since it was last taken, if anybody wants it.
    pub(super) fingerprint: Option<GroupFingerprint>,
}

impl Optimizer {
    pub(super) fn new(settings: OptimizerSettings) -> Self {
        let (states, shared, scratch) = (States::default(), Vec::new(), Vec::new());
        Optimizer { settings, states, shared, updated: 0, scratch, fingerprint: None }
    }

    /// Uses the gradients gathered in `parameters` and clears them. A parameter without a gradient keeps its value, but
    /// for Adam's weight decay, as in torch. Returns how many elements had a gradient.
    pub(super) fn update(&mut self, parameters: &[(String, Tensor)]) -> Result<u64> {
        let leaves: Vec<_> = parameters.iter().map(|(_, p)| p).collect();
        let gradients = autograd::take_gradients(&leaves);
        self.descend(parameters, &gradients.iter().map(Option::as_ref).collect::<Vec<_>>())
    }

    /// The same by these gradients, one a parameter; what is gathered in the parameters stays.
    pub(super) fn descend(
        &mut self,
        parameters: &[(String, Tensor)],
        gradients: &[Option<&Tensor>],
    ) -> Result<u64> {
        // Of a plain gradient, a rule for traces makes a trace that is as long as this step.
        let gradients = Elements::Each(gradients);
        let row = Row { error: -1.0, traces: gradients, gradients };
        self.follow(parameters, &Rows { rows: vec![row], decay: 0.0, weighs: true })
    }

    /// Whether [`follow`](Self::follow) takes so many rows of [`Elements::All`].
    pub(super) fn takes_elements_of_all(&self, rows: usize) -> bool {
        match self.settings.kind {
            OptimizerKind::Obgd | OptimizerKind::Intentional => true,
            OptimizerKind::Adam | OptimizerKind::Adamw => rows == 1,
            OptimizerKind::Sgd | OptimizerKind::Rmsprop => false,
        }
    }

    /// The same by the traces of a loss term: along `Σ error · trace`, upwards.
    pub(super) fn follow(&mut self, parameters: &[(String, Tensor)], rows: &Rows<'_>) -> Result<u64> {
        self.updated = 0;
        if let Some(print) = &mut self.fingerprint {
            let traces = rows.rows.iter().flat_map(|row| row.traces.of_all(parameters).flatten());
            traces.for_each(|trace| fingerprints::add(&mut print.gradient, trace));
        }
        tch::no_grad(|| match self.settings.kind {
            OptimizerKind::Obgd => self.follow_bounded(parameters, rows),
            OptimizerKind::Intentional => self.follow_intentionally(parameters, rows),
            _ => match &rows.rows[..] {
                [row] => self.step(parameters, row.traces, -row.error),
                all => {
                    let errors: Vec<f64> = all.iter().map(|row| row.error).collect();
                    let traces = all.iter().map(|row| of_each(row.traces)).collect::<Result<Vec<_>>>()?;
                    let sums = weighted_traces(&errors, &traces.concat())?;
                    let sums: Vec<_> = sums.iter().map(Option::as_ref).collect();
                    self.step(parameters, Elements::Each(&sums), 1.0)
                }
            },
        })?;
        if let Some(print) = &mut self.fingerprint {
            parameters.iter().for_each(|(_, p)| fingerprints::add(&mut print.parameters, Own::Tensor(p)));
            print.updated = true;
        }
        Ok(self.updated)
    }

    /// Descends along gradients that are multiplied by `factor` first.
    fn step(&mut self, parameters: &[(String, Tensor)], gradients: Elements<'_>, factor: f64) -> Result<()> {
        let scale = factor * self.clipping(parameters, gradients, factor)?;
        if self.settings.kind == OptimizerKind::Rmsprop {
            return self.rmsprop(parameters, of_each(gradients)?, scale);
        }
        let mut prepared = Vec::with_capacity(parameters.len());
        let mut corrections = Corrections::default();
        for (i, ((name, p), g)) in parameters.iter().zip(gradients.of_all(parameters)).enumerate() {
            prepared.push(self.prepare((i, name), p, g, scale, &mut corrections)?);
        }
        let mut updates = Updates::of(parameters.iter().map(|(_, p)| count(p)).sum(), self.settings.moments);
        let all = parameters.iter().zip(gradients.of_all(parameters)).zip(&prepared);
        for (i, (((name, p), given), step)) in all.enumerate() {
            let Some((copy, factors)) = step else { continue };
            let Some(g) = copy.as_ref().map(Own::Tensor).or(given) else { continue };
            let Some([m, v]) = self.states.get(i, name).map(|s| s.tensors.as_slice()) else { continue };
            if !updates.add([p, m, v], g, *factors) {
                match g {
                    Own::Tensor(g) => adam::by_libtorch(p, g, [m, v], *factors)?,
                    Own::Elements(g) => {
                        adam::by_libtorch(p, &Tensor::f_from_slice(g)?.f_view_as(p)?, [m, v], *factors)?;
                    }
                }
            }
        }
        updates.run();
        Ok(())
    }

    /// `v ← beta2 · v + (1 − beta2) · g²`, `p ← p − learning rate · g / (√v̂ + epsilon)`, with `v̂ = v / (1 − beta2^t)`; by groups
    /// `v` is one number, of the mean of `g²` over all elements.
    fn rmsprop(
        &mut self,
        parameters: &[(String, Tensor)],
        gradients: &[Option<&Tensor>],
        scale: f64,
    ) -> Result<()> {
        let s = self.settings.clone();
        let of_group = if s.normalise_by == NormaliseBy::Group {
            let (mut squares, mut elements) = (0.0, 0);
            for g in gradients.iter().flatten() {
                squares += sum_of_squares(Own::Tensor(g))?;
                elements += g.numel();
            }
            if elements == 0 {
                return Ok(());
            }
            self.shared.resize(2, 0.0);
            let [updates, mean_square] = &mut self.shared[..] else { return Ok(()) };
            *updates += 1.0;
            *mean_square += (1.0 - s.beta2) * (squares * scale * scale / elements as f64 - *mean_square);
            Some((*mean_square / (1.0 - s.beta2.powf(*updates))).sqrt() + s.epsilon)
        } else {
            None
        };
        for (i, ((name, p), g)) in parameters.iter().zip(gradients).enumerate() {
            let Some(g) = g else { continue };
            self.updated += p.numel() as u64;
            let state = self.states.get_or_add(i, name);
            state.steps += 1;
            let mut p = p.shallow_clone();
            match of_group {
                Some(root) => {
                    let _ = p.f_add_(&g.f_mul_scalar(-s.learning_rate * scale / root)?)?;
                }
                None => {
                    if state.tensors.is_empty() {
                        state.tensors.push(p.f_zeros_like()?);
                    }
                    let g = g.f_mul_scalar(scale)?;
                    let v = &mut state.tensors[0];
                    let _ = v.f_lerp_(&g.f_square()?, 1.0 - s.beta2)?;
                    let inverse_root = (1.0 / (1.0 - power(s.beta2, state.steps))).sqrt();
                    let root = v.f_sqrt()?.f_mul_scalar_(inverse_root)?.f_add_scalar_(s.epsilon)?;
                    let _ = p.f_addcdiv_(&g.f_mul_scalar(-s.learning_rate)?, &root)?;
                }
            }
            if s.weight_decay != 0.0 && p.dim() > 0 {
                let _ = p.f_mul_scalar_(1.0 - s.weight_decay)?;
            }
        }
        Ok(())
    }

    /// Counts an update of the parameter `i` of those that are updated, and returns what is kept of it.
    fn count_update(&mut self, i: usize, name: &str, p: &Tensor) -> &mut State {
        self.updated += count(p) as u64;
        let state = self.states.get_or_add(i, name);
        state.steps += 1;
        state
    }

    /// Whether a parameter ever had a gradient.
    pub(super) fn has_updated(&self, parameter: &str) -> bool {
        self.states.0.iter().any(|(name, _)| name == parameter)
    }

    /// Bytes that the update of one number reads and writes at least.
    pub(super) fn bytes_a_number(&self) -> u64 {
        // Parameter and gradient are read and the parameter is written; each moment is read and written.
        4 * 3 + 2 * moment_bytes(&self.settings)
    }

    /// What gradients times `factor` are to be multiplied by.
    fn clipping(&self, parameters: &[(String, Tensor)], gradients: Elements<'_>, factor: f64) -> Result<f64> {
        let Some(limit) = self.settings.clip else { return Ok(1.0) };
        let mut squares = 0.0;
        for g in gradients.of_all(parameters).flatten() {
            squares += sum_of_squares(g)?;
        }
        Ok((limit / (squares.sqrt() * factor.abs()).max(f64::MIN_POSITIVE)).min(1.0))
    }

    /// What Adam multiplies with, and the gradient if it has to be another than `g`; `None` where that was all there was to do.
    fn prepare(
        &mut self,
        (i, name): (usize, &str),
        p: &Tensor,
        g: Option<Own<'_>>,
        scale: f64,
        corrections: &mut Corrections,
    ) -> Result<Option<(Option<Tensor>, Factors)>> {
        let s = &self.settings;
        let decay_after = match s.kind {
            OptimizerKind::Adam if s.weight_decay != 0.0 && p.dim() > 0 => 1.0 - s.weight_decay,
            _ => 1.0,
        };
        let Some(g) = g else {
            if decay_after != 1.0 {
                let _ = p.shallow_clone().f_mul_scalar_(decay_after)?;
            }
            return Ok(None);
        };
        self.updated += count(p) as u64;
        let state = self.states.get_or_add(i, name);
        state.steps += 1;
        if let (OptimizerKind::Sgd, Own::Tensor(g)) = (s.kind, g) {
            sgd(p, g, state, s, scale)?;
            return Ok(None);
        }
        if state.tensors.is_empty() {
            state.tensors = vec![zeros_for(p, s)?, zeros_for(p, s)?];
        }
        let [first, second] = corrections.after(state.steps, s);
        let factors = Factors {
            beta1: s.beta1 as f32,
            beta2: s.beta2 as f32,
            epsilon: s.epsilon as f32,
            step_size: (s.learning_rate / first) as f32,
            inverse_root: (1.0 / second.sqrt()) as f32,
            gradient_scale: scale as f32,
            decay_before: match s.kind {
                OptimizerKind::Adamw => (1.0 - s.learning_rate * s.weight_decay) as f32,
                _ => 1.0,
            },
            decay_after: decay_after as f32,
            of_update: bf16::of_update(state.steps),
        };
        // Summed gradients may lie in memory in any order; a copy in the parameter's is cheaper than what follows.
        let copy = match g {
            Own::Tensor(g) if !(is_contiguous_cpu_f32(g) && is_contiguous_cpu_f32(p)) => {
                Some(laid_out_as(p, g)?)
            }
            _ => None,
        };
        Ok(Some((copy, factors)))
    }

    /// Takes up what was saved of a parameter: how many updates it had, and its moments in order.
    pub(super) fn restore(
        &mut self,
        parameter: (&str, &Tensor),
        steps: i64,
        saved: &[&Tensor],
    ) -> Result<()> {
        let (name, own) = parameter;
        let tensors = saved.iter().map(|t| {
            let mut moment = zeros_for(own, &self.settings)?;
            moment.f_copy_(t)?;
            Ok(moment)
        });
        let tensors = tch::no_grad(|| tensors.collect::<Result<Vec<_>>>())?;
        *self.states.get_or_add(self.states.0.len(), name) = State { steps, tensors };
        Ok(())
    }

    /// Takes up what all parameters of the group have in common.
    pub(super) fn restore_shared(&mut self, shared: Vec<f64>) {
        self.shared = shared;
    }

    /// All of its state, as that of the group `group`, names beginning with `prefix`.
    pub(super) fn save(&self, prefix: &str, group: &str) -> Saved {
        let mut saved = Saved::new();
        if !self.shared.is_empty() {
            saved.push((format!("{prefix}{group}{SHARED}"), Tensor::from_slice(&self.shared)));
        }
        let mut states: Vec<_> = self.states.0.iter().collect();
        states.sort_by_key(|(name, _)| name);
        for (name, state) in states {
            saved.push((format!("{prefix}{name}.steps"), Tensor::from(state.steps)));
            for (i, t) in state.tensors.iter().enumerate() {
                saved.push((format!("{prefix}{name}.moment.{i}"), t.shallow_clone()));
            }
        }
        saved
    }
}

/// On the CPU the same to the bit, however many threads there are.
fn sum_of_squares(g: Own<'_>) -> Result<f64> {
    match (g.elements(), g) {
        (Err(_), Own::Tensor(g)) => Ok(g.f_square()?.f_sum(Kind::Double)?.f_double_value(&[])?),
        (elements, _) => {
            let g = elements?;
            Ok(elementwise!(g.len(), [], |range, []| sum_of(&g[range.clone()], &g[range], |a, b| a * b)))
        }
    }
}

/// What an optimizer that [takes no elements of all](Optimizer::takes_elements_of_all) was given.
fn of_each<'a>(of: Elements<'a>) -> Result<&'a [Option<&'a Tensor>]> {
    match of {
        Elements::Each(tensors) => Ok(tensors),
        Elements::All(_) => bail!("this optimizer takes a gradient for each parameter"),
    }
}

/// What follows the name of a group under which its parameters' common state is saved.
pub(super) const SHARED: &str = ".shared";

/// A moment of a parameter before its first update, which lies in memory as the parameter does.
fn zeros_for(p: &Tensor, settings: &OptimizerSettings) -> Result<Tensor> {
    let zeros = p.f_zeros_like()?;
    Ok(match (settings.kind, settings.moments) {
        (OptimizerKind::Adam | OptimizerKind::Adamw, Moments::Bf16) => zeros.f_to_kind(Kind::BFloat16)?,
        _ => zeros,
    })
}

/// Bytes that are kept for each number of a parameter.
pub(super) fn moment_bytes(settings: &OptimizerSettings) -> u64 {
    let numbers = match settings.kind {
        OptimizerKind::Adam | OptimizerKind::Adamw => match settings.moments {
            Moments::F32 => 2,
            Moments::Bf16 => return 4,
        },
        OptimizerKind::Sgd => u64::from(settings.momentum != 0.0),
        OptimizerKind::Rmsprop => u64::from(settings.normalise_by == NormaliseBy::Element),
        OptimizerKind::Obgd => 0,
        OptimizerKind::Intentional => 1,
    };
    size_of::<f32>() as u64 * numbers
}

/// `1 − beta1^t` and `1 − beta2^t` of the `t` that was asked for last: parameters of a group mostly have the same.
#[derive(Default)]
struct Corrections {
    steps: i64,
    of_means: [f64; 2],
}

impl Corrections {
    fn after(&mut self, steps: i64, s: &OptimizerSettings) -> [f64; 2] {
        if self.steps != steps {
            let of_means = [s.beta1, s.beta2].map(|beta| 1.0 - power(beta, steps));
            *self = Corrections { steps, of_means };
        }
        self.of_means
    }
}

/// `base^exponent`. Exponents of more than 32 bits are reached after five days of 5,000 updates a second.
fn power(base: f64, exponent: i64) -> f64 {
    i32::try_from(exponent).map_or_else(|_| base.powf(exponent as f64), |exponent| base.powi(exponent))
}

fn sgd(p: &Tensor, g: &Tensor, state: &mut State, s: &OptimizerSettings, scale: f64) -> Result<()> {
    let mut g = if scale == 1.0 { g.shallow_clone() } else { g.f_mul_scalar(scale)? };
    if s.weight_decay != 0.0 {
        g = g.f_add(&p.f_mul_scalar(s.weight_decay)?)?;
    }
    if s.momentum != 0.0 {
        match state.tensors.first_mut() {
            Some(velocity) => {
                let _ = velocity.f_mul_scalar_(s.momentum)?.f_add_(&g)?;
            }
            None => state.tensors.push(g.copy()),
        }
        g = state.tensors[0].shallow_clone();
    }
    let _ = p.shallow_clone().f_sub_(&g.f_mul_scalar(s.learning_rate)?)?;
    Ok(())
}

/// Clears the gradients gathered in parameters.
pub(super) fn clear_gradients(parameters: &[(String, Tensor)]) -> Result<()> {
    parameters.iter().for_each(|(_, p)| autograd::clear_gradient(p));
    Ok(())
}

#[cfg(test)]
mod tests;

//! Eligibility traces of a goal's loss terms.
use crate::autograd::{
    self, OutputBuffer, change, contiguous_slice, count, is_contiguous_cpu_f32, is_non_overlapping_and_dense,
    slice, slice_in_memory_order,
};
use crate::{
    Agent, Error, Loss, LossInput, Moment, Result, Saved, Term, TraceStep, TracedLoss, TracedTerm,
    elementwise, ensure, group, saved, split_elements,
};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use tch::Tensor;

/// Follows, of each stream and each loss term with an error, a trace of the gradient of the term's value,
///
/// ```text
/// z ← gamma · lambda · z + ∇ value        then, over the streams, the optimizer descends along   −Σ error · z
/// ```
///
/// in the parameters of the group `goal.TERM`, or of all of `goal` where there is none of that name. A trace begins at zero
/// after each episode. What becomes of it in a step, the term may say: see [`TraceStep`].
pub struct Traces {
    decay: f64,
    /// By the names of the terms.
    terms: BTreeMap<String, OfTerm>,
    /// What was restored of terms that have not come yet: stream and elements.
    restored: BTreeMap<String, Vec<(u64, Vec<f32>)>>,
}

/// The traces of one term.
struct OfTerm {
    group: String,
    parameters: Vec<Tensor>,
    /// Of each parameter, which of the gradients that a term comes with is its own; empty until such a term has come.
    places: Vec<Option<usize>>,
    /// Whether one tensor that stands for all those gradients has the elements of all parameters in their order.
    in_order: bool,
    /// Of each stream, one tensor a parameter, with its shape; or one that stands for all.
    streams: BTreeMap<u64, Vec<Tensor>>,
}

impl Traces {
    /// Traces that lose the share `1 − gamma · lambda` of themselves in a step; both in 0…1.
    pub fn new(gamma: f64, lambda: f64) -> Self {
        Traces { decay: gamma * lambda, terms: BTreeMap::new(), restored: BTreeMap::new() }
    }

    /// Asks for the loss of a step, follows the traces of those of its terms that have an error, and lets the optimizer use
    /// them. Returns the rest of the loss, which is left to the caller.
    pub fn loss(&mut self, agent: &dyn Agent, input: &LossInput<'_>) -> Result<Loss> {
        if let Some(TracedLoss { mut traced, others, .. }) = agent.traced_loss(input)? {
            let rows = traced.iter_mut().map(|term| self.extend_by_known(agent, input.moment, term));
            let rows = rows.collect::<Result<Vec<_>>>()?;
            let names = traced.iter().map(|term| term.name.as_str());
            self.use_traces(agent, input.moment, names.zip(rows))?;
            return Ok(others);
        }
        let mut loss = agent.loss(input)?;
        self.follow(agent, input.moment, &loss.terms)?;
        loss.terms.retain(|term| term.error.is_none());
        Ok(loss)
    }

    /// The same for a loss that is there already, by gradients that autograd takes of its terms' values.
    pub fn follow(&mut self, agent: &dyn Agent, moment: &Moment<'_>, terms: &[Term]) -> Result<()> {
        // All gradients are taken before any parameter changes.
        let terms: Vec<&Term> = terms.iter().filter(|term| term.error.is_some()).collect();
        let rows = terms.iter().map(|term| self.extend_by_autograd(agent, moment, term));
        let rows = rows.collect::<Result<Vec<_>>>()?;
        let names = terms.iter().map(|term| term.name.as_str());
        self.use_traces(agent, moment, names.zip(rows))
    }

    /// Passes traces that were extended to the optimizer, and begins those anew whose episode is over.
    fn use_traces<'a>(
        &mut self,
        agent: &dyn Agent,
        moment: &Moment<'_>,
        terms: impl Iterator<Item = (&'a str, Vec<Row>)>,
    ) -> Result<()> {
        for (name, rows) in terms {
            let Some(of_term) = self.terms.get(name).filter(|_| !rows.is_empty()) else { continue };
            let errors: Vec<f64> = rows.iter().map(|row| row.error).collect();
            let traces: Vec<_> =
                rows.iter().flat_map(|row| of_term.streams[&row.stream].iter().map(Some)).collect();
            let gradients: Vec<_> =
                rows.iter().flat_map(|row| row.gradients.iter().map(Option::as_ref)).collect();
            agent.follow(name, &of_term.group, self.decay, &errors, &traces, &gradients)?;
        }
        for (stream, step_type) in moment.streams.iter().zip(moment.step_types) {
            if step_type.is_last() {
                self.clear(*stream)?;
            }
        }
        Ok(())
    }

    /// These streams are gone.
    pub fn end(&mut self, streams: &[u64]) {
        for stream in streams {
            self.terms.values_mut().for_each(|term| drop(term.streams.remove(stream)));
            self.restored.values_mut().for_each(|all| all.retain(|(other, _)| other != stream));
        }
    }

    /// Appends all traces.
    pub fn save(&self, into: &mut Saved) -> Result<()> {
        let mut all: BTreeMap<&str, Vec<(u64, Vec<f32>)>> = BTreeMap::new();
        for (name, rows) in &self.restored {
            all.insert(name, rows.clone());
        }
        for (name, term) in &self.terms {
            let rows = term.streams.iter().map(|(stream, traces)| {
                // In the order of the parameter's dims, whatever its strides.
                let elements = traces.iter().map(|trace| Ok(slice(&trace.f_contiguous()?)?.to_vec()));
                Ok((*stream, elements.collect::<Result<Vec<_>>>()?.concat()))
            });
            all.insert(name, rows.collect::<Result<_>>()?);
        }
        for (name, rows) in all.into_iter().filter(|(_, rows)| !rows.is_empty()) {
            let elements: Vec<f32> = rows.iter().flat_map(|(_, row)| row.iter().copied()).collect();
            let width = elements.len() / rows.len();
            saved::put_streams(into, &format!("{STREAMS}{name}"), rows.iter().map(|(stream, _)| stream))?;
            saved::put_rows(into, &format!("{TRACE}{name}"), &elements, width as i64)?;
        }
        Ok(())
    }

    /// Takes up what [`save`](Self::save) appended.
    pub fn restore(&mut self, from: &Saved) -> Result<()> {
        let mut restored = BTreeMap::new();
        for (name, tensor) in from {
            let Some(term) = name.strip_prefix(TRACE) else { continue };
            let streams = saved::streams(from, &format!("{STREAMS}{term}"))?;
            let width = tensor.size().last().copied().unwrap_or(0).max(1);
            let elements = saved::rows(from, name, streams.len(), width)?;
            let rows = elements.chunks_exact(width as usize).map(<[f32]>::to_vec);
            restored.insert(term.to_owned(), streams.into_iter().zip(rows).collect());
        }
        (self.terms, self.restored) = (BTreeMap::new(), restored);
        Ok(())
    }

    /// Begins the traces of a stream anew.
    fn clear(&mut self, stream: u64) -> Result<()> {
        for term in self.terms.values_mut() {
            for trace in term.streams.get_mut(&stream).into_iter().flatten() {
                change(trace, |trace| trace.fill(0.0))?;
            }
        }
        Ok(())
    }

    /// The traces of a term, made if there are none yet.
    fn of_term(&mut self, agent: &dyn Agent, name: &str) -> Result<&mut OfTerm> {
        if !self.terms.contains_key(name) {
            let made = self.begin(agent, name)?;
            self.terms.insert(name.to_owned(), made);
        }
        self.terms.get_mut(name).ok_or_else(|| Error::msg("a term that was just added is gone"))
    }

    /// Extends the traces of a term by the gradients that it comes with; returns what was learned of which stream.
    fn extend_by_known(
        &mut self,
        agent: &dyn Agent,
        moment: &Moment<'_>,
        term: &mut TracedTerm,
    ) -> Result<Vec<Row>> {
        let decay = self.decay as f32;
        let of_term = self.of_term(agent, &term.name)?;
        if of_term.places.is_empty() {
            of_term.places = places(agent, &term.name, of_term)?;
            let all = (0..of_term.parameters.len()).map(Some);
            of_term.in_order = of_term.places.iter().copied().eq(all)
                && of_term.parameters.iter().all(is_contiguous_cpu_f32);
        }
        let one_for_all = of_term.places.iter().flatten().count() != 1;
        let mut rows = Vec::with_capacity(term.rows.len());
        let count = term.gradients.len() / term.rows.len().max(1);
        for (i, (row, stream)) in term.rows.iter().zip(moment.streams).enumerate() {
            let decay = match row.step {
                TraceStep::Continue => decay,
                TraceStep::Restart => 0.0,
                TraceStep::Rest => continue,
            };
            let known = &mut term.gradients[i * count..][..count];
            let gradients = match known {
                [all] if one_for_all && of_term.in_order => vec![all.take()],
                [all] if one_for_all => of_term.split(all.take())?,
                _ => of_term.places.iter().map(|place| known.get_mut((*place)?)?.take()).collect(),
            };
            of_term.extend(*stream, decay, &gradients)?;
            rows.push(Row { stream: *stream, error: f64::from(row.error), gradients });
        }
        Ok(rows)
    }

    /// The same by the gradients of its value's graph.
    fn extend_by_autograd(
        &mut self,
        agent: &dyn Agent,
        moment: &Moment<'_>,
        term: &Term,
    ) -> Result<Vec<Row>> {
        let decay = self.decay as f32;
        let of_term = self.of_term(agent, &term.name)?;
        let Some(errors) = &term.error else { return Ok(Vec::new()) };
        let errors = errors.f_contiguous()?;
        let errors = slice(&errors)?;
        ensure!(
            errors.len() == moment.streams.len(),
            "the term '{}' has {} errors for {} streams; a trace needs one for each",
            term.name,
            errors.len(),
            moment.streams.len()
        );
        let mut rows = Vec::with_capacity(errors.len());
        for (row, (stream, step_type)) in moment.streams.iter().zip(moment.step_types).enumerate() {
            // Nothing leads to a first frame.
            let plain = if step_type.is_first() { TraceStep::Rest } else { TraceStep::Continue };
            let decay = match term.traces.get(row).copied().unwrap_or(plain) {
                TraceStep::Continue => decay,
                TraceStep::Restart => 0.0,
                TraceStep::Rest => continue,
            };
            let mut of_row = OutputBuffer::zeros(&term.value.size())?;
            of_row[row] = 1.0;
            let wanted: Vec<&Tensor> = of_term.parameters.iter().collect();
            let gradients = autograd::gradients(&[(&term.value, &of_row.into_tensor())], &wanted)?;
            of_term.extend(*stream, decay, &gradients)?;
            rows.push(Row { stream: *stream, error: f64::from(errors[row]), gradients });
        }
        Ok(rows)
    }

    /// The parameters of a term, with the traces that were restored.
    fn begin(&mut self, agent: &dyn Agent, term: &str) -> Result<OfTerm> {
        let own = format!("{}.{term}", group::GOAL);
        let of_goal = agent.parameters(group::GOAL)?;
        let name =
            if of_goal.iter().any(|(name, _)| group::contains(&own, name)) { &own } else { group::GOAL };
        let parameters: Vec<Tensor> = agent.parameters(name)?.into_iter().map(|(_, t)| t).collect();
        ensure!(!parameters.is_empty(), "the goal has no parameters that its term '{term}' could train");
        let elements_of_all: usize = parameters.iter().map(count).sum();
        let mut streams = BTreeMap::new();
        for (stream, elements) in self.restored.remove(term).unwrap_or_default() {
            ensure!(
                elements.len() == elements_of_all,
                "a trace of {} elements was restored for {elements_of_all} parameters of '{name}'",
                elements.len()
            );
            let mut rest = &elements[..];
            let traces = parameters.iter().map(|p| {
                let (own, behind) = rest.split_at(p.numel());
                rest = behind;
                let trace = OutputBuffer::empty_like(p)?.into_tensor();
                like(&trace, &Tensor::f_from_slice(own)?.f_view_as(p)?)
            });
            streams.insert(stream, traces.collect::<Result<Vec<_>>>()?);
        }
        let places = Vec::new();
        Ok(OfTerm { group: name.to_owned(), parameters, places, in_order: false, streams })
    }
}

impl OfTerm {
    /// `z ← decay · z + gradient` of a stream's traces, which begin at zero.
    fn extend(&mut self, stream: u64, decay: f32, gradients: &[Option<Tensor>]) -> Result<()> {
        let traces = match self.streams.entry(stream) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(zeros(&self.parameters)?),
        };
        match (traces.len() == gradients.len(), &traces[..]) {
            (true, _) => {}
            (false, [all]) => {
                let parameters: Vec<&Tensor> = self.parameters.iter().collect();
                let each = split_elements(all, &parameters)?;
                *traces = zeros(&self.parameters)?;
                traces.iter_mut().zip(each).try_for_each(|(trace, own)| trace.f_copy_(&own).map(drop))?;
            }
            (false, each) => {
                let elements = each.iter().map(slice).collect::<Result<Vec<_>>>()?.concat();
                *traces = vec![Tensor::f_from_slice(&elements)?];
            }
        }
        traces.iter_mut().zip(gradients).try_for_each(|(trace, g)| extend(trace, g.as_ref(), decay))
    }

    /// The gradients of all parameters, taken out of one that stands for those that the term comes with.
    fn split(&self, known: Option<Tensor>) -> Result<Vec<Option<Tensor>>> {
        let mut of_known = vec![None; self.places.iter().flatten().count()];
        for (parameter, place) in self.parameters.iter().zip(&self.places) {
            if let Some(place) = place {
                of_known[*place] = Some(parameter);
            }
        }
        let of_known: Vec<&Tensor> = of_known.into_iter().flatten().collect();
        let mut each: Vec<Option<Tensor>> = match known {
            Some(known) => split_elements(&known, &of_known)?.into_iter().map(Some).collect(),
            None => Vec::new(),
        };
        Ok(self.places.iter().map(|place| each.get_mut((*place)?)?.take()).collect())
    }
}

/// Traces that begin, one a parameter.
fn zeros(parameters: &[Tensor]) -> Result<Vec<Tensor>> {
    let zeros = parameters.iter().map(|p| {
        let mut zeros = OutputBuffer::empty_like(p)?;
        zeros.fill(0.0);
        Ok(zeros.into_tensor())
    });
    zeros.collect()
}

/// Of each parameter of a term, its place among the gradients that the term comes with.
fn places(agent: &dyn Agent, term: &str, of_term: &OfTerm) -> Result<Vec<Option<usize>>> {
    let known = agent.traced_parameters(term)?;
    let parameters = agent.parameters(&of_term.group)?;
    let places = parameters.iter().map(|(name, _)| known.iter().position(|k| k == name));
    let places: Vec<_> = places.collect();
    ensure!(
        places.iter().flatten().count() == known.len(),
        "the term '{term}' comes with the gradients of {known:?}, which are not all trained in the group '{}'",
        of_term.group
    );
    Ok(places)
}

/// What the names begin with under which traces, and the streams that have them, are saved.
const TRACE: &str = "trace.";
const STREAMS: &str = "traced.";

/// What is learned of a stream in a step.
struct Row {
    stream: u64,
    error: f64,
    gradients: Vec<Option<Tensor>>,
}

/// `z ← decay · z + gradient`; without a gradient it is zero. The trace lies in memory as its parameter does.
fn extend(trace: &mut Tensor, gradient: Option<&Tensor>, decay: f32) -> Result<()> {
    let Some(gradient) = gradient else {
        return change(trace, |trace| trace.iter_mut().for_each(|z| *z *= decay));
    };
    ensure!(
        count(gradient) == count(trace),
        "a gradient of shape {:?} does not fit a trace of shape {:?}",
        gradient.size(),
        trace.size()
    );
    let add = |gradient: &[f32], trace: &mut [f32]| {
        elementwise!(gradient.len(), [trace], |range, [z]| {
            z.iter_mut().zip(&gradient[range]).for_each(|(z, g)| *z = decay * *z + g);
            0.0
        });
    };
    let plain = contiguous_slice(gradient).filter(|_| is_contiguous_cpu_f32(trace));
    if let Some(gradient) = plain {
        return change(trace, |trace| add(gradient, trace));
    }
    let gradient = like(trace, gradient)?;
    let gradient = slice_in_memory_order(&gradient)?;
    change(trace, |trace| add(gradient, trace))
}

/// A tensor as it is if it lies in memory as `model` does, else a copy that does.
fn like(model: &Tensor, tensor: &Tensor) -> Result<Tensor> {
    if tensor.stride() == model.stride() && is_non_overlapping_and_dense(tensor) {
        return Ok(tensor.shallow_clone());
    }
    let mut copy = OutputBuffer::empty_like(model)?.into_tensor();
    copy.f_copy_(tensor)?;
    Ok(copy)
}

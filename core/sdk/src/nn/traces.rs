//! Eligibility traces of a goal's loss terms.
use crate::autograd::{self, OutputBuffer, is_non_overlapping_and_dense, slice, slice_in_memory_order};
use crate::{Agent, Moment, Result, Saved, Term, TraceStep, elementwise, ensure, group, saved};
use std::collections::BTreeMap;
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
    /// Of each stream, one tensor a parameter, with its shape.
    streams: BTreeMap<u64, Vec<Tensor>>,
}

impl Traces {
    /// Traces that lose the share `1 − gamma · lambda` of themselves in a step; both in 0…1.
    pub fn new(gamma: f64, lambda: f64) -> Self {
        Traces { decay: gamma * lambda, terms: BTreeMap::new(), restored: BTreeMap::new() }
    }

    /// Follows the traces of those terms that have an error, then lets the optimizer use them. The others are left to the
    /// caller.
    pub fn follow(&mut self, agent: &dyn Agent, moment: &Moment<'_>, terms: &[Term]) -> Result<()> {
        // All gradients are taken before any parameter changes.
        let terms: Vec<&Term> = terms.iter().filter(|term| term.error.is_some()).collect();
        let gradients = terms.iter().map(|term| self.extend(agent, moment, term));
        let gradients = gradients.collect::<Result<Vec<_>>>()?;
        for (term, rows) in terms.iter().zip(gradients) {
            if !rows.is_empty() {
                let of_term = &self.terms[&term.name];
                let errors: Vec<f64> = rows.iter().map(|row| row.error).collect();
                let traces: Vec<_> =
                    rows.iter().flat_map(|row| of_term.streams[&row.stream].iter().map(Some)).collect();
                let gradients: Vec<_> =
                    rows.iter().flat_map(|row| row.gradients.iter().map(Option::as_ref)).collect();
                agent.follow(&term.name, &of_term.group, self.decay, &errors, &traces, &gradients)?;
            }
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

    /// Extends the traces of a term by this step's gradients; returns what was learned of which stream.
    fn extend(&mut self, agent: &dyn Agent, moment: &Moment<'_>, term: &Term) -> Result<Vec<Row>> {
        if !self.terms.contains_key(&term.name) {
            let made = self.begin(agent, &term.name)?;
            self.terms.insert(term.name.clone(), made);
        }
        let (Some(of_term), Some(errors)) = (self.terms.get_mut(&term.name), &term.error) else {
            return Ok(Vec::new());
        };
        let errors = errors.f_contiguous()?;
        let errors = slice(&errors)?;
        ensure!(
            errors.len() == moment.streams.len(),
            "the term '{}' has {} errors for {} streams; a trace needs one for each",
            term.name,
            errors.len(),
            moment.streams.len()
        );
        let wanted: Vec<&Tensor> = of_term.parameters.iter().collect();
        let mut rows = Vec::with_capacity(errors.len());
        for (row, (stream, step_type)) in moment.streams.iter().zip(moment.step_types).enumerate() {
            // Nothing leads to a first frame.
            let plain = if step_type.is_first() { TraceStep::Rest } else { TraceStep::Continue };
            let decay = match term.traces.get(row).copied().unwrap_or(plain) {
                TraceStep::Continue => self.decay as f32,
                TraceStep::Restart => 0.0,
                TraceStep::Rest => continue,
            };
            let mut of_row = OutputBuffer::zeros(&term.value.size())?;
            of_row[row] = 1.0;
            let gradients = autograd::gradients(&[(&term.value, &of_row.into_tensor())], &wanted)?;
            let traces = match of_term.streams.entry(*stream) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    let zeros = wanted.iter().map(|p| {
                        let mut zeros = OutputBuffer::empty_like(p)?;
                        zeros.fill(0.0);
                        Ok(zeros.into_tensor())
                    });
                    entry.insert(zeros.collect::<Result<_>>()?)
                }
            };
            for (trace, gradient) in traces.iter_mut().zip(&gradients) {
                extend(trace, gradient.as_ref(), decay)?;
            }
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
        let count: usize = parameters.iter().map(Tensor::numel).sum();
        let mut streams = BTreeMap::new();
        for (stream, elements) in self.restored.remove(term).unwrap_or_default() {
            ensure!(
                elements.len() == count,
                "a trace of {} elements was restored for {count} parameters of '{name}'",
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
        Ok(OfTerm { group: name.to_owned(), parameters, streams })
    }
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
    let gradient = like(trace, gradient)?;
    let gradient = slice_in_memory_order(&gradient)?;
    change(trace, |trace| {
        elementwise!(gradient.len(), [trace], |range, [z]| {
            z.iter_mut().zip(&gradient[range]).for_each(|(z, g)| *z = decay * *z + g);
            0.0
        });
    })
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

/// Changes the elements of a tensor that lies in memory as it may, in their place.
fn change(tensor: &mut Tensor, f: impl FnOnce(&mut [f32])) -> Result<()> {
    let mut elements = OutputBuffer::reuse_in_memory_order(std::mem::replace(tensor, Tensor::new()))?;
    f(&mut elements);
    *tensor = elements.into_tensor();
    Ok(())
}

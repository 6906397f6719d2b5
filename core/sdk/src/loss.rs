//! Losses: terms, with a graph or with the gradients that traces follow.
use crate::{Result, autograd, ensure};
use tch::{Device, Kind, Tensor};

/// A term of a loss.
#[derive(Debug)]
pub struct Term {
    /// Its name.
    pub name: String,
    /// One number, or one a row.
    pub value: Tensor,
    /// One number a row, without gradient: then the term is `−Σ(error · value)`, and a trainer may follow a trace of
    /// the value's gradient in place of that gradient. `None`: the term is `Σ value`.
    pub error: Option<Tensor>,
    /// What becomes of each row's trace, if the term has an error; empty: all go on.
    pub traces: Vec<TraceStep>,
}

/// What becomes of a trace `z` of a value's gradient, in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceStep {
    /// `z ← decay · z + ∇value`
    Continue,
    /// `z ← ∇value`: what was done before gets no credit for what comes.
    Restart,
    /// It stays as it is, and nothing is learned of this row.
    Rest,
}

impl Term {
    /// What is minimised: one number.
    pub fn total(&self) -> Result<Tensor> {
        let value = match &self.error {
            Some(error) => self.value.f_mul(error)?.f_neg()?,
            None if autograd::count(&self.value) == 1 => return Ok(self.value.shallow_clone()),
            None => self.value.shallow_clone(),
        };
        Ok(value.f_sum(value.kind())?)
    }
}

/// The terms of a loss, and numbers to be recorded beside them.
#[derive(Debug, Default)]
pub struct Loss {
    /// The loss is their sum.
    pub terms: Vec<Term>,
    /// Recorded and nothing else: one number each.
    pub metrics: Vec<(String, Tensor)>,
}

impl Loss {
    /// Adds a term: one number, or one a row, of which the sum counts.
    pub fn term(&mut self, name: &str, value: Tensor) {
        self.terms.push(Term { name: name.to_owned(), value, error: None, traces: Vec::new() });
    }

    /// Adds the term `−Σ(error · value)`, whose value's gradient a trainer may trace: both one number a row, `error`
    /// without gradient. `traces` says what becomes of each row's trace; empty: all go on. The error of a row whose trace
    /// rests is to be 0.
    pub fn traced(&mut self, name: &str, value: Tensor, error: Tensor, traces: Vec<TraceStep>) {
        self.terms.push(Term { name: name.to_owned(), value, error: Some(error), traces });
    }

    /// Adds a number to be recorded.
    pub fn metric(&mut self, name: &str, value: Tensor) {
        self.metrics.push((name.to_owned(), value));
    }

    /// The sum of the terms; `None` without any.
    pub fn total(&self) -> Result<Option<Tensor>> {
        let mut terms = self.terms.iter();
        let Some(first) = terms.next() else { return Ok(None) };
        terms.try_fold(first.total()?, |sum, term| Ok(sum.f_add(&term.total()?)?)).map(Some)
    }
}

/// A row of a [`TracedTerm`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TracedRow {
    /// The term's value.
    pub value: f32,
    /// The error: what the row adds to the loss is `−error · value`.
    pub error: f32,
    /// What becomes of the row's trace in this step.
    pub step: TraceStep,
}

/// A term of a loss as [`Loss::traced`] adds it, which needs no graph: the gradients of its value are there.
#[derive(Debug)]
pub struct TracedTerm {
    /// Its name.
    pub name: String,
    /// One a row.
    pub rows: Vec<TracedRow>,
    /// For each row in turn, the gradient of its value by each of the parameters that
    /// [`Goal::traced_parameters`](crate::Goal::traced_parameters) names, with the parameter's shape; `None`: there is none,
    /// as for all of a row whose trace rests. One tensor a row may stand for those of several parameters: see
    /// [`split_elements`](crate::split_elements).
    pub gradients: Vec<Option<Tensor>>,
}

impl TracedTerm {
    /// What it adds to the loss: `−Σ error · value`.
    pub fn total(&self) -> f64 {
        -self.rows.iter().map(|row| f64::from(row.value) * f64::from(row.error)).sum::<f64>()
    }
}

/// A loss some of whose terms come with their gradients.
#[derive(Debug, Default)]
pub struct TracedLoss {
    /// Those terms.
    pub traced: Vec<TracedTerm>,
    /// All others, behind them.
    pub others: Loss,
    /// Recorded and nothing else, as the metrics of a [`Loss`].
    pub numbers: Vec<(String, f64)>,
}

/// Refuses terms of other rows, and numbers that are not finite.
pub(crate) fn check_traced_loss(loss: &TracedLoss, rows: usize) -> Result<()> {
    for TracedTerm { name, rows: found, gradients } in &loss.traced {
        ensure!(
            found.len() == rows && gradients.len().is_multiple_of(rows.max(1)),
            "the loss term '{name}' has {} rows and {} gradients for {rows} streams",
            found.len(),
            gradients.len()
        );
        for TracedRow { value, error, .. } in found {
            ensure!(
                value.is_finite() && error.is_finite(),
                "the loss term '{name}' is {value} with an error of {error}. If the goal's parameters have become such, \
                 lower the learning rate; if not, the plugin has a mistake"
            );
        }
    }
    Ok(())
}

/// Refuses terms of other shapes, and numbers that are not finite.
pub(crate) fn check_loss(loss: &Loss, rows: usize) -> Result<()> {
    for Term { name, value, error, traces } in &loss.terms {
        let elements = autograd::count(value);
        ensure!(
            elements == 1 || (elements == rows && value.dim() == 1),
            "the loss term '{name}' has {elements} elements instead of one, or one for each of {rows} rows"
        );
        if let Some(error) = error {
            ensure!(
                error.size() == value.size() && !error.requires_grad(),
                "the error of the loss term '{name}' has the shape {:?}; it must be {:?}, as the value, and without \
                 gradient",
                error.size(),
                value.size()
            );
        }
        ensure!(
            traces.is_empty() || (error.is_some() && traces.len() == elements),
            "the loss term '{name}' says what becomes of {} traces, and has {elements} elements",
            traces.len()
        );
        for tensor in [Some(value), error.as_ref()].into_iter().flatten() {
            let kind = tensor.f_kind()?;
            ensure!(
                matches!(kind, Kind::Float | Kind::Double),
                "the loss term '{name}' is of kind {kind:?}; it must be Float or Double"
            );
            // On a GPU this would wait for it; there the loss shows in the next state.
            if tensor.device() == Device::Cpu {
                let number = if autograd::count(tensor) == 1 {
                    autograd::item(tensor)?
                } else {
                    tensor.f_detach()?.f_sum(Kind::Double)?.f_double_value(&[])?
                };
                ensure!(
                    number.is_finite(),
                    "the loss term '{name}' is {number}. If the goal's parameters have become such, lower the \
                     learning rate; if not, the plugin has a mistake"
                );
            }
        }
    }
    for (name, value) in &loss.metrics {
        ensure!(
            autograd::count(value) == 1,
            "the metric '{name}' holds {} numbers instead of one",
            value.numel()
        );
    }
    Ok(())
}

//! Means of the loss, its terms and a goal's metrics, between two lines of metrics.
use efference_sdk::autograd::is_contiguous_cpu_f32;
use efference_sdk::{Loss, Result, Term, TracedLoss, autograd};
use indexmap::IndexMap;
use tch::{Device, Tensor};

/// The metric that the sum of all terms is recorded as.
const LOSS: &str = "loss";
/// What the names of terms are recorded behind.
const TERM: &str = "loss/";

/// Terms and metrics of the steps since they were last taken.
#[derive(Default)]
pub struct LossMeans {
    /// In the order of their first use; found by hash, as a goal may have very many.
    sums: IndexMap<String, Sum>,
    /// Where the next name is expected.
    next: usize,
}

/// The sum of a term or metric over some steps.
#[derive(Default)]
struct Sum {
    count: u64,
    /// Of values on the CPU.
    number: f64,
    /// Of values on a GPU, which stay there until they are asked for.
    tensor: Option<Tensor>,
}

impl Sum {
    fn on_gpu(&self) -> Result<f64> {
        self.tensor.as_ref().map_or(Ok(0.0), autograd::item)
    }
}

impl LossMeans {
    /// Adds a loss, and returns the sum of its terms, without gradient.
    pub(super) fn add(&mut self, loss: &Loss) -> Result<Option<Tensor>> {
        let totals = loss.terms.iter().map(detached_total).collect::<Result<Vec<_>>>()?;
        let total = total(&totals)?;
        if let Some(total) = &total {
            self.add_one("", LOSS, total)?;
        }
        for (term, total) in loss.terms.iter().zip(&totals) {
            self.add_one(TERM, &term.name, total)?;
        }
        for (name, value) in &loss.metrics {
            self.add_one("", name, value)?;
        }
        Ok(total)
    }

    /// The same of a loss whose terms come with their gradients.
    pub(super) fn add_traced(&mut self, loss: &TracedLoss) -> Result<Option<f32>> {
        let of_others = loss.others.terms.iter().map(|term| {
            let total = autograd::item(&detached_total(term)?)?;
            Ok((term.name.as_str(), total))
        });
        // Rounded as those of the other terms are, so that both ways record the same.
        let of_traced = loss.traced.iter().map(|term| Ok((&*term.name, f64::from(term.total() as f32))));
        let totals = of_others.chain(of_traced).collect::<Result<Vec<_>>>()?;
        let total = (!totals.is_empty()).then(|| totals.iter().map(|(_, total)| total).sum::<f64>() as f32);
        if let Some(total) = total {
            self.add_number("", LOSS, f64::from(total));
        }
        for (name, total) in totals {
            self.add_number(TERM, name, total);
        }
        for (name, value) in &loss.others.metrics {
            self.add_one("", name, value)?;
        }
        for (name, number) in &loss.numbers {
            self.add_number("", name, *number);
        }
        Ok(total)
    }

    /// The sum of the name `prefix` and `name` together.
    fn sum(&mut self, prefix: &str, name: &str) -> &mut Sum {
        // Steps mostly add the same names in the same order.
        let expected = self.sums.get_index(self.next);
        let place = if expected.is_some_and(|(own, _)| own.strip_prefix(prefix) == Some(name)) {
            self.next
        } else {
            let whole = format!("{prefix}{name}");
            match self.sums.get_index_of(&whole) {
                Some(place) => place,
                None => self.sums.insert_full(whole, Sum::default()).0,
            }
        };
        self.next = if place + 1 < self.sums.len() { place + 1 } else { 0 };
        &mut self.sums[place]
    }

    fn add_number(&mut self, prefix: &str, name: &str, number: f64) {
        let sum = self.sum(prefix, name);
        sum.count += 1;
        sum.number += number;
    }

    fn add_one(&mut self, prefix: &str, name: &str, value: &Tensor) -> Result<()> {
        if value.device() == Device::Cpu {
            self.add_number(prefix, name, autograd::item(value)?);
            return Ok(());
        }
        let value = value.f_detach()?.f_reshape(&[] as &[i64])?;
        let sum = self.sum(prefix, name);
        sum.count += 1;
        sum.tensor = Some(match sum.tensor.take() {
            Some(sum) => sum.f_add(&value)?,
            None => value,
        });
        Ok(())
    }

    /// What was added up: name, number of values, sum.
    pub fn sums(&self) -> Result<Vec<(String, u64, f64)>> {
        let sums = self.sums.iter();
        sums.map(|(name, s)| Ok((name.clone(), s.count, s.number + s.on_gpu()?))).collect()
    }

    /// Those sums again.
    pub fn of_sums(sums: Vec<(String, u64, f64)>) -> Self {
        let sum = |(name, count, number)| (name, Sum { count, number, tensor: None });
        LossMeans { sums: sums.into_iter().map(sum).collect(), next: 0 }
    }

    /// The mean of the loss.
    pub fn loss(&self) -> Result<Vec<(String, f64)>> {
        self.means(|name| name == LOSS)
    }

    /// The means of the loss's terms, as `loss/NAME`, and of the goal's own metrics.
    pub fn terms(&self) -> Result<Vec<(String, f64)>> {
        self.means(|name| name != LOSS)
    }

    fn means(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<(String, f64)>> {
        let wanted = self.sums.iter().filter(|(name, _)| wanted(name));
        wanted.map(|(name, s)| Ok((name.clone(), (s.number + s.on_gpu()?) / s.count as f64))).collect()
    }
}

/// What a term adds to the loss, without gradient.
fn detached_total(term: &Term) -> Result<Tensor> {
    if term.error.is_none() && autograd::count(&term.value) == 1 {
        return Ok(term.value.shallow_clone());
    }
    let error = term.error.as_ref();
    if !is_contiguous_cpu_f32(&term.value) || error.is_some_and(|e| !is_contiguous_cpu_f32(e)) {
        return tch::no_grad(|| term.total());
    }
    // The same, without libtorch's operations: this is done in each step.
    let values = autograd::slice(&term.value)?.iter().map(|v| f64::from(*v));
    let total: f64 = match error {
        Some(error) => -values.zip(autograd::slice(error)?).map(|(v, e)| v * f64::from(*e)).sum::<f64>(),
        None => values.sum(),
    };
    autograd::scalar(total as f32)
}

/// The sum of terms, without gradient.
fn total(terms: &[Tensor]) -> Result<Option<Tensor>> {
    let Some((first, more)) = terms.split_first() else { return Ok(None) };
    if terms.iter().all(|t| t.device() == Device::Cpu) {
        let numbers = terms.iter().map(autograd::item);
        return Ok(Some(autograd::scalar(numbers.sum::<Result<f64>>()? as f32)?));
    }
    tch::no_grad(|| {
        let mut sum = first.f_detach()?;
        for term in more {
            sum = sum.f_add(term)?;
        }
        Ok(Some(sum))
    })
}

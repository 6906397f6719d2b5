//! Means of the loss, its terms and a goal's metrics, between two lines of metrics.
use efference_sdk::autograd::is_contiguous_cpu_f32;
use efference_sdk::{Loss, Result, Term, autograd};
use indexmap::IndexMap;
use tch::{Device, Tensor};

/// The metric that the sum of all terms is recorded as.
const LOSS: &str = "loss";

/// Terms and metrics of the steps since they were last taken.
#[derive(Default)]
pub struct LossMeans {
    /// In the order of their first use; found by hash, as a goal may have very many.
    sums: IndexMap<String, Sum>,
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
        let terms = loss.terms.iter().map(|t| Ok((format!("{LOSS}/{}", t.name), detached_total(t)?)));
        let terms = terms.collect::<Result<Vec<_>>>()?;
        let total = match total(&terms)? {
            Some(total) => {
                self.add_one(LOSS, &total)?;
                Some(total)
            }
            None => None,
        };
        for (name, value) in &terms {
            self.add_one(name, value)?;
        }
        for (name, value) in &loss.metrics {
            self.add_one(name, value)?;
        }
        Ok(total)
    }

    fn add_one(&mut self, name: &str, value: &Tensor) -> Result<()> {
        let place = match self.sums.get_index_of(name) {
            Some(place) => place,
            None => self.sums.insert_full(name.to_owned(), Sum::default()).0,
        };
        let sum = &mut self.sums[place];
        sum.count += 1;
        if value.device() == Device::Cpu {
            sum.number += autograd::item(value)?;
            return Ok(());
        }
        let value = value.f_detach()?.f_reshape(&[] as &[i64])?;
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
        LossMeans { sums: sums.into_iter().map(sum).collect() }
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
    if term.error.is_none() && term.value.numel() == 1 {
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

/// The sum of the terms, without gradient.
fn total(terms: &[(String, Tensor)]) -> Result<Option<Tensor>> {
    if terms.is_empty() {
        return Ok(None);
    }
    if terms.iter().all(|(_, t)| t.device() == Device::Cpu) {
        let numbers = terms.iter().map(|(_, t)| autograd::item(t));
        return Ok(Some(autograd::scalar(numbers.sum::<Result<f64>>()? as f32)?));
    }
    tch::no_grad(|| {
        let mut sum = terms[0].1.f_detach()?;
        for (_, term) in &terms[1..] {
            sum = sum.f_add(term)?;
        }
        Ok(Some(sum))
    })
}

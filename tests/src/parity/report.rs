//! How far from the expected numbers a case came out.
use efference_sdk::Result;
use efference_sdk::tch::{Kind, Tensor};

/// Compares tensors, and remembers the worst.
pub(crate) struct Report {
    /// A number may deviate by this, and by this share of the expected one.
    tolerance: f64,
    compared: usize,
    worst: Option<Deviation>,
    failures: Vec<String>,
}

struct Deviation {
    name: String,
    /// As it is.
    absolute: f64,
    /// As a share of what is allowed.
    share: f64,
}

impl Report {
    pub(crate) fn new(tolerance: f64) -> Self {
        Report { tolerance, compared: 0, worst: None, failures: Vec::new() }
    }

    /// Compares a tensor with what was expected.
    pub(crate) fn compare(&mut self, name: &str, found: &Tensor, expected: &Tensor) -> Result<()> {
        self.compared += 1;
        if found.size() != expected.size() {
            self.fail(format!("{name} has the shape {:?} in place of {:?}", found.size(), expected.size()));
            return Ok(());
        }
        if found.numel() == 0 {
            return Ok(());
        }
        let (found, expected) = (found.f_to_kind(Kind::Double)?, expected.f_to_kind(Kind::Double)?);
        let absolute = found.f_sub(&expected)?.f_abs()?;
        let allowed = expected.f_abs()?.f_mul_scalar(self.tolerance)?.f_add_scalar(self.tolerance)?;
        let shares = absolute.f_div(&allowed)?.f_reshape(-1)?;
        // Where there is a NaN, argmax returns its place.
        let place = [shares.f_argmax(None, false)?.f_int64_value(&[])?];
        let share = shares.f_double_value(&place)?;
        let deviation = Deviation {
            name: name.to_owned(),
            absolute: absolute.f_reshape(-1)?.f_double_value(&place)?,
            share,
        };
        if share.is_nan() || share > 1.0 {
            self.fail(format!(
                "{name} is off by {:.2e}, {:.1} times what is allowed",
                deviation.absolute, deviation.share
            ));
        }
        if self.worst.as_ref().is_none_or(|w| share.is_nan() || share > w.share) {
            self.worst = Some(deviation);
        }
        Ok(())
    }

    /// Adds another report of the same numbers, computed in another way.
    pub(crate) fn add(&mut self, other: Report, way: &str) {
        self.compared += other.compared;
        self.failures.extend(other.failures.into_iter().map(|m| format!("{m} ({way})")));
        let worse = |w: &Deviation| self.worst.as_ref().is_none_or(|o| w.share.is_nan() || w.share > o.share);
        if other.worst.as_ref().is_some_and(worse) {
            self.worst = other.worst;
        }
    }

    pub(crate) fn fail(&mut self, sentence: impl Into<String>) {
        self.failures.push(sentence.into());
    }

    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    pub(crate) fn summary(&self) -> String {
        match &self.worst {
            None => "nothing was compared".to_owned(),
            Some(Deviation { name, absolute, share }) => format!(
                "{} tensors, largest deviation {absolute:.1e} ({:.1} % of what is allowed) in {name}",
                self.compared,
                share * 100.0
            ),
        }
    }

    pub(crate) fn compared(&self) -> usize {
        self.compared
    }
}

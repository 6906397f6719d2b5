//! Rows of the table: what was measured, and what was aimed at.
use serde_json::{Value, json};
use std::time::Duration;

/// One measured thing.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    pub(crate) target: Target,
}

/// What a value should be.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// Said for what it is.
    None,
}

impl Row {
    fn reached(&self) -> bool {
        match self.target {
            Target::AtMost(t) => self.value <= t,
            Target::AtLeast(t) => self.value >= t,
            Target::None => true,
        }
    }

    /// One line: name, value, target, ok or short.
    pub(crate) fn line(&self) -> String {
        let measured = format!("{:<66} {:>12} {:<8}", self.name, shown(self.value), self.unit);
        let (sign, target) = match self.target {
            Target::AtMost(t) => ("≤", t),
            Target::AtLeast(t) => ("≥", t),
            Target::None => return measured.trim_end().to_owned(),
        };
        let reached = if self.reached() { "ok" } else { "short" };
        format!("{measured} {sign} {target:<10} {reached}")
    }

    pub(crate) fn json(&self) -> Value {
        let (kind, target) = match self.target {
            Target::AtMost(t) => ("at_most", t),
            Target::AtLeast(t) => ("at_least", t),
            Target::None => return json!({"name": self.name, "value": self.value, "unit": self.unit}),
        };
        json!({"name": self.name, "value": self.value, "unit": self.unit, kind: target, "ok": self.reached()})
    }
}

fn shown(value: f64) -> String {
    if value >= 1000.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

pub(crate) fn milliseconds(d: Duration) -> f64 {
    d.as_secs_f64() * 1e3
}

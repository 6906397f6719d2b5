//! A range of values: `{ from = 1, to = 10 }`, and how it is read.
use crate::key_path::KeyPath;
use crate::nearest::nearest;
use crate::validate::{KeyDiagnostic, shown};
use serde_json::{Map, Number, Value};

/// The keys of a range.
const KEYS: [&str; 5] = ["from", "to", "step", "count", "scale"];

/// Most values of one range: more than any sweep runs.
const MOST_VALUES: f64 = 10_000.0;

/// Whether a table is meant as a range, and not as a section with keys: a range says numbers, a section lists.
pub(super) fn is_range(table: &Map<String, Value>) -> bool {
    let says_no_list = |value: &Value| !value.is_array() && !value.is_object();
    table.iter().any(|(key, value)| ["from", "to"].contains(&key.as_str()) && says_no_list(value))
}

/// The values of a range. Both ends are in it.
///
/// Whole ends give whole numbers as far as that is possible; on a log scale they are rounded to whole ones. Other numbers
/// are rounded to 6 digits on a log scale, and to 12 else, so that they look as they are meant: 0.3, not
/// 0.30000000000000004.
pub(super) fn values(
    table: &Map<String, Value>,
    at: &KeyPath,
    diagnostics: &mut Vec<KeyDiagnostic>,
) -> Option<Vec<Value>> {
    let before = diagnostics.len();
    for key in table.keys().filter(|key| !KEYS.contains(&key.as_str())) {
        let help = match nearest(key, KEYS) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("a range has {}", KEYS.join(", ")),
        };
        let message = format!("there is no key `{key}` in a range");
        diagnostics.push(KeyDiagnostic::in_key(&at.key(key), message, "unknown key".into(), Some(help)));
    }
    let mut number = |key: &str| -> Option<f64> {
        let value = table.get(key).filter(|value| !value.is_null())?;
        if value.as_f64().is_none() {
            let message = format!("`{}`: expected a number, found {}", at.key(key), shown(value));
            diagnostics.push(KeyDiagnostic::in_value(
                &at.key(key),
                message,
                "expected a number".into(),
                None,
            ));
        }
        value.as_f64()
    };
    let (from, to, step, count) = (number("from"), number("to"), number("step"), number("count"));
    let mut wrong = |key: &str, message: String, label: &str, help: &str| {
        let help = Some(help.to_owned());
        diagnostics.push(KeyDiagnostic::in_value(&at.key(key), message, label.into(), help));
    };
    let log = match table.get("scale").map(Value::as_str) {
        None | Some(Some("linear")) => false,
        Some(Some("log")) => true,
        Some(_) => {
            let found = shown(&table["scale"]);
            let message = format!("`{}`: expected \"log\" or \"linear\", found {found}", at.key("scale"));
            wrong("scale", message, "expected \"log\" or \"linear\"", "without it, a range is linear");
            false
        }
    };
    if count.is_some_and(|count| count.fract() != 0.0 || !(2.0..=MOST_VALUES).contains(&count)) {
        let message = format!("`{}` must be a whole number from 2 to {MOST_VALUES}", at.key("count"));
        wrong("count", message, "not a number of values", "how many values there are, the ends included");
    }
    if step.is_some_and(|step| step <= 0.0) {
        let message = format!("`{}` must be more than 0, found {}", at.key("step"), table["step"]);
        wrong("step", message, "must be more than 0", "a range goes up from its `from`");
    }
    match (step, count, log) {
        (Some(_), Some(_), _) => {
            let message = format!("`{at}` says both `step` and `count`");
            wrong(
                "step",
                message,
                "or `count`",
                "say how far it is from a value to the next, or how many there are",
            );
        }
        (Some(_), None, true) => {
            let message = format!("`{at}` is a log range, which takes no `step`");
            wrong("step", message, "no step here", "say how many values there are: count = 5");
        }
        _ => {}
    }
    let meant: Vec<&str> = table.keys().filter_map(|key| nearest(key, KEYS)).collect();
    for key in ["from", "to"].into_iter().filter(|key| !meant.contains(key)) {
        let message = format!("`{}` is missing", at.key(key));
        let help = "a range has two ends: { from = 1, to = 10 }".to_owned();
        diagnostics.push(KeyDiagnostic::in_key(at, message, format!("needs `{key}`"), Some(help)));
    }
    if log && count.is_none() && !table.contains_key("step") {
        let message = format!("`{}` is missing", at.key("count"));
        let help = "say how many values there are: count = 5".to_owned();
        diagnostics.push(KeyDiagnostic::in_key(at, message, "needs `count`".into(), Some(help)));
    }
    let mut wrong = |key: &str, message: String, label: &str, help: &str| {
        let help = Some(help.to_owned());
        diagnostics.push(KeyDiagnostic::in_value(&at.key(key), message, label.into(), help));
    };
    let (from, to) = (from?, to?);
    if !(to - from).is_finite() {
        wrong(
            "to",
            format!("`{at}` is too wide"),
            "too far from `from`",
            "its ends are more apart than a number can say",
        );
    } else if from >= to {
        let message = format!("`{at}` ends at {}, which is not after {}", table["to"], table["from"]);
        wrong("to", message, "not after `from`", "a range goes up; write a list for another order");
    } else if log && from <= 0.0 {
        let message =
            format!("`{}` must be more than 0 on a log scale, found {}", at.key("from"), table["from"]);
        wrong(
            "from",
            message,
            "must be more than 0",
            "on a log scale each value is a multiple of the one before",
        );
    } else if count.is_none()
        && step.is_none_or(|step| step > 0.0)
        && (to - from) / step.unwrap_or(1.0) > MOST_VALUES
    {
        let message = format!("`{at}` has more than {MOST_VALUES} values");
        wrong("to", message, "too many values", "say `count` or a larger `step`");
    }
    if diagnostics.len() > before {
        return None;
    }
    let whole = |key: &str| table.get(key).is_none_or(|value| value.is_i64() || value.is_u64());
    let are_whole = whole("from") && whole("to") && whole("step");
    let numbers: Vec<f64> = match count {
        Some(count) => {
            let part = |i: f64| i / (count - 1.0);
            let between =
                |part: f64| if log { from * (to / from).powf(part) } else { from + (to - from) * part };
            (0..count as usize).map(|i| between(part(i as f64))).collect()
        }
        None => {
            let step = step.unwrap_or(1.0);
            // Rounding must not cost the last value of { from = 0, to = 0.3, step = 0.1 }.
            let steps = ((to - from) / step + 1e-9) as usize;
            (0..=steps).map(|i| from + step * i as f64).collect()
        }
    };
    let digits = if log { 6 } else { 12 };
    let to_value = |n: f64| match are_whole && (log || (n - n.round()).abs() < 1e-9) {
        true => Value::from(n.round() as i64),
        false => Number::from_f64(rounded(n, digits)).map_or(Value::Null, Value::Number),
    };
    let mut values: Vec<Value> = numbers.into_iter().map(to_value).collect();
    values.dedup();
    Some(values)
}

/// So many digits that matter.
fn rounded(number: f64, digits: usize) -> f64 {
    format!("{number:.*e}", digits - 1).parse().unwrap_or(number)
}

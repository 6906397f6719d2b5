//! `metrics.jsonl`, read in each of the ways that there are, which must agree.
use efference_runs::directory::RunDirectory;
use efference_runs::history::{History, Over};
use efference_runs::{Event, Line, MetricsFollower, last_line};
use efference_trials::fuzz::{Failure, Scratch, Target, equal, holds, write};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fs;

/// What `metrics.jsonl` is made of.
pub(super) const WORDS: &[&[u8]] = &[
    b"{\"step\":1,\"seconds\":0.5}\n",
    b"{\"step\":",
    b",\"seconds\":",
    b"\"loss\":",
    b"null",
    b"1e308",
    b"-0.0",
    b"}\n",
    b"\n",
    b"\\u0000",
    b"\\\"",
    b"{}",
    b"[]",
    b"true",
    b"\"step\"",
    b"\r\n",
    b"\xff",
    b" ",
    b"1.",
    b".5",
    b"+1",
    b"1e",
    b"NaN",
];

pub(crate) fn make(scratch: &Scratch) -> Result<Box<dyn Target>, String> {
    let path = scratch.directory("metrics");
    write(&path.join("spec.toml"), "");
    Ok(Box::new(Metrics { run: RunDirectory::open(&path).map_err(|e| e.to_string())? }))
}

struct Metrics {
    run: RunDirectory,
}

impl Target for Metrics {
    fn words(&self) -> &'static [&'static [u8]] {
        WORDS
    }

    fn check(&mut self, input: &[u8]) -> Result<bool, Failure> {
        let path = self.run.metrics();
        write(&path, input);
        let whole = input.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let lines: Vec<&[u8]> = input[..whole].split_inclusive(|b| *b == b'\n').collect();

        // As it grows: in two pieces, the same lines come as at once.
        let mut at_once = Vec::new();
        let mut follower = MetricsFollower::new(path.clone());
        follower
            .read(|event| at_once.push(event))
            .map_err(|e| Failure::new("it can't be followed", e.to_string()))?;
        equal_lines(&follow_in_two(&path, input)?, &at_once)?;
        let last = last_line(&path).map_err(|e| Failure::new("its end can't be read", e.to_string()))?;
        let lines_read: Vec<&Line> = at_once
            .iter()
            .filter_map(|e| if let Event::Line(line) = e { Some(line) } else { None })
            .collect();
        let shown = |line: Option<&Line>| format!("{line:?}");
        equal("the last line is another", &shown(last.as_ref()), &shown(lines_read.last().copied()))?;

        let accepted = self.history(&lines)?;
        self.cut(input, &lines)?;
        Ok(accepted)
    }
}

impl Metrics {
    /// The history against a plain reading of the lines by serde_json.
    fn history(&self, lines: &[&[u8]]) -> Result<bool, Failure> {
        let whole = lines.iter().filter(|line| **line != b"\n");
        let plain: Option<Vec<Fields>> = whole.map(|line| fields(line)).collect();
        let history = match History::read(&self.run) {
            Ok(history) => history,
            Err(e) => {
                let good = plain.is_some_and(|lines| {
                    lines.iter().all(|line| {
                        let step = line.get("step").copied().flatten();
                        step.is_some_and(|s| (0.0..1e15).contains(&s) && s.fract() == 0.0)
                            && line.get("seconds").is_some_and(Option::is_some)
                    })
                });
                // A step of `1.0` or `1e3` is no whole number to it; that is all that is stricter.
                let text = e.to_string();
                return holds("good metrics are refused", !good || text.contains("no whole number"), || text)
                    .map(|()| false);
            }
        };
        for name in history.names() {
            let read = |over| {
                history.series(name, over).map_err(|e| Failure::new("a series can't be read", e.to_string()))
            };
            let (steps, seconds) = (read(Over::Steps)?, read(Over::Seconds)?);
            let steps = steps.ok_or_else(|| Failure::new("a metric that is named has no series", name))?;
            equal("a series has other steps than values", &steps.x.len(), &steps.values.len())?;
            equal(
                "a series has other seconds than steps",
                &seconds.map(|s| s.x.len()),
                &Some(steps.x.len()),
            )?;
            holds("steps do not increase", steps.x.is_sorted_by(|a, b| a <= b), || format!("{:?}", steps.x))?;
            let Some(plain) = &plain else { continue };
            // The last value that a line says of a step counts, unless a later line took its place.
            let mut expected: Vec<(f64, Option<f64>)> = Vec::new();
            for line in plain {
                let step = line.get("step").copied().flatten().unwrap_or_default();
                expected.retain(|(before, _)| *before < step);
                expected.extend(line.get(name).map(|value| (step, *value)));
            }
            let bits = |x: f64| if x.is_nan() { 0 } else { x.to_bits() };
            let expected: Vec<_> =
                expected.iter().map(|(s, v)| (bits(*s), bits(v.unwrap_or(f64::NAN)))).collect();
            let found: Vec<_> =
                steps.x.iter().zip(&steps.values).map(|(s, v)| (bits(*s), bits(*v))).collect();
            let is_key = matches!(name, "step" | "seconds");
            holds("a series has other values than the lines", is_key || found == expected, || {
                format!("{name}: {found:?}, not {expected:?}")
            })?;
        }
        holds(
            "it has an end and no beginning",
            history.ends().is_none_or(|(first, last)| first.0 <= last.0),
            String::new,
        )?;
        Ok(true)
    }

    /// Cut, it is the beginning of what it was, in whole lines.
    fn cut(&self, input: &[u8], lines: &[&[u8]]) -> Result<(), Failure> {
        let keep = lines.len() / 2;
        self.run.cut(3, keep as u64).map_err(|e| Failure::new("it can't be cut", e.to_string()))?;
        let left = fs::read(self.run.metrics()).unwrap_or_default();
        holds("what is left of it is not its beginning", input.starts_with(&left), String::new)?;
        equal("it is cut elsewhere", &left.len(), &lines[..keep].iter().map(|line| line.len()).sum())
    }
}

/// The values of a line; a value of `None` is none.
type Fields = BTreeMap<String, Option<f64>>;

/// The values of a line; `None` if it is no object of numbers. Rust's own reader of numbers finds the nearest one, which
/// serde_json does not always.
fn fields(line: &[u8]) -> Option<Fields> {
    let fields: BTreeMap<String, &RawValue> = serde_json::from_slice(line).ok()?;
    let number = |text: &str| match text {
        "null" => Some(None),
        text => text.parse().ok().filter(|x: &f64| x.is_finite()).map(Some),
    };
    fields.into_iter().map(|(name, value)| Some((name, number(value.get())?))).collect()
}

fn follow_in_two(path: &std::path::Path, input: &[u8]) -> Result<Vec<Event>, Failure> {
    let mut events = Vec::new();
    let mut follower = MetricsFollower::new(path.to_owned());
    write(path, &input[..input.len() / 2]);
    for part in [None, Some(input)] {
        if let Some(input) = part {
            use std::io::Write;
            let file = fs::File::options().append(true).open(path);
            let grown = file.and_then(|mut file| file.write_all(&input[input.len() / 2..]));
            grown.unwrap_or_else(|e| panic!("cannot add to {}: {e}", path.display()));
        }
        follower
            .read(|event| events.push(event))
            .map_err(|e| Failure::new("it can't be followed", e.to_string()))?;
    }
    Ok(events)
}

/// NaN is equal to itself here.
fn equal_lines(one: &[Event], other: &[Event]) -> Result<(), Failure> {
    equal("in two pieces, other lines come", &format!("{one:?}"), &format!("{other:?}"))
}

//! The metrics of a run as curves of a bounded size, read on as the run goes on.
use crate::curve::Curve;
use efference_runs::directory::RunDirectory;
use efference_runs::history::{History, Over};
use efference_runs::{Event, MetricsFollower};
use serde::Serialize;
use std::time::{Duration, Instant};

/// How often the file is looked at, however many ask.
const EVERY: Duration = Duration::from_millis(500);
/// More bytes than this are read by way of the file of columns.
const MUCH: u64 = 8 << 20;
/// Curves that a page gets at once.
const MOST_SHOWN: usize = 64;

/// The curves of a run.
pub(super) struct Curves {
    run: RunDirectory,
    looked: Option<Instant>,
    follower: Option<MetricsFollower>,
    curves: Vec<(String, Curve)>,
    last: u64,
    /// Another with each change.
    version: u64,
    trouble: Option<String>,
}

impl Curves {
    pub(super) fn new(run: RunDirectory) -> Self {
        let curves = Vec::new();
        Curves { run, looked: None, follower: None, curves, last: 0, version: 1, trouble: None }
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Reads what is new.
    pub(super) fn refresh(&mut self) {
        if self.looked.is_some_and(|looked| looked.elapsed() < EVERY) {
            return;
        }
        let left = self.follower.as_ref().and_then(MetricsFollower::left);
        let before = self.trouble.take();
        let read = match left {
            Some(0) => Ok(()),
            Some(left) if left < MUCH => self.follow(),
            // Cut as the run was resumed, or nothing is read yet.
            _ => self.load(),
        };
        self.trouble = read.err();
        self.version += u64::from(before != self.trouble);
        self.looked = Some(Instant::now());
    }

    fn load(&mut self) -> Result<(), String> {
        self.version += 1;
        (self.follower, self.last) = (None, 0);
        self.curves.clear();
        let history = History::read(&self.run).map_err(|e| e.to_string())?;
        for name in history.names() {
            let mut curve = Curve::default();
            let series = history.series(name, Over::Steps).map_err(|e| e.to_string())?.unwrap_or_default();
            series.x.iter().zip(&series.values).for_each(|(step, value)| curve.push(*step as u64, *value));
            self.curves.push((name.to_owned(), curve));
        }
        self.last = history.ends().map_or(0, |(_, (step, _))| step);
        self.follower = Some(history.follower());
        Ok(())
    }

    fn follow(&mut self) -> Result<(), String> {
        let Some(follower) = &mut self.follower else { return Ok(()) };
        let (curves, last, version) = (&mut self.curves, &mut self.last, &mut self.version);
        let read = follower.read(|event| {
            *version += 1;
            match event {
                Event::Anew => {
                    curves.clear();
                    *last = 0;
                }
                Event::Line(line) => {
                    if line.step <= *last {
                        curves.iter_mut().for_each(|(_, curve)| curve.forget_from(line.step));
                    }
                    *last = line.step;
                    for (name, value) in line.values {
                        let known = curves.iter().position(|(known, _)| *known == name);
                        let at = known.unwrap_or_else(|| {
                            curves.push((name, Curve::default()));
                            curves.len() - 1
                        });
                        curves[at].1.push(line.step, value);
                    }
                }
            }
        });
        read.map_err(|e| e.to_string())?;
        match follower.unreadable() {
            0 => Ok(()),
            lines => Err(format!("{lines} lines of metrics.jsonl can't be read and are left out")),
        }
    }

    /// The names of all metrics, and the curves of those that are shown, by their places among the names.
    pub(super) fn json(&self, show: &[usize]) -> String {
        let names: Vec<&str> = self.curves.iter().map(|(name, _)| name.as_str()).collect();
        let shown = show.iter().take(MOST_SHOWN).filter_map(|at| self.curves.get(*at));
        let points = |(name, curve): &'_ (String, Curve)| -> Points {
            let points = curve.points();
            Points {
                name: name.clone(),
                x: points.iter().map(|(step, _)| step.round() as u64).collect(),
                y: points.iter().map(|(_, value)| *value as f32).collect(),
                last: curve.last() as f32,
            }
        };
        let curves = shown.map(points).collect();
        let all = All { version: self.version, names, curves, trouble: self.trouble.as_deref() };
        // It has no keys but texts, which is what could go wrong.
        serde_json::to_string(&all).unwrap_or_default()
    }
}

/// What the page gets.
#[derive(Serialize)]
struct All<'a> {
    version: u64,
    names: Vec<&'a str>,
    curves: Vec<Points>,
    trouble: Option<&'a str>,
}

/// A curve, with no more digits than can be seen.
#[derive(Serialize)]
struct Points {
    name: String,
    x: Vec<u64>,
    y: Vec<f32>,
    last: f32,
}

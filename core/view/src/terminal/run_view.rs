//! What is known of a run, read again as its files grow.
use crate::curve::Curve;
use efference_runs::directory::{End, Ending, RunDirectory, RunState};
use efference_runs::{
    Event, FileError, Followed, Grouped, Lasting, Line, MetricsFollower, Picture, PictureFile, StepRate,
    ThreeDigits, metric, picture_files, read_picture,
};
use std::collections::VecDeque;
use std::fs;
use std::time::SystemTime;

/// Pictures that are shown side by side, one a stream.
const PICTURES: usize = 2;
/// The speed is that of the last lines, over so many seconds of the run.
const SPEED_OVER: f64 = 20.0;

/// A run as it is shown.
pub(super) struct RunView {
    directory: RunDirectory,
    title: String,
    follower: MetricsFollower,
    pub(super) curves: Vec<(String, Curve)>,
    last: Option<Line>,
    /// Step and seconds of the last lines.
    recent: VecDeque<(u64, f64)>,
    steps: Option<u64>,
    state: Option<RunState>,
    end: Option<End>,
    pictures_read: Option<SystemTime>,
    pub(super) pictures: Vec<(PictureFile, Picture)>,
    /// What could not be read.
    pub(super) trouble: Option<String>,
}

impl RunView {
    pub(super) fn new(directory: RunDirectory) -> Self {
        let experiment = directory.path().parent().and_then(|parent| parent.file_name());
        let title = format!("{}/{}", experiment.unwrap_or_default().to_string_lossy(), directory.id());
        RunView {
            follower: MetricsFollower::new(directory.metrics()),
            title,
            curves: Vec::new(),
            last: None,
            recent: VecDeque::new(),
            steps: None,
            state: None,
            end: None,
            pictures_read: None,
            pictures: Vec::new(),
            trouble: None,
            directory,
        }
    }

    /// Reads what is new. Returns whether there is anything.
    ///
    /// # Errors
    /// If the run is gone.
    pub(super) fn refresh(&mut self) -> Result<bool, FileError> {
        // Opened anew, so that a run that was removed meanwhile is noticed.
        RunDirectory::open(self.directory.path())?;
        self.trouble = None;
        let before = (self.state, self.pictures.last().map(|(file, _)| file.step));
        self.steps = self.directory.steps();
        self.read_state();
        let followed = self.read_metrics();
        self.read_pictures();
        let after = (self.state, self.pictures.last().map(|(file, _)| file.step));
        Ok(followed != Followed::Same || before != after)
    }

    fn read_state(&mut self) {
        match (self.directory.state(), self.directory.end()) {
            (Ok(state), Ok(end)) => (self.state, self.end) = (Some(state), end),
            (Err(error), _) | (_, Err(error)) => {
                self.state = None;
                self.trouble = Some(error.to_string());
            }
        }
    }

    fn read_metrics(&mut self) -> Followed {
        let (curves, last, recent) = (&mut self.curves, &mut self.last, &mut self.recent);
        let followed = self.follower.read(|event| match event {
            Event::Anew => {
                curves.clear();
                recent.clear();
                *last = None;
            }
            Event::Line(line) => {
                if last.as_ref().is_some_and(|last| line.step <= last.step) {
                    curves.iter_mut().for_each(|(_, curve)| curve.forget_from(line.step));
                    recent.clear();
                }
                for (name, value) in &line.values {
                    let known = curves.iter().position(|(known, _)| known == name);
                    let at = known.unwrap_or_else(|| {
                        curves.push((name.clone(), Curve::default()));
                        curves.len() - 1
                    });
                    curves[at].1.push(line.step, *value);
                }
                recent.push_back((line.step, line.seconds));
                while recent.len() > 2 && line.seconds - recent[1].1 > SPEED_OVER {
                    recent.pop_front();
                }
                *last = Some(line);
            }
        });
        if self.follower.unreadable() > 0 {
            let lines = self.follower.unreadable();
            self.trouble = Some(format!("{lines} lines of metrics.jsonl can't be read and are left out"));
        }
        followed.unwrap_or_else(|error| {
            self.trouble = Some(error.to_string());
            Followed::Same
        })
    }

    /// Reads the last pictures, if there are new ones. One that is just being written is left for the next time.
    fn read_pictures(&mut self) {
        let directory = self.directory.pictures();
        let changed = fs::metadata(&directory).and_then(|directory| directory.modified()).ok();
        if changed == self.pictures_read {
            return;
        }
        let files = match picture_files(&directory) {
            Ok(files) => files,
            Err(error) => {
                self.trouble = Some(error.to_string());
                return;
            }
        };
        let Some(step) = files.last().map(|file| file.step) else { return };
        let newest = files.into_iter().filter(|file| file.step == step).take(PICTURES);
        let read: Result<Vec<_>, _> = newest.map(|file| Ok((read_picture(&file.path)?, file))).collect();
        match read {
            Ok(pictures) => {
                self.pictures = pictures.into_iter().map(|(picture, file)| (file, picture)).collect();
                self.pictures_read = changed;
            }
            Err(error @ efference_runs::PictureError::File(_)) => self.trouble = Some(error.to_string()),
            Err(efference_runs::PictureError::Damaged { .. }) => {}
        }
    }

    /// `first-light/2026-11-22-10-04-05-brisk-otter  running`
    pub(super) fn title(&self) -> String {
        format!("{}  {}", self.title, self.state.map_or("state unknown", RunState::name))
    }

    /// Why the run failed, if it did.
    pub(super) fn failure(&self) -> Option<String> {
        match &self.end.as_ref()?.how {
            Ending::Failed { messages, .. } if self.state == Some(RunState::Failed) => {
                Some(messages.join(": "))
            }
            _ => None,
        }
    }

    fn step(&self) -> u64 {
        let recorded = self.last.as_ref().map_or(0, |line| line.step);
        self.end.as_ref().map_or(recorded, |end| end.step.max(recorded))
    }

    /// How much of the run is done, from 0 to 1; `None` if it has no end.
    pub(super) fn done(&self) -> Option<f64> {
        let steps = self.steps.filter(|steps| *steps > 0)?;
        Some((self.step() as f64 / steps as f64).min(1.0))
    }

    /// `step 1,200 of 20,000  812 steps/s  23 s left`
    pub(super) fn progress(&self) -> String {
        let mut text = format!("step {}", Grouped(self.step()));
        if let Some(steps) = self.steps {
            text += &format!(" of {}", Grouped(steps));
        }
        let speed = self.speed();
        if let Some(speed) = speed {
            text += &format!("  {}", StepRate(speed));
        }
        let left = self.steps.unwrap_or(0).saturating_sub(self.step());
        match (self.state, speed) {
            (Some(RunState::Running), Some(speed)) if left > 0 && speed > 0.0 => {
                text += &format!("  {} left", Lasting(left as f64 / speed));
            }
            (Some(RunState::Running), _) => {}
            _ => {
                let seconds = self.last.as_ref().map(|line| line.seconds);
                text += &seconds.map_or(String::new(), |seconds| format!("  in {}", Lasting(seconds)));
            }
        }
        text
    }

    /// Steps in a second, in the last lines.
    fn speed(&self) -> Option<f64> {
        let ((first, since), (last, until)) = (self.recent.front()?, self.recent.back()?);
        (last > first && until > since).then(|| (last - first) as f64 / (until - since))
    }

    /// `loss 3.21  error 0.0123`
    pub(super) fn values(&self) -> String {
        let Some(line) = &self.last else { return "nothing is recorded yet".to_owned() };
        let shown: Vec<String> = metric::in_summary(&line.values)
            .iter()
            .map(|(name, value)| format!("{name} {}", ThreeDigits(*value)))
            .collect();
        shown.join("  ")
    }
}

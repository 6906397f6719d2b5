//! When checkpoints are written, and which are kept.
//!
//! A checkpoint is copied between two steps, and written by a thread of its own, after all that was recorded until then is
//! on the disk. One that is due in the middle of an unroll, or while the one before is still being written, waits.
use super::experiment::Experiment;
use super::recording::Recording;
use super::state::restored;
use super::{device, threads};
use efference_runs::checkpoint::{Array, Checkpoint, CheckpointError, CheckpointFiles, Manifest, Written};
use efference_runs::directory::RunDirectory;
use efference_runs::metric;
use efference_sdk::{self as sdk, Result, ResultExt, bail};
use efference_spec::{BestIs, Checkpoint as Settings, CheckpointEvery, Keep};
use std::io::ErrorKind;
use std::sync::mpsc::{Receiver, RecvError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The time between two checkpoints by the clock.
const AUTO: Duration = Duration::from_secs(30);
/// Steps that a checkpoint which is due waits at most for the end of an unroll.
const PATIENCE: u64 = 10_000;

/// The checkpoints of a run that goes on.
pub struct Checkpoints {
    writer: Writer,
    every: CheckpointEvery,
    /// When the last one was made, by the clock and in steps.
    last: (Instant, u64),
    due_since: Option<u64>,
    best: Option<Best>,
    writing: Option<JoinHandle<Result<(), CheckpointError>>>,
    reported: bool,
}

/// Files, and what is removed from among them.
#[derive(Clone)]
struct Writer {
    files: CheckpointFiles,
    keep: Keep,
    best_is: BestIs,
}

/// The metric by which the best is kept, and its mean since the last checkpoint.
struct Best {
    metric: String,
    sum: f64,
    lines: u64,
    counted: u64,
}

impl Checkpoints {
    /// Those of this run, as its spec wants them.
    ///
    /// # Errors
    /// If nobody knows which value of the metric for the best one is best.
    pub fn new(run: &RunDirectory, settings: &Settings) -> Result<Checkpoints> {
        let known = settings.best.as_deref().map(metric::more_is_better);
        let best_is = match (settings.best_is, known.flatten()) {
            (Some(said), _) => said,
            (None, Some(true)) => BestIs::Highest,
            (None, Some(false)) => BestIs::Lowest,
            (None, None) if settings.best.is_none() => BestIs::Lowest,
            (None, None) => bail!(
                "`checkpoint.best` is \"{}\", and whether more or less of it is better is not known: set \
                 `checkpoint.best_is` to \"lowest\" or \"highest\"",
                settings.best.as_deref().unwrap_or_default()
            ),
        };
        let best = |metric: &String| Best { metric: metric.clone(), sum: 0.0, lines: 0, counted: 0 };
        let files = CheckpointFiles::new(run.checkpoints());
        Ok(Checkpoints {
            writer: Writer { files, keep: settings.keep, best_is },
            every: settings.every,
            last: (Instant::now(), 0),
            due_since: None,
            best: settings.best.as_ref().map(best),
            writing: None,
            reported: false,
        })
    }

    /// The run goes on from this step, of which there is a checkpoint.
    pub fn go_on_after(&mut self, step: u64) {
        self.last.1 = step;
    }

    /// Begins a checkpoint if one is due after this step, when the step is recorded.
    ///
    /// # Errors
    /// If a plugin can't save its state. What can't be written is reported, and ends nothing.
    pub fn step(&mut self, experiment: &Experiment, recording: &mut Recording<'_>) -> Result<()> {
        let step = experiment.step();
        if let Some(best) = &mut self.best {
            best.add(recording);
        }
        let due = match self.every {
            CheckpointEvery::Steps(0) => false,
            CheckpointEvery::Steps(every) => step.is_multiple_of(every),
            CheckpointEvery::Auto => self.last.0.elapsed() >= AUTO,
        };
        if due {
            self.due_since.get_or_insert(step);
        }
        let Some(since) = self.due_since else { return Ok(()) };
        if self.writing.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return Ok(());
        }
        let exact = experiment.trainer().saves_exactly()?;
        if !exact && step - since < PATIENCE {
            return Ok(());
        }
        self.settle();
        self.begin(experiment, recording, Written::Due)
    }

    /// Begins a checkpoint of where a fork begins: without it, the run could not be resumed before its next one.
    ///
    /// # Errors
    /// If a plugin can't save its state.
    pub fn first(&mut self, experiment: &Experiment, recording: &mut Recording<'_>) -> Result<()> {
        self.begin(experiment, recording, Written::Due)
    }

    /// Writes the last checkpoint, unless there is one of this step, and waits for it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn end(&mut self, experiment: &Experiment, recording: &mut Recording<'_>) -> Result<()> {
        recording.end_is_near();
        self.wait(recording);
        self.settle();
        if self.last.1 != experiment.step() || self.writer.files.steps()?.is_empty() {
            self.begin(experiment, recording, Written::End)?;
        }
        self.wait(recording);
        match self.writing.take().map(JoinHandle::join) {
            Some(Ok(written)) => written.context("the last checkpoint was not written"),
            Some(Err(_)) => {
                bail!("the last checkpoint was not written, by a bug of efference; please report it")
            }
            None => Ok(()),
        }
    }

    /// A step has failed: keeps the parameters if all of them are finite. Best effort: the failure is what is reported.
    pub fn fail(&mut self, experiment: &Experiment, recording: &mut Recording<'_>) {
        recording.end_is_near();
        self.wait(recording);
        self.settle();
        let finite = |(_, t): &(String, _)| crate::plugins::is_finite(t).unwrap_or(false);
        let begun = match experiment.model().save_parameters() {
            Ok(parameters) if parameters.iter().all(finite) && experiment.step() > self.last.1 => {
                self.begin(experiment, recording, Written::Failure)
            }
            _ => return,
        };
        self.wait(recording);
        let written = begun.map(|()| self.writing.take().map(JoinHandle::join));
        if let Ok(Some(Ok(Ok(())))) = written {
            tracing::info!(
                "the parameters were finite, and are kept in a checkpoint of step {}",
                experiment.step()
            );
        }
    }

    fn begin(
        &mut self,
        experiment: &Experiment,
        recording: &mut Recording<'_>,
        written: Written,
    ) -> Result<()> {
        let step = experiment.step();
        let Checkpoint { mut manifest, arrays } = snapshot(experiment, recording, written)?;
        manifest.figure = self.best.as_mut().and_then(Best::take);
        let recorded = recording.sync()?;
        let writer = self.writer.clone();
        let thread = thread::Builder::new().name("checkpoint".to_owned());
        let thread = thread.spawn(move || writer.write(manifest, &arrays, &recorded));
        self.writing = Some(thread.context("no thread could be started that writes checkpoints")?);
        (self.last, self.due_since) = ((Instant::now(), step), None);
        Ok(())
    }

    fn wait(&self, recording: &Recording<'_>) {
        self.writing.iter().for_each(|thread| recording.wait_for(thread));
    }

    /// Waits for the checkpoint that is being written, and reports what could not be.
    fn settle(&mut self) {
        let error = match self.writing.take().map(JoinHandle::join) {
            None => return,
            Some(Ok(Ok(()))) => {
                self.reported = false;
                return;
            }
            Some(Ok(Err(error))) => error.to_string(),
            Some(Err(_)) => "a bug of efference; please report it".to_owned(),
        };
        if !std::mem::replace(&mut self.reported, true) {
            tracing::warn!(
                "a checkpoint was not written, and the run goes on without it until the next one is due: {error}. This is \
                 reported again only after one was written"
            );
        }
    }
}

/// A checkpoint of this moment, in memory.
///
/// # Errors
/// If a plugin can't save its state.
pub(super) fn snapshot(
    experiment: &Experiment,
    recording: &Recording<'_>,
    written: Written,
) -> Result<Checkpoint> {
    let arrays = match written {
        Written::Failure => experiment.save_learned()?,
        _ => {
            let mut arrays = experiment.save()?;
            recording.save(experiment, &mut arrays)?;
            arrays
        }
    };
    let manifest = Manifest {
        version: Manifest::VERSION,
        step: experiment.step(),
        seconds: recording.seconds(),
        written,
        restores: restored(experiment)?.0,
        trainer_exact: experiment.trainer().saves_exactly()?,
        efference: env!("CARGO_PKG_VERSION").to_owned(),
        libtorch: sdk::export::libtorch_version().to_owned(),
        device: device::name(experiment.model().device()),
        threads: threads::of_run(),
        libtorch_threads: threads::settled_for_libtorch(),
        lines: recording.lines(),
        metrics: Vec::new(),
        figure: None,
        bytes: 0,
        sha256: String::new(),
    };
    Ok(Checkpoint { manifest, arrays })
}

impl Best {
    /// Adds the last line, once.
    fn add(&mut self, recording: &Recording<'_>) {
        if recording.lines() == self.counted {
            return;
        }
        self.counted = recording.lines();
        let value = recording.last().iter().find(|(name, _)| *name == self.metric).map(|(_, value)| *value);
        if let Some(value) = value {
            self.sum += value;
            self.lines += 1;
        }
    }

    fn take(&mut self) -> Option<f64> {
        let (sum, lines) = (std::mem::take(&mut self.sum), std::mem::take(&mut self.lines));
        // A mean that is no number is no figure.
        (lines > 0).then(|| sum / lines as f64).filter(|mean| mean.is_finite())
    }
}

impl Writer {
    fn write(
        &self,
        mut manifest: Manifest,
        arrays: &[Array],
        recorded: &Receiver<Vec<String>>,
    ) -> Result<(), CheckpointError> {
        match recorded.recv() {
            Ok(metrics) => manifest.metrics = metrics,
            // The recorder has failed, which the run reports: without its lines, this would be no point to go on from.
            Err(RecvError) => return Ok(()),
        }
        // One that lost something does not take the place of one that did not.
        let whole = manifest.is_whole();
        self.write_or_wait(&manifest, arrays)?;
        if whole {
            self.forget();
        }
        Ok(())
    }

    /// The last checkpoint waits a little for a disk that is full; for each other one, there is a next.
    fn write_or_wait(&self, manifest: &Manifest, arrays: &[Array]) -> Result<(), CheckpointError> {
        const FULL: Duration = Duration::from_secs(10);
        let began = Instant::now();
        loop {
            match self.files.write(manifest.clone(), arrays) {
                Err(CheckpointError::File(error))
                    if matches!(error.kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
                        && manifest.written == Written::End
                        && began.elapsed() < FULL =>
                {
                    thread::sleep(Duration::from_millis(200));
                }
                written => return written,
            }
        }
    }

    /// Removes all but the last ones and the best. Best effort: an old one that stays costs room and nothing else.
    fn forget(&self) {
        let (Keep::Last(keep), Ok(steps)) = (self.keep, self.files.steps()) else { return };
        let old = &steps[..steps.len().saturating_sub(keep as usize)];
        if old.is_empty() {
            return;
        }
        let mean = |step: &u64| self.files.manifest(*step).ok()?.figure.filter(|f| !f.is_nan());
        let means = steps.iter().filter_map(|step| Some((*step, mean(step)?)));
        let better = |a: f64, b: f64| match self.best_is {
            BestIs::Lowest => a < b,
            BestIs::Highest => a > b,
        };
        let best = means.reduce(|best, other| if better(other.1, best.1) { other } else { best });
        for step in old.iter().filter(|step| best.is_none_or(|(best, _)| best != **step)) {
            if let Err(e) = self.files.remove(*step) {
                tracing::warn!("an old checkpoint stays: {e}");
            }
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.settle();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use efference_runs::checkpoint::Restored;

    #[test]
    fn the_last_ones_and_the_best_stay() {
        let cases = [
            (Keep::Last(2), BestIs::Lowest, &[2, 5, 6][..]),
            (Keep::Last(2), BestIs::Highest, &[4, 5, 6]),
            (Keep::Last(1), BestIs::Highest, &[4, 6]),
            (Keep::All, BestIs::Lowest, &[1, 2, 3, 4, 5, 6]),
        ];
        for (keep, best_is, stay) in cases {
            let root = tempfile::tempdir().unwrap();
            let writer = Writer { files: CheckpointFiles::new(root.path().to_owned()), keep, best_is };
            for (step, figure) in (1..).zip([3.0, 1.0, 2.0, 9.0, f64::NAN, 6.0]) {
                let manifest = Manifest {
                    version: Manifest::VERSION,
                    step,
                    seconds: 0.0,
                    written: Written::Due,
                    restores: Restored::Exact,
                    trainer_exact: true,
                    efference: String::new(),
                    libtorch: String::new(),
                    device: String::new(),
                    threads: 1,
                    libtorch_threads: None,
                    lines: 0,
                    metrics: Vec::new(),
                    // JSON knows no NaN: such a checkpoint has none.
                    figure: Some(figure).filter(|f| !f.is_nan()),
                    bytes: 0,
                    sha256: String::new(),
                };
                let (sender, recorded) = std::sync::mpsc::channel();
                sender.send(vec!["loss".to_owned()]).unwrap();
                writer.write(manifest, &[], &recorded).unwrap();
            }
            assert_eq!(writer.files.steps().unwrap(), stay, "{keep:?}, {best_is:?}");
            assert_eq!(writer.files.manifest(6).unwrap().metrics, ["loss"]);
        }
    }

    #[test]
    fn without_what_was_recorded_there_is_no_checkpoint() {
        let root = tempfile::tempdir().unwrap();
        let files = CheckpointFiles::new(root.path().to_owned());
        let writer = Writer { files, keep: Keep::All, best_is: BestIs::Lowest };
        let (sender, recorded) = std::sync::mpsc::channel::<Vec<String>>();
        drop(sender); // the recorder has failed
        let manifest: Manifest = serde_json::from_value(serde_json::json!({
            "version": 2, "step": 1, "seconds": 0.0, "written": "due", "restores": "exact", "trainer_exact": true,
            "efference": "", "libtorch": "", "device": "", "threads": 1, "lines": 0, "metrics": [], "bytes": 0, "sha256": ""
        }))
        .unwrap();
        writer.write(manifest, &[], &recorded).unwrap();
        assert_eq!(writer.files.steps().unwrap(), [0u64; 0]);
    }
}

//! The pictures that a run has recorded, for the page.
use efference_runs::directory::RunDirectory;
use efference_runs::{FileError, Picture, PictureError, PictureFile, apart, picture_files, read_picture};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::time::SystemTime;

/// Steps of a stream that are listed; of more, every so many.
const MOST_LISTED: usize = 4_096;

/// The files, listed again when there are new ones.
pub(super) struct Recorded {
    run: RunDirectory,
    listed: Option<SystemTime>,
    files: Vec<PictureFile>,
}

impl Recorded {
    pub(super) fn new(run: RunDirectory) -> Self {
        Recorded { run, listed: None, files: Vec::new() }
    }

    fn refresh(&mut self) -> Result<(), FileError> {
        let directory = self.run.pictures();
        let changed = fs::metadata(&directory).and_then(|directory| directory.modified()).ok();
        if changed.is_none() || changed != self.listed {
            self.files = picture_files(&directory)?;
            self.listed = changed;
        }
        Ok(())
    }

    /// The steps of each stream that has pictures.
    pub(super) fn list(&mut self) -> Result<Value, FileError> {
        self.refresh()?;
        let mut streams: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        self.files.iter().for_each(|file| streams.entry(file.stream).or_default().push(file.step));
        let thinned = |steps: Vec<u64>| -> Vec<u64> {
            let every = steps.len().div_ceil(MOST_LISTED).max(1);
            // The last one is always among them.
            let mut thinned: Vec<u64> = steps.iter().rev().step_by(every).copied().collect();
            thinned.reverse();
            thinned
        };
        let streams = streams
            .into_iter()
            .map(|(stream, steps)| json!({ "stream": stream, "steps": thinned(steps) }))
            .collect::<Vec<_>>();
        Ok(json!({ "streams": streams }))
    }

    /// The file of a picture.
    pub(super) fn file(&mut self, step: u64, stream: u64) -> Result<PictureFile, String> {
        self.refresh().map_err(|e| format!("The recorded pictures cannot be listed: {e}."))?;
        let file = self.files.iter().find(|file| (file.step, file.stream) == (step, stream));
        file.cloned().ok_or_else(|| format!("There is no picture of stream {stream} at step {step}."))
    }
}

/// A recorded picture as the page gets one of a run that goes on: what describes it, and its bytes.
pub(super) fn read(file: &PictureFile) -> Result<(Value, Vec<u8>), PictureError> {
    let both = read_picture(&file.path)?;
    let (observation, prediction) = apart(&both).unwrap_or((both, None));
    let size = |picture: &Picture| json!({ "width": picture.width, "height": picture.height });
    let shown = json!({
        "stream": file.stream, "observation": size(&observation), "prediction": prediction.as_ref().map(size),
    });
    let bytes = [observation.rgb, prediction.map_or(Vec::new(), |p| p.rgb)].concat();
    Ok((json!({ "step": file.step, "shown": [shown] }), bytes))
}

//! `metrics.columns`, which is derived: whatever is in it, the history is that of `metrics.jsonl`.
//!
//! The first byte of an input says whether the header's checksum is put right, which a program could do that wrote the
//! file on purpose. Then the answer may be another, but there is one.
use efference_runs::directory::RunDirectory;
use efference_runs::history::{History, Over};
use efference_trials::fuzz::{Failure, Scratch, Target, equal, write};
use std::fs;
use std::path::PathBuf;

/// Where the header begins, behind magic, length and checksum.
const PREFIX: usize = 16;

pub(crate) fn make(scratch: &Scratch) -> Result<Box<dyn Target>, String> {
    let path = scratch.directory("columns");
    write(&path.join("spec.toml"), "");
    let run = RunDirectory::open(&path).map_err(|e| e.to_string())?;
    // Long enough for columns to be worth it, by names and not by numbers, so that the columns are short.
    let long = "x".repeat(2_000);
    let line = |i: u32| {
        let more = if i.is_multiple_of(3) { format!(",\"rare\":{i}.5") } else { String::new() };
        format!("{{\"step\":{i},\"seconds\":{i}.25,\"loss\":0.{i},\"{long}\":null{more}}}\n")
    };
    write(&run.metrics(), (1..600).map(line).collect::<String>());
    let right = answer(&run).map_err(|failure| failure.to_string())?;
    let file = path.join("metrics.columns");
    let made = fs::read(&file).map_err(|e| format!("no columns were made: {e}"))?;
    Ok(Box::new(Columns { run, file, made, right }))
}

/// Bits of all that a history says.
type Answer = Vec<(String, Vec<u64>)>;

fn answer(run: &RunDirectory) -> Result<Answer, Failure> {
    let failed =
        |e: efference_runs::history::HistoryError| Failure::new("the history can't be read", e.to_string());
    let history = History::read(run).map_err(failed)?;
    let mut answer = Vec::new();
    for name in history.names() {
        for over in [Over::Steps, Over::Seconds] {
            let series = history.series(name, over).map_err(failed)?.unwrap_or_default();
            answer.push((
                name.to_owned(),
                series.x.iter().chain(&series.values).map(|x| x.to_bits()).collect(),
            ));
        }
    }
    Ok(answer)
}

struct Columns {
    run: RunDirectory,
    file: PathBuf,
    made: Vec<u8>,
    right: Answer,
}

impl Target for Columns {
    fn seeds(&self) -> Vec<Vec<u8>> {
        [0, 1].map(|first| [&[first], &self.made[..]].concat()).into()
    }

    fn words(&self) -> &'static [&'static [u8]] {
        &[
            b"EFFCOLS1",
            b"\"count\":",
            b"\"at\":",
            b"\"crc\":",
            b"\"rows\":null",
            b"\"covered\":",
            b"\"bytes\":",
            b"\"name\":",
        ]
    }

    fn check(&mut self, input: &[u8]) -> Result<bool, Failure> {
        let (first, bytes) = input.split_first().unwrap_or((&0, &[]));
        let mut bytes = bytes.to_vec();
        let mends = first % 2 == 1 && bytes.len() > PREFIX;
        if mends {
            let length = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) as usize;
            // A header that grew or shrank is as long as it is up to its last brace before the numbers.
            let whole =
                |end: usize| serde_json::from_slice::<serde::de::IgnoredAny>(&bytes[PREFIX..end]).is_ok();
            let end = PREFIX.saturating_add(length).min(bytes.len());
            let near =
                (end.saturating_sub(64).max(PREFIX)..=(end + 64).min(bytes.len())).find(|end| whole(*end));
            let end = near.unwrap_or(end);
            let crc = crc32fast::hash(&bytes[PREFIX..end]);
            bytes[8..12].copy_from_slice(&((end - PREFIX) as u32).to_le_bytes());
            bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        }
        write(&self.file, &bytes);
        let found = answer(&self.run)?;
        if !mends {
            equal("the history is another", &found, &self.right)?;
        }
        Ok(self.file.exists())
    }
}

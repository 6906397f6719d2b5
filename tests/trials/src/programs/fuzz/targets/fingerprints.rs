//! `fingerprints.bin`.
use efference_runs::Fingerprints;
use efference_runs::directory::RunDirectory;
use efference_trials::fuzz::{Failure, Scratch, Target, equal, holds, write};
use std::collections::HashSet;
use std::fs;

pub(crate) fn make(scratch: &Scratch) -> Result<Box<dyn Target>, String> {
    let path = scratch.directory("fingerprints");
    write(&path.join("spec.toml"), "");
    Ok(Box::new(Words { run: RunDirectory::open(&path).map_err(|e| e.to_string())? }))
}

struct Words {
    run: RunDirectory,
}

impl Target for Words {
    fn seeds(&self) -> Vec<Vec<u8>> {
        let mut seed = b"efference fingerprints 1\tobservation\tgradient of cell\n".to_vec();
        for step in 1..9_u64 {
            seed.extend_from_slice(&step.to_le_bytes());
            [step as u32 * 77, 5].iter().for_each(|word| seed.extend_from_slice(&word.to_le_bytes()));
        }
        vec![seed]
    }

    fn words(&self) -> &'static [&'static [u8]] {
        &[b"efference fingerprints 1\t", b"efference fingerprints 1", b"\t", b"\n", b"observation"]
    }

    fn check(&mut self, input: &[u8]) -> Result<bool, Failure> {
        let path = self.run.fingerprints();
        write(&path, input);
        let last = Fingerprints::last_step(&path)
            .map_err(|e| Failure::new("its last step can't be read", e.to_string()))?;
        let read = Fingerprints::read(&path);
        if let Ok(read) = &read {
            let step = read.records.last().map_or(0, |(step, _)| *step);
            // The last step is looked for behind a first line of 64 KiB at most.
            holds("the last step is another", last == step || input.len() > 64 << 10, || {
                format!("{last}, not {step}")
            })?;
            // The recorder gives each component a name of its own, and goes from step to step.
            let names: HashSet<&String> = read.components.iter().collect();
            let increase = read.records.is_sorted_by(|a, b| a.0 < b.0);
            if names.len() == read.components.len() && increase {
                equal("it differs from itself", &read.first_difference(read), &None)?;
            }
            holds(
                "records have other words than there are components",
                read.records.iter().all(|(_, words)| words.len() == read.components.len()),
                String::new,
            )?;
        }
        self.run.cut(4, 0).map_err(|e| Failure::new("it can't be cut", e.to_string()))?;
        let left = fs::read(&path).unwrap_or_default();
        holds("what is left of it is not its beginning", input.starts_with(&left), String::new)?;
        let cut = Fingerprints::read(&path);
        equal("cut, it can't be read any more", &cut.is_ok(), &read.is_ok())?;
        let late = cut.is_ok_and(|cut| cut.records.iter().any(|(step, _)| *step > 4));
        holds("cut, it has later steps", !late, String::new)?;
        Ok(read.is_ok())
    }
}

//! What a run says of itself, as the commands that list and find runs read it.
use efference_runs::directory::RunDirectory;
use efference_runs::{find_run, list_runs};
use efference_trials::fuzz::{Failure, Scratch, Target, equal, files, holds, make_directory, write};
use std::fs;
use std::path::{Path, PathBuf};

const NAMES: &[&str] =
    &["spec.toml", "end.json", "provenance.json", "metrics.jsonl", "evaluations.jsonl", "latest"];

pub(crate) fn make(scratch: &Scratch) -> Result<Box<dyn Target>, String> {
    Ok(Box::new(Records { runs: scratch.directory("records") }))
}

struct Records {
    runs: PathBuf,
}

impl Target for Records {
    fn words(&self) -> &'static [&'static [u8]] {
        &[
            b"=== spec.toml\n",
            b"=== end.json\n",
            b"=== provenance.json\n",
            b"=== latest\n",
            b"=== metrics.jsonl\n",
            b"\"how\":\"finished\"",
            b"\"how\":\"failed\"",
            b"\"messages\":[]",
            b"\"step\":",
            b"\"resumed\":[",
            b"\"descent\":{",
            b"null",
            b"../",
            b"/",
            b"a",
            b"b",
            b".",
            b"\0",
            b"\x1b[2J",
            b"steps = ",
            b"[[a]]\n",
            b"{",
            b"}",
            b"[",
            b"]",
            b",",
            b"\"",
        ]
    }

    fn check(&mut self, input: &[u8]) -> Result<bool, Failure> {
        let given = files(input, NAMES);
        for run in ["a", "b"] {
            let directory = self.runs.join("x").join(run);
            make_directory(&directory);
            for name in NAMES {
                let path =
                    if *name == "latest" { self.runs.join("x").join(name) } else { directory.join(name) };
                let text: Vec<&[u8]> =
                    given.iter().filter(|file| file.0 == *name).map(|file| file.1).collect();
                match text.is_empty() || (run == "b" && *name == "end.json") {
                    true => drop(fs::remove_file(path)),
                    false => write(&path, text.concat()),
                }
            }
            write(
                &directory.join("spec.toml"),
                given.iter().filter(|f| f.0 == "spec.toml").map(|f| f.1).collect::<Vec<_>>().concat(),
            );
        }
        let listing =
            list_runs(&self.runs, None).map_err(|e| Failure::new("runs can't be listed", e.to_string()))?;
        equal("a run is not listed", &listing.runs.len(), &2)?;
        for said in ["x", "latest", "a", "x/b"] {
            if let Ok(run) = find_run(&self.runs, Path::new(said)) {
                let here = run.path().starts_with(self.real());
                holds("a run is found elsewhere", here, || run.path().display().to_string())?;
            }
        }
        let run = RunDirectory::open(&self.runs.join("x/a"))
            .map_err(|e| Failure::new("a run can't be opened", e.to_string()))?;
        let end = run.end();
        let _ = (run.provenance(), run.state(), run.steps(), run.steps_done());
        if let Ok(Some(end)) = &end {
            run.write_end(end).map_err(|e| Failure::new("an end can't be written again", e.to_string()))?;
            let again = run
                .end()
                .map_err(|e| Failure::new("an end that was written can't be read", e.to_string()))?;
            equal("an end reads back as another", &again.as_ref(), &Some(end))?;
        }
        RunDirectory::first_spec(&run.spec());
        Ok(end.is_ok() && listing.notes.is_empty())
    }
}

impl Records {
    fn real(&self) -> PathBuf {
        fs::canonicalize(&self.runs).unwrap_or_else(|_| self.runs.clone())
    }
}

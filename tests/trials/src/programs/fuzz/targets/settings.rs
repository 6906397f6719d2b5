//! What is said beside a spec: `--set key=value`, and variables.
use super::plugins::plugins;
use super::specs::{WORDS, reads_back, report};
use efference_registry::KnownPlugins;
use efference_spec::{load, sets_a_key};
use efference_trials::fuzz::{Failure, Scratch, Target, write};
use std::path::PathBuf;

const SPEC: &str = "name = \"small\"\nseed = 3\nsteps = 12\n[environment]\nplugin = \"worlds\"\nworld = \"bounce\"\n[state]\nsize = 64\n";

pub(crate) fn make(scratch: &Scratch) -> Result<Box<dyn Target>, String> {
    let directory = scratch.directory("settings");
    write(&directory.join("spec.toml"), SPEC);
    Ok(Box::new(Settings { directory, plugins: plugins()? }))
}

/// An input has a setting in each line. One that begins like a variable is one.
struct Settings {
    directory: PathBuf,
    plugins: &'static KnownPlugins<'static>,
}

impl Target for Settings {
    fn words(&self) -> &'static [&'static [u8]] {
        WORDS
    }

    fn check(&mut self, input: &[u8]) -> Result<bool, Failure> {
        let text = String::from_utf8_lossy(input);
        let (mut sets, mut variables) = (Vec::new(), Vec::new());
        for line in text.split('\n').filter(|line| !line.is_empty()) {
            match line.split_once('=') {
                Some((name, value)) if sets_a_key(name) => {
                    variables.push((name.to_owned(), value.to_owned()))
                }
                _ => sets.push(line.to_owned()),
            }
        }
        match load(&self.directory.join("spec.toml"), &sets, variables.into_iter(), self.plugins) {
            Ok(spec) => {
                report(&spec.notes)?;
                reads_back(&spec, &self.directory.join("again.toml"), self.plugins).map(|()| true)
            }
            Err(refused) => report(&refused).map(|()| false),
        }
    }
}

//! Specs as users write them, and the reports that they get, word for word where it matters.
mod bonus;
mod explain;
mod files;
mod keys_and_values;
mod limits;
mod one_plugin;
mod overrides;
mod registry;
mod renamed;
mod resolved;
mod sweeps;
mod tables;
mod words;

use super::{Diagnostics, PluginChoice, ReportStyle, Section, Spec, load};
use efference_abi::Kind;
use registry::Declared;
use std::path::PathBuf;

/// A directory of its own for a test, and in it the files that the test writes.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        Desk(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Loads a file of this desk, with `--set` texts and variables.
    fn load(&self, name: &str, sets: &[&str], variables: &[(&str, &str)]) -> Result<Spec, Diagnostics> {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        load(&self.0.path().join(name), &sets, variables, &Declared)
    }

    /// The report on a file that can't be loaded, with the path of this desk taken out.
    fn report(&self, name: &str, sets: &[&str], variables: &[(&str, &str)]) -> String {
        let diagnostics = self.load(name, sets, variables).expect_err("the spec has problems");
        self.plain(&diagnostics)
    }

    fn plain(&self, diagnostics: &Diagnostics) -> String {
        // Wide, since the paths of temporary directories are long and are taken out after lines are broken.
        diagnostics
            .report(&ReportStyle { width: 400, ..ReportStyle::PLAIN })
            .replace(&format!("{}/", self.0.path().display()), "")
    }
}

/// The report on a spec of this text.
fn report_on(text: &str) -> String {
    let desk = Desk::new();
    desk.file("spec.toml", text);
    desk.report("spec.toml", &[], &[])
}

/// Asserts that a text has these parts, in this order.
#[track_caller]
fn assert_has(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => panic!("{part:?} is not (or not in this order) in:\n{text}"),
        }
    }
}

impl Spec {
    /// The plugin of this kind.
    fn choice(&self, kind: Kind) -> &PluginChoice {
        &self.plugins[&Section::Of(kind)]
    }
}

//! `efference explain`.
use crate::engine::Engine;
use crate::paths::path;
use crate::plugin_folders::{say_missing, with_named};
use crate::spec_file::{self, SpecArgs};
use crate::{engine_identity, fail, print};
use clap::Args;
use efference_registry::{KnownPlugins, OptionsCache, PluginFiles};
use efference_spec::explain_key;
use std::path::PathBuf;

/// Explains a key: what it means, what it takes, who reads it; and in a spec, its value and where that came from.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The key with its section, as in `trainer.unroll_length`, or a section.
    #[arg(value_name = "KEY")]
    pub key: String,
    /// The spec; without, the key is explained for each plugin that has it.
    #[arg(value_name = "SPEC", value_parser = path())]
    pub spec: Option<PathBuf>,
    /// Sets a key of the spec, as in `trainer.unroll_length=1`; may be given again.
    #[arg(long, value_name = "KEY=VALUE", requires = "spec")]
    pub set: Vec<String>,
}

/// Does it; returns the exit status.
pub fn run(arguments: &ExplainArgs) -> u8 {
    let explained = match &arguments.spec {
        Some(file) => match spec_file::load(&SpecArgs { file: file.clone(), set: arguments.set.clone() }) {
            Ok(spec) => spec.explain(&arguments.key),
            Err(status) => return status,
        },
        None => {
            let files = PluginFiles::scan(&with_named(&[]), &engine_identity());
            say_missing(&files);
            let engine = Engine::default();
            explain_key(&arguments.key, &KnownPlugins::new(&files, OptionsCache::of_user(), &engine))
        }
    };
    match explained {
        Ok(text) => {
            print(&text);
            0
        }
        Err(why) => fail(why),
    }
}

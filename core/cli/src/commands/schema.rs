//! `efference schema`.
use crate::engine::Engine;
use crate::output::print_data;
use crate::plugin_folders::{say_missing, with_named};
use crate::{engine_identity, fail};
use clap::Args;
use efference_registry::{KnownPlugins, OptionsCache, PluginFiles};
use efference_spec::{json_schema, markdown_reference};

/// Prints the JSON Schema of specs, with the options of all plugins that are found, by which editors complete and check them.
///
/// Put it into a file, `efference schema > <name>.json`, and name that in the first line of a spec, `#:schema <name>.json`: so
/// Taplo reads it, and the editors that have it.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Prints the reference of all keys in place of it, as Markdown.
    #[arg(long)]
    pub markdown: bool,
}

/// Does it; returns the exit status.
pub fn run(arguments: &SchemaArgs) -> u8 {
    let files = PluginFiles::scan(&with_named(&[]), &engine_identity());
    say_missing(&files);
    let engine = Engine::default();
    let plugins = KnownPlugins::new(&files, OptionsCache::of_user(), &engine);
    if arguments.markdown {
        print_data(&markdown_reference(&plugins));
        return 0;
    }
    match serde_json::to_string_pretty(&json_schema(&plugins)) {
        Ok(text) => {
            print_data(&(text + "\n"));
            0
        }
        Err(why) => fail(why),
    }
}

//! The bundled plugins, as specs are checked with them: their real options, asked of the engine beside this program.
use efference_cli::engine::{ENGINE, Engine};
use efference_registry::{KnownPlugins, OptionsCache, PluginFiles};
use std::env;

/// The plugins beside this program. An error says why there are none.
pub(super) fn plugins() -> Result<&'static KnownPlugins<'static>, String> {
    let own = env::current_exe().map_err(|e| format!("nobody knows where this program is: {e}"))?;
    let directory = own.parent().unwrap_or(&own).to_owned();
    if !directory.join(ENGINE).is_file() {
        return Err(format!("there is no {ENGINE} in {}; `cargo xtask build` makes it", directory.display()));
    }
    let files = PluginFiles::in_paths(vec![directory.into()], &efference_cli::engine_identity());
    if files.found().is_empty() {
        return Err(format!("there are no plugins in {}; `cargo xtask build` makes them", files.searched()));
    }
    // They are used until the process ends. What a user's cache remembers is left alone.
    let engine: &'static Engine = Box::leak(Box::default());
    Ok(Box::leak(Box::new(KnownPlugins::new(Box::leak(Box::new(files)), OptionsCache::default(), engine))))
}

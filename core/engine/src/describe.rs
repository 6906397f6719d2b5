//! `efference-engine describe`: replies to requests about plugins, which come on standard input, one a line.
//!
//! `efference check` and `efference plugins show` ask for what they do not know yet. The process ends with its input.
use crate::plugins::{OnPrint, Plugin, capture_stdout, load_library};
use efference_registry::{PluginOptions, Reply, Request};
use std::io::{self, BufRead, Write};

/// Replies to all requests.
///
/// # Errors
/// If standard output can't be used, or a request is none.
pub fn run() -> io::Result<()> {
    // What plugins print while they are loaded is not a reply.
    let mut output = capture_stdout(OnPrint::Log)?;
    for line in io::stdin().lock().lines() {
        let request: Request = serde_json::from_str(&line?)?;
        let mut reply = serde_json::to_vec(&reply(&request))?;
        reply.push(b'\n');
        output.write_all(&reply)?;
    }
    Ok(())
}

fn reply(request: &Request) -> Reply {
    let plugins = match load_library(request.file()) {
        Ok(plugins) => plugins,
        Err(refusal) => return Reply::Failed(refusal.to_string()),
    };
    match request {
        Request::Describe { .. } => Reply::Described(plugins.into_iter().map(options_of).collect()),
        Request::Check { file, kind, name, options } => {
            let is_it = |plugin: &&Plugin| plugin.info.kind.name() == kind && plugin.info.name == *name;
            let Some(plugin) = plugins.iter().find(is_it) else {
                return Reply::Failed(format!("{} has no {kind} plugin '{name}'", file.display()));
            };
            match plugin.option_error(options) {
                None => Reply::Accepted,
                Some(error) => Reply::Refused { path: error.path, message: error.message },
            }
        }
    }
}

fn options_of(plugin: Plugin) -> PluginOptions {
    PluginOptions {
        kind: plugin.info.kind.name().to_owned(),
        name: plugin.info.name.clone(),
        schema: plugin.schema().map_err(|e| format!("{e:#}")),
    }
}

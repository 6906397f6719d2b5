//! `efference draw`: how a layer connects inputs to outputs.
use crate::program::{Outcome, fail};
use efference_abi::{Kind, Size};
use efference_cli::commands::draw::DrawArgs;
use efference_cli::output::print_to;
use efference_cli::plugin_folders::with_named;
use efference_engine::draw;
use efference_engine::plugins::{OnPrint, Registry, capture_stdout};
use efference_spec::plugin_options;

pub(crate) fn run(arguments: &DrawArgs) -> Outcome {
    // What the plugin prints is no part of the answer.
    let mut output = capture_stdout(OnPrint::Log).map_err(fail)?;
    let registry = Registry::scan(&with_named(&arguments.path));
    let choice = plugin_options(Kind::Layer, &arguments.layer, &arguments.set, &registry)
        .map_err(|diagnostics| efference_cli::report(&diagnostics))?;
    let size = Size { ins: arguments.ins, outs: arguments.outs };
    let drawing =
        draw::drawing(&registry, &choice, size, arguments.input).map_err(|e| fail(format!("{e:#}")))?;
    for file in arguments.files() {
        draw::write(&drawing, &file).map_err(fail)?;
        print_to(&mut output, &format!("{}: {}\n", file.display(), drawing.summary()));
    }
    Ok(0)
}

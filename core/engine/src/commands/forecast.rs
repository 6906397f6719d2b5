//! `efference-engine forecast`: what experiments take and what stands in their way, for `efference check` and
//! `efference sweep`.
use crate::program::{Outcome, fail};
use efference_cli::SpecArgs;
use efference_cli::forecast::ForecastArgs;
use efference_engine::forecast::{forecast, forecast_elsewhere};
use efference_engine::plugins::{OnPrint, Registry, capture_stdout};
use efference_engine::run::{LoadedSpec, RunError};
use efference_spec::{Device, PluginPath, Spec};
use std::io::Write;
use std::path::Path;

/// Writes a [`Forecast`](efference_runs::budget::Forecast) a line, as JSON, one a spec.
pub(crate) fn run(arguments: &ForecastArgs) -> Outcome {
    // What plugins print is no part of the answer.
    let mut output = capture_stdout(OnPrint::Log).map_err(fail)?;
    for file in &arguments.files {
        let (spec, registry) = read(file)?;
        let forecast = match LoadedSpec::new(&spec, &registry) {
            Ok(parts) => forecast(&parts),
            // It is meant for another machine.
            Err(RunError::Device(_)) => {
                let mut here = spec.clone();
                here.device = Device::Cpu;
                let parts = LoadedSpec::new(&here, &registry).map_err(fail)?;
                forecast_elsewhere(&parts, spec.device.to_string())
            }
            Err(error) => return Err(fail(error)),
        };
        let line = serde_json::to_string(&forecast).map_err(fail)? + "\n";
        output.write_all(line.as_bytes()).map_err(fail)?;
    }
    Ok(0)
}

/// Reads a spec that `efference` has read before, and of which it has said what there is to say.
fn read(file: &Path) -> Result<(Spec, Registry), u8> {
    let parsed = SpecArgs { file: file.to_owned(), set: Vec::new() }.parse()?;
    let paths = parsed.plugin_paths().into_iter().map(|path| PluginPath::from(path.directory));
    let registry = Registry::scan(&paths.collect::<Vec<_>>());
    let spec = parsed.resolve(&registry).map_err(|diagnostics| efference_cli::report(&diagnostics))?;
    Ok((spec, registry))
}

//! `efference-engine forecast`: what experiments take and what stands in their way, for `efference check` and
//! `efference sweep`.
use crate::program::{Outcome, fail, read};
use efference_cli::SpecArgs;
use efference_cli::forecast::ForecastArgs;
use efference_engine::forecast::{forecast, forecast_elsewhere};
use efference_engine::plugins::{OnPrint, capture_stdout};
use efference_engine::run::{LoadedSpec, RunError};
use efference_spec::Device;
use std::io::Write;

/// Writes a [`Forecast`](efference_runs::budget::Forecast) a line, as JSON, one a spec.
pub(crate) fn run(arguments: &ForecastArgs) -> Outcome {
    // What plugins print is no part of the answer.
    let mut output = capture_stdout(OnPrint::Log).map_err(fail)?;
    for file in &arguments.files {
        let (spec, registry) = read(&SpecArgs { file: file.clone(), set: Vec::new() })?;
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

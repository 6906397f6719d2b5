//! `efference draw`: makes a layer, asks how it connects inputs to outputs, and draws what it tells.
use crate::agent::ParameterStore;
use crate::plugins::{CallMonitor, Registry};
use efference_abi::Kind;
use efference_runs::directory::write_atomically;
use efference_sdk::{Error, LayerSetup, Params, Result, Size, Stage, ensure};
use efference_spec::PluginChoice;
use efference_view::drawing::Drawing;
use efference_view::png_of_svg;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use tch::Device;

/// Pixels of a PNG for each unit of the SVG: sharp on screens of today.
const PNG_SCALE: f32 = 2.0;

/// The drawing of a layer of this size.
///
/// # Errors
/// If the layer can't be made, does not tell its connections, or can't be drawn legibly.
pub fn drawing(
    registry: &Registry,
    choice: &PluginChoice,
    size: Size,
    highlight: Option<i64>,
) -> Result<Drawing> {
    let name = &choice.plugin;
    let plugin = registry.load(Kind::Layer, name).map_err(|e| Error::msg(e.to_string()))?;
    // The connections do not depend on the weights, so any seed will do.
    let store = ParameterStore::new(0, Device::Cpu);
    let setup = LayerSetup { size, params: Params::new(&store) };
    let options = Value::Object(choice.options.clone());
    let layer = plugin.create_layer(&options, &setup, &Arc::new(CallMonitor::default()))?;
    let stages = layer.connections()?;
    ensure!(
        !stages.is_empty(),
        "the layer plugin `{name}` does not tell how it connects inputs to outputs, so it can't be drawn; its author can \
         let it: `Layer::connections` of efference-sdk"
    );
    Stage::check_all(&stages, size).map_err(|e| e.in_plugin(&plugin.id()))?;
    let drawing = Drawing {
        title: format!("{name} {} → {}{}", size.ins, size.outs, said(choice)),
        stages: stages.into_iter().map(|stage| (stage.nodes, stage.edges)).collect(),
        highlight,
    };
    drawing.svg().map_err(|e| Error::msg(e.to_string()))?;
    Ok(drawing)
}

/// `, radix = 2`: what shapes the connections most, where a layer has such an option.
fn said(choice: &PluginChoice) -> String {
    choice.options.get("radix").map_or(String::new(), |radix| format!(", radix {radix}"))
}

/// Writes it as a PNG if the file's name ends so, else as an SVG.
///
/// # Errors
/// If it can't be written.
pub fn write(drawing: &Drawing, file: &Path) -> Result<()> {
    let told = |e: &dyn std::fmt::Display| Error::msg(e.to_string());
    let svg = drawing.svg().map_err(|e| told(&e))?;
    let bytes = match file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png")) {
        true => png_of_svg(&svg, PNG_SCALE).map_err(|e| told(&e))?,
        false => svg.into_bytes(),
    };
    write_atomically(file, &bytes).map_err(|e| told(&e))
}

//! Networks alone: one forward and one backward pass of a layer, a stack, a cell or a cell split in two.
use crate::case::Case;
use crate::parts::Parts;
use crate::report::Report;
use efference_engine::agent::{CellTransition, ParameterStore, SharedCell};
use efference_sdk::serde_json::{Map, Value};
use efference_sdk::tch::{Device, Kind, Tensor};
use efference_sdk::{LayerFactory, Nonlinearity, ParamStore, Params, Result, Size, Stack, StackSpec};

/// The deviation that a single pass may have.
const TOLERANCE: f64 = 1e-4;

fn size(case: &Case) -> Result<Size> {
    Ok(Size { ins: case.setting("ins")?, outs: case.setting("outs")? })
}

pub(crate) fn layer(case: &Case, parts: &Parts) -> Result<Report> {
    let size = size(case)?;
    let store = ParameterStore::new(0, Device::Cpu);
    let layer = parts.layers(case.layer_options()?)?.make(size, &Params::new(&store))?;
    let (start, end) = case.optional("slice")?.unwrap_or((0, size.outs));
    check(case, &Params::new(&store), |x| layer.forward(x, start..end))
}

pub(crate) fn stack(case: &Case, parts: &Parts) -> Result<Report> {
    let store = ParameterStore::new(0, Device::Cpu);
    let nonlinearity = case.optional("nonlinearity")?.unwrap_or(Nonlinearity::Softsign);
    let spec =
        StackSpec { size: size(case)?, layers: case.setting("layers")?, nonlinearity, zero_at_start: false };
    let stack = Stack::new(spec, &parts.layers(case.layer_options()?)?, &Params::new(&store))?;
    check(case, &Params::new(&store), |x| stack.forward(x))
}

/// Options of the cell.
pub(crate) fn cell_options(case: &Case) -> Result<Map<String, Value>> {
    case.options(&[("layers", "layers"), ("out_mult", "out_mult"), ("nonlinearity", "nonlinearity")])
}

pub(crate) fn cell(case: &Case, parts: &Parts) -> Result<Report> {
    let (size, store) = (size(case)?, ParameterStore::new(0, Device::Cpu));
    let layers = parts.layers(case.layer_options()?)?;
    let cell = parts.cell(cell_options(case)?, size, &layers, &Params::new(&store))?;
    check(case, &Params::new(&store), |x| cell.forward(x, 0..size.outs))
}

pub(crate) fn split(case: &Case, parts: &Parts) -> Result<Report> {
    let (size, store) = (size(case)?, ParameterStore::new(0, Device::Cpu));
    let layers = parts.layers(case.layer_options()?)?;
    // The host keeps the cell's parameters under this name.
    let cell = parts.cell(cell_options(case)?, size, &layers, &Params::new(&store).scope("cell"))?;
    let options = case.options(&[("goals_for_actions", "goals_for_actions")])?;
    let goals = ParameterStore::new(0, Device::Cpu);
    let mut goal = parts.goal("maximize", options, size.outs, &layers, &Params::new(&goals))?;
    let cell = SharedCell::new(cell);
    let transition =
        CellTransition { cell: &cell, store: &store, state_size: size.outs, sharing: parts.sharing };
    check(case, &Params::new(&store).scope("cell"), |x| goal.transition(&transition, x))
}

/// Gives the parameters the file's values.
pub(crate) fn load(case: &Case, store: &dyn ParamStore, prefix: &str) -> Result<()> {
    let _no_grad = tch::no_grad_guard();
    for (name, mut tensor) in store.list("")? {
        let value = case.tensor(&format!("{prefix}{name}"))?;
        efference_sdk::ensure!(
            value.size() == tensor.size(),
            "parameter '{name}' has the shape {:?}, and the file's has {:?}",
            tensor.size(),
            value.size()
        );
        tensor.f_copy_(&value)?;
    }
    Ok(())
}

/// One pass forward and back, compared with the file.
fn check(
    case: &Case,
    store: &dyn ParamStore,
    mut forward: impl FnMut(&Tensor) -> Result<Tensor>,
) -> Result<Report> {
    load(case, store, "")?;
    let x = case.tensor("x")?.f_set_requires_grad(true)?;
    let y = forward(&x)?;
    let mut report = Report::new(TOLERANCE);
    report.compare("y", &y.f_detach()?, &case.tensor("y")?)?;
    y.f_mul(&case.tensor("gy")?)?.f_sum(Kind::Float)?.f_backward()?;
    report.compare("gx", &gradient(&x)?, &case.tensor("gx")?)?;
    for (name, tensor) in store.list("")? {
        let name = format!("grad.{name}");
        report.compare(&name, &gradient(&tensor)?, &case.tensor(&name)?)?;
    }
    Ok(report)
}

/// The gradient that arrived; zeros if there is none.
pub(crate) fn gradient(tensor: &Tensor) -> Result<Tensor> {
    let gradient = tensor.f_grad()?;
    Ok(if gradient.defined() { gradient } else { tensor.f_detach()?.f_zeros_like()? })
}

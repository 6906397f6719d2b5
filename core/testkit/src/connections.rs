//! Checks what a layer tells of its connections.
use efference_sdk::tch::{Kind, Tensor};
use efference_sdk::{Layer, Random, Result, Size, Stage, ensure};

/// Checks that a layer's output depends on just those inputs from which its [`connections`](Layer::connections) lead to
/// it: the elements of its Jacobian that are not 0, at a random input, are compared with what can be reached. Its
/// parameters should be random, for a weight of 0 connects nothing.
///
/// # Errors
/// The first pair of an input and an output of which they say otherwise; or there are no connections, or they do not fit the size.
pub fn check_connections(layer: &dyn Layer, size: Size) -> Result<()> {
    let stages = layer.connections()?;
    ensure!(!stages.is_empty(), "the layer does not tell its connections");
    Stage::check_all(&stages, size)?;
    let x = Random::new(7).normal(&[1, size.ins], 1.0).set_requires_grad(true);
    let y = layer.forward(&x, 0..size.outs)?;
    let jacobian = (0..size.outs).map(|out| {
        let [row] = Tensor::f_run_backward(&[y.f_select(1, out)?.f_sum(Kind::Float)?], &[&x], true, false)?
            .try_into()
            .unwrap_or_else(|_| [Tensor::new()]);
        Ok(Vec::<f32>::try_from(row.f_reshape([-1])?)?)
    });
    let jacobian: Vec<Vec<f32>> = jacobian.collect::<Result<_>>()?;
    for from in 0..size.ins {
        let reached = reached(&stages, from);
        for (to, row) in jacobian.iter().enumerate() {
            let depends = row[from as usize] != 0.0;
            ensure!(
                depends == reached[to],
                "output {to} {} on input {from}, and by the connections it {}",
                if depends { "depends" } else { "does not depend" },
                if reached[to] { "does" } else { "does not" }
            );
        }
    }
    Ok(())
}

/// Of each output whether the connections lead to it from this input.
fn reached(stages: &[Stage], from: i64) -> Vec<bool> {
    let mut now: Vec<bool> = Vec::new();
    for (number, stage) in stages.iter().enumerate() {
        let mut next = vec![false; stage.nodes.outs as usize];
        for edge in &stage.edges {
            let is_reached = if number == 0 { edge.from == from } else { now[edge.from as usize] };
            next[edge.to as usize] |= is_reached;
        }
        now = next;
    }
    now
}

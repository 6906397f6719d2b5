//! Layers: linear maps with tricks of their own inside.
use crate::autograd::vjp::vjp;
use crate::bridge::{check_answer, interface};
use crate::{Params, Result, Saved, Vjp, autograd, ensure};
use std::ops::Range;
use tch::Tensor;

pub use efference_abi::{Edge, Size};

/// What a layer is made from.
pub struct LayerSetup<'a> {
    /// How many features go in and come out.
    pub size: Size,
    /// Where its parameters are kept.
    pub params: Params<'a>,
}

/// Which dims of a weight run over a layer's inputs; the others run over its outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightLayout {
    /// The parameter's name, as the layer added it.
    pub name: String,
    /// The dims.
    pub input_dims: Vec<i64>,
}

/// How the nodes of one column are connected to those of the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Nodes before and after.
    pub nodes: Size,
    /// The connections.
    pub edges: Vec<Edge>,
}

impl Stage {
    /// Refuses stages that can't be those of a layer of this size: columns that do not meet, edges of no node.
    ///
    /// # Errors
    /// Which stage is wrong, and how.
    pub fn check_all(stages: &[Stage], size: Size) -> Result<()> {
        let mut before = size.ins;
        for (number, Stage { nodes, edges }) in stages.iter().enumerate() {
            let found = nodes.ins;
            ensure!(
                found == before,
                "stage {number} of its connections begins with {found} nodes, where there are {before}"
            );
            for edge in edges {
                ensure!(
                    (0..nodes.ins).contains(&edge.from)
                        && (0..nodes.outs).contains(&edge.to)
                        && edge.weight >= Stage::NO_WEIGHT,
                    "stage {number} of its connections, {} → {} nodes, cannot have an edge {} → {} with weight {}",
                    nodes.ins,
                    nodes.outs,
                    edge.from,
                    edge.to,
                    edge.weight
                );
            }
            before = nodes.outs;
        }
        ensure!(
            stages.is_empty() || before == size.outs,
            "its connections end with {before} nodes, and the layer has {} outputs",
            size.outs
        );
        Ok(())
    }

    /// The number of an edge's weight where there is none: the value is passed on as it is.
    pub const NO_WEIGHT: i64 = -1;
}

interface! {
    /// A layer: a linear map `ins → outs`.
    pub trait Layer: Send in layer as efference_abi::LayerVTable, parts {
        /// Its custom VJP, if it has one: the forward and backward that spare autograd.
        vjp: Vjp in vjp;
    } {
        /// Of `x` (batch, ins): the outputs `outs`, (batch, outs.len()). `outs` lies within the layer's size.
        shared fn forward(x: &Tensor, outs: Range<i64>) -> Tensor, checked |y, caller| {
            check_answer(y, x, [autograd::rows(x), outs.end - outs.start])?;
            caller.forward(x, y)
        };
        /// Multiply-accumulates of a forward pass over one row, all outputs; `None`: unknown.
        ///
        /// `efference bench` estimates the work of a step from it. Only products of matrices count, not what is done
        /// element by element (biases, nonlinearities): a full matrix makes `ins · outs`.
        shared fn multiply_accumulates() -> Option<u64> = Ok(None);
        /// Which dims of its weights run over inputs, for initialisers such as
        /// [`nn::sparsify`](crate::nn::sparsify). By default unknown: none is listed.
        shared fn weights() -> Vec<WeightLayout> = Ok(Vec::new());
        /// Called after each update of its parameters, in this step: a layer may rewire itself. Gradients are cleared
        /// already; grad mode is off. What it keeps from one update to the next belongs into buffers: they are saved, and
        /// restored in place, without this being called.
        shared fn updated(step: u64) -> () = Ok(());
        /// How inputs reach outputs, stage by stage, for `efference draw`. The first stage begins with the layer's inputs,
        /// the last one ends with its outputs. By default the layer does not tell: there is no stage.
        ///
        /// [`check_connections`](../efference_testkit/fn.check_connections.html) of the test kit checks that it is true.
        shared fn connections() -> Vec<Stage> = Ok(Vec::new());
        /// Which output each element of a parameter feeds, for those parameters whose elements feed one output each: the
        /// parameter's name, as the layer added it, and 64-bit integers whose shape broadcasts to the parameter's; -1: it
        /// feeds none. By default unknown: none is listed.
        ///
        /// [`check_units`](../efference_testkit/fn.check_units.html) of the test kit checks that it is true.
        shared fn units() -> Saved = Ok(Vec::new());
        /// If it is a matrix and nothing else, `y = x · weightᵀ + bias`: its weight, (outs, ins), and if it has one its bias,
        /// (outs), as shared handles of its trained parameters, in the order in which they were made. A network of small
        /// matrices is computed as a whole ([`nn::FeedForward`](crate::nn::FeedForward)), without calling its layers. Empty, the
        /// default: it is something else, and is called.
        shared fn matrix() -> Vec<Tensor> = Ok(Vec::new());
    }
}

interface! {
    /// Makes layers of the kind that the experiment names.
    pub trait LayerFactory in layer_factory as efference_abi::LayerFactoryVTable {
        /// Makes a layer, with its parameters in `params`.
        shared fn make(size: Size, params: &Params<'_>) -> Box<dyn Layer>;
    }
}

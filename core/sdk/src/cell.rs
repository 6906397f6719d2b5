//! Cells: input to next state.
use crate::autograd::vjp::vjp;
use crate::bridge::{check_answer, interface};
use crate::{LayerFactory, Params, Saved, Size, Vjp, autograd};
use std::ops::Range;
use tch::Tensor;

/// What a cell is made from.
pub struct CellSetup<'a> {
    /// Features in, which is what the trainer passes, and out, which is the size of a state.
    pub size: Size,
    /// Where in its input the observation stands; empty: nowhere, or mixed with the state.
    pub observation: Range<i64>,
    /// Where in its input the action that was done stands; empty: nowhere.
    pub action: Range<i64>,
    /// Makes layers of the experiment's kind.
    pub layers: &'a dyn LayerFactory,
    /// Where its parameters are kept.
    pub params: Params<'a>,
}

interface! {
    /// A cell. Its input, made by the trainer, holds the state and what was observed; its output is the next state.
    ///
    /// A cell that needs random numbers draws them from [`step_seed`](crate::step_seed).
    pub trait Cell: Send in cell as efference_abi::CellVTable, parts {
        /// Its custom VJP, if it has one: the forward and backward that spare autograd.
        vjp: Vjp in vjp;
    } {
        /// Of `x` (batch, ins): the elements `outs` of the next state, (batch, outs.len()).
        shared fn forward(x: &Tensor, outs: Range<i64>) -> Tensor, checked |y, caller| {
            check_answer(y, x, [autograd::rows(x), outs.end - outs.start])?;
            caller.forward(x, y)
        };
        /// How many elements at the end of a state are the cell's own memory: carried from step to step without
        /// gradient, and not limited to ±1 where state and observation are merged. Asked for once.
        shared fn memory() -> i64 = Ok(0);
        /// How its state recurs, if it does so unit by unit: then a trainer can carry exact gradients forward. Asked for
        /// once. By default it does not.
        shared fn recurrence() -> Option<Recurrence> = Ok(None);
    }
}

/// A recurrence whose units do not see each other.
///
/// The next elements of a unit depend on the state before through the elements of that unit alone, as far as gradient
/// goes; the other elements of the state before are not looked at. So the sensitivity of a unit to a parameter that feeds
/// no other unit follows a recurrence of its own, and real-time recurrent learning costs little more than a step.
#[derive(Debug)]
pub struct Recurrence {
    /// Where in a state the units are: the first part of each unit, then the second part of each, and so on.
    pub elements: Range<i64>,
    /// Elements of a unit, at least 1: a complex number has 2.
    pub parts: i64,
    /// Which unit each element of a parameter feeds, for those parameters whose elements feed one unit each, or none: the
    /// parameter's name, as the cell added it, and 64-bit integers whose shape broadcasts to the parameter's; -1: it feeds
    /// none.
    pub units: Saved,
}

impl Recurrence {
    /// How many units there are.
    pub fn count(&self) -> i64 {
        (self.elements.end - self.elements.start) / self.parts
    }
}

/// Which features of an evaluation's input the gradient reaches; the others stop it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GradMask {
    /// All of them.
    All,
    /// The input is cut into chunks of `size` features; the gradient reaches the even chunks (the first is chunk 0).
    EvenChunks {
        /// Features in a chunk; the input's width is a multiple of it.
        size: i64,
    },
    /// As above; the gradient reaches the odd chunks.
    OddChunks {
        /// Features in a chunk; the input's width is a multiple of it.
        size: i64,
    },
}

/// A gradient path: one way for the gradient through an evaluation of the cell whose value all paths share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GradPath {
    /// The outputs wanted.
    pub outs: Range<i64>,
    /// Which features of the input their gradient reaches.
    pub mask: GradMask,
    /// Whether the cell's parameters get no gradient from them.
    pub frozen: bool,
}

interface! {
    /// The experiment's cell, as a goal sees it.
    pub trait Transition in transition as efference_abi::TransitionVTable {
        /// Evaluates the cell on `x` (batch, input size) for all gradient paths at once; returns one tensor a path,
        /// (batch, path.outs.len()).
        shared fn evaluate(x: &Tensor, paths: &[GradPath]) -> Vec<Tensor>;
        /// The size of the state.
        shared fn outs() -> i64;
    }
}

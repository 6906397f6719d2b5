//! What a differentiable operation is. The ground of this folder: nothing here runs anything.
use crate::Result;
use tch::Tensor;

/// A differentiable operation with a hand-written forward and backward. One object is one evaluation: what is no
/// tensor may be kept in it from forward to backward.
///
/// It is differentiable once. Differentiating its gradient (`create_graph`) is an error that says so.
///
/// Backward may run on another thread than forward (libtorch has one for each CUDA device), hence `Send + Sync`. That
/// also keeps tensors out of the object, where they would escape libtorch's bookkeeping: tensors that backward needs go
/// through [`Context::save`].
pub trait Op: Send + Sync + 'static {
    /// Its name in error messages.
    const NAME: &'static str;

    /// Computes the outputs. Called once, with grad mode off. An input may be undefined (see [`Tensor::defined`]) if
    /// the caller of [`apply`](super::apply()) passes such. An output should be a new tensor, not an input or a view of
    /// one.
    fn forward(&mut self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>>;

    /// Computes the gradients of the inputs, in their order; `None` for one whose gradient is
    /// [not needed](Gradients::needs_input_grad). `saved` are the tensors that forward saved, in that order. Called with
    /// grad mode off, and once more for each further backward pass if the graph is retained.
    fn backward(&self, saved: &[Tensor], gradients: &Gradients<'_>) -> Result<Vec<Option<Tensor>>>;
}

/// The context of a forward pass: which inputs need a gradient, and what is saved for the backward pass.
#[derive(Debug)]
pub struct Context {
    pub(super) needs_input_grad: Vec<bool>,
    pub(super) saved: Vec<Tensor>,
    /// See [`expect_unchanged`](Context::expect_unchanged).
    pub(super) unchanged_from: usize,
}

impl Context {
    /// Whether a backward pass may follow. If not, nothing needs to be saved.
    pub fn differentiable(&self) -> bool {
        self.needs_input_grad.contains(&true)
    }

    /// Whether input `i` may need a gradient.
    pub fn needs_input_grad(&self, i: usize) -> bool {
        self.needs_input_grad.get(i).copied().unwrap_or(false)
    }

    /// Saves an input, an output, or anything between for the backward pass. libtorch refuses that pass if the tensor
    /// has been changed in place meanwhile.
    pub fn save(&mut self, tensor: Tensor) {
        self.saved.push(tensor);
    }

    /// The same of several.
    pub fn save_all(&mut self, mut tensors: Vec<Tensor>) {
        if self.saved.is_empty() {
            self.saved = tensors;
        } else {
            self.saved.append(&mut tensors);
        }
    }

    /// As if the inputs from this one on were saved, which the operation has itself, such as parameters: libtorch refuses the
    /// backward pass if one has been changed in place meanwhile.
    pub fn expect_unchanged(&mut self, from: usize) {
        self.unchanged_from = from;
    }
}

/// The gradients of the outputs that a backward pass starts from, and which inputs need one.
#[derive(Debug)]
pub struct Gradients<'a> {
    pub(super) outputs: &'a [Option<&'a Tensor>],
    pub(super) needs_input_grad: &'a [bool],
}

impl<'a> Gradients<'a> {
    /// The gradient of output `i`: of its shape, not necessarily contiguous. `None`: there is none, as if zero.
    pub fn of_output(&self, i: usize) -> Option<&'a Tensor> {
        self.outputs.get(i).copied().flatten()
    }

    /// Number of inputs.
    pub fn input_count(&self) -> usize {
        self.needs_input_grad.len()
    }

    /// Whether input `i` needs a gradient.
    pub fn needs_input_grad(&self, i: usize) -> bool {
        self.needs_input_grad.get(i).copied().unwrap_or(false)
    }

    /// What a backward pass returns if no output has a gradient: none for any input.
    pub fn none(&self) -> Vec<Option<Tensor>> {
        self.needs_input_grad.iter().map(|_| None).collect()
    }
}

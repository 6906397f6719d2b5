//! Layer plugin: two block-diagonal matrices with a permutation between them.
//!
//! ```text
//! y = (L P R x)[.., :outs] + b
//! ```
//!
//! With `k` blocks, `q = ⌈ins / k⌉`, `s = ⌈outs / k⌉`, and `h = k · c` features a block between, where `c = ⌈min(ins, outs) / k²⌉`:
//! block `i` of `R` maps inputs `i · q ..` to `h` features (`x` is padded with zeros to `k · q`); `P` deals the features of each
//! block out to all blocks of `L`, `c` to each; block `j` of `L` maps what it got to outputs `j · s ..`, of which those beyond
//! `outs` are cut off:
//!
//! ```text
//! u[i, a, j] = Σ_p first[i, p, a · k + j] · x[i · q + p]
//! y[j · s + t] = Σ_(i, a) second[j, i · c + a, t] · u[i, a, j] + bias[j · s + t]
//! ```
//!
//! Every output depends on every input, at a cost of `h (k q + k s)`, about `h (ins + outs)`, weights and multiply-accumulates a
//! row: for `n` features in and out and `k = √n` that is `2 n √n` in place of a full matrix's `n²`. This is the Monarch matrix of
//! Dao et al. ("Monarch: expressive structured matrices for efficient and accurate training", arXiv 2204.00595), who show that a
//! few of them in a row hold convolutions, Toeplitz matrices and Fourier's transform; there the outputs are permuted once more,
//! which is left out here, since what comes behind the layer is trained and has no order of its own. Fewer blocks mean larger
//! ones, and more weights: `2 n² / k` below `√n`. `ldl` with `sharing = "none"` is of the same family with more and smaller
//! factors.
//!
//! Between input block `i` and output block `j` lies a map of rank `c`. It is for wide layers where all inputs matter and a
//! full matrix is too much. Of many rows both factors are products of batches of matrices, which GPUs and libtorch's kernels are good
//! at; up to four rows on the CPU are computed by loops of this plugin.
//!
//! Weights begin normally distributed, those of `R` with deviation `√(k / ins)` and those of `L` with `gain / √h`, biases at
//! zero, so that standard normal inputs give outputs of deviation `gain`, whatever the sizes.
mod blocks;
mod loops;
mod product;
#[cfg(test)]
mod tests;

use blocks::Blocks;
use efference_sdk::autograd::SharedVjp;
use efference_sdk::nn::{check_forward, columns};
use efference_sdk::tch::Tensor;
use efference_sdk::{Edge, Layer, LayerSetup, Plugin, Result, Saved, Size, Stage, Vjp, WeightLayout, ensure};
use product::Product;
use std::ops::Range;

efference_sdk::options! {
    /// Options of `monarch`.
    pub struct Options {
        /// Blocks of each of the two matrices; 0: ⌈√min(ins, outs)⌉, which takes the fewest weights and is the most that is taken.
        #[schemars(range(min = 0, max = 65_536))]
        pub blocks: i64 = 0,
        /// Whether a trained number is added to each output.
        pub bias: bool = true,
        /// What the deviation of the second matrix's first weights, 1/√(features into a block), is multiplied with.
        #[schemars(range(min = 0.0))]
        pub gain: f64 = 1.0,
    }
}

/// A Monarch matrix. Its parameters are `first`, (blocks, ins of a block, features between), `second`, (blocks, features
/// between, outs of a block), and `bias`, (outs).
pub struct Monarch {
    blocks: Blocks,
    product: SharedVjp<Product>,
    /// In the order in which they were made.
    params: Vec<Tensor>,
    /// Whether the experiment trains them.
    trained: bool,
}

impl Plugin for Monarch {
    const NAME: &'static str = "monarch";
    const DESCRIPTION: &'static str =
        "Monarch layer: two block-diagonal matrices, n·√n weights in place of n².";
    type Options = Options;
    type Kind = dyn Layer;

    fn new(options: Options, setup: &LayerSetup<'_>) -> Result<Self> {
        let (blocks, params) = (Blocks::new(setup.size, options.blocks), &setup.params);
        ensure!(options.gain.is_finite(), "gain must be a finite number, and is {}", options.gain);
        let Blocks { count, ins, between, outs, .. } = blocks;
        // Of an output's features each has the variance that its block's inputs give it: on average 1, padded or not.
        let deviation = (count as f64 / setup.size.ins as f64).sqrt();
        let first = params.normal("first", &[count, ins, between], deviation)?;
        let deviation = options.gain / (between as f64).sqrt();
        let second = params.normal("second", &[count, between, outs], deviation)?;
        let bias = if options.bias { Some(params.normal("bias", &[setup.size.outs], 0.0)?) } else { None };
        let trained = first.requires_grad();
        let product = Product { blocks, first, second, bias };
        Ok(Monarch { blocks, params: product.params(), product: SharedVjp::new(product), trained })
    }
}

impl Layer for Monarch {
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        check_forward(Self::NAME, self.blocks.size, x, &outs)?;
        columns(&self.product.apply(x, &self.params)?, &outs)
    }

    fn vjp(&self) -> Option<&dyn Vjp> {
        self.trained.then_some(&self.product)
    }

    /// With what is padded: it is computed too.
    fn multiply_accumulates(&self) -> Result<Option<u64>> {
        let Blocks { count, ins, between, outs, .. } = self.blocks;
        Ok(Some((count as u64).saturating_mul(between as u64).saturating_mul((ins + outs) as u64)))
    }

    /// Those of the first matrix: the inputs of the second are no inputs of the layer.
    fn weights(&self) -> Result<Vec<WeightLayout>> {
        Ok(vec![WeightLayout { name: "first".to_owned(), input_dims: vec![1] }])
    }

    fn connections(&self) -> Result<Vec<Stage>> {
        let Blocks { size, count, ins, between, outs, share } = self.blocks;
        let nodes = count * between;
        let mut first = Vec::new();
        for from in 0..size.ins {
            let (block, input) = (from / ins, from % ins);
            first.extend((0..between).map(|feature| Edge {
                from,
                to: block * between + feature,
                weight: (block * ins + input) * between + feature,
            }));
        }
        let mut second = Vec::new();
        for to in 0..size.outs {
            let (block, output) = (to / outs, to % outs);
            second.extend((0..between).map(|feature| Edge {
                from: feature / share * between + feature % share * count + block,
                to,
                weight: (block * between + feature) * outs + output,
            }));
        }
        Ok(vec![
            Stage { nodes: Size { ins: size.ins, outs: nodes }, edges: first },
            Stage { nodes: Size { ins: nodes, outs: size.outs }, edges: second },
        ])
    }

    /// Those of the second matrix: what feeds a feature between reaches many outputs.
    fn units(&self) -> Result<Saved> {
        let Blocks { size, count, outs, .. } = self.blocks;
        let output = |unit: i64| if unit < size.outs { unit } else { -1 };
        let units: Vec<i64> = (0..count * outs).map(output).collect();
        let mut listed = vec![("second".to_owned(), Tensor::f_from_slice(&units)?.f_view([count, 1, outs])?)];
        if self.params.len() == 3 {
            let each: Vec<i64> = (0..size.outs).collect();
            listed.push(("bias".to_owned(), Tensor::f_from_slice(&each)?));
        }
        Ok(listed)
    }
}

efference_sdk::export! { layer: Monarch }

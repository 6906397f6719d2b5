//! A network that follows another one slowly.
use efference_sdk::nn::{FeedForward, FeedForwardSpec};
use efference_sdk::tch::{self, Kind, Tensor};
use efference_sdk::{LayerFactory, ParamStore, Params, Result, ensure};

/// A network and its slow copy, whose parameters are buffers: never trained, kept and saved.
///
/// ```text
/// slow ← decay · slow + (1 − decay) · own          at the beginning slow = own
/// ```
pub struct SlowCopy {
    own: FeedForward,
    slow: FeedForward,
    /// The slow copy's tensors, each with the network's own.
    pairs: Vec<(Tensor, Tensor)>,
}

impl SlowCopy {
    /// A network with its parameters in `own`, and its copy with buffers in `copy`.
    ///
    /// # Errors
    /// Those of its layers; and layers that make other tensors each time.
    pub fn new(
        spec: FeedForwardSpec,
        layers: &dyn LayerFactory,
        own: &Params<'_>,
        copy: &Params<'_>,
    ) -> Result<Self> {
        let copy = copy.frozen();
        let network = FeedForward::new(spec, layers, own)?;
        let slow = FeedForward::new(spec, layers, &copy)?;
        let (tensors, copies) = (own.tensors()?, copy.tensors()?);
        ensure!(
            tensors.len() == copies.len(),
            "the network has {} tensors, and its slow copy {}: a layer must make the same ones each time",
            tensors.len(),
            copies.len()
        );
        // What only counts has no values to copy.
        let pairs = match own.only_counts()? {
            true => Vec::new(),
            false => copies.into_iter().zip(tensors).map(|((_, slow), (_, own))| (slow, own)).collect(),
        };
        let copied = SlowCopy { own: network, slow, pairs };
        copied.follow(0.0)?;
        Ok(copied)
    }

    /// Of `x` (rows, ins): (rows, outs) of the network itself.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.own.forward(x)
    }

    /// The same of the slow copy, without gradient.
    pub fn slow(&self, x: &Tensor) -> Result<Tensor> {
        tch::no_grad(|| self.slow.forward(x))
    }

    /// One step of the slow copy towards the network; `decay` in 0…1.
    pub fn follow(&self, decay: f64) -> Result<()> {
        tch::no_grad(|| {
            for (slow, own) in &self.pairs {
                let mut slow = slow.shallow_clone();
                match slow.kind() {
                    Kind::Float => drop(slow.f_lerp_(own, 1.0 - decay)?),
                    _ => slow.f_copy_(own)?,
                }
            }
            Ok(())
        })
    }
}

//! Cell plugin: a minimal gated unit over stacks.
mod blend;
mod gate;

use blend::Blend;
use efference_sdk::autograd::{NamedVjp, SharedVjp, pack_saved, required, unpack_saved};
use efference_sdk::nn::{check_forward, columns};
use efference_sdk::tch::Tensor;
use efference_sdk::{
    Cell, CellSetup, GradInput, GradOutput, Nonlinearity, Plugin, Result, Size, Stack, StackSpec, Vjp, bail,
    ensure,
};
use gate::Gate;
use std::ops::Range;

efference_sdk::options! {
    /// Options of `mgu`.
    pub struct Options {
        /// How many layers stand in a row in each of the cell's stacks.
        #[schemars(range(min = 1, max = 4_096))]
        pub layers: i64 = 1,
        /// How far a state can go from zero; a little more than 1 lets it reach ±1 itself.
        pub out_mult: f64 = 1.2,
        /// What stands between the layers of a stack.
        pub nonlinearity: Nonlinearity = Nonlinearity::Softsign,
    }
}

/// A minimal gated unit (Zhou et al., "Minimal gated unit for recurrent neural networks", arXiv 1603.09420),
/// with stacks of layers in place of its matrices. Of `x` (batch, ins), whose first `outs` features are the state:
///
/// ```text
/// y = input(x)                 if sizes differ, else x
/// f = sigmoid(z(y))
/// next state = (1 − f) · x[.., :outs] + f · out_mult · tanh(h(f · y))
/// ```
///
/// Parameters: those of the stacks, under `input`, `z` and `h`.
///
/// If the stacks have custom VJPs, so has the cell, and autograd records it as one operation; otherwise, and for a range
/// of the outputs, autograd records its pieces: stacks, gate and blend.
pub struct Mgu {
    size: Size,
    parts: SharedVjp<Parts>,
    trained: Vec<Tensor>,
    has_vjp: bool,
}

/// What the formula is made of.
struct Parts {
    size: Size,
    blend: Blend,
    input: Option<Stack>,
    z: Stack,
    h: Stack,
}

impl Plugin for Mgu {
    const NAME: &'static str = "mgu";
    const DESCRIPTION: &'static str =
        "Minimal gated unit: one gate says what to keep, to forget and to look at.";
    type Options = Options;
    type Kind = dyn Cell;

    fn new(options: Options, setup: &CellSetup<'_>) -> Result<Self> {
        let CellSetup { size, layers, params, .. } = setup;
        let (size, layers) = (*size, *layers);
        let Size { ins, outs } = size;
        ensure!(
            ins >= outs,
            "mgu keeps a part of its input as the next state, so that its input ({ins} features) cannot be smaller \
             than its output ({outs})"
        );
        let Options { layers: count, nonlinearity, out_mult } = options;
        ensure!(out_mult.is_finite(), "out_mult must be a finite number, and is {out_mult}");
        let stack = |name: &str, ins: i64| {
            let size = Size { ins, outs };
            let spec = StackSpec { size, layers: count, nonlinearity, zero_at_start: false };
            Stack::new(spec, layers, &params.scope(name))
        };
        let before = params.tensors()?.len();
        let input = if ins == outs { None } else { Some(stack("input", ins)?) };
        let parts =
            Parts { size, blend: Blend { out_mult }, input, z: stack("z", outs)?, h: stack("h", outs)? };
        let trained =
            params.tensors()?.into_iter().skip(before).map(|(_, t)| t).filter(Tensor::requires_grad);
        let has_vjp = parts.input.iter().chain([&parts.z, &parts.h]).all(|stack| stack.vjp().is_some());
        Ok(Mgu { size, trained: trained.collect(), has_vjp, parts: SharedVjp::new(parts) })
    }
}

impl Cell for Mgu {
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        check_forward("mgu", self.size, x, &outs)?;
        if self.has_vjp && outs == (0..self.size.outs) {
            return self.parts.apply(x, &self.trained);
        }
        let parts = self.parts.lock();
        parts.next_state(x, &outs, &mut Recorded(parts.blend))
    }

    fn vjp(&self) -> Option<&dyn Vjp> {
        self.has_vjp.then_some(&self.parts)
    }
}

/// How the pieces of the formula are evaluated.
trait Evaluate {
    /// The outputs `outs` of a stack.
    fn stack(&mut self, stack: &Stack, x: &Tensor, outs: &Range<i64>) -> Result<Tensor>;
    /// `(f, f · y)`
    fn gate(&mut self, z: &Tensor, y: &Tensor) -> Result<(Tensor, Tensor)>;
    /// `(1 − f) · x + f · out_mult · tanh(h)`
    fn blend(&mut self, f: &Tensor, x: &Tensor, h: &Tensor) -> Result<Tensor>;
}

/// Each piece is recorded by autograd.
struct Recorded(Blend);

impl Evaluate for Recorded {
    fn stack(&mut self, stack: &Stack, x: &Tensor, outs: &Range<i64>) -> Result<Tensor> {
        stack.forward_range(x, outs.clone())
    }

    fn gate(&mut self, z: &Tensor, y: &Tensor) -> Result<(Tensor, Tensor)> {
        Gate::apply(z, y)
    }

    fn blend(&mut self, f: &Tensor, x: &Tensor, h: &Tensor) -> Result<Tensor> {
        self.0.apply(f, x, h)
    }
}

/// Each piece is evaluated by its custom VJP, all outputs, and what that saves is gathered.
struct Saving {
    blend: Blend,
    /// Of gate and blend: y, f, x, t.
    own: Vec<Tensor>,
    /// Of each stack, in the order of evaluation.
    stacks: Vec<Vec<Tensor>>,
}

impl Evaluate for Saving {
    fn stack(&mut self, stack: &Stack, x: &Tensor, _: &Range<i64>) -> Result<Tensor> {
        let (y, saved) = required(stack.vjp())?.forward(x)?;
        self.stacks.push(saved);
        Ok(y)
    }

    fn gate(&mut self, z: &Tensor, y: &Tensor) -> Result<(Tensor, Tensor)> {
        let (f, fy) = Gate::forward(z, y)?;
        self.own.extend([y.shallow_clone(), f.shallow_clone()]);
        Ok((f, fy))
    }

    fn blend(&mut self, f: &Tensor, x: &Tensor, h: &Tensor) -> Result<Tensor> {
        let x = x.f_contiguous()?;
        let (out, t) = self.blend.forward(f, &x, h)?;
        self.own.extend([x, t]);
        Ok(out)
    }
}

impl Parts {
    /// The formula of [`Mgu`]: the elements `outs` of the next state.
    fn next_state(&self, x: &Tensor, outs: &Range<i64>, evaluate: &mut impl Evaluate) -> Result<Tensor> {
        let all = 0..self.size.outs;
        let y = match &self.input {
            Some(input) => evaluate.stack(input, x, &all)?,
            None => x.shallow_clone(),
        };
        let z = evaluate.stack(&self.z, &y, &all)?;
        let (f, fy) = evaluate.gate(&z, &y)?;
        let h = evaluate.stack(&self.h, &fy, outs)?;
        evaluate.blend(&columns(&f, outs)?, &columns(x, outs)?, &h)
    }
}

impl NamedVjp for Parts {
    const NAME: &'static str = "mgu";
}

impl Vjp for Parts {
    /// Saved: one part with the own tensors of gate and blend, and one for each stack.
    fn forward(&self, x: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        let mut saving =
            Saving { blend: self.blend, own: Vec::with_capacity(4), stacks: Vec::with_capacity(4) };
        let y = self.next_state(x, &(0..self.size.outs), &mut saving)?;
        saving.stacks.insert(0, saving.own);
        Ok((y, pack_saved(saving.stacks)?))
    }

    fn backward(&self, saved: &[Tensor], grad: &GradOutput<'_>) -> Result<GradInput> {
        let saved = unpack_saved(saved)?;
        let [[y, f, x, t], of_input @ .., of_z, of_h] = &saved[..] else {
            bail!("mgu did not receive what it saved")
        };
        let (g, paths) = (grad.grad, grad.path_count());
        // A stack before needs the gradient of its output along all paths; without one, those suffice that reach the input.
        let y_paths = if self.input.is_some() { paths } else { grad.input_paths };
        let inner = |g, input_paths| GradOutput { grad: g, input_paths, ..*grad };

        let (gf, gh) = self.blend.grad_f_h(g, f, x, t, paths)?;
        let by_h = required(self.h.vjp())?.backward(of_h, &inner(&gh, paths))?;
        let Some(gfy) = by_h.input else { bail!("a stack returned no gradient of its input") };
        let gz = Gate::grad_z(gf, &gfy, f, y, paths)?;
        let by_z = required(self.z.vjp())?.backward(of_z, &inner(&gz, y_paths))?;
        let mut params = by_z.params;
        params.extend(by_h.params);
        if !grad.needs_any_param_grad() {
            params.clear();
        }
        let Some(gy) = by_z.input else { return Ok(GradInput { input: None, params }) };
        let gy = Gate::add_grad_y(gy, &gfy, f, y_paths)?;
        let gx = match (&self.input, of_input) {
            (None, _) => Some(gy),
            (Some(input), [of_input]) => {
                let by_input = required(input.vjp())?.backward(of_input, &inner(&gy, grad.input_paths))?;
                if grad.needs_any_param_grad() {
                    params.splice(0..0, by_input.params);
                }
                by_input.input
            }
            _ => bail!("mgu did not receive what its input's stack saved"),
        };
        let input = gx.map(|gx| Blend::add_grad_x(gx, g, f, grad.input_paths)).transpose()?;
        Ok(GradInput { input, params })
    }
}

efference_sdk::export! { cell: Mgu }

#[cfg(test)]
mod tests {
    use super::*;
    use efference_sdk::{ParamStore, Params, Random};
    use efference_testkit::{self as testkit, LayersOf, Matrix, MemoryStore};

    fn mgu(options: Options, ins: i64, outs: i64) -> Result<(MemoryStore, Mgu)> {
        made(options, ins, outs, "{}")
    }

    fn made(options: Options, ins: i64, outs: i64, matrix: &str) -> Result<(MemoryStore, Mgu)> {
        let store = MemoryStore::new(4);
        let layers = LayersOf::<Matrix>::new(matrix)?;
        let setup = CellSetup {
            size: Size { ins, outs },
            observation: 0..0,
            action: 0..0,
            layers: &layers,
            params: Params::new(&store),
        };
        let mgu = Mgu::new(options, &setup)?;
        Ok((store, mgu))
    }

    #[test]
    fn a_range_is_what_it_is_of_all_outputs_and_its_gradients_are_right() {
        for (ins, outs) in [(10, 10), (20, 10), (13, 10)] {
            let (store, mgu) = mgu(Options { layers: 2, ..Options::default() }, ins, outs).unwrap();
            let x = Random::new(2).normal(&[3, ins], 0.5);
            let all = Cell::forward(&mgu, &x, 0..outs).unwrap();
            let some = Cell::forward(&mgu, &x, 4..9).unwrap();
            assert!(some.allclose(&all.narrow(1, 4, 5), 1e-6, 1e-6, false));
            testkit::check_gradients(&x, &store, |x| Cell::forward(&mgu, x, 0..outs)).unwrap();
            assert!(Cell::vjp(&mgu).is_none());
            let has_input = store.list("input.").unwrap().len();
            assert_eq!(has_input, if ins == outs { 0 } else { 4 });
        }
    }

    #[test]
    fn its_vjp_is_what_autograd_makes_of_it() {
        for (ins, outs, layers) in [(10, 10, 1), (20, 10, 1), (13, 10, 2)] {
            let options = Options { layers, ..Options::default() };
            let (plain_store, plain) = made(options.clone(), ins, outs, "{}").unwrap();
            let (_store, mgu) = made(options, ins, outs, r#"{"vjp": true}"#).unwrap();
            let x = Random::new(2).normal(&[3, ins], 0.5);
            let vjp = Cell::vjp(&mgu).unwrap();
            testkit::check_vjp(vjp, &x, &plain_store, |x| Cell::forward(&plain, x, 0..outs)).unwrap();
        }
    }

    #[test]
    fn states_stay_within_out_mult() {
        let (_store, mgu) = mgu(Options::default(), 10, 10).unwrap();
        let _no_grad = efference_sdk::tch::no_grad_guard();
        let mut x = Random::new(2).normal(&[5, 10], 0.1);
        for _ in 0..50 {
            x = Cell::forward(&mgu, &x, 0..10).unwrap();
            assert!(x.abs().max().double_value(&[]) <= 1.2);
        }
    }

    #[test]
    fn a_state_larger_than_the_input_and_wrong_shapes_are_errors() {
        assert!(mgu(Options::default(), 4, 5).err().unwrap().to_string().contains("cannot be smaller"));
        let (_store, mgu) = mgu(Options::default(), 5, 5).unwrap();
        let x = |n| Random::new(2).normal(&[1, n], 1.0);
        assert!(Cell::forward(&mgu, &x(4), 0..5).unwrap_err().to_string().contains("(batch, 5)"));
        assert!(Cell::forward(&mgu, &x(5), 3..6).unwrap_err().to_string().contains("0..5"));
    }
}

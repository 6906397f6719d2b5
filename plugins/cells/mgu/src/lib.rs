//! Cell plugin: a minimal gated unit over stacks.
mod gate;

use efference_sdk::autograd::{pack_saved, required, unpack_saved};
use efference_sdk::{
    Cell, GradInput, GradOutput, LayerFactory, Nonlinearity, Params, Result, Size, Stack, StackSpec, Vjp,
    bail, ensure, tch::Tensor,
};
use std::ops::Range;

efference_sdk::options! {
    /// Options of `mgu`.
    pub struct Options {
        /// How many layers stand in a row in each of the cell's stacks.
        #[schemars(range(min = 1))]
        pub layers: i64 = 1,
        /// How far a state can go from zero; a little more than 1 lets it reach ±1 itself.
        pub out_mult: f64 = 1.2,
        /// What stands between the layers of a stack.
        pub nonlinearity: Nonlinearity = Nonlinearity::Softsign,
    }
}

/// A minimal gated unit (Zhou et al., "Minimal gated unit for recurrent neural networks", arXiv 1603.09420),
/// with stacks of layers in place of its matrices. Of `x` (batch, ins), whose first `outs` numbers are the state:
///
/// ```text
/// y = input(x)                 if sizes differ, else x
/// f = sigmoid(z(y))
/// next state = (1 − f) · x[.., :outs] + f · out_mult · tanh(h(f · y))
/// ```
///
/// Parameters: those of the stacks, under `input`, `z` and `h`.
pub struct Mgu {
    size: Size,
    out_mult: f64,
    input: Option<Stack>,
    z: Stack,
    h: Stack,
}

impl Cell for Mgu {
    const NAME: &'static str = "mgu";
    const DESCRIPTION: &'static str =
        "Minimal gated unit: one gate says what to keep, to forget and to look at.";
    type Options = Options;

    fn new(options: Options, size: Size, layers: &dyn LayerFactory, params: &Params<'_>) -> Result<Self> {
        let Size { ins, outs } = size;
        ensure!(
            ins >= outs,
            "mgu keeps a part of its input as the next state, so that its input ({ins} numbers) cannot be smaller \
             than its output ({outs})"
        );
        let Options { layers: count, nonlinearity, out_mult } = options;
        ensure!(out_mult.is_finite(), "out_mult must be a finite number, and is {out_mult}");
        let stack = |name: &str, ins: i64| {
            let size = Size { ins, outs };
            let spec = StackSpec { size, layers: count, nonlinearity, zero_at_start: false };
            Stack::new(spec, layers, &params.scope(name))
        };
        let input = if ins == outs { None } else { Some(stack("input", ins)?) };
        Ok(Mgu { size, out_mult, input, z: stack("z", outs)?, h: stack("h", outs)? })
    }

    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        let Size { ins, outs: all } = self.size;
        ensure!(
            x.dim() == 2 && x.size()[1] == ins,
            "mgu takes (batch, {ins}) numbers, and was given {:?}",
            x.size()
        );
        ensure!(
            0 <= outs.start && outs.start <= outs.end && outs.end <= all,
            "mgu has the outputs 0..{all}, and was asked for {outs:?}"
        );
        let y = match &self.input {
            Some(input) => input.forward(x)?,
            None => x.shallow_clone(),
        };
        let (f, fy) = gate::gate(&self.z.forward(&y)?, &y)?;
        let length = outs.end - outs.start;
        let h = self.h.forward_range(&fy, outs.clone())?;
        if length == all {
            return gate::blend(&f, x, &h, self.out_mult);
        }
        let new = h.f_tanh()?.f_mul_scalar(self.out_mult)?;
        let (f, kept) = (f.f_narrow(1, outs.start, length)?, x.f_narrow(1, outs.start, length)?);
        Ok(kept.f_lerp_tensor(&new, &f)?)
    }

    fn vjp(&self) -> Option<&dyn Vjp> {
        self.stacks().all(|stack| stack.vjp().is_some()).then_some(self)
    }
}

impl Mgu {
    /// In the order in which they were made.
    fn stacks(&self) -> impl Iterator<Item = &Stack> {
        self.input.iter().chain([&self.z, &self.h])
    }
}

impl Vjp for Mgu {
    /// Saved, in four parts: what the elementwise steps need, and what each stack saved.
    fn forward(&self, x: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        let (y, of_input) = match &self.input {
            Some(input) => required(input.vjp())?.forward(x)?,
            None => (x.shallow_clone(), Vec::new()),
        };
        let (z, of_z) = required(self.z.vjp())?.forward(&y)?;
        let (f, fy) = gate::open(&z, &y)?;
        let (h, of_h) = required(self.h.vjp())?.forward(&fy)?;
        let x = gate::front(&f, x)?.f_contiguous()?;
        let (out, t) = gate::mix(&f, &x, &h, self.out_mult)?;
        Ok((out, pack_saved(vec![vec![x, y, f, t], of_input, of_z, of_h])?))
    }

    fn backward(&self, saved: &[Tensor], grad: &GradOutput<'_>) -> Result<GradInput> {
        let [own, of_input, of_z, of_h] = unpack_saved(saved)?;
        let [x, y, f, t] = own else { bail!("mgu did not receive what it saved") };
        let (gradient, paths) = (grad.grad, grad.path_count());
        // Behind the input's stack, the gradient of its output is needed along all paths; without one, along those alone that reach the input.
        let to_y = if self.input.is_some() { paths } else { grad.input_paths };
        let inner = |g| GradOutput { grad: g, input_paths: paths, ..*grad };

        let (gf, gh) = gate::mix_backward(gradient, f, x, t, self.out_mult, paths)?;
        let by_h = required(self.h.vjp())?.backward(of_h, &inner(&gh))?;
        let Some(gfy) = by_h.input else { bail!("a stack returned no gradient of its input") };
        let gz = gate::open_backward(gf, &gfy, f, y, paths)?;
        let by_z = required(self.z.vjp())?.backward(of_z, &GradOutput { input_paths: to_y, ..inner(&gz) })?;
        let mut params = by_z.params;
        params.extend(by_h.params);
        let Some(gy) = by_z.input else { return Ok(GradInput { input: None, params }) };
        let gy = gate::add_product(gy, &gfy, f, to_y)?;
        let mut gx = Some(gy);
        if let Some(stack) = &self.input {
            let Some(gy) = gx.take() else { bail!("a stack returned no gradient") };
            let by_input = required(stack.vjp())?.backward(of_input, &GradOutput { grad: &gy, ..*grad })?;
            params.splice(0..0, by_input.params);
            gx = by_input.input;
        }
        let input = gx.map(|gx| gate::add_kept(gx, gradient, f, grad.input_paths)).transpose()?;
        Ok(GradInput { input, params })
    }
}

efference_sdk::export! { cell: Mgu }

#[cfg(test)]
mod tests {
    use super::*;
    use efference_sdk::{
        ParamStore, Random,
        testkit::{self, LayersOf, Matrix, MemoryStore},
    };

    fn mgu(options: Options, ins: i64, outs: i64) -> Result<(MemoryStore, Mgu)> {
        made(options, ins, outs, "{}")
    }

    fn made(options: Options, ins: i64, outs: i64, matrix: &str) -> Result<(MemoryStore, Mgu)> {
        let store = MemoryStore::new(4);
        let layers = LayersOf::<Matrix>::new(matrix)?;
        let mgu = Mgu::new(options, Size { ins, outs }, &layers, &Params::new(&store))?;
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

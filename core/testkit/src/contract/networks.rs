//! What must be true of every layer and every cell.
use super::network::{Layers, Network, Networks, Object};
use super::process::check_growth;
use super::{Check, MADE_HELP, MADE_NAME, Verdict};
use crate::{Matrix, check_connections, check_gradients, check_units, check_vjp};
use efference_sdk::tch::{self, Device, Tensor};
use efference_sdk::{ParamStore, Random, Result, ResultExt, Size, bail, ensure};
use std::ops::Range;
use std::time::Instant;

const MADE: Check<dyn Networks> = Check {
    name: MADE_NAME,
    help: MADE_HELP,
    run: |networks| networks.make(networks.sizes()[0], 1).map(|_| Verdict::Holds),
};

const FORWARD: Check<dyn Networks> = Check {
    name: "for many sizes and batches it returns as many finite float32 outputs as were asked for",
    help: "Return (batch, outs.len()) of the input's kind and device; a size that it cannot have is an error while it is made.",
    run: |networks| {
        for size in networks.sizes() {
            let network = networks.make(size, 1)?;
            for rows in [1, 2, 5] {
                let y = network.all(&network.input(rows, 2)?)?;
                ensure!(
                    y.isfinite().all().int64_value(&[]) == 1,
                    "it turned finite numbers into others (NaN or infinity), for {} → {} features",
                    size.ins,
                    size.outs
                );
            }
        }
        Ok(Verdict::Holds)
    },
};

const RANGES: Check<dyn Networks> = Check {
    name: "a range of the outputs is what it is of all outputs",
    help: "`outs` says which outputs are wanted: compute all and narrow them, or use the weights of those alone.",
    run: |networks| {
        for size in networks.sizes() {
            let network = networks.make(size, 1)?;
            let x = network.input(3, 2)?;
            let all = network.all(&x)?;
            for outs in [0..1, size.outs - 1..size.outs, size.outs / 3..size.outs - size.outs / 4] {
                let expected = all.f_narrow(1, outs.start, outs.end - outs.start)?;
                let found = network.forward(&x, outs.clone())?;
                ensure!(
                    found.allclose(&expected, 1e-4, 1e-5, false),
                    "the outputs {outs:?} of {} differ from those of all by {:.3e}",
                    size.outs,
                    difference(&found, &expected)?
                );
            }
        }
        Ok(Verdict::Holds)
    },
};

const REPEATS: Check<dyn Networks> = Check {
    name: "the same input gives the same outputs, bit for bit, and so does one that is made again",
    help: "Draw random numbers from `setup.params.random(NAME)`, or in a step from `step_seed`, and keep nothing from call to call.",
    run: |networks| {
        let size = networks.sizes()[0];
        let (network, again) = (networks.make(size, 1)?, networks.make(size, 1)?);
        let x = network.input(3, 2)?;
        let y = network.all(&x)?;
        ensure!(network.all(&x)?.equal(&y), "the same input gave other outputs at the second time");
        ensure!(again.all(&x)?.equal(&y), "one that was made with the same seed gave other outputs");
        if network.store.list("")?.iter().any(|(_, t)| t.requires_grad() && t.numel() > 4) {
            let other = networks.make(size, 2)?.all(&x)?;
            ensure!(
                !other.equal(&y),
                "its outputs do not depend on the seed: are all parameters the same at the start?"
            );
        }
        Ok(Verdict::Holds)
    },
};

const ROWS: Check<dyn Networks> = Check {
    name: "rows of a batch do not see each other, and NaN stays in its row",
    help: "Each row is another stream: no mean, norm or matrix may run over the rows.",
    run: |networks| {
        let size = networks.sizes()[0];
        let network = networks.make(size, 1)?;
        let x = network.input(3, 2)?;
        let y = network.all(&x)?;
        for row in 0..3 {
            let alone = network.all(&x.f_narrow(0, row, 1)?)?;
            let expected = y.f_narrow(0, row, 1)?;
            ensure!(
                alone.allclose(&expected, 1e-4, 1e-5, false),
                "row {row} alone gives other outputs than among 3, by {:.3e}",
                difference(&alone, &expected)?
            );
        }
        let with_nan = x.copy();
        let _ = with_nan.f_select(0, 1)?.f_fill_(f64::NAN)?;
        let found = network.all(&with_nan)?;
        for row in [0, 2] {
            ensure!(
                found.f_select(0, row)?.allclose(&y.f_select(0, row)?, 1e-4, 1e-5, false),
                "NaN in row 1 changes row {row}"
            );
        }
        ensure!(
            found.f_select(0, 1)?.isnan().any().int64_value(&[]) == 1,
            "a row of NaN gives finite outputs: what has gone wrong before it would be hidden"
        );
        Ok(Verdict::Holds)
    },
};

const GRADIENTS: Check<dyn Networks> = Check {
    name: "gradients of its input and of each parameter agree with finite differences",
    help: "Let autograd see each operation (no `detach`, no `no_grad`), or give the gradient by a custom operation that is right.",
    run: |networks| {
        let size = networks.sizes()[0];
        let network = networks.make(size, 1)?;
        let x = network.input(3, 2)?;
        let rest = x.f_narrow(1, network.state, size.ins - network.state)?;
        let front = x.f_narrow(1, 0, network.state)?;
        check_gradients(&front, &network.store, |front| {
            network.forward(&Tensor::f_cat(&[front, &rest], 1)?, 0..size.outs)
        })?;
        Ok(Verdict::Holds)
    },
};

const VJP: Check<dyn Networks> = Check {
    name: "its custom VJP, if it has one, agrees with its forward pass",
    help: "`backward` is to return the gradients of what `forward` computes, for each gradient path, in the order of the parameters.",
    run: |networks| {
        let size = networks.sizes()[0];
        let network = networks.make(size, 1)?;
        let Some(vjp) = network.vjp() else { return Ok(Verdict::NotAsked("it has none".to_owned())) };
        // A range of the outputs is mostly recorded by autograd, piece by piece.
        let halves = |x: &Tensor| -> Result<Tensor> {
            let half = size.outs / 2;
            Ok(Tensor::f_cat(&[network.forward(x, 0..half)?, network.forward(x, half..size.outs)?], 1)?)
        };
        check_vjp(vjp, &network.input(3, 2)?, &network.store, halves)?;
        Ok(Verdict::Holds)
    },
};

const GRAPHS: Check<dyn Networks> = Check {
    name: "no graph is carried from one call to the next",
    help: "What is kept between calls must be detached (`f_detach`): the graph of a call is gone after its backward pass.",
    run: |networks| {
        let network = networks.make(networks.sizes()[0], 1)?;
        for step in 0..3 {
            let x = network.input(2, step)?;
            network.train(&x).with_context(|| format!("in step {step}"))?;
        }
        Ok(Verdict::Holds)
    },
};

const GRAD_MODE: Check<dyn Networks> = Check {
    name: "without gradients it computes the same, and asks for none",
    help: "Whether gradients are recorded is the caller's to say: do not switch them on.",
    run: |networks| {
        let network = networks.make(networks.sizes()[0], 1)?;
        let x = network.input(3, 2)?;
        let expected = network.all(&x)?;
        let found = tch::no_grad(|| network.all(&x))?;
        ensure!(!found.requires_grad(), "its outputs carry gradient though gradients are switched off");
        ensure!(
            found.allclose(&expected, 1e-5, 1e-6, false),
            "its outputs differ by {:.3e} where gradients are switched off",
            difference(&found, &expected)?
        );
        Ok(Verdict::Holds)
    },
};

const RESTORED: Check<dyn Networks> = Check {
    name: "with the parameters and buffers of another it is that other, bit for bit",
    help: "What outputs depend on belongs into parameters and buffers (`setup.params`), which the host saves and restores in place.",
    run: |networks| {
        let size = networks.sizes()[0];
        let (network, other) = (networks.make(size, 1)?, networks.make(size, 2)?);
        for (name, value) in network.store.list("")? {
            other.store.set(&name, &value)?;
        }
        let x = network.input(3, 2)?;
        let (expected, found) = (network.all(&x)?, other.all(&x)?);
        ensure!(found.equal(&expected), "its outputs differ by {:.3e}", difference(&found, &expected)?);
        Ok(Verdict::Holds)
    },
};

const WRONG: Check<dyn Networks> = Check {
    name: "an input that is too wide is refused by an error, not by a panic",
    help: "Use tch's `f_…` methods and `?`; the others panic. `nn::check_forward` makes the sentence.",
    run: |networks| {
        let size = networks.sizes()[0];
        let network = networks.make(size, 1)?;
        let wide = Random::new(2).f_normal(&[2, size.ins + 3], 0.7)?;
        let found = match &network.object {
            Object::Layer(layer) => layer.forward(&wide, 0..size.outs),
            Object::Cell(cell) => cell.forward(&wide, 0..size.outs),
        };
        match found {
            Err(error) if error.panicked() => {
                bail!("{} features instead of {}: {error:#}", size.ins + 3, size.ins)
            }
            Err(_) => Ok(Verdict::Holds),
            Ok(_) => bail!("{} features were taken where {} were said", size.ins + 3, size.ins),
        }
    },
};

const MEMORY: Check<dyn Networks> = Check {
    name: "memory does not grow over 10,000 calls",
    help: "Something is kept from call to call: a list that grows, or a tensor with its graph.",
    run: |networks| {
        let network = networks.make(networks.sizes()[0], 1)?;
        let x = network.input(2, 2)?;
        check_growth(2_500, |turn| {
            if turn % 4 == 0 {
                network.train(&x)?;
            }
            tch::no_grad(|| (0..3).try_for_each(|_| network.all(&x).map(drop)))
        })?;
        Ok(Verdict::Holds)
    },
};

const SPEED: Check<dyn Networks> = Check {
    name: "a call takes a reasonable time",
    help: "Look where the time goes with `efference bench`; tensors are better made while it is made than in each call.",
    run: |networks| {
        let size = Size { ins: 256, outs: 128 };
        let mine = networks.make(size, 1)?;
        let dense = Layers::new(|setup| {
            let plugin: Matrix = efference_sdk::Plugin::new(Default::default(), setup)?;
            Ok(Box::new(plugin))
        });
        let dense = dense.make(size, 1)?;
        let time = |network: &Network| -> Result<f64> {
            let x = network.input(4, 2)?;
            (0..5).try_for_each(|_| network.train(&x))?;
            let began = Instant::now();
            (0..50).try_for_each(|_| network.train(&x))?;
            Ok(began.elapsed().as_secs_f64() / 50.0)
        };
        let (mine, dense) = (time(&mine)?, time(&dense)?);
        Ok(Verdict::With(format!(
            "{:.0} µs forward and backward, {:.1} times a full matrix (256 → 128 features, 4 rows)",
            mine * 1e6,
            mine / dense.max(1e-9)
        )))
    },
};

const DECLARATIONS: Check<dyn Networks> = Check {
    name: "what it tells of its weights, connections and units is true",
    help: "`weights`, `connections` and `units` are to name parameters as they were added; each may be left out.",
    run: |networks| {
        let size = networks.sizes()[0];
        let network = networks.make(size, 1)?;
        let layer = network.layer()?;
        let (mut told, connections) = (Vec::new(), layer.connections()?);
        for layout in layer.weights()? {
            let dims = network.store.get(&layout.name)?.dim() as i64;
            ensure!(
                layout.input_dims.iter().all(|dim| (0..dims).contains(dim)),
                "'{}' has {dims} dims, and {:?} are said to run over inputs",
                layout.name,
                layout.input_dims
            );
            told.push("weights");
        }
        if !connections.is_empty() {
            check_connections(layer, size)?;
            told.push("connections");
        }
        if !layer.units()?.is_empty() {
            check_units(layer, size, &network.store)?;
            told.push("units");
        }
        told.dedup();
        match told[..] {
            [] => Ok(Verdict::NotAsked("it tells none".to_owned())),
            _ => Ok(Verdict::With(told.join(", "))),
        }
    },
};

const RECURRENCE: Check<dyn Networks> = Check {
    name: "what it tells of its memory and recurrence fits its state",
    help: "`memory` and `recurrence` speak of elements of a state, `units` of parameters as they were added.",
    run: |networks| {
        let size = networks.sizes()[0];
        let network = networks.make(size, 1)?;
        let Object::Cell(cell) = &network.object else { bail!("a layer is no cell") };
        let memory = cell.memory()?;
        ensure!(
            (0..=size.outs).contains(&memory),
            "{memory} elements of its own do not fit into {} of a state",
            size.outs
        );
        let Some(recurrence) = cell.recurrence()? else {
            return Ok(Verdict::NotAsked("it tells no recurrence".to_owned()));
        };
        let Range { start, end } = recurrence.elements;
        ensure!(
            0 <= start && start < end && end <= size.outs,
            "units at {start}..{end} are not in a state of {}",
            size.outs
        );
        ensure!(
            recurrence.parts >= 1 && (end - start) % recurrence.parts == 0,
            "{} elements cannot be units of {} each",
            end - start,
            recurrence.parts
        );
        let count = (end - start) / recurrence.parts;
        for (name, units) in &recurrence.units {
            let units = units
                .f_expand(network.store.get(name)?.size(), false)
                .with_context(|| format!("the units of '{name}'"))?;
            let (least, most) = (units.min().int64_value(&[]), units.max().int64_value(&[]));
            ensure!(
                least >= -1 && most < count,
                "'{name}' feeds units {least} to {most}, and there are {count}"
            );
        }
        Ok(Verdict::With(format!("{count} units")))
    },
};

/// What must be true of every layer.
pub const LAYER_CHECKS: &[Check<dyn Networks>] = &[
    MADE,
    FORWARD,
    RANGES,
    REPEATS,
    ROWS,
    GRADIENTS,
    VJP,
    GRAPHS,
    GRAD_MODE,
    RESTORED,
    WRONG,
    DECLARATIONS,
    MEMORY,
    SPEED,
];

/// What must be true of every cell.
pub const CELL_CHECKS: &[Check<dyn Networks>] = &[
    MADE, FORWARD, RANGES, REPEATS, ROWS, GRADIENTS, VJP, GRAPHS, GRAD_MODE, RESTORED, WRONG, RECURRENCE,
    MEMORY, SPEED,
];

fn difference(a: &Tensor, b: &Tensor) -> Result<f64> {
    Ok(a.f_sub(b)?.f_abs()?.f_max()?.f_to_device(Device::Cpu)?.f_double_value(&[])?)
}

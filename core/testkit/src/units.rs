//! Whether the elements of a layer's parameters feed the outputs that the layer says they feed.
use crate::MemoryStore;
use efference_sdk::tch::{Kind, Tensor};
use efference_sdk::{Layer, Random, Result, Size, bail, ensure};

/// Checks what [`Layer::units`] says of a layer of this size, made with the parameters of `store`: at random inputs, a
/// random gradient of one output after the other must reach those elements of each listed parameter that feed the output,
/// and no others.
///
/// # Errors
/// A listed parameter is not there, its units do not broadcast to it or are no outputs, or gradient reaches an element
/// that feeds another output by what the layer says.
pub fn check_units(layer: &dyn Layer, size: Size, store: &MemoryStore) -> Result<()> {
    let x = Random::new(0).normal(&[3, size.ins], 1.0);
    let y = layer.forward(&x, 0..size.outs)?;
    for (name, units) in layer.units()? {
        let parameter = store.get(&name)?;
        ensure!(units.kind() == Kind::Int64, "the units of '{name}' are {:?} instead of Int64", units.kind());
        let units = units.f_expand(parameter.size(), false)?;
        let (least, most) = (units.min().int64_value(&[]), units.max().int64_value(&[]));
        ensure!(
            least >= -1 && most < size.outs,
            "the units of '{name}' are {least} to {most}, of {} outputs",
            size.outs
        );
        for out in 0..size.outs {
            let of_output = y.f_select(1, out)?.f_sum(Kind::Float)?;
            let found = Tensor::f_run_backward(&[of_output], &[&parameter], true, false)?.remove(0);
            let reached = found.f_ne(0.0)?;
            if reached.f_logical_and(&units.f_ne(out)?)?.f_any()?.int64_value(&[]) != 0 {
                bail!("output {out} depends on an element of '{name}' that feeds another one by its units");
            }
            let own = units.f_eq(out)?;
            ensure!(
                own.f_any()?.int64_value(&[]) == 0
                    || own.f_logical_and(&reached)?.f_any()?.int64_value(&[]) != 0,
                "output {out} depends on no element of '{name}', though some feed it by its units"
            );
        }
    }
    Ok(())
}

//! Tensors as a checkpoint has them, and back.
use efference_runs::checkpoint::{Array, Arrays, Dtype};
use efference_sdk::tch::{Device, Kind, Tensor};
use efference_sdk::{Result, Saved, bail};

/// Each kind of tensor that is saved, with what safetensors calls it.
const KINDS: [(Kind, Dtype); 10] = [
    (Kind::Float, Dtype::F32),
    (Kind::Double, Dtype::F64),
    (Kind::Half, Dtype::F16),
    (Kind::BFloat16, Dtype::BF16),
    (Kind::Int64, Dtype::I64),
    (Kind::Int, Dtype::I32),
    (Kind::Int16, Dtype::I16),
    (Kind::Int8, Dtype::I8),
    (Kind::Uint8, Dtype::U8),
    (Kind::Bool, Dtype::BOOL),
];

/// Copies tensors of a part into arrays.
pub(super) fn to_arrays(part: &str, tensors: Saved, arrays: &mut Vec<Array>) -> Result<()> {
    for (name, tensor) in tensors {
        let tensor = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?;
        let name = format!("{part}/{name}");
        let Some((_, dtype)) = KINDS.iter().find(|(kind, _)| *kind == tensor.kind()) else {
            bail!("'{name}' holds {:?}, which a checkpoint cannot hold", tensor.kind());
        };
        let shape: Vec<usize> = tensor.size().iter().map(|n| *n as usize).collect();
        let elements = tensor.numel();
        let mut data = vec![0; elements * tensor.kind().elt_size_in_bytes()];
        if elements > 0 {
            tensor.f_copy_data_u8(&mut data, elements)?;
        }
        arrays.push(Array { name, dtype: *dtype, shape, data });
    }
    Ok(())
}

/// The tensors of a part, on the CPU.
pub(super) fn to_tensors(arrays: &[Array], part: &str) -> Result<Saved> {
    let tensor = |(name, array): (&str, &Array)| {
        let Some((kind, _)) = KINDS.iter().find(|(_, dtype)| *dtype == array.dtype) else {
            bail!(
                "'{part}/{name}' of the checkpoint holds {:?}, which is no kind of tensor here",
                array.dtype
            );
        };
        let size: Vec<i64> = array.shape.iter().map(|n| *n as i64).collect();
        Ok((name.to_owned(), Tensor::f_from_data_size(&array.data, &size, *kind)?))
    };
    Arrays::part(arrays, part).iter().map(tensor).collect()
}

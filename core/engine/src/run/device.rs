//! Where tensors are to live, as far as this machine lets them.
use efference_spec as spec;
use std::path::Path;
use tch::Device;
use thiserror::Error;

/// Why the GPU that a spec asks for cannot be used.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum NoDevice {
    /// The libtorch that this program was built with has no CUDA part.
    #[error(
        "`device = \"cuda\"` cannot be had: this libtorch has no CUDA part. Run `cargo xtask setup --cuda` and build \
         again, or set `device = \"cpu\"`"
    )]
    NoCudaPart,
    /// libtorch has its CUDA part, and found no driver or no GPU.
    #[error(
        "`device = \"cuda\"` cannot be had: {0}. Look at what `nvidia-smi` says, or set `device = \"cpu\"`"
    )]
    NoGpu(&'static str),
    /// There are GPUs, but not this one.
    #[error(
        "`device = \"cuda:{asked}\"` cannot be had: this machine has {there} usable GPU(s), counted from 0"
    )]
    NoSuchGpu {
        /// The number that was asked for.
        asked: usize,
        /// How many there are.
        there: i64,
    },
}

/// The device that a spec asks for; `auto` is the first GPU that can be used, else the CPU.
pub fn choose(asked: spec::Device) -> Result<Device, NoDevice> {
    let there = if tch::Cuda::is_available() { tch::Cuda::device_count() } else { 0 };
    match asked {
        spec::Device::Cpu => Ok(Device::Cpu),
        spec::Device::Auto if there == 0 => Ok(Device::Cpu),
        spec::Device::Auto => Ok(Device::Cuda(0)),
        spec::Device::Cuda(n) if i64::try_from(n).is_ok_and(|n| n < there) => Ok(Device::Cuda(n)),
        spec::Device::Cuda(asked) if there > 0 => Err(NoDevice::NoSuchGpu { asked, there }),
        spec::Device::Cuda(_) if !tch::utils::has_cuda() => Err(NoDevice::NoCudaPart),
        spec::Device::Cuda(_) if !Path::new("/proc/driver/nvidia/version").exists() => {
            Err(NoDevice::NoGpu("no NVIDIA driver is loaded"))
        }
        spec::Device::Cuda(_) => Err(NoDevice::NoGpu("the driver offers no GPU to this process")),
    }
}

/// Its name in a spec.
pub fn name(device: Device) -> String {
    match device {
        Device::Cuda(n) => format!("cuda:{n}"),
        _ => "cpu".to_owned(),
    }
}

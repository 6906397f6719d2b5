//! What a device can do at most, measured.
use efference_sdk::Result;
use std::time::{Duration, Instant};
use tch::{Cuda, Device, Kind, Tensor};

/// The most that a device does a second, by libtorch and on its threads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peak {
    /// Floating-point operations, in a product of large matrices of 32-bit floats.
    pub flop_per_second: f64,
    /// Bytes read and written, in a copy from one large block of memory to another.
    pub bytes_per_second: f64,
}

/// Each of the two is repeated for so long; the best counts.
const EACH: Duration = Duration::from_millis(300);
/// Bytes that are copied: far more than caches hold.
const COPIED: i64 = 256 << 20;

impl Peak {
    /// Measures a device for about a second.
    ///
    /// # Errors
    /// If there is not enough memory for it, half a gibibyte.
    pub fn measure(device: Device) -> Result<Peak> {
        tch::no_grad(|| {
            // A GPU is not filled by what fills a CPU.
            let n: i64 = if device == Device::Cpu { 1024 } else { 4096 };
            let ones = |shape: &[i64]| Tensor::f_ones(shape, (Kind::Float, device));
            let (a, b, product) = (ones(&[n, n])?, ones(&[n, n])?, ones(&[n, n])?);
            let seconds = best(device, || Ok(a.f_mm_out(&product, &b).map(drop)?))?;
            let flop_per_second = 2.0 * (n as f64).powi(3) / seconds;

            let source = ones(&[COPIED / 4])?;
            let mut copy = source.f_empty_like()?;
            let seconds = best(device, || Ok(copy.f_copy_(&source)?))?;
            Ok(Peak { flop_per_second, bytes_per_second: 2.0 * COPIED as f64 / seconds })
        })
    }
}

/// The fewest seconds that `f` takes.
fn best(device: Device, mut f: impl FnMut() -> Result<()>) -> Result<f64> {
    let wait = || {
        if let Device::Cuda(index) = device {
            Cuda::synchronize(index as i64);
        }
    };
    let all = Instant::now();
    let mut fewest = f64::INFINITY;
    // The first one makes ready what is used: threads, pages, the GPU's library.
    let mut rounds = 0;
    while rounds < 3 || all.elapsed() < EACH {
        wait();
        let began = Instant::now();
        f()?;
        wait();
        fewest = fewest.min(began.elapsed().as_secs_f64());
        rounds += 1;
    }
    Ok(fewest)
}

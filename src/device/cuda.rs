//! The opening of a GPU, and what its driver says of it.
#![allow(unsafe_code)] // two switches of the driver that have no safe name, and two questions

use candle_core::cuda::CudaDevice;
use candle_core::cuda::cudarc::cublas::sys::cublasGetVersion_v2;
use candle_core::cuda::cudarc::driver::sys::{CUmemPool_attribute, cuDriverGetVersion};
use candle_core::cuda::cudarc::driver::{CudaContext, DriverError, result};
use candle_core::{Device, Result};

use super::gibibytes;

/// Opens the GPU of this number.
pub fn open(ordinal: usize) -> Result<Device> {
    // One stream of our own: candle's default is the stream of the thread that calls, and nothing orders two of them.
    let device = Device::new_cuda_with_stream(ordinal)?;
    let cuda = device.as_cuda_device()?;
    // SAFETY: events order what several streams do, and all work of this process goes to the one stream above.
    unsafe { cuda.disable_event_tracking() };
    keep_memory(cuda.cuda_stream().context()).map_err(candle_core::Error::wrap)?;
    Ok(device)
}

/// The number of the card so many behind another one, or that one where it is the only one to be seen.
pub fn place(named: usize, behind: usize) -> usize {
    match CudaContext::device_count() {
        Ok(1) => named,
        _ => named + behind,
    }
}

/// Lets the memory pool keep what was freed. By default it goes back to the system at every wait for the device, and
/// mapping a gibibyte again takes tens of milliseconds.
fn keep_memory(context: &CudaContext) -> std::result::Result<(), DriverError> {
    if !context.has_async_alloc() {
        return Ok(()); // no pool
    }
    let mut all = u64::MAX;
    // SAFETY: the context is that of a device with a pool, and the threshold is a number of 64 bits.
    unsafe {
        let pool = result::device::get_default_mem_pool(context.cu_device())?;
        let threshold = CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        result::mem_pool::set_attribute(pool, threshold, (&raw mut all).cast())
    }
}

/// Card, driver and libraries.
pub fn facts(device: &CudaDevice) -> Result<Vec<(&'static str, String)>> {
    let stream = device.cuda_stream();
    let context = stream.context();
    let driver = |error: DriverError| candle_core::Error::wrap(error);
    let (major, minor) = context.compute_capability().map_err(driver)?;
    let (free, total) = context.mem_get_info().map_err(driver)?;
    let (mut cuda, mut cublas) = (0, 0);
    // SAFETY: both write one number to where they are told to; the handle lives as long as the device.
    unsafe {
        cuDriverGetVersion(&raw mut cuda).result().map_err(driver)?;
        cublasGetVersion_v2(*device.cublas_handle().handle(), &raw mut cublas)
            .result()
            .map_err(candle_core::Error::wrap)?;
    }
    let mut facts = vec![
        ("card", context.name().map_err(driver)?),
        ("compute capability", format!("{major}.{minor}")),
        ("memory left", format!("{} of {}", gibibytes(free as u64), gibibytes(total as u64))),
        ("driver", format!("CUDA {}.{}", cuda / 1000, cuda % 1000 / 10)),
        ("cuBLAS", format!("{}.{}.{}", cublas / 10_000, cublas / 100 % 100, cublas % 100)),
    ];
    #[cfg(feature = "cudnn")]
    {
        let version = candle_core::cuda::cudarc::cudnn::result::get_version();
        facts.push(("cuDNN", format!("{}.{}.{}", version / 10_000, version / 100 % 100, version % 100)));
    }
    Ok(facts)
}

//! Where tensors live: `cpu`, `cuda:N`, or `auto` (the first CUDA device if there is one), and how much room there is.

#[cfg(feature = "cuda")]
mod cuda;
mod memory;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use candle_core::Device;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

pub use memory::{memory_left, memory_peak};

/// How a GPU multiplies numbers of 32 bits, in matrix products and convolutions. Everything else, and all that other
/// devices do, is f32 in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// As they are.
    #[default]
    F32,
    /// Factors rounded to 10 bits behind the point, sums in f32: tensor cores, several times as fast.
    Tf32,
    /// Factors and what products give rounded to 7 bits behind the point, sums in f32: twice as fast again, with casts.
    Bf16,
}

impl Precision {
    /// The precision as the key `train.precision` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Tf32 => "tf32",
            Precision::Bf16 => "bf16",
        }
    }
}

/// Whether this process rounds factors to bf16.
static BF16: AtomicBool = AtomicBool::new(false);

/// Sets the precision of this process. cuBLAS is told of TF32 by candle, cuDNN by our own calls of it, which ask
/// [`precision`], as do those that round to bf16.
pub fn set_precision(precision: Precision) {
    BF16.store(precision == Precision::Bf16, Ordering::Relaxed);
    candle_core::cuda::set_gemm_reduced_precision_f32(precision == Precision::Tf32);
}

/// The precision of products and convolutions on a device.
pub fn precision(device: &Device) -> Precision {
    match device {
        Device::Cuda(_) if BF16.load(Ordering::Relaxed) => Precision::Bf16,
        Device::Cuda(_) if candle_core::cuda::gemm_reduced_precision_f32() => Precision::Tf32,
        _ => Precision::F32,
    }
}

/// How the numbers of images lie in the convolutions of a GPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageLayout {
    /// As the convolution is fastest, by what is known of it: pixel by pixel where factors are rounded and nothing is
    /// tracked, channel by channel elsewhere.
    #[default]
    Auto,
    /// Channel by channel.
    ChannelsFirst,
}

/// Whether this process leaves images channel by channel.
static CHANNELS_FIRST: AtomicBool = AtomicBool::new(false);

/// Sets the layout of this process, which [`channels_last`] tells.
pub fn set_layout(layout: ImageLayout) {
    CHANNELS_FIRST.store(layout == ImageLayout::ChannelsFirst, Ordering::Relaxed);
}

/// Whether convolutions on a device that are not tracked read images pixel by pixel.
pub fn channels_last(device: &Device) -> bool {
    precision(device) != Precision::F32 && !CHANNELS_FIRST.load(Ordering::Relaxed)
}

/// How many cards behind the one that a configuration names this process takes its own.
static BEHIND: AtomicUsize = AtomicUsize::new(0);

/// Has [`open`] take the card so many behind the one that is named: each rank of a machine has its own. A process that
/// sees one card only takes that.
pub fn prefer(behind: usize) {
    BEHIND.store(behind, Ordering::SeqCst);
}

/// Opens the device that `--device` or the key `device` names.
///
/// # Errors
/// A name that is none of `cpu`, `cuda`, `cuda:N`, `auto`; a CUDA device that this binary or this
/// machine does not have.
pub fn open(name: &str) -> Result<Device> {
    match name.split_once(':').unwrap_or((name, "0")) {
        ("cpu", "0") => Ok(Device::Cpu),
        ("auto", "0") => Ok(cuda(0).unwrap_or_else(|error| {
            tracing::warn!("{}", fallen_back(&error));
            Device::Cpu
        })),
        ("cuda", n) => cuda(n.parse().map_err(|_| unknown(name))?),
        _ => Err(unknown(name)),
    }
}

/// While it lives, what candle tells its kernels on a GPU of shapes and strides is uploaded once for each and kept
/// there, instead of with every launch. It is for code that uploads nothing else: small data would be kept too. On a
/// CPU there is nothing to keep.
pub struct ShapesKept {
    _guard: Option<Box<dyn std::any::Any>>,
}

/// Keeps the shapes that kernels are told on this device ([`ShapesKept`]), for this thread.
pub fn keep_shapes(device: &Device) -> ShapesKept {
    #[cfg(feature = "cuda")]
    let _guard = match device {
        Device::Cuda(device) => Some(Box::new(device.enable_cuda_graph_htod_cache()) as Box<dyn std::any::Any>),
        _ => None,
    };
    #[cfg(not(feature = "cuda"))]
    let (_, _guard) = (device, None);
    ShapesKept { _guard }
}

/// The name to print and to store: `cpu` or `cuda:N`.
pub fn name(device: &Device) -> String {
    match device.location() {
        candle_core::DeviceLocation::Cpu => "cpu".into(),
        candle_core::DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        candle_core::DeviceLocation::Metal { gpu_id } => format!("metal:{gpu_id}"),
    }
}

/// What there is to say where `auto` takes the CPU: why, without the hint, which is for those who want a GPU.
fn fallen_back(error: &Error) -> String {
    let said = error.to_string();
    let why = said.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    format!("device auto: the CPU computes, since {why}")
}

#[cfg(not(feature = "cuda"))]
fn cuda(ordinal: usize) -> Result<Device> {
    Err(Error::config(format!("this binary was built without CUDA, so it has no device cuda:{ordinal}"))
        .hint("build with scripts/build_cuda.sh (cargo feature `cuda`), or use --device cpu"))
}

#[cfg(feature = "cuda")]
fn cuda(ordinal: usize) -> Result<Device> {
    cuda::open(cuda::place(ordinal, BEHIND.load(Ordering::SeqCst))).map_err(|e| {
        let why = crate::error::first_line(&e);
        let hint = "nvidia-smi lists the devices; or use --device cpu";
        Error::config(format!("cannot open cuda:{ordinal}: {why}")).hint(hint)
    })
}

/// What there is to know of a device, by name: for a CPU its threads and memory; for a GPU the card, driver and
/// libraries.
///
/// # Errors
/// The driver does not answer.
pub fn facts(device: &Device) -> Result<Vec<(&'static str, String)>> {
    let mut facts = vec![("device", name(device))];
    #[cfg(feature = "cuda")]
    if let Device::Cuda(device) = device {
        facts.extend(cuda::facts(device)?);
    }
    if device.is_cpu() {
        facts.push(("threads", rayon::current_num_threads().to_string()));
        facts.extend(memory_left(device).map(|bytes| ("memory left", gibibytes(bytes))));
    }
    facts.push(("back ends", back_ends().to_owned()));
    Ok(facts)
}

/// What this binary was built with.
fn back_ends() -> &'static str {
    match (cfg!(feature = "cuda"), cfg!(feature = "cudnn")) {
        (_, true) => "CPU; CUDA with cuBLAS and cuDNN",
        (true, false) => "CPU; CUDA with cuBLAS, without cuDNN",
        (false, false) => "CPU; built without CUDA",
    }
}

fn gibibytes(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1u32 << 30))
}

fn unknown(name: &str) -> Error {
    Error::config(format!("unknown device `{name}`")).hint("use cpu, cuda:0 or auto")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert_eq!(name(&open("cpu").unwrap()), "cpu");
        for bad in ["", "gpu", "cuda:x", "cpu:1", "cuda:-1"] {
            let error = open(bad).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{bad}");
        }
    }
    #[test]
    fn auto_says_why_it_took_the_cpu() {
        let error = Error::config("cannot open cuda:0: DriverError(CUDA_ERROR_NO_DEVICE)").hint("nvidia-smi");
        let said = fallen_back(&error);
        assert_eq!(said, "device auto: the CPU computes, since cannot open cuda:0: DriverError(CUDA_ERROR_NO_DEVICE)");
    }

    #[test]
    fn a_cpu_knows_one_precision() {
        set_precision(Precision::Tf32);
        assert_eq!(precision(&Device::Cpu), Precision::F32);
        set_precision(Precision::F32);
        let named = |p: Precision| serde_json::to_value(p).unwrap();
        for p in [Precision::F32, Precision::Tf32] {
            assert_eq!(named(p), p.name());
        }
    }
}

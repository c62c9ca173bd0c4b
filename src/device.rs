//! Where tensors live: `cpu`, `cuda:N`, or `auto` (the first CUDA device if there is one).

use candle_core::Device;

use crate::{Error, Result};

/// Opens the device that `--device` or the key `device` names.
///
/// # Errors
/// A name that is none of `cpu`, `cuda`, `cuda:N`, `auto`; a CUDA device that this binary or this
/// machine does not have.
pub fn open(name: &str) -> Result<Device> {
    match name.split_once(':').unwrap_or((name, "0")) {
        ("cpu", "0") => Ok(Device::Cpu),
        ("auto", "0") => Ok(Device::cuda_if_available(0).unwrap_or(Device::Cpu)),
        ("cuda", n) => cuda(n.parse().map_err(|_| unknown(name))?),
        _ => Err(unknown(name)),
    }
}

/// The name to print and to store: `cpu` or `cuda:N`.
pub fn name(device: &Device) -> String {
    match device.location() {
        candle_core::DeviceLocation::Cpu => "cpu".into(),
        candle_core::DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        candle_core::DeviceLocation::Metal { gpu_id } => format!("metal:{gpu_id}"),
    }
}

fn cuda(ordinal: usize) -> Result<Device> {
    if !cfg!(feature = "cuda") {
        return Err(Error::config(format!("this binary was built without CUDA, so it has no device cuda:{ordinal}"))
            .hint("build with scripts/build_cuda.sh (cargo feature `cuda`), or use --device cpu"));
    }
    Device::new_cuda(ordinal).map_err(|e| {
        let why = crate::error::first_line(&e);
        let hint = "nvidia-smi lists the devices; or use --device cpu";
        Error::config(format!("cannot open cuda:{ordinal}: {why}")).hint(hint)
    })
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
}

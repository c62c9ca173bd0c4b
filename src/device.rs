//! Where tensors live: `cpu`, `cuda:N`, or `auto` (the first CUDA device if there is one), and how much room there is.

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

/// Bytes that are left for tensors: on a CPU under Linux, free memory and swap, or what the process's control group
/// still grants. `None` where nobody says; a device that refuses an allocation by itself needs no such number.
pub fn memory_left(device: &Device) -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let of_group = |name: &str| read(&format!("/sys/fs/cgroup/memory.{name}"));
    if !device.is_cpu() {
        return None;
    }
    let system = left_of_system(&read("/proc/meminfo")?)?;
    let group = of_group("max").and_then(|max| left_of_group(&max, &of_group("current")?, &of_group("stat")?));
    Some(group.map_or(system, |group| group.min(system)))
}

/// The most bytes that this process has held so far; `None` outside Linux.
pub fn memory_peak() -> Option<u64> {
    Some(1024 * number_after(&std::fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")?)
}

/// By `/proc/meminfo`.
fn left_of_system(meminfo: &str) -> Option<u64> {
    let kilobytes = |key: &str| number_after(meminfo, key);
    Some(1024 * (kilobytes("MemAvailable:")? + kilobytes("SwapFree:").unwrap_or(0)))
}

/// By `memory.max`, `memory.current` and `memory.stat` of a control group: cached files make room when asked.
fn left_of_group(max: &str, current: &str, stat: &str) -> Option<u64> {
    let max: u64 = max.trim().parse().ok()?;
    let used: u64 = current.trim().parse().ok()?;
    Some(max.saturating_sub(used.saturating_sub(number_after(stat, "inactive_file").unwrap_or(0))))
}

/// The number behind `key` at the beginning of a line.
fn number_after(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok())
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
    fn what_is_left_is_read_from_the_system_and_from_the_control_group() {
        let meminfo = "MemTotal: 100 kB\nMemAvailable:      40 kB\nSwapFree:        2 kB\n";
        assert_eq!(left_of_system(meminfo), Some(42 * 1024));
        assert_eq!(left_of_system("MemAvailable: 3 kB\n"), Some(3 * 1024));
        assert_eq!(left_of_system("nothing"), None);
        let stat = "anon 5\ninactive_file 30\n";
        assert_eq!(left_of_group("100\n", "50\n", stat), Some(80));
        assert_eq!(left_of_group("100\n", "200\n", ""), Some(0));
        assert_eq!(left_of_group("max\n", "50\n", stat), None);
        assert!(memory_left(&Device::Cpu).is_none_or(|left| left > 0));
    }

    #[test]
    fn names_are_checked() {
        assert_eq!(name(&open("cpu").unwrap()), "cpu");
        for bad in ["", "gpu", "cuda:x", "cpu:1", "cuda:-1"] {
            let error = open(bad).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{bad}");
        }
    }
}

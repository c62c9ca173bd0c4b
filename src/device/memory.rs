//! How much room there is on a CPU, and how much was taken.

use candle_core::Device;

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
}

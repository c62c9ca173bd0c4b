//! Which GPUs there are, and which trials may run on any of them.

use std::path::Path;

use super::trial::Trial;

/// The variable that says which GPUs a process sees.
pub(super) const VISIBLE: &str = "CUDA_VISIBLE_DEVICES";

/// Whether a trial computes on a GPU.
pub fn on_gpu(trial: &Trial) -> bool {
    trial.device().starts_with("cuda") || (cfg!(feature = "cuda") && trial.device() == "auto")
}

/// Whether a trial takes the first GPU that it sees, so that the one that it sees may be chosen for it.
pub(super) fn takes_any(trial: &Trial) -> bool {
    matches!(trial.device(), "auto" | "cuda" | "cuda:0")
}

/// The GPUs that this process may use, as the variable names them: those in it, or all of the machine. Nothing is
/// opened, which would take memory from the trials.
pub fn gpus() -> Vec<String> {
    match std::env::var(VISIBLE) {
        Ok(named) => listed(&named),
        Err(_) => on_machine(Path::new("/proc/driver/nvidia/gpus")),
    }
}

/// `0,1` and `GPU-3f…,MIG-7a…`: up to the first that is none, as the driver reads it.
fn listed(named: &str) -> Vec<String> {
    let names = named.split(',').map(str::trim);
    names.take_while(|name| !name.is_empty() && !name.starts_with('-')).map(str::to_owned).collect()
}

fn on_machine(folder: &Path) -> Vec<String> {
    let count = std::fs::read_dir(folder).map_or(0, Iterator::count);
    (0..count).map(|i| i.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read_as_the_driver_reads_it() {
        assert_eq!(listed("2,0"), ["2", "0"]);
        assert_eq!(listed(" GPU-3f , MIG-7a"), ["GPU-3f", "MIG-7a"]);
        assert_eq!(listed("0,-1,2"), ["0"]);
        assert!(listed("").is_empty() && listed("-1").is_empty());
        assert!(on_machine(Path::new("/nonexistent")).is_empty());
    }
}

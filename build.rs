//! Compiles the kernels of GPUs, `src/ops/cuda/*.cu`, to PTX where the feature `cuda` is on; the driver makes machine code of
//! it for the card that it finds.

use std::error::Error;
use std::path::PathBuf;
use std::process::Command;

const SOURCES: [&str; 6] = ["activation", "group_norm", "random", "rows", "update", "widen"];

fn main() -> Result<(), Box<dyn Error>> {
    let names = ["NVCC", "CUDA_HOME", "CUDA_COMPUTE_CAP"];
    let source = |name: &str| format!("src/ops/cuda/{name}.cu");
    SOURCES.iter().for_each(|name| println!("cargo::rerun-if-changed={}", source(name)));
    names.iter().for_each(|name| println!("cargo::rerun-if-env-changed={name}"));
    if std::env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return Ok(());
    }
    let [nvcc, home, architecture] = names.map(std::env::var_os);
    // As candle's own build looks for it.
    let of_home = home.map(|home| PathBuf::from(home).join("bin/nvcc"));
    let nvcc = nvcc.map(PathBuf::from).or(of_home.filter(|nvcc| nvcc.exists())).unwrap_or_else(|| "nvcc".into());
    let architecture = architecture.and_then(|number| number.into_string().ok()).unwrap_or_else(|| "80".into());
    let to = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets no OUT_DIR")?);
    for name in SOURCES {
        let mut command = Command::new(&nvcc);
        if name == "random" {
            command.arg("-fmad=false"); // what it draws is to be what a CPU draws, to the bit
        }
        command.args(["--ptx", "-O3", "-std=c++17", &format!("-arch=compute_{architecture}"), "-o"]);
        command.arg(to.join(name).with_extension("ptx")).arg(source(name));
        let status = command.status().map_err(|error| format!("{}: {error}; set NVCC or CUDA_HOME", nvcc.display()))?;
        if !status.success() {
            return Err(format!("{} {}: {status}", nvcc.display(), source(name)).into());
        }
    }
    Ok(())
}

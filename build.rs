//! Compiles the kernels of GPUs, `src/ops/cuda/*.cu`, to PTX where the feature `cuda` is on; the driver makes machine code of
//! it for the card that it finds.

use std::error::Error;
use std::path::PathBuf;
use std::process::Command;

const SOURCE: &str = "src/ops/cuda/activation.cu";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={SOURCE}");
    let names = ["NVCC", "CUDA_HOME", "CUDA_COMPUTE_CAP"];
    names.iter().for_each(|name| println!("cargo::rerun-if-env-changed={name}"));
    if std::env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return Ok(());
    }
    let [nvcc, home, architecture] = names.map(std::env::var_os);
    // As candle's own build looks for it.
    let of_home = home.map(|home| PathBuf::from(home).join("bin/nvcc"));
    let nvcc = nvcc.map(PathBuf::from).or(of_home.filter(|nvcc| nvcc.exists())).unwrap_or_else(|| "nvcc".into());
    let architecture = architecture.and_then(|number| number.into_string().ok()).unwrap_or_else(|| "80".into());
    let to = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets no OUT_DIR")?).join("activation.ptx");
    let mut command = Command::new(&nvcc);
    command.args(["--ptx", "-O3", "-std=c++17", &format!("-arch=compute_{architecture}"), "-o"]).arg(to).arg(SOURCE);
    let status = command.status().map_err(|error| format!("{}: {error}; set NVCC or CUDA_HOME", nvcc.display()))?;
    if status.success() { Ok(()) } else { Err(format!("{} {SOURCE}: {status}", nvcc.display()).into()) }
}

//! Models to and from other programs.

mod files;
mod published;
mod python;
mod round_trip;

use std::path::Path;
use std::process::{Command, Stdio};

/// The loader for PyTorch knows every layer that a list can name, but for those of the model `ladder`, which is not
/// exported.
#[test]
fn no_layer_is_forgotten() {
    let loader = include_str!("../../../src/exchange/ebm_model.py");
    for row in ebm::nets::LAYERS.iter().filter(|row| row.name != "time_embedding") {
        assert!(loader.contains(&format!(" \"{}\": lambda", row.name)), "no `{}` in the loader", row.name);
    }
}

/// Runs a programme of Python with numpy, torch, safetensors, onnx and onnxruntime, `$EBM_PYTHON`; says so and gives
/// `false` where there is none.
fn python(programme: &str, folder: &Path) -> bool {
    let Some(python) = std::env::var_os("EBM_PYTHON") else {
        println!("skipped: EBM_PYTHON names no Python with torch, safetensors, onnx and onnxruntime");
        return false;
    };
    std::fs::write(folder.join("programme.py"), programme).unwrap();
    let mut command = Command::new(python);
    command.current_dir(folder).arg("programme.py").stdin(Stdio::null()).env("OMP_NUM_THREADS", "1");
    let outcome = crate::harness::outcome(&mut command);
    assert_eq!(outcome.code, Some(0), "{}\n{}", outcome.stdout, outcome.stderr);
    true
}

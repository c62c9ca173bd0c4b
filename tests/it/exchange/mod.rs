//! Models to and from other programs.

mod files;
mod published;
mod python;
mod round_trip;

use std::path::Path;

/// The loader for PyTorch knows every layer that a list can name, but for those of the model `ladder`, which is not
/// exported.
#[test]
fn no_layer_is_forgotten() {
    let loader = include_str!("../../../src/exchange/ebm_model.py");
    for row in ebm::nets::LAYERS.iter().filter(|row| row.name != "time_embedding") {
        assert!(loader.contains(&format!(" \"{}\": lambda", row.name)), "no `{}` in the loader", row.name);
    }
}

/// Runs a programme of Python with what reads exported models; gives `false` where that is missing.
fn python(programme: &str, folder: &Path) -> bool {
    crate::harness::python(&["numpy", "torch", "safetensors", "onnx", "onnxruntime"], programme, folder)
}

//! Models to and from other programs.

mod files;
mod published;
mod python;
mod round_trip;

use std::path::Path;

/// The loaders for PyTorch know every layer that a list can name: that of models of noise levels `time_embedding`, the
/// other all others.
#[test]
fn no_layer_is_forgotten() {
    let loader = include_str!("../../../src/exchange/ebm_model.py");
    for row in ebm::nets::LAYERS.iter().filter(|row| row.name != "time_embedding") {
        assert!(loader.contains(&format!(" \"{}\": lambda", row.name)), "no `{}` in the loader", row.name);
    }
    assert!(include_str!("../../../src/exchange/ebm_ladder.py").contains("LAYERS[\"time_embedding\"] ="));
}

/// Runs a programme of Python with what reads exported models; gives `false` where that is missing.
fn python(programme: &str, folder: &Path) -> bool {
    crate::harness::python(&["numpy", "torch", "safetensors", "onnx", "onnxruntime"], programme, folder)
}

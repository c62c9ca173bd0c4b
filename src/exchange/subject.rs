//! What is exported, and how.

use std::path::PathBuf;

use crate::data::Data;
use crate::density::{Model, WeightsOf};
use crate::run::{Experiment, Manifest, Paths};
use crate::store::State;

/// A model to be exported.
pub struct Export<'a> {
    /// The model.
    pub model: &'a Model,
    /// The tensors on which it stands, by name.
    pub weights: &'a State,
    /// Which of its checkpoint's two sets of weights these are.
    pub which: WeightsOf,
    /// Steps trained.
    pub step: u64,
    /// The configuration of its run.
    pub experiment: &'a Experiment,
    /// Shape and transform of its data.
    pub data: &'a Data,
    /// The folder of its run, where there is one.
    pub run: Option<PathBuf>,
}

/// The form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// Weights, architecture, and a loader for PyTorch.
    Torch,
    /// A graph of ONNX.
    Onnx,
}

impl Export<'_> {
    /// The manifest of its run, where there is one.
    pub fn manifest(&self) -> Option<Manifest> {
        self.run.as_ref().and_then(|run| Manifest::load(&Paths::of(run).manifest()).ok())
    }

    /// Which weights these are, in words.
    pub fn kind_of_weights(&self) -> &'static str {
        match self.which {
            WeightsOf::Average if self.experiment.train.ema > 0.0 => "moving average",
            _ => "as trained",
        }
    }
}

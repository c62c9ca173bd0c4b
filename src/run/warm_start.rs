//! The checkpoint that a new run takes its first weights from, under whatever settings it has itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Var};
use serde::{Deserialize, Serialize};

use crate::density::WeightsOf;
use crate::store::{State, checkpoint, take};
use crate::{Error, Result};

/// The weights of a checkpoint, by their names in the state of its method.
pub struct WarmStart {
    path: PathBuf,
    sha256: String,
    step: u64,
    weights: State,
}

/// What a run took from the checkpoint that it began with, and what it did not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inherited {
    /// The checkpoint.
    pub checkpoint: PathBuf,
    /// The sha256 of the file.
    pub sha256: String,
    /// The steps that it had been trained for.
    pub step: u64,
    /// Tensors that were taken.
    pub tensors: usize,
    /// The numbers in them.
    pub numbers: usize,
    /// Tensors of the run that the checkpoint does not have, which begin as in any new run.
    pub new: Vec<String>,
    /// Tensors that it has in another shape, which begin likewise.
    pub misshapen: Vec<String>,
    /// Tensors of the checkpoint that the run has no place for; what belongs to its optimisers is not among them.
    pub left: Vec<String>,
}

impl WarmStart {
    /// The weights in `path`, a checkpoint or the folder of a run.
    ///
    /// # Errors
    /// No good checkpoint.
    pub fn load(path: &Path, weights: WeightsOf, device: &Device) -> Result<Self> {
        let (path, found) = checkpoint::found_in(path, device)?;
        found.check_finite(&path)?;
        let mut state = take(&found.tensors, "method");
        if weights == WeightsOf::Average {
            let average = take(&found.tensors, "ema").into_iter();
            state.extend(average.map(|(name, tensor)| (format!("{MODEL}{name}"), tensor)));
        }
        state.retain(|name, _| !of_optimiser(name));
        Ok(WarmStart { sha256: checkpoint::sha256_of(&path)?, path, step: found.step, weights: state })
    }

    /// The weights by name.
    pub fn weights(&self) -> &State {
        &self.weights
    }

    /// What a run that learns these variables takes. With `partial`, whatever fits of the model; otherwise all of it.
    /// Companions of the model, such as a critic, are taken where they fit in either case.
    ///
    /// # Errors
    /// Not all of the model fits, or none of it does.
    pub fn fits(&self, learned: &BTreeMap<String, Var>, partial: bool) -> Result<Inherited> {
        let mut taken = Inherited {
            checkpoint: self.path.clone(),
            sha256: self.sha256.clone(),
            step: self.step,
            left: self.weights.keys().filter(|name| !learned.contains_key(*name)).cloned().collect(),
            ..Inherited::default()
        };
        let mut of_model = 0;
        for (name, var) in learned {
            match self.weights.get(name) {
                None => taken.new.push(name.clone()),
                Some(tensor) if tensor.dims() != var.dims() => {
                    taken.misshapen.push(format!("{name} {:?} instead of {:?}", tensor.dims(), var.dims()));
                }
                Some(tensor) => {
                    taken.tensors += 1;
                    taken.numbers += tensor.elem_count();
                    of_model += usize::from(name.starts_with(MODEL));
                }
            }
        }
        let differs = taken.lists().iter().any(|(_, names)| names.iter().any(|name| name.starts_with(MODEL)));
        if of_model > 0 && (partial || !differs) {
            return Ok(taken);
        }
        let rest: Vec<String> = taken.rest().iter().map(|line| line.trim().to_owned()).collect();
        let what = format!("its weights do not fit the model: {of_model} tensors do; {}", rest.join("; "));
        let remedy = match of_model {
            0 => "give [model] the keys that it has there (ebm show prints them), for data of the same shape",
            _ => "--partial takes those that fit, and the others begin anew",
        };
        Err(Error::checkpoint(&self.path, what, remedy))
    }
}

impl Inherited {
    /// In a line, what was taken.
    pub fn summary(&self) -> String {
        let Inherited { checkpoint, step, tensors, numbers, .. } = self;
        format!("{tensors} tensors with {numbers} numbers of {} at step {step}", checkpoint.display())
    }

    /// What was not taken, a line for each reason.
    pub fn rest(&self) -> Vec<String> {
        let lists = self.lists().into_iter().filter(|(_, names)| !names.is_empty());
        lists.map(|(what, names)| format!("  {} {what}: {}", names.len(), names.join(", "))).collect()
    }

    fn lists(&self) -> [(&'static str, &[String]); 3] {
        [("not in it", &self.new), ("of another shape", &self.misshapen), ("without a place here", &self.left)]
    }
}

/// The prefix of the model's parameters in the state of a method.
const MODEL: &str = "model.";

/// Whether a tensor of a method's state belongs to an optimiser.
fn of_optimiser(name: &str) -> bool {
    name.split('.').any(|part| part == "optim" || part.ends_with("_optim"))
}

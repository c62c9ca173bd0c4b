//! What a run saves, and how it is taken up again: everything that the rest of it depends on.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Desk, Trainer};
use crate::methods::State;
use crate::metrics::{Metrics, Spent};
use crate::run::best::Best;
use crate::run::train_config::TrainConfig;
use crate::run::unchanged;
use crate::store::checkpoint::{self, Checkpoint, Keep};
use crate::store::{put, take};
use crate::{Error, Result};

/// Key of a checkpoint's metadata for the stamp of the data.
const DATA: &str = "data";
/// Key of a checkpoint's metadata for what the run has asked of its energy.
pub(super) const SPENT: &str = "spent";
/// Key of a checkpoint's metadata for the numbers of its step, where the probes have not looked yet.
const UNSEEN: &str = "unseen";
/// Key of a checkpoint's metadata for what the run began with.
const TAKEN: &str = "from";

impl Trainer {
    /// Takes up where `checkpoint`, read from `path`, was written. Everything in it is looked at before anything
    /// changes.
    ///
    /// # Errors
    /// A tensor that is missing, left over, or has another shape; values or metadata that cannot be; other data.
    pub fn restore(&mut self, path: &Path, checkpoint: &Checkpoint) -> Result<()> {
        checkpoint.check_names(path, &self.state()?)?;
        unchanged::check_content(&self.data, path, checkpoint)?;
        let found = unchanged::best_found(&self.experiment, path, checkpoint)?;
        let spent = checkpoint.meta::<Option<Spent>>(SPENT, path)?;
        let (unseen, taken) = (checkpoint.meta(UNSEEN, path)?, checkpoint.meta(TAKEN, path)?);
        let state = take(&checkpoint.tensors, "method");
        let wrong = |e: Error| Error::checkpoint(path, e.to_string(), "use another checkpoint of the run");
        self.method.check(&state).map_err(wrong)?;
        self.method.load(&state)?;
        if let Some(ema) = &mut self.ema {
            ema.load(&take(&checkpoint.tensors, "ema"))?;
        }
        if let Some(best) = &mut self.best {
            best.found = found;
        }
        if spent.is_none() {
            tracing::warn!("checkpoint {} does not say what was spent, counting from 0 here", path.display());
        }
        self.spent = spent.unwrap_or_default();
        (self.step, self.unseen, self.taken) = (checkpoint.step, unseen, taken);
        Ok(())
    }

    pub(super) fn checkpoint_due(&self) -> bool {
        let every = self.experiment.train.checkpoint_every;
        self.step == self.until || (every > 0 && self.step.is_multiple_of(every))
    }

    /// A checkpoint that cannot be used is not written: the previous one stays.
    pub(super) fn save_checked(&self, desk: &Desk, checkpoint: &Checkpoint) -> Result<()> {
        let state = take(&checkpoint.tensors, "method");
        desk.guard.check_tensors(self.step, state.iter().map(|(name, tensor)| (name.as_str(), tensor)))?;
        self.save(desk, checkpoint)
    }

    /// All tensors that the rest of the run depends on, as handles: they follow the steps to come.
    pub(super) fn state(&self) -> Result<State> {
        let mut tensors = State::new();
        put(&mut tensors, "method", self.method.state()?);
        if let Some(ema) = &self.ema {
            put(&mut tensors, "ema", ema.state());
        }
        Ok(tensors)
    }

    /// Everything that the rest of the run depends on; to be saved before the next step.
    pub(super) fn checkpoint(&self) -> Result<Checkpoint> {
        let content = json(&self.data.content())?;
        let known = [(DATA, json(&self.data.stamp())?), (unchanged::CONTENT, content), (SPENT, json(&self.spent)?)];
        let mut meta = BTreeMap::from(known);
        if let Some(best) = self.best() {
            meta.insert(Best::META, json(best)?);
        }
        if let Some(taken) = &self.taken {
            meta.insert(TAKEN, json(taken)?);
        }
        let meta = meta.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Ok(Checkpoint { step: self.step, config: self.experiment.resolved.to_toml(), meta, tensors: self.state()? })
    }

    /// The same before the probes have looked at the step of these numbers.
    pub(super) fn checkpoint_unseen(&self, metrics: &Metrics) -> Result<Checkpoint> {
        let mut checkpoint = self.checkpoint()?;
        checkpoint.meta.insert(UNSEEN.to_owned(), json(metrics)?);
        Ok(checkpoint)
    }

    pub(super) fn save(&self, desk: &Desk, checkpoint: &Checkpoint) -> Result<()> {
        desk.journal.sync()?;
        checkpoint::save_in(&desk.folder.checkpoints(), checkpoint, &self.keep(), self.best_step()).map(|_| ())
    }

    pub(super) fn best_step(&self) -> Option<u64> {
        self.best().map(|(step, _)| *step)
    }

    pub(super) fn keep(&self) -> Keep {
        let TrainConfig { keep, keep_every, .. } = self.experiment.train;
        Keep { last: if keep == 0 { usize::MAX } else { keep }, every: keep_every }
    }
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::Other(format!("metadata of a checkpoint: {e}")))
}

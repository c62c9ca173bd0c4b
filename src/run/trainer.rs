//! The loop: step, watch, write down, look, save.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::Tensor;
use image::RgbImage;

use super::best::Best;
use super::curves;
use super::declared::Declared;
use super::experiment::Experiment;
use super::folder::RunFolder;
use super::guard::Guard;
use super::journal::Journal;
use super::progress::Progress;
use super::signal;
use super::train_config::TrainConfig;
use crate::config::find;
use crate::data::{Batch, Data, Split};
use crate::density::Model;
use crate::methods::{METHODS, Method, State, StepContext, put, take};
use crate::metrics::{Metrics, Spent};
use crate::optim::Ema;
use crate::probes::{Scheduled, Subject};
use crate::samplers::Sampler;
use crate::store::checkpoint::{self, Checkpoint, Keep};
use crate::{Error, Result};

/// A run in memory: everything built, standing at some step.
pub struct Trainer {
    experiment: Experiment,
    data: Arc<Data>,
    method: Box<dyn Method>,
    sampler: Sampler,
    probes: Vec<Scheduled>,
    ema: Option<Ema>,
    best: Option<Best>,
    spent: Spent,
    step: u64,
    total: u64,
}

impl Trainer {
    /// Builds every part of the experiment, at step 0.
    ///
    /// # Errors
    /// Data that cannot be used, a model that does not fit them.
    pub fn new(experiment: Experiment) -> Result<Self> {
        let data = experiment.data()?;
        data.check_training()?;
        let method = experiment.method(&data)?;
        let ema = match experiment.train.ema {
            0.0 => None,
            decay => Some(Ema::new(decay, &method.model().params().weights)?),
        };
        let (sampler, probes) = (experiment.sampler()?, experiment.probes()?);
        // The state is copied for its proposal only where the model alone does not serve the sampler.
        sampler.check(method.model(), None, data.device()).or_else(|_| {
            let proposal = experiment.proposal(&data, &method.state()?)?;
            sampler.check(method.model(), proposal.as_deref(), data.device())
        })?;
        let total = experiment.total_steps(&data, &*method)?;
        let declared = Declared::of(&experiment.resolved)?;
        let TrainConfig { best, best_is, .. } = &experiment.train;
        let best = declared.extreme(best, *best_is).map(|extreme| Best::new(best, extreme));
        Ok(Trainer { experiment, data, method, sampler, probes, ema, best, spent: Spent::default(), step: 0, total })
    }

    /// Takes up where `checkpoint`, read from `path`, was written.
    ///
    /// # Errors
    /// A tensor that is missing, left over, or has another shape.
    pub fn restore(&mut self, path: &Path, checkpoint: &Checkpoint) -> Result<()> {
        let mine = self.checkpoint()?.tensors;
        checkpoint.check_names(path, mine.iter().map(|(name, tensor)| (name.as_str(), tensor.dims())))?;
        self.method.load(&take(&checkpoint.tensors, "method"))?;
        if let Some(ema) = &mut self.ema {
            ema.load(&take(&checkpoint.tensors, "ema"))?;
        }
        if let Some(best) = &mut self.best {
            best.found = checkpoint.meta(Best::META, path)?;
        }
        self.step = checkpoint.step;
        Ok(())
    }

    /// The experiment this is a run of.
    pub fn experiment(&self) -> &Experiment {
        &self.experiment
    }

    /// The data it trains on.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The model as it stands.
    pub fn model(&self) -> &Model {
        self.method.model()
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Steps of the whole run.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The best step so far by `train.best`, with what the probes found there.
    pub fn best(&self) -> Option<&(u64, Metrics)> {
        self.best.as_ref()?.found.as_ref()
    }

    /// What a checkpoint takes, in bytes.
    ///
    /// # Errors
    /// The device's own.
    pub fn checkpoint_bytes(&self) -> Result<usize> {
        let size = |t: &Tensor| t.elem_count() * t.dtype().size_in_bytes();
        Ok(self.checkpoint()?.tensors.values().map(size).sum())
    }

    /// A guard with the method's advice.
    pub fn guard(&self) -> Guard {
        let row = find(METHODS, self.experiment.resolved.spec("method").name());
        let numbers = row.map_or(&[][..], |row| row.numbers);
        Guard::new(self.experiment.guard.clone(), numbers).with_advice(self.method.advice())
    }

    /// One step of the method, guarded.
    ///
    /// # Errors
    /// [`Error::Diverged`] when the guard objects.
    pub fn advance<'g>(&mut self, guard: &'g mut Guard) -> Result<&'g Metrics> {
        let batches = self.batches()?;
        let key = self.experiment.key().with("step").at(self.step);
        let lr_scale = self.experiment.train.lr_scale(self.step, self.total);
        // What probes and checks asked since the last step is not the run's.
        self.method.model().meter().take();
        let mut metrics = self.method.step(&StepContext { step: self.step, key, lr_scale }, &batches)?;
        self.spent += self.method.model().meter().take();
        self.step += 1;
        let Spent { values, gradients } = self.spent;
        metrics.extend([("energy_values", values as f64), ("energy_gradients", gradients as f64)]);
        let metrics = guard.check(self.step, metrics)?;
        if let Some(ema) = &mut self.ema {
            ema.update(&self.method.model().params().weights)?;
        }
        Ok(metrics)
    }

    fn batches(&self) -> Result<Vec<Batch>> {
        let per_step = self.method.batches_per_step() as u64;
        let first = self.step * per_step;
        let batch = |i| self.data.batch(Split::Train, i, self.experiment.train.batch_size);
        (first..first + per_step).map(batch).collect()
    }

    /// Runs to the end, to a signal, or until the guard objects; whatever happens, the folder can be resumed.
    ///
    /// # Errors
    /// [`Error::Interrupted`] after a signal, [`Error::Diverged`], and whatever stops the run from being saved.
    pub fn run(&mut self, folder: &RunFolder, progress: &mut Progress) -> Result<Metrics> {
        let mut guard = self.guard();
        let mut journal = Journal::open(folder, self.step, Declared::of(&self.experiment.resolved)?)?;
        let mut seen = journal.last()?;
        if self.step == self.total && checkpoint::path_of(&folder.checkpoints(), self.step).exists() {
            checkpoint::settle(&folder.checkpoints(), self.step, &self.keep(), self.best_step())?;
        }
        while self.step < self.total {
            if let Some(signal) = signal::stop_requested() {
                self.save(folder, &journal, &self.checkpoint()?)?;
                return Err(Error::Interrupted(signal));
            }
            let metrics = self.advance(&mut guard)?;
            progress.step(self.step, metrics);
            let log = self.step.is_multiple_of(self.experiment.train.log_every) || self.step == self.total;
            let (findings, pictures) = self.probe()?;
            let better = self.best.as_mut().is_some_and(|best| best.look(self.step, &findings));
            if log || !findings.is_empty() {
                let mut line = metrics.clone();
                line.extend(findings);
                journal.write(self.step, &line, &pictures)?;
                seen.extend(line);
            }
            if better || self.checkpoint_due() {
                let checkpoint = self.checkpoint()?;
                self.check_weights(&guard, &checkpoint)?;
                self.save(folder, &journal, &checkpoint)?;
                // The numbers are safe; a picture of them that fails is no reason to lose the run.
                curves::write(folder).unwrap_or_else(|error| tracing::warn!("no curves.png: {error}"));
            }
        }
        if let Some(best) = &self.best {
            best.end();
        }
        Ok(seen)
    }

    fn checkpoint_due(&self) -> bool {
        let every = self.experiment.train.checkpoint_every;
        self.step == self.total || (every > 0 && self.step.is_multiple_of(every))
    }

    /// A checkpoint that cannot be used is not written: the previous one stays.
    fn check_weights(&self, guard: &Guard, checkpoint: &Checkpoint) -> Result<()> {
        let state = take(&checkpoint.tensors, "method");
        guard.check_tensors(self.step, state.iter().map(|(name, tensor)| (name.as_str(), tensor)))
    }

    /// Every probe that is due at this step.
    fn probe(&self) -> Result<(Metrics, Vec<(String, RgbImage)>)> {
        let due: Vec<_> = self.probes.iter().filter(|p| p.due(self.step, self.total)).collect();
        let (mut metrics, mut pictures) = (Metrics::new(), Vec::new());
        if due.is_empty() {
            return Ok((metrics, pictures));
        }
        let model = self.evaluated()?;
        let proposal = self.experiment.proposal(&self.data, &self.method.state()?)?;
        for scheduled in due {
            let key = self.experiment.key().with("probe").with(&scheduled.name);
            let subject =
                Subject { model: &model, proposal: proposal.as_deref(), data: &self.data, sampler: &self.sampler, key };
            let finding = scheduled.look(&subject).map_err(|e| self.probe_failed(&scheduled.name, e))?;
            if let Some((name, _)) = finding.metrics.iter().find(|(name, v)| metrics.get(name).is_some_and(|w| w != *v))
            {
                tracing::warn!(
                    "probe `{}`: its `{name}` takes the place of another probe's of that name; set `label` of one of them",
                    scheduled.name
                );
            }
            metrics.extend(finding.metrics);
            pictures.extend(finding.pictures);
        }
        Ok((metrics, pictures))
    }

    /// A probe counts steps of its own, or none: what it noticed was noticed at this step.
    fn probe_failed(&self, probe: &str, error: Error) -> Error {
        match error {
            Error::Diverged { what, remedy, .. } => {
                Error::Diverged { step: self.step, what: format!("probe `{probe}`: {what}"), remedy }
            }
            other => other,
        }
    }

    /// The model that is looked at: on averaged weights where there is an average.
    fn evaluated(&self) -> Result<Model> {
        let model = self.method.model();
        match &self.ema {
            None => model.frozen(),
            Some(ema) => model.on(with_average(model.params().tensors(), ema.state()?)),
        }
    }

    /// Everything that the rest of the run depends on.
    fn checkpoint(&self) -> Result<Checkpoint> {
        let mut tensors = State::new();
        put(&mut tensors, "method", self.method.state()?);
        if let Some(ema) = &self.ema {
            put(&mut tensors, "ema", ema.state()?);
        }
        let stamp = serde_json::to_string(&self.data.stamp()).unwrap_or_default();
        let mut meta = BTreeMap::from([("data".to_owned(), stamp)]);
        if let Some(best) = self.best() {
            meta.insert(Best::META.to_owned(), serde_json::to_string(best).unwrap_or_default());
        }
        Ok(Checkpoint { step: self.step, config: self.experiment.resolved.to_toml(), meta, tensors })
    }

    fn save(&self, folder: &RunFolder, journal: &Journal, checkpoint: &Checkpoint) -> Result<()> {
        journal.sync()?;
        checkpoint::save_in(&folder.checkpoints(), checkpoint, &self.keep(), self.best_step()).map(|_| ())
    }

    fn best_step(&self) -> Option<u64> {
        self.best().map(|(step, _)| *step)
    }

    fn keep(&self) -> Keep {
        let TrainConfig { keep, keep_every, .. } = self.experiment.train;
        Keep { last: if keep == 0 { usize::MAX } else { keep }, every: keep_every }
    }
}

/// Weights with those that have an average replaced by it; buffers stay.
pub fn with_average(mut tensors: State, average: State) -> State {
    tensors.extend(average);
    tensors
}

//! The loop: step, watch, write down, look, save.

use std::sync::Arc;

use super::best::Best;
use super::declared::Declared;
use super::experiment::Experiment;
use super::folder::RunFolder;
use super::guard::Guard;
use super::journal::Journal;
use super::looks::Looks;
use super::memory::Memory;
use super::progress::Progress;
use super::train_config::TrainConfig;
use super::warm_start::Inherited;
use crate::config::find;
use crate::data::{Batch, Data, Split};
use crate::density::{Model, Proposal};
use crate::methods::{METHODS, Method, StepContext};
use crate::metrics::{Metrics, Spent};
use crate::optim::Ema;
use crate::samplers::Sampler;
use crate::store::{checkpoint, size};
use crate::{Error, Result, ranks};
use ahead::{Ahead, Wanted};
pub use estimate::Estimate;

/// A run in memory: everything built, standing at some step.
pub struct Trainer {
    experiment: Experiment,
    data: Arc<Data>,
    method: Box<dyn Method>,
    sampler: Sampler,
    looks: Looks,
    ema: Option<Ema>,
    best: Option<Best>,
    spent: Spent,
    step: u64,
    total: u64,
    /// The step that [`Trainer::run`] ends at: the last one, unless it is to stop before.
    until: u64,
    /// The numbers of the step that a checkpoint was restored at, if the probes have not looked yet.
    unseen: Option<Metrics>,
    /// What it began with, if that was a checkpoint.
    taken: Option<Inherited>,
    /// The batches to come.
    ahead: Ahead,
}

/// What a run writes to as it goes.
struct Desk<'a> {
    folder: &'a RunFolder,
    journal: Journal<'a>,
    guard: Guard,
    /// The newest value of every number.
    seen: Metrics,
    /// The numbers of the last step.
    line: Metrics,
}

impl Trainer {
    /// A run at step 0, with everything beside data and method.
    fn standing(
        experiment: Experiment,
        data: Arc<Data>,
        method: Box<dyn Method>,
        taken: Option<Inherited>,
    ) -> Result<Self> {
        let ema = match experiment.train.ema {
            0.0 => None,
            decay => Some(Ema::new(decay, &method.model().params().weights)?),
        };
        let (sampler, looks) = (experiment.sampler()?, Looks::new(experiment.probes()?));
        // The proposal is built only where the model alone does not serve the sampler.
        let (runs, device) = (looks.draw(), data.device());
        let fits = |proposal: Option<&dyn Proposal>| {
            sampler.config.check(method.model(), proposal)?;
            sampler.check(method.model(), proposal, device, runs)
        };
        let fits = fits(None).or_else(|_| fits(experiment.proposal(&data, &method.state()?)?.as_deref()));
        experiment.resolved.spec("sampler").within(fits).map_err(|error| experiment.placed(error))?;
        let total = experiment.total_steps(&data, &*method)?;
        if let Some((key, steps)) = method.first_phase().filter(|(_, steps)| *steps > total) {
            tracing::warn!(
                "method.{key} = {steps} of {total} steps in all: the run ends in its first phase. Longer: --set \
                 train.steps={}",
                steps.saturating_add(steps / 10)
            );
        }
        let declared = Declared::of(&experiment.resolved)?;
        let TrainConfig { best, best_is, .. } = &experiment.train;
        let best = declared.extreme(best, *best_is).map(|extreme| Best::new(best, extreme));
        let (spent, step, until, unseen) = (Spent::default(), 0, total, None);
        let ahead = Ahead::default();
        Ok(Trainer {
            experiment,
            data,
            method,
            sampler,
            looks,
            ema,
            best,
            spent,
            step,
            total,
            until,
            unseen,
            taken,
            ahead,
        })
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

    /// The step that [`Trainer::run`] ends at.
    pub fn until(&self) -> u64 {
        self.until
    }

    /// Has [`Trainer::run`] end where so much of the run is done, in steps, or in epochs where `[train]` counts those.
    /// Its schedules remain those of the whole run, and the probes look there as they do at the end.
    pub fn stop_after(&mut self, part: u64) {
        self.until = self.experiment.train.step_at(part, self.total);
    }

    /// The best step so far by `train.best`, with what the probes found there.
    pub fn best(&self) -> Option<&(u64, Metrics)> {
        self.best.as_ref()?.found.as_ref()
    }

    /// What the steps so far have asked of the energy.
    pub fn spent(&self) -> Spent {
        self.spent
    }

    /// The bytes that a checkpoint's tensors take, by their shapes.
    ///
    /// # Errors
    /// The device's own.
    pub fn checkpoint_bytes(&self) -> Result<usize> {
        Ok(self.state()?.values().map(size).sum())
    }

    /// A lower bound on the memory of a step, by the shapes of all that the method keeps: companions, optimisers,
    /// replay buffers.
    ///
    /// # Errors
    /// The device's own.
    pub fn memory(&self) -> Result<Memory> {
        Ok(Memory::of_state(&self.method.state()?, self.experiment.train.batch_size))
    }

    /// A guard with those of the method's advice that name keys of the experiment.
    pub fn guard(&self) -> Guard {
        let row = find(METHODS, self.experiment.resolved.spec("method").name());
        let numbers = row.map_or(&[][..], |row| row.numbers);
        let advice = self.method.advice().into_iter().filter(|advice| self.experiment.has_keys_of(advice));
        Guard::new(self.experiment.guard.clone(), numbers).with_advice(advice)
    }

    /// One step of the method, guarded.
    ///
    /// # Errors
    /// [`Error::Diverged`] when the guard objects.
    pub fn advance<'g>(&mut self, guard: &'g mut Guard) -> Result<&'g Metrics> {
        let _shared = ranks::enter(self.experiment.group());
        let batches = self.batches().map_err(|e| self.experiment.placed(e.at_path("train.batch_size")))?;
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

    fn batches(&mut self) -> Result<Vec<Batch>> {
        let (count, size) = (self.method.batches_per_step() as u64, self.experiment.train.batch_size);
        let first = self.step * count;
        // On a CPU all cores have work already.
        if !self.data.device().is_cpu() {
            return self.ahead.take(&self.data, Wanted { first, count, size });
        }
        (first..first + count).map(|i| self.data.batch(Split::Train, i, size)).collect()
    }

    /// Runs to the end (or to where it is to stop before), to a signal, or until the guard objects; whatever happens,
    /// the folder can be resumed.
    ///
    /// The order of effects is a contract, on which a resumed run relies. Before the first step, the logs are cut back
    /// to the step that the run goes on from, and a run that has no step left repeats what follows its last checkpoint
    /// file ([`checkpoint::settle`]). Then, in every round:
    ///
    /// 1. **Signal.** It is answered between steps, with a checkpoint of the steps done. Where several ranks run, each
    ///    that was asked to stop stops all, and all make sure that they found the same numbers.
    /// 2. **Step and guard.** The guard sees the step's numbers before the average moves and before they are written: a
    ///    step that diverged leaves nothing in the folder.
    /// 3. **Progress** is shown, whether or not the step is logged.
    /// 4. **Unseen.** Before the probes look at the end, a checkpoint is saved that has the numbers of the last step in
    ///    its metadata. A run that is resumed from it looks, and trains nothing again.
    /// 5. **Probes** that are due look at the averaged weights. Their randomness is their own, so that the steps that
    ///    follow are the same without them. One that fails is a warning, and its numbers are missing.
    /// 6. **Best** takes note of the findings, before the checkpoint that carries it.
    /// 7. **Journal.** Numbers and pictures are written before the checkpoint: a checkpoint never knows of a step that
    ///    the logs don't, but for an unseen one, and lines of later steps are cut off when the run is resumed.
    /// 8. **Checkpoint**, if it is due or the best so far. The guard sees its tensors first: one that cannot be used is
    ///    not written. The logs are synced, then come the file, `last`, `best`, and only then the removal of older
    ///    ones.
    /// 9. **Curves** are drawn last, not more often than every few seconds, and at the end; a failure is a warning.
    ///
    /// # Errors
    /// [`Error::Interrupted`] after a signal, [`Error::Diverged`], and whatever stops the run from being saved.
    pub fn run(&mut self, folder: &RunFolder, progress: &mut Progress) -> Result<Metrics> {
        let unseen = self.unseen.take();
        let written = self.step.saturating_sub(u64::from(unseen.is_some()));
        let journal = Journal::open(folder, written, Declared::of(&self.experiment.resolved)?)?;
        let (seen, line) = (journal.last()?, Metrics::new());
        let mut desk = Desk { folder, seen, line, journal, guard: self.guard() };
        desk.guard.saved(self.step);
        if self.step == self.until && checkpoint::path_of(&folder.checkpoints(), self.step).exists() {
            checkpoint::settle(&folder.checkpoints(), self.step, &self.keep(), self.best_step())?;
        }
        if let Some(metrics) = unseen {
            self.end_step(metrics, &mut desk)?;
        }
        while self.step < self.until {
            if let Some(signal) = self.agreed(&desk.line)? {
                self.save(&desk, &self.checkpoint()?)?;
                return Err(Error::Interrupted(signal));
            }
            let metrics = self.advance(&mut desk.guard)?.clone();
            desk.line = metrics.clone();
            progress.step(self.step, &metrics);
            if self.step == self.until && self.looks.due(self.step, self.until) {
                self.save_checked(&desk, &self.checkpoint_unseen(&metrics)?)?;
                desk.guard.saved(self.step);
            }
            self.end_step(metrics, &mut desk)?;
        }
        if let Some(best) = self.best.as_ref().filter(|_| self.step == self.total) {
            best.end();
        }
        Ok(desk.seen)
    }

    /// Looks, writes down and saves what is due after a step with these numbers.
    fn end_step(&mut self, mut line: Metrics, desk: &mut Desk) -> Result<()> {
        let log = self.step.is_multiple_of(self.experiment.train.log_every) || self.step == self.until;
        let found = self.look()?;
        let better = self.best.as_mut().is_some_and(|best| best.look(self.step, &found.metrics));
        if log || !found.metrics.is_empty() {
            desk.seen.retain(|name| !self.looks.misses(name));
            line.extend(found.metrics);
            desk.journal.write(self.step, &line, &found.pictures)?;
            desk.seen.extend(line);
        }
        if better || self.checkpoint_due() {
            self.save_checked(desk, &self.checkpoint()?)?;
            desk.guard.saved(self.step);
            desk.journal.draw();
        }
        Ok(())
    }
}

mod ahead;
mod beginning;
mod estimate;
mod following;
mod looking;
mod saving;
#[cfg(test)]
mod tests;

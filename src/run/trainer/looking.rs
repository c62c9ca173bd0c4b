//! What the probes of a run look at, and what is known of their looks.

use super::Trainer;
use crate::density::{Model, Proposal};
use crate::probes::{Finding, Subject};
use crate::run::looks::Missing;
use crate::store::put;
use crate::{Error, Result, methods, ranks};

impl Trainer {
    /// Everything that the probes find that are due at this step.
    pub(super) fn look(&mut self) -> Result<Finding> {
        if !self.looks.due(self.step, self.until) {
            return Ok(Finding::default());
        }
        let _shared = ranks::enter(self.experiment.group());
        let (model, proposal) = (self.evaluated()?, self.proposal()?);
        let subject = Subject {
            model: &model,
            proposal: proposal.as_deref(),
            data: &self.data,
            sampler: &self.sampler,
            key: self.experiment.key().with("probe"),
        };
        // After the last step there is nothing left to stop.
        let stops = self.experiment.guard.enabled && self.step < self.total;
        self.looks.look((self.step, self.until), &subject, stops)
    }

    /// What is known to go wrong with the probes, before they look; at their lines of the configuration.
    ///
    /// # Errors
    /// The method's state or the model cannot be had.
    pub fn troubles(&self) -> Result<Vec<Error>> {
        let (model, proposal) = (self.evaluated()?, self.proposal()?);
        let (proposal, key) = (proposal.as_deref(), self.experiment.key());
        let subject = Subject { model: &model, proposal, data: &self.data, sampler: &self.sampler, key };
        Ok(self.looks.troubles(&subject).into_iter().map(|error| self.experiment.placed(error)).collect())
    }

    /// The probes whose last look did not find all of their numbers.
    pub fn missing(&self) -> &[Missing] {
        self.looks.missing()
    }

    /// Whether the probes have yet to look at the step that the run stands at.
    pub fn is_unseen(&self) -> bool {
        self.unseen.is_some()
    }

    /// The source that the method keeps to draw from at once, if it keeps one, on the method's own tensors; the model's
    /// are averaged where there is an average. The state of a method without a source is not asked for.
    fn proposal(&self) -> Result<Option<Box<dyn Proposal>>> {
        if !methods::has_proposal(&self.experiment.resolved.spec("method")) {
            return Ok(None);
        }
        let mut state = self.method.state()?;
        self.ema.iter().for_each(|ema| put(&mut state, "model", ema.state()));
        self.experiment.proposal(&self.data, &state)
    }

    /// The model that is looked at: on averaged weights where there is an average. It shares storage with the run's
    /// own.
    fn evaluated(&self) -> Result<Model> {
        let model = self.method.model();
        let mut tensors = model.params().tensors();
        tensors.extend(self.ema.iter().flat_map(|ema| ema.state()));
        let spec = self.experiment.resolved.spec("method");
        let log_z = match methods::has_level_log_z(&spec) {
            true => methods::level_log_z(&spec, &self.method.state()?)?,
            false => None,
        };
        Ok(model.on(tensors)?.with_level_log_z(log_z))
    }
}

//! What the probes of a run look at, and what is known of their looks.

use super::Trainer;
use crate::density::{Model, Proposal};
use crate::probes::{Finding, Subject};
use crate::run::looks::Missing;
use crate::{Error, Result, methods};

impl Trainer {
    /// Everything that the probes find that are due at this step.
    pub(super) fn look(&mut self) -> Result<Finding> {
        if !self.looks.due(self.step, self.until) {
            return Ok(Finding::default());
        }
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

    /// The source that the method keeps to draw from at once, if it keeps one, on the method's own tensors. The state
    /// of a method without one is not asked for.
    fn proposal(&self) -> Result<Option<Box<dyn Proposal>>> {
        match methods::has_proposal(&self.experiment.resolved.spec("method")) {
            true => self.experiment.proposal(&self.data, &self.method.state()?),
            false => Ok(None),
        }
    }

    /// The model that is looked at: on averaged weights where there is an average. It shares storage with the run's
    /// own.
    fn evaluated(&self) -> Result<Model> {
        let model = self.method.model();
        let Some(ema) = &self.ema else { return model.frozen() };
        let mut tensors = model.params().tensors();
        tensors.extend(ema.state());
        model.on(tensors)
    }
}

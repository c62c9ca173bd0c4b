//! How a run begins: with fresh weights, or with those of a checkpoint.

use std::sync::Arc;

use super::Trainer;
use crate::data::Data;
use crate::methods::State;
use crate::run::experiment::Experiment;
use crate::run::folder::RunFolder;
use crate::run::warm_start::{Inherited, WarmStart};
use crate::store::checkpoint;
use crate::{Result, methods, ranks};

impl Trainer {
    /// Builds every part of the experiment, at step 0.
    ///
    /// # Errors
    /// Data that cannot be used, a model that does not fit them.
    pub fn new(experiment: Experiment) -> Result<Self> {
        let data = experiment.data()?;
        Self::on(experiment, data)
    }

    /// As [`Trainer::new`], on data that are open already, of the experiment's own section `dataset`: many experiments
    /// on one data set need not read it many times.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub fn on(experiment: Experiment, data: Arc<Data>) -> Result<Self> {
        data.check_training()?;
        let _shared = ranks::enter(experiment.group());
        let method = experiment.method_on(&data, &State::new())?;
        Self::standing(experiment, data, method, None)
    }

    /// Builds every part of the experiment, at step 0, on the weights of `start`: on all of its model, or with
    /// `partial` on what fits.
    ///
    /// # Errors
    /// As [`Trainer::new`] and [`WarmStart::fits`].
    pub fn from_weights(experiment: Experiment, start: &WarmStart, partial: bool) -> Result<Self> {
        let data = experiment.data()?;
        data.check_training()?;
        let _shared = ranks::enter(experiment.group());
        let method = experiment.method_on(&data, start.weights())?;
        let taken = start.fits(&method.learned(), partial)?;
        Self::standing(experiment, data, method, Some(taken))
    }

    /// What the run took from the checkpoint that it began with, if it began with one.
    pub fn taken(&self) -> Option<&Inherited> {
        self.taken.as_ref()
    }

    /// Saves the run before its first step, so that it can go on without the checkpoint that it began with.
    ///
    /// # Errors
    /// As [`checkpoint::save_in`].
    pub fn save_beginning(&self, folder: &RunFolder) -> Result<()> {
        checkpoint::save_in(&folder.checkpoints(), &self.checkpoint()?, &self.keep(), None).map(drop)
    }

    /// The networks of the model and of its companions, by the prefixes of their parameters.
    pub fn networks(&self) -> Vec<crate::nets::NamedNet> {
        methods::networks(&*self.method)
    }
}

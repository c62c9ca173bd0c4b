//! What a sweep does next: the part of it that is not about processes.

use super::folder::TrialState;
use super::pool::{Pool, TrialEnd};
use crate::Result;

/// What is left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing that this process could do.
    Nothing,
    /// Trials that other processes have are waited for.
    Elsewhere,
    /// Trials that wait for room.
    Work,
}

/// Hands out trials.
pub(super) trait Agenda {
    /// Takes note of a trial that this process ran, and of how it stands; nothing of one that another process has.
    fn ended(&mut self, trial: usize, state: Option<TrialState>);

    /// Starts trials while there is room.
    fn fill(&mut self, pool: &mut Pool<'_>) -> Result<()>;

    /// What is left beside the trials under way.
    fn left(&self) -> Left;

    /// How many trials there is nothing left to do for.
    fn done(&self) -> usize;

    /// How every trial stands, in their order.
    fn ends(&self) -> Vec<TrialEnd>;
}

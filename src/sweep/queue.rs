//! The agenda of a sweep whose trials all run to their end, one after the other.

use std::collections::VecDeque;

use super::agenda::{Agenda, Left};
use super::folder::{Folder, TrialState};
use super::pool::{Pool, TrialEnd};
use super::trial::Trial;
use crate::Result;

pub(super) struct Queue {
    outcomes: Vec<Option<TrialEnd>>,
    waiting: VecDeque<usize>,
    /// Trials that another process has.
    elsewhere: VecDeque<usize>,
    retry: bool,
}

impl Queue {
    /// Every trial that is not done.
    pub fn new(folder: &Folder, trials: &[Trial], retry: bool) -> Self {
        let states = trials.iter().map(|trial| folder.state(trial));
        let outcome = |state: TrialState| settled(state, retry).then_some(TrialEnd { state, ran: false });
        let outcomes: Vec<Option<TrialEnd>> = states.map(outcome).collect();
        let waiting = (0..trials.len()).filter(|i| outcomes.get(*i).is_some_and(Option::is_none)).collect();
        Queue { outcomes, waiting, elsewhere: VecDeque::new(), retry }
    }

    fn start(&mut self, i: usize, retry: bool, pool: &mut Pool<'_>) -> Result<()> {
        let Some(trial) = pool.trials.get(i) else { return Ok(()) };
        let state = pool.folder.state(trial);
        if settled(state, retry) {
            self.end(i, state, false);
            return Ok(());
        }
        let free = state != TrialState::Running && pool.has_room();
        let Some(claim) = (if free { pool.folder.claim(trial)? } else { None }) else {
            self.elsewhere.push_back(i);
            return Ok(());
        };
        // Between looking and claiming, another process may have come to its end with it.
        let state = pool.folder.state_when_free(trial);
        if settled(state, retry) {
            self.end(i, state, false);
            return Ok(());
        }
        pool.start(i, claim, state, None)
    }

    fn end(&mut self, i: usize, state: TrialState, ran: bool) {
        if let Some(outcome) = self.outcomes.get_mut(i) {
            *outcome = Some(TrialEnd { state, ran });
        }
    }
}

impl Agenda for Queue {
    fn ended(&mut self, trial: usize, state: Option<TrialState>) {
        match state {
            Some(state) => self.end(trial, state, true),
            None => self.elsewhere.push_back(trial),
        }
    }

    /// Those that nobody has first.
    fn fill(&mut self, pool: &mut Pool<'_>) -> Result<()> {
        while pool.has_room() {
            let Some(i) = self.waiting.pop_front() else { break };
            self.start(i, self.retry, pool)?;
        }
        if pool.has_room() && self.waiting.is_empty() {
            for i in std::mem::take(&mut self.elsewhere) {
                // What another process made of it counts, and is not tried again.
                self.start(i, false, pool)?;
            }
        }
        Ok(())
    }

    fn left(&self) -> Left {
        match (self.waiting.is_empty(), self.elsewhere.is_empty()) {
            (true, true) => Left::Nothing,
            (true, false) => Left::Elsewhere,
            _ => Left::Work,
        }
    }

    fn done(&self) -> usize {
        self.outcomes.iter().flatten().count()
    }

    fn ends(&self) -> Vec<TrialEnd> {
        let nothing = TrialEnd { state: TrialState::Waiting, ran: false };
        self.outcomes.iter().map(|outcome| outcome.unwrap_or(nothing)).collect()
    }
}

/// Whether a trial that stands like this is left as it is.
fn settled(state: TrialState, retry: bool) -> bool {
    state.is_final() && !(retry && state != TrialState::Finished)
}

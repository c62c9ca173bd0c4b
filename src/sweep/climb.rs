//! The agenda of a search: trials are sent up rung by rung.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::agenda::{Agenda, Left};
use super::folder::TrialState;
use super::pool::{Pool, TrialEnd};
use super::search::Search;
use crate::Result;

/// How often the folder is looked at while others work there.
const LOOK: Duration = Duration::from_millis(200);

pub(super) struct Climb<'a> {
    search: Search<'a>,
    /// Trials that ended badly and are taken up again, once.
    retried: BTreeSet<usize>,
    ran: BTreeSet<usize>,
    /// Trials that were killed here: they are left until the sweep is run again.
    killed: BTreeSet<usize>,
    /// Whether trials that others have take room: so many run at a time, whoever started them. A task of a job array
    /// has room of its own.
    shared: bool,
    /// When to look at the folder again; nothing: now.
    looked: Option<Instant>,
    left: Left,
}

impl<'a> Climb<'a> {
    pub fn new(search: Search<'a>, retry: bool, shared: bool) -> Self {
        let bad = |state: TrialState| matches!(state, TrialState::Diverged | TrialState::Failed);
        let all = search.all().iter().enumerate();
        let retried = all.filter(|(_, far)| retry && bad(far.state)).map(|(i, _)| i).collect();
        Climb { search, retried, ran: BTreeSet::new(), killed: BTreeSet::new(), shared, looked: None, left: Left::Work }
    }

    /// Looks at the folder: which trials others have, and how far all have come.
    fn look(&mut self, pool: &Pool<'_>) {
        self.search.look(pool.folder);
        for &trial in &self.retried {
            match self.search.all().get(trial).map(|far| far.state) {
                Some(TrialState::Diverged) => self.search.take_as(trial, TrialState::Waiting),
                Some(TrialState::Failed) => self.search.take_as(trial, TrialState::Interrupted),
                _ => {}
            }
        }
        self.killed.iter().for_each(|trial| self.search.take_as(*trial, TrialState::Running));
        self.looked = Some(Instant::now());
    }

    fn elsewhere(&self, pool: &Pool<'_>) -> usize {
        let running = self.search.all().iter().enumerate().filter(|(_, far)| far.state == TrialState::Running);
        running.filter(|(i, _)| !pool.holds(*i) && !self.killed.contains(i)).count()
    }
}

impl Agenda for Climb<'_> {
    fn ended(&mut self, trial: usize, state: Option<TrialState>) {
        self.ran.insert(trial);
        if state == Some(TrialState::Interrupted) {
            self.killed.insert(trial);
        }
        self.looked = None;
    }

    fn fill(&mut self, pool: &mut Pool<'_>) -> Result<()> {
        if !pool.has_room() || self.looked.is_some_and(|at| at.elapsed() < LOOK) {
            return Ok(());
        }
        self.look(pool);
        let elsewhere = self.elsewhere(pool);
        while pool.has_room() && (!self.shared || pool.len() + elsewhere < pool.launch.jobs) {
            let Some(sent) = self.search.next() else { break };
            let Some(trial) = pool.trials.get(sent.trial) else { break };
            // Another process may have taken it: the next look tells.
            let Some(claim) = pool.folder.claim(trial)? else { continue };
            let state = pool.folder.state_when_free(trial);
            let again = self.retried.remove(&sent.trial);
            if !again && self.search.far_of(sent.trial, pool.folder, state).values.len() != sent.rung {
                self.looked = None;
                continue;
            }
            pool.start(sent.trial, claim, state, Some(sent.until))?;
        }
        self.left = match (self.shared, self.elsewhere(pool)) {
            _ if self.looked.is_none() => Left::Work,
            (true, 1..) => Left::Elsewhere,
            _ => Left::Nothing,
        };
        Ok(())
    }

    fn left(&self) -> Left {
        self.left
    }

    fn done(&self) -> usize {
        use TrialState::{Diverged, Failed, Finished, Stopped};
        let done = |state: &TrialState| matches!(state, Finished | Stopped | Diverged | Failed);
        self.search.all().iter().filter(|far| done(&far.state)).count()
    }

    fn ends(&self) -> Vec<TrialEnd> {
        let state = |(i, state)| if self.killed.contains(&i) { TrialState::Interrupted } else { state };
        let all = self.search.all().iter().map(|far| far.state).enumerate();
        all.map(|(i, now)| TrialEnd { state: state((i, now)), ran: self.ran.contains(&i) }).collect()
    }
}

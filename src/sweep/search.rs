//! The search of a plan with `[halving]`: how far every setting has come, and which trial is sent where next.
//!
//! All of it is read from the run folders: a search that was killed goes on with the decisions that it would have made.

use std::collections::{BTreeMap, BTreeSet};

use super::folder::{Folder, TrialState};
use super::ladder::{self, Candidate};
use super::rungs::{Halving, lot};
use super::trial::Trial;
use crate::Result;
use crate::run::{Extreme, Manifest, Status, metrics, step_at};

/// How far a trial has come.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Far {
    pub state: TrialState,
    /// How many rungs it was sent to.
    pub sent: usize,
    /// What was found at each rung that it has reached; NaN where nothing was.
    pub values: Vec<f64>,
    /// Steps that it has done.
    pub steps: u64,
}

/// The trials that differ in their seeds alone.
struct Setting {
    trials: Vec<usize>,
    rungs: Vec<u64>,
    extreme: Extreme,
}

/// A trial that is sent to a rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    /// The trial.
    pub trial: usize,
    /// The rung, from 0.
    pub rung: usize,
    /// Its length.
    pub until: u64,
}

/// A search over the settings of a plan.
pub struct Search<'a> {
    halving: &'a Halving,
    trials: &'a [Trial],
    /// In the order in which they begin.
    settings: Vec<Setting>,
    /// The settings that are compared with each other.
    ladders: Vec<Vec<usize>>,
    far: Vec<Far>,
}

/// What a search has found at one rung.
pub struct Rung {
    /// Which ladder, by the values of `by`; empty where all are compared.
    pub of: String,
    /// Its lengths; one, unless the experiments have several.
    pub lengths: Vec<u64>,
    /// How many settings have reached it.
    pub reached: usize,
    /// The trial whose setting is best there, and the value of that setting: the mean over its seeds.
    pub best: Option<(usize, f64)>,
}

impl<'a> Search<'a> {
    /// The search as it stands in `folder`.
    ///
    /// # Errors
    /// Configurations that are not resolved.
    pub fn new(halving: &'a Halving, trials: &'a [Trial], folder: &Folder) -> Result<Self> {
        let mut alike: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (i, trial) in trials.iter().enumerate() {
            alike.entry(lot(&trial.label.setting())).or_default().push(i);
        }
        let (mut settings, mut ladders) = (Vec::new(), BTreeMap::<String, Vec<usize>>::new());
        for members in alike.into_values() {
            let Some(trial) = members.first().and_then(|i| trials.get(*i)) else { continue };
            ladders.entry(apart(halving, trial)).or_default().push(settings.len());
            let rungs = halving.of_length(trial.length()).unwrap_or_default();
            settings.push(Setting { trials: members, rungs, extreme: halving.extreme(trial)? });
        }
        let ladders = ladders.into_values().collect();
        let mut search = Search { halving, trials, settings, ladders, far: Vec::new() };
        search.look(folder);
        Ok(search)
    }

    /// Reads anew how far every trial has come.
    pub fn look(&mut self, folder: &Folder) {
        let mut far = Vec::with_capacity(self.trials.len());
        for (i, trial) in self.trials.iter().enumerate() {
            far.push(self.far_of(i, folder, folder.state(trial)));
        }
        self.far = far;
    }

    /// How far a trial has come that stands like this.
    pub(super) fn far_of(&self, trial: usize, folder: &Folder, state: TrialState) -> Far {
        let rungs = self.settings.iter().find(|setting| setting.trials.contains(&trial)).map(|s| s.rungs.as_slice());
        match (self.trials.get(trial), rungs) {
            (Some(trial), Some(rungs)) => far(folder, trial, state, rungs, &self.halving.objective),
            _ => Far { state, sent: 0, values: Vec::new(), steps: 0 },
        }
    }

    /// How far each trial has come, by the last look.
    pub(super) fn all(&self) -> &[Far] {
        &self.far
    }

    /// Has a trial be taken as standing like this until the next look: one that is begun again, or that another process
    /// has.
    pub(super) fn take_as(&mut self, trial: usize, state: TrialState) {
        if let Some(far) = self.far.get_mut(trial) {
            far.state = state;
            if state == TrialState::Waiting {
                (far.sent, far.values) = (0, Vec::new());
            }
        }
    }

    /// The trial to start now, which counts as under way from here: one that was sent to a rung and has not reached it,
    /// or that of a setting that goes up.
    pub(super) fn next(&mut self) -> Option<Sent> {
        loop {
            if let Some(sent) = self.under_way() {
                if let Some(far) = self.far.get_mut(sent.trial) {
                    (far.state, far.sent) = (TrialState::Running, far.sent.max(sent.rung + 1));
                }
                return Some(sent);
            }
            let up = self.ladders.iter().find_map(|ladder| {
                let all: Vec<Candidate> = ladder.iter().filter_map(|i| self.candidate(*i)).collect();
                ladder.get(ladder::next(&all, self.halving.eta)?).copied()
            })?;
            let first = self.settings.get(up)?.trials.first().copied()?;
            let sent = self.candidate(up)?.sent + 1;
            self.far.get_mut(first)?.sent = sent;
        }
    }

    /// How many trials could be started now.
    pub fn ready(mut self, retry: bool) -> usize {
        if retry {
            let bad = |far: &Far| matches!(far.state, TrialState::Diverged | TrialState::Failed);
            self.far.iter_mut().filter(|far| bad(far)).for_each(|far| far.state = TrialState::Interrupted);
        }
        std::iter::from_fn(|| self.next()).count()
    }

    fn under_way(&self) -> Option<Sent> {
        for (i, setting) in self.settings.iter().enumerate() {
            let Some(candidate) = self.candidate(i).filter(|candidate| !candidate.dead) else { continue };
            for &trial in &setting.trials {
                let Some(far) = self.far.get(trial) else { continue };
                let rung = far.values.len();
                if far.state != TrialState::Running && rung < candidate.sent {
                    return Some(Sent { trial, rung, until: *setting.rungs.get(rung)? });
                }
            }
        }
        None
    }

    fn candidate(&self, setting: usize) -> Option<Candidate> {
        let setting = self.settings.get(setting)?;
        let members: Vec<&Far> = setting.trials.iter().filter_map(|i| self.far.get(*i)).collect();
        let reached = members.iter().map(|far| far.values.len()).min().unwrap_or(0);
        let score = |rung| match (self.value(setting, rung), setting.extreme) {
            (value, _) if !value.is_finite() => f64::NEG_INFINITY,
            (value, Extreme::Max) => value,
            (value, Extreme::Min) => -value,
        };
        Some(Candidate {
            rungs: setting.rungs.len(),
            sent: members.iter().map(|far| far.sent).max().unwrap_or(0),
            scores: (0..reached).map(score).collect(),
            dead: members.iter().any(|far| matches!(far.state, TrialState::Diverged | TrialState::Failed)),
        })
    }

    /// The mean over the seeds.
    fn value(&self, setting: &Setting, rung: usize) -> f64 {
        let values = setting.trials.iter().map(|i| self.far.get(*i).and_then(|far| far.values.get(rung)));
        values.map(|value| value.copied().unwrap_or(f64::NAN)).sum::<f64>() / setting.trials.len() as f64
    }

    /// What was found so far, ladder by ladder and rung by rung.
    pub fn rungs(&self) -> Vec<Rung> {
        self.ladders.iter().flat_map(|ladder| self.rungs_of(ladder)).collect()
    }

    fn rungs_of(&self, ladder: &[usize]) -> Vec<Rung> {
        let settings: Vec<(&Setting, Candidate)> =
            ladder.iter().filter_map(|i| Some((self.settings.get(*i)?, self.candidate(*i)?))).collect();
        let first = settings.first().and_then(|(setting, _)| self.trials.get(*setting.trials.first()?));
        let of = first.map(|trial| apart(self.halving, trial)).unwrap_or_default();
        let highest = settings.iter().map(|(setting, _)| setting.rungs.len()).max().unwrap_or(0);
        let at = |rung: usize| {
            let lengths: BTreeSet<u64> = settings.iter().filter_map(|(s, _)| s.rungs.get(rung).copied()).collect();
            let here = settings.iter().filter_map(|(s, c)| Some((s, *c.scores.get(rung)?)));
            let best = here.clone().filter(|(_, score)| *score > f64::NEG_INFINITY);
            let best = best.reduce(|a, b| if b.1 > a.1 { b } else { a });
            let best = best.and_then(|(s, _)| Some((*s.trials.first()?, self.value(s, rung))));
            Rung { of: of.clone(), lengths: lengths.into_iter().collect(), reached: here.count(), best }
        };
        (0..highest).map(at).collect()
    }

    /// Steps that all trials together have done.
    pub fn steps(&self) -> u64 {
        self.far.iter().map(|far| far.steps).sum()
    }

    /// What part of all trials in full has been done, each by its own length.
    pub fn share(&self, folder: &Folder) -> f64 {
        let whole = |trial: &Trial| Manifest::load(&folder.run(trial).manifest()).map_or(0, |manifest| manifest.steps);
        let shares = self.trials.iter().zip(&self.far);
        let shares = shares.map(|(trial, far)| far.steps as f64 / whole(trial).max(1) as f64);
        shares.sum::<f64>() / self.trials.len().max(1) as f64
    }
}

/// The values that set a trial apart from those that it is not compared with, in words.
fn apart(halving: &Halving, trial: &Trial) -> String {
    let words = halving.by.iter().map(|key| format!("{key}={}", trial.label.value(key).unwrap_or_default()));
    words.collect::<Vec<_>>().join(" ")
}

fn far(folder: &Folder, trial: &Trial, state: TrialState, rungs: &[u64], objective: &str) -> Far {
    let run = folder.run(trial);
    let Ok(manifest) = Manifest::load(&run.manifest()) else {
        // One that has begun was sent to the lowest rung.
        return Far { state, sent: usize::from(state != TrialState::Waiting), values: Vec::new(), steps: 0 };
    };
    let length = trial.length();
    let total = if manifest.steps == 0 { length } else { manifest.steps };
    let until = if manifest.until == 0 { total } else { manifest.until };
    let there = matches!(manifest.status, Status::Stopped | Status::Finished);
    let steps: Vec<u64> = rungs.iter().map(|rung| step_at(*rung, length, total)).collect();
    let sent = steps.iter().filter(|step| **step <= until).count();
    let reached = steps.into_iter().filter(|step| *step < until || (there && *step == until));
    let log = if sent > 0 { metrics::read(&run.metrics()).unwrap_or_default() } else { Vec::new() };
    let value = |step| log.iter().rev().find(|line| line.0 == step).and_then(|line| line.1.get(objective));
    let values = reached.map(|step| value(step).unwrap_or(f64::NAN)).collect();
    Far { state, sent, values, steps: manifest.last_step }
}

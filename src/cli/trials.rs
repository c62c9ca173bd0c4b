//! Trials in words: how many, and how they stand.

use crate::run::show;
use crate::sweep::{Trial, TrialState};

/// `1 trial`, `12 trials`.
pub fn many(trials: &[Trial]) -> String {
    show::counted(trials.len() as u64, "trial")
}

/// `3 finished, 1 failed`.
pub fn in_words<'a>(counts: impl IntoIterator<Item = (&'a str, usize)>) -> String {
    counts.into_iter().map(|(name, n)| format!("{n} {name}")).collect::<Vec<_>>().join(", ")
}

/// How many trials stand how, those that occur.
pub fn counts(states: &[TrialState]) -> Vec<(&'static str, usize)> {
    use TrialState::{Diverged, Failed, Finished, Interrupted, Running, Stopped, Waiting};
    let count = |state: TrialState| (state.name(), states.iter().filter(|s| **s == state).count());
    let all = [Finished, Stopped, Diverged, Failed, Interrupted, Running, Waiting].map(count);
    all.into_iter().filter(|(_, n)| *n > 0).collect()
}

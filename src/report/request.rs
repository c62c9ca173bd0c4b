//! What is asked of the runs.

use std::path::PathBuf;

use super::goal::Goal;
use super::observe::At;

/// What is asked of the runs.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Keys whose values make a group; none for the arms of a sweep, or else all that differ between the runs.
    pub by: Vec<String>,
    /// Keys that make groups too, whatever `by` says: the axes and columns of what is drawn and tabled.
    pub also: Vec<String>,
    /// Keys that are repeats, such as `seed`.
    pub over: Vec<String>,
    /// Metrics; none for those that the probes wrote at the end.
    pub metrics: Vec<String>,
    /// Metrics that are shares of ones among zeros and ones, besides those whose name ends in `_reject`.
    pub rates: Vec<String>,
    /// Where in a run metrics are read.
    pub at: At,
    /// Keys of which one value is chosen for each group, by `goal`.
    pub choose: Vec<String>,
    /// What is best.
    pub goal: Option<Goal>,
    /// The values of keys that mark the groups to compare with.
    pub baseline: Vec<(String, String)>,
    /// Files of published values.
    pub references: Vec<PathBuf>,
    /// Counts the numbers of runs that did not finish too.
    pub unfinished: bool,
}

impl Request {
    /// The keys that are named: those of groups, repeats and choices.
    pub(super) fn keys(&self) -> Vec<String> {
        let named = [&self.by, &self.also, &self.over, &self.choose].into_iter().flatten();
        named.chain(self.baseline.iter().map(|(key, _)| key)).cloned().collect()
    }
}

//! The groups that others are compared with.

use std::collections::{BTreeMap, BTreeSet};

use super::group::Group;
use super::request::Request;
use super::{refusal, same, unknown};
use crate::Result;

/// The groups that others are compared with, by the values of all keys that do not mark a baseline.
pub(super) struct Baselines<'g, 'a, 'b> {
    /// For each key whether it marks the baseline, and with which value.
    marks: Vec<Option<&'g str>>,
    groups: BTreeMap<Vec<&'g str>, &'g Group<'a, 'b>>,
}

impl<'g, 'a, 'b> Baselines<'g, 'a, 'b> {
    /// Those among `all`; none where none is asked for.
    ///
    /// # Errors
    /// A key that makes no groups, a value that no group has.
    pub(super) fn of(all: &'g [Group<'a, 'b>], by: &[String], request: &'g Request) -> Result<Self> {
        if let Some((key, _)) = request.baseline.iter().find(|(key, _)| !by.contains(key)) {
            let hint = format!("the groups are made by {}; add `{key}` to --by", by.join(", "));
            return Err(refusal(&format!("the baseline's key `{key}` makes no groups"), &hint));
        }
        let mark = |key: &String| request.baseline.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str());
        let mut found = Baselines { marks: by.iter().map(mark).collect(), groups: BTreeMap::new() };
        for group in all {
            if found.is_one(group) {
                let others = found.others(group);
                found.groups.entry(others).or_insert(group);
            }
        }
        if let Some((key, value)) = request.baseline.first().filter(|_| found.groups.is_empty()) {
            let place = by.iter().position(|k| k == key).unwrap_or_default();
            let known: BTreeSet<&String> = all.iter().filter_map(|group| group.values.get(place)).collect();
            return Err(unknown(key, value, &known.into_iter().cloned().collect::<Vec<_>>()));
        }
        Ok(found)
    }

    fn is_one(&self, group: &Group<'_, '_>) -> bool {
        let has = |(mark, value): (&Option<&str>, &String)| mark.is_none_or(|mark| same(mark, value));
        self.marks.iter().any(Option::is_some) && self.marks.iter().zip(&group.values).all(has)
    }

    fn others<'v>(&self, group: &'v Group<'_, '_>) -> Vec<&'v str> {
        let unmarked = self.marks.iter().zip(&group.values).filter(|(mark, _)| mark.is_none());
        unmarked.map(|(_, value)| value.as_str()).collect()
    }

    /// The baseline with the same values of all other keys; none for a baseline itself.
    pub(super) fn of_group(&self, group: &Group<'_, '_>) -> Option<&'g Group<'a, 'b>> {
        if self.groups.is_empty() || self.is_one(group) {
            return None;
        }
        self.groups.get(&self.others(group)).copied()
    }
}

//! Observations that are repeats of each other, and the choice of one setting by its mean.

use std::collections::BTreeMap;

use super::goal::{Choice, Goal};
use super::observe::Observation;
use super::summary::Summary;
use super::{Rank, same};

/// Observations with the same values of the keys.
pub(super) struct Group<'a, 'b> {
    pub(super) values: Vec<String>,
    pub(super) members: Vec<&'b Observation<'a>>,
    pub(super) choice: Option<Choice>,
}

/// Groups by the values of `keys`, numbers in order of size.
pub(super) fn groups<'a, 'b>(all: &[&'b Observation<'a>], keys: &[String]) -> Vec<Group<'a, 'b>> {
    let values_of = |o: &Observation<'_>| keys.iter().map(|key| o.key(key).into_owned()).collect::<Vec<_>>();
    let mut groups: Vec<Group<'a, 'b>> = Vec::new();
    let mut places: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    for &observation in all {
        let values = values_of(observation);
        let place = *places.entry(values.clone()).or_insert_with(|| {
            groups.push(Group { values, members: Vec::new(), choice: None });
            groups.len() - 1
        });
        if let Some(group) = groups.get_mut(place) {
            group.members.push(observation);
        }
    }
    // Read once each, where there are thousands.
    let mut places: Vec<usize> = (0..groups.len()).collect();
    places.sort_by_cached_key(|place| {
        let values = groups.get(*place).into_iter().flat_map(|group| &group.values);
        values.map(|value| Rank::of(value)).collect::<Vec<_>>()
    });
    let mut groups: Vec<Option<Group<'a, 'b>>> = groups.into_iter().map(Some).collect();
    places.into_iter().filter_map(|place| groups.get_mut(place)?.take()).collect()
}

impl Group<'_, '_> {
    /// The values of a metric of the runs that count.
    pub(super) fn values_of(&self, metric: &str) -> Vec<Option<f64>> {
        self.members.iter().filter(|o| o.counts).map(|o| o.metrics.get(metric)).collect()
    }

    /// Keeps the setting of `keys` whose mean is best and notes it; a group without any mean keeps its first setting.
    pub(super) fn choose(self, keys: &[String], goal: &Goal) -> Self {
        let settings = groups(&self.members, keys);
        let means: Vec<f64> = settings.iter().map(|s| Summary::of(&s.values_of(&goal.metric), false).mean).collect();
        let tried: Vec<_> = settings.iter().map(|s| s.values.clone()).zip(means).collect();
        let ranked = tried.iter().enumerate().filter(|(_, (_, mean))| mean.is_finite());
        let best = ranked.reduce(|a, b| if goal.prefers(b.1.1, a.1.1) { b } else { a }).map_or(0, |(i, _)| i);
        let Some(chosen) = settings.into_iter().nth(best) else { return self };
        let edge = |i: usize| is_at_edge(&tried, i, chosen.values.get(i)?).then(|| keys.get(i).cloned()).flatten();
        let at_edge = (0..keys.len()).filter_map(edge).collect();
        let choice = Some(Choice { values: chosen.values, tried, at_edge });
        Group { values: self.values, members: chosen.members, choice }
    }
}

fn is_at_edge(tried: &[(Vec<String>, f64)], key: usize, chosen: &str) -> bool {
    let numbers = tried.iter().filter_map(|(values, _)| values.get(key)?.parse::<f64>().ok());
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers.dedup();
    let ends = [numbers.first(), numbers.last()];
    numbers.len() > 2 && ends.into_iter().flatten().any(|end| same(&end.to_string(), chosen))
}

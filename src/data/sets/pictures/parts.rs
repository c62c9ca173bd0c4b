//! The part of a set that each picture belongs to, by a hash of its name: pictures that are added move no other.

use crate::data::keys::Pixels;
use crate::data::pipeline::split::Split;
use crate::data::source::TestItems;
use crate::store::checkpoint::sha256;

/// The part of every picture, by its name. Those `given` one keep it; of the others, and of the training pictures where
/// none is given for testing or validation, `test` and `pixels.validation` (shares below 1, counts from 1 on) are drawn
/// with the seed `pixels.split_seed`.
pub fn of(names: impl Iterator<Item = String>, given: &[Option<Split>], test: f64, pixels: &Pixels) -> Vec<Split> {
    let has = |part| given.contains(&Some(part));
    let (has_test, has_validation) = (has(Split::Test), has(Split::Validation));
    let is_free = |i: usize| given.get(i).is_some_and(|part| part.is_none_or(|part| part == Split::Train));
    let mut free: Vec<(f64, usize)> =
        names.enumerate().filter(|(i, _)| is_free(*i)).map(|(i, name)| (place(&name, pixels.split_seed), i)).collect();
    free.sort_by(|a, b| a.0.total_cmp(&b.0));
    let places: Vec<f64> = free.iter().map(|(place, _)| *place).collect();
    let (tests, boundary) = taken(&places, 0, 0.0, if has_test { 0.0 } else { test });
    let (validations, _) = taken(&places, tests, boundary, if has_validation { 0.0 } else { pixels.validation });
    let mut parts: Vec<Split> = given.iter().map(|part| part.unwrap_or(Split::Train)).collect();
    for (i, (_, picture)) in free.into_iter().enumerate() {
        if let Some(part) = parts.get_mut(picture) {
            *part = match i {
                i if i < tests => Split::Test,
                i if i < validations => Split::Validation,
                _ => Split::Train,
            };
        }
    }
    parts
}

/// The place of every picture once they stand in the order of their parts, each part in the order that it had.
pub fn slots(parts: &[Split]) -> Vec<usize> {
    let mut next = [0; 3];
    for part in Split::ALL {
        let before = parts.iter().filter(|other| **other < part).count();
        next.iter_mut().skip(part as usize).take(1).for_each(|n| *n = before);
    }
    let slot = |part: &Split| next.get_mut(*part as usize).map_or(0, |n| std::mem::replace(n, *n + 1));
    parts.iter().map(slot).collect()
}

/// What the set says of its parts, pictures in their order.
pub fn ends(parts: &[Split]) -> TestItems {
    let before = |part: Split| parts.iter().filter(|other| **other < part).count();
    TestItems::Parts { validation_from: before(Split::Validation), test_from: before(Split::Test) }
}

/// Where the part ends that begins at item `from` and place `boundary`: the item, and the place.
fn taken(places: &[f64], from: usize, boundary: f64, share: f64) -> (usize, f64) {
    if share < 1.0 {
        let end = boundary + share;
        return (from + places.iter().skip(from).take_while(|place| **place < end).count(), end);
    }
    let end = (from + share.round() as usize).min(places.len());
    (end, places.get(end).copied().unwrap_or(1.0))
}

/// A number in [0, 1) that a name and a seed determine.
fn place(name: &str, seed: u64) -> f64 {
    let hash = sha256(format!("ebm split {seed}\n{name}").as_bytes());
    u64::from_str_radix(hash.get(..13).unwrap_or_default(), 16).unwrap_or(0) as f64 / 16f64.powi(13)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assigned(n: usize, test: f64, validation: f64, part: impl Fn(usize) -> Option<Split>) -> Vec<Split> {
        let given: Vec<Option<Split>> = (0..n).map(part).collect();
        of((0..n).map(|i| format!("{i}.png")), &given, test, &Pixels { validation, ..Pixels::default() })
    }

    fn counts(parts: &[Split]) -> [usize; 3] {
        Split::ALL.map(|part| parts.iter().filter(|p| **p == part).count())
    }

    #[test]
    fn shares_are_kept_nearly_and_counts_exactly() {
        // Binomial: 200 ± 13, 100 ± 9.5 of 1,000.
        let [train, validation, test] = counts(&assigned(1000, 0.2, 0.1, |_| None));
        assert!((150..250).contains(&test) && (65..135).contains(&validation) && train + validation + test == 1000);
        assert_eq!(counts(&assigned(1000, 7.0, 11.0, |_| None)), [982, 11, 7]);
        assert_eq!(counts(&assigned(5, 7.0, 11.0, |_| None)), [0, 0, 5]);
    }

    #[test]
    fn pictures_that_are_added_move_no_other() {
        let (few, many) = (assigned(500, 0.2, 0.1, |_| None), assigned(1000, 0.2, 0.1, |_| None));
        assert_eq!(few, many[..500]);
    }

    #[test]
    fn folders_of_parts_are_kept_and_missing_parts_drawn_from_the_training_folder() {
        let own = |i| Some(if i < 100 { Split::Test } else { Split::Train });
        let parts = assigned(300, 50.0, 20.0, own);
        assert_eq!(counts(&parts), [180, 20, 100]);
        assert!(parts[..100].iter().all(|part| *part == Split::Test));
        let all = |i| Some(Split::ALL[i % 3]);
        assert_eq!(counts(&assigned(30, 0.5, 0.5, all)), [10; 3]);
    }

    #[test]
    fn slots_keep_the_order_within_a_part() {
        let [train, validation, test] = Split::ALL;
        let parts = [test, train, validation, test, train];
        assert_eq!(slots(&parts), [3, 0, 2, 4, 1]);
        assert_eq!(ends(&parts), TestItems::Parts { validation_from: 2, test_from: 3 });
    }
}

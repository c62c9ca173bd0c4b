//! The part of a set that each picture belongs to, by a hash of its name: pictures that are added move no other.

use super::folder::Picture;
use crate::data::keys::Pixels;
use crate::data::pipeline::split::Split;
use crate::store::checkpoint::sha256;

/// Gives every picture its part. Those of a folder for a part keep it; of the others, and of the training folder's
/// where the set has no folder for testing or validation, `test` and `pixels.validation` (shares below 1, counts from 1
/// on) are drawn with the seed `pixels.split_seed`.
pub fn assign(pictures: &mut [Picture], test: f64, pixels: &Pixels) {
    let has = |part| pictures.iter().any(|picture| picture.part == Some(part));
    let (has_test, has_validation) = (has(Split::Test), has(Split::Validation));
    let mut free: Vec<(f64, &mut Picture)> = pictures
        .iter_mut()
        .filter(|picture| picture.part.is_none_or(|part| part == Split::Train))
        .map(|picture| (place(&picture.name, pixels.split_seed), picture))
        .collect();
    free.sort_by(|a, b| a.0.total_cmp(&b.0));
    let places: Vec<f64> = free.iter().map(|(place, _)| *place).collect();
    let (tests, boundary) = taken(&places, 0, 0.0, if has_test { 0.0 } else { test });
    let (validations, _) = taken(&places, tests, boundary, if has_validation { 0.0 } else { pixels.validation });
    for (i, (_, picture)) in free.into_iter().enumerate() {
        picture.part = Some(match i {
            i if i < tests => Split::Test,
            i if i < validations => Split::Validation,
            _ => Split::Train,
        });
    }
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

    fn pictures(n: usize, part: impl Fn(usize) -> Option<Split>) -> Vec<Picture> {
        let one = |i| Picture { path: "".into(), name: format!("{i}.png"), part: part(i), class: None };
        (0..n).map(one).collect()
    }

    fn assigned(n: usize, test: f64, validation: f64, part: impl Fn(usize) -> Option<Split>) -> Vec<Split> {
        let mut all = pictures(n, part);
        assign(&mut all, test, &Pixels { validation, ..Pixels::default() });
        all.into_iter().map(|picture| picture.part.unwrap()).collect()
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
}

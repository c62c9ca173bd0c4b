//! The division of items into training, validation and test, disjoint and fixed by a seed of its own.

use super::order;
use crate::data::source::TestItems;
use crate::{Error, Result, rng::Key};

/// How stored items are divided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Division {
    /// Validation items: a share of the training file below 1, a count from 1 on.
    pub validation: f64,
    /// Which items: the same for every run seed.
    pub seed: u64,
    /// Training items kept; 0 keeps all.
    pub limit: usize,
}

/// The key of the division into splits; apart from the run's seed, so that every run holds out the same items.
fn split_key(seed: u64) -> Key {
    Key::new(seed).with("split")
}

/// Row numbers of training, validation and test items, of `items` in all, of which those of a test file come last.
///
/// Rows are in a random order fixed by the seed, the official test file's too: the first 5,000 test images of MNIST are
/// cleaner than the last 5,000, and "the first n" must be a fair sample. A set of test files alone is all for testing.
///
/// # Errors
/// A division that leaves no training item.
pub(crate) fn divide(items: usize, test: TestItems, how: Division) -> Result<[Vec<u32>; 3]> {
    let (own, drawn) = match test {
        TestItems::From(own) => (own, 0.0),
        TestItems::Drawn(share) => (items, share),
        TestItems::Parts { validation_from, test_from } => {
            return parts(items, validation_from, test_from, how);
        }
    };
    let official = shuffled(own..items, how.seed, "test");
    if own == 0 && items > 0 {
        return Ok([vec![], vec![], official]);
    }
    let test_count = count(drawn, own);
    let held_out = test_count + count(how.validation, own);
    if held_out >= own {
        return Err(Error::config(format!(
            "validation and test take {held_out} of {own} items, which leaves none to train on"
        ))
        .at("validation")
        .hint("lower `dataset.validation` (a share below 1, or a count)"));
    }
    let mut rows = order::permutation(split_key(how.seed), own);
    let mut train = rows.split_off(held_out);
    let validation = rows.split_off(test_count);
    if how.limit > 0 {
        train.truncate(how.limit);
    }
    let test = if matches!(test, TestItems::From(_)) { official } else { rows };
    Ok([train, validation, test])
}

/// The division of a set that says itself which items are for what.
fn parts(items: usize, validation_from: usize, test_from: usize, how: Division) -> Result<[Vec<u32>; 3]> {
    let mut train = order::permutation(split_key(how.seed), validation_from);
    if train.is_empty() && test_from > 0 {
        return Err(Error::config("no item is left to train on")
            .at("validation")
            .hint("lower `dataset.validation` and `dataset.test` (shares below 1, or counts)"));
    }
    if how.limit > 0 {
        train.truncate(how.limit);
    }
    let validation = shuffled(validation_from..test_from, how.seed, "validation");
    Ok([train, validation, shuffled(test_from..items, how.seed, "test")])
}

/// Rows in a random order that the seed fixes.
fn shuffled(rows: std::ops::Range<usize>, seed: u64, part: &str) -> Vec<u32> {
    let order = order::permutation(split_key(seed).with(part), rows.len());
    order.iter().map(|r| r + rows.start as u32).collect()
}

/// Of each split the rows of `classes` alone (all where none are given), thinned to the proportions `weights` by
/// leaving out the last ones.
///
/// # Errors
/// Weights that are not one for each class; a class without a training item.
pub(crate) fn of_classes(
    splits: [Vec<u32>; 3],
    labels: &[u16],
    classes: &[u32],
    weights: &[f64],
) -> Result<[Vec<u32>; 3]> {
    let refused = |what: String, hint: &str| Err(Error::config(what).at("classes").hint(hint));
    if !weights.is_empty() && weights.len() != classes.len() {
        let (weights, classes) = (weights.len(), classes.len());
        let what = format!("`dataset.class_weights` has {weights} entries and `dataset.classes` has {classes}");
        return refused(what, "give one weight for each class, or none");
    }
    if classes.is_empty() {
        return Ok(splits);
    }
    let place = |row: u32| {
        let label = labels.get(row as usize).map(|y| u32::from(*y))?;
        classes.iter().position(|class| *class == label)
    };
    let kept = splits.map(|rows| {
        let mut counts = vec![0usize; classes.len()];
        for k in rows.iter().filter_map(|row| place(*row)) {
            counts.get_mut(k).into_iter().for_each(|count| *count += 1);
        }
        let scale = counts.iter().zip(weights).map(|(c, w)| *c as f64 / w).fold(f64::INFINITY, f64::min);
        let mut left = counts;
        left.iter_mut().zip(weights).for_each(|(most, w)| *most = (w * scale).round() as usize);
        let mut take = |row: &u32| {
            let left = place(*row).and_then(|k| left.get_mut(k)).filter(|left| **left > 0);
            left.map(|left| *left -= 1).is_some()
        };
        rows.into_iter().filter(|row| take(row)).collect::<Vec<u32>>()
    });
    match classes
        .iter()
        .find(|class| !kept[0].iter().any(|row| labels.get(*row as usize).is_some_and(|y| u32::from(*y) == **class)))
    {
        Some(class) => refused(
            format!("`dataset.classes`: no training item has the label {class}"),
            "give labels that the data set has",
        ),
        None => Ok(kept),
    }
}

fn count(share: f64, of: usize) -> usize {
    if share < 1.0 { (share * of as f64).round() as usize } else { share.round() as usize }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_disjoint_and_complete() {
        for test in [TestItems::Drawn(0.1), TestItems::From(80)] {
            let how = Division { validation: 0.25, seed: 3, limit: 0 };
            let parts = divide(100, test, how).unwrap();
            let want = if test == TestItems::From(80) { [60, 20, 20] } else { [65, 25, 10] };
            assert_eq!(parts.each_ref().map(Vec::len), want);
            let mut all = parts.concat();
            all.sort_unstable();
            assert_eq!(all, (0..100).collect::<Vec<u32>>());
            assert_ne!(parts, divide(100, test, Division { seed: 4, ..how }).unwrap());
            assert!(test == TestItems::Drawn(0.1) || parts[2].iter().all(|&r| r >= 80));
        }
    }

    #[test]
    fn a_test_file_alone_is_all_for_testing() {
        let how = Division { validation: 7.0, seed: 0, limit: 0 };
        let [train, validation, mut test] = divide(9, TestItems::From(0), how).unwrap();
        test.sort_unstable();
        assert!(train.is_empty() && validation.is_empty() && test == (0..9).collect::<Vec<u32>>());
    }

    #[test]
    fn parts_that_a_set_has_are_kept() {
        let (given, how) =
            (TestItems::Parts { validation_from: 6, test_from: 8 }, Division { validation: 0.5, seed: 0, limit: 0 });
        let sorted = |mut rows: Vec<u32>| {
            rows.sort_unstable();
            rows
        };
        let [train, validation, test] = divide(12, given, how).unwrap().map(sorted);
        assert_eq!([train, validation, test], [(0..6).collect::<Vec<u32>>(), vec![6, 7], (8..12).collect()]);
        assert_eq!(divide(12, given, Division { limit: 2, ..how }).unwrap().map(|part| part.len()), [2, 2, 4]);
        let none = TestItems::Parts { validation_from: 0, test_from: 3 };
        assert!(divide(4, none, how).unwrap_err().to_string().contains("no item is left"));
    }

    #[test]
    fn counts_limits_and_too_much() {
        let how = Division { validation: 7.0, seed: 0, limit: 10 };
        assert_eq!(divide(100, TestItems::Drawn(5.0), how).unwrap().map(|p| p.len()), [10, 7, 5]);
        let error = divide(10, TestItems::Drawn(5.0), Division { validation: 6.0, ..how }).unwrap_err();
        assert!(error.to_string().contains("11 of 10") && error.exit_code() == 2, "{error}");
    }

    #[test]
    fn classes_are_kept_in_their_proportions() {
        let labels: Vec<u16> = (0..300).map(|i| i % 3).collect();
        let splits = || [(0..240).collect::<Vec<u32>>(), (240..270).collect(), (270..300).collect()];
        let shares = |rows: &[u32]| [0u16, 1, 2].map(|k| rows.iter().filter(|r| labels[**r as usize] == k).count());
        let kept = of_classes(splits(), &labels, &[2, 0], &[4.0, 1.0]).unwrap();
        assert_eq!(kept.each_ref().map(|rows| shares(rows)), [[20, 0, 80], [3, 0, 10], [3, 0, 10]]);
        assert_eq!(shares(&of_classes(splits(), &labels, &[1], &[]).unwrap()[0]), [0, 80, 0]);
        assert_eq!(of_classes(splits(), &labels, &[], &[]).unwrap(), splits());
        for (classes, weights, word) in [(vec![7], vec![], "label 7"), (vec![0, 1], vec![1.0], "1 entries")] {
            let error = of_classes(splits(), &labels, &classes, &weights).unwrap_err();
            assert!(error.to_string().contains(word) && error.exit_code() == 2, "{error}");
        }
    }
}

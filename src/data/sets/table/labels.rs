//! Labels as they are written, and as integers.

use std::path::Path;

use crate::data::source::class_names;
use crate::math::Numeral;
use crate::{Error, Result};

/// More classes than this are taken for a mistake.
pub(super) const MOST_CLASSES: usize = 1000;

/// Labels as integers, in the order of the numbers if all are numbers, else of the words; how many there are, and what
/// they are called where that is not 0, 1, ….
///
/// # Errors
/// Too many; what is not a number among numbers.
pub(super) fn numbered(path: &Path, labels: &[String]) -> Result<(Vec<u32>, usize, Vec<String>)> {
    let is_none = |label: &String| label.parse::<f64>().is_ok_and(f64::is_nan);
    let (places, classes) = ranked(labels);
    if let Some(row) = labels.iter().position(is_none)
        && labels.iter().all(|label| is_none(label) || Numeral::parse(label).is_some())
    {
        let what = format!("row {row} (from 0) has the label {}, which is no number", labels[row]);
        return Err(Error::data(path, what, "remove rows without a label, or give them one"));
    }
    match classes {
        0..=MOST_CLASSES => {
            let mut names = vec![String::new(); classes];
            let named = |(place, label): (&u32, &String)| {
                names.get_mut(*place as usize).into_iter().for_each(|name| label.clone_into(name));
            };
            places.iter().zip(labels).for_each(named);
            Ok((places, classes, class_names(names)))
        }
        _ => {
            let what = format!("has {classes} different labels in {} rows", labels.len());
            Err(Error::data(path, what, "set `dataset.label` to a column with a few values, or leave it out"))
        }
    }
}

/// The place of each among the different ones, in the order of the numbers if all are numbers, else of the words; and
/// how many these are.
pub(super) fn ranked(labels: &[String]) -> (Vec<u32>, usize) {
    let numbers: Vec<Numeral> = labels.iter().filter_map(|label| Numeral::parse(label)).collect();
    match numbers.len() == labels.len() {
        true => places(&numbers),
        false => places(labels),
    }
}

/// The place of each among the different ones in ascending order, and how many these are.
fn places<T: Ord>(all: &[T]) -> (Vec<u32>, usize) {
    let mut known: Vec<&T> = all.iter().collect();
    known.sort_unstable();
    known.dedup();
    let place = |one: &T| known.partition_point(|other| *other < one) as u32;
    (all.iter().map(place).collect(), known.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(labels: &[&str]) -> Result<(Vec<u32>, usize, Vec<String>)> {
        let labels: Vec<String> = labels.iter().map(|l| l.to_string()).collect();
        numbered(Path::new("x"), &labels)
    }

    #[test]
    fn labels_are_numbered_in_order() {
        let none = Vec::<String>::new;
        assert_eq!(
            of(&["10", "9", "1e1", "-3"]).unwrap(),
            (vec![2, 1, 2, 0], 3, ["-3", "9", "1e1"].map(str::to_owned).into())
        );
        assert_eq!(
            of(&["b", "a", "10", "b"]).unwrap(),
            (vec![2, 1, 0, 2], 3, ["10", "a", "b"].map(str::to_owned).into())
        );
        assert_eq!(of(&["True", "False"]).unwrap(), (vec![1, 0], 2, ["False", "True"].map(str::to_owned).into()));
        assert_eq!(
            of(&["9007199254740993", "9007199254740992"]).unwrap(),
            (vec![1, 0], 2, ["9007199254740992", "9007199254740993"].map(str::to_owned).into())
        );
        assert_eq!(of(&["1", "0.0", "1"]).unwrap(), (vec![1, 0, 1], 2, none()));
        assert_eq!(of(&["0", "-0", "nan_type"]).unwrap().1, 3);
        assert_eq!(of(&[]).unwrap(), (vec![], 0, none()));
        let error = of(&["0", "NaN", "1"]).unwrap_err();
        assert!(error.exit_code() == 4 && error.to_string().contains("row 1 (from 0)"), "{error}");
    }
}

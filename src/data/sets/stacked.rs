//! Digits stacked as channels: 100 or 1,000 modes that a classifier of digits can count (Metz et al. 2017).

use rand::Rng as _;
use serde::{Deserialize, Serialize};

use super::{digits, mnist};
use crate::config::{Schema, decode, rule};
use crate::data::keys::Pixels;
use crate::data::pipeline::division;
use crate::data::row::{DatasetRow, Origin};
use crate::data::source::{Images, Source, TestItems};
use crate::store::checkpoint::sha256;
use crate::{Result, rng::Key};

/// Which digits are stacked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Single {
    /// The shipped 8×8 digits.
    #[default]
    Digits,
    /// MNIST, 28×28.
    Mnist,
}

crate::config! {
    /// Keys of `stacked_digits`.
    pub struct Stacked {
        /// c, digits in an item: 2 (100 modes) or 3 (1,000 modes).
        channels: usize = 3, two_or_three;
        /// Which digits: digits (8×8, shipped) or mnist (28×28).
        of: Single = Single::Digits;
        /// Stacks to train on, before validation items are taken; no digit of theirs is in a test stack.
        items: usize = 50_000, rule::at_least(2);
        /// Stacks to test on.
        test_items: usize = 10_000;
        /// Which digits are stacked; apart from the run's seed, so that all runs have the same stacks.
        stack_seed: u64 = 0;
        /// The folder that holds the files of the digits; empty: as for the data set of the digits themselves.
        [may_change] path: String = String::new();
    }
}

fn two_or_three(v: &usize) -> rule::Complaint {
    (!(2..=3).contains(v)).then(|| format!("must be 2 or 3, got {v}"))
}

/// `stacked_digits`.
pub(crate) const STACKED_DIGITS: DatasetRow = DatasetRow {
    name: "stacked_digits",
    about: "2 or 3 random digits as the channels of one image: 100 or 1,000 modes, as many classes; from shipped \
            digits",
    cite: "Metz, Poole, Pfau & Sohl-Dickstein 2017, arXiv 1611.02163; Srivastava et al. 2017 (VEEGAN)",
    schema: Schema::of::<(Stacked, Pixels)>(),
    origin: Origin::Generated,
    pictures: false,
    example: "items = 200\ntest_items = 20",
    build: |table| {
        let keys: Stacked = decode(table)?;
        stack(&single(&keys)?, &keys).map(Source::Images)
    },
};

/// The digits themselves, as their own row reads them.
fn single(keys: &Stacked) -> Result<Images> {
    let row = if keys.of == Single::Mnist { &mnist::MNIST } else { &digits::DIGITS };
    row.images(&keys.path)
}

/// Stacks of digits of the training part, then `test_items` of the test part. Item i is a function of (stack_seed, i)
/// alone; its label reads its digits as a decimal number, the first channel first.
fn stack(digits: &Images, keys: &Stacked) -> Result<Images> {
    let how = division::Division { validation: 0.0, seed: 0, limit: 0 };
    let [train, _, test] = division::divide(digits.len(), digits.test, how)?;
    let (dim, all) = (digits.dim(), keys.items + keys.test_items);
    let mut pixels = Vec::with_capacity(all * keys.channels * dim);
    let mut labels = Vec::with_capacity(all);
    let key = Key::new(keys.stack_seed).with("stacked digits");
    for i in 0..all {
        let from = if i < keys.items { &train } else { &test };
        let mut rng = key.at(i as u64).rng();
        let mut label = 0;
        for _ in 0..keys.channels {
            let row = from.get(rng.random_range(0..from.len().max(1))).map_or(0, |row| *row as usize);
            pixels.extend_from_slice(digits.pixels.get(row * dim..(row + 1) * dim).unwrap_or_default());
            label = 10 * label + digits.labels.get(row).copied().unwrap_or(0);
        }
        labels.push(label);
    }
    let [_, height, width] = digits.shape;
    let described = format!("{} {:?} {} {} {}", digits.sha256, keys.of, keys.channels, keys.items, keys.stack_seed);
    Ok(Images {
        shape: [keys.channels, height, width],
        levels: digits.levels,
        classes: 10usize.pow(keys.channels as u32),
        class_names: Vec::new(),
        pixels,
        labels,
        test: TestItems::From(keys.items),
        sha256: sha256(described.as_bytes()),
        pairs: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(channels: usize) -> Stacked {
        Stacked { channels, items: 3000, test_items: 500, ..Stacked::default() }
    }

    #[test]
    fn labels_read_the_digits_and_channels_are_digits() {
        let digits = single(&Stacked::default()).unwrap();
        let find = |pixels: &[u8]| digits.pixels.chunks(64).position(|one| one == pixels).unwrap();
        for c in [2, 3] {
            let stacks = stack(&digits, &keys(c)).unwrap();
            assert_eq!((stacks.len(), stacks.shape, stacks.classes), (3500, [c, 8, 8], 10usize.pow(c as u32)));
            let (mut seen, mut tested) = (vec![false; digits.len()], vec![false; digits.len()]);
            for (i, (item, label)) in stacks.pixels.chunks(64 * c).zip(&stacks.labels).enumerate() {
                let rows: Vec<usize> = item.chunks(64).map(find).collect();
                assert_eq!(*label, rows.iter().fold(0, |label, &row| 10 * label + digits.labels[row]));
                rows.iter().for_each(|&row| if i < 3000 { seen[row] = true } else { tested[row] = true });
            }
            assert!(!seen.iter().zip(&tested).any(|(a, b)| *a && *b), "a digit is in both parts");
            assert!(tested.iter().filter(|t| **t).count() > 300 && seen.iter().filter(|t| **t).count() > 1200);
        }
    }

    #[test]
    fn an_item_does_not_depend_on_how_many_there_are() {
        let digits = single(&Stacked::default()).unwrap();
        let few = stack(&digits, &keys(3)).unwrap();
        let more = stack(&digits, &Stacked { items: 3200, ..keys(3) }).unwrap();
        assert_eq!(few.pixels[..3000 * 192], more.pixels[..3000 * 192]);
        let other = stack(&digits, &Stacked { stack_seed: 1, ..keys(3) }).unwrap();
        assert!(few.labels != other.labels && few.sha256 != other.sha256);
    }

    #[test]
    fn every_mode_is_as_likely_as_its_digits() {
        let digits = single(&Stacked::default()).unwrap();
        let stacks = stack(&digits, &Stacked { items: 50_000, ..keys(2) }).unwrap();
        let mut counts = [0.0; 100];
        stacks.labels.iter().take(50_000).for_each(|&l| counts[usize::from(l)] += 1.0);
        // The classes of the digits are nearly as large as each other: 9.7 to 10.2 %.
        assert!(counts.iter().all(|c| (350.0..650.0).contains(c)), "{counts:?}");
    }
}

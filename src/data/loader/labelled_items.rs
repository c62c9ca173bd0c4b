//! The labelled items of semi-supervised training.

use std::sync::Arc;

use super::Data;
use crate::data::items::Batch;
use crate::data::pipeline::{lens::Lens, order::Epochs, rows::Rows, split::Split};
use crate::{Error, Result, rng::Key};

/// Some training items whose labels a method may see, apart from the batches without labels.
///
/// It shares the items of the [`Data`] that it came from, and like it is a function of (seed, index): nothing is to be
/// saved.
pub struct LabelledItems {
    items: Arc<Rows>,
    lens: Lens,
    /// Places in the training split.
    places: Vec<u32>,
    classes: usize,
    key: Key,
    epochs: Epochs,
}

impl Data {
    /// The first `per_class` training items of each class, in the order of the split, which `split_seed` fixes for all
    /// runs; all training items if `per_class` is 0.
    ///
    /// # Errors
    /// A set without labels or with one class; a class with too few items, by name; no training items.
    pub fn labelled(&self, per_class: usize) -> Result<LabelledItems> {
        let name = &self.spec.name;
        let (Some(classes @ 2..), Some(labels)) = (self.spec.classes, self.items.labels(Split::Train)) else {
            return Err(Error::config(format!("the items of {name} have no labels to learn from"))
                .at_path("dataset.label")
                .hint("choose a data set with two or more classes; of a `table`, set `dataset.label`"));
        };
        if labels.is_empty() {
            return Err(Error::config(format!("there are no training items of {name} to learn labels from")));
        }
        let places = first_of_each(&labels, classes, per_class).map_err(|(class, found)| {
            Error::config(format!(
                "{per_class} labelled items a class are asked for, and class {class} of {name} has {found} training \
                 items"
            ))
            .at_path("dataset.limit")
            .hint("ask for fewer, or raise `dataset.limit`")
        })?;
        let (items, lens, key) = (self.items.clone(), self.lens.clone(), self.key.with("labelled"));
        Ok(LabelledItems { items, lens, places, classes, key, epochs: Epochs::default() })
    }
}

impl LabelledItems {
    /// How many items there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none; [`Data::labelled`] gives none such.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Labels are integers in 0..classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Batch number `index` of the endless sequence of passes over the items, each in its own random order, as training
    /// batches see them: transformed, augmented and noisy. Passes follow each other without a gap, so that a batch may
    /// be larger than the number of items.
    ///
    /// # Errors
    /// A batch of no items.
    pub fn batch(&self, index: u64, size: usize) -> Result<Batch> {
        let n = self.places.len() as u64;
        if size == 0 || n == 0 {
            return Err(Error::config("a batch of labelled items needs one item at least"));
        }
        let from = index.saturating_mul(size as u64);
        let place = |i: u64| {
            let order = self.epochs.order(self.key, Split::Train, i / n, self.places.len());
            let at = order.get((i % n) as usize)?;
            self.places.get(*at as usize).map(|&place| place as usize)
        };
        let places: Vec<usize> = (from..from.saturating_add(size as u64)).filter_map(place).collect();
        self.lens.training(self.items.rows(Split::Train, places.into_iter()), self.key.at(index))
    }
}

/// The places of the first `per_class` labels of each class, or of all labels for 0; else the first class that has
/// fewer, and how many.
fn first_of_each(labels: &[u32], classes: usize, per_class: usize) -> std::result::Result<Vec<u32>, (usize, usize)> {
    let mut found = vec![0; classes];
    let mut wanted = |label: &u32| match found.get_mut(*label as usize) {
        Some(count) => {
            *count += 1;
            per_class == 0 || *count <= per_class
        }
        None => false,
    };
    let places = labels.iter().enumerate().filter(|(_, label)| wanted(label)).map(|(i, _)| i as u32).collect();
    match found.iter().position(|&count| count < per_class) {
        Some(class) => Err((class, found.get(class).copied().unwrap_or(0))),
        None => Ok(places),
    }
}

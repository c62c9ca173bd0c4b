//! The raw rows of a data set: a table in memory, a generator, or a pool drawn from one.

use std::sync::Arc;

use super::{dependence::Sheet, order::Epochs, split::Split};
use crate::data::items::Stamp;
use crate::data::source::{Bounds, Images, PointGenerator, Records};
use crate::rng::Key;

/// Raw values of some rows.
pub(crate) enum Table {
    Pixels(Vec<u8>),
    Points(Vec<f32>),
}

/// Some rows and their labels.
pub(crate) struct Drawn {
    pub values: Table,
    pub labels: Option<Vec<u32>>,
}

enum Store {
    Images {
        images: Images,
        splits: [Vec<u32>; 3],
    },
    /// The values of the records are those of `values`, in f32.
    Records {
        records: Records,
        values: Vec<f32>,
        splits: [Vec<u32>; 3],
        bounds: Bounds,
    },
    Points {
        generator: Box<dyn PointGenerator>,
        pool: Vec<f32>,
    },
}

/// All rows of a data set, by split.
pub(crate) struct Rows {
    store: Store,
    epochs: Epochs,
}

impl Rows {
    pub(crate) fn of_images(images: Images, splits: [Vec<u32>; 3]) -> Self {
        Rows { store: Store::Images { images, splits }, epochs: Epochs::default() }
    }

    /// `bounds` is the box that holds the training items. Numbers are f32 from here on.
    pub(crate) fn of_records(mut records: Records, splits: [Vec<u32>; 3], bounds: Bounds) -> Self {
        let values = std::mem::take(&mut records.values).into_iter().map(|v| v as f32).collect();
        Rows { store: Store::Records { records, values, splits, bounds }, epochs: Epochs::default() }
    }

    /// Training points come from a pool of `limit`, or without end if it is 0.
    pub(crate) fn of_points(generator: Box<dyn PointGenerator>, limit: usize, key: Key) -> Self {
        let pool = draw(&*generator, key.with("pool"), limit);
        Rows { store: Store::Points { generator, pool }, epochs: Epochs::default() }
    }

    pub(crate) fn len(&self, split: Split) -> Option<usize> {
        match &self.store {
            Store::Images { splits, .. } | Store::Records { splits, .. } => Some(splits[split as usize].len()),
            Store::Points { generator, pool } if split == Split::Train && !pool.is_empty() => {
                Some(pool.len() / generator.dim())
            }
            Store::Points { .. } => None,
        }
    }

    pub(crate) fn order(&self, key: Key, split: Split, epoch: u64, n: usize) -> Arc<Vec<u32>> {
        self.epochs.order(key, split, epoch, n)
    }

    /// Drawn by their place in the split; places beyond its end are left out.
    pub(crate) fn rows(&self, split: Split, places: impl Iterator<Item = usize>) -> Drawn {
        match &self.store {
            Store::Images { images, splits } => {
                let rows = at(splits, split, places);
                let pixels = gather(&images.pixels, images.dim(), rows.iter().copied());
                let labels = rows.iter().filter_map(|&r| images.labels.get(r)).map(|&l| u32::from(l)).collect();
                Drawn { values: Table::Pixels(pixels), labels: Some(labels) }
            }
            Store::Records { records, values, splits, .. } => {
                let rows = at(splits, split, places);
                let values = gather(values, records.dim, rows.iter().copied());
                let of = |labels: &Vec<u32>| rows.iter().filter_map(|&r| labels.get(r)).copied().collect();
                Drawn { values: Table::Points(values), labels: records.labels.as_ref().map(of) }
            }
            Store::Points { generator, pool } => {
                Drawn { values: Table::Points(gather(pool, generator.dim(), places)), labels: None }
            }
        }
    }

    /// The labels of a split, in its order; `None` of a set without.
    pub(crate) fn labels(&self, split: Split) -> Option<Vec<u32>> {
        match &self.store {
            Store::Images { images, splits } => {
                let rows = at(splits, split, 0..self.len(split)?);
                Some(rows.iter().filter_map(|&r| images.labels.get(r)).map(|&l| u32::from(l)).collect())
            }
            Store::Records { records, splits, .. } => {
                let (labels, rows) = (records.labels.as_ref()?, at(splits, split, 0..self.len(split)?));
                Some(rows.iter().filter_map(|&r| labels.get(r)).copied().collect())
            }
            Store::Points { .. } => None,
        }
    }

    /// New draws; none of a set that is stored.
    pub(crate) fn fresh(&self, key: Key, n: usize) -> Drawn {
        let values = self.generator().map(|g| draw(g, key, n)).unwrap_or_default();
        Drawn { values: Table::Points(values), labels: None }
    }

    pub(crate) fn generator(&self) -> Option<&dyn PointGenerator> {
        match &self.store {
            Store::Images { .. } | Store::Records { .. } => None,
            Store::Points { generator, .. } => Some(&**generator),
        }
    }

    /// What a checkpoint keeps of stored items; of a generator nothing, as it is made anew.
    pub(crate) fn stamp(&self) -> Stamp {
        let (bounds, columns, scales, categories) = (Bounds::new(), Vec::new(), Vec::new(), Vec::new());
        let class_names = self.class_names().to_vec();
        let nothing = Stamp { image: None, levels: 0, classes: 0, class_names, bounds, columns, scales, categories };
        match &self.store {
            Store::Images { images, .. } => {
                Stamp { image: Some(images.shape), levels: images.levels, classes: images.classes, ..nothing }
            }
            Store::Records { records, bounds, .. } => {
                let (bounds, columns, scales) = (bounds.clone(), records.names.clone(), scales_of(records));
                let categories = records.categories.clone();
                Stamp { classes: records.classes, bounds, columns, scales, categories, ..nothing }
            }
            Store::Points { .. } => nothing,
        }
    }

    /// What the files call the classes; empty where they count from 0.
    pub(crate) fn class_names(&self) -> &[String] {
        match &self.store {
            Store::Images { images, .. } => &images.class_names,
            Store::Records { records, .. } => &records.class_names,
            Store::Points { .. } => &[],
        }
    }

    /// The names of a table's columns; empty where there are none.
    pub(crate) fn columns(&self) -> &[String] {
        match &self.store {
            Store::Records { records, .. } => &records.names,
            Store::Images { .. } | Store::Points { .. } => &[],
        }
    }

    /// Why the training items of a table have no density, a line a column.
    pub(crate) fn flat_columns(&self) -> Vec<String> {
        match &self.store {
            Store::Records { records, values, splits, .. } => {
                let sheet = Sheet { dim: records.dim, names: &records.names, values };
                sheet.flat_columns(&splits[Split::Train as usize])
            }
            Store::Images { .. } | Store::Points { .. } => Vec::new(),
        }
    }

    /// Of points and tables; empty for images.
    pub(crate) fn bounds(&self) -> Bounds {
        match &self.store {
            Store::Images { .. } => Bounds::new(),
            Store::Records { bounds, .. } => bounds.clone(),
            Store::Points { generator, .. } => generator.bounds(),
        }
    }
}

/// What turns the model's numbers in each column of a table into those of the file.
fn scales_of(records: &Records) -> Vec<[f64; 2]> {
    (0..records.dim).map(|c| records.scales.get(c).copied().unwrap_or([0.0, 1.0])).collect()
}

/// The rows at these places of a split.
fn at(splits: &[Vec<u32>; 3], split: Split, places: impl Iterator<Item = usize>) -> Vec<usize> {
    let rows = &splits[split as usize];
    places.filter_map(|p| rows.get(p)).map(|&r| r as usize).collect()
}

fn gather<T: Copy>(values: &[T], dim: usize, rows: impl Iterator<Item = usize>) -> Vec<T> {
    let mut gathered = Vec::with_capacity(rows.size_hint().0 * dim);
    rows.filter_map(|r| values.get(r * dim..(r + 1) * dim)).for_each(|row| gathered.extend_from_slice(row));
    gathered
}

fn draw(generator: &dyn PointGenerator, key: Key, n: usize) -> Vec<f32> {
    let mut points = vec![0.0; n * generator.dim()];
    generator.fill(&mut key.rng(), &mut points);
    points.into_iter().map(|c| c as f32).collect()
}

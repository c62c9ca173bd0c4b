//! [`Data`]: what training and probes hold. Batches, evaluation sets, and the way between pixels and model space.

mod labelled_items;
mod model_space;
mod moments;
mod truth;

pub use labelled_items::LabelledItems;
pub use moments::Moments;

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Device;

use super::DATASETS;
use super::files::manifest;
use super::items::{Batch, ItemSpec, Stamp};
use super::keys::{Columns, Pixels, Points};
use super::pipeline::{
    augment::Augment,
    division::{self, Division},
    lens::Lens,
    rows::Rows,
    split::Split,
    transform::{PixelMap, Transform},
};
use super::source::{Bounds, Generator, Images, Records, Source, describe};
use crate::{
    Error, Result,
    config::{self, decode},
    rng::Key,
};

/// A data set, opened, verified and split.
///
/// Batches are functions of (seed, split, index): nothing is stored between calls that changes a result.
pub struct Data {
    spec: ItemSpec,
    items: Arc<Rows>,
    stamp: Stamp,
    lens: Lens,
    key: Key,
    sha256: String,
    /// The last answer of [`Data::all`] on a generated set: several probes ask for the same draws, and those of a
    /// Markov chain are dear.
    drawn: Mutex<Option<(Split, usize, Batch)>>,
}

impl Data {
    /// Opens the data set that a resolved `[dataset]` section names. Files are read and verified here, so that nothing
    /// is found wrong with them after training has begun. `seed` is the run's.
    ///
    /// # Errors
    /// A missing, truncated, corrupt or mislabelled file ([`Error::Data`]); keys that contradict each other.
    pub fn open(spec: &config::Spec, seed: u64, device: &Device) -> Result<Data> {
        let row = config::find(DATASETS, spec.name()).ok_or_else(|| {
            Error::Config(format!("error: unknown data set `{}`\n\nhint: `ebm data list` names them all", spec.name()))
        })?;
        let source = (row.build)(&spec.0)?;
        let key = Key::new(seed).with("data");
        match source {
            Source::Images(images) => Data::of_images(spec, images, key, device),
            Source::Records(records) => Data::of_records(spec, records, key, device),
            Source::Points(generator) => Data::of_points(spec, generator, key, device),
        }
    }

    /// The data set without its items, as a checkpoint remembers it: it maps to and from pixels and starts chains, but
    /// has nothing to train on.
    ///
    /// # Errors
    /// As [`Data::open`], except for files.
    pub fn without_items(spec: &config::Spec, stamp: Stamp, seed: u64, device: &Device) -> Result<Data> {
        let key = Key::new(seed).with("data");
        let Stamp { image, levels, classes, bounds } = stamp;
        let none = [vec![], vec![], vec![]];
        if let Some(shape) = image {
            let (pixels, labels, sha256) = (vec![], vec![], String::new());
            let images = Images { shape, levels, classes, pixels, labels, test_from: None, sha256 };
            return Data::of_pictures(spec, images, none, key, device);
        }
        if bounds.is_empty() {
            return Data::open(spec, seed, device);
        }
        Data::of_table(spec, Records::empty(bounds.len(), classes), none, bounds, key, device)
    }

    fn of_images(spec: &config::Spec, images: Images, key: Key, device: &Device) -> Result<Data> {
        let keys: Pixels = decode(&spec.0)?;
        let how =
            Division { validation: keys.validation, test: test_share(spec), seed: keys.split_seed, limit: keys.limit };
        let rows = division::divide(images.len(), images.test_from, how)?;
        let rows = division::of_classes(rows, &images.labels, &keys.classes, &keys.class_weights)?;
        Data::of_pictures(spec, images, rows, key, device)
    }

    fn of_pictures(
        spec: &config::Spec,
        images: Images,
        rows: [Vec<u32>; 3],
        key: Key,
        device: &Device,
    ) -> Result<Data> {
        let keys: Pixels = decode(&spec.0)?;
        let Images { shape: image, levels, classes, .. } = images;
        let lens = Lens {
            shape: if keys.flatten { vec![images.dim()] } else { image.to_vec() },
            image: Some(image),
            map: Some(pixel_map(&keys, levels)?),
            dequantise: keys.dequantise,
            augment: Augment::new(&keys, image)?,
            noise: keys.noise,
            device: device.clone(),
        };
        let stamp = Stamp { image: Some(image), levels, classes, bounds: vec![] };
        let sha256 = images.sha256.clone();
        let sizes = Some(rows.each_ref().map(Vec::len));
        Ok(Data::new(spec, lens, Rows::of_images(images, rows), (sizes, Some(classes)), stamp, key, sha256))
    }

    fn of_records(spec: &config::Spec, records: Records, key: Key, device: &Device) -> Result<Data> {
        let keys: Columns = decode(&spec.0)?;
        let how =
            Division { validation: keys.validation, test: test_share(spec), seed: keys.split_seed, limit: keys.limit };
        let rows = division::divide(records.len(), records.test_from, how)?;
        let records = records.prepared(&keys, &rows[0])?;
        let bounds = records.bounds(&rows[0]);
        Data::of_table(spec, records, rows, bounds, key, device)
    }

    fn of_table(
        spec: &config::Spec,
        records: Records,
        rows: [Vec<u32>; 3],
        bounds: Bounds,
        key: Key,
        device: &Device,
    ) -> Result<Data> {
        let noise = decode::<Columns>(&spec.0)?.noise;
        let lens = Lens::of_points(records.dim, noise, device);
        let classes = (records.classes > 0).then_some(records.classes);
        let stamp = Stamp { image: None, levels: 0, classes: records.classes, bounds: bounds.clone() };
        let sha256 = records.sha256.clone();
        let sizes = Some(rows.each_ref().map(Vec::len));
        Ok(Data::new(spec, lens, Rows::of_records(records, rows, bounds), (sizes, classes), stamp, key, sha256))
    }

    fn of_points(spec: &config::Spec, generator: Box<dyn Generator>, key: Key, device: &Device) -> Result<Data> {
        let keys: Points = decode(&spec.0)?;
        let lens = Lens::of_points(generator.dim(), keys.noise, device);
        let items = Rows::of_points(generator, keys.limit, key);
        let stamp = Stamp { image: None, levels: 0, classes: 0, bounds: vec![] };
        Ok(Data::new(spec, lens, items, (None, None), stamp, key, describe(&spec.0)))
    }

    fn new(
        section: &config::Spec,
        lens: Lens,
        items: Rows,
        (sizes, classes): (Option<[usize; 3]>, Option<usize>),
        stamp: Stamp,
        key: Key,
        sha256: String,
    ) -> Data {
        let spec =
            ItemSpec { name: section.name().into(), shape: lens.shape.clone(), image: lens.image, classes, sizes };
        Data { spec, items: Arc::new(items), stamp, lens, key, sha256, drawn: Mutex::default() }
    }

    /// What a checkpoint must keep of the data set.
    pub fn stamp(&self) -> Stamp {
        self.stamp.clone()
    }

    /// Where its tensors live.
    pub fn device(&self) -> &Device {
        &self.lens.device
    }

    /// What a model must know about the data.
    pub fn spec(&self) -> &ItemSpec {
        &self.spec
    }

    /// How many items a split has; `None` if they are drawn without end.
    pub fn len(&self, split: Split) -> Option<usize> {
        self.items.len(split)
    }

    /// Refuses a set of which only the test files are here.
    ///
    /// # Errors
    /// There is no training item ([`Error::Data`]).
    pub fn check_training(&self) -> Result<()> {
        match self.len(Split::Train) {
            Some(0) => {
                let remedy = manifest::find(&self.spec.name).map_or_else(|_| "add some".into(), |set| set.remedy());
                Err(Error::data(self.spec.name.as_ref(), "only test items are here, and nothing to train on", remedy))
            }
            _ => Ok(()),
        }
    }

    /// How many training batches of this size an epoch has, the incomplete last one dropped; `None` without epochs.
    pub fn batches_per_epoch(&self, size: usize) -> Option<u64> {
        self.len(Split::Train).map(|n| (n / size.max(1)) as u64)
    }

    /// Where the data come from: the hash of the files' content, or of the generator's configuration.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Batch number `index` of the endless sequence of epochs, each in its own random order, incomplete last batches
    /// dropped; of a generated set, fresh draws. Noise is fresh for every batch, and so are the flips and shifts of
    /// training images.
    ///
    /// # Errors
    /// A batch larger than the split.
    pub fn batch(&self, split: Split, index: u64, size: usize) -> Result<Batch> {
        let key = self.key.with(split.name()).at(index);
        let Some(n) = self.len(split) else { return self.fresh(key, size) };
        let per_epoch = n.checked_div(size).unwrap_or(0) as u64;
        if per_epoch == 0 {
            return Err(Error::Config(format!(
                "error: a batch of {size} does not fit the {n} {split} items of {}\n\nhint: set a batch size between \
                 1 and {n}",
                self.spec.name
            )));
        }
        let order = self.items.order(self.key, split, index / per_epoch, n);
        let from = (index % per_epoch) as usize * size;
        let rows = self.items.rows(split, order.iter().skip(from).take(size).map(|&r| r as usize));
        if split == Split::Train { self.lens.training(rows, key) } else { self.lens.finish(rows, key) }
    }

    /// The first `max` items of a split in an order that never changes, or `max` draws of a generated set, apart from
    /// those of every batch. Repeated calls give the same numbers, noise included; nothing is flipped or shifted.
    ///
    /// # Errors
    /// A tensor that cannot be made on the device.
    pub fn all(&self, split: Split, max: usize) -> Result<Batch> {
        let key = self.key.with(split.name()).with("all");
        match self.len(split) {
            Some(n) => self.lens.finish(self.items.rows(split, 0..n.min(max)), key),
            None => self.remembered(split, max, key),
        }
    }

    fn remembered(&self, split: Split, n: usize, key: Key) -> Result<Batch> {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        match &*drawn {
            Some((of, count, batch)) if *of == split && *count == n => Ok(batch.clone()),
            _ => {
                let batch = self.fresh(key, n)?;
                *drawn = Some((split, n, batch.clone()));
                Ok(batch)
            }
        }
    }

    fn fresh(&self, key: Key, n: usize) -> Result<Batch> {
        self.lens.finish(self.items.fresh(key.with("draw"), n), key)
    }
}

fn pixel_map(keys: &Pixels, levels: u32) -> Result<PixelMap> {
    if keys.transform == Transform::Logit && !keys.dequantise && keys.logit_alpha == 0.0 {
        return Err(Error::Config(
            "error: the logit of black and white pixels is infinite\n\nhint: set `dataset.dequantise = true`, or \
             `dataset.logit_alpha` above 0"
                .into(),
        ));
    }
    let top = if keys.dequantise { levels } else { levels - 1 };
    Ok(PixelMap { transform: keys.transform, alpha: keys.logit_alpha, scale: f64::from(top) })
}

/// Test items to hold out; only sets that may lack a test file of their own have the key.
fn test_share(spec: &config::Spec) -> f64 {
    spec.0.get("test").and_then(number).unwrap_or(0.0)
}

fn number(value: &toml::Value) -> Option<f64> {
    value.as_float().or_else(|| value.as_integer().map(|i| i as f64))
}

//! The opening of a data set: its row, its division into splits, and how a model sees its items.

use std::collections::BTreeSet;

use candle_core::Device;

use super::Data;
use crate::config::{self, decode};
use crate::data::DATASETS;
use crate::data::items::Stamp;
use crate::data::keys::{Columns, Pixels, Points};
use crate::data::pipeline::{
    augment::Augment,
    division::{self, Division},
    lens::Lens,
    rows::Rows,
    split::Split,
    transform::{PixelMap, Transform},
};
use crate::data::source::{Bounds, Images, PointGenerator, Records, Source, describe};
use crate::{Error, Result, rng::Key, shell};

/// Row numbers of training, validation and test items.
type Splits = [Vec<u32>; 3];

/// What the items of a [`Data`] are, and how a model sees them.
pub(super) struct Opened {
    pub rows: Rows,
    pub lens: Lens,
    /// Labels are integers in 0..classes.
    pub classes: Option<usize>,
    /// The hash of the files' content, or of the generator's configuration.
    pub sha256: String,
}

impl Data {
    /// Opens the data set that a resolved `[dataset]` section names. Files are read and verified here, so that nothing
    /// is found wrong with them after training has begun. `seed` is the run's.
    ///
    /// # Errors
    /// A missing, truncated, corrupt or mislabelled file ([`Error::Data`]); keys that contradict each other.
    pub fn open(spec: &config::Spec, seed: u64, device: &Device) -> Result<Data> {
        spec.within(Data::of_source(spec, source(spec)?, seed, device))
    }

    /// Opens a data set with all its pictures in the split for training, in the order of its files; other sets as
    /// [`Data::open`] does.
    ///
    /// # Errors
    /// As [`Data::open`].
    pub fn open_whole(spec: &config::Spec, seed: u64, device: &Device) -> Result<Data> {
        match source(spec)? {
            Source::Images(images) => {
                let all = (0..images.len() as u32).collect();
                let opened = pictures(images, [all, vec![], vec![]], &decode(&spec.table)?, device);
                Ok(Data::new(spec.name(), spec.within(opened)?, Key::new(seed).with("data")))
            }
            source => spec.within(Data::of_source(spec, source, seed, device)),
        }
    }

    /// The data set whose raw items are `source`, with the keys of `spec` for its kind.
    ///
    /// # Errors
    /// Keys that contradict each other, or a division that leaves no training item.
    pub fn of_source(spec: &config::Spec, source: Source, seed: u64, device: &Device) -> Result<Data> {
        let key = Key::new(seed).with("data");
        let opened = match source {
            Source::Images(images) => {
                let keys = decode(&spec.table)?;
                let splits = divided(&images, &keys)?;
                pictures(images, splits, &keys, device)?
            }
            Source::Records(records) => {
                let keys: Columns = decode(&spec.table)?;
                let how = Division { validation: keys.validation, seed: keys.split_seed, limit: keys.limit };
                let splits = division::divide(records.len(), records.test, how)?;
                let records = records.prepared(&keys, &splits[0])?;
                let bounds = records.bounds(&splits[0]);
                vectors(records, splits, bounds, &keys, device)
            }
            Source::Points(generator) => points(generator, &decode(&spec.table)?, describe(&spec.table), key, device),
        };
        let data = Data::new(spec.name(), opened, key);
        data.warn_of_unseen_classes();
        Ok(data)
    }

    /// Says which classes occur among the items held out, and not among those for training: nothing learns them.
    fn warn_of_unseen_classes(&self) {
        let of = |split| self.items.labels(split).unwrap_or_default().into_iter().collect::<BTreeSet<u32>>();
        let held_out = &of(Split::Validation) | &of(Split::Test);
        let unseen: Vec<String> = (&held_out - &of(Split::Train)).iter().map(u32::to_string).collect();
        if !unseen.is_empty() && self.spec.classes.is_some_and(|classes| classes > 1) {
            let (name, unseen) = (&self.spec.name, unseen.join(", "));
            tracing::warn!("{name}: items held out are of classes that no training item has (from 0): {unseen}");
        }
    }

    /// The data set without its items, as a checkpoint remembers it: it maps to and from pixels and starts chains, but
    /// has nothing to train on.
    ///
    /// # Errors
    /// As [`Data::open`], except for files.
    pub fn without_items(spec: &config::Spec, stamp: Stamp, seed: u64, device: &Device) -> Result<Data> {
        let Stamp { image, levels, classes, class_names, bounds, columns, scales, categories } = stamp;
        let opened = match image {
            Some(shape) => {
                let images = Images { class_names, ..Images::empty(shape, levels, classes) };
                pictures(images, Splits::default(), &decode(&spec.table)?, device)?
            }
            None if bounds.is_empty() => return Data::open(spec, seed, device),
            None => {
                let empty = Records::empty(bounds.len(), classes);
                let records = Records { names: columns, class_names, scales, categories, ..empty };
                vectors(records, Splits::default(), bounds, &decode(&spec.table)?, device)
            }
        };
        Ok(Data::new(spec.name(), opened, Key::new(seed).with("data")))
    }
}

/// The raw items that a section names.
fn source(spec: &config::Spec) -> Result<Source> {
    let row = config::find(DATASETS, spec.name()).ok_or_else(|| {
        Error::config(format!("unknown data set `{}`", spec.name()))
            .at("name")
            .hint(format!("`{}` names them all", shell::ebm("data list")))
    })?;
    spec.within((row.build)(&spec.table))
}

/// Which images are for training, validation and testing.
fn divided(images: &Images, keys: &Pixels) -> Result<Splits> {
    let how = Division { validation: keys.validation, seed: keys.split_seed, limit: keys.limit };
    let splits = division::divide(images.len(), images.test, how)?;
    division::of_classes(splits, &images.labels, &keys.classes, &keys.class_weights)
}

fn pictures(images: Images, splits: Splits, keys: &Pixels, device: &Device) -> Result<Opened> {
    let shape = images.shape;
    let lens = Lens {
        shape: if keys.flatten { vec![images.dim()] } else { shape.to_vec() },
        image: Some(shape),
        map: Some(pixel_map(keys, images.levels)?),
        dequantise: keys.dequantise,
        augment: Augment::new(keys, shape, images.pairs)?,
        noise: keys.noise,
        device: device.clone(),
    };
    let (classes, sha256) = (Some(images.classes), images.sha256.clone());
    Ok(Opened { rows: Rows::of_images(images, splits), lens, classes, sha256 })
}

fn vectors(records: Records, splits: Splits, bounds: Bounds, keys: &Columns, device: &Device) -> Opened {
    let lens = Lens::of_points(records.dim, keys.noise, device);
    let classes = (records.classes > 0).then_some(records.classes);
    let sha256 = records.sha256.clone();
    Opened { rows: Rows::of_records(records, splits, bounds), lens, classes, sha256 }
}

fn points(generator: Box<dyn PointGenerator>, keys: &Points, sha256: String, key: Key, device: &Device) -> Opened {
    let lens = Lens::of_points(generator.dim(), keys.noise, device);
    Opened { rows: Rows::of_points(generator, keys.limit, key), lens, classes: None, sha256 }
}

fn pixel_map(keys: &Pixels, levels: u32) -> Result<PixelMap> {
    if keys.transform == Transform::Logit && !keys.dequantise && keys.logit_alpha == 0.0 {
        return Err(Error::config("the logit of black and white pixels is infinite")
            .at("transform")
            .hint("set `dataset.dequantise = true`, or `dataset.logit_alpha` above 0"));
    }
    let top = if keys.dequantise { levels } else { levels - 1 };
    Ok(PixelMap { transform: keys.transform, alpha: keys.logit_alpha, scale: f64::from(top) })
}

//! [`Data`]: what training and probes hold. Batches, evaluation sets, and the way between pixels and model space.

use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Tensor};
use rand::Rng as _;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    DATASETS, Pixels, Points, Source, Split, Transform,
    rows::{Drawn, Rows, Table},
    split::{self, Division},
    transform::PixelMap,
};
use crate::{
    Error, Result,
    config::{self, decode},
    rng::Key,
};

/// What a model must know about a data set to be built for it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spec {
    /// The registry row.
    pub name: String,
    /// One item as the model sees it: `[2]`, `[1, 28, 28]`, or `[784]` when flattened.
    pub shape: Vec<usize>,
    /// Channels, height, width if items are pictures, flattened or not.
    pub image: Option<[usize; 3]>,
    /// Labels are integers in 0..classes.
    pub classes: Option<usize>,
    /// Items for training, validation and test; `None` if any of them is drawn without end.
    pub sizes: Option<[usize; 3]>,
}

/// What is left to know about a set of images when its files are not at hand: kept in checkpoints, so that sampling
/// needs no data.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stamp {
    /// Channels, height, width; `None` for generated points, which need no files.
    pub image: Option<[usize; 3]>,
    /// Grey levels of a pixel.
    pub levels: u32,
    /// Labels are integers in 0..classes.
    pub classes: usize,
}

impl Spec {
    /// Numbers in one item.
    pub fn dim(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Some items and, where the set has them, their labels.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[B, ..]`, f32, in model space.
    pub x: Tensor,
    /// `[B]`, u32.
    pub y: Option<Tensor>,
}

/// A data set, opened, verified and split.
///
/// Batches are functions of (seed, split, index): nothing is stored between calls that changes a result.
pub struct Data {
    pub(super) spec: Spec,
    pub(super) items: Rows,
    stamp: Stamp,
    pub(super) map: Option<PixelMap>,
    pub(super) dequantise: bool,
    pub(super) noise: f64,
    key: Key,
    pub(super) device: Device,
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
            Source::Points(generator) => Data::of_points(spec, generator, key, device),
        }
    }

    /// The data set without its items, as a checkpoint remembers it: it maps to and from pixels and starts chains, but
    /// has nothing to train on.
    ///
    /// # Errors
    /// As [`Data::open`], except for files.
    pub fn without_items(spec: &config::Spec, stamp: Stamp, seed: u64, device: &Device) -> Result<Data> {
        let Some(shape) = stamp.image else { return Data::open(spec, seed, device) };
        let Stamp { levels, classes, .. } = stamp;
        let (pixels, labels, sha256) = (vec![], vec![], String::new());
        let images = super::Images { shape, levels, classes, pixels, labels, test_from: None, sha256 };
        let key = Key::new(seed).with("data");
        Data::of_rows(spec, images, [vec![], vec![], vec![]], key, device)
    }

    fn of_images(spec: &config::Spec, images: super::Images, key: Key, device: &Device) -> Result<Data> {
        let keys: Pixels = decode(&spec.0)?;
        // Only sets without a test file of their own have the key.
        let test = spec.0.get("test").and_then(number).unwrap_or(0.0);
        let how = Division { validation: keys.validation, test, seed: keys.split_seed, limit: keys.limit };
        let rows = split::divide(&images, how)?;
        Data::of_rows(spec, images, rows, key, device)
    }

    fn of_rows(
        spec: &config::Spec,
        images: super::Images,
        rows: [Vec<u32>; 3],
        key: Key,
        device: &Device,
    ) -> Result<Data> {
        let keys: Pixels = decode(&spec.0)?;
        let map = pixel_map(&keys, images.levels)?;
        let stamp = Stamp { image: Some(images.shape), levels: images.levels, classes: images.classes };
        let spec = Spec {
            name: spec.name().into(),
            shape: if keys.flatten { vec![images.dim()] } else { images.shape.to_vec() },
            image: Some(images.shape),
            classes: Some(images.classes),
            sizes: Some(rows.each_ref().map(Vec::len)),
        };
        let sha256 = images.sha256.clone();
        let items = Rows::of_images(images, rows);
        let (dequantise, noise, device) = (keys.dequantise, keys.noise, device.clone());
        Ok(Data { spec, items, stamp, map: Some(map), dequantise, noise, key, device, sha256, drawn: Mutex::default() })
    }

    fn of_points(spec: &config::Spec, generator: Box<dyn super::Generator>, key: Key, device: &Device) -> Result<Data> {
        let keys: Points = decode(&spec.0)?;
        let sha256 = super::source::describe(&spec.0);
        let shape = vec![generator.dim()];
        let items = Rows::of_points(generator, keys.limit, key);
        let spec = Spec { name: spec.name().into(), shape, image: None, classes: None, sizes: None };
        let stamp = Stamp { image: None, levels: 0, classes: 0 };
        let (noise, device) = (keys.noise, device.clone());
        Ok(Data {
            spec,
            items,
            stamp,
            map: None,
            dequantise: false,
            noise,
            key,
            device,
            sha256,
            drawn: Mutex::default(),
        })
    }

    /// What a checkpoint must keep of the data set.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Where its tensors live.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What a model must know about the data.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// How many items a split has; `None` if they are drawn without end.
    pub fn len(&self, split: Split) -> Option<usize> {
        self.items.len(split)
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
    /// dropped; of a generated set, fresh draws. Noise is fresh for every batch.
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
        self.finish(self.items.rows(split, order.iter().skip(from).take(size).map(|&r| r as usize)), key)
    }

    /// The first `max` items of a split in an order that never changes, or `max` draws of a generated set, apart from
    /// those of every batch. Repeated calls give the same numbers, noise included.
    ///
    /// # Errors
    /// A tensor that cannot be made on the device.
    pub fn all(&self, split: Split, max: usize) -> Result<Batch> {
        let key = self.key.with(split.name()).with("all");
        match self.len(split) {
            Some(n) => self.finish(self.items.rows(split, 0..n.min(max)), key),
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
        self.finish(self.items.fresh(key.with("draw"), n), key)
    }

    /// Raw rows to model space.
    fn finish(&self, rows: Drawn, key: Key) -> Result<Batch> {
        let values = match (rows.values, &self.map) {
            (Table::Points(values), _) => values,
            (Table::Pixels(pixels), Some(map)) => self.to_model(&pixels, map, key),
            (Table::Pixels(pixels), None) => pixels.into_iter().map(f32::from).collect(),
        };
        let count = values.len().checked_div(self.spec.dim()).unwrap_or(0);
        let mut x = Tensor::from_vec(values, self.shaped(count), &self.device)?;
        if self.noise > 0.0 {
            x = (&x + (key.with("noise").normal(x.dims(), DType::F32, &self.device)? * self.noise)?)?;
        }
        let y = rows.labels.map(|labels| Tensor::from_vec(labels, count, &self.device)).transpose()?;
        Ok(Batch { x, y })
    }

    /// Dequantised and transformed pixels; every number depends on its own draw alone, so threads change nothing.
    fn to_model(&self, pixels: &[u8], map: &PixelMap, key: Key) -> Vec<f32> {
        let model = |v: u8, shift: f64| map.forward((f64::from(v) + shift) / map.scale) as f32;
        if !self.dequantise {
            return pixels.iter().map(|&v| model(v, 0.0)).collect();
        }
        let mut bits = vec![0u32; pixels.len()];
        key.with("dequantise").rng().fill(bits.as_mut_slice());
        pixels.par_iter().zip(bits).with_min_len(4096).map(|(&v, bits)| model(v, inside(bits))).collect()
    }

    pub(super) fn shaped(&self, count: usize) -> Vec<usize> {
        [&[count], self.spec.shape.as_slice()].concat()
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

/// Uniform on (0, 1), both ends left out so that a logit stays finite.
pub(super) fn open_uniform(rng: &mut impl rand::Rng) -> f64 {
    inside(rng.random())
}

/// The middle of one of 2³² equal parts of (0, 1).
fn inside(bits: u32) -> f64 {
    (f64::from(bits) + 0.5) / 4_294_967_296.0
}

fn number(value: &toml::Value) -> Option<f64> {
    value.as_float().or_else(|| value.as_integer().map(|i| i as f64))
}

//! Model space: the map between it and pixels, its volume, and starts of chains in it.

use candle_core::{DType, Device, Tensor};
use serde::Serialize;

use super::Data;
use crate::data::pipeline::{
    lens::{Lens, open_uniform},
    split::Split,
    transform::{PixelMap, Transform},
};
use crate::{Error, Result, rng::Key};

/// The map x = (v - shift)/scale, or the logit of that, from raw values v to model space.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rescaling {
    /// One number for all pixels, one a column of a table; none where values stay as they are.
    pub shift: Vec<f64>,
    /// As many.
    pub scale: Vec<f64>,
    /// Whether the logit follows.
    pub logit: bool,
}

impl Data {
    /// Samples uniform over pixels in [0, 1] mapped to model space, as LSD starts its sampler (logit of a uniform);
    /// for points and tables, uniform on the box that holds the data. Shape `[n, ..]`, f32.
    ///
    /// # Errors
    /// A tensor that cannot be made on the device.
    pub fn uniform_init(&self, key: Key, n: usize) -> Result<Tensor> {
        let mut rng = key.rng();
        let bounds = self.items.bounds();
        let total = n * self.spec.dim();
        let values: Vec<f32> = match (&self.lens.map, bounds) {
            (Some(map), _) => (0..total).map(|_| map.forward(open_uniform(&mut rng)) as f32).collect(),
            (None, bounds) => {
                let sides = bounds.iter().cycle().take(total);
                sides.map(|[low, high]| (low + (high - low) * open_uniform(&mut rng)) as f32).collect()
            }
        };
        Ok(Tensor::from_vec(values, self.lens.shaped(n), &self.lens.device)?)
    }

    /// Pixels in [0, 1] for pictures, `[B, C, H, W]`; points are returned as they are.
    ///
    /// # Errors
    /// `x` is not in this data set's model space.
    pub fn to_unit(&self, x: &Tensor) -> Result<Tensor> {
        match (&self.lens.map, self.spec.image) {
            (Some(map), Some([c, h, w])) => Ok(map.inverse(x)?.reshape((x.dim(0)?, c, h, w))?),
            _ => Ok(x.clone()),
        }
    }

    /// The first `max` items of a split as pixels in [0, 1], `[B, C, H, W]`, dequantised or not as asked, whatever the
    /// keys say, without noise; of vectors, what [`Data::all`] gives.
    ///
    /// # Errors
    /// As [`Data::all`].
    pub fn unit_items(&self, split: Split, max: usize, dequantise: bool) -> Result<Tensor> {
        let (Some(map), Some([c, h, w])) = (&self.lens.map, self.spec.image) else {
            return Ok(self.all(split, max)?.x);
        };
        let count = self.items.len(split).unwrap_or(0).min(max);
        let map = PixelMap { transform: Transform::Unit, scale: self.levels(dequantise), ..*map };
        let lens = Lens { map: Some(map), dequantise, noise: 0.0, ..self.lens.clone() };
        let key = self.key.with(split.name()).with("all");
        Ok(lens.finish(self.items.rows(split, 0..count), key)?.x.reshape((count, c, h, w))?)
    }

    /// Pixels in [0, 1] as the data set has them: as they are if it dequantises, else each the nearest grey level.
    ///
    /// # Errors
    /// A tensor operation that failed.
    pub fn of_levels(&self, z: &Tensor) -> Result<Tensor> {
        if self.lens.dequantise || self.lens.map.is_none() {
            return Ok(z.clone());
        }
        let top = self.levels(false);
        Ok(((z * top)?.round()? / top)?)
    }

    /// How raw values become what the model sees, in numbers: those of [`Data::in_words`] and the scaling of a table's
    /// columns.
    pub fn rescaling(&self) -> Rescaling {
        let half = if self.lens.dequantise { 0.5 } else { 0.0 };
        let of_pixels = |PixelMap { transform, alpha, scale }: PixelMap| match transform {
            Transform::None => (-half, 1.0),
            Transform::Unit => (-half, scale),
            Transform::Scaled => (scale / 2.0 - half, scale / 2.0),
            Transform::Logit => {
                let stretch = scale / (1.0 - 2.0 * alpha);
                (-half - alpha * stretch, stretch)
            }
        };
        let (shift, scale) = match self.lens.map {
            Some(map) => vec![of_pixels(map)].into_iter().unzip(),
            None => self.items.stamp().scales.into_iter().map(|[mean, std]| (mean, std)).unzip(),
        };
        let logit = self.lens.map.is_some_and(|map| map.transform == Transform::Logit);
        Rescaling { shift, scale, logit }
    }

    /// How raw values become what the model sees, in one sentence.
    pub fn in_words(&self) -> String {
        let item = format!("items of shape {:?}", self.spec.shape);
        let noise = match self.lens.noise {
            0.0 => String::new(),
            noise => format!("; Gaussian noise of standard deviation {noise} is part of the data"),
        };
        let Some(PixelMap { transform, alpha, scale }) = self.lens.map else {
            return format!("{item}, as the data set has them{noise}");
        };
        let unit = match self.lens.dequantise {
            true => format!("z = (v + u)/{scale}, u uniform on (0, 1) (1/2 for a picture by itself)"),
            false => format!("z = v/{scale}"),
        };
        let x = match transform {
            Transform::None => format!("x = {scale} z"),
            Transform::Unit => "x = z".to_owned(),
            Transform::Scaled => "x = 2z - 1".to_owned(),
            Transform::Logit => format!("x = log(w/(1 - w)), w = {alpha} + (1 - 2·{alpha}) z"),
        };
        let layout = self.spec.image.map_or_else(String::new, |[c, h, w]| {
            format!(", channel after channel ({c}), row after row ({h} of {w} pixels)")
        });
        format!("{item}{layout}; a pixel v from 0 to {} becomes x: {unit}; {x}{noise}", self.levels(false))
    }

    /// Whether uniform noise of one grey level is added.
    pub fn dequantises(&self) -> bool {
        self.lens.dequantise
    }

    /// What a raw pixel is divided by: L, or L - 1 without dequantisation.
    fn levels(&self, dequantise: bool) -> f64 {
        let levels = f64::from(self.items.stamp().levels);
        if dequantise { levels } else { levels - 1.0 }
    }

    /// Model space from pixels in [0, 1], the way back of [`Data::to_unit`]; with a key, the `noise` of the data set is
    /// added. Points are returned as they are, but for the noise.
    ///
    /// # Shapes
    /// `[B, ..]` with the numbers of an item in any shape -> `[B, ..]` of an item's shape, f32.
    ///
    /// # Errors
    /// Items of another size.
    pub fn of_unit(&self, z: &Tensor, noise: Option<Key>) -> Result<Tensor> {
        /// Black and white would be infinite without α.
        const EDGE: f64 = 1.0 / (1u64 << 33) as f64;
        let model = |map: &PixelMap, z: f32| match map.transform {
            Transform::Logit => map.forward(f64::from(z).clamp(EDGE, 1.0 - EDGE)) as f32,
            _ => map.forward(f64::from(z)) as f32,
        };
        let x = match &self.lens.map {
            None => z.to_dtype(DType::F32)?.to_device(self.device())?,
            Some(map) => {
                let z = z.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
                let values: Vec<f32> = z.flatten_all()?.to_vec1()?.into_iter().map(|z| model(map, z)).collect();
                Tensor::from_vec(values, self.lens.shaped(z.dim(0)?), self.device())?
            }
        };
        match noise {
            Some(key) if self.lens.noise > 0.0 => {
                Ok((&x + (key.normal(x.dims(), DType::F32, self.device())? * self.lens.noise)?)?)
            }
            _ => Ok(x),
        }
    }

    /// log |det| of the map from raw pixels in [0, L) to model space, at x in model space; 0 for points.
    ///
    /// log p(raw) = log p(model space) + log_det. Shapes: `[B, ..]` -> `[B]`, f64, nats.
    ///
    /// # Errors
    /// A tensor operation that failed.
    pub fn log_det(&self, x: &Tensor) -> Result<Tensor> {
        match &self.lens.map {
            Some(map) => map.log_det(x),
            None => Ok(Tensor::zeros(x.dim(0)?, DType::F64, x.device())?),
        }
    }

    /// Bits per dimension of the raw data: -(log p(x) + log_det(x)) / (D log 2).
    ///
    /// With uniform dequantisation this is an upper bound on the bits that code the integers. A model that is uniform
    /// over the pixels has log2(levels), 8 for bytes.
    ///
    /// # Shapes
    /// log p `[B]` in nats, in model space; x `[B, ..]`; result `[B]`, f64.
    ///
    /// # Errors
    /// The images are not dequantised: a density at discrete points has no bound.
    pub fn bits_per_dim(&self, log_prob: &Tensor, x: &Tensor) -> Result<Tensor> {
        if self.lens.map.is_some() && !self.lens.dequantise {
            return Err(Error::config("bits/dim of images that are not dequantised mean nothing")
                .at_path("dataset.dequantise")
                .hint("set `dataset.dequantise = true`"));
        }
        let nats = (log_prob.to_dtype(DType::F64)? + self.log_det(x)?)?;
        Ok((nats * (-1.0 / (self.spec.dim() as f64 * 2f64.ln())))?)
    }
}

//! How the model sees raw rows: augmented, dequantised, mapped to model space, blurred.

use candle_core::{DType, Device, Tensor};
use rand::Rng as _;
use rayon::prelude::*;

use super::{
    augment::Augment,
    rows::{Drawn, Table},
    transform::PixelMap,
};
use crate::data::items::{Batch, Clean};
use crate::{Result, rng::Key};

/// Pixels that are dequantised at a time.
const PIECE: usize = 1 << 20;

/// The way from raw rows to a batch; cheap to copy.
#[derive(Clone)]
pub(crate) struct Lens {
    /// One item as the model sees it.
    pub shape: Vec<usize>,
    /// Channels, height, width of pictures.
    pub image: Option<[usize; 3]>,
    /// Of pictures.
    pub map: Option<PixelMap>,
    pub dequantise: bool,
    /// Of training batches.
    pub augment: Augment,
    /// Standard deviation of the noise on every number.
    pub noise: f64,
    pub device: Device,
}

impl Lens {
    /// For vectors of so many numbers, which are seen as they are but for noise.
    pub(crate) fn of_points(dim: usize, noise: f64, device: &Device) -> Self {
        let (shape, augment, device) = (vec![dim], Augment::default(), device.clone());
        Lens { shape, image: None, map: None, dequantise: false, augment, noise, device }
    }

    /// A training batch: pictures are flipped and shifted first.
    pub(crate) fn training(&self, rows: Drawn, key: Key) -> Result<Batch> {
        let values = match (rows.values, self.image) {
            (Table::Pixels(pixels), Some(shape)) => {
                Table::Pixels(self.augment.apply(pixels, shape, key.with("augment")))
            }
            (values, _) => values,
        };
        self.finish(Drawn { values, ..rows }, key)
    }

    /// Raw rows to model space.
    pub(crate) fn finish(&self, rows: Drawn, key: Key) -> Result<Batch> {
        let values = match (rows.values, &self.map) {
            (Table::Points(values), _) => values,
            (Table::Pixels(pixels), Some(map)) => self.to_model(&pixels, map, key),
            (Table::Pixels(pixels), None) => pixels.into_iter().map(f32::from).collect(),
        };
        let count = values.len().checked_div(self.shape.iter().product()).unwrap_or(0);
        let mut x = Tensor::from_vec(values, self.shaped(count), &self.device)?;
        let mut clean = None;
        if self.noise > 0.0 {
            clean = Some(Clean { x: x.clone(), noise: self.noise });
            x = (&x + (key.with("noise").normal(x.dims(), DType::F32, &self.device)? * self.noise)?)?;
        }
        let y = rows.labels.map(|labels| Tensor::from_vec(labels, count, &self.device)).transpose()?;
        Ok(Batch { x, y, clean })
    }

    /// Dequantised and transformed pixels; every number depends on its own draw alone, so threads change nothing.
    fn to_model(&self, pixels: &[u8], map: &PixelMap, key: Key) -> Vec<f32> {
        let model = |v: u8, shift: f64| map.forward((f64::from(v) + shift) / map.scale) as f32;
        if !self.dequantise {
            return pixels.iter().map(|&v| model(v, 0.0)).collect();
        }
        // Piece by piece from one stream, so that the bits of a large evaluation set need no memory of its size.
        let mut rng = key.with("dequantise").rng();
        let mut bits = vec![0u32; PIECE.min(pixels.len())];
        let mut values = Vec::with_capacity(pixels.len());
        for piece in pixels.chunks(PIECE) {
            let Some(bits) = bits.get_mut(..piece.len()) else { continue };
            rng.fill(bits);
            let pairs = piece.par_iter().zip(bits.par_iter()).with_min_len(4096);
            values.par_extend(pairs.map(|(&v, &bits)| model(v, inside(bits))));
        }
        values
    }

    /// The shape of so many items.
    pub(crate) fn shaped(&self, count: usize) -> Vec<usize> {
        [&[count], self.shape.as_slice()].concat()
    }
}

/// Uniform on (0, 1), both ends left out so that a logit stays finite.
pub(crate) fn open_uniform(rng: &mut impl rand::Rng) -> f64 {
    inside(rng.random())
}

/// The middle of one of 2³² equal parts of (0, 1).
fn inside(bits: u32) -> f64 {
    (f64::from(bits) + 0.5) / 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::pipeline::transform::Transform;

    #[test]
    fn noise_that_is_drawn_in_pieces_is_the_noise_of_one_stream() {
        let n = 2 * PIECE + 12_345;
        let map = PixelMap { transform: Transform::None, alpha: 0.0, scale: 256.0 };
        let lens = Lens { map: Some(map), dequantise: true, ..Lens::of_points(n, 0.0, &Device::Cpu) };
        let mut bits = vec![0u32; n];
        Key::new(5).with("dequantise").rng().fill(bits.as_mut_slice());
        let pixels: Vec<u8> = (0..n).map(|i| (i % 251) as u8).collect();
        let found = lens.to_model(&pixels, &map, Key::new(5));
        assert!(found.len() == n);
        for i in (0..n).step_by(1009).chain([PIECE - 1, PIECE, 2 * PIECE, n - 1]) {
            let want = map.forward((f64::from(pixels[i]) + inside(bits[i])) / 256.0) as f32;
            assert_eq!(found[i], want, "pixel {i}");
        }
    }
}

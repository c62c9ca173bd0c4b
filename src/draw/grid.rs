//! The grid of many small images as one picture.

use candle_core::{DType, Device, Tensor};
use image::{Rgb, RgbImage};

use crate::{Error, Result};

/// The pixels between two images, and around them.
const PADDING: usize = 2;
const BACKGROUND: Rgb<u8> = Rgb([64, 64, 64]);
/// The colour of values that are not finite: one that no image has by accident.
const NOT_FINITE: Rgb<u8> = Rgb([255, 0, 255]);

/// The factor that enlarges images of this height to at least 32 pixels: 4 for a height of 8, 2 for 28, 1 for 32.
pub fn scale_for(height: usize) -> usize {
    32usize.div_ceil(height.max(1))
}

/// A picture of images row by row, `columns` in a row (0 for a square). Every pixel becomes `scale` × `scale` pixels.
///
/// # Shapes
/// `images`: `[N, C, H, W]` with values in [0, 1] (others are clamped; NaN and infinities are drawn in magenta) and C =
/// 1 (grey), 2 (red, green) or 3 (red, green, blue).
///
/// # Errors
/// `images` has another shape, or there are none.
pub fn grid(images: &Tensor, columns: usize, scale: usize) -> Result<RgbImage> {
    let (n, channels, height, width) = images.dims4()?;
    if n * height * width == 0 || !matches!(channels, 1..=3) {
        let shape = images.dims();
        return Err(Error::Other(format!("cannot draw images of shape {shape:?}: need [N, 1 to 3, H, W] and N > 0")));
    }
    let columns = if columns == 0 { (n as f64).sqrt().ceil() as usize } else { columns }.min(n);
    let scale = scale.max(1);
    let (cell_w, cell_h) = (width * scale + PADDING, height * scale + PADDING);
    let size =
        |cells: usize, cell: usize| u32::try_from(cells * cell + PADDING).map_err(|e| Error::Other(e.to_string()));
    let mut out = RgbImage::from_pixel(size(columns, cell_w)?, size(n.div_ceil(columns), cell_h)?, BACKGROUND);
    for (i, image) in pixels(images, channels, height * width)?.chunks(height * width).enumerate() {
        let (left, top) = (i % columns * cell_w + PADDING, i / columns * cell_h + PADDING);
        for y in 0..height * scale {
            for x in 0..width * scale {
                if let Some(&colour) = image.get(y / scale * width + x / scale) {
                    out.put_pixel((left + x) as u32, (top + y) as u32, colour);
                }
            }
        }
    }
    Ok(out)
}

/// Every image as a picture of its own, pixel by pixel.
///
/// # Shapes
/// As those of [`grid`].
///
/// # Errors
/// As those of [`grid`].
pub fn singly(images: &Tensor) -> Result<Vec<RgbImage>> {
    let (_, channels, height, width) = images.dims4()?;
    if height * width == 0 || !matches!(channels, 1..=3) {
        return Err(Error::Other(format!("cannot draw images of shape {:?}", images.dims())));
    }
    let picture = |image: &[Rgb<u8>]| {
        let at = |x: u32, y: u32| image.get(y as usize * width + x as usize).copied().unwrap_or(NOT_FINITE);
        RgbImage::from_fn(width as u32, height as u32, at)
    };
    Ok(pixels(images, channels, height * width)?.chunks(height * width).map(picture).collect())
}

/// The colours of the N·H·W pixels of `images`, `[N, C, H, W]`; `area` is H·W.
fn pixels(images: &Tensor, channels: usize, area: usize) -> Result<Vec<Rgb<u8>>> {
    let images = images.detach().to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
    let rows = images.reshape(((), channels, area))?.transpose(1, 2)?.contiguous()?.flatten_all()?.to_vec1::<f32>()?;
    Ok(rows.chunks(channels).map(colour).collect())
}

fn colour(values: &[f32]) -> Rgb<u8> {
    if values.iter().any(|v| !v.is_finite()) {
        return NOT_FINITE;
    }
    let byte = |v: f32| (v.clamp(0.0, 1.0) * 255.0).round() as u8;
    match *values {
        [r, g, b] => Rgb([r, g, b].map(byte)),
        [r, g] => Rgb([r, g, 0.0].map(byte)),
        _ => Rgb([values.first().copied().map_or(0, byte); 3]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pixel_is_where_it_belongs() {
        // Three grey images of 2 × 3, the k-th with values k/10 + position/100.
        let values: Vec<f32> = (0..18).map(|i| (i / 6) as f32 / 10.0 + (i % 6) as f32 / 100.0).collect();
        let images = Tensor::from_vec(values.clone(), (3, 1, 2, 3), &Device::Cpu).unwrap();
        let out = grid(&images, 2, 4).unwrap();
        assert_eq!(out.dimensions(), (2 * (12 + 2) + 2, 2 * (8 + 2) + 2));
        for (k, left, top) in [(0, 2, 2), (1, 16, 2), (2, 2, 12)] {
            for (y, x) in (0..8).flat_map(|y| (0..12).map(move |x| (y, x))) {
                let value = values[k * 6 + y / 4 * 3 + x / 4];
                let byte = (value * 255.0).round() as u8;
                assert_eq!(*out.get_pixel((left + x) as u32, (top + y) as u32), Rgb([byte; 3]));
            }
        }
        assert_eq!(*out.get_pixel(20, 16), BACKGROUND);
    }

    #[test]
    fn colours_are_channels_and_bad_values_are_seen() {
        let values = vec![1f32, f32::NAN, 0.0, 0.5, -3.0, 7.0];
        let images = Tensor::from_vec(values, (1, 3, 1, 2), &Device::Cpu).unwrap();
        let out = grid(&images, 0, 1).unwrap();
        assert_eq!((*out.get_pixel(2, 2), *out.get_pixel(3, 2)), (Rgb([255, 0, 0]), NOT_FINITE));
        for shape in [(2, 4, 4, 4), (0, 1, 4, 4), (1, 1, 0, 4)] {
            assert!(grid(&Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap(), 0, 1).is_err());
        }
        assert!(grid(&Tensor::zeros((2, 2), DType::F32, &Device::Cpu).unwrap(), 0, 1).is_err());
        assert_eq!([8, 28, 32, 64].map(scale_for), [4, 2, 1, 1]);
    }
}

//! The convolution, its pull-back and its weight gradient on the CPU, and the choice among the ways to compute them.
//!
//! All ways run over groups of images, which are the same whatever the number of threads.

use candle_core::{CpuStorage, DType};

use super::{
    access::{Argument, Output, on_floats, output, slice},
    columns::Geometry,
    pixels,
    real::Real,
    windows,
    winograd::{self, Filters},
};
use crate::ops::Conv;

/// The convolution of x `[N, C, H, W]` with w `[O, C, k, k]`, `[N, O, H', W']`, plus the bias `[O]` on so many images.
///
/// # Errors
/// The geometry does not fit.
pub fn convolution(x: Argument<'_>, w: Argument<'_>, bias: Option<(Argument<'_>, usize)>, conv: Conv) -> Output {
    let (images, _, height, width) = x.1.shape().dims4()?;
    let geometry = Geometry::new((height, width), w.1.dims(), conv)?;
    let shape = (images, geometry.outputs, geometry.windows.0, geometry.windows.1);
    if let (CpuStorage::F32(_), Way::Winograd) = (x.0, Way::of::<f32>(&geometry, images)) {
        let filters = Filters::of(slice(w)?, geometry.outputs, geometry.channels);
        let bias = bias.map(|(b, images)| Ok::<_, candle_core::Error>((slice(b)?, images))).transpose()?;
        return output(winograd::convolve(slice(x)?, &filters, bias, geometry.size)?, shape);
    }
    on_floats!(x.0, T => {
        let (x, w) = (slice::<T>(x)?, slice(w)?);
        let mut y = match Way::of::<T>(&geometry, images) {
            Way::Pixels => pixels::convolve(x, w, &geometry)?,
            Way::Winograd | Way::Windows => windows::convolve(x, w, &geometry, images)?,
        };
        if let Some((b, images)) = bias {
            let values = y.chunks_exact_mut(geometry.positions()).take(images * geometry.outputs);
            values.zip(slice::<T>(b)?.iter().cycle()).for_each(|(plane, &b)| plane.iter_mut().for_each(|y| *y += b));
        }
        output(y, shape)
    })
}

/// The pull-back of g `[N, O, H', W']` by w `[O, C, k, k]` to images of a size (H, W), `[N, C, H, W]`.
///
/// # Errors
/// The geometry does not fit.
pub fn pullback(g: Argument<'_>, w: Argument<'_>, conv: Conv, size: (usize, usize)) -> Output {
    let geometry = Geometry::new(size, w.1.dims(), conv)?;
    let images = g.1.shape().dims4()?.0;
    let shape = (images, geometry.channels, size.0, size.1);
    if let (CpuStorage::F32(_), Way::Winograd) = (g.0, Way::of::<f32>(&geometry, images)) {
        let filters = Filters::of_pullback(slice(w)?, geometry.outputs, geometry.channels);
        return output(winograd::convolve(slice(g)?, &filters, None, geometry.size)?, shape);
    }
    on_floats!(g.0, T => {
        let (g, w) = (slice::<T>(g)?, slice(w)?);
        let x = match Way::of::<T>(&geometry, images) {
            Way::Pixels => pixels::pull_back(g, w, &geometry)?,
            Way::Winograd | Way::Windows => windows::pull_back(g, w, &geometry, images)?,
        };
        output(x, shape)
    })
}

/// The weight gradient of x `[N, C, H, W]` and g `[N, O, H', W']`, `[O, C, k, k]`.
///
/// # Errors
/// The geometry does not fit.
pub fn weight_gradient(x: Argument<'_>, g: Argument<'_>, conv: Conv, kernel: usize) -> Output {
    let ((images, channels, height, width), (_, outputs, ..)) = (x.1.shape().dims4()?, g.1.shape().dims4()?);
    let shape = [outputs, channels, kernel, kernel];
    let geometry = Geometry::new((height, width), &shape, conv)?;
    if let (CpuStorage::F32(_), Way::Winograd) = (x.0, Way::of::<f32>(&geometry, images)) {
        let gradient = winograd::weight_gradient(slice(x)?, slice(g)?, [outputs, channels], (height, width))?;
        return output(gradient, &shape[..]);
    }
    on_floats!(x.0, T => output(windows::weight_gradient(slice::<T>(x)?, slice(g)?, &geometry, images)?, &shape[..]))
}

/// The ways to compute a convolution and its pull-back.
enum Way {
    /// Winograd's minimal filtering, in f32.
    Winograd,
    /// One product an image, for kernels of one pixel.
    Pixels,
    /// One product with the matrix of windows.
    Windows,
}

impl Way {
    /// The way for `images` images of a type, by what was measured (`docs/results/speed.md`): minimal filtering pays
    /// from 16 channels on, if its weights, four times as many, serve some tens of tiles. Of f64 nobody asks speed, so
    /// that it keeps the more accurate way.
    fn of<T: Real>(geometry: &Geometry, images: usize) -> Self {
        let Geometry { channels, outputs, kernel, size, conv, .. } = *geometry;
        if kernel == 1 && conv.padding == 0 {
            return Way::Pixels;
        }
        let same = kernel == 3 && conv == (Conv { stride: 1, padding: 1 });
        let tiles = images * size.0.div_ceil(4) * size.1.div_ceil(4);
        if same && T::DTYPE == DType::F32 && channels.min(outputs) >= 16 && tiles >= 48 {
            Way::Winograd
        } else {
            Way::Windows
        }
    }
}

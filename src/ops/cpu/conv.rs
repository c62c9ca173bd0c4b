//! The convolution, its pull-back and its weight gradient on the CPU, and the choice among the ways to compute them.
//!
//! All ways run over groups of images, which are the same whatever the number of threads.

use std::borrow::Cow;

use candle_core::{CpuStorage, DType};
use rayon::prelude::*;

use super::{
    access::{Argument, Output, on_floats, output, slice},
    activation,
    columns::Geometry,
    pixels,
    raw::GRAIN,
    real::Real,
    windows,
    winograd::{self, Beside, Filters},
};
use crate::ops::{Activation, Conv};

/// The convolution of x `[N, C, H, W]`, or of σ(x), with w `[O, C, k, k]`, `[N, O, H', W']`, plus the bias `[O]` on so
/// many images.
///
/// # Errors
/// The geometry does not fit.
pub fn convolution(
    act: Option<Activation>,
    x: Argument<'_>,
    w: Argument<'_>,
    bias: Option<(Argument<'_>, usize)>,
    conv: Conv,
) -> Output {
    let (images, _, height, width) = x.1.shape().dims4()?;
    let geometry = Geometry::new((height, width), w.1.dims(), conv)?;
    let shape = (images, geometry.outputs, geometry.windows.0, geometry.windows.1);
    if let (CpuStorage::F32(_), Way::Winograd) = (x.0, Way::of::<f32>(&geometry, images)) {
        let filters = Filters::of(slice(w)?, &geometry);
        let bias = bias.map(|(b, images)| Ok::<_, candle_core::Error>((slice(b)?, images))).transpose()?;
        let beside = Beside { before: act, bias, through: None };
        return output(winograd::convolve(slice(x)?, &filters, beside, geometry.size)?, shape);
    }
    on_floats!(x.0, T => {
        let (x, w) = (activated(act, slice::<T>(x)?), slice(w)?);
        let mut y = match Way::of::<T>(&geometry, images) {
            Way::Pixels => pixels::convolve(&x, w, &geometry)?,
            Way::Winograd | Way::Windows => windows::convolve(&x, w, &geometry, images)?,
        };
        if let Some((b, images)) = bias {
            let values = y.chunks_exact_mut(geometry.positions()).take(images * geometry.outputs);
            values.zip(slice::<T>(b)?.iter().cycle()).for_each(|(plane, &b)| plane.iter_mut().for_each(|y| *y += b));
        }
        output(y, shape)
    })
}

/// The pull-back of g `[N, O, H', W']` by w `[O, C, k, k]` to images of a size (H, W), `[N, C, H, W]`; times σ'(u)
/// where the images were σ(u).
///
/// # Errors
/// The geometry does not fit.
pub fn pullback(
    through: Option<(Activation, Argument<'_>)>,
    g: Argument<'_>,
    w: Argument<'_>,
    conv: Conv,
    size: (usize, usize),
) -> Output {
    let geometry = Geometry::new(size, w.1.dims(), conv)?;
    let images = g.1.shape().dims4()?.0;
    let shape = (images, geometry.channels, size.0, size.1);
    if let (CpuStorage::F32(_), Way::Winograd) = (g.0, Way::of::<f32>(&geometry, images)) {
        let filters = Filters::of_pullback(slice(w)?, &geometry);
        let through = through.map(|(act, u)| Ok::<_, candle_core::Error>((act, slice(u)?))).transpose()?;
        let beside = Beside { through, ..Beside::default() };
        return output(winograd::convolve(slice(g)?, &filters, beside, geometry.size)?, shape);
    }
    on_floats!(g.0, T => {
        let (g, w) = (slice::<T>(g)?, slice(w)?);
        let mut x = match Way::of::<T>(&geometry, images) {
            Way::Pixels => pixels::pull_back(g, w, &geometry)?,
            Way::Winograd | Way::Windows => windows::pull_back(g, w, &geometry, images)?,
        };
        if let Some((act, u)) = through {
            let u = slice::<T>(u)?;
            x.par_chunks_mut(GRAIN).zip(u.par_chunks(GRAIN)).for_each(|(x, u)| activation::times_slope(act, u, x));
        }
        output(x, shape)
    })
}

/// The weight gradient of x `[N, C, H, W]`, or of σ(x), and g `[N, O, H', W']`, `[O, C, k, k]`.
///
/// # Errors
/// The geometry does not fit.
pub fn weight_gradient(act: Option<Activation>, x: Argument<'_>, g: Argument<'_>, conv: Conv, kernel: usize) -> Output {
    let ((images, channels, height, width), (_, outputs, ..)) = (x.1.shape().dims4()?, g.1.shape().dims4()?);
    let shape = [outputs, channels, kernel, kernel];
    let geometry = Geometry::new((height, width), &shape, conv)?;
    if let (CpuStorage::F32(_), Way::Winograd) = (x.0, Way::of::<f32>(&geometry, images)) {
        let gradient = winograd::weight_gradient(act, slice(x)?, slice(g)?, &geometry)?;
        return output(gradient, &shape[..]);
    }
    on_floats!(x.0, T => {
        let x = activated(act, slice::<T>(x)?);
        output(windows::weight_gradient(&x, slice(g)?, &geometry, images)?, &shape[..])
    })
}

/// σ(x), or x itself.
fn activated<T: Real>(act: Option<Activation>, x: &[T]) -> Cow<'_, [T]> {
    let Some(act) = act else { return Cow::Borrowed(x) };
    let mut y = vec![T::ZERO; x.len()];
    y.par_chunks_mut(GRAIN).zip(x.par_chunks(GRAIN)).for_each(|(y, x)| activation::apply(act, x, y));
    Cow::Owned(y)
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
    /// from 16 channels on, if its weights, four times as many, serve some tens of tiles. At stride 2 it was no faster
    /// than the matrix of windows, which is more accurate. Of f64 nobody asks speed, so that it keeps that too.
    fn of<T: Real>(geometry: &Geometry, images: usize) -> Self {
        let Geometry { channels, outputs, kernel, windows, conv, .. } = *geometry;
        if kernel == 1 && conv.padding == 0 {
            return Way::Pixels;
        }
        let fits = (kernel, conv.stride, conv.padding) == (3, 1, 1);
        let tiles = images * windows.0.div_ceil(4) * windows.1.div_ceil(4);
        if fits && T::DTYPE == DType::F32 && channels.min(outputs) >= 16 && tiles >= 48 {
            Way::Winograd
        } else {
            Way::Windows
        }
    }
}

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
    winograd::{self, Beside},
};
use crate::ops::kept::{self, Place};
use crate::ops::{Activation, Conv};

/// The convolution of x `[N, C, H, W]`, or of σ(x), with w `[O, C, k, k]`, `[N, O, H', W']`, plus the bias `[O]` on so
/// many images. What is made of the weights is kept in a place, if there is one.
///
/// # Errors
/// The geometry does not fit.
pub fn convolution(
    act: Option<Activation>,
    x: Argument<'_>,
    w: Argument<'_>,
    bias: Option<(Argument<'_>, usize)>,
    conv: Conv,
    place: Option<&Place>,
) -> Output {
    let (images, _, height, width) = x.1.shape().dims4()?;
    let geometry = Geometry::new((height, width), w.1.dims(), conv)?;
    let shape = (images, geometry.outputs, geometry.windows.0, geometry.windows.1);
    if let (CpuStorage::F32(_), Way::Winograd) = (x.0, Way::of::<f32>(&geometry, images, place)) {
        let (w, place) = (slice(w)?, place.filter(|_| pays(&geometry, images)));
        let filters = kept::made(place, false, || winograd::filters(w, &geometry));
        let bias = bias.map(|(b, images)| Ok::<_, candle_core::Error>((slice(b)?, images))).transpose()?;
        let beside = Beside { before: act, bias, through: None };
        return output(winograd::convolve(slice(x)?, &filters, beside, &geometry)?, shape);
    }
    on_floats!(x.0, T => {
        let (x, w) = (activated(act, slice::<T>(x)?), slice(w)?);
        let mut y = match Way::of::<T>(&geometry, images, place) {
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
    place: Option<&Place>,
) -> Output {
    let geometry = Geometry::new(size, w.1.dims(), conv)?;
    let images = g.1.shape().dims4()?.0;
    let shape = (images, geometry.channels, size.0, size.1);
    if let (CpuStorage::F32(_), Way::Winograd) = (g.0, Way::of::<f32>(&geometry, images, place)) {
        let (w, place) = (slice(w)?, place.filter(|_| pays(&geometry, images)));
        let filters = kept::made(place, true, || winograd::filters_back(w, &geometry));
        let through = through.map(|(act, u)| Ok::<_, candle_core::Error>((act, slice(u)?))).transpose()?;
        let beside = Beside { through, ..Beside::default() };
        return output(winograd::pull_back(slice(g)?, &filters, beside, &geometry)?, shape);
    }
    on_floats!(g.0, T => {
        let (g, w) = (slice::<T>(g)?, slice(w)?);
        let mut x = match Way::of::<T>(&geometry, images, place) {
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
    if let (CpuStorage::F32(_), Way::Winograd) = (x.0, Way::of::<f32>(&geometry, images, None)) {
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

/// The tiles of the outputs of so many images.
fn tiles(geometry: &Geometry, images: usize) -> usize {
    images * geometry.windows.0.div_ceil(4) * geometry.windows.1.div_ceil(4)
}

/// Whether transformed weights are worth their memory from call to call: for a thousand tiles they are made in less
/// than a tenth of the time of their products.
fn pays(geometry: &Geometry, images: usize) -> bool {
    tiles(geometry, images) < 1024
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
    /// from 16 channels on, if its weights, four or more times as many, serve some tens of tiles, fewer where they are
    /// kept; at stride 2 with kernels of 4×4 alone. Of f64 nobody asks speed, so that it keeps the matrix of windows,
    /// which is more accurate.
    fn of<T: Real>(geometry: &Geometry, images: usize, place: Option<&Place>) -> Self {
        let Geometry { channels, outputs, kernel, conv, .. } = *geometry;
        if kernel == 1 && conv.padding == 0 {
            return Way::Pixels;
        }
        let least = if place.is_some() { 8 } else { 48 };
        let fits = matches!((kernel, conv.stride, conv.padding), (3, 1, 1) | (4, 2, 1));
        if fits && T::DTYPE == DType::F32 && channels.min(outputs) >= 16 && tiles(geometry, images) >= least {
            Way::Winograd
        } else {
            Way::Windows
        }
    }
}

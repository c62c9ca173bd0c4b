//! The 1×1 convolution without padding: a product of matrices for each image, on its pixels as they lie, or on every
//! s-th of them.

use candle_core::Result;

use super::{
    columns::Geometry,
    raw::{Matrix, Threads, by_parts, product_into},
    real::Real,
};

/// The pixels of the image x on which the outputs depend, `[C, H'·W']`.
fn sampled<T: Real>(x: &[T], geometry: &Geometry, to: &mut [T]) {
    let ((height, width), stride) = (geometry.size, geometry.conv.stride);
    let rows = x.chunks_exact(height * width).flat_map(|plane| plane.chunks_exact(width).step_by(stride));
    for (to, row) in to.chunks_exact_mut(geometry.windows.1).zip(rows) {
        to.iter_mut().zip(row.iter().step_by(stride)).for_each(|(to, &from)| *to = from);
    }
}

/// The image that has these pixels where outputs depend on it, and 0 elsewhere.
fn placed<T: Real>(pixels: &[T], geometry: &Geometry, x: &mut [T]) {
    let ((height, width), stride) = (geometry.size, geometry.conv.stride);
    let rows = x.chunks_exact_mut(height * width).flat_map(|plane| plane.chunks_exact_mut(width).step_by(stride));
    for (from, row) in pixels.chunks_exact(geometry.windows.1).zip(rows) {
        row.iter_mut().step_by(stride).zip(from).for_each(|(to, &from)| *to = from);
    }
}

/// The convolution of the images x, `[N, O, H', W']`.
///
/// # Errors
/// The lengths do not fit the geometry.
pub fn convolve<T: Real>(x: &[T], w: &[T], geometry: &Geometry) -> Result<Vec<T>> {
    let (image, positions) = (geometry.image(), geometry.positions());
    let w = Matrix::rows(w, geometry.outputs, geometry.channels)?;
    let part = geometry.outputs * positions;
    by_parts(x.len() / image * part, part, Vec::new, |scratch, number, y| {
        let x = x.chunks_exact(image).nth(number).unwrap_or_default();
        let pixels = pixels(x, geometry, scratch);
        product_into(y, [positions, 1], false, w, Matrix::rows(pixels, geometry.channels, positions)?, Threads::One)
    })
}

/// The pixels on which the outputs depend: x itself, or a copy of every s-th pixel in `scratch`.
fn pixels<'a, T: Real>(x: &'a [T], geometry: &Geometry, scratch: &'a mut Vec<T>) -> &'a [T] {
    if geometry.conv.stride == 1 {
        return x;
    }
    scratch.resize(geometry.channels * geometry.positions(), T::ZERO);
    sampled(x, geometry, scratch);
    scratch
}

/// The pull-back of the gradients g `[N, O, H', W']` to the images, `[N, C, H, W]`.
///
/// # Errors
/// The lengths do not fit the geometry.
pub fn pull_back<T: Real>(g: &[T], w: &[T], geometry: &Geometry) -> Result<Vec<T>> {
    let (image, positions) = (geometry.image(), geometry.positions());
    let w = Matrix::rows(w, geometry.outputs, geometry.channels)?.t();
    by_parts(g.len() / (geometry.outputs * positions) * image, image, Vec::new, |scratch, number, x| {
        let g = g.chunks_exact(geometry.outputs * positions).nth(number).unwrap_or_default();
        let g = Matrix::rows(g, geometry.outputs, positions)?;
        if geometry.conv.stride == 1 {
            return product_into(x, [positions, 1], false, w, g, Threads::One);
        }
        scratch.resize(geometry.channels * positions, T::ZERO);
        product_into(scratch, [positions, 1], false, w, g, Threads::One)?;
        placed(scratch, geometry, x);
        Ok(())
    })
}

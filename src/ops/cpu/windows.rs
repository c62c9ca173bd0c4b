//! The convolution as one product with the matrix whose columns are the windows of a group of images.
//!
//! The groups are the same whatever the number of threads.

use candle_core::{Result, bail};
use rayon::prelude::*;

use super::{
    columns::Geometry,
    raw::{Matrix, Threads, by_parts, product_into, transposed},
    real::Real,
};

/// The columns that one product aims at: enough to be efficient, few enough for their matrix to stay in the cache.
const COLUMNS: usize = 256;

/// The division of a batch: groups of images whose windows share a matrix, or bands of one large image.
#[derive(Clone, Copy)]
struct Plan {
    /// The images in a group; more than 1 only if each is small.
    group: usize,
    /// The rows of windows handled at a time.
    rows: usize,
}

impl Plan {
    fn of(geometry: &Geometry) -> Self {
        let (rows, columns) = geometry.windows;
        let group = (COLUMNS / (rows * columns)).max(1);
        Plan { group, rows: if group > 1 { rows } else { (COLUMNS / columns).clamp(1, rows) } }
    }

    /// The ranges of rows of windows, one for each band.
    fn bands(self, rows: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
        (0..rows.div_ceil(self.rows)).map(move |i| i * self.rows..rows.min((i + 1) * self.rows))
    }
}

/// The memory that a thread reuses from group to group.
struct Scratch<T> {
    phases: Vec<T>,
    columns: Vec<T>,
    /// The outputs of a group, `[O, windows]`.
    outputs: Vec<T>,
    /// The threads for a product: those that no other group needs.
    threads: Threads,
}

impl<T: Real> Scratch<T> {
    fn new(geometry: &Geometry, plan: Plan, images: usize) -> Self {
        let columns = plan.group * plan.rows * geometry.windows.1;
        let outputs = if plan.group > 1 { geometry.outputs * columns } else { 0 };
        Scratch {
            phases: vec![T::ZERO; geometry.phases()],
            columns: vec![T::ZERO; geometry.window() * columns],
            outputs: vec![T::ZERO; outputs],
            threads: if images > plan.group { Threads::One } else { Threads::Pool },
        }
    }
}

/// Checks the lengths of images, of outputs and of weights, each if there are any to check.
fn check(x: Option<usize>, y: Option<usize>, w: Option<usize>, geometry: &Geometry, images: usize) -> Result<()> {
    let sizes = [
        (x, geometry.image() * images),
        (y, geometry.outputs * geometry.positions() * images),
        (w, geometry.outputs * geometry.window()),
    ];
    let fits = sizes.iter().all(|(have, want)| have.is_none_or(|have| have == *want));
    if !fits || geometry.image() == 0 || geometry.outputs == 0 {
        bail!("convolution on {x:?} and {y:?} entries with {w:?} weights, {geometry:?}");
    }
    Ok(())
}

/// The convolution of the images x, `[N, O, H', W']`.
///
/// # Errors
/// The lengths do not fit the geometry.
pub fn convolve<T: Real>(x: &[T], w: &[T], geometry: &Geometry, images: usize) -> Result<Vec<T>> {
    let (plan, positions) = (Plan::of(geometry), geometry.positions());
    check(Some(x.len()), None, Some(w.len()), geometry, images)?;
    let weights = Matrix::rows(w, geometry.outputs, geometry.window())?;
    let (len, part) = (images * geometry.outputs * positions, plan.group * geometry.outputs * positions);
    by_parts(
        len,
        part,
        || Scratch::new(geometry, plan, images),
        |scratch, number, y| {
            let x = x.chunks(plan.group * geometry.image()).nth(number).unwrap_or_default();
            if plan.group == 1 {
                image(scratch, y, x, weights, geometry, plan)
            } else {
                group(scratch, y, x, weights, geometry)
            }
        },
    )
}

/// Convolves one large image, band by band, straight into its place in `y`.
fn image<T: Real>(
    scratch: &mut Scratch<T>,
    y: &mut [T],
    x: &[T],
    w: Matrix<'_, T>,
    geometry: &Geometry,
    plan: Plan,
) -> Result<()> {
    geometry.spread(x, &mut scratch.phases);
    for band in plan.bands(geometry.windows.0) {
        let (from, width) = (band.start * geometry.windows.1, band.len() * geometry.windows.1);
        geometry.gather(&scratch.phases, band, &mut scratch.columns, width, 0);
        let columns = Matrix::rows(&scratch.columns, geometry.window(), width)?;
        let target = y.get_mut(from..).unwrap_or_default();
        product_into(target, [geometry.positions(), 1], false, w, columns, scratch.threads)?;
    }
    Ok(())
}

/// Convolves several small images, side by side in one product.
fn group<T: Real>(scratch: &mut Scratch<T>, y: &mut [T], x: &[T], w: Matrix<'_, T>, geometry: &Geometry) -> Result<()> {
    let positions = geometry.positions();
    let width = gather_group(scratch, x, geometry);
    let columns = Matrix::rows(&scratch.columns, geometry.window(), width)?;
    product_into(&mut scratch.outputs, [width, 1], false, w, columns, scratch.threads)?;
    for (i, y) in y.chunks_exact_mut(geometry.outputs * positions).enumerate() {
        for (y, row) in y.chunks_exact_mut(positions).zip(scratch.outputs.chunks_exact(width)) {
            row.iter().skip(i * positions).zip(y).for_each(|(&from, to)| *to = from);
        }
    }
    Ok(())
}

/// Writes the windows of all images of a group as columns and returns their number.
fn gather_group<T: Real>(scratch: &mut Scratch<T>, x: &[T], geometry: &Geometry) -> usize {
    let width = x.len() / geometry.image() * geometry.positions();
    for (i, x) in x.chunks_exact(geometry.image()).enumerate() {
        geometry.spread(x, &mut scratch.phases);
        geometry.gather(&scratch.phases, 0..geometry.windows.0, &mut scratch.columns, width, i * geometry.positions());
    }
    width
}

/// Writes the outputs y of a group of images to `target` as one matrix `[O, windows of all images]`.
fn side_by_side<T: Real>(y: &[T], geometry: &Geometry, width: usize, target: &mut [T]) {
    let positions = geometry.positions();
    for (i, y) in y.chunks_exact(geometry.outputs * positions).enumerate() {
        for (y, row) in y.chunks_exact(positions).zip(target.chunks_exact_mut(width)) {
            row.iter_mut().skip(i * positions).zip(y).for_each(|(to, &from)| *to = from);
        }
    }
}

/// The pull-back of the gradients g `[N, O, H', W']` to the images, `[N, C, H, W]`.
///
/// # Errors
/// The lengths do not fit the geometry.
pub fn pull_back<T: Real>(g: &[T], w: &[T], geometry: &Geometry, images: usize) -> Result<Vec<T>> {
    let (plan, positions) = (Plan::of(geometry), geometry.positions());
    check(None, Some(g.len()), Some(w.len()), geometry, images)?;
    // Transposed once: `gemm` would do it for every group.
    let w = transposed(w, geometry.outputs, geometry.window());
    let weights = Matrix::rows(&w, geometry.window(), geometry.outputs)?;
    by_parts(
        images * geometry.image(),
        plan.group * geometry.image(),
        || Scratch::new(geometry, plan, images),
        |scratch, number, x| {
            let g = g.chunks(plan.group * geometry.outputs * positions).nth(number).unwrap_or_default();
            if plan.group == 1 {
                image_back(scratch, x, g, weights, geometry, plan)
            } else {
                group_back(scratch, x, g, weights, geometry)
            }
        },
    )
}

fn image_back<T: Real>(
    scratch: &mut Scratch<T>,
    x: &mut [T],
    g: &[T],
    w: Matrix<'_, T>,
    geometry: &Geometry,
    plan: Plan,
) -> Result<()> {
    scratch.phases.fill(T::ZERO);
    for band in plan.bands(geometry.windows.0) {
        let (from, width) = (band.start * geometry.windows.1, band.len() * geometry.windows.1);
        let source = g.get(from..).unwrap_or_default();
        let source = Matrix::new(source, [geometry.outputs, width], [geometry.positions(), 1])?;
        product_into(&mut scratch.columns, [width, 1], false, w, source, scratch.threads)?;
        geometry.scatter(&scratch.columns, band, &mut scratch.phases, width, 0);
    }
    geometry.collect(&scratch.phases, x);
    Ok(())
}

fn group_back<T: Real>(
    scratch: &mut Scratch<T>,
    x: &mut [T],
    g: &[T],
    w: Matrix<'_, T>,
    geometry: &Geometry,
) -> Result<()> {
    let positions = geometry.positions();
    let width = g.len() / geometry.outputs;
    side_by_side(g, geometry, width, &mut scratch.outputs);
    let source = Matrix::rows(&scratch.outputs, geometry.outputs, width)?;
    product_into(&mut scratch.columns, [width, 1], false, w, source, scratch.threads)?;
    for (i, x) in x.chunks_exact_mut(geometry.image()).enumerate() {
        scratch.phases.fill(T::ZERO);
        geometry.scatter(&scratch.columns, 0..geometry.windows.0, &mut scratch.phases, width, i * positions);
        geometry.collect(&scratch.phases, x);
    }
    Ok(())
}

/// The number of sums that run side by side; it is fixed, so that the order of additions is.
const LANES: usize = 8;

/// The gradient for the weights, `[O, C, k, k]`.
///
/// # Errors
/// The lengths do not fit the geometry.
pub fn weight_gradient<T: Real>(x: &[T], g: &[T], geometry: &Geometry, images: usize) -> Result<Vec<T>> {
    let plan = Plan::of(geometry);
    let mut sum = vec![T::ZERO; geometry.outputs * geometry.window()];
    check(Some(x.len()), Some(g.len()), None, geometry, images)?;
    let share = images.div_ceil(plan.group).div_ceil(LANES).max(1) * plan.group;
    let lanes =
        x.par_chunks(share * geometry.image()).zip(g.par_chunks(share * geometry.outputs * geometry.positions()));
    let sums: Vec<Vec<T>> = lanes.map(|(x, g)| lane(x, g, geometry, plan, images)).collect::<Result<_>>()?;
    for lane in sums {
        sum.iter_mut().zip(lane).for_each(|(s, l)| *s += l);
    }
    Ok(transposed(&sum, geometry.window(), geometry.outputs))
}

/// The transposed weight gradient of some images, added up group by group: in this order `gemm` reads the columns as
/// they lie.
fn lane<T: Real>(x: &[T], g: &[T], geometry: &Geometry, plan: Plan, images: usize) -> Result<Vec<T>> {
    let mut sum = vec![T::ZERO; geometry.outputs * geometry.window()];
    let mut scratch = Scratch::new(geometry, plan, images);
    let threads = scratch.threads;
    let mut add = |g: Matrix<'_, T>, columns: &[T], width: usize| {
        let windows = Matrix::rows(columns, geometry.window(), width)?.t();
        product_into(&mut sum, [1, geometry.outputs], true, g, windows, threads)
    };
    let groups =
        x.chunks(plan.group * geometry.image()).zip(g.chunks(plan.group * geometry.outputs * geometry.positions()));
    for (x, g) in groups {
        if plan.group > 1 {
            let width = gather_group(&mut scratch, x, geometry);
            side_by_side(g, geometry, width, &mut scratch.outputs);
            add(Matrix::rows(&scratch.outputs, geometry.outputs, width)?, &scratch.columns, width)?;
            continue;
        }
        geometry.spread(x, &mut scratch.phases);
        for band in plan.bands(geometry.windows.0) {
            let (from, width) = (band.start * geometry.windows.1, band.len() * geometry.windows.1);
            geometry.gather(&scratch.phases, band, &mut scratch.columns, width, 0);
            let g =
                Matrix::new(g.get(from..).unwrap_or_default(), [geometry.outputs, width], [geometry.positions(), 1])?;
            add(g, &scratch.columns, width)?;
        }
    }
    Ok(sum)
}

//! Monotone splines of rational quadratics, coordinate by coordinate, with the identity outside a box (Durkan et al.
//! 2019).

use candle_core::{D, Tensor};

use super::series::{Series, sigmoid};
use crate::Result;

/// The smallest width and height of a bin, as a share of the box, and the smallest slope at a knot.
const LEAST: f64 = 1e-3;

/// The splines of `bins` bins on [-bound, bound], one for each number of an item (Durkan et al. 2019).
///
/// # Shapes
/// x `[B, ..]` of M numbers an item; parameters h `[B, P, ..]` with P = 3·bins - 1 for each number: logits of the
/// widths, logits of the heights, and slopes at the inner knots before softplus. h = 0 is the identity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spline {
    /// The number K of bins.
    pub bins: usize,
    /// Half the width of the box.
    pub bound: f64,
}

/// The bin of each number as masks `[B, M, K]` over K bins, constants: 1 at its place, and 1 at all bins below it.
struct Bin {
    here: Tensor,
    below: Tensor,
}

/// The widths and heights of all bins, `[B, M, K]`, and the slopes at the inner knots, `[B, M, K-1]`.
struct Knots {
    widths: Series,
    heights: Series,
    slopes: Series,
}

impl Spline {
    /// The number P of parameters for each number.
    pub fn parameters(self) -> usize {
        3 * self.bins - 1
    }

    /// The image and the log-determinant (z, Σ log z'), with as many derivatives as x and h have.
    pub fn forward(self, x: &Series, h: &Series) -> Result<(Series, Series)> {
        let shape = x.value()?.dims().to_vec();
        let x = x.linear(flat)?;
        let inside = self.inside(x.value()?)?;
        let kept = x.linear(|t| zero_outside(&inside, t))?;
        let knots = self.knots(&h.linear(|h| self.rows(h))?)?;
        let bin = self.bin(kept.value()?, knots.widths.value()?)?;
        let (y, slope) = rational(&self.inputs(&kept, &knots, &bin)?)?;
        let terms = y.0.iter().zip(&x.0).map(|(y, x)| Ok(inside.where_cond(y, x)?.reshape(shape.as_slice())?));
        let log_det = slope.linear(|t| Ok(zero_outside(&inside, t)?.sum(1)?))?;
        Ok((Series(terms.collect::<Result<_>>()?), log_det))
    }

    /// The pull-back (h̄, x̄) of z̄ = `g`, shaped as x, and l̄ = `l`, `[B]`.
    pub fn pull(self, x: &Tensor, h: &Tensor, g: &Tensor, l: &Tensor) -> Result<(Tensor, Tensor)> {
        let (flat_x, flat_g) = (flat(x)?, flat(g)?);
        let inside = self.inside(&flat_x)?;
        let raw = self.rows(h)?;
        let knots = self.knots(&Series(vec![raw.clone()]))?;
        let kept = Series(vec![zero_outside(&inside, &flat_x)?]);
        let bin = self.bin(kept.value()?, knots.widths.value()?)?;
        let (y, slope) = rational(&directions(&self.inputs(&kept, &knots, &bin)?)?)?;
        let to_z = zero_outside(&inside, &flat_g)?;
        let to_l = zero_outside(&inside, &l.unsqueeze(1)?.broadcast_as(flat_g.shape())?)?;
        let pulled = (y.at(1)?.broadcast_mul(&to_z)? + slope.at(1)?.broadcast_mul(&to_l)?)?;
        let of = |i: usize| -> Result<Tensor> { Ok(pulled.get(i)?.contiguous()?) };
        let to_x = inside.where_cond(&of(0)?, &flat_g)?.reshape(x.shape())?;
        let [widths, heights] = [(2, 1), (4, 3)].map(|(size, edge)| bin.spread(&of(size)?, &of(edge)?));
        let parts = [
            self.to_logits(&raw, 0, &widths?)?,
            self.to_logits(&raw, 1, &heights?)?,
            (bin.to_slopes(&of(5)?, &of(6)?)? * sigmoid(&self.slopes_before(&raw)?)?)?,
        ];
        let to_h = Tensor::cat(&parts, 2)?.transpose(1, 2)?.contiguous()?.reshape(h.shape())?;
        Ok((to_h, to_x))
    }

    /// The inverse, x of z: the root of the quadratic that does not cancel.
    pub fn inverse(self, z: &Tensor, h: &Tensor) -> Result<Tensor> {
        let y = flat(z)?;
        let inside = self.inside(&y)?;
        let kept = zero_outside(&inside, &y)?;
        let knots = self.knots(&Series(vec![self.rows(h)?]))?;
        let bin = self.bin(&kept, knots.heights.value()?)?;
        let [_, left, width, low, height, d0, d1] = self.inputs(&Series(vec![kept.clone()]), &knots, &bin)?;
        let of = |s: Series| s.value().cloned();
        let (left, width, low, height, d0, d1) = (of(left)?, of(width)?, of(low)?, of(height)?, of(d0)?, of(d1)?);
        let (slope, up) = ((&height / &width)?, (kept - low)?);
        let bend = ((&d1 + &d0)? - slope.affine(2.0, 0.0)?)?;
        let lifted = (&up * bend)?;
        let a = ((&height * (&slope - &d0)?)? + &lifted)?;
        let b = ((height * d0)? - lifted)?;
        let c = (slope * up)?.neg()?;
        let root = (b.sqr()? - (&a * &c)?.affine(4.0, 0.0)?)?.relu()?.sqrt()?;
        let falling = b.lt(0.0)?;
        let over = falling.where_cond(&(&root - &b)?, &c.affine(2.0, 0.0)?)?;
        let under = falling.where_cond(&a.affine(2.0, 0.0)?, &(b.neg()? - &root)?)?;
        let x = (left + ((over / under)? * width)?)?;
        Ok(inside.where_cond(&x, &y)?.reshape(z.shape())?)
    }

    fn inside(self, x: &Tensor) -> Result<Tensor> {
        Ok(x.abs()?.le(self.bound)?)
    }

    /// The parameters h as `[B, M, P]`.
    fn rows(self, h: &Tensor) -> Result<Tensor> {
        Ok(h.reshape((h.dim(0)?, self.parameters(), ()))?.transpose(1, 2)?.contiguous()?)
    }

    /// The slopes before softplus, `[B, M, K-1]`, shifted so that h = 0 gives a slope of 1.
    fn slopes_before(self, raw: &Tensor) -> Result<Tensor> {
        let one = ((1.0 - LEAST).exp() - 1.0).ln();
        Ok(raw.narrow(2, 2 * self.bins, self.bins - 1)?.contiguous()?.affine(1.0, one)?)
    }

    fn knots(self, raw: &Series) -> Result<Knots> {
        let sizes = |i: usize| {
            let logits = raw.linear(|t| Ok(t.narrow(2, i * self.bins, self.bins)?.contiguous()?))?;
            let share = 1.0 - self.bins as f64 * LEAST;
            logits.softmax()?.scale(2.0 * self.bound * share)?.shift(2.0 * self.bound * LEAST)
        };
        let slopes = raw.linear(|t| Ok(t.narrow(2, 2 * self.bins, self.bins - 1)?.contiguous()?))?;
        let slopes = slopes.shift(((1.0 - LEAST).exp() - 1.0).ln())?.softplus()?.shift(LEAST)?;
        Ok(Knots { widths: sizes(0)?, heights: sizes(1)?, slopes })
    }

    /// The bins in which x `[B, M]` lies, among bins of the widths (or heights) `sizes` `[B, M, K]`.
    fn bin(self, x: &Tensor, sizes: &Tensor) -> Result<Bin> {
        let right = sizes.detach().cumsum(2)?.affine(1.0, -self.bound)?;
        let x = x.detach().unsqueeze(2)?;
        let passed = x.broadcast_as(right.shape())?.ge(&right)?.to_dtype(right.dtype())?;
        // Never beyond the last bin, whatever rounding does to its end.
        let passed = passed.narrow(2, 0, self.bins - 1)?;
        let edge = passed.narrow(2, 0, 1)?;
        let before = Tensor::cat(&[&edge.ones_like()?, &passed], 2)?;
        let below = Tensor::cat(&[&passed, &edge.zeros_like()?], 2)?;
        Ok(Bin { here: (before - &below)?, below })
    }

    /// The number x and its bin's left edge, width, lower edge, height and slopes at both ends, each `[B, M]`.
    fn inputs(self, x: &Series, knots: &Knots, bin: &Bin) -> Result<[Series; 7]> {
        let sum = |s: &Series, mask: &Tensor| s.linear(|t| Ok((t * mask)?.sum(D::Minus1)?));
        let edge = |s: &Series| sum(s, &bin.below)?.shift(-self.bound);
        // The slope is 1, a constant, at both ends of the box.
        let inner = |from: usize| bin.here.narrow(2, from, self.bins - 1)?.contiguous().map_err(crate::Error::from);
        let end = |s: &Series, at: usize| -> Result<Series> {
            let at = bin.here.narrow(2, at, 1)?.squeeze(2)?;
            let mut terms = s.0.clone();
            if let Some(value) = terms.first_mut() {
                *value = (&*value + at)?;
            }
            Ok(Series(terms))
        };
        let d0 = end(&sum(&knots.slopes, &inner(1)?)?, 0)?;
        let d1 = end(&sum(&knots.slopes, &inner(0)?)?, self.bins - 1)?;
        let (widths, heights) = (&knots.widths, &knots.heights);
        let (left, low) = (edge(widths)?, edge(heights)?);
        Ok([x.clone(), left, sum(widths, &bin.here)?, low, sum(heights, &bin.here)?, d0, d1])
    }

    /// The gradient by the logits, p∘(s̄ - p·s̄) times the bins' share of the box, from the gradient s̄ by the sizes,
    /// with p their softmax; `i` is 0 for widths and 1 for heights.
    fn to_logits(self, raw: &Tensor, i: usize, sizes: &Tensor) -> Result<Tensor> {
        let logits = raw.narrow(2, i * self.bins, self.bins)?.contiguous()?;
        let p = Series(vec![logits]).softmax()?;
        let p = p.value()?;
        let mean = (p * sizes)?.sum_keepdim(2)?;
        let share = 2.0 * self.bound * (1.0 - self.bins as f64 * LEAST);
        Ok((p * sizes.broadcast_sub(&mean)?)?.affine(share, 0.0)?)
    }
}

impl Bin {
    /// The gradient by the sizes of all bins, from those by the size of the number's bin and by the place of its edge.
    fn spread(&self, size: &Tensor, edge: &Tensor) -> Result<Tensor> {
        let own = self.here.broadcast_mul(&size.unsqueeze(2)?)?;
        Ok((own + self.below.broadcast_mul(&edge.unsqueeze(2)?)?)?)
    }

    /// The gradient by the slopes at the inner knots, from those by the slopes at both ends of the bin.
    fn to_slopes(&self, d0: &Tensor, d1: &Tensor) -> Result<Tensor> {
        let inner = self.here.dim(2)? - 1;
        let (left, right) = (self.here.narrow(2, 1, inner)?, self.here.narrow(2, 0, inner)?);
        Ok((left.broadcast_mul(&d0.unsqueeze(2)?)? + right.broadcast_mul(&d1.unsqueeze(2)?)?)?)
    }
}

/// The rational quadratic y = y_k + h (sξ² + d₀ξ(1-ξ))/β and log y' (Durkan et al. 2019, eq. 4 and 5), with (x_k, y_k)
/// the lower corner of the bin, w and h its width and height, d₀ and d₁ its slopes, ξ = (x - x_k)/w, s = h/w and β =
/// s + (d₁ + d₀ - 2s)ξ(1-ξ).
fn rational([x, left, width, low, height, d0, d1]: &[Series; 7]) -> Result<(Series, Series)> {
    let per_width = width.recip()?;
    let (at, s) = (x.minus(left)?.times(&per_width)?, height.times(&per_width)?);
    let square = at.times(&at)?;
    let hump = at.minus(&square)?;
    let beta = d1.plus(d0)?.minus(&s.scale(2.0)?)?.times(&hump)?.plus(&s)?;
    let rise = s.times(&square)?.plus(&d0.times(&hump)?)?.times(&beta.recip()?)?;
    let rest = at.scale(-1.0)?.shift(1.0)?;
    let slope = d1.times(&square)?.plus(&s.times(&hump)?.scale(2.0)?)?.plus(&d0.times(&rest.times(&rest)?)?)?;
    let log_slope = s.ln()?.scale(2.0)?.plus(&slope.ln()?)?.minus(&beta.ln()?.scale(2.0)?)?;
    Ok((low.plus(&height.times(&rise)?)?, log_slope))
}

/// The seven inputs with derivatives along each of the seven, `[7, B, M]`, so that the result has all partial
/// derivatives.
fn directions(inputs: &[Series; 7]) -> Result<[Series; 7]> {
    let mut all = inputs.clone();
    for (i, series) in all.iter_mut().enumerate() {
        let value = series.value()?.clone();
        let unit: Vec<f64> = (0..7).map(|j| f64::from(u8::from(i == j))).collect();
        let unit = Tensor::from_vec(unit, (7, 1, 1), value.device())?.to_dtype(value.dtype())?;
        let shape = [&[7], value.dims()].concat();
        *series = Series(vec![value, unit.broadcast_as(shape)?.contiguous()?]);
    }
    Ok(all)
}

fn flat(x: &Tensor) -> Result<Tensor> {
    Ok(x.flatten_from(1)?.contiguous()?)
}

/// The tensor t with 0 where a number lies outside the box. No such number may enter the spline's formulas, not even if
/// the result is dropped, since gradients of what is dropped may be NaN.
fn zero_outside(inside: &Tensor, t: &Tensor) -> Result<Tensor> {
    Ok(inside.where_cond(t, &t.zeros_like()?)?)
}

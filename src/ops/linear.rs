//! The linear map as three operations that are closed under differentiation: the map L(x, w) = x wᵀ, its pull-back P(g,
//! w) = g w and its weight gradient K(g, x) = gᵀ x, with x the inputs, w the weights and g the gradient for the output.
//!
//! The backward pass of each consists of the other two, and leaves out gradients that are not asked for.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Tensor};

use super::backend::Backend;
use super::cpu::linear as kernels;
use super::cpu::{Output, wanted};
use super::kept::Place;
use super::order::Order;
use super::rounded::factor;
use super::sums::ColumnSum;
use super::{LayerWeights, composed, shapes};
use crate::{Error, Result};

type Gradients = candle_core::Result<(Option<Tensor>, Option<Tensor>)>;

/// The linear map y = x wᵀ + b. Shapes: x `[N, I]`, w `[O, I]`, b `[O]`, y `[N, O]`.
///
/// # Errors
/// The shapes do not fit.
pub fn linear<'a>(x: &Tensor, w: impl Into<LayerWeights<'a>>, b: Option<&Tensor>) -> Result<Tensor> {
    linear_stacked(x, w, b, 1)
}

/// The tangent pass of [`linear`] on stacked values and tangents x `[2B, I]`; the bias goes to the first B rows only.
///
/// # Errors
/// The shapes do not fit, or the number of rows is odd.
pub fn linear_jet<'a>(x: &Tensor, w: impl Into<LayerWeights<'a>>, b: Option<&Tensor>) -> Result<Tensor> {
    linear_stacked(x, w, b, 2)
}

/// The map [`linear`] on `blocks` stacked blocks, values and their derivatives: the bias goes to the first only.
///
/// # Errors
/// The shapes do not fit, or the rows cannot be divided into so many blocks.
pub fn linear_stacked<'a>(
    x: &Tensor,
    w: impl Into<LayerWeights<'a>>,
    b: Option<&Tensor>,
    blocks: usize,
) -> Result<Tensor> {
    let weights = w.into();
    let w = weights.weights();
    shapes::splits(x, blocks)?;
    let (&[_, inputs], &[outputs, expected]) = (x.dims(), w.dims()) else {
        return Err(Error::Other(format!("linear: x {:?} and w {:?} must be matrices", x.dims(), w.dims())));
    };
    if inputs != expected || b.is_some_and(|b| b.dims() != [outputs]) {
        let b = b.map(|b| b.dims());
        return Err(Error::Other(format!("linear: x {:?}, w {:?} and b {b:?} do not fit", x.dims(), w.dims())));
    }
    let backend = b.map_or_else(|| Backend::of(&[x, w]), |b| Backend::of(&[x, w, b]));
    Ok(match (backend, b) {
        (Backend::Kernels, Some(b)) => x.apply_op3(w, &b.contiguous()?, Linear { blocks, place: weights.place() })?,
        (Backend::Kernels, None) => x.apply_op2(w, Linear { blocks, place: weights.place() })?,
        (Backend::Composed, _) => composed::linear(x, &weights.laid(Order::First, factor(x))?, b, blocks)?,
    })
}

/// The pull-back g w of [`linear`]. Shapes: g `[N, O]`, w `[O, I]` -> `[N, I]`.
///
/// # Errors
/// The shapes do not fit.
pub fn linear_pullback<'a>(g: &Tensor, w: impl Into<LayerWeights<'a>>) -> Result<Tensor> {
    let weights = w.into();
    let w = weights.weights();
    match (g.dims(), w.dims()) {
        (&[_, have], &[want, _]) if have == want => {}
        (g, w) => return Err(Error::Other(format!("linear pull-back: g {g:?} and w {w:?} do not fit"))),
    }
    Ok(match Backend::of(&[g, w]) {
        Backend::Kernels => g.apply_op2(w, Pullback { place: weights.place() })?,
        Backend::Composed => composed::linear_pullback(g, &weights.laid(Order::First, factor(g))?)?,
    })
}

/// The weight gradient gᵀ x of [`linear`]. It is not differentiated. Shapes: g `[N, O]`, x `[N, I]` -> `[O, I]`.
///
/// # Errors
/// The shapes do not fit.
pub fn linear_weight_gradient(g: &Tensor, x: &Tensor) -> Result<Tensor> {
    match (g.dims(), x.dims()) {
        (&[have, _], &[want, _]) if have == want => {}
        (g, x) => return Err(Error::Other(format!("linear weight gradient: g {g:?} and x {x:?} do not fit"))),
    }
    Ok(match Backend::of(&[g, x]) {
        Backend::Kernels => g.apply_op2_no_bwd(x, &WeightGradient)?,
        Backend::Composed => composed::linear_weight_gradient(g, x)?,
    })
}

/// The vector p `[D]` repeated for each of B items, `[B, D]`. On a CPU it is a product, so that its gradient is one
/// too: the column sum behind candle's broadcasting is many times slower there. On a GPU a product would round p.
///
/// # Errors
/// p is no vector.
pub fn repeated(p: &Tensor, batch: usize) -> Result<Tensor> {
    if !p.device().is_cpu() {
        return Ok(p.unsqueeze(0)?.broadcast_as((batch, p.dim(0)?))?.contiguous()?);
    }
    linear(&Tensor::ones((batch, 1), p.dtype(), p.device())?, &p.unsqueeze(1)?, None)
}

/// The linear map L: (x `[N, I]`, w `[O, I]`) ↦ x wᵀ `[N, O]`; with b `[O]` also + b, on the first N/`blocks` rows.
#[derive(Clone)]
struct Linear {
    /// Where what is made of the weights is kept.
    place: Option<Place>,
    /// The number of equal blocks of rows: values, then derivatives of them; the bias is added to the values only.
    blocks: usize,
}

impl Linear {
    fn biased(&self, rows: usize) -> usize {
        rows / self.blocks.max(1)
    }
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, w: &CpuStorage, lw: &Layout) -> Output {
        kernels::linear((x, lx), (w, lw), self.place.as_ref())
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, g: &Tensor) -> Gradients {
        let gx = wanted(x, || g.apply_op2_no_bwd(w, &Pullback { place: self.place.clone() }))?;
        Ok((gx, wanted(w, || g.apply_op2_no_bwd(x, &WeightGradient))?))
    }
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear with bias"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, w: &CpuStorage, lw: &Layout, b: &CpuStorage, lb: &Layout) -> Output {
        let rows = lx.dims().first().map_or(0, |rows| self.biased(*rows));
        kernels::biased((x, lx), (w, lw), (b, lb), rows, self.place.as_ref())
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        y: &Tensor,
        g: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (gx, gw) = CustomOp2::bwd(self, x, w, y, g)?;
        let gb = wanted(b, || g.narrow(0, 0, self.biased(g.dim(0)?))?.contiguous()?.apply_op1_no_bwd(&ColumnSum))?;
        Ok((gx, gw, gb))
    }
}

/// The pull-back P: (g `[N, O]`, w `[O, I]`) ↦ g w `[N, I]`.
#[derive(Clone)]
struct Pullback {
    /// Where what is made of the weights is kept.
    place: Option<Place>,
}

impl CustomOp2 for Pullback {
    fn name(&self) -> &'static str {
        "linear pull-back"
    }

    fn cpu_fwd(&self, g: &CpuStorage, lg: &Layout, w: &CpuStorage, lw: &Layout) -> Output {
        kernels::pullback((g, lg), (w, lw), self.place.as_ref())
    }

    fn bwd(&self, g: &Tensor, w: &Tensor, _: &Tensor, h: &Tensor) -> Gradients {
        let plain = Linear { blocks: 1, place: self.place.clone() };
        Ok((wanted(g, || h.apply_op2_no_bwd(w, &plain))?, wanted(w, || g.apply_op2_no_bwd(h, &WeightGradient))?))
    }
}

/// The weight gradient K: (g `[N, O]`, x `[N, I]`) ↦ gᵀ x `[O, I]`. It is used in backward passes only.
struct WeightGradient;

impl CustomOp2 for WeightGradient {
    fn name(&self) -> &'static str {
        "linear weight gradient"
    }

    fn cpu_fwd(&self, g: &CpuStorage, lg: &Layout, x: &CpuStorage, lx: &Layout) -> Output {
        kernels::weight_gradient((g, lg), (x, lx))
    }
}

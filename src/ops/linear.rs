//! A linear map as three operations that are closed under differentiation: the map L(x, w) = x wᵀ, its pull-back P(g,
//! w) = g w and its weight gradient K(g, x) = gᵀ x, with x the inputs, w the weights and g the gradient for the output.
//!
//! The backward pass of each consists of the other two, and leaves out gradients that are not asked for.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

use super::{
    access::{matrix, on_floats, output, slice, wanted},
    raw::{Matrix, Threads, product, product_by_columns, product_into, transposed},
    real::Real,
    reduce::ColumnSum,
};

type Output = Result<(CpuStorage, Shape)>;

/// The linear map L: (x `[N, I]`, w `[O, I]`) ↦ x wᵀ `[N, O]`; with b `[O]` also + b, on the first N/`blocks` rows.
#[derive(Clone, Copy)]
pub struct Linear {
    /// The number of equal blocks of rows: values, then derivatives of them; the bias is added to the values only.
    pub blocks: usize,
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
        on_floats!(x, T => {
            let (x, w) = (matrix::<T>(x, lx)?, matrix(w, lw)?);
            if few_rows(&x, &w) { return by_columns(x, w); }
            multiply(x, w.t())
        })
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, g: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((wanted(x, || g.apply_op2_no_bwd(w, &Pullback))?, wanted(w, || g.apply_op2_no_bwd(x, &WeightGradient))?))
    }
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear with bias"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, w: &CpuStorage, lw: &Layout, b: &CpuStorage, lb: &Layout) -> Output {
        on_floats!(x, T => {
            let (x, w, b) = (matrix::<T>(x, lx)?, matrix(w, lw)?, slice::<T>(b, lb)?);
            let ([rows, _], [columns, _]) = (x.shape(), w.shape());
            if few_rows(&x, &w) {
                let (mut y, shape) = by_columns(x, w)?;
                if let Some(y) = T::entries_mut(&mut y) {
                    let values = y.chunks_exact_mut(columns).take(self.biased(rows));
                    values.for_each(|row| row.iter_mut().zip(b).for_each(|(y, &b)| *y += b));
                }
                return Ok((y, shape));
            }
            let mut y = Vec::with_capacity(rows * columns);
            (0..self.biased(rows)).for_each(|_| y.extend_from_slice(b));
            y.resize(rows * columns, T::ZERO);
            product_into(&mut y, [columns, 1], true, x, w.t(), Threads::Pool)?;
            output(y, (rows, columns))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (gx, gw) = CustomOp2::bwd(self, x, w, y, g)?;
        let gb = wanted(b, || g.narrow(0, 0, self.biased(g.dim(0)?))?.contiguous()?.apply_op1_no_bwd(&ColumnSum))?;
        Ok((gx, gw, gb))
    }
}

/// The pull-back P: (g `[N, O]`, w `[O, I]`) ↦ g w `[N, I]`.
#[derive(Clone, Copy)]
pub struct Pullback;

impl CustomOp2 for Pullback {
    fn name(&self) -> &'static str {
        "linear pull-back"
    }

    fn cpu_fwd(&self, g: &CpuStorage, lg: &Layout, w: &CpuStorage, lw: &Layout) -> Output {
        on_floats!(g, T => multiply(matrix::<T>(g, lg)?, matrix(w, lw)?))
    }

    fn bwd(&self, g: &Tensor, w: &Tensor, _: &Tensor, h: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let plain = Linear { blocks: 1 };
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
        on_floats!(g, T => multiply(matrix::<T>(g, lg)?.t(), matrix(x, lx)?))
    }
}

fn multiply<T: Real>(a: Matrix<'_, T>, b: Matrix<'_, T>) -> Output {
    let shape = (a.shape()[0], b.shape()[1]);
    output(product(a, b, Threads::Pool)?, shape)
}

/// Whether x wᵀ is better computed column by column. `gemm` then reads w as it lies, where it would otherwise copy and
/// transpose all of it first. The result has to be transposed instead, which is less work if it is smaller than w.
fn few_rows<T>(x: &Matrix<'_, T>, w: &Matrix<'_, T>) -> bool {
    let ([rows, inputs], [outputs, _]) = (x.shape(), w.shape());
    rows >= 16 && 2 * rows <= inputs && 2 * rows <= outputs
}

/// The product x wᵀ, computed as the transpose of what `gemm` writes column by column.
fn by_columns<T: Real>(x: Matrix<'_, T>, w: Matrix<'_, T>) -> Output {
    let ([rows, _], [outputs, _]) = (x.shape(), w.shape());
    let columns = product_by_columns(x, w.t(), Threads::Pool)?;
    output(transposed(&columns, outputs, rows), (rows, outputs))
}

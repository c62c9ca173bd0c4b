//! Small matrices on the host, in f64: determinants without overflow, inverses, well-conditioned random matrices.

use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Shape, Tensor};
use nalgebra::{DMatrix, DVector};
use rand::Rng as _;
use rand_distr::StandardNormal;

use crate::{Error, Result, rng::Key};

/// The number of draws of a matrix before giving up. At the bound D one in 5 (D = 2) to one in 55 (large D) is
/// accepted, so that the last draw is never reached under a bound that can be met.
const MAX_DRAWS: u64 = 2000;

/// A random D×D matrix of N(0, 1) entries, drawn again until its condition number is at most `max_condition`; 0 stands
/// for D.
///
/// This is the recipe of the released LSD code for both the true and the initial unmixing matrix of linear ICA (there
/// the condition number must be below D, which differs on a set of measure zero, and for D = 1).
///
/// # Errors
/// No draw met the bound.
pub fn well_conditioned(key: Key, dim: usize, max_condition: f64) -> Result<DMatrix<f64>> {
    let bound = if max_condition > 0.0 { max_condition } else { dim as f64 };
    for draw in 0..MAX_DRAWS {
        let matrix = normal(key.at(draw), dim);
        // All but a few are turned down by the first, which costs a small part of the second.
        if condition_at_least(&matrix) <= bound && condition(&matrix) <= bound {
            return Ok(matrix);
        }
    }
    Err(Error::config(format!(
        "none of {MAX_DRAWS} random {dim}x{dim} matrices has a condition number of at most {bound}"
    ))
    .at("max_condition")
    .hint(format!("raise `max_condition`, or leave it at 0, which stands for {dim}")))
}

/// A random D×D matrix of N(0, 1) entries.
pub fn normal(key: Key, dim: usize) -> DMatrix<f64> {
    let mut rng = key.rng();
    DMatrix::from_fn(dim, dim, |_, _| rng.sample::<f64, _>(StandardNormal))
}

/// A lower bound of the condition number, mostly above 70 % of it: power iterations of AᵀA and of its inverse, which
/// both stay below what they go to.
fn condition_at_least(matrix: &DMatrix<f64>) -> f64 {
    const ITERATIONS: usize = 8;
    /// What rounding may have added.
    const SLACK: f64 = 1.0 - 1e-6;
    let transposed = matrix.transpose();
    let (lu, lu_transposed) = (matrix.clone().lu(), transposed.clone().lu());
    let start = DVector::from_element(matrix.nrows(), 1.0).normalize();
    let (mut large, mut small) = (start.clone(), start);
    let (mut largest, mut inverse) = (0.0f64, 0.0f64);
    for _ in 0..ITERATIONS {
        let image = matrix * &large;
        largest = largest.max(image.norm());
        large = (&transposed * image).normalize();
        let Some(y) = lu_transposed.solve(&small) else { return f64::INFINITY };
        inverse = inverse.max(y.norm());
        let Some(z) = lu.solve(&y) else { return f64::INFINITY };
        small = z.normalize();
    }
    largest * inverse * SLACK
}

/// The condition number: the largest over the smallest singular value, infinite for a singular matrix.
pub fn condition(matrix: &DMatrix<f64>) -> f64 {
    let values = matrix.singular_values();
    values.max() / values.min()
}

/// The logarithm log|det B|, -∞ for a singular matrix. It is a sum of logarithms, so it neither over- nor underflows.
pub fn log_abs_det(matrix: &DMatrix<f64>) -> f64 {
    matrix.clone().lu().u().diagonal().iter().map(|pivot| pivot.abs().ln()).sum()
}

/// The values of a matrix `[R, C]`, on the host in f64.
///
/// # Errors
/// The tensor is no matrix.
pub fn to_host(matrix: &Tensor) -> Result<DMatrix<f64>> {
    let (rows, columns) = matrix.dims2()?;
    let values = matrix.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    Ok(DMatrix::from_row_iterator(rows, columns, values))
}

/// The matrix as a tensor `[R, C]`.
///
/// # Errors
/// The device fails.
pub fn to_tensor(matrix: &DMatrix<f64>, dtype: DType, device: &Device) -> Result<Tensor> {
    let rows: Vec<f64> = matrix.transpose().iter().copied().collect();
    Ok(Tensor::from_vec(rows, matrix.shape(), &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?)
}

/// The logarithm log|det B| of a matrix `[D, D]` by LU in f64 on the host, as a scalar of B's type on B's device; -∞
/// for a singular matrix. Its gradient is B⁻ᵀ, and the inverse is taken only where a backward pass asks for it.
///
/// # Errors
/// The tensor is no square matrix; or, in the backward pass, B is singular.
pub fn log_abs_det_of(b: &Tensor) -> Result<Tensor> {
    match b.dims() {
        &[rows, columns] if rows == columns => {}
        shape => return Err(Error::Other(format!("a determinant needs a square matrix, got shape {shape:?}"))),
    }
    let host = b.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.contiguous()?;
    Ok(host.apply_op1(LogAbsDet)?.to_dtype(b.dtype())?.to_device(b.device())?)
}

/// The operation B ↦ log|det B| on an f64 matrix in host memory.
struct LogAbsDet;

impl CustomOp1 for LogAbsDet {
    fn name(&self) -> &'static str {
        "log-determinant"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let dim = layout.dims().first().copied().unwrap_or(0);
        let values = match (storage, layout.contiguous_offsets()) {
            (CpuStorage::F64(all), Some((from, to))) => all.get(from..to),
            _ => None,
        };
        let values = values.ok_or_else(|| candle_core::Error::Msg("log-determinant: not a contiguous f64".into()))?;
        let value = log_abs_det(&DMatrix::from_row_slice(dim, dim, values));
        Ok((CpuStorage::F64(vec![value]), Shape::from(())))
    }

    fn bwd(&self, b: &Tensor, _: &Tensor, g: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let wrap = |e: Error| candle_core::Error::Msg(e.to_string());
        let inverse = to_host(b).map_err(wrap)?.try_inverse();
        let inverse = inverse.ok_or_else(|| candle_core::Error::Msg("log-determinant: singular matrix".into()))?;
        let transposed = to_tensor(&inverse.transpose(), DType::F64, &Device::Cpu).map_err(wrap)?;
        transposed.broadcast_mul(g).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;

    #[test]
    fn drawn_matrices_keep_their_bound_and_impossible_ones_are_refused() {
        for dim in [1, 2, 5, 10, 50] {
            let matrix = well_conditioned(Key::new(3), dim, 0.0).unwrap();
            assert!(condition(&matrix) <= dim as f64);
            assert_eq!(matrix, well_conditioned(Key::new(3), dim, 0.0).unwrap());
            assert_ne!(matrix, well_conditioned(Key::new(4), dim, 0.0).unwrap());
        }
        let refused = well_conditioned(Key::new(3), 10, 1.01).unwrap_err();
        assert!(refused.exit_code() == 2 && refused.to_string().contains("max_condition"), "{refused}");
    }

    #[test]
    fn the_bound_of_a_condition_number_lies_below_it_and_near_it() {
        let mut near = 0;
        for draw in 0..40 {
            let matrix = normal(Key::new(9).at(draw), 2 + draw as usize);
            let (bound, whole) = (condition_at_least(&matrix), condition(&matrix));
            assert!(bound <= whole, "{bound} {whole}");
            near += u32::from(bound > 0.7 * whole);
        }
        assert!(near >= 36, "{near} of 40");
        assert_eq!(condition_at_least(&DMatrix::zeros(3, 3)), f64::INFINITY);
    }

    #[test]
    fn log_determinants_of_known_matrices() {
        let (c, s) = (0.3f64.cos(), 0.3f64.sin());
        let turned = DMatrix::from_row_slice(2, 2, &[2.0 * c, -2.0 * s, -3.0 * s, -3.0 * c]);
        assert!((log_abs_det(&turned) - 6f64.ln()).abs() < 1e-15);
        assert_eq!(log_abs_det(&DMatrix::zeros(3, 3)), f64::NEG_INFINITY);
        // exp(400 log 10) overflows f64, and 10^40 does f32.
        let large = Tensor::eye(400, DType::F32, &Device::Cpu).unwrap().affine(10.0, 0.0).unwrap();
        let log_det: f32 = log_abs_det_of(&large).unwrap().to_scalar().unwrap();
        assert_eq!(log_det, (400.0 * 10f64.ln()) as f32);
    }

    #[test]
    fn the_gradient_of_a_log_determinant_is_the_inverse_transposed() {
        for dtype in [DType::F64, DType::F32] {
            let start = to_tensor(&well_conditioned(Key::new(1), 6, 0.0).unwrap(), dtype, &Device::Cpu).unwrap();
            let b = Var::from_tensor(&start).unwrap();
            let grads = log_abs_det_of(&b).unwrap().affine(3.0, 0.0).unwrap().backward().unwrap();
            let have = to_host(grads.get(&b).unwrap()).unwrap();
            let want = to_host(&b).unwrap().try_inverse().unwrap().transpose() * 3.0;
            let tolerance = if dtype == DType::F64 { 1e-12 } else { 1e-6 };
            assert!((have - &want).amax() < tolerance * want.amax());
        }
    }

    #[test]
    fn there_and_back() {
        let matrix = DMatrix::from_row_slice(2, 3, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let tensor = to_tensor(&matrix, DType::F64, &Device::Cpu).unwrap();
        assert_eq!(tensor.to_vec2::<f64>().unwrap(), [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
        assert_eq!(to_host(&tensor).unwrap(), matrix);
        assert!(log_abs_det_of(&tensor).is_err());
    }
}

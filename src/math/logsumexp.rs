//! The function log Σ exp without overflow.

use candle_core::{D, DType, Tensor};

use crate::{Error, Result};

/// The sum log Σᵢ exp(xᵢ), with the largest term taken out first; -∞ for an empty slice.
///
/// It is NaN if any term is NaN, else +∞ if any term is.
pub fn logsumexp(x: &[f64]) -> f64 {
    let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if x.iter().any(|v| v.is_nan()) {
        return f64::NAN;
    }
    if !max.is_finite() {
        return max;
    }
    max + x.iter().map(|v| (v - max).exp()).sum::<f64>().ln()
}

/// The mean log(1/n Σᵢ exp(xᵢ)), such as the logarithm of a mean weight; NaN for an empty slice.
pub fn log_mean_exp(x: &[f64]) -> f64 {
    if x.is_empty() { f64::NAN } else { logsumexp(x) - (x.len() as f64).ln() }
}

/// The sum log Σ exp over the last dimension, in f64: `[.., n] -> [..]`. A row that is all -∞ gives -∞.
///
/// # Errors
/// `n` is 0, or the tensor cannot be read.
pub fn logsumexp_dim(x: &Tensor) -> Result<Tensor> {
    let n = x.dim(D::Minus1)?;
    if n == 0 {
        return Err(Error::Other(format!("logsumexp over no terms: shape {:?}", x.dims())));
    }
    let rows = x.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    let sums: Vec<f64> = rows.chunks(n).map(logsumexp).collect();
    let shape = x.dims().split_last().map_or(&[][..], |(_, front)| front);
    Ok(Tensor::from_vec(sums, shape, x.device())?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    const INF: f64 = f64::INFINITY;

    #[test]
    fn closed_forms() {
        assert_eq!(logsumexp(&[1000.0, 1000.0]), 1000.0 + 2f64.ln());
        assert_eq!(logsumexp(&[-1000.0, -1000.0]), -1000.0 + 2f64.ln());
        assert_eq!(logsumexp(&[3.0, -INF]), 3.0);
        // Σ_{k<n} e^{-k} is a geometric series.
        let terms: Vec<f64> = (0..50).map(|k| -f64::from(k)).collect();
        let exact = ((1.0 - (-50f64).exp()) / (1.0 - (-1f64).exp())).ln();
        assert!((logsumexp(&terms) - exact).abs() < 1e-15);
        assert!((log_mean_exp(&[5.0; 7]) - 5.0).abs() < 1e-15);
    }

    #[test]
    fn the_edges() {
        assert_eq!(logsumexp(&[]), -INF);
        assert_eq!(logsumexp(&[-INF, -INF]), -INF);
        assert_eq!(logsumexp(&[1.0, INF]), INF);
        assert!(logsumexp(&[1.0, f64::NAN, INF]).is_nan());
        assert!(log_mean_exp(&[]).is_nan());
    }

    #[test]
    fn tensors_row_by_row() {
        let x = Tensor::new(&[[[0f32, 0.0], [-900.0, -900.0]]], &Device::Cpu).unwrap();
        let sums = logsumexp_dim(&x).unwrap();
        assert_eq!(sums.dims(), [1, 2]);
        assert_eq!(sums.to_vec2::<f64>().unwrap(), [[2f64.ln(), -900.0 + 2f64.ln()]]);
        assert!(logsumexp_dim(&Tensor::zeros((2, 0), DType::F32, &Device::Cpu).unwrap()).is_err());
        assert!(logsumexp_dim(&Tensor::new(1f32, &Device::Cpu).unwrap()).is_err());
    }
}

//! Rows of tensors: some at a time, and on the host.

use candle_core::{DType, Device, Tensor};

use crate::Result;

/// Rows of one pass where nothing speaks for another number: bounds the memory.
pub(in crate::probes) const CHUNK: usize = 500;

/// f over the rows of x, `[N, ..]`, at most `size` at a time; f is told the number of the first row. The answers in
/// order.
///
/// # Errors
/// f's own.
pub(in crate::probes) fn in_chunks<T>(
    x: &Tensor,
    size: usize,
    mut f: impl FnMut(usize, &Tensor) -> Result<T>,
) -> Result<Vec<T>> {
    let n = x.dim(0)?;
    (0..n).step_by(size.max(1)).map(|at| f(at, &x.narrow(0, at, size.min(n - at))?)).collect()
}

/// The numbers of `[N]` on the host.
pub(in crate::probes) fn host(vector: &Tensor) -> Result<Vec<f64>> {
    Ok(vector.detach().to_dtype(DType::F64)?.to_vec1()?)
}

/// The rows of `[N, K]` on the host.
pub(in crate::probes) fn host_rows(matrix: &Tensor) -> Result<Vec<Vec<f64>>> {
    Ok(matrix.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64)?.to_vec2()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_seen_once_and_in_order() {
        let x = Tensor::arange(0f64, 7.0, &Device::Cpu).unwrap();
        let seen = in_chunks(&x, 3, |at, rows| Ok((at, host(rows)?))).unwrap();
        assert_eq!(seen, [(0, vec![0.0, 1.0, 2.0]), (3, vec![3.0, 4.0, 5.0]), (6, vec![6.0])]);
    }
}

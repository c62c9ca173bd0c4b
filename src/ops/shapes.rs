//! The checks of shapes that several operations share.

use candle_core::Tensor;

use crate::{Error, Result};

/// Whether the batch can be divided into so many equal blocks; an error if not.
pub fn splits(stacked: &Tensor, blocks: usize) -> Result<()> {
    match stacked.dims().first() {
        Some(rows) if blocks > 0 && rows.is_multiple_of(blocks) => Ok(()),
        _ => Err(Error::Other(format!(
            "values and derivatives stacked in {blocks} blocks need a multiple of {blocks} rows, got {:?}",
            stacked.dims()
        ))),
    }
}

/// Whether two tensors have one shape; an error with both shapes if not.
pub fn same(what: &str, a: &Tensor, b: &Tensor) -> Result<()> {
    if a.dims() == b.dims() {
        return Ok(());
    }
    Err(Error::Other(format!("{what}: shapes {:?} and {:?} differ", a.dims(), b.dims())))
}

//! The choice between two tensors on the CPU, row by row.

use candle_core::bail;

use super::access::{Argument, Output, on_floats, output, slice};

/// The rows of `yes` where the mask, in f64, is not 0, and of `no` where it is.
///
/// # Errors
/// An argument is not contiguous, or they do not fit.
pub fn choose(mask: Argument<'_>, yes: Argument<'_>, no: Argument<'_>) -> Output {
    let (shape, mask) = (yes.1.shape(), slice::<f64>(mask)?);
    if no.1.shape() != shape || shape.dims().first() != Some(&mask.len()) {
        bail!("a choice of rows by {} decisions between {shape:?} and {:?}", mask.len(), no.1.shape())
    }
    on_floats!(yes.0, T => {
        let (yes, no) = (slice::<T>(yes)?, slice::<T>(no)?);
        let width = (yes.len() / mask.len().max(1)).max(1);
        let mut chosen = Vec::with_capacity(yes.len());
        for (mask, (yes, no)) in mask.iter().zip(yes.chunks_exact(width).zip(no.chunks_exact(width))) {
            chosen.extend_from_slice(if *mask == 0.0 { no } else { yes });
        }
        output(chosen, shape)
    })
}

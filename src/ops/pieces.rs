//! The division of a batch for a GPU, where candle counts the entries of a tensor in 32 bits.

use candle_core::{Device, Tensor};

use super::Conv;
use super::order::stacked;
use crate::Result;

/// What f makes of `most` items of a batch after the other.
pub fn by_pieces(batch: &Tensor, most: usize, f: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let (items, most) = (batch.dim(0)?, most.max(1));
    let piece = |from| f(&batch.narrow(0, from, most.min(items - from))?);
    let made = (0..items).step_by(most).map(piece).collect::<Result<Vec<_>>>()?;
    stacked(&made.iter().collect::<Vec<_>>())
}

/// The most images `[N, C, H, W]` for one call on this device, if there is such a bound. On a GPU candle counts entries
/// in 32 bits and leaves the rest of a larger tensor as it was; the largest are the columns, a window each.
pub fn most_images(device: &Device, images: &[usize], weights: &[usize], conv: Conv) -> Result<Option<usize>> {
    if device.is_cpu() {
        return Ok(None);
    }
    let (&[_, channels, height, width], &[outputs, _, kernel, _]) = (images, weights) else { return Ok(None) };
    let windows = conv.windows(height, kernel)?.saturating_mul(conv.windows(width, kernel)?);
    Ok(Some(most_of([
        channels.saturating_mul(height + 2 * conv.padding).saturating_mul(width + 2 * conv.padding),
        windows.saturating_mul(outputs),
        windows.saturating_mul(channels).saturating_mul(kernel * kernel),
    ])))
}

/// The most items with tensors of so many entries each for one call on a GPU; one at least.
fn most_of(entries: [usize; 3]) -> usize {
    let largest = entries.into_iter().max().unwrap_or(1).max(1);
    (i32::MAX as usize / largest).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::contract::{assert_close, normal};

    #[test]
    fn a_batch_for_a_gpu_is_divided_where_entries_no_longer_have_numbers() {
        // VERA's generator at 32 pixels, with 256 channels: its columns have 2.4 million entries a picture.
        let most = most_of([256 * 34 * 34, 256 * 1024, 256 * 9 * 1024]);
        assert_eq!(most, 910);
        assert!(most * 256 * 9 * 1024 <= i32::MAX as usize);
        assert_eq!(most_of([usize::MAX, 1, 1]), 1);
        let conv = Conv { stride: 1, padding: 1 };
        let bound = most_images(&Device::Cpu, &[2000, 256, 32, 32], &[256, 256, 3, 3], conv).unwrap();
        assert_eq!(bound, None);
    }

    #[test]
    fn pieces_make_the_whole() {
        let x = normal("x", &[6, 2, 5, 4]);
        let doubled = by_pieces(&x, 4, |t| Ok((t * 2.0)?)).unwrap();
        assert_close("pieces", &doubled, &(&x * 2.0).unwrap(), 0.0);
    }
}

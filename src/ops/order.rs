//! The order in which the numbers of images lie in memory.
//!
//! Images are tensors `[N, C, H, W]` everywhere, and as a rule lie channel by channel. Convolutions on a GPU that round
//! their factors leave them pixel by pixel, with all channels of a pixel beside each other, as tensor cores read them:
//! a view of the same shape with other strides. What goes entry by entry computes such numbers as they lie; whatever
//! else reads them rearranges them, as it does with any view.

use candle_core::{DType, Tensor};

use crate::{Result, device};

/// How the numbers of images lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// Channel by channel: `[N, C, H, W]`, as tensors of any other shape too.
    #[default]
    First,
    /// Pixel by pixel: `[N, H, W, C]`, channels last.
    Last,
}

impl Order {
    /// The order in which one pass over all of these tensors goes: pixel by pixel where one lies so, and none is
    /// tracked, since candle's graph would rearrange the gradients at every operation.
    pub fn of(tensors: &[&Tensor]) -> Self {
        let last = tensors.iter().any(|t| by_pixel(t)) && !tensors.iter().any(|t| t.track_op());
        if last { Order::Last } else { Order::First }
    }

    /// The numbers of t in this order, contiguous: `[N, H, W, C]` for the last. It is a copy where they lie otherwise.
    pub fn lay(self, t: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Order::First => t.contiguous(),
            Order::Last => {
                let _shapes = device::keep_shapes(t.device());
                t.permute((0, 2, 3, 1))?.contiguous()
            }
        }
    }

    /// The numbers of t in this order and of a type: [`Order::lay`], in one pass over memory.
    pub fn lay_as(self, t: &Tensor, dtype: DType) -> candle_core::Result<Tensor> {
        if t.dtype() == dtype {
            return self.lay(t);
        }
        match self {
            Order::First => t.to_dtype(dtype),
            Order::Last => {
                let _shapes = device::keep_shapes(t.device());
                t.permute((0, 2, 3, 1))?.to_dtype(dtype)
            }
        }
    }

    /// The tensor `[N, C, H, W]` of numbers that [`Order::lay`] laid so: a view.
    pub fn images(self, laid: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Order::First => Ok(laid.clone()),
            Order::Last => laid.permute((0, 3, 1, 2)),
        }
    }
}

/// Whether t is `[N, C, H, W]` and lies pixel by pixel. With one channel or one pixel both orders are the same, and it
/// counts as the other.
pub fn by_pixel(t: &Tensor) -> bool {
    let layout = t.layout();
    t.rank() == 4 && !layout.is_contiguous() && layout.permute(&[0, 2, 3, 1]).is_ok_and(|l| l.is_contiguous())
}

/// The tensor t, rearranged where it lies pixel by pixel: what leaves a network.
///
/// # Errors
/// A tensor operation fails.
pub fn channels_first(t: &Tensor) -> Result<Tensor> {
    if !by_pixel(t) {
        return Ok(t.clone());
    }
    let _shapes = device::keep_shapes(t.device());
    Ok(t.contiguous()?)
}

/// The tensors one after the other along the batch, in the order in which they lie.
///
/// # Errors
/// They differ in shape beside the batch.
pub fn stacked(parts: &[&Tensor]) -> Result<Tensor> {
    let order = Order::of(parts);
    if order == Order::First {
        return Ok(Tensor::cat(parts, 0)?);
    }
    let laid = parts.iter().map(|t| order.lay(t)).collect::<candle_core::Result<Vec<_>>>()?;
    Ok(order.images(&Tensor::cat(&laid, 0)?)?)
}

/// The sums over the pixels of each image, `[N, C, H, W]` -> `[N, C]`.
///
/// # Errors
/// x has other dimensions.
pub fn pixel_sum(x: &Tensor) -> Result<Tensor> {
    let (images, channels, height, width) = x.dims4()?;
    Ok(match Order::of(&[x]) {
        Order::First => x.flatten_from(2)?.sum(2)?,
        Order::Last => Order::Last.lay(x)?.reshape((images, height * width, channels))?.sum(1)?,
    })
}

/// The pull-back of [`pixel_sum`]: g `[N, C]` at every pixel of images of a size (H, W), in an order.
///
/// # Errors
/// g has other dimensions.
pub fn at_every_pixel(g: &Tensor, (height, width): (usize, usize), order: Order) -> Result<Tensor> {
    let (images, channels) = g.dims2()?;
    Ok(match order {
        Order::First => {
            g.reshape((images, channels, 1, 1))?.broadcast_as((images, channels, height, width))?.contiguous()?
        }
        Order::Last => {
            let g = g.reshape((images, 1, 1, channels))?.broadcast_as((images, height, width, channels))?;
            order.images(&g.contiguous()?)?
        }
    })
}

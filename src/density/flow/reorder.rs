//! The maps that only move numbers: permutations, squeezing, flattening. They are orthogonal, so pull-back and inverse
//! are one.

use candle_core::Tensor;

use super::{Bijection, BijectionPullback, InversePullback, chain::no_change};
use crate::Result;
use crate::nets::{Builder, Curve, Jet};

/// A rearrangement of an item's numbers, with l = 0.
pub enum Reorder {
    /// The permutation in which entry i of the first dimension (coordinates of vectors, channels of images) was entry
    /// `there[i]`.
    Permute {
        /// The permutation, `[C]`, u32.
        there: Tensor,
        /// The inverse of the permutation, `[C]`, u32.
        back: Tensor,
    },
    /// The squeezing of each 2×2 block of pixels to one pixel of four times the channels (Dinh et al. 2017, section
    /// 3.6): `[C, H, W]` -> `[4C, H/2, W/2]`.
    Squeeze {
        /// The shape (C, H, W) of an item.
        item: [usize; 3],
    },
    /// The flattening of an item to a vector.
    Flatten {
        /// The shape of an item.
        item: Vec<usize>,
    },
}

impl Reorder {
    /// The permutation that `order` lists.
    ///
    /// # Errors
    /// `order` is no permutation of 0, 1, ….
    pub fn permute(order: &[usize], builder: &Builder) -> Result<Self> {
        let mut back = vec![u32::MAX; order.len()];
        for (i, &from) in order.iter().enumerate() {
            if let Some(place) = back.get_mut(from) {
                *place = i as u32;
            }
        }
        if back.contains(&u32::MAX) {
            return Err(crate::Error::Other(format!("{order:?} is no permutation")));
        }
        let there: Vec<u32> = order.iter().map(|&i| i as u32).collect();
        let tensor = |v: Vec<u32>| Tensor::new(v.as_slice(), builder.device());
        Ok(Reorder::Permute { there: tensor(there)?, back: tensor(back)? })
    }

    /// The reversal of `size` entries (the "reverse shuffle" of Kingma & Dhariwal 2018, section 3.2).
    pub fn reverse(size: usize, builder: &Builder) -> Result<Self> {
        Self::permute(&(0..size).rev().collect::<Vec<_>>(), builder)
    }

    fn there(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Reorder::Permute { there, .. } => Ok(x.contiguous()?.index_select(there, 1)?),
            Reorder::Squeeze { item: [c, h, w] } => {
                let blocks = x.reshape(&[x.dim(0)?, *c, h / 2, 2, w / 2, 2][..])?;
                let channels = blocks.permute([0, 1, 3, 5, 2, 4])?.contiguous()?;
                Ok(channels.reshape((x.dim(0)?, 4 * c, h / 2, w / 2))?)
            }
            Reorder::Flatten { .. } => Ok(x.flatten_from(1)?),
        }
    }

    fn back(&self, z: &Tensor) -> Result<Tensor> {
        match self {
            Reorder::Permute { back, .. } => Ok(z.contiguous()?.index_select(back, 1)?),
            Reorder::Squeeze { item: [c, h, w] } => {
                let blocks = z.reshape(&[z.dim(0)?, *c, 2, 2, h / 2, w / 2][..])?;
                let pixels = blocks.permute([0, 1, 4, 2, 5, 3])?.contiguous()?;
                Ok(pixels.reshape((z.dim(0)?, *c, *h, *w))?)
            }
            Reorder::Flatten { item } => Ok(z.reshape([&[z.dim(0)?], item.as_slice()].concat())?),
        }
    }

    /// The rearrangement of one item without a batch dimension, such as the moments of the data.
    pub(super) fn item(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.there(&x.unsqueeze(0)?)?.squeeze(0)?)
    }
}

impl Bijection for Reorder {
    fn forward(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        Ok((self.there(x)?, no_change(x)?))
    }

    fn inverse(&self, z: &Tensor) -> Result<Tensor> {
        self.back(z)
    }

    fn inverse_vjp<'a>(&'a self, z: &Tensor) -> Result<(Tensor, InversePullback<'a>)> {
        Ok((self.back(z)?, Box::new(|g| self.there(g))))
    }

    fn vjp<'a>(&'a self, x: &Tensor) -> Result<(Tensor, Tensor, BijectionPullback<'a>)> {
        Ok((self.there(x)?, no_change(x)?, Box::new(|g, _| self.back(g))))
    }

    fn jvp(&self, x: &Jet) -> Result<(Jet, Jet)> {
        Ok((x.linear(|x| self.there(x))?, x.linear(no_change)?))
    }

    fn curve(&self, x: &Curve) -> Result<(Curve, Curve)> {
        Ok((x.linear(|x| self.there(x))?, x.linear(no_change)?))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::rng::Key;

    #[test]
    fn squeezing_gathers_blocks_of_pixels() {
        let x = Tensor::arange(0u32, 16, &Device::Cpu).unwrap().reshape((1, 1, 4, 4)).unwrap();
        let z = Reorder::Squeeze { item: [1, 4, 4] }.there(&x).unwrap();
        let first_pixel = z.squeeze(0).unwrap().narrow(1, 0, 1).unwrap().narrow(2, 0, 1).unwrap();
        assert_eq!(first_pixel.flatten_all().unwrap().to_vec1::<u32>().unwrap(), [0, 1, 4, 5]);
    }

    #[test]
    fn what_is_no_permutation_is_refused() {
        let builder = Builder::new(Key::new(0), DType::F32, &Device::Cpu);
        assert!(Reorder::permute(&[2, 0, 1], &builder).is_ok());
        assert!(Reorder::permute(&[2, 0, 2], &builder).is_err() && Reorder::permute(&[1, 2], &builder).is_err());
    }
}

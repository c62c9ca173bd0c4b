//! The multi-scale split (Dinh et al. 2017, section 3.6): half of the channels are finished, the others go on.

use candle_core::Tensor;

use super::{Bijection, BijectionPullback, Composition, InversePullback};
use crate::Result;
use crate::nets::{Curve, Jet};

/// The map z = [rest(x₁), x₂] to a vector, with the log-determinant l of the rest. The part x₂ that is factored out
/// meets the prior as it is; a prior N(μ(x₁), σ(x₁)²) on it is an affine coupling of x₂ given x₁ put before this.
///
/// # Shapes
/// x `[B, C, H, W]`, x₁ the first `keep` channels, z `[B, C·H·W]`.
pub struct SplitOff {
    keep: usize,
    /// The shape of x₂.
    out: Vec<usize>,
    rest: Composition,
}

impl SplitOff {
    /// A split of items of shape `item` behind the first `keep` channels, which `rest` maps to vectors.
    pub fn new(item: &[usize], keep: usize, rest: Composition) -> Self {
        let mut out = item.to_vec();
        out.iter_mut().take(1).for_each(|channels| *channels = channels.saturating_sub(keep));
        SplitOff { keep, out, rest }
    }

    /// The parts x₁ and x₂, the latter as a vector.
    fn parts(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let out = x.narrow(1, self.keep, x.dim(1)? - self.keep)?;
        Ok((x.narrow(1, 0, self.keep)?.contiguous()?, out.flatten_from(1)?))
    }

    /// The index in z at which x₂ begins, and its length.
    fn tail(&self, z: &Tensor) -> Result<(usize, usize)> {
        let size = self.out.iter().product::<usize>();
        Ok((z.dim(1)?.saturating_sub(size), size))
    }

    /// The part of z that comes from the rest, and x₂ as an image.
    fn unjoin(&self, z: &Tensor) -> Result<(Tensor, Tensor)> {
        let (start, size) = self.tail(z)?;
        let out = z.narrow(1, start, size)?.reshape([&[z.dim(0)?], self.out.as_slice()].concat())?;
        Ok((z.narrow(1, 0, start)?.contiguous()?, out))
    }
}

fn join(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    Ok(Tensor::cat(&[a, b], 1)?)
}

impl Bijection for SplitOff {
    fn forward(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let (kept, out) = self.parts(x)?;
        let (z, log_det) = self.rest.forward(&kept)?;
        Ok((join(&z, &out)?, log_det))
    }

    fn inverse(&self, z: &Tensor) -> Result<Tensor> {
        let (z, out) = self.unjoin(z)?;
        join(&self.rest.inverse(&z)?, &out)
    }

    fn inverse_vjp<'a>(&'a self, z: &Tensor) -> Result<(Tensor, InversePullback<'a>)> {
        let (z, out) = self.unjoin(z)?;
        let (kept, pull) = self.rest.inverse_vjp(&z)?;
        let back = move |g: &Tensor| {
            let (g_kept, g_out) = self.parts(g)?;
            join(&pull(&g_kept)?, &g_out)
        };
        Ok((join(&kept, &out)?, Box::new(back)))
    }

    fn vjp<'a>(&'a self, x: &Tensor) -> Result<(Tensor, Tensor, BijectionPullback<'a>)> {
        let (kept, out) = self.parts(x)?;
        let (z, log_det, pull) = self.rest.vjp(&kept)?;
        let back = move |g: &Tensor, l: &Tensor| {
            let (g, g_out) = self.unjoin(g)?;
            join(&pull(&g, l)?, &g_out)
        };
        Ok((join(&z, &out)?, log_det, Box::new(back)))
    }

    fn jvp(&self, x: &Jet) -> Result<(Jet, Jet)> {
        let (kept, out) = self.parts(x.stacked())?;
        let (z, log_det) = self.rest.jvp(&Jet::from_stacked(kept))?;
        Ok((z.linear(|z| join(z, &out))?, log_det))
    }

    fn curve(&self, x: &Curve) -> Result<(Curve, Curve)> {
        let kept = x.linear(|x| Ok(self.parts(x)?.0))?;
        let out = x.linear(|x| Ok(self.parts(x)?.1))?;
        let (z, log_det) = self.rest.curve(&kept)?;
        Ok((z.beside(&out, 1)?, log_det))
    }

    fn after_update(&self) -> Result<()> {
        self.rest.after_update()
    }
}

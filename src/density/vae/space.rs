//! The noise that a VAE's draws are made of, as a space of chains.

use candle_core::Tensor;

use super::{Decoder, Vae};
use crate::density::Gaussian;
use crate::density::noise_space::{NoiseSpace, Space, standard_normal};
use crate::{Result, rng::Key};

/// The VAE's draws as a function of the noise that they are made of. In noise space T(ε) = x and the potential is -log
/// N(ε; 0, I); in joint space the coordinates are (z, x) themselves and the potential is -log p(z, x), the ablation of
/// Xiao et al. 2021, B.1.
pub(super) struct VaeSpace<'a> {
    pub vae: &'a Vae,
    pub decoder: &'a Decoder,
    pub space: Space,
}

impl VaeSpace<'_> {
    /// The number P of coordinates of a point.
    fn size(&self) -> usize {
        self.vae.latent() + self.vae.item.iter().product::<usize>()
    }

    fn split(&self, at: &Tensor) -> Result<(Tensor, Tensor)> {
        let (rows, latent) = (at.dim(0)?, self.vae.latent());
        let x = at.narrow(1, latent, at.dim(1)? - latent)?;
        let shape: Vec<usize> = std::iter::once(rows).chain(self.vae.item.iter().copied()).collect();
        Ok((at.narrow(1, 0, latent)?, x.contiguous()?.reshape(shape)?))
    }
}

impl NoiseSpace for VaeSpace<'_> {
    fn start(&self, key: Key, n: usize) -> Result<Tensor> {
        let noise = key.normal((n, self.size()), self.vae.like.dtype(), self.vae.like.device())?;
        match self.space {
            Space::Joint => {
                let (eps, noise) = self.split(&noise)?;
                let z = self.vae.ladder.prior(&eps)?;
                let x = self.decoder.render(&z, &noise)?.flatten_from(1)?;
                Ok(Tensor::cat(&[z, x], 1)?.detach())
            }
            _ => Ok(noise),
        }
    }

    fn normal(&self) -> Result<Option<Gaussian>> {
        if self.space == Space::Joint {
            return Ok(None);
        }
        Gaussian::standard(self.size(), self.vae.like.dtype(), self.vae.like.device()).map(Some)
    }

    fn push(&self, at: &Tensor) -> Result<Tensor> {
        let (eps, second) = self.split(at)?;
        match self.space {
            Space::Joint => Ok(second),
            _ => self.decoder.render(&self.vae.ladder.prior(&eps)?, &second),
        }
    }

    fn quiet(&self, at: &Tensor) -> Result<Tensor> {
        let (eps, second) = self.split(at)?;
        match self.space {
            Space::Joint => Ok(second),
            _ => self.decoder.mean(&self.vae.ladder.prior(&eps)?),
        }
    }

    fn pulled(&self, at: &Tensor, on_x: &dyn Fn(&Tensor) -> Result<Tensor>) -> Result<(Tensor, Tensor)> {
        let (eps, second) = self.split(at)?;
        if self.space == Space::Joint {
            let of_x = on_x(&second)?.flatten_from(1)?;
            return Ok((second, Tensor::cat(&[eps.zeros_like()?, of_x], 1)?));
        }
        let (z, back_to_eps) = self.vae.ladder.prior_vjp(&eps)?;
        let (x, on_z, on_noise) = self.decoder.pulled(&z, &second, on_x)?;
        Ok((x, Tensor::cat(&[back_to_eps(&on_z)?, on_noise.flatten_from(1)?], 1)?))
    }

    fn base(&self, at: &Tensor) -> Result<(Tensor, Tensor)> {
        if self.space != Space::Joint {
            return standard_normal(at);
        }
        let (z, x) = self.split(at)?;
        let (of_prior, on_z) = self.vae.ladder.minus_log_prior(&z)?;
        let [of_x, on_z_too, on_x] = self.decoder.minus_log_likelihood(&x, &z)?;
        Ok(((of_prior + of_x)?, Tensor::cat(&[(on_z + on_z_too)?, on_x.flatten_from(1)?], 1)?))
    }
}

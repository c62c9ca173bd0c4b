//! The variational bound as a loss (Kingma & Welling 2014, eq. 10), with the usual weights on its second term.

use candle_core::{DType, Tensor};

use super::readings::{Readings, mean};
use crate::config::rule;
use crate::density::Vae;
use crate::metrics::{Number, Unit};
use crate::{Error, Result, rng::Key};

crate::config! {
    /// Keys of methods that train a VAE.
    pub struct ElboConfig {
        /// β, the weight of the KL term (β-VAE); 1 is the bound on log p(x).
        kl_weight: f64 = 1.0, rule::non_negative;
        /// Steps over which the KL term's weight rises from 0.
        kl_warmup: u64 = 0;
        /// Nats of KL, mean over the batch, that each group of latent coordinates has for free (Kingma et al. 2016).
        free_bits: f64 = 0.0, rule::non_negative;
    }
}

/// The numbers of [`ElboConfig::loss`].
pub(in crate::methods) const NUMBERS: [Number; 3] = [
    Number::new("elbo", Unit::Nats, "variational bound on log p(x), mean of the batch, without the loss's weights")
        .higher()
        .lead(),
    Number::new("kl", Unit::Nats, "KL divergence of q(z|x) from the prior, mean of the batch"),
    RECONSTRUCTION,
];

/// The number of the bound's first term.
pub(in crate::methods) const RECONSTRUCTION: Number =
    Number::new("reconstruction", Unit::Nats, "mean -log p(x|z) of the decoder").lower();

impl ElboConfig {
    /// The loss -log p(x|z) + β Σ_l max(KL_l, λ), mean over the items x `[B, ..]`, at step `step` of the VAE, as a
    /// scalar: KL_l is the divergence of latent group l, β its weight at this step and λ the free bits. The numbers are
    /// `elbo`, `kl` and `reconstruction` (-log p(x|z)) in nats an item, without weights. A conditional VAE is given c
    /// `[B, C]`.
    pub fn loss(&self, vae: &Vae, key: Key, step: u64, x: &Tensor, c: Option<&Tensor>) -> Result<(Tensor, Readings)> {
        let bound = vae.bound(key, x, c)?;
        let reconstruction = bound.log_likelihood.mean_all()?.neg()?;
        let rise = if step < self.kl_warmup { (step + 1) as f64 / self.kl_warmup as f64 } else { 1.0 };
        let mut loss = reconstruction.clone();
        let mut total = Tensor::zeros((), DType::F64, x.device())?;
        for kl in &bound.kl {
            let kl = kl.mean_all()?;
            total = (total + mean(&kl)?)?;
            let counted = if self.free_bits > 0.0 { kl.maximum(self.free_bits)? } else { kl };
            loss = (loss + (counted * (self.kl_weight * rise))?)?;
        }
        let minus = mean(&reconstruction)?;
        let elbo = (minus.neg()? - &total)?;
        let found = Readings::new().with("elbo", elbo).with("kl", total).with("reconstruction", minus);
        Ok((loss, found))
    }
}

/// The VAE that a method trains.
///
/// # Errors
/// The model has none; the error names the method.
pub(in crate::methods) fn vae_of<'a>(found: Option<&'a Vae>, method: &str) -> Result<&'a Vae> {
    found.ok_or_else(|| {
        Error::config(format!("method `{method}` needs a model with a variational autoencoder"))
            .hint("--set model.name=vae, or a model `tilted` with a base `vae`")
    })
}

//! The latent side of a VAE: groups of coordinates, each drawn given those before it, and their posteriors, which are
//! parametrised as a difference to the prior (Vahdat & Kautz 2020, "NVAE", §3.2).

use std::f64::consts::PI;

use candle_core::Tensor;

use crate::Result;
use crate::config::{Spec, rule};
use crate::nets::{Builder, Io, Network, Pass, Pullback};
use crate::ops;

crate::config! {
    /// Keys of a VAE's latent coordinates.
    pub struct LadderConfig {
        /// Coordinates of z in each group.
        latent: usize = 2, rule::at_least(1);
        /// Groups; each is drawn given those before it.
        groups: usize = 1, rule::at_least(1);
        /// Numbers that the encoder gives to the posteriors of several groups.
        features: usize = 64, rule::at_least(1);
    }
    parts {
        /// With several groups: the network that gives each group's prior from the groups before it, and its posterior
        /// from those and the encoder's features.
        head: "mlp" of crate::nets::schemas;
    }
}

impl LadderConfig {
    /// The number L of coordinates of all groups together.
    pub fn size(&self) -> usize {
        self.latent.saturating_mul(self.groups)
    }

    /// The number of the encoder's outputs.
    pub fn encoder_width(&self) -> usize {
        if self.groups == 1 { self.latent.saturating_mul(2) } else { self.features }
    }
}

/// The prior p(z) = Π_l N(z_l; μ_l(z_<l), σ_l²(z_<l)) with μ_1 = 0, σ_1 = 1, and the posterior q(z|x) = Π_l N(z_l;
/// μ_l + Δμ_l, (σ_l Δσ_l)²), where `z_l` is group l and `z_<l` are the groups before it (Vahdat & Kautz 2020, §3.2).
/// Means and log-widths are kept within ±5 by 5 tanh(·/5), as in NVAE.
pub struct Ladder {
    latent: usize,
    /// The networks of the priors of the groups after the first.
    priors: Vec<Network>,
    /// The networks of the posteriors of all groups, if there are several; with one group the encoder gives the
    /// posterior.
    posteriors: Vec<Network>,
}

/// A draw of q(z|x), with its divergence from the prior.
pub struct Draw {
    /// The draw z, `[B, L]`.
    pub z: Tensor,
    /// The KL divergence of every group, given the draw of the groups before it, `[B]` each.
    pub kl: Vec<Tensor>,
    /// The difference log p(z) - log q(z|x), `[B]`.
    pub log_ratio: Tensor,
}

impl Ladder {
    /// A ladder on new or on existing parameters, as the builder is.
    pub fn new(config: &LadderConfig, builder: &Builder) -> Result<Self> {
        let (latent, several) = (config.latent, config.groups > 1);
        let net = |name: String, spec: &Spec, input: usize| {
            Network::new(spec, &Io { input: vec![input], output: vec![2 * latent] }, &builder.sub(name))
        };
        let priors =
            (1..config.groups).map(|l| net(format!("prior.{l}"), &config.head, l * latent)).collect::<Result<_>>()?;
        let groups = if several { 0..config.groups } else { 0..0 };
        let posterior = |l: usize| net(format!("posterior.{l}"), &config.head, config.features + l * latent);
        Ok(Ladder { latent, priors, posteriors: groups.map(posterior).collect::<Result<_>>()? })
    }

    /// One power iteration of every spectral norm, in place.
    pub fn power_iterate(&self) -> Result<()> {
        self.priors.iter().chain(&self.posteriors).try_for_each(Network::power_iterate)
    }

    /// The number of groups.
    pub fn groups(&self) -> usize {
        self.priors.len() + 1
    }

    /// The number L of coordinates of all groups together.
    pub fn size(&self) -> usize {
        self.groups() * self.latent
    }

    /// The draw z of the prior made of the noise ε, `[B, L]` -> `[B, L]`.
    pub fn prior(&self, noise: &Tensor) -> Result<Tensor> {
        let mut z = self.group(noise, 0)?;
        for (l, net) in self.priors.iter().enumerate() {
            let (mean, log_std) = self.clamped(&net.forward(&z, Pass::EVAL)?)?;
            let next = (mean + (self.group(noise, l + 1)? * log_std.exp()?)?)?;
            z = Tensor::cat(&[z, next], 1)?;
        }
        Ok(z)
    }

    /// The draw z of the prior made of the noise ε, and the pull-back z̄ ↦ z̄·∂z/∂ε.
    pub fn prior_vjp(&self, noise: &Tensor) -> Result<(Tensor, Pullback<'_>)> {
        let mut z = self.group(noise, 0)?;
        let mut steps = Vec::with_capacity(self.priors.len());
        for (l, net) in self.priors.iter().enumerate() {
            let (raw, pull) = net.vjp(&z, Pass::EVAL)?;
            let (mean, log_std) = self.clamped(&raw)?;
            let std = log_std.exp()?;
            let spread = (self.group(noise, l + 1)? * &std)?;
            z = Tensor::cat(&[&z, &(&mean + &spread)?], 1)?;
            steps.push((pull, [mean, log_std, std, spread]));
        }
        let back = move |g: &Tensor| -> Result<Tensor> {
            let (mut g, mut parts) = (g.clone(), Vec::with_capacity(steps.len() + 1));
            for (pull, [mean, log_std, std, spread]) in steps.iter().rev() {
                let before = g.dim(1)? - self.latent;
                let here = g.narrow(1, before, self.latent)?;
                parts.push((&here * std)?);
                let on_raw = self.unclamp([mean, log_std], [&here, &(&here * spread)?])?;
                g = (g.narrow(1, 0, before)? + pull(&on_raw)?)?;
            }
            parts.push(g);
            parts.reverse();
            Ok(Tensor::cat(&parts, 1)?)
        };
        Ok((z, Box::new(back)))
    }

    /// The prior's energy -log p(z), `[B]`, and its gradient in z, `[B, L]`.
    pub fn minus_log_prior(&self, z: &Tensor) -> Result<(Tensor, Tensor)> {
        let top = self.group(z, 0)?;
        let (mut value, mut grad) = (half_square(&top)?, pad(&top, self.size())?);
        for (l, net) in self.priors.iter().enumerate() {
            let before = (l + 1) * self.latent;
            let (raw, pull) = net.vjp(&z.narrow(1, 0, before)?.contiguous()?, Pass::EVAL)?;
            let (mean, log_std) = self.clamped(&raw)?;
            let rate = log_std.neg()?.exp()?;
            let u = ((self.group(z, l + 1)? - &mean)? * &rate)?;
            value = ((value + half_square(&u)?)? + log_std.sum(1)?)?;
            let here = (&u * rate)?;
            let earlier = pull(&self.unclamp([&mean, &log_std], [&here.neg()?, &u.sqr()?.affine(-1.0, 1.0)?])?)?;
            grad = (grad + pad(&Tensor::cat(&[earlier, here], 1)?, self.size())?)?;
        }
        Ok((value.affine(1.0, 0.5 * self.size() as f64 * (2.0 * PI).ln())?, grad))
    }

    /// A draw of q(z|x) from the encoder's output and noise `[B, L]`; differentiable in the parameters.
    pub fn posterior(&self, encoded: &Tensor, noise: &Tensor) -> Result<Draw> {
        let mut z: Option<Tensor> = None;
        let (mut kl, mut log_ratio) = (Vec::with_capacity(self.groups()), None);
        for l in 0..self.groups() {
            let eps = self.group(noise, l)?;
            let raw = match (self.posteriors.get(l), &z) {
                (None, _) => encoded.clone(),
                (Some(net), None) => net.forward(encoded, Pass::EVAL)?,
                (Some(net), Some(z)) => net.forward(&Tensor::cat(&[encoded, z], 1)?, Pass::EVAL)?,
            };
            let (shift, log_width) = self.clamped(&raw)?;
            let prior = match (l.checked_sub(1).and_then(|i| self.priors.get(i)), &z) {
                (Some(net), Some(z)) => Some(self.clamped(&net.forward(z, Pass::EVAL)?)?),
                _ => None,
            };
            // In units of the prior's width: q is N(shift/σ, width²) around its mean.
            let shift = match &prior {
                Some((_, log_std)) => (shift * log_std.neg()?.exp()?)?,
                None => shift,
            };
            let u = (&shift + (&eps * log_width.exp()?)?)?;
            let width = (log_width.affine(2.0, 0.0)?.exp()? - log_width.affine(2.0, 1.0)?)?;
            kl.push((shift.sqr()? + width)?.sum(1)?.affine(0.5, 0.0)?);
            let ratio = ((half_square(&eps)? - half_square(&u)?)? + log_width.sum(1)?)?;
            log_ratio = Some(match log_ratio {
                Some(sum) => (ratio + sum)?,
                None => ratio,
            });
            let here = match &prior {
                Some((mean, log_std)) => (mean + (u * log_std.exp()?)?)?,
                None => u,
            };
            z = Some(match z {
                Some(z) => Tensor::cat(&[z, here], 1)?,
                None => here,
            });
        }
        let none = || crate::Error::Other("a VAE without groups".into());
        Ok(Draw { z: z.ok_or_else(none)?, kl, log_ratio: log_ratio.ok_or_else(none)? })
    }

    fn group(&self, all: &Tensor, l: usize) -> Result<Tensor> {
        Ok(all.narrow(1, l * self.latent, self.latent)?.contiguous()?)
    }

    /// The mean and log-width, `[B, d]` each, of a network's output `[B, 2d]`, kept within ±5.
    fn clamped(&self, raw: &Tensor) -> Result<(Tensor, Tensor)> {
        let soft = (raw.affine(1.0 / BOUND, 0.0)?.tanh()? * BOUND)?;
        Ok((soft.narrow(1, 0, self.latent)?, soft.narrow(1, self.latent, self.latent)?))
    }

    /// The gradient by the network's output, from those by the mean and the log-width.
    fn unclamp(&self, values: [&Tensor; 2], grads: [&Tensor; 2]) -> Result<Tensor> {
        let of = |v: &Tensor, g: &Tensor| -> Result<Tensor> { Ok((g * v.sqr()?.affine(-BOUND.powi(-2), 1.0)?)?) };
        Ok(Tensor::cat(&[of(values[0], grads[0])?, of(values[1], grads[1])?], 1)?)
    }
}

/// The bound of the absolute means and log-widths.
const BOUND: f64 = 5.0;

fn half_square(t: &Tensor) -> Result<Tensor> {
    Ok(ops::dot(t, t)?.affine(0.5, 0.0)?)
}

/// The tensor t with zeros on the right, up to `width` columns.
fn pad(t: &Tensor, width: usize) -> Result<Tensor> {
    Ok(t.pad_with_zeros(1, 0, width - t.dim(1)?)?)
}

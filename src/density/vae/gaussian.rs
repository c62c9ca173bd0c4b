//! The Gaussian likelihood of a VAE, N(x; g(z), σ²), with σ one number or a function of z.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::super::generator::{Squash, ordered};
use crate::config::{Spec, rule};
use crate::nets::{Builder, Init, Io, Layer as _, Network, Nonlinear, Pass};
use crate::ops;
use crate::{Error, Result};

/// The dependence of σ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Noise {
    /// A fixed number.
    Fixed,
    /// One learned number for all coordinates.
    #[default]
    Shared,
    /// A function of z, which the decoder gives for every coordinate.
    Network,
}

crate::config! {
    /// Keys of a Gaussian likelihood.
    pub struct GaussianKeys {
        /// What the decoder's mean is passed through: none, tanh (pixels on [-1, 1]) or sigmoid (pixels on [0, 1]).
        squash: Squash = Squash::None;
        /// σ of x given z: fixed, shared (one learned number) or network (the decoder gives it for every coordinate).
        noise: Noise = Noise::Shared;
        /// σ where it starts, or stays. With σ = √(γ/2) the bound is that of Σ(x - g)² + γ KL.
        sigma: f64 = 0.3, rule::positive;
        /// A learned σ is kept within these two numbers.
        sigma_range: [f64; 2] = [0.05, 2.7], ordered;
    }
}

/// The decoder x = g(z) + σ(z) ε with ε standard normal. log σ = low + (high - low)·sigmoid(s), so that it keeps to its
/// range [low, high]; s is a parameter called `sigma` or an output of the network.
pub struct Decoder {
    net: Network,
    squash: Option<Nonlinear>,
    noise: Noise,
    raw: Option<Tensor>,
    range: [f64; 2],
    start: f64,
    item: Vec<usize>,
}

impl Decoder {
    /// A decoder whose network g, as `net` specifies it, makes items of the shape `item` from z of `latent` numbers.
    ///
    /// # Errors
    /// σ lies outside its range, or the network does not fit.
    pub fn new(config: &GaussianKeys, net: &Spec, latent: usize, item: &[usize], builder: &Builder) -> Result<Self> {
        let [low, high] = config.sigma_range;
        let inside = low < config.sigma && config.sigma < high;
        if !inside && config.noise != Noise::Fixed {
            let sigma = config.sigma;
            return Err(Error::config(format!(
                "the decoder's sigma = {sigma} does not lie inside sigma_range = [{low}, {high}]"
            ))
            .at("sigma"));
        }
        let mut output = item.to_vec();
        if let (Noise::Network, Some(first)) = (config.noise, output.first_mut()) {
            *first *= 2;
        }
        let start = match config.noise {
            Noise::Fixed => config.sigma.ln(),
            _ => logit((config.sigma / low).ln() / (high / low).ln()),
        };
        let raw = match config.noise {
            Noise::Shared => Some(builder.weight("sigma", &[1], Init::Constant(start))?),
            _ => None,
        };
        Ok(Decoder {
            net: Network::new(net, &Io { input: vec![latent], output }, &builder.sub("net"))?,
            squash: config.squash.layer(),
            noise: config.noise,
            raw,
            range: config.sigma_range.map(f64::ln),
            start,
            item: item.to_vec(),
        })
    }

    /// One power iteration of every spectral norm of the network, in place.
    pub fn power_iterate(&self) -> Result<()> {
        self.net.power_iterate()
    }

    /// The mean g(z): `[B, L]` -> `[B, item..]`.
    pub fn mean(&self, z: &Tensor) -> Result<Tensor> {
        let (mean, _) = self.halves(&self.net.forward(z, Pass::EVAL)?)?;
        self.squash.as_ref().map_or(Ok(mean.clone()), |f| f.forward(&mean, Pass::EVAL))
    }

    /// The mean g(z) and log σ, both `[B, item..]`.
    pub fn both(&self, z: &Tensor) -> Result<(Tensor, Tensor)> {
        let (mean, raw) = self.halves(&self.net.forward(z, Pass::EVAL)?)?;
        let log_sigma = self.log_sigma(&raw, &mean)?;
        Ok((self.squash.as_ref().map_or(Ok(mean.clone()), |f| f.forward(&mean, Pass::EVAL))?, log_sigma))
    }

    /// The items g(z) + σ(z)·noise, `[B, item..]`.
    pub fn render(&self, z: &Tensor, noise: &Tensor) -> Result<Tensor> {
        let (mean, log_sigma) = self.both(z)?;
        Ok((mean + (noise * log_sigma.exp()?)?)?)
    }

    /// The log-likelihood log N(x; g(z), σ²), `[B]`.
    pub fn log_likelihood(&self, x: &Tensor, z: &Tensor) -> Result<Tensor> {
        let (mean, log_sigma) = self.both(z)?;
        let square = ((x - mean)?.sqr()? * log_sigma.affine(-2.0, 0.0)?.exp()?)?;
        let terms = (square.affine(0.5, 0.0)? + log_sigma)?;
        Ok(terms.flatten_from(1)?.sum(1)?.affine(-1.0, -half_log_two_pi(&self.item))?)
    }

    /// Minus the log-likelihood, -log p(x|z) `[B]`, its gradient in z and its gradient in x.
    pub fn minus_log_likelihood(&self, x: &Tensor, z: &Tensor) -> Result<[Tensor; 3]> {
        let out = self.net.vjp(z, Pass::EVAL)?;
        let parts = self.parts(&out.0)?;
        let residual = (x - &parts.mean)?;
        let rate = parts.log_sigma.affine(-2.0, 0.0)?.exp()?;
        let on_x = (&residual * &rate)?;
        let square = (&residual * &on_x)?;
        let value = (square.affine(0.5, 0.0)? + &parts.log_sigma)?.flatten_from(1)?.sum(1)?;
        let on_log_sigma = square.affine(-1.0, 1.0)?;
        let on_z = (out.1)(&parts.back(self, &on_x.neg()?, &on_log_sigma)?)?;
        Ok([value.affine(1.0, half_log_two_pi(&self.item))?, on_z, on_x])
    }

    /// The items x = render(z, noise), and x̄·∂x/∂z and x̄·∂x/∂noise for the x̄ that `on_x` returns for x.
    pub fn pulled(
        &self,
        z: &Tensor,
        noise: &Tensor,
        on_x: &dyn Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<(Tensor, Tensor, Tensor)> {
        let out = self.net.vjp(z, Pass::EVAL)?;
        let parts = self.parts(&out.0)?;
        let spread = (noise * parts.log_sigma.exp()?)?;
        let x = (&parts.mean + &spread)?;
        let g = on_x(&x)?;
        let on_z = (out.1)(&parts.back(self, &g, &(&g * spread)?)?)?;
        Ok((x, on_z, (g * parts.log_sigma.exp()?)?))
    }

    /// The mean and the raw width in the network's output; `None` for the width where the network gives none.
    fn halves(&self, out: &Tensor) -> Result<(Tensor, Option<Tensor>)> {
        if self.noise != Noise::Network {
            return Ok((out.clone(), None));
        }
        let half = out.dim(1)? / 2;
        Ok((out.narrow(1, 0, half)?, Some(out.narrow(1, half, half)?)))
    }

    fn log_sigma(&self, raw: &Option<Tensor>, like: &Tensor) -> Result<Tensor> {
        let [low, high] = self.range;
        let bounded = |s: &Tensor| -> Result<Tensor> { Ok(ops::activate(SIGMOID, s)?.affine(high - low, low)?) };
        match (self.noise, raw, &self.raw) {
            (Noise::Network, Some(raw), _) => bounded(&(raw + self.start)?),
            (Noise::Shared, _, Some(raw)) => Ok(bounded(raw)?.broadcast_as(like.dims())?),
            _ => Ok((like.zeros_like()? + self.start)?),
        }
    }

    fn parts<'a>(&'a self, out: &Tensor) -> Result<Parts<'a>> {
        let (mean, raw) = self.halves(out)?;
        let log_sigma = self.log_sigma(&raw, &mean)?;
        let (mean, back) = match &self.squash {
            Some(f) => {
                let (y, pull) = f.vjp(&mean, Pass::EVAL)?;
                (y, Some(pull))
            }
            None => (mean, None),
        };
        Ok(Parts { mean, log_sigma, back })
    }
}

const SIGMOID: ops::Activation = ops::Activation::Sigmoid;

struct Parts<'a> {
    mean: Tensor,
    log_sigma: Tensor,
    back: Option<crate::nets::Pullback<'a>>,
}

impl Parts<'_> {
    /// The gradient by the network's output, from those by the mean and by log σ.
    fn back(&self, decoder: &Decoder, on_mean: &Tensor, on_log_sigma: &Tensor) -> Result<Tensor> {
        let on_mean = match &self.back {
            Some(pull) => pull(on_mean)?,
            None => on_mean.clone(),
        };
        if decoder.noise != Noise::Network {
            return Ok(on_mean);
        }
        // With u in (0, 1) the share of the range: d log σ/ds = (high - low) u (1 - u).
        let [low, high] = decoder.range;
        let u = self.log_sigma.affine(1.0 / (high - low), -low / (high - low))?;
        let slope = (&u * u.affine(-1.0, 1.0)?)?.affine(high - low, 0.0)?;
        Ok(Tensor::cat(&[on_mean, (on_log_sigma * slope)?], 1)?)
    }
}

fn logit(p: f64) -> f64 {
    (p / (1.0 - p)).ln()
}

/// The number (D/2) log 2π for the D numbers of an item.
fn half_log_two_pi(item: &[usize]) -> f64 {
    0.5 * item.iter().product::<usize>() as f64 * (2.0 * std::f64::consts::PI).ln()
}

//! The implicit density of a generator: x = g(z) + σ ε with z, ε standard normal (Grathwohl et al. 2021, §3).

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use super::Proposal;
use crate::config::{Spec, rule};
use crate::nets::{Builder, Curve, Init, Io, Layer as _, Network, Nonlinear, Pass};
use crate::ops::Activation;
use crate::{Error, Result, math::normal_quantile, rng::Key};

/// The function behind the last layer of a generator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Squash {
    /// No function, for points or logits of pixels.
    #[default]
    None,
    /// The function tanh, for pixels on [-1, 1] (`dataset.transform = "scaled"`).
    Tanh,
    /// The logistic function, for pixels on [0, 1] (`dataset.transform = "unit"`).
    Sigmoid,
}

impl Squash {
    /// The function as a layer; `None` for none.
    pub(super) fn layer(self) -> Option<Nonlinear> {
        match self {
            Squash::None => None,
            Squash::Tanh => Some(Nonlinear::Fixed(Activation::Tanh)),
            Squash::Sigmoid => Some(Nonlinear::Fixed(Activation::Sigmoid)),
        }
    }
}

crate::config! {
    /// Keys of a generator, besides its network.
    pub struct GeneratorConfig {
        /// L, the number of latent coordinates.
        latent: usize = 128, rule::at_least(1);
        /// M, branches of the generator: the last latent coordinate falls into one of M cells of equal mass, and the
        /// network reads which one in its place, so that g may jump from one part of the data to another. 1: none.
        branches: usize = 1, rule::at_least(1);
        /// What the network's output is passed through: none, tanh (pixels on [-1, 1]) or sigmoid (pixels on [0, 1]).
        squash: Squash = Squash::None;
        /// σ where it starts; one learned number for all coordinates.
        sigma: f64 = 0.01, rule::positive;
        /// σ is kept within these two numbers.
        sigma_range: [f64; 2] = [0.01, 0.3], ordered;
    }
}

/// The rule for a range of σ: two finite numbers above 0 in ascending order.
pub(super) fn ordered(v: &[f64; 2]) -> rule::Complaint {
    let fine = v[0] > 0.0 && v[0] <= v[1] && v[1].is_finite();
    (!fine).then(|| format!("must be two numbers above 0, the smaller one first, got {v:?}"))
}

/// The generator x = g(z) + σ ε with z, ε standard normal (Grathwohl et al. 2021, §3). log σ is a parameter called
/// `log_sigma`.
pub struct Generator {
    config: GeneratorConfig,
    net: Network,
    squash: Option<Nonlinear>,
    log_sigma: Tensor,
    /// Where the cells of the last coordinate meet, `[M - 1]`.
    borders: Tensor,
    device: candle_core::Device,
    dtype: DType,
}

impl Generator {
    /// The name of log σ among the parameters.
    pub const LOG_SIGMA: &str = "log_sigma";

    /// A generator of items of the shape `item`, on new or on existing parameters, as the builder is.
    ///
    /// # Errors
    /// The network does not make such items from L numbers.
    pub fn new(config: &GeneratorConfig, net: &Spec, item: &[usize], builder: &Builder) -> Result<Self> {
        let branches = config.branches;
        if branches > 1 && config.latent < 2 {
            return Err(Error::config(format!(
                "a generator with {branches} branches needs a latent coordinate besides"
            ))
            .at("latent")
            .hint("set `latent` to 2 or more: the last coordinate chooses the branch"));
        }
        let read = if branches > 1 { config.latent - 1 + branches } else { config.latent };
        let io = Io { input: vec![read], output: item.to_vec() };
        let [low, high] = config.sigma_range;
        if !(low..=high).contains(&config.sigma) {
            let sigma = config.sigma;
            return Err(Error::config(format!(
                "the generator's sigma = {sigma} lies outside sigma_range = [{low}, {high}]"
            ))
            .at("sigma"));
        }
        Ok(Generator {
            net: Network::new(net, &io, &builder.sub("net"))?,
            log_sigma: builder.weight(Self::LOG_SIGMA, &[1], Init::Constant(config.sigma.ln()))?,
            squash: config.squash.layer(),
            borders: borders(branches, builder)?,
            config: config.clone(),
            device: builder.device().clone(),
            dtype: builder.dtype(),
        })
    }

    /// The number L of latent coordinates.
    pub fn latent(&self) -> usize {
        self.config.latent
    }

    /// One power iteration of every spectral norm of g, in place: to be called after an update.
    ///
    /// # Errors
    /// A tensor operation that failed.
    pub fn power_iterate(&self) -> Result<()> {
        self.net.power_iterate()
    }

    /// The current value of σ.
    pub fn sigma(&self) -> Result<f64> {
        Ok(self.log_sigma.to_dtype(DType::F64)?.exp()?.squeeze(0)?.to_scalar()?)
    }

    /// The bounds of log σ.
    pub fn log_sigma_range(&self) -> [f64; 2] {
        self.config.sigma_range.map(f64::ln)
    }

    /// Draws of z from the prior, `[n, L]`, standard normal.
    pub fn prior(&self, key: Key, n: usize) -> Result<Tensor> {
        key.normal((n, self.config.latent), self.dtype, &self.device)
    }

    /// The mean g(z): `[n, L]` -> `[n, item..]`, differentiable in the parameters and in z.
    pub fn mean(&self, z: &Tensor) -> Result<Tensor> {
        let y = self.net.forward(&self.read(z)?, Pass::EVAL)?;
        self.squash.as_ref().map_or(Ok(y.clone()), |f| f.forward(&y, Pass::EVAL))
    }

    /// The mean g(z), and the pull-back x̄·∂g/∂z of the x̄ that `cotangent` returns for g(z).
    ///
    /// # Shapes
    /// z `[n, L]`; g and x̄ `[n, item..]`; the second result `[n, L]`.
    pub fn pulled(&self, z: &Tensor, cotangent: impl Fn(&Tensor) -> Result<Tensor>) -> Result<(Tensor, Tensor)> {
        let (y, pull) = self.net.vjp(&self.read(z)?, Pass::EVAL)?;
        let pull = |g: &Tensor| self.read_back(&pull(g)?);
        let Some(f) = &self.squash else { return Ok((y.clone(), pull(&cotangent(&y)?)?)) };
        let (x, back) = f.vjp(&y, Pass::EVAL)?;
        let g = pull(&back(&cotangent(&x)?)?)?;
        Ok((x, g))
    }

    /// The mean along the line z + tv and its derivatives by t at t = 0, (g, g', g″), each `[n, item..]`.
    pub fn curve(&self, z: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        let mut y = self.net.layer().curve(&Curve::line(&self.read(z)?, &self.read_along(v)?)?, Pass::EVAL)?;
        if let Some(f) = &self.squash {
            y = f.curve(&y, Pass::EVAL)?;
        }
        Ok([y.value()?, y.first()?, y.second()?])
    }

    /// What the network reads of z `[n, L]`: z itself, or its first L - 1 coordinates and 1 for the cell of the last,
    /// `[n, L - 1 + M]`.
    fn read(&self, z: &Tensor) -> Result<Tensor> {
        if self.config.branches == 1 {
            return Ok(z.clone());
        }
        let free = self.config.latent - 1;
        let last = z.detach().narrow(1, free, 1)?;
        let above = last.broadcast_ge(&self.borders.unsqueeze(0)?)?.to_dtype(z.dtype())?;
        let ones = last.ones_like()?;
        let (from, to) = (Tensor::cat(&[&ones, &above], 1)?, Tensor::cat(&[&above, &last.zeros_like()?], 1)?);
        Ok(Tensor::cat(&[&z.narrow(1, 0, free)?, &(from - to)?], 1)?)
    }

    /// The derivative of [`Generator::read`] along v `[n, L]`: the cell does not move.
    fn read_along(&self, v: &Tensor) -> Result<Tensor> {
        if self.config.branches == 1 {
            return Ok(v.clone());
        }
        let still = Tensor::zeros((v.dim(0)?, self.config.branches), v.dtype(), v.device())?;
        Ok(Tensor::cat(&[&v.narrow(1, 0, self.config.latent - 1)?, &still], 1)?)
    }

    /// The pull-back of [`Generator::read`], `[n, L - 1 + M]` -> `[n, L]`.
    fn read_back(&self, g: &Tensor) -> Result<Tensor> {
        if self.config.branches == 1 {
            return Ok(g.clone());
        }
        let still = Tensor::zeros((g.dim(0)?, 1), g.dtype(), g.device())?;
        Ok(Tensor::cat(&[&g.narrow(1, 0, self.config.latent - 1)?, &still], 1)?)
    }

    /// The items x = g(z) + σ ε with ε = `noise`, differentiable in all parameters, σ included.
    ///
    /// # Shapes
    /// z `[n, L]`, noise `[n, item..]` standard normal, x as noise.
    pub fn render(&self, z: &Tensor, noise: &Tensor) -> Result<Tensor> {
        Ok((self.mean(z)? + noise.broadcast_mul(&self.log_sigma.exp()?)?)?)
    }
}

/// The numbers that divide the line into cells of equal mass under the standard normal, one fewer than the cells.
fn borders(cells: usize, builder: &Builder) -> Result<Tensor> {
    let borders: Vec<f64> = (1..cells).map(|k| normal_quantile(k as f64 / cells as f64)).collect();
    Ok(Tensor::new(borders, builder.device())?.to_dtype(builder.dtype())?)
}

impl Proposal for Generator {
    fn draw(&self, key: Key, n: usize) -> Result<Tensor> {
        let mean = self.mean(&self.prior(key.with("z"), n)?)?;
        let noise = key.with("noise").normal(mean.shape(), self.dtype, &self.device)?;
        Ok((mean + (noise * self.sigma()?)?)?)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::nets::{MlpConfig, Params};

    /// A generator of points in the plane with so many branches.
    fn generator(latent: usize, branches: usize) -> Result<(Generator, Params)> {
        let net = Spec::of("mlp", &MlpConfig { hidden: vec![7], ..MlpConfig::default() });
        let builder = Builder::new(Key::new(3), DType::F64, &Device::Cpu);
        let config = GeneratorConfig { latent, branches, ..GeneratorConfig::default() };
        Ok((Generator::new(&config, &net, &[2], &builder)?, builder.finish()))
    }

    #[test]
    fn every_branch_has_its_share_of_the_prior_and_reads_a_code_of_its_own() {
        let (generator, _) = generator(3, 5).unwrap();
        let z = generator.prior(Key::new(1), 20_000).unwrap();
        let read = generator.read(&z).unwrap();
        assert_eq!(read.dims(), [20_000, 7]);
        let codes = read.narrow(1, 2, 5).unwrap();
        let shares = codes.mean(0).unwrap().to_vec1::<f64>().unwrap();
        assert!(shares.iter().all(|share| (share - 0.2).abs() < 0.02), "{shares:?}");
        let rows = codes.to_vec2::<f64>().unwrap();
        assert!(
            rows.iter().all(|row| row.iter().filter(|v| **v == 1.0).count() == 1 && row.iter().sum::<f64>() == 1.0)
        );
    }

    #[test]
    fn the_pull_back_and_the_curve_are_the_derivatives_within_a_branch() {
        for (latent, branches) in [(3, 1), (3, 4)] {
            let (generator, _) = generator(latent, branches).unwrap();
            let normal =
                |name: &str, shape: &[usize]| Key::new(2).with(name).normal(shape, DType::F64, &Device::Cpu).unwrap();
            let (z, v, w) = (normal("z", &[4, latent]), normal("v", &[4, latent]), normal("w", &[4, 2]));
            let at = |step: f64| generator.mean(&(&z + (&v * step).unwrap()).unwrap()).unwrap();
            let h = 1e-6;
            let difference = ((at(h) - at(-h)).unwrap() / (2.0 * h)).unwrap();
            let sum = |t: &Tensor| t.sum_all().unwrap().to_scalar::<f64>().unwrap();
            let (_, pulled) = generator.pulled(&z, |_| Ok(w.clone())).unwrap();
            assert!((sum(&(pulled * &v).unwrap()) - sum(&(&difference * &w).unwrap())).abs() < 1e-7);
            let [_, first, _] = generator.curve(&z, &v).unwrap();
            assert!(sum(&(first - difference).unwrap().abs().unwrap()) < 1e-7);
        }
        assert!(generator(1, 4).is_err());
    }
}

//! The implicit density of a generator: x = g(z) + σ ε with z, ε standard normal (Grathwohl et al. 2021, §3).

use std::cell::RefCell;

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use super::noise_space::standard_normal;
use super::{Gaussian, NoiseSpace, Proposal};
use crate::config::{Spec, rule};
use crate::nets::{Builder, Curve, Init, Io, Layer as _, Network, Nonlinear, Pass};
use crate::ops::Activation;
use crate::{Error, Result, rng::Key};

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
    /// The shape of an item.
    item: Vec<usize>,
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
        let io = Io { input: vec![config.latent], output: item.to_vec() };
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
            item: item.to_vec(),
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
        let y = self.net.forward(z, Pass::EVAL)?;
        self.squash.as_ref().map_or(Ok(y.clone()), |f| f.forward(&y, Pass::EVAL))
    }

    /// The mean g(z), and the pull-back x̄·∂g/∂z of the x̄ that `cotangent` returns for g(z).
    ///
    /// # Shapes
    /// z `[n, L]`; g and x̄ `[n, item..]`; the second result `[n, L]`.
    pub fn pulled(&self, z: &Tensor, cotangent: impl Fn(&Tensor) -> Result<Tensor>) -> Result<(Tensor, Tensor)> {
        let (y, pull) = self.net.vjp(z, Pass::EVAL)?;
        let Some(f) = &self.squash else { return Ok((y.clone(), pull(&cotangent(&y)?)?)) };
        let (x, back) = f.vjp(&y, Pass::EVAL)?;
        let g = pull(&back(&cotangent(&x)?)?)?;
        Ok((x, g))
    }

    /// The mean along the line z + tv and its derivatives by t at t = 0, (g, g', g″), each `[n, item..]`.
    pub fn curve(&self, z: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        let mut y = self.net.layer().curve(&Curve::line(z, v)?, Pass::EVAL)?;
        if let Some(f) = &self.squash {
            y = f.curve(&y, Pass::EVAL)?;
        }
        Ok([y.value()?, y.first()?, y.second()?])
    }

    /// The items x = g(z) + σ ε with ε = `noise`, differentiable in all parameters, σ included.
    ///
    /// # Shapes
    /// z `[n, L]`, noise `[n, item..]` standard normal, x as noise.
    pub fn render(&self, z: &Tensor, noise: &Tensor) -> Result<Tensor> {
        Ok((self.mean(z)? + self.scaled(noise)?)?)
    }

    /// σ times a tensor.
    fn scaled(&self, noise: &Tensor) -> Result<Tensor> {
        Ok(noise.broadcast_mul(&self.log_sigma.exp()?)?)
    }
}

impl Proposal for Generator {
    fn draw(&self, key: Key, n: usize) -> Result<Tensor> {
        let mean = self.mean(&self.prior(key.with("z"), n)?)?;
        let noise = key.with("noise").normal(mean.shape(), self.dtype, &self.device)?;
        Ok((mean + (noise * self.sigma()?)?)?)
    }

    fn noise_space(&self) -> Option<Box<dyn NoiseSpace + '_>> {
        Some(Box::new(GeneratorSpace(self)))
    }
}

/// The generator's draws as a function of the noise that they are made of: T(z, ε) = g(z) + σ ε on points (z, ε), which
/// are standard normal.
struct GeneratorSpace<'a>(&'a Generator);

impl GeneratorSpace<'_> {
    /// The number P of coordinates of a point.
    fn size(&self) -> usize {
        self.0.latent() + self.0.item.iter().product::<usize>()
    }

    /// z `[n, L]` and σ ε `[n, item..]`.
    fn split(&self, at: &Tensor) -> Result<(Tensor, Tensor)> {
        let (rows, latent) = (at.dim(0)?, self.0.latent());
        let noise = self.0.scaled(&at.narrow(1, latent, at.dim(1)? - latent)?)?;
        Ok((at.narrow(1, 0, latent)?, noise.reshape([&[rows], self.0.item.as_slice()].concat())?))
    }
}

impl NoiseSpace for GeneratorSpace<'_> {
    fn start(&self, key: Key, n: usize) -> Result<Tensor> {
        key.normal((n, self.size()), self.0.dtype, &self.0.device)
    }

    fn push(&self, at: &Tensor) -> Result<Tensor> {
        let (z, noise) = self.split(at)?;
        Ok((self.0.mean(&z)? + noise)?)
    }

    fn quiet(&self, at: &Tensor) -> Result<Tensor> {
        self.0.mean(&self.split(at)?.0)
    }

    fn pulled(&self, at: &Tensor, on_x: &dyn Fn(&Tensor) -> Result<Tensor>) -> Result<(Tensor, Tensor)> {
        let (z, noise) = self.split(at)?;
        let found = RefCell::new(None);
        let (_, on_z) = self.0.pulled(&z, |mean| {
            let x = (mean + &noise)?;
            let slope = on_x(&x)?;
            found.replace(Some((x, slope.clone())));
            Ok(slope)
        })?;
        let (x, slope) = found.into_inner().ok_or_else(|| Error::Other("a generator that made no item".into()))?;
        Ok((x, Tensor::cat(&[on_z, self.0.scaled(&slope.flatten_from(1)?)?], 1)?))
    }

    fn normal(&self) -> Result<Option<Gaussian>> {
        Gaussian::standard(self.size(), self.0.dtype, &self.0.device).map(Some)
    }

    fn base(&self, at: &Tensor) -> Result<(Tensor, Tensor)> {
        standard_normal(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::density::{Context, Energy as _, Model, Potential};
    use crate::nets;

    const CPU: candle_core::Device = candle_core::Device::Cpu;

    /// V(ε) = E(T(ε)) + ½|ε|² + a constant, or E(T(ε)) alone; its gradient is that by differences.
    #[test]
    fn the_potential_over_its_noise_is_the_energy_of_the_draws() {
        let net = Spec::of_text(nets::schemas, "mlp", "hidden = [7]\nactivation = \"tanh\"").unwrap();
        let config = GeneratorConfig { latent: 2, sigma: 0.2, squash: Squash::Tanh, ..GeneratorConfig::default() };
        let builder = Builder::new(Key::new(1), DType::F64, &CPU);
        let generator = Generator::new(&config, &net, &[3], &builder).unwrap();
        let keys = "base = \"none\"\nnet = { name = \"mlp\", hidden = [6], activation = \"tanh\" }";
        let context = Context { shape: vec![3], classes: None, moments: None };
        let energy = Spec::of_text(crate::density::schemas, "neural", keys).unwrap();
        let energy = Model::new(&energy, &context, Key::new(2), DType::F64, &CPU).unwrap().frozen().unwrap();
        let space = || generator.noise_space().unwrap();
        let at = space().start(Key::new(3), 20).unwrap();
        assert_eq!(at.dims(), [20, 5]);
        let (draws, z) = (space().push(&at).unwrap(), at.narrow(1, 0, 2).unwrap());
        let noise = (at.narrow(1, 2, 3).unwrap() * 0.2).unwrap();
        let apart = (draws.clone() - (generator.mean(&z).unwrap() + noise).unwrap()).unwrap().abs().unwrap();
        assert!(apart.max_all().unwrap().to_scalar::<f64>().unwrap() < 1e-12);
        let host = |t: Tensor| t.detach().to_vec1::<f64>().unwrap();
        let bare = host(energy.energy(&draws).unwrap());
        let v = Key::new(4).normal(at.dims().to_vec(), DType::F64, &CPU).unwrap();
        for flat in [false, true] {
            let potential = match flat {
                true => Potential::alone(space(), Box::new(&energy)),
                false => Potential::new(space(), Some(Box::new(&energy))).unwrap(),
            };
            let along = |h: f64| host(potential.energy(&(&at + (&v * h).unwrap()).unwrap()).unwrap());
            let (value, grad) = potential.grad(&at).unwrap();
            let slope = host((grad * &v).unwrap().sum(1).unwrap());
            let (up, down, value) = (along(1e-5), along(-1e-5), host(value));
            let of_noise =
                host(at.sqr().unwrap().sum(1).unwrap().affine(0.5, 2.5 * std::f64::consts::TAU.ln()).unwrap());
            for i in 0..20 {
                let want = bare[i] + if flat { 0.0 } else { of_noise[i] };
                assert!((value[i] - want).abs() < 1e-9 * (1.0 + want.abs()), "{} and {want}", value[i]);
                let by_differences = (up[i] - down[i]) / 2e-5;
                assert!((slope[i] - by_differences).abs() < 1e-6 * (1.0 + slope[i].abs()));
            }
        }
    }
}

//! The variational autoencoder as a density: p(x) = ∫ N(x; g(z), σ²) p(z) dz, with an encoder q(z|x) that bounds and
//! estimates it (Kingma & Welling 2014; in groups with residual posteriors: Vahdat & Kautz 2020, "NVAE", §3).

mod estimate;
mod gaussian;
mod ladder;
mod likelihood;
mod logistic;
mod marginal;
mod space;

pub use gaussian::Decoder;
use ladder::{Ladder, LadderConfig};
pub use likelihood::Likelihood;
use likelihood::LikelihoodConfig;
pub use logistic::LogisticDecoder;
use logistic::LogisticKeys;
use space::VaeSpace;

use candle_core::Tensor;

use super::{
    ANY_ITEMS, Capabilities, Density, Energy, ModelRow, NoiseSpace, Proposal, laplacian_along_axes, noise_space::Space,
    slope_of_grad,
};
use crate::config::{Schema, Spec, decode, rule};
use crate::nets::{Builder, Io, Network, Pass};
use crate::{Error, Result, rng::Key};

crate::config! {
    /// How a VAE's log p(x) is computed, and its encoder.
    pub struct VaeConfig {
        /// Nodes along each axis of the quadrature over z that gives log p(x) exactly where z has one or two
        /// coordinates.
        nodes: usize = 128, rule::at_least(2);
        /// Draws of q(z|x) in the importance-weighted estimate of log p(x) where z has more.
        particles: usize = 64, rule::at_least(1);
    }
    parts {
        /// The encoder: item -> mean and log-width of q(z|x), or, with several groups, features.
        encoder: "mlp" of crate::nets::schemas;
    }
}

/// All keys of the model `vae`.
type Keys = (VaeConfig, LikelihoodConfig, LogisticKeys, gaussian::GaussianKeys, LadderConfig);

pub(super) const ENTRY: ModelRow = ModelRow {
    name: "vae",
    about: "p(x) = ∫ N(x; g(z), σ²) p(z) dz with an encoder; z in one group or several with residual posteriors",
    cite: "Kingma & Welling 2014, \"Auto-encoding variational Bayes\"; groups: Vahdat & Kautz 2020, arXiv 2007.03898",
    schema: Schema::of::<Keys>(),
    init: &[],
    example: "nodes = 7\nnoise = \"network\"\nsquash = \"tanh\"\nencoder = { name = \"mlp\", hidden = [6] }\n\
              decoder = { name = \"mlp\", hidden = [6] }",
    items: ANY_ITEMS,
    build: |table, context, builder| Ok(Box::new(Vae::of_table(table, &context.shape, 0, builder)?)),
};

/// The model [`Vae`] as a part of a method.
pub fn schemas() -> Vec<(&'static str, Schema)> {
    vec![(ENTRY.name, ENTRY.schema)]
}

/// The variational autoencoder: an encoder q(z|x), a prior p(z) and a decoder p(x|z) (Kingma & Welling 2014).
///
/// # Shapes
/// z `[B, L]`, all groups side by side; the noise behind a draw is ε = (ε_z, ε_x), `[B, L + D]`, for items of D
/// numbers. A conditional VAE sees c `[B, C]` in encoder and decoder, p(x|c) = ∫ N(x; g(z, c), σ²) p(z) dz; it is no
/// energy.
pub struct Vae {
    config: VaeConfig,
    encoder: Network,
    ladder: Ladder,
    decoder: Likelihood,
    item: Vec<usize>,
    like: Tensor,
}

/// The parts of a variational bound, each differentiable in the parameters.
pub struct Bound {
    /// The log-likelihood log p(x|z) at a draw z of q(z|x), `[B]`.
    pub log_likelihood: Tensor,
    /// The divergence KL(q(z_l | x, z_<l) ‖ p(z_l | z_<l)) of every group l, `[B]` each.
    pub kl: Vec<Tensor>,
}

impl Vae {
    /// A VAE of items of the shape `item`, given `condition` numbers or none, on new or on existing parameters, as the
    /// builder is.
    ///
    /// # Errors
    /// The networks do not fit, such as a conditional encoder that does not read a vector.
    pub fn new(spec: &Spec, item: &[usize], condition: usize, builder: &Builder) -> Result<Self> {
        spec.within(Self::of_table(&spec.table, item, condition, builder))
    }

    fn of_table(table: &toml::Table, item: &[usize], condition: usize, builder: &Builder) -> Result<Self> {
        let (config, choice, logistic, gaussian, of_ladder): Keys = decode(table)?;
        let likelihood = (choice, logistic, gaussian);
        let (item, dim) = (item.to_vec(), item.iter().product::<usize>());
        let input = if condition > 0 { vec![dim + condition] } else { item.clone() };
        let io = Io { input, output: vec![of_ladder.encoder_width()] };
        Ok(Vae {
            encoder: Network::new(&config.encoder, &io, &builder.sub("encoder"))?,
            decoder: Likelihood::new(&likelihood, of_ladder.size() + condition, &item, &builder.sub("decoder"))?,
            ladder: Ladder::new(&of_ladder, &builder.sub("ladder"))?,
            config,
            item,
            like: Tensor::zeros(1, builder.dtype(), builder.device())?,
        })
    }

    /// The number L of latent coordinates in all groups together.
    pub fn latent(&self) -> usize {
        self.ladder.size()
    }

    /// The decoder, which carries z to x.
    pub fn decoder(&self) -> &Likelihood {
        &self.decoder
    }

    /// The variational bound log p(x|z) - KL in parts, with z drawn from q(z|x) by `key` (Kingma & Welling 2014, eq.
    /// 8).
    ///
    /// # Shapes
    /// x `[B, item..]`, c `[B, C]`.
    pub fn bound(&self, key: Key, x: &Tensor, c: Option<&Tensor>) -> Result<Bound> {
        let noise = key.normal((x.dim(0)?, self.latent()), x.dtype(), x.device())?;
        let draw = self.ladder.posterior(&self.encode(x, c)?, &noise)?;
        Ok(Bound { log_likelihood: self.decoder.log_likelihood(x, &given(&draw.z, c)?)?, kl: draw.kl })
    }

    /// The decoder's mean g(z, c), `[B, item..]`.
    pub fn mean(&self, z: &Tensor, c: Option<&Tensor>) -> Result<Tensor> {
        self.decoder.mean(&given(z, c)?)
    }

    /// The log-likelihood log p(x|z, c), `[B]`.
    pub fn log_likelihood(&self, x: &Tensor, z: &Tensor, c: Option<&Tensor>) -> Result<Tensor> {
        self.decoder.log_likelihood(x, &given(z, c)?)
    }

    /// Draws of z from the prior, `[n, L]`.
    pub fn prior(&self, key: Key, n: usize) -> Result<Tensor> {
        self.ladder.prior(&key.normal((n, self.latent()), self.like.dtype(), self.like.device())?)
    }

    fn encode(&self, x: &Tensor, c: Option<&Tensor>) -> Result<Tensor> {
        match c {
            Some(_) => self.encoder.forward(&given(&x.flatten_from(1)?, c)?, Pass::EVAL),
            None => self.encoder.forward(x, Pass::EVAL),
        }
    }

    /// The Gaussian decoder, through which items can be moved; an error for the other family.
    fn smooth(&self) -> Result<&Decoder> {
        self.decoder.gaussian().ok_or_else(|| {
            Error::config("a VAE with `likelihood = \"discretised_logistic\"` has no slope in x, which this asks for")
                .at_path("model.likelihood")
                .hint("give it `likelihood = \"gaussian\"`")
        })
    }
}

/// The latent z, with c beside it where there is one.
fn given(z: &Tensor, c: Option<&Tensor>) -> Result<Tensor> {
    match c {
        Some(c) => Ok(Tensor::cat(&[z, c], 1)?),
        None => Ok(z.clone()),
    }
}

/// The energy E(x) = -log p(x): by quadrature for one group of one or two latent coordinates; else by the
/// importance-weighted estimate with fixed particles z_k of normalised weights w̄_k, whose gradient follows from
/// Fisher's identity, ∇x E = -Σ w̄_k ∇x log p(x|z_k).
impl Energy for Vae {
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        if self.decoder.gaussian().is_none() {
            let log_p = self.importance_weighted(self.key(), x, self.config.particles)?;
            return Ok(log_p.neg()?.to_dtype(x.dtype())?);
        }
        first(self.by_chunks(x, |mixture, x| Ok(vec![mixture.energy(x)?]))?)
    }

    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let found = self.by_chunks(x, |mixture, x| Ok(mixture.grad(x)?.into()))?;
        let [energy, grad] = found.try_into().map_err(|_| no_items())?;
        Ok((energy, grad.reshape(x.dims())?))
    }

    fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        slope_of_grad(self, x, v)
    }

    fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        let both = Tensor::stack(&[x, v], 1)?;
        let found = self.by_chunks(&both, |mixture, both| {
            let half = |i: usize| -> Result<Tensor> { Ok(both.narrow(1, i, 1)?.squeeze(1)?) };
            Ok(mixture.curvature(&half(0)?, &half(1)?)?.into())
        })?;
        found.try_into().map_err(|_| no_items())
    }

    fn laplacian(&self, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        laplacian_along_axes(self, x)
    }
}

impl Capabilities for Vae {
    fn after_update(&self) -> Result<()> {
        self.encoder.power_iterate().and_then(|()| self.ladder.power_iterate())?;
        self.decoder.power_iterate()
    }

    fn base_sample(&self, key: Key, n: usize) -> Result<Option<Tensor>> {
        self.sample(key, n).map(Some)
    }

    fn density(&self) -> Option<&dyn Density> {
        self.exact().then_some(self)
    }

    fn vae(&self) -> Option<&Vae> {
        Some(self)
    }

    fn noise_space(&self, space: Space) -> Option<Box<dyn NoiseSpace + '_>> {
        let decoder = self.decoder.gaussian()?;
        Some(Box::new(VaeSpace { vae: self, decoder, space }))
    }
}

impl Density for Vae {
    fn log_prob(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.energy(x)?.neg()?)
    }

    fn sample(&self, key: Key, n: usize) -> Result<Tensor> {
        match &self.decoder {
            Likelihood::Gaussian(decoder) => {
                let space = VaeSpace { vae: self, decoder, space: Space::Noise };
                Ok(space.push(&space.start(key, n)?)?.detach())
            }
            Likelihood::Logistic(decoder) => decoder.draw(key.with("x"), &self.prior(key, n)?),
        }
    }
}

/// The draws without the decoder's noise, from which chains start in cooperative training.
impl Proposal for Vae {
    fn draw(&self, key: Key, n: usize) -> Result<Tensor> {
        Ok(self.decoder.mean(&self.prior(key, n)?)?.detach())
    }

    fn noise_space(&self) -> Option<Box<dyn NoiseSpace + '_>> {
        Capabilities::noise_space(self, Space::Noise)
    }

    fn log_density(&self, x: &Tensor) -> Result<Option<Tensor>> {
        self.exact().then(|| self.log_prob(x)).transpose()
    }
}

fn first(found: Vec<Tensor>) -> Result<Tensor> {
    found.into_iter().next().ok_or_else(no_items)
}

fn no_items() -> Error {
    Error::Other("an energy of no items".into())
}

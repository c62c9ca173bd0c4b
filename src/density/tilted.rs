//! A network that tilts a density which is drawn from exactly: p(x) ∝ p₀(x) exp(-f(x)). With a VAE as p₀ this is VAEBM
//! (Xiao et al. 2021), with a flow NT-EBM's tilted flow (Nijkamp et al. 2022).

use std::sync::Arc;

use candle_core::Tensor;

use super::noise_space::{Function, NoiseSpace, Space};
use super::{BuildModel, Context, Density, Energy, Vae, flow, gaussian, vae};
use crate::config::{Entry, Schema, decode, find};
use crate::nets::{Builder, Io, Jet, Network, Pass};
use crate::{Error, Result, rng::Key};

crate::config! {
    /// Keys of the model `tilted`.
    pub struct TiltedConfig {}
    parts {
        /// The network f: item -> scalar.
        net: "mlp" of crate::nets::schemas;
        /// The density p₀ that is tilted.
        base: "vae" of base_schemas;
    }
}

/// The models that can be tilted: those that give exact draws.
const BASES: &[Entry<BuildModel>] =
    &[vae::ENTRY, gaussian::ENTRY, flow::NICE, flow::REAL_NVP, flow::SPLINE, flow::GLOW];

/// The rows of [`BASES`] for the configuration.
fn base_schemas() -> Vec<(&'static str, Schema)> {
    BASES.iter().map(|row| (row.name, row.schema)).collect()
}

pub(super) const ENTRY: Entry<BuildModel> = Entry {
    name: "tilted",
    about: "E(x) = f(x) - log p₀(x): a network tilting a density that is drawn from exactly, such as a VAE (VAEBM) or a flow",
    cite: "Xiao, Kreis, Kautz, Vahdat 2021, \"VAEBM: a symbiosis between variational autoencoders and energy-based models\", \
           ICLR, eq. 5; arXiv 2010.00654",
    schema: Schema::of::<TiltedConfig>(),
    build: |table, context, builder| Ok(Box::new(Tilted::new(&decode(table)?, context, builder)?)),
};

/// E(x) = f(x) - log p₀(x). Parameters of f are under `net.`, those of p₀ under `base.`.
pub struct Tilted {
    net: Arc<Network>,
    base: Arc<dyn Energy>,
    pass: Pass,
}

impl Tilted {
    /// New or on existing parameters, as the builder is.
    ///
    /// # Errors
    /// A network or base that does not fit the items.
    pub fn new(config: &TiltedConfig, context: &Context, builder: &Builder) -> Result<Self> {
        let row = find(BASES, config.base.name())
            .ok_or_else(|| Error::Other(format!("unknown base density `{}`", config.base.name())))?;
        let base: Box<dyn Energy> = (row.build)(&config.base.0, context, &builder.sub("base"))?;
        let net = Network::new(&config.net, &Io::scalar(&context.shape), &builder.sub("net"))?;
        Ok(Tilted { net: Arc::new(net), base: base.into(), pass: Pass::EVAL })
    }
}

impl Energy for Tilted {
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        Ok((self.net.forward(x, self.pass)? + self.base.energy(x)?)?)
    }

    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let (f, slope) = self.net.grad(x, self.pass)?;
        let (base, base_slope) = self.base.grad(x)?;
        Ok(((f + base)?, (slope + base_slope)?))
    }

    fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let jet = self.net.jvp(&Jet::new(x, v)?, self.pass)?;
        let (base, slope) = self.base.directional(x, v)?;
        Ok(((jet.value()? + base)?, (jet.tangent()? + slope)?))
    }

    fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        let [f, slope, bend] = self.net.curve(x, v, self.pass)?;
        let [base, base_slope, base_bend] = self.base.curvature(x, v)?;
        Ok([(f + base)?, (slope + base_slope)?, (bend + base_bend)?])
    }

    fn residual(&self, x: &Tensor) -> Result<Tensor> {
        self.net.forward(x, self.pass)
    }

    fn in_training(&self, key: Key) -> Option<Box<dyn Energy>> {
        Some(Box::new(Tilted { net: self.net.clone(), base: self.base.clone(), pass: Pass::train(key) }))
    }

    fn after_update(&self) -> Result<()> {
        self.net.power_iterate()?;
        self.base.after_update()
    }

    fn base_sample(&self, key: Key, n: usize) -> Result<Option<Tensor>> {
        self.base.base_sample(key, n)
    }

    fn base(&self) -> Option<&dyn Density> {
        self.base.density()
    }

    fn vae(&self) -> Option<&Vae> {
        self.base.vae()
    }

    fn noise_space(&self, space: Space) -> Option<Box<dyn NoiseSpace + '_>> {
        self.base.noise_space(space)
    }

    fn tilt(&self) -> Option<Function<'_>> {
        Some(Box::new(|x| self.net.grad(x, self.pass)))
    }
}

//! The neural energy, alone or tilting a learned Gaussian, which LSD trains (Grathwohl et al. 2020, §5 and appendix B).

use std::sync::Arc;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::noise_space::{NoiseSpace, Space};
use super::{ANY_ITEMS, Capabilities, Density, Energy, Form, Gaussian, ModelRow, OfNet, Vae, laplacian_along_axes};
use crate::config::{Schema, decode, rule};
use crate::nets::{Io, Jet, Network, Pass};
use crate::{Result, rng::Key};

/// The density that the network's energy tilts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Base {
    /// The normal density N(μ, diag σ²), learned, which starts at the data's moments.
    #[default]
    Diagonal,
    /// The normal density N(μ, σ² I) with one μ and one σ for all coordinates, learned (released LSD code, images).
    Scalar,
    /// No density: the network alone must make exp(-E) integrable.
    None,
}

crate::config! {
    /// Keys of the model `neural`.
    pub struct NeuralConfig {
        /// Density that the network tilts: diagonal, scalar or none. A swish network grows linearly at most, so without
        /// a base nothing makes exp(-E) integrable.
        base: Base = Base::Diagonal;
        /// Added to the data's standard deviation where the base starts (released LSD code, images: 1). Chains with a
        /// drift d are stable where the sum is above √(d/2); a coordinate that never changes has 0.001 without it.
        base_widen: f64 = 0.0, rule::non_negative;
    }
    parts {
        /// The network g: item -> scalar, in E(x) = g(x) - log N(x; μ, σ²).
        net: "mlp" of crate::nets::schemas;
    }
}

pub(super) const ENTRY: ModelRow = ModelRow {
    name: "neural",
    about: "E(x) = g(x) - log N(x; μ, σ²): a network tilting a learned Gaussian",
    cite: "Grathwohl et al. 2020, section 5; arXiv 2002.05616",
    schema: Schema::of::<NeuralConfig>(),
    init: &[("base_widen", "1.0")],
    example: "",
    items: ANY_ITEMS,
    build: |table, context, builder| {
        let config: NeuralConfig = decode(table)?;
        let net = Network::new(&config.net, &Io::scalar(&context.shape), &builder.sub("net"))?;
        let base = match config.base {
            Base::Diagonal => Some(Gaussian::of_data(context, config.base_widen, &builder.sub("base"))?),
            Base::Scalar => Some(Gaussian::of_data_scalar(context, config.base_widen, &builder.sub("base"))?),
            Base::None => None,
        };
        Ok(Box::new(Neural {
            net: Arc::new(net),
            base: base.map(|base| Arc::new(base) as Arc<dyn Capabilities>),
            pass: Pass::EVAL,
        }))
    },
};

/// The energy E(x) = g(x) - log p₀(x) of a network g that tilts a density p₀, or g(x) alone (Grathwohl et al. 2020,
/// LSD, §5). The sign is that of an energy: the released LSD code's network is -g. The parameters of g are below
/// `net.`, those of p₀ below `base.`.
pub struct Neural {
    net: Arc<Network>,
    base: Option<Arc<dyn Capabilities>>,
    pass: Pass<'static>,
}

impl Neural {
    /// The energy of a network that tilts the density `base`.
    pub fn tilting(net: Network, base: Box<dyn Capabilities>) -> Self {
        Neural { net: Arc::new(net), base: Some(base.into()), pass: Pass::EVAL }
    }
}

impl Energy for Neural {
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        let energy = self.net.forward(x, self.pass)?;
        match &self.base {
            Some(base) => Ok((energy + base.energy(x)?)?),
            None => Ok(energy),
        }
    }

    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let (energy, grad) = self.net.grad(x, self.pass)?;
        let Some(base) = &self.base else { return Ok((energy, grad)) };
        let (base_energy, base_grad) = base.grad(x)?;
        Ok(((energy + base_energy)?, (grad + base_grad)?))
    }

    fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let jet = self.net.jvp(&Jet::new(x, v)?, self.pass)?;
        let (energy, slope) = (jet.value()?, jet.tangent()?);
        let Some(base) = &self.base else { return Ok((energy, slope)) };
        let (base_energy, base_slope) = base.directional(x, v)?;
        Ok(((energy + base_energy)?, (slope + base_slope)?))
    }

    fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        let [energy, slope, bend] = self.net.curve(x, v, self.pass)?;
        let Some(base) = &self.base else { return Ok([energy, slope, bend]) };
        let [base_energy, base_slope, base_bend] = base.curvature(x, v)?;
        Ok([(energy + base_energy)?, (slope + base_slope)?, (bend + base_bend)?])
    }

    fn laplacian(&self, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        laplacian_along_axes(self, x)
    }
}

impl Capabilities for Neural {
    fn in_training(&self, key: Key) -> Option<Box<dyn Capabilities>> {
        Some(Box::new(Neural { net: self.net.clone(), base: self.base.clone(), pass: Pass::train(key) }))
    }

    fn after_update(&self) -> Result<()> {
        self.net.power_iterate()?;
        self.base.as_ref().map_or(Ok(()), |base| base.after_update())
    }

    fn calibrate(&self, items: &dyn Fn() -> Result<Tensor>) -> Result<()> {
        self.net.calibrate(items)
    }

    fn form(&self) -> Option<Form<'_>> {
        let base = self.base.as_ref().map(|base| base.form());
        let net = Some(&*self.net);
        match base {
            None => Some(Form { net, of_net: OfNet::NUMBER, normal: None, ladder: None }),
            Some(base) => base.filter(|base| base.net.is_none()).map(|base| Form { net, ..base }),
        }
    }

    fn base(&self) -> Option<&dyn Density> {
        self.base.as_ref().and_then(|base| base.density())
    }

    fn base_sample(&self, key: Key, n: usize) -> Result<Option<Tensor>> {
        self.base.as_ref().map_or(Ok(None), |base| base.base_sample(key, n))
    }

    fn vae(&self) -> Option<&Vae> {
        self.base.as_ref().and_then(|base| base.vae())
    }

    fn noise_space(&self, space: Space) -> Option<Box<dyn NoiseSpace + '_>> {
        self.base.as_ref().and_then(|base| base.noise_space(space))
    }

    fn tilt(&self) -> Option<Box<dyn Energy + '_>> {
        let tilt = || Neural { net: self.net.clone(), base: None, pass: self.pass };
        self.base.as_ref().map(|_| Box::new(tilt()) as Box<dyn Energy>)
    }
}

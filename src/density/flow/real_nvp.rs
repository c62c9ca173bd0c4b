//! RealNVP on vectors: affine couplings with normalisation between them (Dinh et al. 2017).

use super::assembly::{Assembly, Conditioner, layers};
use super::{Flow, Kind, Mask, Prior};
use crate::Result;
use crate::config::{Schema, decode, rule};
use crate::density::{ANY_ITEMS, Context, ModelRow};
use crate::nets::{Builder, NonlinearName};

crate::config! {
    /// Keys of the model `real_nvp`.
    pub struct RealNvpConfig {
        /// Coupling layers; halves alternate.
        couplings: usize = 8, layers;
        /// Units of each hidden layer of the couplings' networks.
        hidden: Vec<usize> = vec![64, 64], rule::sizes;
        /// Their non-linearity. Methods that use second derivatives want a smooth one, such as softplus.
        activation: NonlinearName = NonlinearName::Relu;
        /// Bound on a coupling's log-scale: s = scale_cap·tanh(a/scale_cap).
        scale_cap: f64 = 2.0, rule::positive;
        /// What is coupled to what: half, or checkerboard (every other coordinate of a vector).
        mask: Mask = Mask::Checkerboard;
        /// Prior of the latent coordinates: gaussian or logistic.
        prior: Prior = Prior::Gaussian;
    }
}

pub(in crate::density) const ENTRY: ModelRow = ModelRow {
    name: "real_nvp",
    about: "flow of affine couplings with perceptrons, on vectors (2-D too) or flattened images",
    cite: "Dinh, Sohl-Dickstein & Bengio 2017, Density estimation using Real NVP; arXiv 1605.08803",
    schema: Schema::of::<RealNvpConfig>(),
    init: &[],
    example: "hidden = [8]\ncouplings = 3",
    items: ANY_ITEMS,
    build: |table, context, builder| Ok(Box::new(flow(table, context, builder)?)),
};

/// Builds a `real_nvp` (Dinh et al. 2017) from a resolved section. Actnorm stands where the paper has batch
/// normalisation, under which the density of one item would depend on the others.
///
/// # Errors
/// The items have one number only.
pub(super) fn flow(table: &toml::Table, context: &Context, builder: &Builder) -> Result<Flow> {
    let config: RealNvpConfig = decode(table)?;
    let net = Conditioner::Mlp { hidden: config.hidden, activation: config.activation };
    let mut parts = Assembly::new(context, builder)?;
    parts.masked(config.mask)?;
    for i in 0..config.couplings {
        parts.act_norm(&format!("norm{i}"), config.prior.std())?;
        parts.coupling(&format!("coupling{i}"), i % 2 == 0, Kind::Affine { cap: config.scale_cap }, &net)?;
    }
    parts.act_norm("scale", config.prior.std())?;
    Flow::on(context, parts.finish()?, config.prior, builder)
}

//! NICE: additive couplings, then a diagonal scaling (Dinh et al. 2015).

use super::assembly::{Assembly, Conditioner, layers};
use super::{Flow, Kind, Mask, Prior};
use crate::Result;
use crate::config::{Schema, decode, rule};
use crate::density::{ANY_ITEMS, Context, ModelRow};
use crate::nets::{Builder, NonlinearName};

crate::config! {
    /// Keys of the model `nice`.
    pub struct NiceConfig {
        /// Coupling layers; halves alternate.
        couplings: usize = 4, layers;
        /// Units of each hidden layer of the couplings' networks (the paper: 1000, five layers on MNIST).
        hidden: Vec<usize> = vec![256, 256], rule::sizes;
        /// Their non-linearity. Methods that use second derivatives want a smooth one, such as softplus.
        activation: NonlinearName = NonlinearName::Relu;
        /// What is coupled to what: half, or checkerboard (every other coordinate, the paper's).
        mask: Mask = Mask::Checkerboard;
        /// Prior of the latent coordinates: logistic (the paper's on MNIST) or gaussian.
        prior: Prior = Prior::Logistic;
    }
}

pub(in crate::density) const ENTRY: ModelRow = ModelRow {
    name: "nice",
    about: "flow of additive couplings and a final diagonal scaling, on vectors or flattened images",
    cite: "Dinh, Krueger & Bengio 2015, NICE; arXiv 1410.8516",
    schema: Schema::of::<NiceConfig>(),
    init: &[],
    example: "hidden = [8]",
    items: ANY_ITEMS,
    build: |table, context, builder| Ok(Box::new(flow(table, context, builder)?)),
};

/// Builds a `nice` (Dinh et al. 2015) from a resolved section. The scaling has a shift too, so that the flow starts at
/// the data's mean and standard deviation.
///
/// # Errors
/// The items have one number only.
pub(super) fn flow(table: &toml::Table, context: &Context, builder: &Builder) -> Result<Flow> {
    let config: NiceConfig = decode(table)?;
    let net = Conditioner::Mlp { hidden: config.hidden, activation: config.activation };
    let mut parts = Assembly::new(context, builder)?;
    parts.masked(config.mask)?;
    for i in 0..config.couplings {
        parts.coupling(&format!("coupling{i}"), i % 2 == 0, Kind::Additive, &net)?;
    }
    parts.act_norm("scale", config.prior.std())?;
    Flow::on(context, parts.finish()?, config.prior, builder)
}

//! Neural spline flows on vectors: couplings whose maps bend, so that a few of them part modes (Durkan et al. 2019).

use super::assembly::{Assembly, Conditioner, layers};
use super::{Flow, Kind, Mask, Prior};
use crate::Result;
use crate::config::{Schema, decode, rule};
use crate::density::{ANY_ITEMS, Context, ModelRow};
use crate::nets::{Builder, NonlinearName};

crate::config! {
    /// Keys of the model `spline`.
    pub struct SplineConfig {
        /// Coupling layers; halves alternate.
        couplings: usize = 6, layers;
        /// Units of each hidden layer of the couplings' networks.
        hidden: Vec<usize> = vec![64, 64], rule::sizes;
        /// Their non-linearity. Methods that use second derivatives want a smooth one, such as softplus.
        activation: NonlinearName = NonlinearName::Relu;
        /// Bins of each spline.
        bins: usize = 8, some_bins;
        /// Splines bend on [-bound, bound], the identity is outside; coordinates there have standard deviation 1.
        bound: f64 = 5.0, rule::positive;
        /// What is coupled to what: half, or checkerboard (every other coordinate of a vector).
        mask: Mask = Mask::Checkerboard;
        /// Prior of the latent coordinates: gaussian or logistic.
        prior: Prior = Prior::Gaussian;
    }
}

/// The rule for `bins`: few enough that every bin has at least a thousandth of the box.
fn some_bins(v: &usize) -> rule::Complaint {
    (!(2..=200).contains(v)).then(|| format!("must be from 2 to 200, got {v}"))
}

pub(in crate::density) const ENTRY: ModelRow = ModelRow {
    name: "spline",
    about: "flow of rational-quadratic spline couplings with perceptrons, on vectors (2-D too) or flattened images",
    cite: "Durkan, Bekasov, Murray & Papamakarios 2019, Neural Spline Flows; arXiv 1906.04032",
    schema: Schema::of::<SplineConfig>(),
    init: &[],
    example: "hidden = [8]\ncouplings = 3\nactivation = \"softplus\"",
    items: ANY_ITEMS,
    build: |table, context, builder| Ok(Box::new(flow(table, context, builder)?)),
};

/// Builds a `spline` (Durkan et al. 2019) from a resolved section. Actnorm stands between the couplings, so that
/// coordinates stay where the splines bend; the paper has linear maps there.
///
/// # Errors
/// The items have one number only.
pub(super) fn flow(table: &toml::Table, context: &Context, builder: &Builder) -> Result<Flow> {
    let config: SplineConfig = decode(table)?;
    let net = Conditioner::Mlp { hidden: config.hidden, activation: config.activation };
    let kind = Kind::Spline { bins: config.bins, bound: config.bound };
    let mut parts = Assembly::new(context, builder)?;
    parts.masked(config.mask)?;
    for i in 0..config.couplings {
        parts.act_norm(&format!("norm{i}"), 1.0)?;
        parts.coupling(&format!("coupling{i}"), i % 2 == 0, kind, &net)?;
    }
    parts.act_norm("scale", config.prior.std())?;
    Flow::on(context, parts.finish()?, config.prior, builder)
}

//! A network f that tilts a density p₀ with exact draws: p(x) ∝ p₀(x) exp(-f(x)). With a VAE as p₀ this is VAEBM (Xiao
//! et al. 2021), with a flow NT-EBM's tilted flow (Nijkamp et al. 2022).

use super::{ANY_ITEMS, ModelRow, Neural, flow, gaussian, vae};
use crate::Error;
use crate::config::{self, Schema, decode, find};
use crate::nets::{Io, Network};

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

/// The models that can be tilted: those with exact draws.
const BASES: &[ModelRow] = &[vae::ENTRY, gaussian::ENTRY, flow::NICE, flow::REAL_NVP, flow::SPLINE, flow::GLOW];

/// The rows of [`BASES`] for the configuration.
fn base_schemas() -> Vec<(&'static str, Schema)> {
    config::schemas(BASES)
}

pub(super) const ENTRY: ModelRow = ModelRow {
    name: "tilted",
    about: "E(x) = f(x) - log p₀(x): a network tilting a density that is drawn from exactly, such as a VAE (VAEBM) or \
            a flow",
    cite: "Xiao, Kreis, Kautz, Vahdat 2021, \"VAEBM: a symbiosis between variational autoencoders and energy-based \
           models\", ICLR, eq. 5; arXiv 2010.00654",
    schema: Schema::of::<TiltedConfig>(),
    init: &[],
    example: "net = { name = \"mlp\", hidden = [5] }\nbase = { name = \"vae\", nodes = 5, \
              encoder = { name = \"mlp\", hidden = [6] }, decoder = { name = \"mlp\", hidden = [6] } }",
    items: ANY_ITEMS,
    build: |table, context, builder| {
        let config: TiltedConfig = decode(table)?;
        let row = find(BASES, config.base.name())
            .ok_or_else(|| Error::Other(format!("unknown base density `{}`", config.base.name())))?;
        let base = config.base.within((row.build)(&config.base.table, context, &builder.sub("base")))?;
        let net = Network::new(&config.net, &Io::scalar(&context.shape), &builder.sub("net"))?;
        Ok(Box::new(Neural::tilting(net, base)))
    },
};

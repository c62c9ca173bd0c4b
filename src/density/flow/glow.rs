//! Glow as Grathwohl et al. (2020, Fig. 7) trained it: additive couplings, reverse shuffle, actnorm, several scales.

use super::assembly::{Assembly, Conditioner, layers};
use super::{Composition, Flow, Kind, Prior};
use crate::config::{Schema, decode, rule};
use crate::density::{Context, ModelRow};
use crate::nets::{Builder, NonlinearName};
use crate::{Error, Result};

crate::config! {
    /// Keys of the model `glow`.
    pub struct GlowConfig {
        /// Scales: each squeezes 2×2 pixels to channels where height and width are even, and all but the last factor
        /// half of the channels out.
        stages: usize = 3, layers;
        /// Blocks of each stage: actnorm, reversed channels, additive coupling.
        blocks: usize = 4, layers;
        /// Channels of the couplings' 3×3, 1×1, 3×3 convolutions.
        channels: usize = 128, rule::at_least(1);
        /// Their non-linearity. Methods that use second derivatives want a smooth one, such as softplus.
        activation: NonlinearName = NonlinearName::Relu;
        /// Whether the prior of what is factored out is N(μ, σ²) with μ and σ a convolution of what goes on (Glow's
        /// released code), or N(0, 1).
        learned_prior: bool = true;
        /// Bound on the log of that σ: scale_cap·tanh(a/scale_cap).
        scale_cap: f64 = 3.0, rule::positive;
    }
}

pub(in crate::density) const ENTRY: ModelRow = ModelRow {
    name: "glow",
    about: "multi-scale flow on images: squeeze, actnorm, reversed channels, additive convolutional couplings",
    cite: "Kingma & Dhariwal 2018, Glow; arXiv 1807.03039. Grathwohl et al. 2020, Fig. 7",
    schema: Schema::of::<GlowConfig>(),
    init: &[("dataset", "digits")],
    example: "stages = 2\nblocks = 2\nchannels = 4",
    items: &[&[1, 4, 4], &[4, 3, 3]],
    build: |table, context, builder| Ok(Box::new(flow(table, context, builder)?)),
};

/// Builds a `glow` (Kingma & Dhariwal 2018) from a resolved section.
///
/// # Errors
/// The items are no images, or a stage has nothing to couple.
pub(super) fn flow(table: &toml::Table, context: &Context, builder: &Builder) -> Result<Flow> {
    let config: GlowConfig = decode(table)?;
    if context.shape.len() != 3 {
        return Err(Error::config(format!(
            "the model `glow` needs images [channels, height, width], but an item of the data has shape {:?}",
            context.shape
        ))
        .hint("use `real_nvp` or `nice`, or set `dataset.flatten = false`"));
    }
    let chain = stage(&config, 0, Assembly::new(context, builder)?)?;
    Flow::on(context, chain, Prior::Gaussian, builder)
}

/// Builds stage number `at` and those behind it.
///
/// The paper does not say how 28×28 pixels are halved three times. Padded to 32×32, the items would have 240 of 1024
/// numbers that never vary, and no density. So a stage whose height or width is odd does not squeeze: 28×28 goes 28 →
/// 14 → 7 → 7.
fn stage(config: &GlowConfig, at: usize, mut flow: Assembly) -> Result<Composition> {
    flow.squeeze()?;
    let net = Conditioner::Conv { channels: config.channels, activation: config.activation };
    for block in 0..config.blocks {
        let name = format!("stage{at}.block{block}");
        flow.act_norm(&format!("{name}.norm"), 1.0)?;
        flow.reverse()?;
        flow.coupling(&format!("{name}.net"), true, Kind::Additive, &net)?;
    }
    let last = at + 1 == config.stages;
    if last || !config.learned_prior {
        // What meets N(0, 1) next is scaled for it: on the last scale this is Glow's learned prior.
        flow.act_norm(&format!("stage{at}.end"), 1.0)?;
    }
    if last {
        return flow.finish();
    }
    if config.learned_prior {
        let name = format!("stage{at}.prior");
        flow.coupling(&name, true, Kind::Affine { cap: config.scale_cap }, &Conditioner::Prior)?;
    }
    flow.split(|rest| stage(config, at + 1, rest))
}

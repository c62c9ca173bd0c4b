//! NT-EBM (Nijkamp et al. 2022): a flow is trained by maximum likelihood, then a network that tilts it, with chains in
//! the flow's latent space, where they mix. The two stages are those of `vaebm`, with a flow in the VAE's place.

use super::vaebm::{BASE_NLL, SECOND_STAGE, Vaebm, VaebmConfig};
use super::{MethodRow, Setup};
use crate::config::{Schema, decode, rule};
use crate::density::Space;
use crate::metrics::{Spent, numbers};
use crate::{Error, Result};

crate::config! {
    /// Keys of the method `nt_ebm`.
    pub struct NtEbmConfig {
        /// Steps of the first stage, which trains the flow; they count among `train.steps`. Its learning rate falls to
        /// 0 along half a cosine.
        flow_steps: u64 = 3000;
        /// A checkpoint whose flow is the base density, in the place of a first stage.
        flow_ckpt: String = String::new();
        /// Latent chains that are kept and go on; 0 starts all at draws of the prior in every step.
        buffer: usize = 1000;
        /// Weight of mean f(x⁺)² + mean f(x⁻)².
        energy_l2: f64 = 0.0, rule::non_negative;
    }
    parts {
        /// The chains of the second stage, in the flow's latent space.
        sampler: "hmc" of crate::samplers::schemas;
        /// The optimiser of the first stage; `[optim]` is the second's.
        flow_optim: "adam" of crate::optim::schemas;
    }
}

pub(super) const ENTRY: MethodRow = MethodRow {
    name: "nt_ebm",
    about: "a flow, then an energy that tilts it, with persistent chains in the flow's latent space; model `tilted`",
    cite: "Nijkamp, Gao, Sountsov, Vasudevan, Pang, Zhu, Wu 2022, \"MCMC should mix: learning energy-based model with \
           neural transport latent space MCMC\", ICLR; arXiv 2006.06897",
    schema: Schema::of::<NtEbmConfig>(),
    numbers: numbers![[BASE_NLL], *SECOND_STAGE],
    cost: Spent { values: 0, gradients: 1040 },
    proposal: None,
    init: &[("model", "tilted"), ("model.base", "real_nvp"), ("train.steps", "6000")],
    example: r#"[dataset]
name = "moons"

[model]
name = "tilted"
net = { name = "mlp", hidden = [8] }

[model.base]
name = "real_nvp"
hidden = [6]
couplings = 2

[method]
name = "nt_ebm"
flow_steps = 3
buffer = 40
sampler.steps = 2
"#,
    build: |table, setup| Ok(Box::new(nt_ebm(decode(table)?, setup)?)),
};

/// Builds the method `nt_ebm`. Its chains move on V(z) = f(T(z)) - log π(z), with f the tilt, T the flow's map to items
/// and π its prior; the flow's Jacobian cancels.
fn nt_ebm(config: NtEbmConfig, setup: Setup) -> Result<Vaebm> {
    if setup.model.base().is_none() || setup.model.noise_space(Space::Noise).is_none() {
        return Err(Error::config("method `nt_ebm` needs a model that tilts a flow")
            .hint("--set model.name=tilted with `base = { name = \"real_nvp\" }`"));
    }
    let NtEbmConfig { flow_steps, flow_ckpt, buffer, energy_l2, sampler, flow_optim } = config;
    let config = VaebmConfig {
        vae_steps: flow_steps,
        vae_ckpt: flow_ckpt,
        buffer,
        replay: 1.0,
        energy_l2,
        sampler,
        vae_optim: flow_optim,
        ..VaebmConfig::default()
    };
    Vaebm::new(config, Default::default(), setup)
}

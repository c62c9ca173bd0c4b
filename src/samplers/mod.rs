//! Markov kernels that move chains on an energy, and their registry.
//!
//! One kernel serves training, `ebm sample`, AIS and the diagnostics alike. A kernel moves a batch of independent
//! chains; [`WarmUp`] tunes its step size before the chains count.
//!
//! Every `Result` in this module also fails where the energy or a tensor operation does. The `# Errors` of an item name
//! what else can fail.

mod accept;
mod buffer;
mod descent;
mod exact;
mod flow_mcmc;
mod frozen;
mod gibbs;
mod hmc;
mod imh;
mod independent;
mod info;
mod isir;
mod jarzynski;
mod kernel;
mod langevin;
mod mala;
mod parallel_tempering;
mod replayed;
mod row;
mod rwm;
mod sampler;
mod sgld;
mod start;
mod stiffness;
mod trace;
mod warm_up;

pub use accept::{ACCEPTANCE, accept, energies};
pub use buffer::{Buffer, Taken};
pub use descent::Descent;
pub use exact::Exact;
pub use flow_mcmc::{FlowMcmc, Global};
pub use frozen::Frozen;
pub use gibbs::Gibbs;
pub use hmc::Hmc;
pub use imh::Imh;
pub use info::{Info, StepReport};
pub use isir::Isir;
pub use jarzynski::Weighted;
pub use kernel::{Chain, Hot, Kernel, Need, Target, Tuning, scaled};
pub use langevin::Langevin;
pub use mala::Mala;
pub use parallel_tempering::ParallelTempering;
pub use row::{BuildKernel, SamplerRow};
pub use rwm::Rwm;
pub use sampler::{Sampler, parts};
pub use sgld::Sgld;
pub use start::{ChainConfig, Start};
pub use stiffness::{Drift, Lifetime, Stiff, coordinate, digit};
pub use trace::{A_NAT_APART, HELD_UP, Losses, Trace};
pub use warm_up::{DualAveraging, WarmUp};

use crate::config::{self, Schema, Spec, find};
use crate::{Error, Result};

/// The kernels that `[sampler] name = "…"` can name.
pub const SAMPLERS: &[SamplerRow] = &[
    langevin::ENTRY,
    sgld::ENTRY,
    rwm::ENTRY,
    mala::ENTRY,
    hmc::ENTRY,
    parallel_tempering::ENTRY,
    imh::ENTRY,
    isir::ENTRY,
    flow_mcmc::EX2,
    flow_mcmc::ENTRY,
    gibbs::ENTRY,
    exact::ENTRY,
];

/// The rows of [`SAMPLERS`] for the configuration.
pub fn schemas() -> Vec<(&'static str, Schema)> {
    config::schemas(SAMPLERS)
}

/// The schemas of the kernels that may be the local move of the sampler `flow_mcmc`: all of them leave exp(-E)
/// invariant.
pub fn exact_moves() -> Vec<(&'static str, Schema)> {
    locals(|row| row.exact)
}

/// The schemas of the kernels that training may choose as local moves: those of [`exact_moves`], and `langevin`.
pub fn moves() -> Vec<(&'static str, Schema)> {
    locals(|_| true)
}

fn locals(fits: impl Fn(&SamplerRow) -> bool) -> Vec<(&'static str, Schema)> {
    SAMPLERS.iter().filter(|row| fits(row)).filter_map(|row| Some((row.name, row.local?))).collect()
}

/// The local move of a section that [`moves`] allows.
///
/// # Errors
/// The name is none of these.
pub fn build_local(spec: &Spec) -> Result<Box<dyn Kernel>> {
    let row = find(SAMPLERS, spec.name()).filter(|row| row.local.is_some());
    let row = row.ok_or_else(|| Error::Other(format!("unknown local kernel `{}`", spec.name())))?;
    spec.within((row.build)(&spec.table))
}

//! Markov kernels on an energy: the registry.
//!
//! One kernel serves training, `ebm sample`, AIS and the diagnostics alike. A kernel moves a batch of independent
//! chains; what tunes its step size is [`WarmUp`], before the chains count.

mod accept;
mod buffer;
mod exact;
mod flow_mcmc;
mod gibbs;
mod hmc;
mod imh;
mod independent;
mod isir;
mod jarzynski;
mod kernel;
mod langevin;
mod mala;
mod parallel_tempering;
mod rwm;
mod sampler;
mod sgld;
mod warm_up;

pub use buffer::{Buffer, Taken};
pub use exact::Exact;
pub use flow_mcmc::{FlowMcmc, Global, build_local, moves};
pub use gibbs::Gibbs;
pub use hmc::Hmc;
pub use imh::Imh;
pub use isir::Isir;
pub use jarzynski::Weighted;
pub use kernel::{Chain, Info, Kernel, Need, Target};
pub use langevin::Langevin;
pub use mala::Mala;
pub use parallel_tempering::{Hot, ParallelTempering};
pub use rwm::Rwm;
pub use sampler::{ChainConfig, Sampler, Start, Trace};
pub use sgld::Sgld;
pub use warm_up::{DualAveraging, Tuning, WarmUp};

use crate::Result;
use crate::config::{self, Head, Row, Schema};
use crate::metrics::{Number, Spent};

/// Makes a kernel from its resolved section.
pub type BuildKernel = fn(&toml::Table) -> Result<Box<dyn Kernel>>;

/// A row of [`SAMPLERS`]: all that the house knows about a kernel.
#[derive(Clone, Copy)]
pub struct SamplerRow {
    /// What the configuration says: `name = "mala"`.
    pub name: &'static str,
    /// One line for listings.
    pub about: &'static str,
    /// Where it comes from: authors, year, equation or algorithm; empty where it is folklore.
    pub cite: &'static str,
    /// The keys of its section.
    pub schema: Schema,
    /// The numbers that it reports step by step.
    pub numbers: &'static [Number],
    /// Whether it may be the local move of `flow_mcmc`.
    pub local: bool,
    /// What a step of one chain costs at the default keys, once the chain has begun.
    pub cost: Spent,
    /// A small experiment that it samples, as TOML: `[dataset]`, `[model]` and `[sampler]`. The contract tests run it.
    pub example: &'static str,
    /// Makes it from its resolved section.
    pub build: BuildKernel,
}

impl Row for SamplerRow {
    fn head(&self) -> Head {
        Head { name: self.name, about: self.about, cite: self.cite, schema: self.schema, numbers: self.numbers }
    }
}

/// Every kernel that `[sampler] name = "…"` can name.
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

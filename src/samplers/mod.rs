//! Markov kernels on an energy, in BlackJAX's shape: `init` makes a state, `step` moves it and tells what happened.
//!
//! One kernel serves training, `ebm sample`, AIS and the diagnostics alike. A kernel moves a batch of independent
//! chains; what tunes its step size is [`WarmUp`], before the chains count.

mod accept;
mod buffer;
mod chain;
mod exact;
mod flow_mcmc;
mod gibbs;
mod hmc;
mod imh;
mod independent;
mod isir;
mod jarzynski;
mod langevin;
mod mala;
mod parallel_tempering;
mod rwm;
mod sgld;
mod warm_up;

pub use buffer::{Buffer, Taken};
pub use chain::{ChainConfig, Sampler, Start, Trace};
pub use exact::Exact;
pub use flow_mcmc::{FlowMcmc, Global, build_local, moves};
pub use gibbs::Gibbs;
pub use hmc::Hmc;
pub use imh::Imh;
pub use isir::Isir;
pub use jarzynski::Weighted;
pub use langevin::Langevin;
pub use mala::Mala;
pub use parallel_tempering::{Hot, ParallelTempering};
pub use rwm::Rwm;
pub use sgld::Sgld;
pub use warm_up::{DualAveraging, Tuning, WarmUp};

use candle_core::Tensor;

use crate::config::{self, Head, Row, Schema};
use crate::density::Energy;
use crate::metrics::Number;
use crate::{Result, rng::Key};

/// All that the next step of a batch of chains needs.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Positions, `[B, ..]`.
    pub x: Tensor,
    /// E(x), `[B]`.
    pub energy: Tensor,
    /// ∇x E(x), as x.
    pub grad: Tensor,
    /// The same chains at higher temperatures, for the kernel that keeps such ([`ParallelTempering`]).
    pub hot: Option<Hot>,
}

impl Chain {
    /// Evaluates the energy and its gradient at x.
    pub fn at(e: &dyn Energy, x: &Tensor) -> Result<Self> {
        let x = x.detach();
        let (energy, grad) = e.grad(&x)?;
        Ok(Chain { x, energy: energy.detach(), grad: grad.detach(), hot: None })
    }
}

/// What one step did.
#[derive(Clone, Debug, Default)]
pub struct Info {
    /// Share of the chains whose proposal was accepted; `None` for kernels that accept everything.
    pub accept: Option<f64>,
    /// The mean probability of acceptance, which tuning listens to: less noise than in the share.
    pub chance: Option<f64>,
    /// Proposals without a finite energy, which are never accepted.
    pub nonfinite: usize,
    /// The same chain by chain; empty for kernels that accept everything.
    pub nonfinite_by_chain: Vec<usize>,
    /// E + ½|p|² at the end of the step, chain by chain, where there are momenta: what E-BFMI is about.
    pub hamiltonian: Option<Vec<f64>>,
    /// Acceptance of each kind of move, by name, for kernels that have several.
    pub moves: Vec<(&'static str, f64)>,
}

impl Info {
    /// Of the choice and the count of every chain.
    fn of(accepted: &[u8], nonfinite_by_chain: Vec<usize>) -> Self {
        let share = accepted.iter().map(|&a| f64::from(a)).sum::<f64>() / accepted.len().max(1) as f64;
        let nonfinite = nonfinite_by_chain.iter().sum();
        Info { accept: Some(share), nonfinite, nonfinite_by_chain, ..Info::default() }
    }
}

/// A Markov kernel on batches of chains.
pub trait Kernel: Send + Sync {
    /// The state of chains that start at x.
    fn init(&self, e: &dyn Energy, x: &Tensor) -> Result<Chain> {
        Chain::at(e, x)
    }

    /// One step of every chain, with randomness from `key`.
    fn step(&self, key: Key, e: &dyn Energy, chain: &Chain) -> Result<(Chain, Info)>;

    /// The step size and scale it moves with; `None` for a kernel without a step size that a warm-up could tune.
    fn tuning(&self) -> Option<Tuning> {
        None
    }

    /// The same kernel with another step size and scale; `None` as for [`Kernel::tuning`].
    fn tuned(&self, _tuning: &Tuning) -> Option<Box<dyn Kernel>> {
        None
    }

    /// One sentence on what the settings mean, such as the temperature that a tempered sampler runs at.
    fn describe(&self) -> String;
}

impl Kernel for &dyn Kernel {
    fn init(&self, e: &dyn Energy, x: &Tensor) -> Result<Chain> {
        (**self).init(e, x)
    }

    fn step(&self, key: Key, e: &dyn Energy, chain: &Chain) -> Result<(Chain, Info)> {
        (**self).step(key, e, chain)
    }

    fn tuning(&self) -> Option<Tuning> {
        (**self).tuning()
    }

    fn tuned(&self, tuning: &Tuning) -> Option<Box<dyn Kernel>> {
        (**self).tuned(tuning)
    }

    fn describe(&self) -> String {
        (**self).describe()
    }
}

/// x times s in each coordinate; x itself where there is no s.
fn scaled(x: &Tensor, s: Option<&Tensor>) -> Result<Tensor> {
    s.map_or_else(|| Ok(x.clone()), |s| Ok(x.broadcast_mul(s)?))
}

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

//! Markov kernels on an energy, in BlackJAX's shape: `init` makes a state, `step` moves it and tells what happened.
//!
//! One kernel serves training, `ebm sample`, AIS and the diagnostics alike. A kernel moves a batch of independent
//! chains; tuning its step size is the caller's business.

mod accept;
mod buffer;
mod chain;
mod exact;
mod gibbs;
mod hmc;
mod langevin;
mod mala;
mod sgld;

pub use buffer::{Buffer, Taken};
pub use chain::{ChainConfig, Sampler, Start, Trace};
pub use exact::Exact;
pub use gibbs::Gibbs;
pub use hmc::Hmc;
pub use langevin::Langevin;
pub use mala::Mala;
pub use sgld::Sgld;

use candle_core::Tensor;

use crate::config::{Entry, Schema};
use crate::density::Energy;
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
}

impl Chain {
    /// Evaluates the energy and its gradient at x.
    pub fn at(e: &dyn Energy, x: &Tensor) -> Result<Self> {
        let x = x.detach();
        let (energy, grad) = e.grad(&x)?;
        Ok(Chain { x, energy: energy.detach(), grad: grad.detach() })
    }
}

/// What one step did.
#[derive(Clone, Debug, Default)]
pub struct Info {
    /// Share of the chains whose proposal was accepted; `None` for kernels that accept everything.
    pub accept: Option<f64>,
    /// Chains whose proposal had no finite energy and so stayed where they were.
    pub nonfinite: usize,
}

/// A Markov kernel on batches of chains.
pub trait Kernel: Send + Sync {
    /// The state of chains that start at x.
    fn init(&self, e: &dyn Energy, x: &Tensor) -> Result<Chain> {
        Chain::at(e, x)
    }

    /// One step of every chain, with randomness from `key`.
    fn step(&self, key: Key, e: &dyn Energy, chain: &Chain) -> Result<(Chain, Info)>;

    /// One sentence on what the settings mean, such as the temperature that a tempered sampler runs at.
    fn describe(&self) -> String;
}

/// Makes a kernel from its resolved section.
pub type BuildKernel = fn(&toml::Table) -> Result<Box<dyn Kernel>>;

/// Every kernel that `[sampler] name = "…"` can name.
pub const SAMPLERS: &[Entry<BuildKernel>] =
    &[langevin::ENTRY, sgld::ENTRY, mala::ENTRY, hmc::ENTRY, gibbs::ENTRY, exact::ENTRY];

/// The rows of [`SAMPLERS`] for the configuration.
pub fn schemas() -> Vec<(&'static str, Schema)> {
    SAMPLERS.iter().map(|row| (row.name, row.schema)).collect()
}

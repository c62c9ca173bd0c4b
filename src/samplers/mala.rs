//! The Metropolis-adjusted Langevin algorithm, which leaves exp(-E) invariant at any step size.

use candle_core::Tensor;

use super::accept::{ACCEPTANCE, accept, energies, squares};
use super::info::Info;
use super::kernel::Tuning;
use super::kernel::{Chain, Kernel, Need, Target, scaled};
use super::row::SamplerRow;
use super::start::ChainConfig;
use super::warm_up::WarmUp;
use crate::Result;
use crate::config::{Schema, decode, rule};
use crate::metrics::Spent;
use crate::ops::{self, LangevinMove};
use crate::rng::{Counter, Key};

crate::config! {
    /// Keys of the sampler `mala`.
    pub struct MalaConfig {
        /// ε of the Langevin proposal; about 57 % acceptance is best in high dimension.
        step_size: f64 = 0.1, rule::positive;
    }
}

pub(super) const ENTRY: SamplerRow = SamplerRow {
    name: "mala",
    about: "Langevin proposal with accept-reject: exact for exp(-E)",
    cite: "Roberts & Tweedie 1996; Roberts & Rosenthal 1998",
    schema: Schema::of::<(MalaConfig, WarmUp, ChainConfig)>(),
    numbers: &[ACCEPTANCE],
    exact: true,
    local: Some(Schema::of::<MalaConfig>()),
    cost: Spent { values: 0, gradients: 1 },
    build: |table| Ok(Box::new(Mala { step_size: decode::<MalaConfig>(table)?.step_size, scale: None })),
};

/// The Metropolis-adjusted Langevin algorithm (Roberts & Tweedie 1996): proposes x' = x - (ε²/2)s²∇E(x) + ε s ξ, ξ ~
/// N(0, I), with the density q(x'|x), and accepts with probability min(1, exp(E(x) - E(x')) q(x|x')/q(x'|x)). A
/// proposal whose energy is not finite is rejected and counted; it has no effect on the other chains.
pub struct Mala {
    /// The step size ε.
    pub step_size: f64,
    /// The scale s of ε in each coordinate, of the shape of one item; `None` for 1.
    pub scale: Option<Tensor>,
}

impl Mala {
    /// The scaled gradient s²∇E, or ∇E without a scale.
    fn pull(&self, chain: &Chain) -> Result<Tensor> {
        scaled(&scaled(chain.slope()?, self.scale.as_ref())?, self.scale.as_ref())
    }

    /// The log-density log q(to | from) of the proposal up to a constant, `[B]`, f64.
    fn log_proposal(&self, to: &Chain, from: &Chain) -> Result<Tensor> {
        let eps2 = self.step_size * self.step_size;
        let mut off = (&to.x - (&from.x - (self.pull(from)? * (0.5 * eps2))?)?)?;
        if let Some(scale) = &self.scale {
            off = off.broadcast_div(scale)?;
        }
        Ok(squares(&off)?.affine(-0.5 / eps2, 0.0)?)
    }

    /// The proposals for chains whose gradients are known.
    fn propose(&self, key: Key, chain: &Chain) -> Result<Tensor> {
        let (pull, noise) = (self.pull(chain)?, key.with("noise").counter());
        let by = LangevinMove::free(0.5 * self.step_size * self.step_size, self.step_size);
        if self.scale.is_none() {
            return ops::langevin_move(&chain.x, &pull, &by, noise);
        }
        let noise = scaled(&ops::normal_like(&chain.x, noise)?, self.scale.as_ref())?;
        ops::langevin_update(&chain.x, &pull, &noise, by.drift, by.std)
    }
}

impl Kernel for Mala {
    fn needs(&self) -> Need {
        Need::Gradient
    }

    fn step(&self, key: Key, on: &Target, chain: &Chain) -> Result<(Chain, Info)> {
        let chain = &chain.filled(Need::Gradient, on.energy())?;
        let proposal = Chain::at(&self.propose(key, chain)?).filled(Need::Gradient, on.energy())?;
        let (back, forth) = (self.log_proposal(chain, &proposal)?, self.log_proposal(&proposal, chain)?);
        let ratio = (((energies(chain)? - energies(&proposal)?)? + back)? - forth)?;
        accept(key.with("accept"), &ratio, &proposal, chain)
    }

    fn draws(&self, key: Key) -> Option<Vec<Counter>> {
        Some(vec![key.with("noise").counter(), key.with("accept").counter()])
    }

    fn tuning(&self) -> Option<Tuning> {
        Some(Tuning { step_size: self.step_size, scale: self.scale.clone() })
    }

    fn tuned(&self, tuning: &Tuning) -> Option<Box<dyn Kernel>> {
        Some(Box::new(Mala { step_size: tuning.step_size, scale: tuning.scale.clone() }))
    }

    fn describe(&self) -> String {
        format!("Metropolis-adjusted Langevin, step size {}", self.step_size)
    }
}

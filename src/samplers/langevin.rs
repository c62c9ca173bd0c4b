//! The unadjusted Langevin algorithm: drift and noise matched, without rejection, biased by O(ε²).

use super::info::Info;
use super::kernel::{Chain, Kernel, Need, Target};
use super::row::SamplerRow;
use super::start::ChainConfig;
use super::stiffness::Drift;
use crate::Result;
use crate::config::{Schema, decode, rule};
use crate::metrics::Spent;
use crate::ops::{self, LangevinMove};
use crate::rng::{Counter, Key};

crate::config! {
    /// Keys of the sampler `langevin`.
    pub struct LangevinConfig {
        /// ε in x ← x - (ε²/2)∇E + ε ξ: the standard deviation of the noise.
        step_size: f64 = 0.1, rule::positive;
    }
}

pub(super) const ENTRY: SamplerRow = SamplerRow {
    name: "langevin",
    about: "matched Langevin: x ← x - (ε²/2)∇E + ε ξ",
    cite: "Roberts & Tweedie 1996",
    schema: Schema::of::<(LangevinConfig, ChainConfig)>(),
    numbers: &[],
    exact: false,
    local: Some(Schema::of::<LangevinConfig>()),
    cost: Spent { values: 0, gradients: 1 },
    build: |table| Ok(Box::new(Langevin { step_size: decode::<LangevinConfig>(table)?.step_size })),
};

/// The unadjusted Langevin algorithm x ← x - (ε²/2)∇E(x) + ε ξ, ξ ~ N(0, I) (Roberts & Tweedie 1996). Its stationary
/// density differs from exp(-E) by O(ε²).
pub struct Langevin {
    /// The step size ε.
    pub step_size: f64,
}

impl Kernel for Langevin {
    fn needs(&self) -> Need {
        Need::Gradient
    }

    fn step(&self, key: Key, on: &Target, chain: &Chain) -> Result<(Chain, Info)> {
        let chain = chain.filled(Need::Gradient, on.energy())?;
        let by = LangevinMove::free(0.5 * self.step_size * self.step_size, self.step_size);
        let x = ops::langevin_move(&chain.x, chain.slope()?, &by, key.counter())?;
        Ok((Chain::at(&x), Info::default()))
    }

    fn draws(&self, key: Key) -> Option<Vec<Counter>> {
        Some(vec![key.counter()])
    }

    fn drift(&self) -> Option<Drift> {
        let (drift, noise) = (0.5 * self.step_size * self.step_size, self.step_size);
        Some(Drift { drift, noise, key: "step_size", value: |drift| (2.0 * drift).sqrt() })
    }

    fn describe(&self) -> String {
        format!("matched Langevin, step size {}", self.step_size)
    }
}

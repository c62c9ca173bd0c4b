//! Random-walk Metropolis, the oldest kernel, which needs no gradient.

use super::accept::{ACCEPTANCE, accept, energies};
use super::info::Info;
use super::kernel::Tuning;
use super::kernel::{Chain, Kernel, Need, Target, scaled};
use super::row::SamplerRow;
use super::start::ChainConfig;
use super::warm_up::WarmUp;
use crate::config::{Schema, decode, rule};
use crate::metrics::Spent;
use crate::rng::{Counter, Key};
use crate::{Result, ops};

crate::config! {
    /// Keys of the sampler `rwm`.
    pub struct RwmConfig {
        /// σ of the proposal x + σ ξ; about 23 % acceptance is best in high dimension, 44 % on the line.
        step_size: f64 = 0.5, rule::positive;
    }
}

pub(super) const ENTRY: SamplerRow = SamplerRow {
    name: "rwm",
    about: "random-walk Metropolis: exact for exp(-E), by values of E alone",
    cite: "Metropolis et al. 1953; Roberts, Gelman & Gilks 1997",
    schema: Schema::of::<(RwmConfig, WarmUp, ChainConfig)>(),
    numbers: &[ACCEPTANCE],
    exact: true,
    local: Some(Schema::of::<RwmConfig>()),
    cost: Spent { values: 1, gradients: 0 },
    build: |table| Ok(Box::new(Rwm { step_size: decode::<RwmConfig>(table)?.step_size, scale: None })),
};

/// Random-walk Metropolis (Metropolis et al. 1953): proposes x' = x + σ s ξ, ξ ~ N(0, I), and accepts with probability
/// min(1, exp(E(x) - E(x'))).
pub struct Rwm {
    /// The step size σ.
    pub step_size: f64,
    /// The scale s of σ in each coordinate, of the shape of one item; `None` for 1.
    pub scale: Option<candle_core::Tensor>,
}

impl Kernel for Rwm {
    fn needs(&self) -> Need {
        Need::Value
    }

    fn step(&self, key: Key, on: &Target, chain: &Chain) -> Result<(Chain, Info)> {
        let chain = &chain.filled(Need::Value, on.energy())?;
        let noise = scaled(&ops::normal_like(&chain.x, key.with("noise").counter())?, self.scale.as_ref())?;
        let proposal = Chain::at(&(&chain.x + (noise * self.step_size)?)?).filled(Need::Value, on.energy())?;
        let ratio = (energies(chain)? - energies(&proposal)?)?;
        accept(key.with("accept"), &ratio, &proposal, chain)
    }

    fn draws(&self, key: Key) -> Option<Vec<Counter>> {
        Some(vec![key.with("noise").counter(), key.with("accept").counter()])
    }

    fn tuning(&self) -> Option<Tuning> {
        Some(Tuning { step_size: self.step_size, scale: self.scale.clone() })
    }

    fn tuned(&self, tuning: &Tuning) -> Option<Box<dyn Kernel>> {
        Some(Box::new(Rwm { step_size: tuning.step_size, scale: tuning.scale.clone() }))
    }

    fn describe(&self) -> String {
        format!("random-walk Metropolis, step size {}", self.step_size)
    }
}

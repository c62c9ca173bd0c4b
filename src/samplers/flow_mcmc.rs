//! A global move to fresh draws, followed by local moves: chains that jump between modes and explore each.

use super::accept::ACCEPTANCE;
use super::imh::Imh;
use super::info::Info;
use super::isir::Isir;
use super::kernel::{Chain, Kernel, Need, Target};
use super::mala::Mala;
use super::row::SamplerRow;
use super::start::ChainConfig;
use crate::config::{Schema, decode, rule};
use crate::metrics::{Number, Spent, Unit};
use crate::{Result, rng::Key};

/// The global move of a chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Global {
    /// One draw of the proposal, accepted or rejected: [`Imh`].
    #[default]
    Imh,
    /// A choice among many draws: [`Isir`].
    Isir,
}

crate::config! {
    /// Keys of the sampler `flow_mcmc`.
    pub struct FlowMcmcConfig {
        /// The global move: imh (one draw of the proposal) or isir (one of many).
        global: Global = Global::Imh;
        /// N of isir.
        candidates: usize = 16, rule::at_least(2);
        /// Local moves behind each global one; together they are one step.
        local_steps: usize = 5;
    }
    parts {
        /// The kernel of the local moves.
        local: "mala" of crate::samplers::exact_moves;
    }
}

crate::config! {
    /// Keys of the sampler `ex2`.
    pub struct Ex2Config {
        /// N, places to choose from in the global move.
        candidates: usize = 16, rule::at_least(2);
        /// ε of the local moves (`mala`).
        step_size: f64 = 0.1, rule::positive;
        /// Local moves behind each global one; together they are one step.
        local_steps: usize = 5;
    }
}

/// The numbers that kernels with a global and a local move report.
const MOVES: &[Number] = &[
    ACCEPTANCE,
    Number::new("global", Unit::Share, "acceptance of the jumps to fresh draws"),
    Number::new("local", Unit::Share, "acceptance of the moves around a draw"),
];

pub(super) const ENTRY: SamplerRow = SamplerRow {
    name: "flow_mcmc",
    about: "a global move (imh, isir) from the model's base density or a flow, then local moves: exact for exp(-E)",
    cite: "Gabrié, Rotskoff & Vanden-Eijnden 2022; Grenioux, Moulines & Gabrié 2023",
    schema: Schema::of::<(FlowMcmcConfig, ChainConfig)>(),
    numbers: MOVES,
    exact: true,
    local: None,
    cost: Spent { values: 0, gradients: 6 },
    build: |table| {
        let FlowMcmcConfig { global, candidates, local_steps, local } = decode(table)?;
        Ok(Box::new(FlowMcmc { global, candidates, local_steps, local: super::build_local(&local)? }))
    },
};

pub(super) const EX2: SamplerRow = SamplerRow {
    name: "ex2",
    about: "Ex²MCMC: i-SIR from the model's base density, then MALA steps: exact for exp(-E)",
    cite: "Samsonov et al. 2022, \"Local-global MCMC kernels\"",
    schema: Schema::of::<(Ex2Config, ChainConfig)>(),
    numbers: MOVES,
    exact: true,
    local: None,
    cost: Spent { values: 15, gradients: 6 },
    build: |table| {
        let Ex2Config { candidates, step_size, local_steps } = decode(table)?;
        let local = Box::new(Mala { step_size, scale: None });
        Ok(Box::new(FlowMcmc { global: Global::Isir, candidates, local_steps, local }))
    },
};

/// One global move, then `local_steps` local ones (Gabrié, Rotskoff & Vanden-Eijnden 2022; with i-SIR Samsonov et al.
/// 2022). Every move leaves the chain with the energy and gradient at its new place, and a global move weighs both of
/// its ends anew, so that weights do not go out of date.
pub struct FlowMcmc {
    /// The global move to fresh draws.
    pub global: Global,
    /// The number N of candidates of i-SIR.
    pub candidates: usize,
    /// The number of local moves after each global one.
    pub local_steps: usize,
    /// The kernel of the local moves.
    pub local: Box<dyn Kernel>,
}

impl FlowMcmc {
    /// The kernel of the global move, which evaluates gradients only if a local move reads them next.
    fn jump(&self) -> Box<dyn Kernel> {
        let local = if self.local_steps > 0 { self.local.needs() } else { Need::Value };
        let fill = local.max(Need::Value);
        match self.global {
            Global::Imh => Box::new(Imh { fill }),
            Global::Isir => Box::new(Isir { candidates: self.candidates, fill }),
        }
    }
}

impl Kernel for FlowMcmc {
    fn needs(&self) -> Need {
        Need::Value
    }

    /// The chains at x, after a check that the target has a proposal density.
    ///
    /// # Errors
    /// The target has no proposal density; this is found here, before a long run.
    fn init(&self, on: &Target, x: &candle_core::Tensor) -> Result<Chain> {
        self.jump().init(on, x)
    }

    fn step(&self, key: Key, on: &Target, chain: &Chain) -> Result<(Chain, Info)> {
        let (mut chain, jump) = self.jump().step(key.with("global"), on, chain)?;
        let mut local = Info::default();
        for i in 0..self.local_steps {
            let (next, step) = self.local.step(key.with("local").at(i as u64), on, &chain)?;
            chain = next;
            local.add(&step)?;
        }
        let (global, accepted) = (jump.accepted()?, local.accepted()?);
        let mut info = jump.then(&local)?;
        if let Some(global) = global {
            info = info.with_move("global", &global)?;
            if self.local_steps > 0 {
                // A local kernel that accepts everything moves every chain.
                let count = self.local_steps as f64;
                info = info.with_move("local", &accepted.map_or_else(|| global.ones_like(), |sum| sum / count)?)?;
            }
        }
        Ok((chain, info))
    }

    fn describe(&self) -> String {
        format!("{}, then {} steps of {}", self.jump().describe(), self.local_steps, self.local.describe())
    }
}

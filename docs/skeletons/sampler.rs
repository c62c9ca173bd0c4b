//! Skeleton of a sampler: the Barker proposal (Livingstone & Zanella 2022). Copy it to `src/samplers/<name>.rs`, write
//! `crate::` for `ebm::`, and add the row to `SAMPLERS`; `docs/adding-a-sampler.md` tells the rest.

use candle_core::{DType, Tensor};
use ebm::Result;
use ebm::config::{Schema, decode, rule};
use ebm::metrics::Spent;
use ebm::ops::{self, Activation};
use ebm::rng::Key;
use ebm::samplers::{
    ACCEPTANCE, Chain, ChainConfig, Info, Kernel, Need, SamplerRow, Target, Tuning, WarmUp, accept, energies, scaled,
};

ebm::config! {
    /// Keys of the sampler `barker`.
    pub struct BarkerConfig {
        /// σ of the move before its direction is chosen.
        step_size: f64 = 0.5, rule::positive;
    }
}

/// `barker`.
pub const ENTRY: SamplerRow = SamplerRow {
    name: "barker",
    about: "moves of random size whose direction leans downhill, with accept-reject: exact for exp(-E)",
    // Authors, year and equation or algorithm; empty where it is folklore.
    cite: "Livingstone & Zanella 2022, \"The Barker proposal\", JRSS B 84(2); arXiv 1908.11812",
    // `WarmUp` is there because the step size can be tuned; every sampler has the keys of `ChainConfig`.
    schema: Schema::of::<(BarkerConfig, WarmUp, ChainConfig)>(),
    // All that `Info` tells of a step by name.
    numbers: &[ACCEPTANCE],
    exact: true,
    // It needs no proposal density, so `flow_mcmc` may use it between its jumps, with these keys.
    local: Some(Schema::of::<BarkerConfig>()),
    // One gradient a step, at the proposal: the one at the present place is known from the step before.
    cost: Spent { values: 0, gradients: 1 },
    build: |table| Ok(Box::new(Barker { step_size: decode::<BarkerConfig>(table)?.step_size, scale: None })),
};

/// Proposes y = x + z in every coordinate: z = σ s ξ with probability 1/(1 + exp(z ∂E(x))), -σ s ξ otherwise. Accepts
/// with probability min(1, exp(E(x) - E(y)) q(x|y)/q(y|x)).
pub struct Barker {
    /// σ.
    pub step_size: f64,
    /// s, what σ is multiplied by in each coordinate, the shape of one item; `None` for 1.
    pub scale: Option<Tensor>,
}

/// log q(x + z | x), `[B]`, up to a part that z and -z share: -Σ softplus(z ∂E(x)).
fn log_proposal(z: &Tensor, slope: &Tensor) -> Result<Tensor> {
    let softplus = ops::activate(Activation::Softplus, &(z * slope)?)?;
    Ok(softplus.to_dtype(DType::F64)?.flatten_from(1)?.sum(1)?.neg()?)
}

impl Barker {
    /// z, drawn from q(· | x).
    fn draw(&self, key: Key, chain: &Chain) -> Result<Tensor> {
        let (shape, dtype, device) = (chain.x.shape(), chain.x.dtype(), chain.x.device());
        // Every draw has a key of its own, derived from the step's by a name.
        let z = scaled(&ops::normal_like(&chain.x, key.with("noise").counter())?, self.scale.as_ref())?;
        let z = (z * self.step_size)?;
        let keep = ops::activate(Activation::Sigmoid, &(&z * chain.slope()?)?.neg()?)?;
        let uniform = key.with("direction").uniform(shape, dtype, device)?;
        let sign = uniform.lt(&keep)?.to_dtype(dtype)?.affine(2.0, -1.0)?;
        Ok((z * sign)?)
    }
}

impl Kernel for Barker {
    /// What is known of a chain before it moves. `Need::Value` for a kernel that reads no gradient: it then pays for
    /// none.
    fn needs(&self) -> Need {
        Need::Gradient
    }

    fn step(&self, key: Key, on: &Target, chain: &Chain) -> Result<(Chain, Info)> {
        // Known already unless this is the first step.
        let chain = &chain.filled(Need::Gradient, on.energy())?;
        let z = self.draw(key, chain)?;
        let proposal = Chain::at(&(&chain.x + &z)?).filled(Need::Gradient, on.energy())?;
        let forth = log_proposal(&z, chain.slope()?)?;
        let back = log_proposal(&z.neg()?, proposal.slope()?)?;
        // Nothing is read here: the numbers stay where the chains are, and a loop of steps does not wait for a GPU.
        let ratio = (((energies(chain)? - energies(&proposal)?)? + back)? - forth)?;
        // Rejects and counts proposals without a finite energy; leaves energy and gradient where each chain stands.
        accept(key.with("accept"), &ratio, &proposal, chain)
    }

    /// `tuning` and `tuned` come together or not at all; a warm-up asks for both.
    fn tuning(&self) -> Option<Tuning> {
        Some(Tuning { step_size: self.step_size, scale: self.scale.clone() })
    }

    fn tuned(&self, tuning: &Tuning) -> Option<Box<dyn Kernel>> {
        Some(Box::new(Barker { step_size: tuning.step_size, scale: tuning.scale.clone() }))
    }

    fn describe(&self) -> String {
        format!("Barker proposal, step size {}", self.step_size)
    }
}

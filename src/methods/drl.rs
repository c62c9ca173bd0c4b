//! Diffusion recovery likelihood: each noise level learns to undo the noise that leads to the next.

use candle_core::Tensor;

use super::example::example;
use super::learning::levels;
use super::learning::likelihood_gap::{self, likelihood_gap};
use super::learning::readings::{ACCEPTANCE, FROZEN, GRAD_NORM};
use super::learning::trainable::{Trainable, model_at_rest};
use super::method::only;
use super::part::parts;
use super::{Method, MethodRow, Setup, Standing, StepContext};
use crate::config::{Schema, Spec, decode};
use crate::data::Batch;
use crate::density::{Counted, Energy, Model, Proposal, Recovery, by_row};
use crate::metrics::{Metrics, Spent, numbers};
use crate::samplers::{SAMPLERS, Sampler, Target, Trace};
use crate::{Error, Result, rng::Key};

crate::config! {
    /// Keys of the method `drl`.
    pub struct DrlConfig {}
    parts {
        /// The chains that recover an item from a noisier one: K `steps`, 30 in the paper. They move in units of about
        /// the width of what is recovered, so that one step size fits all levels; they begin at the noisier item.
        sampler: "langevin" of crate::samplers::schemas;
    }
}

const NAME: &str = "drl";

/// The method `drl`: minimises E(y⁺, σ) - E(y⁻, σ) with y⁺ an item at the level σ and y⁻ the end of a chain on the
/// energy E(y, σ) + |y - x̃|²/2Δ² from x̃ = y⁺ + Δξ, an item at the next level; at the top on E alone, from its normal
/// density. That is the gradient of -log p(y⁺|x̃) if chains are long enough. Levels count alike.
pub(super) const ENTRY: MethodRow = MethodRow {
    name: NAME,
    about: "diffusion recovery likelihood: short chains from each noise level to the one below, whose densities have \
            one mode (model `ladder`)",
    cite: "Gao, Song, Poole, Wu, Kingma 2021, \"Learning energy-based models by diffusion recovery likelihood\", ICLR, \
           Algorithm 1; arXiv 2012.08125",
    schema: Schema::of::<DrlConfig>(),
    numbers: numbers![likelihood_gap::NUMBERS, [GRAD_NORM, ACCEPTANCE, FROZEN]],
    cost: Spent { values: 0, gradients: 640 },
    proposal: Some(proposal),
    init: &[
        ("model", "ladder"),
        ("model.levels", "6"),
        ("method.sampler.steps", "30"),
        ("method.sampler.step_size", "0.5"),
    ],
    example: example!(ladder, "drl", "sampler.steps = 3\n"),
    build: |table, setup| Ok(Box::new(Drl::new(&decode(table)?, setup)?)),
};

struct Drl {
    sampler: Sampler,
    levels: usize,
    trained: Trainable<Model>,
}

parts!(Drl: trained);

impl Drl {
    fn new(config: &DrlConfig, setup: Setup) -> Result<Self> {
        let levels = levels::count(&setup.model, NAME)?;
        config.sampler.within(check_kernel(&config.sampler))?;
        let sampler = Sampler::new(&config.sampler)?;
        let trained = Trainable::model(setup.model, setup.optim)?;
        Ok(Drl { sampler, levels, trained })
    }
}

/// Refuses kernels that move otherwise than from where they stand, on the energy alone: an item is to be recovered from
/// the very one that it became. Positions are offsets, which no box of pixels confines.
fn check_kernel(sampler: &Spec) -> Result<()> {
    const LOCAL: &str = "--set method.sampler.name=langevin, mala, hmc, rwm or sgld";
    let local = SAMPLERS.iter().any(|row| row.name == sampler.name() && (row.local.is_some() || row.name == "sgld"));
    if !local {
        let what =
            format!("the chains of `{NAME}` begin at a noisier item, from which `{}` does not move", sampler.name());
        return Err(Error::config(what).at("name").hint(LOCAL));
    }
    if sampler.table.get("steps").and_then(toml::Value::as_integer) == Some(0) {
        let what =
            format!("`{NAME}` without a step recovers nothing: the noisier item itself would be the negative one");
        return Err(Error::config(what).at("steps").hint("--set method.sampler.steps=30"));
    }
    let boxed = sampler.table.get("clamp").and_then(toml::Value::as_array).is_some_and(|clamp| !clamp.is_empty());
    if boxed {
        let what =
            format!("the chains of `{NAME}` move in offsets from a noisier item, not in items that a box can hold");
        return Err(Error::config(what).at("clamp").hint("--set method.sampler.clamp=[]"));
    }
    Ok(())
}

/// Items at their levels, and noisier ones.
struct Pair {
    /// y⁺, `[B, ..]`.
    item: Tensor,
    /// x̃, `[B, ..]`: at the next level, or where a chain at the top begins.
    noisier: Tensor,
    /// σ, `[B]`.
    sigma: Tensor,
    /// Δ², `[B]`; infinite at the top.
    gap: Tensor,
}

/// The levels σ `[L]` and the squares of the noise between each and the next, infinite behind the last, `[L]`.
fn ladder(model: &Model) -> Result<[Tensor; 2]> {
    let sigmas = levels::sigmas(model, NAME)?;
    let square = sigmas.sqr()?;
    let last = square.dim(0)?.saturating_sub(1);
    let gaps = (square.narrow(0, 1, last)? - square.narrow(0, 0, last)?)?;
    let endless = Tensor::full(f64::INFINITY, 1, square.device())?.to_dtype(square.dtype())?;
    Ok([sigmas, Tensor::cat(&[gaps, endless], 0)?])
}

fn without_top() -> Error {
    Error::Other("the model has no density at its highest noise level".into())
}

impl Pair {
    /// Pairs at random levels from the clean items, which the data set gives noise of the standard deviation `own`.
    fn new(key: Key, model: &Model, (clean, own): (&Tensor, f64), count: usize) -> Result<Self> {
        let n = clean.dim(0)?;
        let [sigmas, gaps] = ladder(model)?;
        let level = levels::draw(key.with("level"), [1, n], count, false, clean.device())?;
        let (sigma, gap) = (sigmas.index_select(&level, 0)?, gaps.index_select(&level, 0)?);
        let normal = |name: &str| key.with(name).normal(clean.shape(), clean.dtype(), clean.device());
        let item = (clean + by_row(&normal("noise")?, &sigma.sqr()?.affine(1.0, own * own)?.sqrt()?)?)?;
        let start = model.top()?.ok_or_else(without_top)?.sample(key.with("top"), n)?.detach();
        let at_top = level.eq(count.saturating_sub(1) as u32)?;
        let step = at_top.where_cond(&gap.zeros_like()?, &gap)?.sqrt()?;
        let next = (&item + by_row(&normal("next")?, &step)?)?;
        let flags = [&[n], vec![1; clean.rank() - 1].as_slice()].concat();
        let noisier = at_top.reshape(flags)?.broadcast_as(clean.shape())?.where_cond(&start, &next)?;
        Ok(Pair { item, noisier, sigma, gap })
    }
}

/// The recovery of the less noisy item of a pair.
fn recovery(model: &Model, pair: &Pair) -> Result<Recovery<Counted<Box<dyn Energy>>>> {
    Recovery::new(levels::at(model, &pair.sigma, NAME)?, &pair.noisier, &pair.sigma, &pair.gap)
}

/// The ends y⁻ of chains from x̃, and what the chains left.
fn recovered(sampler: &Sampler, key: Key, model: &Model, pair: &Pair) -> Result<(Tensor, Trace)> {
    let recovery = recovery(model, pair)?;
    let start = pair.noisier.zeros_like()?;
    let trace = sampler.run(key, &Target::new(&recovery), &start, |_, _| Ok(()))?;
    Ok((recovery.item(&trace.x)?.detach(), trace))
}

impl Method for Drl {
    fn step(&mut self, cx: &StepContext, batches: &[Batch]) -> Result<Metrics> {
        let (x, own) = only(batches)?.beneath();
        let pair = Pair::new(cx.key.with("pair"), &self.trained.still, (x, own), self.levels)?;
        let (negative, trace) = recovered(&self.sampler, cx.key.with("chain"), &self.trained.still, &pair)?;
        let (loss, mut metrics) = self.trained.in_training(cx, |model| {
            let n = x.dim(0)?;
            let sigma = Tensor::cat(&[&pair.sigma, &pair.sigma], 0)?;
            let both = Tensor::cat(&[&pair.item, &negative], 0)?;
            let energies = levels::at(model, &sigma, NAME)?.energy(&both)?;
            likelihood_gap(&energies.narrow(0, 0, n)?, &energies.narrow(0, n, n)?, None, 0.0)
        })?;
        metrics.set("grad_norm", self.trained.descend(&loss, cx.lr_scale)?);
        metrics.set_chains(&trace)?;
        metrics.read()
    }

    fn model(&self) -> &Model {
        &self.trained.live
    }

    fn advice(&self) -> Vec<String> {
        vec![
            "more levels, so that less is to be recovered at once (--set model.levels=12)".to_owned(),
            "a bound on the gradient's norm (--set optim.clip_norm=1)".to_owned(),
        ]
    }
}

/// The way down the levels by the chains of the method: what its samples are. Their density is unknown.
struct Ancestral {
    model: Model,
    sampler: Sampler,
}

impl Proposal for Ancestral {
    fn draw(&self, key: Key, n: usize) -> Result<Tensor> {
        let [sigmas, gaps] = ladder(&self.model)?;
        let mut x = self.model.top()?.ok_or_else(without_top)?.sample(key.with("top"), n)?.detach();
        for level in (0..sigmas.dim(0)?).rev() {
            let of = |levels: &Tensor| -> Result<Tensor> { Ok(levels.get(level)?.broadcast_as(n)?.contiguous()?) };
            let pair = Pair { item: x.clone(), noisier: x, sigma: of(&sigmas)?, gap: of(&gaps)? };
            x = recovered(&self.sampler, key.at(level as u64), &self.model, &pair)?.0;
        }
        Ok(x)
    }

    fn is_dear(&self) -> bool {
        true
    }

    fn take_spent(&self) -> Spent {
        self.model.meter().take()
    }
}

/// The way down of a run, as a proposal.
fn proposal(method: &Spec, standing: &Standing) -> Result<Box<dyn Proposal>> {
    let DrlConfig { sampler } = method.within(decode(&method.table))?;
    let model = model_at_rest(standing)?;
    Ok(Box::new(Ancestral { model, sampler: Sampler::new(&sampler)? }))
}

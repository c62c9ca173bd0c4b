//! Running a kernel for a while: the settings that every sampler shares.

use candle_core::Tensor;

use super::SAMPLERS;
use super::info::{Info, StepReport};
use super::kernel::{Chain, Kernel, Target};
use super::replayed::Replayed;
use super::start::ChainConfig;
use super::stiffness::Lifetime;
use super::trace::{Losses, Trace};
use super::warm_up::WarmUp;
use crate::config::{Spec, decode, find};
use crate::data::Data;
use crate::density::{Counted, Energy, Model, Potential, Proposal, Space};
use crate::{Error, Result, rng::Key};

/// A kernel with its settings: `[sampler]` of a run.
pub struct Sampler {
    /// The kernel, which moves the chains.
    pub kernel: Box<dyn Kernel>,
    /// The length of the run and the start of the chains.
    pub config: ChainConfig,
    /// The warm-up before the steps that count.
    pub warm_up: WarmUp,
}

/// The parts of a section such as `[sampler]`: the kernel that it names, and the keys that all samplers have.
///
/// # Errors
/// The specification is not resolved.
pub fn parts(spec: &Spec) -> Result<(Box<dyn Kernel>, ChainConfig, WarmUp)> {
    let row = find(SAMPLERS, spec.name()).ok_or_else(|| Error::Other(format!("unknown sampler `{}`", spec.name())))?;
    let kernel = spec.within((row.build)(&spec.table))?;
    let (config, warm_up) = spec.within(decode(&spec.table))?;
    Ok((kernel, config, warm_up))
}

impl Sampler {
    /// The sampler of a section such as `[sampler]`.
    ///
    /// # Errors
    /// The specification is not resolved, or it asks for `means` or `temperature` for chains that do not move in noise.
    pub fn new(spec: &Spec) -> Result<Self> {
        let (kernel, config, warm_up) = parts(spec)?;
        spec.within(Self::with(kernel, config, warm_up))
    }

    /// The sampler that moves chains by `kernel`, with the length and start of `config`, after `warm_up`.
    ///
    /// # Errors
    /// `means` or `temperature` is asked for with chains that do not move in noise.
    pub fn with(kernel: Box<dyn Kernel>, config: ChainConfig, warm_up: WarmUp) -> Result<Self> {
        if config.space != Space::Noise && (config.means || config.temperature != 1.0) {
            return Err(Error::config("`sampler.means` and `sampler.temperature` are for chains that move in noise")
                .at("means")
                .hint("--set sampler.space=noise"));
        }
        Ok(Sampler { kernel, config, warm_up })
    }

    /// Starts one chain at the origin: whether the kernel can move on this model, or by the method's proposal, found
    /// before a long run. `runs`: the energy is asked for what the kernel reads of it too.
    ///
    /// # Errors
    /// The kernel needs something that neither gives.
    pub fn check(
        &self,
        model: &Model,
        proposal: Option<&dyn Proposal>,
        device: &candle_core::Device,
        runs: bool,
    ) -> Result<()> {
        let on = Target::of(model).proposing(proposal);
        let start = |on: &Target, point: &Tensor| {
            let chain = self.kernel.init(on, point)?;
            if runs { chain.filled(self.kernel.needs(), on.energy()).map(drop) } else { Ok(()) }
        };
        if let Some(potential) = self.potential(&on)? {
            return start(&of_noise(&potential), &potential.space().start(Key::new(0), 1)?);
        }
        let shape: Vec<usize> = std::iter::once(1).chain(model.shape().iter().copied()).collect();
        start(&on, &Tensor::zeros(shape, candle_core::DType::F32, device)?)
    }

    /// Refuses chains that would overshoot without end on the model as it is ([`Drift::check`]); `section` is the path
    /// of the sampler's section, x some points that [`Sampler::start`] gave, and a chain begins anew after `updates`
    /// of the model.
    ///
    /// # Errors
    /// The refusal; a model without the space that chains move in.
    ///
    /// [`Drift::check`]: super::Drift::check
    pub fn check_stable(&self, section: &str, model: &Model, x: &Tensor, updates: f64) -> Result<()> {
        let Some(drift) = self.kernel.drift() else { return Ok(()) };
        let lifetime = Lifetime { steps: self.config.steps, updates };
        match self.potential(&Target::of(model))? {
            Some(potential) => drift.check(section, model, &potential, x, lifetime),
            None => drift.check(section, model, model, x, lifetime),
        }
    }

    /// The energy that chains move on, where they do not move on the items; `None` where they do. In the noise of a
    /// generator beside the model it is the whole energy of the items that the generator makes.
    ///
    /// # Errors
    /// Neither the model nor its method has such a space.
    fn potential<'a>(&self, on: &Target<'a>) -> Result<Option<Potential<'a>>> {
        let ChainConfig { space, noise_prior, .. } = self.config;
        if space == Space::Data {
            return Ok(None);
        }
        if let Some((model, own)) = on.model().and_then(|model| Some((model, model.noise_space(space)?))) {
            let tilt = model.tilt().map(|tilt| Box::new(tilt) as Box<dyn Energy>);
            return if noise_prior { Potential::new(own, tilt).map(Some) } else { Err(flat_model()) };
        }
        let beside = on.generator().filter(|_| space == Space::Noise).ok_or_else(no_space)?;
        let whole: Box<dyn Energy> = Box::new(on.energy());
        Ok(Some(if noise_prior { Potential::new(beside, Some(whole))? } else { Potential::alone(beside, whole) }))
    }

    /// The items that the points `at` of chains on `on` stand for: the points themselves, or the items T(ε) of points
    /// ε in noise.
    ///
    /// # Errors
    /// There is no space of the kind that the chains move in.
    pub fn items(&self, on: &Target, at: &Tensor) -> Result<Tensor> {
        self.carried(self.potential(on)?.as_ref(), at)
    }

    fn carried(&self, potential: Option<&Potential>, at: &Tensor) -> Result<Tensor> {
        let Some(potential) = potential else { return Ok(at.clone()) };
        let space = potential.space();
        Ok(if self.config.means { space.quiet(at)? } else { space.push(at)? }.detach())
    }

    /// The energies `[B]` of chains that a run returned, in the space that they move in.
    ///
    /// # Errors
    /// As [`Sampler::run`].
    pub fn energies(&self, on: &Target, chain: &Chain) -> Result<Tensor> {
        match self.potential(on)? {
            Some(potential) => chain.energy(&potential),
            None => chain.energy(on.energy()),
        }
    }

    /// The chains of a run on `on` that left no draw.
    ///
    /// # Errors
    /// As [`Sampler::run`].
    pub fn losses(&self, on: &Target, trace: &Trace) -> Result<Losses> {
        trace.losses(&self.energies(on, &trace.chain)?)
    }

    /// The starting points of n chains, `[n, ..]`, in the space that chains move in.
    ///
    /// # Errors
    /// `init = "proposal"` is asked for without a proposal, or the model has no space of the kind that the chains move
    /// in.
    pub fn start(
        &self,
        key: Key,
        model: &Model,
        proposal: Option<&dyn Proposal>,
        data: &Data,
        n: usize,
    ) -> Result<Tensor> {
        if let Some(potential) = self.potential(&Target::of(model).proposing(proposal))? {
            return Ok((potential.space().start(key, n)? * self.config.temperature)?);
        }
        self.config.points(key, model, proposal, data, n)
    }

    /// Runs the chains from x, which [`Sampler::start`] returned. `watch(step, chain)` sees every state, in the space
    /// that chains move in, and may stop the run by an error.
    ///
    /// # Errors
    /// The energy or `watch` fails, or the target has no space of the kind that the chains move in.
    pub fn run(
        &self,
        key: Key,
        on: &Target,
        x: &Tensor,
        mut watch: impl FnMut(usize, &Chain) -> Result<()>,
    ) -> Result<Trace> {
        self.run_observed(key, on, x, |step, chain, _, _| watch(step, chain))
    }

    /// Runs the chains as [`Sampler::run`] does, with a `watch` that also sees the report on every step and the energy
    /// that the chains move on. It does not see the steps of the warm-up, after which the kernel stays as it is.
    ///
    /// # Errors
    /// As [`Sampler::run`].
    pub fn run_observed(
        &self,
        key: Key,
        on: &Target,
        x: &Tensor,
        mut watch: impl FnMut(usize, &Chain, &Info, &dyn Energy) -> Result<()>,
    ) -> Result<Trace> {
        let potential = self.potential(on)?;
        let on = potential.as_ref().map_or(*on, of_noise);
        let counted = Counted::new(on.energy());
        let on = on.under(&counted);
        let (tuned, mut chain) = self.warm_up.run(key.with("warm_up"), &*self.kernel, &on, x)?;
        let kernel = tuned.as_deref().unwrap_or(&*self.kernel);
        let (from, steps) = (chain.x.clone(), self.config.steps);
        let mut all = Info::default();
        let mut replayed: Option<Replayed> = None;
        for step in 0..steps {
            let key = key.at(step as u64);
            let (next, info) = match &mut replayed {
                Some(replayed) => replayed.step(kernel, key)?,
                None => kernel.step(key, &on, &chain)?,
            };
            if step == 0 {
                replayed = Replayed::of(kernel, key, &on, (&next, &info), steps - 1);
            }
            chain = next;
            all.add(&info)?;
            watch(step, &chain, &info, on.energy())?;
        }
        let StepReport { accept, accepted, nonfinite, .. } = all.read()?;
        let nonfinite = nonfinite.iter().sum();
        let tuning = tuned.and_then(|kernel| kernel.tuning());
        let (x, spent) = (self.carried(potential.as_ref(), &chain.x)?, counted.spent());
        Ok(Trace { x, chain, accept, from, steps, accepted, nonfinite, spent, tuning })
    }
}

/// The target of chains that move in noise.
fn of_noise<'a>(potential: &'a Potential) -> Target<'a> {
    let target = Target::new(potential);
    potential.normal().map_or(target, |normal| target.with(normal))
}

fn flat_model() -> Error {
    Error::config(
        "`sampler.noise_prior = false` is for the noise of a generator; the density of this model is made of its own",
    )
    .hint("--set sampler.noise_prior=true")
}

fn no_space() -> Error {
    Error::config(
        "`sampler.space` is not data, and neither has the model a base density with a noise space nor its method a \
         generator",
    )
    .hint("--set sampler.space=data, or a model `vae`, a flow, or `tilted` with such a base")
}

//! The trait of Markov kernels, in the form of BlackJAX: `init` makes a state, `step` moves it and reports on the step.

use candle_core::Tensor;

use super::info::Info;
use super::stiffness::Drift;
use crate::density::{BlockGibbs, Density, Energy, Model, NoiseSpace, Proposal};
use crate::rng::{Counter, Key};
use crate::{Error, Result, device};

/// The target of a kernel: the energy that chains move on, and the densities and Gibbs sweeps that some kernels use.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    energy: &'a dyn Energy,
    proposal: Option<&'a dyn Density>,
    generator: Option<&'a dyn Proposal>,
    exact: Option<&'a dyn Density>,
    gibbs: Option<&'a dyn BlockGibbs>,
    model: Option<&'a Model>,
}

impl<'a> Target<'a> {
    /// The target of an energy alone.
    pub fn new(energy: &'a dyn Energy) -> Self {
        Target { energy, proposal: None, generator: None, exact: None, gibbs: None, model: None }
    }

    /// The target of a model: its energy, its base density (or the model itself, where it is normalised) as the
    /// proposal of global moves, its exact draws and its Gibbs sweeps.
    pub fn of(model: &'a Model) -> Self {
        let density = model.density();
        // A VAE that nothing tilts is drawn from exactly, though its log p(x) may be an estimate only.
        let vae = model.vae().filter(|_| model.tilt().is_none()).map(|vae| vae as &dyn Density);
        Target {
            energy: model,
            proposal: model.base().or(density),
            generator: None,
            exact: density.or(vae),
            gibbs: model.gibbs(),
            model: Some(model),
        }
    }

    /// The same target with a proposal density for global moves (`imh`, `isir`, `ex2`, `flow_mcmc`).
    pub fn with(self, proposal: &'a dyn Density) -> Self {
        Target { proposal: Some(proposal), ..self }
    }

    /// The same target with its normalised density, for `exact`.
    pub fn drawn(self, exact: &'a dyn Density) -> Self {
        Target { exact: Some(exact), ..self }
    }

    /// The same target with Gibbs sweeps, for `gibbs`.
    pub fn swept(self, gibbs: &'a dyn BlockGibbs) -> Self {
        Target { gibbs: Some(gibbs), ..self }
    }

    /// The same target with a method's proposal: its density, if it has one, for global moves, such as a flow that
    /// followed the energy through training; and its noise, if it is a generator, for chains that move there.
    pub fn proposing(self, proposal: Option<&'a dyn Proposal>) -> Self {
        Target { proposal: proposal.and_then(Proposal::density).or(self.proposal), generator: proposal, ..self }
    }

    /// The same target on another energy, such as a counted one.
    pub(super) fn under<'b>(self, energy: &'b dyn Energy) -> Target<'b>
    where
        'a: 'b,
    {
        Target { energy, ..self }
    }

    /// The energy that chains move on.
    pub fn energy(&self) -> &'a dyn Energy {
        self.energy
    }

    /// The model, where the target is one.
    pub fn model(&self) -> Option<&'a Model> {
        self.model
    }

    /// The space of the noise of the method's generator, if it has one.
    pub fn generator(&self) -> Option<Box<dyn NoiseSpace + 'a>> {
        self.generator.and_then(Proposal::noise_space)
    }

    /// The density that the target is, where exact draws of it are known.
    pub fn exact(&self) -> Option<&'a dyn Density> {
        self.exact
    }

    /// The Gibbs sweeps, where the target has them.
    pub fn gibbs(&self) -> Option<&'a dyn BlockGibbs> {
        self.gibbs
    }

    /// The density from which global moves draw their proposals.
    ///
    /// # Errors
    /// The target has none.
    pub fn proposal(&self) -> Result<&'a dyn Density> {
        self.proposal.ok_or_else(|| {
            Error::config("the sampler proposes from a density that can be drawn from, and `model` has no base density")
                .hint(
                    "--set model.base=diagonal for a neural energy, or a Markov chain that needs none, such as --set \
                     sampler.name=mala",
                )
        })
    }
}

/// The evaluations at a chain's position that a kernel reads before it moves the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// No evaluation.
    Position,
    /// The energy.
    Value,
    /// The energy and its gradient.
    Gradient,
}

/// The copies of chains at the K - 1 temperatures above 1.
#[derive(Clone, Debug)]
pub struct Hot {
    /// The chains `[(K-1)·B, ..]`, temperature after temperature.
    pub(super) chains: Box<Chain>,
    /// The number of steps so far: even and odd pairs of temperatures swap in turn.
    pub(super) round: u64,
}

/// A batch of chains: their positions, and the evaluations there that are known.
///
/// Energies and gradients are evaluated when a kernel or a caller first asks, and kept: a kernel that reads no gradient
/// pays for none, and none is taken where a chain ends.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The positions, `[B, ..]`.
    pub x: Tensor,
    energy: Option<Tensor>,
    grad: Option<Tensor>,
    /// The same chains at higher temperatures, for the kernel that keeps those.
    pub(super) hot: Option<Hot>,
}

impl Chain {
    /// The chains at x `[B, ..]`, without any evaluation.
    pub fn at(x: &Tensor) -> Self {
        Chain { x: x.detach(), energy: None, grad: None, hot: None }
    }

    /// The chains at x `[B, ..]` with known energies `[B]` and, if given, gradients of x's shape.
    pub fn known(x: Tensor, energy: Tensor, grad: Option<Tensor>) -> Self {
        Chain { x, energy: Some(energy), grad, hot: None }
    }

    /// The same chains with all evaluations that `need` names; those that are not known are made.
    ///
    /// # Errors
    /// The energy fails.
    pub fn filled(&self, need: Need, e: &dyn Energy) -> Result<Self> {
        let _shapes = device::keep_shapes(self.x.device());
        let (energy, grad) = match need {
            Need::Gradient if self.energy.is_none() || self.grad.is_none() => {
                let (energy, grad) = e.grad(&self.x)?;
                (Some(energy.detach()), Some(grad.detach()))
            }
            Need::Value if self.energy.is_none() => (Some(e.energy(&self.x)?.detach()), None),
            _ => return Ok(self.clone()),
        };
        Ok(Chain { x: self.x.clone(), energy, grad, hot: self.hot.clone() })
    }

    /// The energies E(x), `[B]`, evaluated if they are not known.
    ///
    /// # Errors
    /// The energy fails.
    pub fn energy(&self, e: &dyn Energy) -> Result<Tensor> {
        Ok(self.filled(Need::Value, e)?.value()?.clone())
    }

    /// The known energies E(x), `[B]`.
    ///
    /// # Errors
    /// The energies are not known: see [`Chain::filled`].
    pub fn value(&self) -> Result<&Tensor> {
        self.energy.as_ref().ok_or_else(|| Error::Other("the energy of a chain was not evaluated".into()))
    }

    /// The known gradients ∇x E(x), of x's shape.
    ///
    /// # Errors
    /// The gradients are not known: see [`Chain::filled`].
    pub fn slope(&self) -> Result<&Tensor> {
        self.grad.as_ref().ok_or_else(|| Error::Other("the gradient of a chain was not evaluated".into()))
    }

    /// All tensors of the chains.
    pub(super) fn tensors(&self) -> Vec<&Tensor> {
        let hot = self.hot.iter().flat_map(|hot| hot.chains.tensors());
        std::iter::once(&self.x).chain(&self.energy).chain(&self.grad).chain(hot).collect()
    }

    /// The same chains with hot copies beside them.
    pub(super) fn beside(self, hot: Hot) -> Self {
        Chain { hot: Some(hot), ..self }
    }

    /// The chains whose positions, energies and gradients are f of those of this one, as far as they are known.
    ///
    /// # Errors
    /// `f` fails.
    pub(super) fn map(&self, f: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Self> {
        let part = |t: &Option<Tensor>| t.as_ref().map(&f).transpose();
        Ok(Chain { x: f(&self.x)?, energy: part(&self.energy)?, grad: part(&self.grad)?, hot: None })
    }

    /// The chains whose positions, energies and gradients are f of those of both; an evaluation that one of the two
    /// lacks is unknown.
    ///
    /// # Errors
    /// `f` fails.
    pub(super) fn zip(&self, other: &Chain, f: impl Fn(&Tensor, &Tensor) -> Result<Tensor>) -> Result<Self> {
        let part =
            |a: &Option<Tensor>, b: &Option<Tensor>| a.as_ref().zip(b.as_ref()).map(|(a, b)| f(a, b)).transpose();
        let (energy, grad) = (part(&self.energy, &other.energy)?, part(&self.grad, &other.grad)?);
        Ok(Chain { x: f(&self.x, &other.x)?, energy, grad, hot: None })
    }
}

/// The step size and scale of a kernel's moves.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// The step size ε.
    pub step_size: f64,
    /// The scale of ε in each coordinate, of the shape of one item; `None` for 1 everywhere. Its square is the inverse
    /// of the diagonal mass.
    pub scale: Option<Tensor>,
}

/// A Markov kernel on batches of independent chains.
pub trait Kernel: Send + Sync {
    /// The evaluations that the kernel reads before it moves a chain.
    fn needs(&self) -> Need;

    /// The state of chains that start at x `[B, ..]`, after a check that the kernel can move on the target.
    ///
    /// # Errors
    /// The target lacks something that the kernel uses.
    fn init(&self, _on: &Target, x: &Tensor) -> Result<Chain> {
        Ok(Chain::at(x))
    }

    /// Moves every chain by one step, with randomness from `key`, and reports on it.
    ///
    /// # Errors
    /// The energy fails, or the target lacks something that the kernel uses.
    fn step(&self, key: Key, on: &Target, chain: &Chain) -> Result<(Chain, Info)>;

    /// The streams of random numbers that the step with `key` draws from, in the order in which it does, if it draws by
    /// counter alone and is the same step but for them: then it can be recorded. `None` for all others.
    fn draws(&self, _key: Key) -> Option<Vec<Counter>> {
        None
    }

    /// The step size and scale of the moves; `None` for a kernel without a step size that a warm-up could tune.
    fn tuning(&self) -> Option<Tuning> {
        None
    }

    /// The same kernel with another step size and scale; `None` as for [`Kernel::tuning`].
    fn tuned(&self, _tuning: &Tuning) -> Option<Box<dyn Kernel>> {
        None
    }

    /// How it moves, if it neither rejects nor bounds the gradient, so that chains on too stiff an energy overshoot.
    fn drift(&self) -> Option<Drift> {
        None
    }

    /// One sentence on the meaning of the settings, such as the temperature of a tempered sampler.
    fn describe(&self) -> String;
}

/// The product of x `[B, ..]` and s, of the shape of one item, in each coordinate; x itself where s is `None`.
///
/// # Errors
/// The shapes do not fit.
pub fn scaled(x: &Tensor, s: Option<&Tensor>) -> Result<Tensor> {
    let _shapes = device::keep_shapes(x.device());
    s.map_or_else(|| Ok(x.clone()), |s| Ok(x.broadcast_mul(s)?))
}

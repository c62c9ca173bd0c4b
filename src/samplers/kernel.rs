//! What a Markov kernel is, in BlackJAX's shape: `init` makes a state, `step` moves it and tells what happened.

use candle_core::Tensor;

use super::stiffness::Drift;
use crate::density::{BlockGibbs, Density, Energy, Model, Proposal};
use crate::{Error, Result, rng::Key};

/// The target of a kernel: the energy that chains move on, and what some kernels use besides.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    energy: &'a dyn Energy,
    proposal: Option<&'a dyn Density>,
    exact: Option<&'a dyn Density>,
    gibbs: Option<&'a dyn BlockGibbs>,
    model: Option<&'a Model>,
}

impl<'a> Target<'a> {
    /// An energy and nothing besides.
    pub fn new(energy: &'a dyn Energy) -> Self {
        Target { energy, proposal: None, exact: None, gibbs: None, model: None }
    }

    /// A model: its energy, its base density (or itself, where it is normalised) as the proposal of global moves, its
    /// exact draws and its Gibbs sweeps.
    pub fn of(model: &'a Model) -> Self {
        let density = model.density();
        // A VAE that nothing tilts is drawn from exactly, though its log p(x) may be an estimate only.
        let vae = model.vae().filter(|_| model.tilt().is_none()).map(|vae| vae as &dyn Density);
        Target {
            energy: model,
            proposal: model.base().or(density),
            exact: density.or(vae),
            gibbs: model.gibbs(),
            model: Some(model),
        }
    }

    /// The same target with a proposal density for global moves (`imh`, `isir`, `ex2`, `flow_mcmc`).
    pub fn with(self, proposal: &'a dyn Density) -> Self {
        Target { proposal: Some(proposal), ..self }
    }

    /// The same target with the density that it is, for `exact`.
    pub fn drawn(self, exact: &'a dyn Density) -> Self {
        Target { exact: Some(exact), ..self }
    }

    /// The same target with Gibbs sweeps, for `gibbs`.
    pub fn swept(self, gibbs: &'a dyn BlockGibbs) -> Self {
        Target { gibbs: Some(gibbs), ..self }
    }

    /// The same target with what a method draws from at once as the proposal, if that is a density: a flow that
    /// followed the energy through training.
    pub fn proposing(self, proposal: Option<&'a dyn Proposal>) -> Self {
        Target { proposal: proposal.and_then(Proposal::density).or(self.proposal), ..self }
    }

    /// The same capabilities under another energy, such as a counted one.
    pub(super) fn under<'b>(self, energy: &'b dyn Energy) -> Target<'b>
    where
        'a: 'b,
    {
        Target { energy, ..self }
    }

    /// The energy.
    pub fn energy(&self) -> &'a dyn Energy {
        self.energy
    }

    /// The model, where the target is one.
    pub fn model(&self) -> Option<&'a Model> {
        self.model
    }

    /// The density that the target is, where it can be drawn from.
    pub fn exact(&self) -> Option<&'a dyn Density> {
        self.exact
    }

    /// Gibbs sweeps, where the target has them.
    pub fn gibbs(&self) -> Option<&'a dyn BlockGibbs> {
        self.gibbs
    }

    /// The density that moves independent of the chain propose from.
    ///
    /// # Errors
    /// A target without one.
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

/// What a kernel reads of a chain before it moves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// The position.
    Position,
    /// The energy too.
    Value,
    /// The energy and its gradient too.
    Gradient,
}

/// The chains at the temperatures above 1.
#[derive(Clone, Debug)]
pub struct Hot {
    /// `[(K-1)·B, ..]`, temperature after temperature.
    pub(super) chains: Box<Chain>,
    /// Steps so far: even and odd pairs take turns.
    pub(super) round: u64,
}

/// A batch of chains: positions, and what was evaluated there already.
///
/// Energies and gradients are evaluated when a kernel or a caller first asks, and kept: a kernel that reads no gradient
/// pays for none, and none is taken where a chain ends.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Positions, `[B, ..]`.
    pub x: Tensor,
    energy: Option<Tensor>,
    grad: Option<Tensor>,
    /// The same chains at higher temperatures, for the kernel that keeps such.
    pub(super) hot: Option<Hot>,
}

impl Chain {
    /// Chains at x `[B, ..]`, where nothing has been evaluated.
    pub fn at(x: &Tensor) -> Self {
        Chain { x: x.detach(), energy: None, grad: None, hot: None }
    }

    /// Chains at x `[B, ..]` with known energies `[B]` and, if given, gradients like x.
    pub fn known(x: Tensor, energy: Tensor, grad: Option<Tensor>) -> Self {
        Chain { x, energy: Some(energy), grad, hot: None }
    }

    /// The same chains with all that `need` names, evaluated where it is not known.
    ///
    /// # Errors
    /// The energy's own.
    pub fn filled(&self, need: Need, e: &dyn Energy) -> Result<Self> {
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

    /// E(x), `[B]`, evaluated if it is not known.
    ///
    /// # Errors
    /// The energy's own.
    pub fn energy(&self, e: &dyn Energy) -> Result<Tensor> {
        Ok(self.filled(Need::Value, e)?.value()?.clone())
    }

    /// E(x), `[B]`, of chains that were filled.
    ///
    /// # Errors
    /// Chains that were not.
    pub fn value(&self) -> Result<&Tensor> {
        self.energy.as_ref().ok_or_else(|| Error::Other("the energy of a chain was not evaluated".into()))
    }

    /// ∇x E(x), like x, of chains that were filled.
    ///
    /// # Errors
    /// Chains that were not.
    pub fn slope(&self) -> Result<&Tensor> {
        self.grad.as_ref().ok_or_else(|| Error::Other("the gradient of a chain was not evaluated".into()))
    }

    /// The same chains with hot ones beside them.
    pub(super) fn beside(self, hot: Hot) -> Self {
        Chain { hot: Some(hot), ..self }
    }

    /// The chains that `f` makes of positions, energies and gradients alike, of what is known.
    ///
    /// # Errors
    /// `f`'s own.
    pub(super) fn map(&self, f: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Self> {
        let part = |t: &Option<Tensor>| t.as_ref().map(&f).transpose();
        Ok(Chain { x: f(&self.x)?, energy: part(&self.energy)?, grad: part(&self.grad)?, hot: None })
    }

    /// The chains that `f` makes of pairs of positions, energies and gradients; what one of both does not know is
    /// unknown.
    ///
    /// # Errors
    /// `f`'s own.
    pub(super) fn zip(&self, other: &Chain, f: impl Fn(&Tensor, &Tensor) -> Result<Tensor>) -> Result<Self> {
        let part =
            |a: &Option<Tensor>, b: &Option<Tensor>| a.as_ref().zip(b.as_ref()).map(|(a, b)| f(a, b)).transpose();
        let (energy, grad) = (part(&self.energy, &other.energy)?, part(&self.grad, &other.grad)?);
        Ok(Chain { x: f(&self.x, &other.x)?, energy, grad, hot: None })
    }
}

/// What one step did.
#[derive(Clone, Debug, Default)]
pub struct Info {
    /// Share of the chains whose proposal was accepted; `None` for kernels that accept everything.
    pub accept: Option<f64>,
    /// The mean probability of acceptance, which tuning listens to: less noise than in the share.
    pub chance: Option<f64>,
    /// Proposals without a finite energy, chain by chain; they are never accepted. Empty for kernels that accept
    /// everything.
    pub nonfinite: Vec<usize>,
    /// E + ½|p|² at the end of the step, chain by chain, where there are momenta: what E-BFMI is about.
    pub hamiltonian: Option<Vec<f64>>,
    /// Acceptance of each kind of move, by name, for kernels that have several.
    pub moves: Vec<(&'static str, f64)>,
}

impl Info {
    /// Of the choice and the count of every chain.
    pub(super) fn of(accepted: &[u8], nonfinite: Vec<usize>) -> Self {
        let share = accepted.iter().map(|&a| f64::from(a)).sum::<f64>() / accepted.len().max(1) as f64;
        Info { accept: Some(share), nonfinite, ..Info::default() }
    }
}

/// How far a kernel moves.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// ε.
    pub step_size: f64,
    /// What ε is multiplied by in each coordinate, the shape of one item; `None` for 1 everywhere. Its square is the
    /// inverse of the diagonal mass.
    pub scale: Option<Tensor>,
}

/// A Markov kernel on batches of independent chains.
pub trait Kernel: Send + Sync {
    /// What it reads of a chain before it moves it.
    fn needs(&self) -> Need;

    /// The state of chains that start at x `[B, ..]`, after a look at whether the kernel can move on the target.
    ///
    /// # Errors
    /// A target that lacks what the kernel uses.
    fn init(&self, _on: &Target, x: &Tensor) -> Result<Chain> {
        Ok(Chain::at(x))
    }

    /// One step of every chain, with randomness from `key`.
    ///
    /// # Errors
    /// The energy's own; a target that lacks what the kernel uses.
    fn step(&self, key: Key, on: &Target, chain: &Chain) -> Result<(Chain, Info)>;

    /// The step size and scale it moves with; `None` for a kernel without a step size that a warm-up could tune.
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

    /// One sentence on what the settings mean, such as the temperature that a tempered sampler runs at.
    fn describe(&self) -> String;
}

/// x `[B, ..]` times s, the shape of one item, in each coordinate; x itself where there is no s.
///
/// # Errors
/// Shapes that do not fit.
pub fn scaled(x: &Tensor, s: Option<&Tensor>) -> Result<Tensor> {
    s.map_or_else(|| Ok(x.clone()), |s| Ok(x.broadcast_mul(s)?))
}

//! What a model is: an [`Energy`] gives p(x) ∝ exp(-E(x)); a [`Density`] also knows its normaliser.

mod affine;
mod bridge;
mod clamped;
mod classifier;
pub mod flow;
mod gaussian;
mod generator;
mod ica;
mod laplacian;
mod model;
mod neural;
pub mod noise_space;
mod phi4;
mod proposal;
mod rbm;
mod stored;
mod target;
mod tilted;
pub mod vae;

pub use affine::{Affine, Coordinates};
pub use bridge::Bridge;
pub use clamped::{Clamped, Freedom, Hole};
pub use classifier::{Classifier, energy_of};
pub use gaussian::Gaussian;
pub use generator::{Generator, GeneratorConfig, Squash};
pub use ica::Ica;
pub use model::{BuildModel, Context, MODELS, Model, schemas};
pub use neural::Neural;
pub use noise_space::{NoiseSpace, Potential, Space};
pub use proposal::Proposal;
pub use rbm::{Rbm, RbmConfig, RbmInit};
pub use stored::Stored;
pub use target::Target;
pub use vae::{Likelihood, Vae};

use candle_core::Tensor;

use crate::{Result, rng::Key};

/// An unnormalised density p(x) ∝ exp(-E(x)). Energies are in nats; low is likely.
///
/// # Shapes
/// x: `[B, ..]`, energies: `[B]`, gradients: as x.
pub trait Energy: Send + Sync {
    /// E(x), differentiable in the parameters (and in x).
    fn energy(&self, x: &Tensor) -> Result<Tensor>;

    /// (E(x), ∇x E(x)), both differentiable in the parameters.
    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)>;

    /// (E(x), v·∇x E(x)): one tangent pass where an energy has one. With v held constant, its gradient in the
    /// parameters is all that LSD's model step and ½‖∇x E‖² need.
    fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let (energy, grad) = self.grad(x)?;
        Ok((energy, (grad * v)?.flatten_from(1)?.sum(1)?))
    }

    /// (E(x), v·∇x E(x), vᵀ ∇²x E(x) v), each `[B]`: the energy and its first two derivatives along v, differentiable in
    /// the parameters. What score matching and its relatives train on.
    fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]>;

    /// (E(x) `[B]`, ∇x E(x) as x, ΔE(x) = tr ∇²x E(x) `[B]`), exactly; differentiable in the parameters.
    ///
    /// By [`Energy::curvature`] along the D unit vectors, many of them in one pass (the plane takes one): the slopes
    /// along them are the gradient, the curvatures sum to the trace. An energy with a closed form overrides this.
    fn laplacian(&self, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        laplacian::by_directions(self, x)
    }

    /// One sweep of block Gibbs sampling from x, `[B, ..]`: the hidden units given x, then x given them. `None` for a
    /// model without hidden units whose conditionals are known.
    fn gibbs_sweep(&self, _key: Key, _x: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// The learned part of E without its base density; E itself where there is no base.
    fn residual(&self, x: &Tensor) -> Result<Tensor> {
        self.energy(x)
    }

    /// The same energy with dropout, masks drawn from `key`, on the same weights; `None` where there is none. Every pass
    /// of the view sees the same masks.
    fn in_training(&self, _key: Key) -> Option<Box<dyn Energy>> {
        None
    }

    /// Logits of the classes, `[B, K]`, of a model that is a classifier too, with E(x) = -log Σ exp(logits).
    fn logits(&self, _x: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// The energy of x within a class, `-f(x)[y]`, with the labels y `[B]` (u32) of the items that it will be asked about;
    /// `None` for a model that is no classifier.
    fn given(&self, _y: &Tensor) -> Option<Box<dyn Energy>> {
        None
    }

    /// What the last linear layer of a classifier reads, `[B, F]`: a space in which like images are close.
    fn features(&self, _x: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// What must follow every change of the weights, such as a power iteration of spectral norm.
    fn after_update(&self) -> Result<()> {
        Ok(())
    }

    /// Sets, in place and before training, what a network under weight norm takes from items x.
    fn calibrate(&self, _x: &Tensor) -> Result<()> {
        Ok(())
    }

    /// The base density that the energy tilts, if it has one: E(x) = residual(x) - log base(x). Where kernels that propose
    /// independently of x draw from.
    fn base(&self) -> Option<&dyn Density> {
        None
    }

    /// Exact draws from the base density that the energy tilts, if it has one: where a chain may start.
    fn base_sample(&self, _key: Key, _n: usize) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// The coordinates that the base density's draws are made of, if chains can move there.
    fn noise_space(&self, _space: Space) -> Option<Box<dyn NoiseSpace + '_>> {
        None
    }

    /// (value, ∇x) of the part of E beside the base density, where chains can move in its noise space; `None` where
    /// there is no such part.
    fn tilt(&self) -> Option<noise_space::Function<'_>> {
        None
    }

    /// The variational autoencoder that this is, or tilts.
    fn vae(&self) -> Option<&Vae> {
        None
    }

    /// The learned B with independent Bx, `[D, D]`, of a linear independent component analysis.
    fn unmixing(&self) -> Option<&Tensor> {
        None
    }

    /// The same energy as a normalised density, if its normaliser is known.
    fn density(&self) -> Option<&dyn Density> {
        None
    }
}

/// A density with a known normaliser.
pub trait Density: Energy {
    /// log p(x) in nats, `[B]`.
    fn log_prob(&self, x: &Tensor) -> Result<Tensor>;

    /// n independent draws, `[n, ..]`.
    fn sample(&self, key: Key, n: usize) -> Result<Tensor>;
}

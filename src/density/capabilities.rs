//! The capabilities that some models have besides being an energy.

use candle_core::Tensor;

use super::{Density, Energy, Form, NoiseSpace, Space, Vae};
use crate::{Result, rng::Key};

/// A sampler that draws the hidden units of a model given x, then x given them.
pub trait BlockGibbs: Send + Sync {
    /// One sweep of block Gibbs sampling from x, `[B, ..]` -> `[B, ..]`.
    ///
    /// # Errors
    /// A tensor operation fails.
    fn sweep(&self, key: Key, x: &Tensor) -> Result<Tensor>;
}

/// The capabilities of a model beside its energy. Each is absent until a model overrides it. Callers ask
/// [`Model`](super::Model), the only type that passes them on. A method that returns a `Result` fails where a tensor
/// operation does.
pub trait Capabilities: Energy {
    /// The same model on the same weights with dropout, whose masks are drawn from `key`; `None` for a model without
    /// dropout. Every pass of this view sees the same masks.
    fn in_training(&self, _key: Key) -> Option<Box<dyn Capabilities>> {
        None
    }

    /// The logits of K classes, `[B, K]`, of a model that is a classifier too, with E(x) = -log Σ exp(logits).
    fn logits(&self, _x: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// The logits `[B, K]` with the slope of the energy along v, (f(x), v·∇x E(x)), by one pass, of a model that has
    /// logits; differentiable in the parameters.
    fn logits_along(&self, _x: &Tensor, _v: &Tensor) -> Result<Option<[Tensor; 2]>> {
        Ok(None)
    }

    /// The energy of x within a class, `-f(x)[y]` with the logits f, for items x with the labels y `[B]` (u32); `None`
    /// for a model that is no classifier.
    fn given(&self, _y: &Tensor) -> Option<Box<dyn Energy>> {
        None
    }

    /// The energies of x at noise levels σ `[B]`, one level an item: exp(-E(x, σ)) is the data blurred by N(0, σ²I), up
    /// to a factor. At the lowest of [`Capabilities::levels`] it is the model's energy. `None` for a model without
    /// levels.
    fn at_level(&self, _sigma: &Tensor) -> Option<Box<dyn Energy>> {
        None
    }

    /// The energies of items x at noise levels σ `[B]` with their gradients in x and their slopes ∂E(x, σ)/∂ln σ, x
    /// held, all differentiable in the parameters; `None` for a model without levels.
    fn level_grad(&self, _sigma: &Tensor, _x: &Tensor) -> Result<Option<[Tensor; 3]>> {
        Ok(None)
    }

    /// The energies of items x at noise levels σ `[B]`, and what a network from items to items gives for their
    /// gradients without a derivative in x; both are differentiable in the parameters. `None` for a model without such
    /// a network.
    fn level_field(&self, _sigma: &Tensor, _x: &Tensor) -> Result<Option<[Tensor; 2]>> {
        Ok(None)
    }

    /// The normal density that the data are close to at the highest of [`Capabilities::levels`]; `None` for a model
    /// without levels.
    fn top(&self) -> Result<Option<Box<dyn Density>>> {
        Ok(None)
    }

    /// The noise levels that the model is made for, σ_0 < … < σ_{L-1}, `[L]`; `None` for a model without levels.
    fn levels(&self) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// The input of a classifier's last linear layer, `[B, F]`: a space in which similar images are close.
    fn features(&self, _x: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// The block Gibbs sampler of a model with hidden units whose conditionals are known.
    fn gibbs(&self) -> Option<&dyn BlockGibbs> {
        None
    }

    /// Does the work that must follow every change of the weights, such as a power iteration of spectral norm.
    fn after_update(&self) -> Result<()> {
        Ok(())
    }

    /// Sets the scales and biases of layers under weight norm from items, in place and before training.
    fn calibrate(&self, _items: &dyn Fn() -> Result<Tensor>) -> Result<()> {
        Ok(())
    }

    /// The base density p₀ that the energy tilts, E(x) = f(x) - log p₀(x), if there is one with a known normaliser.
    /// Kernels whose proposals do not depend on x draw from it.
    fn base(&self) -> Option<&dyn Density> {
        None
    }

    /// Exact draws from the base density, `[n, ..]`, if there is one; chains may start there.
    fn base_sample(&self, _key: Key, _n: usize) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// The energy f beside the base density, E(x) = f(x) - log p₀(x); `None` where there is no base density.
    fn tilt(&self) -> Option<Box<dyn Energy + '_>> {
        None
    }

    /// The space of the noise that the base density's draws are made of, if chains can move there.
    fn noise_space(&self, _space: Space) -> Option<Box<dyn NoiseSpace + '_>> {
        None
    }

    /// The variational autoencoder that this model is or tilts.
    fn vae(&self) -> Option<&Vae> {
        None
    }

    /// The learned unmixing matrix B of linear independent component analysis, `[D, D]`, for which Bx has independent
    /// entries.
    fn unmixing(&self) -> Option<&Tensor> {
        None
    }

    /// The energy as parts that other programs know, if it is made of such.
    fn form(&self) -> Option<Form<'_>> {
        None
    }

    /// Whether [`Energy::laplacian`] is a formula at the price of a gradient; otherwise it takes D second-order passes.
    fn has_closed_laplacian(&self) -> bool {
        false
    }

    /// The same energy as a normalised density, if its normaliser is known.
    fn density(&self) -> Option<&dyn Density> {
        None
    }
}

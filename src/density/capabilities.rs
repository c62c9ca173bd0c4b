//! What some models can do besides being an energy.

use candle_core::Tensor;

use super::{Density, Energy, NoiseSpace, Space, Vae};
use crate::{Result, rng::Key};

/// A sampler that draws the hidden units of a model given x, then x given them.
pub trait BlockGibbs: Send + Sync {
    /// One sweep from x, `[B, ..]` -> `[B, ..]`.
    ///
    /// # Errors
    /// A tensor operation that failed.
    fn sweep(&self, key: Key, x: &Tensor) -> Result<Tensor>;
}

/// The capabilities of a model beside its energy. Each is absent until a model says otherwise; nothing but
/// [`Model`](super::Model), which every caller asks, passes them on.
pub trait Capabilities: Energy {
    /// The same model with dropout, masks drawn from `key`, on the same weights; `None` where there is none. Every pass
    /// of the view sees the same masks.
    fn in_training(&self, _key: Key) -> Option<Box<dyn Capabilities>> {
        None
    }

    /// Logits of the classes, `[B, K]`, of a model that is a classifier too, with E(x) = -log Σ exp(logits).
    fn logits(&self, _x: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// The energy of x within a class, `-f(x)[y]`, with the labels y `[B]` (u32) of the items that it will be asked
    /// about; `None` for a model that is no classifier.
    fn given(&self, _y: &Tensor) -> Option<Box<dyn Energy>> {
        None
    }

    /// What the last linear layer of a classifier reads, `[B, F]`: a space in which like images are close.
    fn features(&self, _x: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// The block Gibbs sampler of a model with hidden units whose conditionals are known.
    fn gibbs(&self) -> Option<&dyn BlockGibbs> {
        None
    }

    /// What must follow every change of the weights, such as a power iteration of spectral norm.
    fn after_update(&self) -> Result<()> {
        Ok(())
    }

    /// Sets, in place and before training, what a network under weight norm takes from items x.
    fn calibrate(&self, _items: &dyn Fn() -> Result<Tensor>) -> Result<()> {
        Ok(())
    }

    /// The base density p₀ that the energy tilts, if it has one with a known normaliser: E(x) = f(x) - log p₀(x). Where
    /// kernels that propose independently of x draw from.
    fn base(&self) -> Option<&dyn Density> {
        None
    }

    /// Exact draws from the base density, `[n, ..]`, if there is one: where a chain may start.
    fn base_sample(&self, _key: Key, _n: usize) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// The part f of E beside the base density, an energy of its own; `None` where there is no base density.
    fn tilt(&self) -> Option<Box<dyn Energy + '_>> {
        None
    }

    /// The coordinates that the base density's draws are made of, if chains can move there.
    fn noise_space(&self, _space: Space) -> Option<Box<dyn NoiseSpace + '_>> {
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

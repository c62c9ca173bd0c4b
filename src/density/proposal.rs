//! What draws at once: the amortised sampler, or the store of chains, that a method keeps beside its energy.

use candle_core::Tensor;

use super::Density;
use crate::{Result, rng::Key};

/// A distribution that is drawn from without a Markov chain and follows the model: VERA's generator, the replay buffer
/// of PCD. Chains may start there (`sampler.init = "proposal"`).
pub trait Proposal: Send + Sync {
    /// n draws, `[n, ..]`.
    fn draw(&self, key: Key, n: usize) -> Result<Tensor>;

    /// n draws with the labels `[n]` (u32) that they were made for, where draws are made for labels.
    fn draw_labelled(&self, _key: Key, _n: usize) -> Result<Option<(Tensor, Tensor)>> {
        Ok(None)
    }

    /// Items whose free part is drawn given the known part of `known` `[n, ..]`, where draws are made for that.
    fn complete(&self, _key: Key, _known: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// The density that its draws follow, where that is known.
    fn density(&self) -> Option<&dyn Density> {
        None
    }

    /// Log-density at x, `[B]`, of its draws or, for a VAE, of its items with the decoder's noise, where that is known.
    fn log_density(&self, x: &Tensor) -> Result<Option<Tensor>> {
        self.density().map(|q| q.log_prob(x)).transpose()
    }
}

//! The distributions that give draws at once: the amortised sampler, or the store of chains, that a method keeps beside
//! its energy.

use candle_core::Tensor;

use super::{Density, NoiseSpace};
use crate::metrics::Spent;
use crate::{Result, rng::Key};

/// A distribution that gives draws without a Markov chain and follows the model, such as VERA's generator or the replay
/// buffer of PCD. Chains may start there (`sampler.init = "proposal"`). Every function fails where a tensor operation
/// does.
pub trait Proposal: Send + Sync {
    /// The draws, `[n, ..]`.
    fn draw(&self, key: Key, n: usize) -> Result<Tensor>;

    /// The draws, `[n, ..]`, and the labels `[n]` (u32) that they were made for; `None` where draws are not made for
    /// labels.
    fn draw_labelled(&self, _key: Key, _n: usize) -> Result<Option<(Tensor, Tensor)>> {
        Ok(None)
    }

    /// Items `[n, ..]` whose free part is drawn given the known part of `known` `[n, ..]`; `None` where that is not
    /// possible.
    fn complete(&self, _key: Key, _known: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// The density of the draws, where it is known.
    fn density(&self) -> Option<&dyn Density> {
        None
    }

    /// The space of the noise that a generator's draws are made of, in which chains can refine them; `None` where draws
    /// are made in another way.
    fn noise_space(&self) -> Option<Box<dyn NoiseSpace + '_>> {
        None
    }

    /// Whether a draw, and its density more so, takes hundreds of evaluations of the energy.
    fn is_dear(&self) -> bool {
        false
    }

    /// Evaluations of the model's energy that draws and densities took, counted from zero again.
    fn take_spent(&self) -> Spent {
        Spent::default()
    }

    /// The log-density at x, `[B]`, of the draws or, for a VAE, of its items with the decoder's noise; `None` if
    /// unknown.
    fn log_density(&self, x: &Tensor) -> Result<Option<Tensor>> {
        self.density().map(|q| q.log_prob(x)).transpose()
    }
}

//! Items with the scores of a fixed energy, computed once: what the LSD evaluation and the goodness-of-fit tests work
//! on.

use candle_core::Tensor;
use rand::seq::SliceRandom as _;

use super::rows::in_chunks;
use crate::density::Energy;
use crate::methods::{Critic, Part as _, State};
use crate::{Error, Result, rng::Key};

/// Items with the model's score s = -∇E at each.
///
/// # Shapes
/// Both `[N, ..]`.
pub struct Scored {
    /// The items.
    pub x: Tensor,
    /// s(x), a constant.
    pub score: Tensor,
}

/// Items evaluated at a time: bounds the memory, changes no result.
const CHUNK: usize = 1000;

impl Scored {
    /// Computes the scores.
    ///
    /// # Errors
    /// Items of another shape than the energy's; none at all.
    pub fn new(energy: &dyn Energy, x: Tensor) -> Result<Self> {
        let scores = in_chunks(&x, CHUNK, |_, rows| Ok(energy.grad(rows)?.1.detach().neg()?))?;
        let score = Tensor::cat(&scores, 0)?;
        Ok(Scored { x, score })
    }

    /// N.
    pub fn len(&self) -> Result<usize> {
        Ok(self.x.dim(0)?)
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// The first `n` items, all for 0.
    pub fn first(&self, n: usize) -> Result<Self> {
        let n = if n == 0 { self.len()? } else { n.min(self.len()?) };
        Ok(Scored { x: self.x.narrow(0, 0, n)?, score: self.score.narrow(0, 0, n)? })
    }

    /// Some of the items, in the order given.
    pub fn rows(&self, rows: &[u32]) -> Result<Self> {
        let rows = Tensor::new(rows, self.x.device())?;
        Ok(Scored { x: self.x.index_select(&rows, 0)?, score: self.score.index_select(&rows, 0)? })
    }

    /// s·f + tr ∂f/∂x of every item; the trace exactly, or with one probe an item.
    pub(in crate::probes) fn stein(&self, critic: &Critic, exact: bool, key: Key) -> Result<Vec<f64>> {
        let values = in_chunks(&self.x, CHUNK, |at, x| {
            let score = self.score.narrow(0, at, x.dim(0)?)?;
            match exact {
                true => critic.stein_exact(x, &score),
                false => critic.stein_probed(key.at(at as u64), x, &score),
            }
        })?;
        Ok(values.concat())
    }
}

/// The fewest items that can be split for a critic: two for each of the smaller parts.
pub(in crate::probes) const FEWEST: usize = 20;

/// Rows 0..n in an order drawn from `key`, divided 80 : 10 : 10 for training, validation and test.
///
/// # Errors
/// Fewer than twenty items: a part of one has no spread.
pub(in crate::probes) fn divide(n: usize, key: Key) -> Result<[Vec<u32>; 3]> {
    if n < FEWEST {
        let what = format!("a critic splits the items 80 : 10 : 10 and needs at least {FEWEST}, got {n}");
        return Err(Error::config(what).hint("more items: --set PROBE.items=…, --eval items=… or --items"));
    }
    let mut train: Vec<u32> = (0..n as u32).collect();
    train.shuffle(&mut key.rng());
    let mut validation = train.split_off(n - 2 * (n / 10));
    let test = validation.split_off(n / 10);
    Ok([train, validation, test])
}

/// The critic's state in storage of its own: its tensors are updated in place.
pub(in crate::probes) fn copy(critic: &Critic) -> Result<State> {
    critic.state()?.into_iter().map(|(name, tensor)| Ok((name, tensor.copy()?))).collect()
}

/// The error for a critic whose discrepancy is not finite after so many rounds (epochs or iterations) of its training.
pub(in crate::probes) fn not_finite(rounds: usize) -> Error {
    let what = format!("the critic's discrepancy is not finite after {rounds} rounds of its training");
    Error::diverged(
        what,
        "lower critic_optim.lr or raise lambda; if the model's scores are not finite, no critic can help",
    )
}

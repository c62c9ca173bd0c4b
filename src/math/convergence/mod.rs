//! The diagnostics of Markov chains: R̂, effective sample sizes, autocorrelation, E-BFMI, and the Pareto k̂ of
//! importance weights.
//!
//! They are defined as by Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), "Rank-normalization, folding, and
//! localization: an improved R̂", and equal to what ArviZ computes, also where draws repeat or a chain never moves
//! (`tests/it/convergence.rs`). What is undefined is NaN.

mod autocorrelation;
mod energy;
mod ess;
mod pareto;
mod rhat;

pub use autocorrelation::autocorrelation;
pub use energy::bfmi;
pub use pareto::{Smoothed, psis};

use super::{normal_quantile, stats};

/// The draws of one number by some chains, `[chain][draw]`, all chains of one length.
#[derive(Clone, Debug, PartialEq)]
pub struct Draws(Vec<Vec<f64>>);

impl Draws {
    /// The draws of `chains`, cut to the length of the shortest.
    pub fn new(mut chains: Vec<Vec<f64>>) -> Self {
        let shortest = chains.iter().map(Vec::len).min().unwrap_or(0);
        chains.iter_mut().for_each(|chain| chain.truncate(shortest));
        Draws(chains)
    }

    /// The chains, `[chain][draw]`.
    pub fn chains(&self) -> &[Vec<f64>] {
        &self.0
    }

    /// The number of draws of each chain.
    pub fn len(&self) -> usize {
        self.0.first().map_or(0, Vec::len)
    }

    /// Whether there is no draw at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number S of draws of all chains together.
    pub fn total(&self) -> usize {
        self.0.len() * self.len()
    }

    /// Whether every draw of every chain is the same number.
    pub fn is_constant(&self) -> bool {
        let mut all = self.flat();
        all.next().is_none_or(|first| all.all(|v| v == first))
    }

    /// The number of chains whose draws are all one number: they never moved.
    pub fn stuck(&self) -> usize {
        self.0.iter().filter(|chain| is_constant(chain)).count()
    }

    /// The ranks of all draws among all, from 1; equal draws share their mean rank.
    pub fn ranks(&self) -> Draws {
        // -0 and 0 are one number, but not to the order that sorting needs.
        let flat: Vec<f64> = self.flat().map(|v| v + 0.0).collect();
        let ranks = stats::ranks(&flat);
        Draws(ranks.chunks(self.len().max(1)).map(<[f64]>::to_vec).collect())
    }

    fn flat(&self) -> impl Iterator<Item = f64> + '_ {
        self.0.iter().flatten().copied()
    }

    fn map(&self, f: impl Fn(f64) -> f64) -> Draws {
        Draws(self.0.iter().map(|chain| chain.iter().map(|v| f(*v)).collect()).collect())
    }

    /// The chains cut in two, a first and a last half each; the middle draw of an odd number is left out.
    fn split(&self) -> Draws {
        let half = self.len() / 2;
        let halves = |keep: fn(&[f64], usize) -> &[f64]| self.0.iter().map(move |c| keep(c, half).to_vec());
        let first = halves(|c, half| c.get(..half).unwrap_or_default());
        Draws(first.chain(halves(|c, half| c.get(c.len() - half..).unwrap_or_default())).collect())
    }

    /// The normal scores Φ⁻¹((r - 3/8)/(S + 1/4)), with r the rank of a draw among all S (Vehtari et al. 2021, eq. 14;
    /// Blom's offset) and Φ the standard normal distribution function.
    fn normalised(&self) -> Draws {
        let size = self.total() as f64;
        self.ranks().map(|rank| normal_quantile((rank - 0.375) / (size + 0.25)))
    }

    /// Whether the chains are too short to be split or hold a NaN or an infinity.
    fn is_unfit(&self) -> bool {
        self.0.is_empty() || self.len() < 4 || self.flat().any(f64::is_nan)
    }
}

fn is_constant(x: &[f64]) -> bool {
    x.windows(2).all(|pair| matches!(pair, [a, b] if a == b))
}

/// The unbiased variance; exactly 0, not a rounding error, where all values are equal.
fn variance(x: &[f64]) -> f64 {
    if x.len() > 1 && is_constant(x) { 0.0 } else { stats::variance(x) }
}

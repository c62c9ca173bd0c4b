//! Parallel tempering: hot copies of a chain cross barriers, and chains at neighbouring temperatures swap places.

use candle_core::Tensor;

use super::accept::{ACCEPTANCE, choose, decide, energies, nonfinite};
use super::kernel::{Chain, Hot, Info, Kernel, Need, Target};
use super::row::SamplerRow;
use super::start::ChainConfig;
use crate::config::{Schema, decode, rule};
use crate::metrics::{Number, Spent, Unit};
use crate::{Result, ops, rng::Key};

crate::config! {
    /// Keys of the sampler `parallel_tempering`.
    pub struct ParallelTemperingConfig {
        /// Temperatures of the ladder, the first of them 1.
        rungs: usize = 5, rule::at_least(2);
        /// The last of them; those between are its powers, evenly. exp(-E/T) must still be a density.
        max_temperature: f64 = 10.0, above_one;
        /// ε of the Langevin moves at temperature 1; ε√T at T.
        step_size: f64 = 0.1, rule::positive;
    }
}

fn above_one(v: &f64) -> rule::Complaint {
    (v.is_nan() || *v <= 1.0).then(|| format!("must be above 1, got {v}"))
}

pub(super) const ENTRY: SamplerRow = SamplerRow {
    name: "parallel_tempering",
    about: "parallel tempering of MALA chains: hot copies cross barriers, neighbours swap: exact for exp(-E)",
    cite: "Swendsen & Wang 1986; Geyer 1991; Okabe et al. 2001 (even and odd pairs in turn)",
    schema: Schema::of::<(ParallelTemperingConfig, ChainConfig)>(),
    numbers: &[
        ACCEPTANCE,
        Number::new("explore", Unit::Share, "acceptance of the moves at temperature 1"),
        Number::new("swap", Unit::Share, "acceptance of swaps between neighbouring temperatures"),
    ],
    exact: true,
    local: None,
    cost: Spent { values: 0, gradients: 5 },
    build: |table| {
        let ParallelTemperingConfig { rungs, max_temperature, step_size } = decode(table)?;
        Ok(Box::new(ParallelTempering::new(rungs, max_temperature, step_size)))
    },
};

/// Parallel tempering (Swendsen & Wang 1986; Geyer 1991): a MALA step of every chain on exp(-E/T), with the proposal
/// x' = x - (ε²/2)∇E + ε√T ξ, then swaps of neighbours i, j in temperature with probability min(1, exp((1/Tᵢ -
/// 1/Tⱼ)(Eᵢ - Eⱼ))), even pairs and odd pairs in turn (Okabe et al. 2001).
pub struct ParallelTempering {
    temperatures: Vec<f64>,
    step_size: f64,
}

impl ParallelTempering {
    /// A ladder of `rungs` temperatures from 1 to `hottest`, each the same multiple of the one before.
    pub fn new(rungs: usize, hottest: f64, step_size: f64) -> Self {
        let temperature = |k: usize| hottest.powf(k as f64 / rungs.saturating_sub(1).max(1) as f64);
        ParallelTempering { temperatures: (0..rungs.max(1)).map(temperature).collect(), step_size }
    }

    /// The hot chains at the start: a copy of each chain for every temperature above 1.
    fn copies(&self, cold: &Chain) -> Result<Chain> {
        let copies = self.temperatures.len().saturating_sub(1).max(1);
        cold.map(|t| Ok(Tensor::cat(&vec![t; copies], 0)?))
    }

    /// The temperature T of a row of all chains.
    fn temperature(&self, row: usize, chains: usize) -> f64 {
        self.temperatures.get(row / chains.max(1)).copied().unwrap_or(1.0)
    }

    /// The log-density log q(to | from) of the proposal of every row, up to a constant.
    fn log_proposal(&self, to: &Chain, from: &Chain, chains: usize) -> Result<Vec<f64>> {
        let eps2 = self.step_size * self.step_size;
        let off = (&to.x - (&from.x - (from.slope()? * (0.5 * eps2))?)?)?;
        let square = off.to_dtype(candle_core::DType::F64)?.sqr()?.flatten_from(1)?.sum(1)?.to_vec1::<f64>()?;
        let scaled = |(row, s): (usize, f64)| -0.5 * s / (eps2 * self.temperature(row, chains));
        Ok(square.into_iter().enumerate().map(scaled).collect())
    }

    /// The chains after the Langevin move, a 1 for each that moved, and a 1 for each whose proposal had no finite
    /// energy.
    fn explore(&self, key: Key, on: &Target, all: &Chain, chains: usize) -> Result<(Chain, Vec<u8>, Vec<usize>)> {
        let rows = all.x.dim(0)?;
        let widths: Vec<f64> = (0..rows).map(|row| self.temperature(row, chains).sqrt()).collect();
        let mut shape = vec![1; all.x.rank()];
        if let Some(first) = shape.first_mut() {
            *first = rows;
        }
        let widths = Tensor::from_vec(widths, shape, all.x.device())?.to_dtype(all.x.dtype())?;
        let noise = key.with("noise").normal(all.x.shape(), all.x.dtype(), all.x.device())?.broadcast_mul(&widths)?;
        let drift = 0.5 * self.step_size * self.step_size;
        let there = ops::langevin_update(&all.x, all.slope()?, &noise, drift, self.step_size)?;
        let there = Chain::at(&there).filled(Need::Gradient, on.energy())?;
        let (now, then) = (energies(all)?, energies(&there)?);
        let (back, forth) = (self.log_proposal(all, &there, chains)?, self.log_proposal(&there, all, chains)?);
        let finite = |e: f64| if e.is_finite() { e } else { f64::NAN };
        let ratio = |i: usize| (now[i] - finite(then[i])) / self.temperature(i, chains) + back[i] - forth[i];
        let accepted = decide(key.with("accept"), &(0..rows).map(ratio).collect::<Vec<_>>())?;
        Ok((choose(&accepted, &there, all)?, accepted, nonfinite(&then)))
    }

    /// The former row of each row after the swaps of this round, and the share of swaps done.
    fn swaps(&self, key: Key, all: &Chain, chains: usize, round: u64) -> Result<(Vec<u32>, f64)> {
        let energy = energies(all)?;
        let mut place: Vec<u32> = (0..energy.len() as u32).collect();
        let lower: Vec<usize> = ((round % 2) as usize..self.temperatures.len().saturating_sub(1)).step_by(2).collect();
        let pairs: Vec<usize> = lower.iter().flat_map(|k| k * chains..(k + 1) * chains).collect();
        let ratio = |i: &usize| {
            let cold = |row: usize| 1.0 / self.temperature(row, chains);
            (cold(*i) - cold(i + chains)) * (energy[*i] - energy[i + chains])
        };
        let swapped = decide(key, &pairs.iter().map(ratio).collect::<Vec<_>>())?;
        for (i, _) in pairs.iter().zip(&swapped).filter(|(_, s)| **s == 1) {
            place.swap(*i, i + chains);
        }
        let share = swapped.iter().map(|s| f64::from(*s)).sum::<f64>() / swapped.len().max(1) as f64;
        Ok((place, if swapped.is_empty() { f64::NAN } else { share }))
    }
}

impl Kernel for ParallelTempering {
    /// The evaluations that are read: hot copies start with those of their chains.
    fn needs(&self) -> Need {
        Need::Gradient
    }

    fn step(&self, key: Key, on: &Target, chain: &Chain) -> Result<(Chain, Info)> {
        let chains = chain.x.dim(0)?;
        let chain = &chain.filled(Need::Gradient, on.energy())?;
        let (hot, round) = match &chain.hot {
            Some(Hot { chains, round }) => (chains.as_ref().clone(), *round),
            None => (self.copies(chain)?, 0),
        };
        let (all, accepted, bad) = self.explore(key.with("explore"), on, &joined(chain, &hot)?, chains)?;
        let (place, swapped) = self.swaps(key.with("swap"), &all, chains, round)?;
        let (cold, hot) = parted(&all, place, chains)?;
        let by_chain = (0..chains).map(|i| bad.iter().skip(i).step_by(chains).sum()).collect();
        let mut info = Info::of(accepted.get(..chains).unwrap_or_default(), by_chain);
        info.moves = vec![("explore", info.accept.unwrap_or(f64::NAN)), ("swap", swapped)];
        Ok((cold.beside(Hot { chains: Box::new(hot), round: round + 1 }), info))
    }

    fn describe(&self) -> String {
        let hottest = self.temperatures.last().copied().unwrap_or(1.0);
        format!(
            "parallel tempering, {} temperatures up to {hottest}, step size {}",
            self.temperatures.len(),
            self.step_size
        )
    }
}

/// The chains at temperature 1, followed by the others.
fn joined(cold: &Chain, hot: &Chain) -> Result<Chain> {
    cold.zip(hot, |cold, hot| Ok(Tensor::cat(&[cold, hot], 0)?))
}

/// The inverse of [`joined`], where each row comes from its new place.
fn parted(all: &Chain, place: Vec<u32>, chains: usize) -> Result<(Chain, Chain)> {
    let rows = place.len();
    let place = Tensor::new(place, all.x.device())?;
    let of = |from: usize, n: usize| all.map(|t| Ok(t.index_select(&place, 0)?.narrow(0, from, n)?.contiguous()?));
    Ok((of(0, chains)?, of(chains, rows - chains)?))
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    /// There is one pair of two temperatures, and the odd rounds, which begin at the second one, have none.
    #[test]
    fn two_temperatures_swap_at_even_rounds_only() {
        let kernel = ParallelTempering::new(2, 4.0, 0.1);
        let x = Tensor::zeros((6, 1), DType::F32, &Device::Cpu).unwrap();
        let energy = Tensor::new(&[9f32, 9.0, 9.0, 1.0, 1.0, 1.0], &Device::Cpu).unwrap();
        let all = Chain::known(x, energy, None);
        let (place, share) = kernel.swaps(Key::new(1), &all, 3, 0).unwrap();
        assert_eq!((place, share), (vec![3, 4, 5, 0, 1, 2], 1.0));
        let (place, share) = kernel.swaps(Key::new(1), &all, 3, 1).unwrap();
        assert_eq!(place, [0, 1, 2, 3, 4, 5]);
        assert!(share.is_nan());
    }
}

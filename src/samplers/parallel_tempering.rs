//! Parallel tempering: hot copies of a chain cross barriers, and chains at neighbouring temperatures swap places.

use candle_core::{DType, Tensor};

use super::accept::{ACCEPTANCE, choose, energies, squares};
use super::info::Info;
use super::kernel::{Chain, Hot, Kernel, Need, Target};
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

    /// The inverse temperature 1/T of every row of all chains, `[KB]`, in f64.
    fn cold(&self, all: &Chain, chains: usize) -> Result<Tensor> {
        let rows = self.temperatures.iter().flat_map(|t| std::iter::repeat_n(1.0 / t, chains));
        Ok(Tensor::from_iter(rows, all.x.device())?)
    }

    /// The negative logarithm -log q(to | from)·ε²/T of the proposal of every row, up to a constant.
    fn off(&self, to: &Chain, from: &Chain) -> Result<Tensor> {
        let drift = 0.5 * self.step_size * self.step_size;
        Ok(squares(&(&to.x - (&from.x - (from.slope()? * drift)?)?)?)?.affine(0.5, 0.0)?)
    }

    /// The chains after the Langevin move, and its decisions `[3, KB]` as `ops::metropolis` has them.
    fn explore(&self, key: Key, on: &Target, all: &Chain, chains: usize) -> Result<(Chain, Tensor)> {
        let cold = self.cold(all, chains)?;
        let mut shape = vec![1; all.x.rank()];
        shape.iter_mut().take(1).for_each(|rows| *rows = cold.elem_count());
        let widths = cold.recip()?.sqrt()?.to_dtype(all.x.dtype())?.reshape(shape)?;
        let noise = ops::normal_like(&all.x, key.with("noise").counter())?.broadcast_mul(&widths)?;
        let eps2 = self.step_size * self.step_size;
        let there = ops::langevin_update(&all.x, all.slope()?, &noise, 0.5 * eps2, self.step_size)?;
        let there = Chain::at(&there).filled(Need::Gradient, on.energy())?;
        let (now, then) = (energies(all)?, energies(&there)?);
        let gain = (self.off(&there, all)? - self.off(all, &there)?)?.affine(1.0 / eps2, 0.0)?;
        let ratio = (((now - &then)? + gain)? * cold)?;
        let decided = ops::metropolis(&ratio, &then, key.with("accept").counter())?;
        Ok((choose(&decided.get(0)?, &there, all)?, decided))
    }

    /// The former row of each row after the swaps of this round, u32, and 1 for each swap done, 0 for each other;
    /// `None` in a round without pairs.
    fn swaps(&self, key: Key, all: &Chain, chains: usize, round: u64) -> Result<(Tensor, Option<Tensor>)> {
        let (first, rows, device) = ((round % 2) as usize, self.temperatures.len() * chains, all.x.device());
        let pairs = (self.temperatures.len() - first) / 2;
        let home = Tensor::arange(0.0, rows as f64, device)?;
        if pairs * chains == 0 {
            return Ok((home.to_dtype(DType::U32)?, None));
        }
        let of_pairs = |t: &Tensor| t.narrow(0, first * chains, 2 * pairs * chains)?.reshape((pairs, 2, chains));
        let gap = |t: &Tensor| {
            let t = of_pairs(t)?;
            t.narrow(1, 0, 1)? - t.narrow(1, 1, 1)?
        };
        let ratio = (gap(&self.cold(all, chains)?)? * gap(&energies(all)?)?)?;
        let flat = ratio.flatten_all()?;
        // Energies at which chains stand are no matter here.
        let swapped = ops::metropolis(&flat, &flat.zeros_like()?, key.counter())?.get(0)?;
        let step = (&swapped * chains as f64)?.reshape(ratio.dims())?;
        let steps = Tensor::cat(&[&step, &step.neg()?], 1)?.flatten_all()?;
        let steps = steps.pad_with_zeros(0, first * chains, rows - (first + 2 * pairs) * chains)?;
        Ok(((home + steps)?.to_dtype(DType::U32)?, Some(swapped)))
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
        let (all, decided) = self.explore(key.with("explore"), on, &joined(chain, &hot)?, chains)?;
        let (place, swapped) = self.swaps(key.with("swap"), &all, chains, round)?;
        let (cold, hot) = parted(&all, &place, chains)?;
        let own = decided.narrow(1, 0, chains)?;
        let bad = decided.get(1)?.reshape((self.temperatures.len(), chains))?.sum(0)?;
        let accepted = own.get(0)?;
        let info = Info::of(Tensor::stack(&[&accepted, &bad, &own.get(2)?], 0)?).with_move("explore", &accepted)?;
        let info = swapped.map_or_else(|| Ok(info.clone()), |swapped| info.clone().with_move("swap", &swapped))?;
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
fn parted(all: &Chain, place: &Tensor, chains: usize) -> Result<(Chain, Chain)> {
    let rows = place.elem_count();
    let of = |from: usize, n: usize| all.map(|t| Ok(t.index_select(place, 0)?.narrow(0, from, n)?.contiguous()?));
    Ok((of(0, chains)?, of(chains, rows - chains)?))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    /// There is one pair of two temperatures, and the odd rounds, which begin at the second one, have none.
    #[test]
    fn two_temperatures_swap_at_even_rounds_only() {
        let kernel = ParallelTempering::new(2, 4.0, 0.1);
        let x = Tensor::zeros((6, 1), DType::F32, &Device::Cpu).unwrap();
        let energy = Tensor::new(&[9f32, 9.0, 9.0, 1.0, 1.0, 1.0], &Device::Cpu).unwrap();
        let all = Chain::known(x, energy, None);
        let (place, swapped) = kernel.swaps(Key::new(1), &all, 3, 0).unwrap();
        assert_eq!(place.to_vec1::<u32>().unwrap(), [3, 4, 5, 0, 1, 2]);
        assert_eq!(swapped.unwrap().to_vec1::<f64>().unwrap(), [1.0; 3]);
        let (place, swapped) = kernel.swaps(Key::new(1), &all, 3, 1).unwrap();
        assert_eq!(place.to_vec1::<u32>().unwrap(), [0, 1, 2, 3, 4, 5]);
        assert!(swapped.is_none());
    }
}

//! What chains leave when all their draws are kept.

use std::collections::BTreeSet;
use std::path::Path;

use candle_core::{DType, Tensor};

use crate::data::file;
use crate::math::convergence::Draws;
use crate::metrics::{Metrics, Spent};
use crate::samplers::{Chain, Info, Sampler, StepReport, Target, Tuning};
use crate::{Error, Result, rng::Key};

/// How long chains run and which of their states are kept.
#[derive(Clone, Copy, Debug)]
pub struct RecordingPlan {
    /// Steps whose states are dropped.
    pub burn_in: usize,
    /// Steps after them.
    pub steps: usize,
    /// Of those, every so many-th state is kept; at least 1.
    pub thin: usize,
}

impl RecordingPlan {
    /// Whether the state after `step` steps (from 0) is kept.
    fn keeps(&self, step: usize) -> bool {
        step >= self.burn_in && (step - self.burn_in + 1).is_multiple_of(self.thin.max(1))
    }
}

/// Draws `[chain, draw, ..]` with what else is known of them.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// Chains, draws of each, then the shape of one item.
    pub shape: Vec<usize>,
    /// The draws, the last dimension running fastest.
    pub x: Vec<f64>,
    /// E of every draw.
    pub energy: Option<Draws>,
    /// E + ½|p|² of every draw, where there were momenta.
    pub hamiltonian: Option<Draws>,
    /// Mean acceptance by kind of move; `acceptance` that of the whole step. Empty for kernels that accept everything.
    pub acceptance: Metrics,
    /// Proposals that each chain accepted after the burn-in; empty for kernels that accept everything, and for files.
    pub accepted: Vec<usize>,
    /// Proposals without a finite energy, chain by chain.
    pub nonfinite: Vec<usize>,
    /// What the warm-up tuned the kernel to.
    pub tuning: Option<Tuning>,
    /// What the chains asked of the energy, warm-up included; nothing for a file.
    pub spent: Spent,
    /// Steps between two draws; 1 for a file.
    pub thin: usize,
}

impl Recording {
    /// Runs the chains from `start` `[chains, ..]` and keeps the items that their states stand for, in whatever space
    /// they move; `watch` is told of every step and may stop the run by an error.
    ///
    /// # Errors
    /// What the kernel finds wrong, and what `watch` says.
    pub fn run(
        plan: RecordingPlan,
        mut sampler: Sampler,
        key: Key,
        on: &Target,
        start: &Tensor,
        mut watch: impl FnMut(usize) -> Result<()>,
    ) -> Result<Self> {
        sampler.config.steps = plan.burn_in + plan.steps;
        let (mut states, mut energies, mut hamiltonians, mut sum) = (vec![], vec![], vec![], Info::default());
        let mut item = Vec::new();
        let trace = sampler.run_observed(key, on, start, |step, chain: &Chain, info, e| {
            if step >= plan.burn_in {
                sum.add(info)?;
            }
            if plan.keeps(step) {
                let x = sampler.items(on, &chain.x)?;
                item = x.dims().get(1..).unwrap_or_default().to_vec();
                states.push(rows(&x)?);
                energies.push(chain.energy(e)?.to_dtype(DType::F64)?.to_vec1::<f64>()?);
                hamiltonians.extend(info.read()?.hamiltonian);
            }
            watch(step)
        })?;
        let (chains, StepReport { accept, accepted, nonfinite, moves, .. }) = (start.dim(0)?, sum.read()?);
        let whole = accept.map(|a| ("acceptance", a));
        let shape = [&[chains, states.len()], &item[..]].concat();
        let of_chain = |c: usize| states.iter().filter_map(move |state| state.get(c)).flatten().copied();
        Ok(Recording {
            shape,
            x: (0..chains).flat_map(of_chain).collect(),
            energy: Some(by_chain(&energies, chains)),
            hamiltonian: (!hamiltonians.is_empty()).then(|| by_chain(&hamiltonians, chains)),
            acceptance: whole.into_iter().chain(moves).map(|(name, a)| (name.to_owned(), a)).collect(),
            accepted,
            nonfinite,
            tuning: trace.tuning,
            spent: trace.spent,
            thin: plan.thin.max(1),
        })
    }

    /// Draws of a `.npy` file, `[chain, draw]` or `[chain, draw, ..]`.
    ///
    /// # Errors
    /// A file that is none, or an array of another shape.
    pub fn of_file(path: &Path) -> Result<Self> {
        let file::Array { shape, values } = file::array(path)?;
        if shape.len() < 2 || values.is_empty() {
            let what = format!("has the shape {shape:?}");
            return Err(Error::data(path, what, "save an array of shape [chain, draw] or [chain, draw, number]"));
        }
        Ok(Recording { shape, x: values, thin: 1, ..Recording::default() })
    }

    /// How many chains.
    pub fn chains(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }

    /// Draws of each chain.
    pub fn draws(&self) -> usize {
        self.shape.get(1).copied().unwrap_or(0)
    }

    /// Numbers of one draw.
    pub fn dim(&self) -> usize {
        self.shape.get(2..).unwrap_or_default().iter().product()
    }

    /// Chains that repeat another one, draw by draw. Such as never moved repeat none, nor those of so few draws that
    /// chance may do it.
    pub(super) fn copies(&self) -> usize {
        const FEWEST: usize = 10;
        let dim = self.dim().max(1);
        let moves = |chain: &&[f64]| chain.chunks(dim).any(|draw| chain.get(..dim) != Some(draw));
        let bits = |chain: &[f64]| chain.iter().map(|v| v.to_bits()).collect::<Vec<u64>>();
        let chains = self.x.chunks((self.draws() * dim).max(1)).filter(moves).map(bits);
        let chains: Vec<Vec<u64>> = if self.draws() < FEWEST { Vec::new() } else { chains.collect() };
        chains.len() - chains.iter().collect::<BTreeSet<_>>().len()
    }

    /// Whether the array of a file seems to be `[draw, chain]`: it has more chains than draws, as ArviZ warns of too.
    /// Chains that were run here are as many as were asked for.
    pub(super) fn looks_transposed(&self) -> bool {
        self.energy.is_none() && self.chains() > self.draws()
    }

    /// The draws of one coordinate.
    pub fn coordinate(&self, j: usize) -> Draws {
        self.each(|item| item.get(j).copied().unwrap_or(f64::NAN))
    }

    /// A number of every draw.
    pub fn each(&self, f: impl Fn(&[f64]) -> f64) -> Draws {
        let dim = self.dim().max(1);
        let chain = |draws: &[f64]| draws.chunks(dim).map(&f).collect();
        Draws::new(self.x.chunks((self.draws() * dim).max(1)).map(chain).collect())
    }
}

fn rows(x: &Tensor) -> Result<Vec<Vec<f64>>> {
    Ok(x.flatten_from(1)?.to_dtype(DType::F64)?.to_vec2()?)
}

/// `[draw][chain]` as `[chain][draw]`.
fn by_chain(draws: &[Vec<f64>], chains: usize) -> Draws {
    Draws::new((0..chains).map(|c| draws.iter().filter_map(|row| row.get(c).copied()).collect()).collect())
}

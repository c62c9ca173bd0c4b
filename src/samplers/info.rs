//! The reports of kernels on their steps, whose numbers stay on the device until the host asks.

use candle_core::{DType, Device, Tensor};

use crate::{Result, device, ops};

/// The report on one step, or the sum of those on several. Nothing of it is on the host: [`Info::read`] waits for the
/// device, a step and a sum do not.
#[derive(Clone, Debug, Default)]
pub struct Info {
    steps: usize,
    /// What `ops::metropolis` gives, `[3, B]`, in f64; `None` for kernels that accept everything.
    decided: Option<Tensor>,
    /// How often each chain accepted what the kernel calls its acceptance, `[B]`, where that is not the first row.
    acceptance: Option<Tensor>,
    /// H = E + ½|p|² before and after the trajectory, `[B]`, in f64, for one step of a kernel with momenta p.
    hamiltonian: Option<[Tensor; 2]>,
    /// For each kind of move the sum of its acceptances, a number, and how many they are.
    moves: Vec<(&'static str, Tensor, usize)>,
}

/// The numbers of a report on the host.
#[derive(Clone, Debug, Default)]
pub struct StepReport {
    /// The share of the proposals that were accepted; `None` for kernels that accept everything.
    pub accept: Option<f64>,
    /// How many proposals each chain accepted, of one in each step; empty for kernels that accept everything.
    pub accepted: Vec<usize>,
    /// The mean probability of acceptance, which tuning uses: it has less noise than the share.
    pub chance: Option<f64>,
    /// The number of proposals without a finite energy, chain by chain; they are never accepted. Empty for kernels that
    /// accept everything.
    pub nonfinite: Vec<usize>,
    /// The Hamiltonian E + ½|p|² at the end of the step, chain by chain, for kernels with momenta p; E-BFMI is computed
    /// from it. A sum has none.
    pub hamiltonian: Option<Vec<f64>>,
    /// The acceptance of each kind of move, by name, for kernels that have several.
    pub moves: Vec<(&'static str, f64)>,
}

impl Info {
    /// The report on the decisions of a step, as `ops::metropolis` gives them.
    pub(super) fn of(decided: Tensor) -> Self {
        Info { steps: 1, decided: Some(decided), ..Info::default() }
    }

    /// The report on decisions that were made on the host, and on how many proposals had no finite energy.
    pub(super) fn on_host(accepted: &[bool], nonfinite: &[usize], device: &Device) -> Result<Self> {
        let accepted: Vec<f64> = accepted.iter().map(|yes| f64::from(u8::from(*yes))).collect();
        let nonfinite: Vec<f64> = nonfinite.iter().map(|n| *n as f64).collect();
        let chains = accepted.len();
        let rows = [accepted.as_slice(), &nonfinite, &accepted].concat();
        Ok(Info::of(Tensor::from_vec(rows, (3, chains), device)?))
    }

    /// The decisions, 1 for each chain whose proposal was accepted and else 0, `[B]`, in f64; `None` for kernels that
    /// accept everything.
    pub(super) fn accepted(&self) -> Result<Option<Tensor>> {
        self.decided.as_ref().map(|decided| Ok(decided.get(ACCEPTED)?)).transpose()
    }

    /// The same with the Hamiltonian at the start of each trajectory and at its end, `[B]`, in f64.
    pub(super) fn along(self, hamiltonian: [Tensor; 2]) -> Self {
        Info { hamiltonian: Some(hamiltonian), ..self }
    }

    /// The same with the mean of `accepted` as the acceptance of a kind of move; nothing of none.
    pub(super) fn with_move(mut self, name: &'static str, accepted: &Tensor) -> Result<Self> {
        if accepted.elem_count() > 0 {
            let _shapes = device::keep_shapes(accepted.device());
            self.moves.push((name, accepted.mean_all()?, 1));
        }
        Ok(self)
    }

    /// The report on a step that consists of a move and then of others, which `behind` sums up. A chain has moved if
    /// one of them moved it; the acceptance is that of the first.
    pub(super) fn then(self, behind: &Info) -> Result<Self> {
        let Some(first) = &self.decided else { return Ok(self) };
        let (moved, bad) = (first.get(ACCEPTED)?, first.get(NONFINITE)?);
        let (any, bad) = match &behind.decided {
            Some(others) => {
                let (sum, one) = ((&moved + others.get(ACCEPTED)?)?, moved.ones_like()?);
                (ops::choose_rows(&sum, &one, &moved.zeros_like()?)?, (bad + others.get(NONFINITE)?)?)
            }
            // Moves that are always accepted.
            None if behind.steps > 0 => (moved.ones_like()?, bad),
            None => (moved.clone(), bad),
        };
        let decided = Tensor::stack(&[any, bad, first.get(CHANCE)?], 0)?;
        Ok(Info { decided: Some(decided), acceptance: Some(moved), ..self })
    }

    /// The report whose tensors are f of those of this one; `None` where moves of several kinds are told apart.
    ///
    /// # Errors
    /// `f` fails.
    pub(super) fn map(&self, f: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Option<Self>> {
        let part = |t: &Option<Tensor>| t.as_ref().map(&f).transpose();
        let hamiltonian = self.hamiltonian.as_ref().map(|[start, end]| Ok::<_, crate::Error>([f(start)?, f(end)?]));
        let (decided, acceptance) = (part(&self.decided)?, part(&self.acceptance)?);
        let all = Info { steps: self.steps, decided, acceptance, hamiltonian: hamiltonian.transpose()?, moves: vec![] };
        Ok(self.moves.is_empty().then_some(all))
    }

    /// All tensors of the report.
    pub(super) fn tensors(&self) -> Vec<&Tensor> {
        let moves = self.moves.iter().map(|(_, sum, _)| sum);
        self.decided.iter().chain(&self.acceptance).chain(self.hamiltonian.iter().flatten()).chain(moves).collect()
    }

    /// Adds the report on another step.
    ///
    /// # Errors
    /// The step was one of other chains.
    pub fn add(&mut self, step: &Info) -> Result<()> {
        let sum = |sum: &Option<Tensor>, one: &Option<Tensor>| match (sum, one) {
            (Some(sum), Some(one)) => (sum + one).map(Some),
            (sum, one) => Ok(one.clone().or_else(|| sum.clone())),
        };
        self.decided = sum(&self.decided, &step.decided)?;
        self.acceptance = sum(&self.acceptance, &step.acceptance)?;
        self.hamiltonian = None;
        for (name, accepted, count) in &step.moves {
            match self.moves.iter_mut().find(|row| row.0 == *name) {
                Some(row) => (row.1, row.2) = ((&row.1 + accepted)?, row.2 + count),
                None => self.moves.push((name, accepted.clone(), *count)),
            }
        }
        self.steps += step.steps.max(1);
        Ok(())
    }

    /// The numbers on the host, which waits for them.
    ///
    /// # Errors
    /// The device's own.
    pub fn read(&self) -> Result<StepReport> {
        let rows = self.decided.as_ref().map_or(Ok(Vec::new()), Tensor::to_vec2::<f64>)?;
        let counts = |k: usize| rows.get(k).into_iter().flatten().map(|n| *n as usize).collect();
        let share = |sums: &[f64]| sums.iter().sum::<f64>() / (sums.len() * self.steps).max(1) as f64;
        let own = self.acceptance.as_ref().map(Tensor::to_vec1::<f64>).transpose()?;
        let ends = self.hamiltonian.as_ref().map(|[start, end]| Ok::<_, crate::Error>([host(start)?, host(end)?]));
        let hamiltonian = ends.transpose()?.map(|[start, end]| {
            let moved = rows.get(ACCEPTED).into_iter().flatten();
            moved
                .zip(start.into_iter().zip(end))
                .map(|(moved, (start, end))| if *moved > 0.0 { end } else { start })
                .collect()
        });
        let mean = |(name, sum, count): &(&'static str, Tensor, usize)| {
            Ok((*name, sum.to_dtype(DType::F64)?.to_scalar::<f64>()? / *count as f64))
        };
        Ok(StepReport {
            accept: own.as_ref().or(rows.get(ACCEPTED)).map(|sums| share(sums)),
            accepted: counts(ACCEPTED),
            chance: rows.get(CHANCE).map(|sums| share(sums)),
            nonfinite: counts(NONFINITE),
            hamiltonian,
            moves: self.moves.iter().map(mean).collect::<Result<_>>()?,
        })
    }
}

/// The rows of what `ops::metropolis` gives.
const ACCEPTED: usize = 0;
const NONFINITE: usize = 1;
const CHANCE: usize = 2;

fn host(t: &Tensor) -> Result<Vec<f64>> {
    Ok(t.to_vec1()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(accepted: [bool; 2], nonfinite: [usize; 2]) -> Info {
        Info::on_host(&accepted, &nonfinite, &Device::Cpu).unwrap()
    }

    #[test]
    fn a_sum_of_steps_counts_chain_by_chain_and_its_shares_are_means() {
        let mut sum = Info::default();
        sum.add(&step([true, false], [0, 2])).unwrap();
        let moved = Tensor::new(&[1.0, 0.0, 0.0, 0.0], &Device::Cpu).unwrap();
        sum.add(&step([true, true], [0, 1]).with_move("swap", &moved).unwrap()).unwrap();
        let none = moved.narrow(0, 0, 0).unwrap();
        sum.add(&step([true, false], [0, 0]).with_move("swap", &none).unwrap()).unwrap();
        let report = sum.read().unwrap();
        assert_eq!((report.accepted, report.nonfinite), (vec![3, 1], vec![0, 3]));
        assert_eq!((report.accept, report.chance), (Some(4.0 / 6.0), Some(4.0 / 6.0)));
        assert_eq!(report.moves, [("swap", 0.25)]);
    }

    #[test]
    fn kernels_that_accept_everything_have_no_acceptance() {
        let mut sum = Info::default();
        sum.add(&Info::default()).unwrap();
        let report = sum.read().unwrap();
        assert!(report.accept.is_none() && report.chance.is_none() && report.accepted.is_empty());
    }

    #[test]
    fn a_chain_has_moved_if_any_of_its_moves_has_and_the_acceptance_is_the_first_ones() {
        let mut behind = Info::default();
        behind.add(&step([false, true], [1, 0])).unwrap();
        behind.add(&step([false, true], [1, 0])).unwrap();
        let report = step([false, false], [0, 3]).then(&behind).unwrap().read().unwrap();
        assert_eq!((report.accept, report.accepted, report.nonfinite), (Some(0.0), vec![0, 1], vec![2, 3]));
        let mut free = Info::default();
        free.add(&Info::default()).unwrap();
        let report = step([true, false], [0, 0]).then(&free).unwrap().read().unwrap();
        assert_eq!((report.accept, report.accepted), (Some(0.5), vec![1, 1]));
    }

    #[test]
    fn the_hamiltonian_is_that_of_the_end_a_chain_stands_at() {
        let ends = [[1.0, 2.0], [3.0, 4.0]].map(|h| Tensor::new(&h, &Device::Cpu).unwrap());
        let info = step([true, false], [0, 0]).along(ends);
        assert_eq!(info.read().unwrap().hamiltonian, Some(vec![3.0, 2.0]));
    }
}

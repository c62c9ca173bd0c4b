//! What a run of chains leaves, and whether that is worth the name of draws.

use candle_core::{DType, Tensor};

use super::frozen::Frozen;
use super::kernel::{Chain, Tuning};
use crate::metrics::Spent;
use crate::{Error, Result};

/// What a run of chains leaves.
pub struct Trace {
    /// The items at the end, `[B, ..]`.
    pub x: Tensor,
    /// Where the chains stand at the end, in the space they move in.
    pub chain: Chain,
    /// Where they stood before the steps that count.
    pub(super) from: Tensor,
    /// The steps that count.
    pub(super) steps: usize,
    /// Proposals that each chain accepted; empty for kernels that accept everything.
    pub(super) accepted: Vec<usize>,
    /// Mean acceptance over steps and chains, for kernels that reject.
    pub accept: Option<f64>,
    /// Proposals without a finite energy, over all steps and chains.
    pub nonfinite: usize,
    /// What the chains asked of the energy, warm-up included, item by item.
    pub spent: Spent,
    /// What the warm-up, if there was one, tuned the kernel to.
    pub tuning: Option<Tuning>,
}

/// How many chains left no draw of the energy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Losses {
    /// All chains.
    pub chains: usize,
    /// The steps that they took.
    pub steps: usize,
    /// Those that ended at an item or an energy that is not finite.
    pub nonfinite: usize,
    /// Those of them whose item is not finite.
    pub broken: usize,
    /// Those that ended where the energy is so low that f32 does not know it to a nat: it has no lower bound there.
    pub unbounded: usize,
    /// Those that stand where they stood before the first step.
    pub unmoved: usize,
}

/// From here on two neighbouring numbers of f32 are a nat apart and more: 2^24.
pub const A_NAT_APART: f64 = 16_777_216.0;

/// What helps against an energy that falls without end.
pub const HELD_UP: &str = "train an energy that is held up far from the data: --set model.base=diagonal where it is \
                           `neural`, model.form=square where it is a `ladder`; short chains (--set sampler.steps=…) do \
                           not get to where it falls";

impl Trace {
    /// The chains that stand where they stood before the steps that count. Asked for, not kept: the host waits for the
    /// device.
    ///
    /// # Errors
    /// The device's own.
    pub fn frozen(&self) -> Result<Frozen> {
        Ok(Frozen::of(&stands(&self.from, &self.chain.x)?, &self.accepted))
    }

    /// What is wrong with chains that never moved, unless chance leaves as many.
    ///
    /// # Errors
    /// As [`Trace::frozen`].
    pub fn doubt(&self) -> Result<Option<String>> {
        let frozen = self.frozen()?;
        Ok(frozen.is_odd(self.steps, self.accept).then(|| frozen.words()))
    }

    /// Counts the chains that left no draw. `energies` `[B]` are those at the end.
    ///
    /// # Errors
    /// A tensor that cannot be read.
    pub fn losses(&self, energies: &Tensor) -> Result<Losses> {
        let energies: Vec<f64> = energies.to_dtype(DType::F64)?.to_vec1()?;
        // 0·x is 0 for a number and NaN for all that is none; so is its sum over an item.
        let wrong: Vec<f64> = rows(&(&self.x * 0.0)?)?;
        let broken = wrong.iter().filter(|x| !x.is_finite()).count();
        let nonfinite = wrong.iter().zip(&energies).filter(|(x, e)| !x.is_finite() || !e.is_finite()).count();
        let unmoved = match self.steps {
            0 => 0,
            _ => self.frozen()?.count,
        };
        let unbounded = energies.iter().filter(|e| e.is_finite() && **e <= -A_NAT_APART).count();
        Ok(Losses { chains: energies.len(), steps: self.steps, nonfinite, broken, unbounded, unmoved })
    }
}

/// Whether each of the chains at `to` `[B, ..]` is where it was.
fn stands(from: &Tensor, to: &Tensor) -> Result<Vec<bool>> {
    let moved = from.ne(to)?.flatten_from(1)?.to_dtype(DType::F32)?.max(1)?;
    Ok(moved.to_vec1::<f32>()?.into_iter().map(|moved| moved == 0.0).collect())
}

/// The sum over each item of x, `[B, ..]`.
fn rows(x: &Tensor) -> Result<Vec<f64>> {
    Ok(x.to_dtype(DType::F64)?.flatten_from(1)?.sum(1)?.to_vec1()?)
}

impl Losses {
    /// Refuses chains of which more than `tolerated` ended outside the numbers, one fell without end, or none moved.
    /// Who asks for no steps gets the starts, if they are numbers, whatever their energies are.
    ///
    /// # Errors
    /// [`Error::Undefined`], with what to set.
    pub fn check(&self, tolerated: usize) -> Result<()> {
        let Losses { chains, steps, nonfinite, broken, unbounded, unmoved } = *self;
        let lost = if steps == 0 { broken } else { nonfinite };
        let (what, remedy) = if lost > tolerated {
            (
                format!("{lost} of {chains} chains ended at values that are not finite"),
                "smaller steps (--set sampler.step_size=…), a kernel that rejects (--set sampler.name=mala), fewer \
                 steps, or an earlier checkpoint",
            )
        } else if steps > 0 && unbounded > 0 {
            (
                format!(
                    "{unbounded} of {chains} chains ended at energies below -{A_NAT_APART:.0} nats: the energy falls \
                     without end, so exp(-E) has no integral and no draws"
                ),
                HELD_UP,
            )
        } else if chains > 0 && unmoved == chains {
            (
                format!(
                    "none of the {chains} chains moved: every proposal was rejected, and the draws would be starts"
                ),
                "smaller steps (--set sampler.step_size=…), a warm-up that tunes them (--set sampler.warm_up=200), or \
                 other starts (--set sampler.init=data)",
            )
        } else {
            return Ok(());
        };
        Err(Error::undefined(what, remedy))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    /// Two coordinates of three chains, from 0.
    fn trace(ends: [[f32; 2]; 3], steps: usize) -> Trace {
        let x = Tensor::new(&ends, &Device::Cpu).unwrap();
        let from = x.zeros_like().unwrap();
        let (chain, spent) = (Chain::at(&x), Spent::default());
        Trace { x, chain, from, steps, accepted: vec![], accept: None, nonfinite: 0, spent, tuning: None }
    }

    fn losses(ends: [[f32; 2]; 3], energies: [f32; 3]) -> Losses {
        trace(ends, 5).losses(&Tensor::new(&energies, &Device::Cpu).unwrap()).unwrap()
    }

    #[test]
    fn every_chain_that_left_no_draw_is_counted() {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        let good = losses([[1.0, 0.0], [0.0, -1.0], [3.0, 3.0]], [1.0, -2.0, 1e30]);
        assert_eq!(good, Losses { chains: 3, steps: 5, nonfinite: 0, broken: 0, unbounded: 0, unmoved: 0 });
        good.check(0).unwrap();
        // A value, an energy, both of an item that cancel in a sum.
        let bad = losses([[1.0, nan], [inf, -inf], [1.0, 1.0]], [0.0, 0.0, inf]);
        assert_eq!((bad.nonfinite, bad.broken, bad.unmoved), (3, 2, 0));
        bad.check(3).unwrap();
        let deep = losses([[1.0, 1.0], [2.0, 1.0], [3.0, 1.0]], [-1.6e7, -1.7e7, -1e23]);
        assert_eq!((deep.nonfinite, deep.unbounded), (0, 2));
        let still = losses([[0.0, 0.0], [0.0, 0.0], [0.0, 1.0]], [0.0; 3]);
        assert_eq!(still.unmoved, 2);
        still.check(0).unwrap();
        for (losses, says) in
            [(bad, "3 of 3"), (deep, "without end"), (losses([[0.0; 2]; 3], [0.0; 3]), "none of the 3")]
        {
            let error = losses.check(0).unwrap_err();
            assert!(error.exit_code() == 3 && error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn who_asks_for_no_steps_gets_the_starts() {
        let energies = Tensor::new(&[0f32; 3], &Device::Cpu).unwrap();
        trace([[0.0; 2]; 3], 0).losses(&energies).unwrap().check(0).unwrap();
        let energies = Tensor::new(&[f32::NAN; 3], &Device::Cpu).unwrap();
        let losses = trace([[0.0; 2]; 3], 0).losses(&energies).unwrap();
        losses.check(0).unwrap();
        assert_eq!((losses.nonfinite, losses.broken), (3, 0), "counts are counts");
        trace([[f32::NAN; 2]; 3], 0).losses(&energies).unwrap().check(0).unwrap_err();
    }
}

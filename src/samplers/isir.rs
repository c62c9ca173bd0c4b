//! Iterated sampling importance resampling: a choice by weight among many independent draws and the chain's own place.

use candle_core::{DType, Device, Tensor};

use super::accept::{ACCEPTANCE, choose};
use super::independent::log_weights;
use super::info::Info;
use super::kernel::{Chain, Kernel, Need, Target};
use super::row::SamplerRow;
use super::start::ChainConfig;
use crate::config::{Schema, decode, rule};
use crate::metrics::Spent;
use crate::{Result, rng::Key};

crate::config! {
    /// Keys of the sampler `isir`.
    pub struct IsirConfig {
        /// N, places to choose from at each step: where the chain stands and N - 1 draws of the model's base density.
        candidates: usize = 16, rule::at_least(2);
    }
}

pub(super) const ENTRY: SamplerRow = SamplerRow {
    name: "isir",
    about: "i-SIR: one of N independent draws by their importance weights, exact for exp(-E)",
    cite: "Tjelmeland 2004; Andrieu, Lee & Vihola 2018",
    schema: Schema::of::<(IsirConfig, ChainConfig)>(),
    numbers: &[ACCEPTANCE],
    exact: true,
    local: None,
    cost: Spent { values: 15, gradients: 0 },
    build: |table| Ok(Box::new(Isir { candidates: decode::<IsirConfig>(table)?.candidates, fill: Need::Value })),
};

/// Iterated sampling importance resampling (i-SIR; Tjelmeland 2004; Andrieu, Lee & Vihola 2018): moves to one of x, y₂
/// … y_N with probabilities proportional to their weights w = exp(-E)/q, with y₂ … y_N drawn from the proposal density
/// q.
pub struct Isir {
    /// The number N of candidates, the chain's own place included.
    pub candidates: usize,
    /// The evaluation at the place that was chosen, as for [`Imh`](super::Imh).
    pub fill: Need,
}

impl Kernel for Isir {
    fn needs(&self) -> Need {
        Need::Value
    }

    /// The chains at x, after a check that the target has a proposal density.
    ///
    /// # Errors
    /// The target has no proposal density; this is found here, before a long run.
    fn init(&self, on: &Target, x: &Tensor) -> Result<Chain> {
        on.proposal()?;
        Ok(Chain::at(x))
    }

    fn step(&self, key: Key, on: &Target, chain: &Chain) -> Result<(Chain, Info)> {
        let (q, e) = (on.proposal()?, on.energy());
        let (chain, chains, fresh) = (&chain.filled(self.fill, e)?, chain.x.dim(0)?, self.candidates.saturating_sub(1));
        let y = Chain::at(&q.sample(key.with("draw"), chains * fresh)?).filled(Need::Value, e)?;
        let here = log_weights(chain.value()?, q, &chain.x)?;
        let there = log_weights(y.value()?, q, &y.x)?;
        let uniform = key.with("choose").uniform(chains, DType::F64, &Device::Cpu)?.to_vec1::<f64>()?;
        let (mut place, mut moved, mut bad) = (Vec::new(), Vec::new(), Vec::new());
        for (i, (own, u)) in here.into_iter().zip(uniform).enumerate() {
            let others = there.get(i * fresh..(i + 1) * fresh).unwrap_or_default();
            let chosen = pick(own, others, u);
            moved.push(chosen.is_some());
            place.push((i * fresh + chosen.unwrap_or(0)) as u32);
            bad.push(others.iter().filter(|w| **w == f64::NEG_INFINITY).count());
        }
        let place = Tensor::new(place, y.x.device())?;
        let y = y.map(|t| Ok(t.index_select(&place, 0)?))?.filled(self.fill, e)?;
        let info = Info::on_host(&moved, &bad, y.x.device())?;
        let next = info.accepted()?.map_or_else(|| Ok(chain.clone()), |moved| choose(&moved, &y, chain))?;
        Ok((next, info))
    }

    fn describe(&self) -> String {
        format!("iterated sampling importance resampling, {} candidates", self.candidates)
    }
}

/// The index of the candidate in which the point u of [0, 1) falls when that interval is divided by weight; `None` for
/// the chain's own place.
fn pick(own: f64, others: &[f64], u: f64) -> Option<usize> {
    let most = others.iter().copied().fold(own, f64::max);
    if most == f64::NEG_INFINITY {
        return None;
    }
    let weight = |w: f64| (w - most).exp();
    let total = weight(own) + others.iter().map(|w| weight(*w)).sum::<f64>();
    let mut left = u * total - weight(own);
    if left < 0.0 {
        return None;
    }
    for (i, w) in others.iter().enumerate() {
        left -= weight(*w);
        if left < 0.0 {
            return Some(i);
        }
    }
    // Rounding took the last bit of the total: the last place that has a weight.
    others.iter().rposition(|w| *w > f64::NEG_INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_chosen_by_weight() {
        let log = |w: [f64; 3]| w.map(f64::ln);
        // Shares ½, ⅛, ⅜ of the own place and two others, at any common factor.
        for shift in [0.0, -900.0, 900.0] {
            let [own, a, b] = log([4.0, 1.0, 3.0]).map(|w| w + shift);
            let chosen = [0.0, 0.49, 0.51, 0.62, 0.63, 0.999_999].map(|u| pick(own, &[a, b], u));
            assert_eq!(chosen, [None, None, Some(0), Some(0), Some(1), Some(1)]);
        }
        let never = f64::NEG_INFINITY;
        assert_eq!(pick(never, &[never, never], 0.5), None);
        assert_eq!(pick(never, &[never, 0.0, never], 0.0), Some(1));
        assert_eq!(pick(0.0, &[never], 0.999_999), None);
    }
}

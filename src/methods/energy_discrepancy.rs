//! Energy discrepancy (Schröder et al. 2023): data against copies of themselves, blurred twice, by energies alone.

use candle_core::Tensor;

use super::example::example;
use super::learning::readings::{ENERGY, GRAD_NORM, Readings, mean, scalar};
use super::learning::trainable::Trainable;
use super::method::only;
use super::part::parts;
use super::{Method, MethodRow, Setup, StepContext};
use crate::config::{Schema, decode, rule};
use crate::data::Batch;
use crate::density::{Energy, Model};
use crate::metrics::{Metrics, Number, Spent, Unit};
use crate::{Result, rng::Key};

crate::config! {
    /// Keys of the method `energy_discrepancy`.
    pub struct EnergyDiscrepancyConfig {
        /// Variance t of each of the two blurs. Small t is score matching, which is blind to the weights of far modes;
        /// √t must be of the order of half their distance. Large t is maximum likelihood, with the more noise the more
        /// dimensions there are.
        t: f64 = 4.0, rule::positive;
        /// M, twice blurred copies of each item.
        particles: usize = 4, rule::at_least(1);
        /// w, in units of one copy: a floor below the mean over copies, without which the loss has no lower bound.
        w: f64 = 1.0, rule::positive;
    }
}

/// The method `energy_discrepancy`: minimises ED_t = E_p[E(x)] - E_p E_y[E_t(y)], y ~ N(x, tI), with E_t(y) = -log ∫
/// N(x'; y, tI) exp(-E(x')) dx', estimated as mean log(w/M + (1/M) Σ_j exp(E(x) - E(x'_j))). A model q has ED_t(q) -
/// ED_t(p) = KL(p‖q) - KL(p_t‖q_t), with both blurred by N(0, tI) in the last term. For t < 1 the loss is divided by
/// t, so that it goes to that of score matching.
pub(super) const ENTRY: MethodRow = MethodRow {
    name: "energy_discrepancy",
    about: "contrasts data with twice blurred copies by energies alone: no derivatives in x, no chains, no normaliser",
    cite: "Schröder, Ou, Lim, Li, Vollmer, Duncan 2023, \"Energy Discrepancies: A Score-Independent Loss for \
           Energy-Based Models\", NeurIPS; arXiv 2307.06431",
    schema: Schema::of::<EnergyDiscrepancyConfig>(),
    numbers: &[
        Number::new("ed", Unit::Nats, "estimate of the energy discrepancy, low by O(1/M)").lower().lead(),
        ENERGY,
        GRAD_NORM,
    ],
    cost: Spent { values: 0, gradients: 640 },
    proposal: None,
    init: &[],
    example: example!(plane, "energy_discrepancy"),
    build: |table, setup| Ok(Box::new(EnergyDiscrepancy::new(decode(table)?, setup)?)),
};

struct EnergyDiscrepancy {
    config: EnergyDiscrepancyConfig,
    trained: Trainable<Model>,
}

impl EnergyDiscrepancy {
    fn new(config: EnergyDiscrepancyConfig, setup: Setup) -> Result<Self> {
        Ok(EnergyDiscrepancy { config, trained: Trainable::model(setup.model, setup.optim)? })
    }
}

/// The estimate of ED_t, a scalar, and the energies of the items, `[B]`.
fn discrepancy(
    energy: &dyn Energy,
    key: Key,
    x: &Tensor,
    config: &EnergyDiscrepancyConfig,
) -> Result<(Tensor, Tensor)> {
    let EnergyDiscrepancyConfig { t, particles, w } = *config;
    let items = x.dim(0)?;
    let blur = |key: Key, x: &Tensor| -> Result<Tensor> {
        Ok((x + (key.normal(x.shape(), x.dtype(), x.device())? * t.sqrt())?)?)
    };
    let y = blur(key.with("forward"), x)?;
    let copies = blur(key.with("backward"), &Tensor::cat(&vec![&y; particles], 0)?)?;
    let all = energy.energy(&Tensor::cat(&[x, &copies], 0)?)?;
    let own = all.narrow(0, 0, items)?;
    let others = all.narrow(0, items, particles * items)?.reshape((particles, items))?;
    let floor = Tensor::full(w.ln(), (1, items), x.device())?.to_dtype(x.dtype())?;
    let terms = Tensor::cat(&[floor, others.neg()?.broadcast_add(&own)?], 0)?;
    let loss = terms.log_sum_exp(0)?.mean_all()?.affine(1.0, -(particles as f64).ln())?;
    Ok((loss, own))
}

parts!(EnergyDiscrepancy: trained);

impl Method for EnergyDiscrepancy {
    fn step(&mut self, cx: &StepContext, batches: &[Batch]) -> Result<Metrics> {
        let x = &only(batches)?.x;
        let key = cx.key.with("blur");
        let (ed, energy) = self.trained.in_training(cx, |model| discrepancy(model, key, x, &self.config))?;
        let loss = ed.affine(1.0 / self.config.t.min(1.0), 0.0)?;
        let grad_norm = self.trained.descend(&loss, cx.lr_scale)?;
        Readings::new().with("ed", scalar(&ed)?).with("energy", mean(&energy)?).with("grad_norm", grad_norm).read()
    }

    fn model(&self) -> &Model {
        &self.trained.live
    }

    fn advice(&self) -> Vec<String> {
        vec!["a higher floor and more copies (--set method.w=4, --set method.particles=16)".to_owned()]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use candle_core::{DType, Device};

    use super::*;
    use crate::density::Gaussian;
    use crate::density::known::Known;
    use crate::math::stats;
    use crate::nets::Builder;

    /// Two modes whose weights differ.
    fn mixture(share: f64) -> Known {
        Known::new(&[vec![-1.5], vec![1.5]], &[share, 1.0 - share], 0.7)
    }

    /// KL(p‖q) of the mixtures under noise of variance t, by quadrature.
    fn kl(p: f64, q: f64, t: f64) -> f64 {
        let (n, end) = (4001, 12.0 + 6.0 * t.sqrt());
        let h = 2.0 * end / (n - 1) as f64;
        let x = Tensor::arange(0u32, n as u32, &Device::Cpu).unwrap().to_dtype(DType::F64).unwrap();
        let x = x.affine(h, -end).unwrap().unsqueeze(1).unwrap();
        let minus_log = |share: f64| mixture(share).under(t.sqrt()).energy(&x).unwrap().to_vec1::<f64>().unwrap();
        minus_log(p).iter().zip(minus_log(q)).map(|(p, q)| (-p).exp() * (q - p) * h).sum()
    }

    /// ED_t(q) - ED_t(p) = KL(p‖q) - KL(p_t‖q_t): what a blur of t cannot see is what two blurred densities still tell
    /// apart; where it is wide it sees the whole of KL(p‖q), as maximum likelihood does.
    #[test]
    fn the_discrepancy_is_the_divergence_that_the_blur_takes_away() {
        let (p, q) = (0.7, 0.4);
        let (right, wrong) = (mixture(p).under(0.0), mixture(q).under(0.0));
        let mut shares = Vec::new();
        for t in [0.25f64, 2.0, 16.0] {
            let config = EnergyDiscrepancyConfig { t, particles: 256, w: 1e-9 };
            let batch = |i: u64| {
                let x = mixture(p).draws(Key::new(1).at(i), 500, 0.0);
                let of = |energy: &dyn Energy| {
                    discrepancy(energy, Key::new(2).at(i), &x, &config).unwrap().0.to_scalar::<f64>().unwrap()
                };
                of(&wrong) - of(&right)
            };
            let all: Vec<f64> = (0..8).map(batch).collect();
            let (mean, error) = (stats::mean(&all), stats::std_error(&all));
            let want = kl(p, q, 0.0) - kl(p, q, t);
            // The estimate of each is low by some hundredths of 1/M.
            assert!((mean - want).abs() < 4.0 * error + 0.005, "t {t}: {mean} ± {error} and {want}");
            shares.push(want / kl(p, q, 0.0));
        }
        assert!(shares[0] < 0.2 && shares[2] > 0.8, "{shares:?}");
    }

    /// ED_t/t goes to J = E[½|∇E|² - ΔE], the objective of score matching.
    #[test]
    fn a_small_blur_is_score_matching() {
        let (energy, t) = (mixture(0.4).under(0.0), 0.01f64);
        let config = EnergyDiscrepancyConfig { t, particles: 32, w: 1e-9 };
        let batch = |i: u64| {
            let x = mixture(0.7).draws(Key::new(3).at(i), 2000, 0.0);
            let ed = discrepancy(&energy, Key::new(4).at(i), &x, &config).unwrap().0.to_scalar::<f64>().unwrap();
            let (_, grad, laplacian) = energy.laplacian(&x).unwrap();
            let j = (crate::ops::dot(&grad, &grad).unwrap().affine(0.5, 0.0).unwrap() - laplacian).unwrap();
            [ed / t, j.mean_all().unwrap().to_scalar::<f64>().unwrap()]
        };
        let all: Vec<[f64; 2]> = (0..12).map(batch).collect();
        let apart: Vec<f64> = all.iter().map(|[ed, j]| ed - j).collect();
        let (mean, error) = (stats::mean(&apart), stats::std_error(&apart));
        assert!(error < 0.1 && mean.abs() < 4.0 * error + 0.05, "{mean} ± {error}");
    }

    /// Of data N(0, 1) under the model N(0, s²), ED_t = 1/2s² - (1+t)/2(s²+t) - ½ log(1 + t/s²).
    #[test]
    fn estimate_of_two_normal_densities_is_the_closed_form() {
        let x = Key::new(0).normal((2000, 1), DType::F64, &Device::Cpu).unwrap();
        for (s2, t) in [(2.0f64, 1.0f64), (0.5, 0.3), (1.0, 4.0)] {
            let tensor = |v: f64| Tensor::new(&[v], &Device::Cpu).unwrap();
            let tensors = [("mean", tensor(0.0)), ("log_std", tensor(0.5 * s2.ln()))];
            let tensors: BTreeMap<_, _> = tensors.map(|(name, t)| (name.to_owned(), t)).into();
            let model = Gaussian::new(&[1], 0.0, 1.0, &Builder::bound(tensors, DType::F64, &Device::Cpu)).unwrap();
            let config = EnergyDiscrepancyConfig { t, particles: 400, w: 1e-9 };
            let (found, _) = discrepancy(&model, Key::new(1), &x, &config).unwrap();
            let found: f64 = found.to_scalar().unwrap();
            let want = 0.5 / s2 - 0.5 * (1.0 + t) / (s2 + t) - 0.5 * (1.0 + t / s2).ln();
            // The standard error is below 0.02, and the estimate low by a fraction of 1/M.
            assert!((found - want).abs() < 0.08, "s² {s2}, t {t}: {found} {want}");
        }
    }
}

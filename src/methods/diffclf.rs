//! Denoising and classification of noise levels together: gradients from the one, weights of far modes from the other.

use candle_core::{DType, Tensor, Var};

use super::example::example;
use super::learning::level_weight::{LevelWeight, LossWeight};
use super::learning::levels::{self, DENOISING, Noisy};
use super::learning::readings::{GRAD_NORM, Readings, mean, scalar};
use super::learning::trainable::Trainable;
use super::method::only;
use super::part::{Named, parts};
use super::{Method, MethodRow, Setup, StepContext};
use crate::config::{Schema, Spec, decode, rule};
use crate::data::Batch;
use crate::density::{Energy, Model};
use crate::metrics::{Metrics, Number, Spent, Unit};
use crate::store::State;
use crate::{Error, Result};

crate::config! {
    /// Keys of the method `diffclf`.
    pub struct DiffclfConfig {
        /// k, the levels of each item and step among which its noise is guessed; k² + k gradients an item.
        k: usize = 4, rule::at_least(2);
        /// Take consecutive levels. Levels far apart are told apart at once and teach nothing.
        neighbours: bool = true;
        /// Weight of the classification.
        weight: f64 = 1.0, rule::non_negative;
        /// Weight of the denoising. With 0 the level alone is told apart, as density-ratio estimation by telescoping
        /// does with neighbours (TRE, k = 2) and classification of all levels does (CDM).
        dsm_weight: f64 = 1.0, rule::non_negative;
        /// Weight of the levels' denoising losses: `noise`, or `edm` as `dsm_ladder` has it.
        level_weight: LossWeight = LossWeight::Noise;
        /// How many times as fast as the weights the levels' log-normalisers F learn.
        log_z_rate: f64 = 5.0, rule::positive;
    }
}

const NAME: &str = "diffclf";

/// The method `diffclf`: minimises v mean |σ∇E - ε|²/D + w mean -log softmax_i(-E(x_j, σ_i) - F_i)_j, where x_j = x +
/// σ_j ε_j has the noise of the j-th of k levels and F_i is learned, 0 at the top.
pub(super) const ENTRY: MethodRow = MethodRow {
    name: NAME,
    about: "denoising score matching at all noise levels, and classification of the level, which carries the weights \
            of far modes down the ladder (model `ladder`)",
    cite: "OuYang, Grenioux, Hernández-Lobato 2026, \"A Diffusive Classification Loss for Learning Energy-based \
           Generative Models\" (DiffCLF), ICML; arXiv 2601.21025",
    schema: Schema::of::<DiffclfConfig>(),
    numbers: &[
        DENOISING,
        Number::new("classification", Unit::Nats, "mean -log of the share that an item's own level is given")
            .lower()
            .lead(),
        Number::new("accuracy", Unit::Share, "share of the items whose own level is given the largest share").lead(),
        Number::new("log_z", Unit::Nats, "F_0, the estimate of log Z at level 0 less that at the top"),
        GRAD_NORM,
    ],
    cost: Spent { values: 0, gradients: 768 },
    proposal: Some(levels::flow),
    init: levels::INIT,
    example: example!(ladder, "diffclf", "k = 2\n"),
    build: |table, setup| Ok(Box::new(Diffclf::new(decode(table)?, setup)?)),
};

/// exp(-E(x, σ_i) - F_i) and exp(-E(x, σ_j) - F_j) are told apart where items of both levels lie,
/// so the optimum has E_i + F_i = -log p_i + c at every mode alike, where denoising leaves a constant for each mode.
/// Adding a number to all F changes nothing.
struct Diffclf {
    config: DiffclfConfig,
    levels: usize,
    level_weight: LevelWeight,
    trained: Trainable<Model>,
    /// F / `log_z_rate`, `[L]`, up to a number that all share: the model's optimiser moves it as it moves a weight.
    offsets: Named<Var>,
}

/// The name of the offsets in the state; no model has a tensor of this name.
const OFFSETS: &str = "diffclf:offsets";

impl Diffclf {
    fn new(config: DiffclfConfig, setup: Setup) -> Result<Self> {
        let levels = levels::count(&setup.model, NAME)?;
        if config.k > levels {
            return Err(Error::config(format!("`method.k = {}` levels of a model that has {levels}", config.k))
                .at("k")
                .hint(format!("--set model.levels={}, or fewer at once", config.k)));
        }
        let level_weight = config.level_weight.on(setup.data, "level_weight")?;
        let offsets = Var::from_tensor(&Tensor::zeros(levels, DType::F32, setup.data.device())?)?;
        let mut weights = setup.model.params().weights.clone();
        weights.insert(OFFSETS.into(), offsets.clone());
        let trained = Trainable::model_on(setup.model, setup.optim, &weights)?;
        Ok(Diffclf { config, levels, level_weight, trained, offsets: Named::new(OFFSETS, offsets) })
    }

    /// F, `[L]`.
    fn log_normalisers(&self) -> Result<Tensor> {
        pinned(self.offsets.value.as_tensor(), self.config.log_z_rate)
    }
}

/// F of the offsets `[L]`, pinned: that of the top is 0. The softmax knows F up to a number that all levels share.
fn pinned(offsets: &Tensor, rate: f64) -> Result<Tensor> {
    let top = offsets.narrow(0, offsets.dim(0)?.saturating_sub(1), 1)?.detach();
    Ok(offsets.broadcast_sub(&top)?.affine(rate, 0.0)?)
}

/// F of a run at rest, from the method's section and its state: as the last step left it, also beside averaged weights.
///
/// # Errors
/// The state lacks it.
pub(super) fn log_normalisers(spec: &Spec, state: &State) -> Result<Vec<f64>> {
    let DiffclfConfig { log_z_rate, .. } = spec.within(decode(&spec.table))?;
    let offsets = state.get(OFFSETS).ok_or_else(|| Error::Other(format!("the state lacks `{OFFSETS}`")))?;
    Ok(pinned(&offsets.detach().to_dtype(DType::F64)?, log_z_rate)?.to_vec1()?)
}

/// The levels of kB items, `[kB]`, as they are and moved by 1 … k - 1 of the k blocks of B, `[k, kB]`: each item's own
/// level in the first row, those of its fellows below.
fn rolled(of: &Tensor, k: usize) -> Result<Tensor> {
    let blocks = of.reshape((k, ()))?;
    let turned = |s: usize| -> Result<Tensor> {
        let ends = [blocks.narrow(0, s, k - s)?, blocks.narrow(0, 0, s)?];
        Ok(Tensor::cat(&ends, 0)?.flatten_all()?)
    };
    Ok(Tensor::stack(&(0..k).map(turned).collect::<Result<Vec<_>>>()?, 0)?)
}

/// The denoising losses `[N]` of noisy items and their energies `[k, N]`: at their own levels, then at the others' σ
/// `[(k - 1)N]`. `at` gives the energy at one level an item.
fn compared<E: Energy>(at: impl Fn(&Tensor) -> Result<E>, noisy: &Noisy, others: &Tensor) -> Result<(Tensor, Tensor)> {
    let (own, dsm) = noisy.denoising(&at(&noisy.sigma)?)?;
    let n = own.dim(0)?;
    let rest = others.dim(0)? / n.max(1);
    let others = at(others)?.energy(&Tensor::cat(&vec![&noisy.x; rest], 0)?)?;
    Ok((dsm, Tensor::cat(&[own, others], 0)?.reshape((rest + 1, n))?))
}

/// The classification losses and whether the item's own level wins, `[N]` each, of the logits `[k, N]` with the item's
/// own level in the first row.
fn classification(logits: &Tensor) -> Result<(Tensor, Tensor)> {
    let own = logits.get(0)?;
    let won = own.ge(&logits.max(0)?)?.to_dtype(DType::F64)?;
    Ok(((logits.log_sum_exp(0)? - own)?, won))
}

parts!(Diffclf: trained, offsets);

impl Method for Diffclf {
    fn step(&mut self, cx: &StepContext, batches: &[Batch]) -> Result<Metrics> {
        let ((x, own), k) = (only(batches)?.beneath(), self.config.k);
        let key = cx.key.with("levels");
        let level = levels::draw(key, [k, x.dim(0)?], self.levels, self.config.neighbours, x.device())?;
        let indices = rolled(&level, k)?;
        let log_z = self.log_normalisers()?;
        let (dsm, weighed, logits) = self.trained.in_training(cx, |model| {
            let sigmas = levels::sigmas(model, NAME)?;
            let of = |indices: &Tensor| sigmas.index_select(&indices.flatten_all()?, 0);
            let noisy = Noisy::new(cx.key.with("noise"), &Tensor::cat(&vec![x; k], 0)?, own, &of(&level)?)?;
            let others = of(&indices.narrow(0, 1, k - 1)?)?;
            let (dsm, energies) = compared(|sigma| levels::at(model, sigma, NAME), &noisy, &others)?;
            let log_z = log_z.index_select(&indices.flatten_all()?, 0)?.reshape(indices.shape())?;
            let weighed = self.level_weight.of(&dsm, &noisy)?;
            Ok((dsm, weighed, (energies + log_z)?.neg()?))
        })?;
        let (guess, won) = classification(&logits)?;
        let DiffclfConfig { weight, dsm_weight, .. } = self.config;
        let loss = ((weighed.mean_all()? * dsm_weight)? + (guess.mean_all()? * weight)?)?;
        let readings = Readings::new()
            .with("dsm", mean(&dsm)?)
            .with("classification", mean(&guess)?)
            .with("accuracy", mean(&won)?)
            .with("log_z", scalar(&log_z.get(0)?)?);
        let grad_norm = self.trained.descend(&loss, cx.lr_scale)?;
        readings.with("grad_norm", grad_norm).read()
    }

    fn model(&self) -> &Model {
        &self.trained.live
    }

    fn advice(&self) -> Vec<String> {
        vec![
            "a higher level 0, since the gradient's noise grows as 1/σ (--set model.sigma_min=0.1)".to_owned(),
            "more levels, so that neighbours are harder to tell apart (--set model.levels=64)".to_owned(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::density::known::Known;
    use crate::methods::nce;
    use crate::rng::Key;

    /// .8 N((-3, -3), .49 I) + .2 N((3, 3), .49 I).
    fn known() -> Known {
        Known::new(&[vec![-3.0; 2], vec![3.0; 2]], &[0.8, 0.2], 0.7)
    }

    const CPU: Device = Device::Cpu;
    const N: usize = 4000;
    const K: usize = 3;

    /// Levels of K neighbours for N items, their indices `[K, KN]`, the noisy items.
    fn drawn(sigmas: &Tensor) -> (Tensor, Noisy) {
        let clean = known().draws(Key::new(1), N, 0.0);
        let level = levels::draw(Key::new(2), [K, N], sigmas.dim(0).unwrap(), true, &CPU).unwrap();
        let sigma = sigmas.index_select(&level, 0).unwrap();
        let noisy = Noisy::new(Key::new(3), &Tensor::cat(&[&clean; K], 0).unwrap(), 0.0, &sigma).unwrap();
        (rolled(&level, K).unwrap(), noisy)
    }

    fn mean_and_error(values: &[f64]) -> (f64, f64) {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n / n).sqrt())
    }

    /// At the exact energies of every level neither loss has a slope: an item's level is given the share that it has,
    /// so that the gradient in F vanishes level by level, and E|σ∇E - ε|² = D - σ² E|∇E|².
    #[test]
    fn the_exact_marginals_of_a_mixture_are_where_both_losses_rest() {
        let sigmas = Tensor::new(&[0.3f64, 0.6, 1.2, 2.4, 4.8], &CPU).unwrap();
        let (indices, noisy) = drawn(&sigmas);
        let others = indices.narrow(0, 1, K - 1).unwrap().flatten_all().unwrap();
        let others = sigmas.index_select(&others, 0).unwrap();
        let (dsm, energies) = compared(|sigma| Ok(known().at(sigma)), &noisy, &others).unwrap();
        let shares =
            candle_nn::ops::softmax(&energies.neg().unwrap().t().unwrap(), 1).unwrap().to_vec2::<f64>().unwrap();
        let at = indices.t().unwrap().to_vec2::<u32>().unwrap();
        for level in 0..5u32 {
            let slope = |(shares, at): (&Vec<f64>, &Vec<u32>)| -> f64 {
                let of = |(i, (share, index)): (usize, (&f64, &u32))| {
                    if *index == level { share - f64::from(u8::from(i == 0)) } else { 0.0 }
                };
                shares.iter().zip(at).enumerate().map(of).sum()
            };
            // The K items of a column belong together, so they are one value.
            let rows: Vec<f64> = shares.iter().zip(&at).map(slope).collect();
            let columns: Vec<f64> = (0..N).map(|b| (0..K).map(|j| rows[j * N + b]).sum()).collect();
            let (mean, error) = mean_and_error(&columns);
            assert!(error > 0.0 && mean.abs() < 4.0 * error, "level {level}: {mean} ± {error}");
        }
        let (_, grad) = known().at(&noisy.sigma).grad(&noisy.x).unwrap();
        let square = (grad.sqr().unwrap().sum(1).unwrap() * noisy.sigma.sqr().unwrap()).unwrap();
        let rest = (dsm + (square * 0.5).unwrap()).unwrap().affine(1.0, -1.0).unwrap();
        let (mean, error) = mean_and_error(&rest.to_vec1::<f64>().unwrap());
        assert!(mean.abs() < 4.0 * error, "{mean} ± {error}");
    }

    #[test]
    fn a_number_added_to_all_logits_changes_nothing_and_wrong_weights_cost() {
        let sigmas = Tensor::new(&[0.3f64, 0.6, 1.2, 2.4, 4.8], &CPU).unwrap();
        let (indices, noisy) = drawn(&sigmas);
        let others = indices.narrow(0, 1, K - 1).unwrap().flatten_all().unwrap();
        let others = sigmas.index_select(&others, 0).unwrap();
        let (_, energies) = compared(|sigma| Ok(known().at(sigma)), &noisy, &others).unwrap();
        let loss = |energies: &Tensor| {
            classification(&energies.neg().unwrap()).unwrap().0.mean_all().unwrap().to_scalar::<f64>().unwrap()
        };
        let exact = loss(&energies);
        assert!((loss(&(&energies + 7.0).unwrap()) - exact).abs() < 1e-9);
        // One constant more for one mode at one level: denoising does not see it, the classification does.
        let lift = (indices.eq(1u32).unwrap().to_dtype(DType::F64).unwrap()).broadcast_mul(
            &noisy.x.narrow(1, 0, 1).unwrap().squeeze(1).unwrap().gt(0.0).unwrap().to_dtype(DType::F64).unwrap(),
        );
        assert!(loss(&(energies + lift.unwrap()).unwrap()) > exact + 0.005);
    }

    /// Two levels, of which the upper one is a known density, are half of noise-contrastive estimation with one noise
    /// item for each of the data (Gutmann & Hyvärinen 2010).
    #[test]
    fn two_levels_are_half_of_noise_contrastive_estimation() {
        let sigmas = Tensor::new(&[0.3f64, 2.4], &CPU).unwrap();
        let clean = known().draws(Key::new(1), 60, 0.0);
        let level = Tensor::new([0u32, 1].map(|level| [level; 60]).concat(), &CPU).unwrap();
        let indices = rolled(&level, 2).unwrap();
        let sigma = |row: usize| sigmas.index_select(&indices.get(row).unwrap(), 0).unwrap();
        let noisy = Noisy::new(Key::new(3), &Tensor::cat(&[&clean; 2], 0).unwrap(), 0.0, &sigma(0)).unwrap();
        // The energy of the lower level is a wrong one, with a wrong normaliser; 0.4 is its F less that of the noise.
        let wrong = Known::new(&[vec![-3.0; 2], vec![3.0; 2]], &[0.5, 0.5], 0.9);
        let energy = |x: &Tensor, sigma: f64, of: &Known| -> Tensor {
            of.at(&Tensor::full(sigma, x.dim(0).unwrap(), &CPU).unwrap()).energy(x).unwrap()
        };
        let lower = (energy(&noisy.x, 0.3, &wrong) + 0.4).unwrap();
        let upper = energy(&noisy.x, 2.4, &known());
        let first = |a: &Tensor, b: &Tensor| {
            Tensor::cat(&[a.narrow(0, 0, 60).unwrap(), b.narrow(0, 60, 60).unwrap()], 0).unwrap()
        };
        let logits = Tensor::stack(&[first(&lower, &upper), first(&upper, &lower)], 0).unwrap().neg().unwrap();
        let (loss, _) = classification(&logits).unwrap();
        let loss = loss.mean_all().unwrap().to_scalar::<f64>().unwrap();
        let [data, noise] = [0, 60].map(|at| noisy.x.narrow(0, at, 60).unwrap());
        let log_z = Tensor::new(0.4f64, &CPU).unwrap();
        let (nce, _) = nce::logistic_loss(&wrong.under(0.3), &log_z, &data, &noise, &upper.neg().unwrap()).unwrap();
        let nce = nce.to_scalar::<f64>().unwrap();
        assert!((loss - 0.5 * nce).abs() < 1e-9, "{loss} and half of {nce}");
    }

    #[test]
    fn f_is_pinned_at_the_top_and_keeps_its_slopes() {
        let offsets = Var::new(&[3.0f64, 1.0, 2.0], &CPU).unwrap();
        let f = pinned(offsets.as_tensor(), 5.0).unwrap();
        assert_eq!(f.to_vec1::<f64>().unwrap(), [5.0, -5.0, 0.0]);
        let slopes = f.sum_all().unwrap().backward().unwrap();
        assert_eq!(slopes.get(&offsets).unwrap().to_vec1::<f64>().unwrap(), [5.0; 3]);
    }

    #[test]
    fn levels_of_an_item_are_different_and_each_comes_first_once() {
        let level = Tensor::new(&[0u32, 1, 5, 6, 7, 8], &CPU).unwrap();
        let rolled = rolled(&level, 3).unwrap().to_vec2::<u32>().unwrap();
        assert_eq!(rolled, [[0, 1, 5, 6, 7, 8], [5, 6, 7, 8, 0, 1], [7, 8, 0, 1, 5, 6]]);
        for neighbours in [true, false] {
            let drawn = levels::draw(Key::new(4), [4, 300], 6, neighbours, &CPU).unwrap();
            let rows = drawn.reshape((4, 300)).unwrap().t().unwrap().to_vec2::<u32>().unwrap();
            for row in &rows {
                let mut sorted = row.clone();
                sorted.sort_unstable();
                sorted.dedup();
                assert!(sorted.len() == 4 && sorted[3] < 6, "{row:?}");
                assert!(!neighbours || row.windows(2).all(|pair| pair[1] == pair[0] + 1), "{row:?}");
            }
            assert!((0..6).all(|level| rows.iter().flatten().any(|l| *l == level)));
        }
    }
}

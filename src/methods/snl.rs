//! The self-normalised likelihood: a lower bound of the log-likelihood that a known density and one number make tight.

use candle_core::{DType, Tensor, Var};

use super::example::example;
use super::learning::noise_density::{NoiseConfig, NoiseDensity};
use super::learning::readings::{GRAD_NORM, Readings, mean, scalar};
use super::learning::trainable::Trainable;
use super::method::only;
use super::part::{Named, parts};
use super::{Method, MethodRow, Setup, StepContext};
use crate::config::{Schema, decode, rule};
use crate::data::Batch;
use crate::density::{Energy, Model};
use crate::metrics::{Metrics, Number, Spent, Unit};
use crate::{Result, rng::Key};

crate::config! {
    /// Keys of the method `snl`.
    pub struct SnlConfig {
        /// Log-weights -E - b - log q above this count by the tangent of exp there, so that one far draw does not end
        /// the training.
        cap: f64 = 6.0, rule::non_negative;
    }
}

/// The method `snl`: minimises E_data[E(x)] + b + E_q[exp(-E(z) - b)/q(z)] - 1 in the model's parameters and in b. By
/// log z ≤ z exp(-b) + b - 1 its negative is a lower bound of E_data[log p], tight where b = log Z.
pub(super) const ENTRY: MethodRow = MethodRow {
    name: "snl",
    about: "self-normalised likelihood: a lower bound of the log-likelihood by draws of a known density; learns log Z",
    cite: "Senetaire, Jeha, Mattei, Frellsen 2025, \"Learning Energy-Based Models by Self-normalising the \
           Likelihood\"; arXiv 2503.07021",
    schema: Schema::of::<(SnlConfig, NoiseConfig)>(),
    numbers: &[
        Number::new(
            "bound",
            Unit::Nats,
            "the lower bound of the mean log-likelihood of the data, as the draws of the step see it: none where few \
             of them have a weight",
        )
        .higher()
        .lead(),
        Number::new("log_z", Unit::Nats, "b, the estimate of log Z").lead(),
        Number::new("ess_share", Unit::Share, "effective share of the draws' weights exp(-E)/q").higher(),
        Number::new("capped", Unit::Share, "share of the draws whose weights are above the cap").lower(),
        GRAD_NORM,
    ],
    cost: Spent { values: 0, gradients: 384 },
    proposal: None,
    init: &[("method.noise", "\"full\"")],
    example: example!(
        plane,
        "snl",
        r#"noise_ratio = 2
noise = "full"
"#
    ),
    build: |table, setup| Ok(Box::new(Snl::new(decode(table)?, setup)?)),
};

struct Snl {
    cap: f64,
    ratio: usize,
    noise: NoiseDensity,
    trained: Trainable<Model>,
    /// The estimate b of log Z, a scalar.
    log_z: Named<Var>,
    /// Steps on end in which hardly more than one draw had a weight. It is no part of the state.
    blind: u32,
}

/// The name of b in the state; no model has a tensor of this name.
const LOG_Z: &str = "snl:log_z";

/// The draws from which b gets its start.
const FIRST: usize = 1024;

impl Snl {
    fn new((SnlConfig { cap }, config): (SnlConfig, NoiseConfig), setup: Setup) -> Result<Self> {
        let noise = NoiseDensity::new(&config, &setup)?;
        let log_z = Var::from_tensor(&first_log_z(&setup.model, &noise, setup.key.with("first"))?)?;
        let mut weights = setup.model.params().weights.clone();
        weights.insert(LOG_Z.into(), log_z.clone());
        let trained = Trainable::model_on(setup.model, setup.optim, &weights)?;
        Ok(Snl { cap, ratio: config.noise_ratio, noise, trained, log_z: Named::new(LOG_Z, log_z), blind: 0 })
    }

    /// Warns where single draws have all of the weight for many steps on end: the data then lie where there are hardly
    /// any.
    fn watch(&mut self, ess_share: f64, draws: usize) {
        const STEPS: u32 = 100;
        self.blind = if ess_share * (draws as f64) < 2.0 { self.blind.saturating_add(1) } else { 0 };
        if self.blind == STEPS {
            tracing::warn!(
                "in {STEPS} steps on end one draw in {draws} had nearly all of the weight exp(-E)/q: the noise hardly \
                 covers the data, and `bound` is no bound. {}",
                self.advice().join("; ")
            );
        }
    }
}

/// The logarithm of the mean weight exp(-E)/q of first draws, a scalar: a start from another order of magnitude would
/// blow the first gradients up.
fn first_log_z(energy: &dyn Energy, noise: &NoiseDensity, key: Key) -> Result<Tensor> {
    let z = noise.sample(key, FIRST)?;
    let weights = (energy.energy(&z)?.neg()? - noise.log_prob(&z)?)?;
    let start = weights.log_sum_exp(0)?.affine(1.0, -(FIRST as f64).ln())?;
    Ok(start.detach().to_dtype(DType::F32)?)
}

/// exp(w) up to the cap, and its tangent there beyond.
fn weight(log_weight: &Tensor, cap: f64) -> Result<Tensor> {
    let below = log_weight.minimum(cap)?.exp()?;
    let above = (log_weight.affine(1.0, -cap)?.relu()? * cap.exp())?;
    Ok((below + above)?)
}

/// The bound, a scalar, the share of the draws above the cap, and the effective share of the weights.
///
/// # Shapes
/// x `[B, ..]` data, z `[N, ..]` draws with log-densities `log_q` `[N]`; b a scalar.
fn lower_bound(
    energy: &dyn Energy,
    b: &Tensor,
    x: &Tensor,
    z: &Tensor,
    log_q: &Tensor,
    cap: f64,
) -> Result<[Tensor; 3]> {
    let (items, draws) = (x.dim(0)?, z.dim(0)?);
    let all = energy.energy(&Tensor::cat(&[x, z], 0)?)?;
    let (on_data, on_draws) = (all.narrow(0, 0, items)?, all.narrow(0, items, draws)?);
    let log_weight = (on_draws.neg()?.broadcast_sub(b)? - log_q)?;
    let capped = mean(&log_weight.gt(cap)?)?;
    let loss = ((on_data.mean_all()? + b)? + (weight(&log_weight, cap)?.mean_all()? - 1.0)?)?;
    // (Σw)²/nΣw².
    let seen = log_weight.detach();
    let effective = (seen.log_sum_exp(0)?.affine(2.0, 0.0)? - seen.affine(2.0, 0.0)?.log_sum_exp(0)?)?.exp()?;
    Ok([loss.neg()?, capped, effective.affine(1.0 / draws as f64, 0.0)?])
}

parts!(Snl: trained, log_z, noise);

impl Method for Snl {
    fn step(&mut self, cx: &StepContext, batches: &[Batch]) -> Result<Metrics> {
        let x = &only(batches)?.x;
        let z = self.noise.sample(cx.key.with("noise"), x.dim(0)? * self.ratio)?;
        let log_q = self.noise.log_prob(&z)?;
        let (b, cap) = (self.log_z.value.as_tensor().clone(), self.cap);
        let [bound, capped, effective] =
            self.trained.in_training(cx, |model| lower_bound(model, &b, x, &z, &log_q, cap))?;
        let grad_norm = self.trained.descend(&bound.neg()?, cx.lr_scale)?;
        let metrics = Readings::new()
            .with("bound", scalar(&bound)?)
            .with("log_z", scalar(&b)?)
            .with("ess_share", scalar(&effective)?)
            .with("capped", capped)
            .with("grad_norm", grad_norm)
            .read()?;
        self.watch(metrics.get("ess_share").unwrap_or(1.0), z.dim(0)?);
        Ok(metrics)
    }

    fn model(&self) -> &Model {
        &self.trained.live
    }

    fn advice(&self) -> Vec<String> {
        vec!["a density closer to the data (--set method.noise=full)".to_owned()]
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    /// E = x²/2s² of data N(0, 1) and draws of N(0, 1): the bound is -1/2s² - b - Z exp(-b) + 1 with Z = s√2π, largest
    /// at b = log Z, where it is the log-likelihood.
    struct Parabola(f64);

    impl Energy for Parabola {
        fn energy(&self, x: &Tensor) -> Result<Tensor> {
            Ok(x.sqr()?.sum(1)?.affine(0.5 / self.0, 0.0)?)
        }

        fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
            Ok((self.energy(x)?, x.affine(1.0 / self.0, 0.0)?))
        }

        fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
            crate::density::slope_of_grad(self, x, v)
        }

        fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
            let (energy, slope) = self.directional(x, v)?;
            Ok([energy, slope, v.sqr()?.sum(1)?.affine(1.0 / self.0, 0.0)?])
        }

        fn laplacian(&self, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
            crate::density::laplacian_axis_by_axis(self, x)
        }
    }

    const N: usize = 200_000;

    fn draws(key: u64) -> (Tensor, Tensor) {
        let z = Key::new(key).normal((N, 1), DType::F64, &Device::Cpu).unwrap();
        let log_q = z.sqr().unwrap().sum(1).unwrap().affine(-0.5, -0.5 * std::f64::consts::TAU.ln()).unwrap();
        (z, log_q)
    }

    #[test]
    fn the_bound_of_a_normal_density_is_the_closed_form_and_tight_at_log_z() {
        let ((x, _), (z, log_q)) = (draws(1), draws(2));
        for s2 in [0.5f64, 0.9] {
            let log_z = 0.5 * (std::f64::consts::TAU * s2).ln();
            for b in [log_z, log_z + 0.7, log_z - 0.7] {
                let tensor = Tensor::new(b, &Device::Cpu).unwrap();
                let [bound, _, _] = lower_bound(&Parabola(s2), &tensor, &x, &z, &log_q, 20.0).unwrap();
                let want = -0.5 / s2 - b - (log_z - b).exp() + 1.0;
                let have = bound.to_scalar::<f64>().unwrap();
                assert!((have - want).abs() < 0.02, "s² {s2}, b {b}: {have} and {want}");
                assert!(want <= -0.5 / s2 - log_z + 1e-12);
            }
        }
    }

    /// E = a x²/2 of data N(0, 1.5) and draws of N(0, 1).
    struct Precision<'a>(&'a Var);

    impl Energy for Precision<'_> {
        fn energy(&self, x: &Tensor) -> Result<Tensor> {
            Ok(x.sqr()?.sum(1)?.broadcast_mul(&(self.0.as_tensor() * 0.5)?)?)
        }

        fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
            Ok((self.energy(x)?, x.broadcast_mul(self.0)?))
        }

        fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
            crate::density::slope_of_grad(self, x, v)
        }

        fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
            let (energy, slope) = self.directional(x, v)?;
            Ok([energy, slope, v.sqr()?.sum(1)?.broadcast_mul(self.0)?])
        }

        fn laplacian(&self, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
            crate::density::laplacian_axis_by_axis(self, x)
        }
    }

    /// Where b = log Z the bound's slope in the model is that of the log-likelihood, here -½E[x²] + 1/2a, and its slope
    /// in b is 0.
    #[test]
    fn where_it_is_tight_its_slope_is_that_of_the_likelihood() {
        let ((x, _), (z, log_q)) = (draws(1), draws(2));
        let x = (x * 1.5f64.sqrt()).unwrap();
        let square = x.sqr().unwrap().mean_all().unwrap().to_scalar::<f64>().unwrap();
        for a in [0.8f64, 1.5] {
            let var = Var::new(a, &Device::Cpu).unwrap();
            let b = Var::new(0.5 * (std::f64::consts::TAU / a).ln(), &Device::Cpu).unwrap();
            let [bound, ..] = lower_bound(&Precision(&var), b.as_tensor(), &x, &z, &log_q, 20.0).unwrap();
            let slopes = bound.backward().unwrap();
            let slope = |of: &Var| slopes.get(of).unwrap().to_scalar::<f64>().unwrap();
            let want = -0.5 * square + 0.5 / a;
            // The variance of the draws' part is a few units.
            assert!((slope(&var) - want).abs() < 0.02, "a {a}: {} and {want}", slope(&var));
            assert!(slope(&b).abs() < 0.02, "a {a}: {}", slope(&b));
        }
    }

    #[test]
    fn few_weights_are_seen_as_few() {
        let share = |shift: f64| {
            let z = (draws(3).0.narrow(0, 0, 256).unwrap() + shift).unwrap();
            let log_q = (&z - shift).unwrap().sqr().unwrap().sum(1).unwrap().affine(-0.5, 0.0).unwrap();
            let b = Tensor::new(0.0, &Device::Cpu).unwrap();
            let [_, _, share] = lower_bound(&Parabola(1.0), &b, &z, &z, &log_q, 6.0).unwrap();
            share.to_scalar::<f64>().unwrap()
        };
        assert!((share(0.0) - 1.0).abs() < 1e-9, "equal weights");
        assert!(share(1000.0) < 2.0 / 256.0, "{}", share(1000.0));
    }

    #[test]
    fn beyond_the_cap_weights_go_on_as_a_tangent() {
        let at = Tensor::new(&[1.0f64, 2.0, 5.0], &Device::Cpu).unwrap();
        let have = weight(&at, 2.0).unwrap().to_vec1::<f64>().unwrap();
        let e2 = 2f64.exp();
        for (have, want) in have.into_iter().zip([1f64.exp(), e2, e2 * 4.0]) {
            assert!((have - want).abs() < 1e-9 * want, "{have} {want}");
        }
        let var = Var::from_tensor(&at).unwrap();
        let grads = weight(&var, 2.0).unwrap().sum_all().unwrap().backward().unwrap();
        let slopes = grads.get(&var).unwrap().to_vec1::<f64>().unwrap();
        assert!((slopes[0] - 1f64.exp()).abs() < 1e-9 && (slopes[2] - e2).abs() < 1e-9, "{slopes:?}");
    }
}

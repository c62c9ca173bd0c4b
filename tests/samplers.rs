//! Kernels against densities whose moments are known, by z-scores at fixed seeds.

use candle_core::{DType, Device, Tensor};
use ebm::Result;
use ebm::density::{Density, Energy, Gaussian};
use ebm::nets::Builder;
use ebm::rng::Key;
use ebm::samplers::{Chain, Hmc, Kernel, Langevin, Mala, Sgld};

const CHAINS: usize = 20_000;

/// N(mean, std²) on the line, f64.
fn normal(mean: f64, std: f64) -> Gaussian {
    Gaussian::new(&[1], mean, std, &Builder::new(Key::new(0), DType::F64, &Device::Cpu)).unwrap()
}

/// Positions after `steps` steps, and the mean acceptance.
fn run(kernel: &dyn Kernel, e: &dyn Energy, x: &Tensor, steps: u64) -> (Vec<f64>, f64) {
    let mut chain: Chain = kernel.init(e, x).unwrap();
    let mut accept = 0.0;
    for i in 0..steps {
        let (next, info) = kernel.step(Key::new(11).at(i), e, &chain).unwrap();
        chain = next;
        accept += info.accept.unwrap_or(1.0) / steps as f64;
    }
    (chain.x.flatten_all().unwrap().to_vec1().unwrap(), accept)
}

/// z-scores of mean and variance of independent normal draws.
fn z_scores(x: &[f64], mean: f64, var: f64) -> (f64, f64) {
    let n = x.len() as f64;
    let m = x.iter().sum::<f64>() / n;
    let v = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    ((m - mean) / (var / n).sqrt(), (v - var) / (var * (2.0 / n).sqrt()))
}

fn assert_moments(x: &[f64], mean: f64, var: f64) {
    let (z_mean, z_var) = z_scores(x, mean, var);
    assert!(z_mean.abs() < 4.0 && z_var.abs() < 4.0, "z-scores {z_mean:.2} (mean), {z_var:.2} (variance)");
}

#[test]
fn langevin_has_the_stationary_variance_of_its_discretisation() {
    // On N(0, 1): x' = (1 - ε²/2) x + ε ξ is stationary at variance 1 / (1 - ε²/4).
    for eps in [0.5, 1.0] {
        let x = Key::new(1).normal((CHAINS, 1), DType::F64, &Device::Cpu).unwrap();
        let (x, _) = run(&Langevin { step_size: eps }, &normal(0.0, 1.0), &x, 200);
        assert_moments(&x, 0.0, 1.0 / (1.0 - eps * eps / 4.0));
    }
}

#[test]
fn sgld_runs_at_the_temperature_it_reports() {
    // drift a, noise s on N(0, 1): variance s² / (1 - (1 - a)²), which is T at small a.
    let kernel = Sgld { drift: 0.02, noise: 0.1, ..Sgld::default() };
    let x = Key::new(2).normal((CHAINS, 1), DType::F64, &Device::Cpu).unwrap();
    let (x, _) = run(&kernel, &normal(0.0, 1.0), &x, 400);
    let var = 0.1f64.powi(2) / (1.0 - 0.98f64.powi(2));
    assert!((var / kernel.temperature() - 1.0).abs() < 0.02);
    assert_moments(&x, 0.0, var);
}

#[test]
fn mala_leaves_the_target_invariant_where_langevin_does_not() {
    let target = normal(0.7, 0.8);
    let x = target.sample(Key::new(3), CHAINS).unwrap();
    let (exact, accept) = run(&Mala { step_size: 1.2, scale: None }, &target, &x, 50);
    assert_moments(&exact, 0.7, 0.64);
    assert!((0.3..0.9).contains(&accept), "acceptance {accept}");
    let (biased, _) = run(&Langevin { step_size: 1.2 }, &target, &x, 50);
    assert!(z_scores(&biased, 0.7, 0.64).1 > 10.0, "unadjusted Langevin shows no bias: the test has no power");
}

#[test]
fn mala_forgets_where_it_started() {
    let x = Tensor::full(4.0f64, (CHAINS, 1), &Device::Cpu).unwrap();
    let (x, _) = run(&Mala { step_size: 0.9, scale: None }, &normal(0.0, 1.0), &x, 200);
    assert_moments(&x, 0.0, 1.0);
}

#[test]
fn hmc_leaves_the_target_invariant_and_forgets_where_it_started() {
    let target = normal(0.7, 0.8);
    // A long step: the acceptance must do its part.
    let kernel = Hmc { step_size: 1.1, leapfrog: 3, jitter: 0.1, scale: None };
    let (x, accept) = run(&kernel, &target, &target.sample(Key::new(3), CHAINS).unwrap(), 50);
    assert_moments(&x, 0.7, 0.64);
    assert!((0.3..0.95).contains(&accept), "acceptance {accept}");
    let far = Tensor::full(4.0f64, (CHAINS, 1), &Device::Cpu).unwrap();
    let (x, _) = run(&Hmc { step_size: 0.3, leapfrog: 5, jitter: 0.3, scale: None }, &target, &far, 60);
    assert_moments(&x, 0.7, 0.64);
}

/// A normal density on x < 2, no energy beyond.
struct Fenced(Gaussian);

impl Fenced {
    fn fence(&self, x: &Tensor, energy: &Tensor) -> Result<Tensor> {
        let outside = x.flatten_all()?.ge(2.0)?;
        let nan = Tensor::full(f64::NAN, energy.shape(), energy.device())?;
        Ok(outside.where_cond(&nan, energy)?)
    }
}

impl Energy for Fenced {
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        self.fence(x, &self.0.energy(x)?)
    }

    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let (energy, grad) = self.0.grad(x)?;
        Ok((self.fence(x, &energy)?, grad))
    }

    fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        let [energy, slope, bend] = self.0.curvature(x, v)?;
        Ok([self.fence(x, &energy)?, slope, bend])
    }
}

#[test]
fn a_proposal_without_energy_is_rejected_and_counted_and_touches_no_other_chain() {
    let target = Fenced(normal(0.0, 1.0));
    let x = Tensor::new(&[[1.9f64], [-1.0]], &Device::Cpu).unwrap();
    let kernel = Mala { step_size: 1.0, scale: None };
    let (mut chain, mut rejected) = (kernel.init(&target, &x).unwrap(), 0);
    for i in 0..200 {
        let (next, info) = kernel.step(Key::new(5).at(i), &target, &chain).unwrap();
        rejected += info.nonfinite;
        chain = next;
        let x = chain.x.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        assert!(x.iter().all(|x| *x < 2.0), "{x:?}");
    }
    assert!(rejected > 0, "no proposal crossed the fence: the test has no power");
}

//! Kernels against densities whose moments are known, by z-scores at fixed seeds.

use candle_core::{DType, Device, Tensor};
use ebm::Result;
use ebm::density::{Affine, Clamped, Coordinates, Density, Energy, Freedom, Gaussian, slope_of_grad};
use ebm::math::stats;
use ebm::nets::Builder;
use ebm::rng::Key;
use ebm::samplers::{Chain, ChainConfig, Frozen, Hmc, Kernel, Langevin, Mala, Sampler, Sgld, Target, WarmUp, Weighted};

const CPU: Device = Device::Cpu;
const CHAINS: usize = 20_000;

/// N(mean, std²) on the line, f64.
fn normal(mean: f64, std: f64) -> Gaussian {
    Gaussian::new(&[1], mean, std, &Builder::new(Key::new(0), DType::F64, &Device::Cpu)).unwrap()
}

/// Positions after `steps` steps, and the mean acceptance.
fn run(kernel: &dyn Kernel, e: &dyn Energy, x: &Tensor, steps: u64) -> (Vec<f64>, f64) {
    let on = Target::new(e);
    let mut chain: Chain = kernel.init(&on, x).unwrap();
    let mut accept = 0.0;
    for i in 0..steps {
        let (next, info) = kernel.step(Key::new(11).at(i), &on, &chain).unwrap();
        chain = next;
        accept += info.read().unwrap().accept.unwrap_or(1.0) / steps as f64;
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
    // exp(-E/T) of N(0, 1) is N(0, T). A finite drift a widens it: x' = (1 - a) x + s ξ is stationary at T / (1 - a/2).
    for (drift, noise) in [(0.02, 0.1), (0.045, 0.3), (0.3, 0.05)] {
        let kernel = Sgld { drift, noise, ..Sgld::default() };
        let start = (Key::new(2).normal((CHAINS, 1), DType::F64, &CPU).unwrap() * noise).unwrap();
        let (x, _) = run(&kernel, &normal(0.0, 1.0), &start, 400);
        assert_moments(&x, 0.0, kernel.temperature() / (1.0 - drift / 2.0));
    }
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

    fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        slope_of_grad(self, x, v)
    }

    fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        let [energy, slope, bend] = self.0.curvature(x, v)?;
        Ok([self.fence(x, &energy)?, slope, bend])
    }

    fn laplacian(&self, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        let (energy, grad, trace) = self.0.laplacian(x)?;
        Ok((self.fence(x, &energy)?, grad, trace))
    }
}

#[test]
fn a_proposal_without_energy_is_rejected_and_counted_and_touches_no_other_chain() {
    let target = Fenced(normal(0.0, 1.0));
    let x = Tensor::new(&[[1.9f64], [-1.0]], &Device::Cpu).unwrap();
    let kernel = Mala { step_size: 1.0, scale: None };
    let on = Target::new(&target);
    let (mut chain, mut rejected) = (kernel.init(&on, &x).unwrap(), 0);
    for i in 0..200 {
        let (next, info) = kernel.step(Key::new(5).at(i), &on, &chain).unwrap();
        rejected += info.read().unwrap().nonfinite.iter().sum::<usize>();
        chain = next;
        let x = chain.x.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        assert!(x.iter().all(|x| *x < 2.0), "{x:?}");
    }
    assert!(rejected > 0, "no proposal crossed the fence: the test has no power");
}

#[test]
fn a_weighted_walker_that_leaves_what_has_energy_has_no_weight_and_is_drawn_anew() {
    let target = Fenced(normal(0.0, 1.0));
    let x = Tensor::new(&[[1.9f64], [-1.0], [1.95], [0.0]], &CPU).unwrap();
    let mut walkers = Weighted::new(&x, &target.0.log_prob(&x).unwrap(), &target).unwrap();
    let mut lost = 0;
    for i in 0..50 {
        walkers.step(Key::new(6).at(i), 0.8, &target).unwrap();
        if walkers.lost() > 0 {
            lost += walkers.lost();
            walkers.resample(Key::new(7).at(i)).unwrap();
        }
        let x = walkers.chain.x.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        assert!(x.iter().all(|x| *x < 2.0) && walkers.log_weights.log_mean().is_finite(), "{x:?}");
    }
    assert!(lost > 0, "no walker crossed the fence: the test has no power");
}

/// Columns of the Hessian of a quadratic energy, and its gradient at 0.
fn quadratic(e: &dyn Energy, dim: usize) -> (Vec<Vec<f64>>, Vec<f64>) {
    let rows = Tensor::cat(
        &[Tensor::zeros((1, dim), DType::F64, &CPU).unwrap(), Tensor::eye(dim, DType::F64, &CPU).unwrap()],
        0,
    );
    let grads = e.grad(&rows.unwrap()).unwrap().1.to_vec2::<f64>().unwrap();
    let column = |i: usize| grads[i + 1].iter().zip(&grads[0]).map(|(a, b)| a - b).collect();
    ((0..dim).map(column).collect(), grads[0].clone())
}

#[test]
fn clamped_chains_draw_from_the_exact_conditional() {
    // A correlated Gaussian in four dimensions, of which the first and the third are free.
    let tensor = |v: [f64; 4]| Tensor::new(&v, &CPU).unwrap();
    let tensors = [("mean".to_owned(), tensor([0.3; 4])), ("log_std".to_owned(), tensor([0.0, 0.7, -0.6, 0.3]))].into();
    let normal = Gaussian::new(&[4], 0.0, 1.0, &Builder::bound(tensors, DType::F64, &CPU)).unwrap();
    let spread = Key::new(1).normal((40, 4), DType::F64, &CPU).unwrap();
    let coordinates = Coordinates::of_items(&spread, true, 1.0).unwrap();
    let energy = Affine { energy: &normal, coordinates: &coordinates };
    let freedom = Freedom::new(&[4], &[true, false, true, false], &CPU).unwrap();
    let (n, fixed) = (4000, [0.0, 0.7, 0.0, -1.1]);
    let known = Tensor::new(&[fixed], &CPU).unwrap().broadcast_as((n, 4)).unwrap().contiguous().unwrap();
    // With E = ½ xᵀPx + gᵀx: precision P_ff and mean -P_ff⁻¹ (g_f + P_fk k) of the free part.
    let (p, g) = quadratic(&energy, 4);
    let force = [0, 2].map(|f| g[f] + p[f][1] * fixed[1] + p[f][3] * fixed[3]);
    let det = p[0][0] * p[2][2] - p[0][2] * p[0][2];
    let cov = [[p[2][2] / det, -p[0][2] / det], [-p[0][2] / det, p[0][0] / det]];
    assert!(
        cov[0][1].abs() > 0.1 * (cov[0][0] * cov[1][1]).sqrt(),
        "free coordinates that have nothing to do: {cov:?}"
    );
    let mean = cov.map(|row| -(row[0] * force[0] + row[1] * force[1]));
    let kernels: [(&str, Box<dyn Kernel>); 2] = [
        ("mala", Box::new(Mala { step_size: 0.7, scale: None })),
        ("hmc", Box::new(Hmc { step_size: 0.4, leapfrog: 5, jitter: 0.1, scale: None })),
    ];
    for (name, kernel) in kernels {
        let clamped = Clamped { energy: &energy, freedom: &freedom, known: &known };
        let on = Target::new(&clamped);
        let mut chain = kernel.init(&on, &Tensor::zeros((n, 2), DType::F64, &CPU).unwrap()).unwrap();
        for i in 0..150 {
            chain = kernel.step(Key::new(3).at(i), &on, &chain).unwrap().0;
        }
        let u = chain.x.to_vec2::<f64>().unwrap();
        let z = |values: Vec<f64>, want: f64| (stats::mean(&values) - want) / stats::std_error(&values);
        for i in 0..2 {
            let first = z(u.iter().map(|u| u[i]).collect(), mean[i]);
            assert!(first.abs() < 4.0, "{name}: mean {i}, z = {first}");
            for j in 0..2 {
                let second = z(u.iter().map(|u| (u[i] - mean[i]) * (u[j] - mean[j])).collect(), cov[i][j]);
                assert!(second.abs() < 4.0, "{name}: covariance {i} {j}, z = {second}");
            }
        }
        let whole = freedom.embed(&chain.x, &known).unwrap().to_vec2::<f64>().unwrap();
        assert!(whole.iter().all(|x| (x[1], x[3]) == (0.7, -1.1)));
    }
}

/// E(x) = 20(x² - 1)²: two wells with steep walls.
struct Wells;

impl Energy for Wells {
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.grad(x)?.0)
    }

    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let off = (x.sqr()? - 1.0)?;
        Ok(((off.sqr()? * 20.0)?.squeeze(1)?, ((x * off)? * 80.0)?))
    }

    fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        slope_of_grad(self, x, v)
    }

    fn curvature(&self, _: &Tensor, _: &Tensor) -> Result<[Tensor; 3]> {
        unreachable!("no kernel asks for it")
    }

    fn laplacian(&self, _: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        unreachable!("no kernel asks for it")
    }
}

#[test]
fn frozen_chains_are_seen_one_by_one_however_well_the_pool_accepts() {
    // A quarter of the chains begins where the walls are too steep for the step.
    let x: Vec<f64> = (0..80).map(|i| if i % 4 == 0 { 6.0 } else { 1.0 }).collect();
    let x = Tensor::from_vec(x, (80, 1), &CPU).unwrap();
    let of = |step_size: f64, steps: usize| {
        let kernel = Hmc { step_size, leapfrog: 5, jitter: 0.1, scale: None };
        let chains = ChainConfig { steps, ..ChainConfig::default() };
        let sampler = Sampler::with(Box::new(kernel), chains, WarmUp::default()).unwrap();
        sampler.run(Key::new(4), &Target::new(&Wells), &x, |_, _| Ok(())).unwrap()
    };
    let trace = of(0.12, 40);
    assert_eq!(trace.frozen().unwrap(), Frozen { count: 20, accepted: 0, chains: 80 });
    assert!(trace.accept.unwrap() > 0.5, "{:?}", trace.accept);
    let doubt = trace.doubt().unwrap().unwrap();
    assert!(doubt.starts_with("20 of 80 chains never moved"), "{doubt}");
    // With smaller steps all move; after one step, chains that stand are what rejection leaves.
    let trace = of(0.002, 40);
    assert!(trace.frozen().unwrap().count == 0 && trace.doubt().unwrap().is_none());
    assert!(of(0.12, 1).doubt().unwrap().is_none());
}

//! The variational autoencoder and what tilts it, against closed forms.

mod tilted;

use candle_core::{DType, Device, Tensor};
use ebm::Result;
use ebm::config::Spec;
use ebm::data::Data;
use ebm::density::{
    Capabilities as _, Context, Density as _, Energy, Likelihood, Model, Potential, Space, Vae, laplacian_along_axes,
    slope_of_grad,
};
use ebm::math::Grid;
use ebm::nets::Builder;
use ebm::probes::ais::{AnnealConfig, Annealing, Bracket};
use ebm::rng::Key;
use ebm::samplers::{Chain, Kernel as _, Mala, Sampler, Target};

const CPU: Device = Device::Cpu;

/// A tilt as a potential takes it.
fn boxed<'a>(tilt: Option<impl Energy + 'a>) -> Option<Box<dyn Energy + 'a>> {
    tilt.map(|tilt| Box::new(tilt) as Box<dyn Energy + 'a>)
}

/// Eight times an energy.
struct Eightfold<E>(E);

impl<E: Energy> Energy for Eightfold<E> {
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        Ok((self.0.energy(x)? * 8.0)?)
    }

    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let (energy, grad) = self.0.grad(x)?;
        Ok(((energy * 8.0)?, (grad * 8.0)?))
    }

    fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        slope_of_grad(self, x, v)
    }

    fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        let [energy, slope, bend] = self.0.curvature(x, v)?;
        Ok([(energy * 8.0)?, (slope * 8.0)?, (bend * 8.0)?])
    }

    fn laplacian(&self, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        laplacian_along_axes(self, x)
    }
}

fn section(name: &str, text: &str) -> Spec {
    Spec::of_text(ebm::density::schemas, name, text).unwrap()
}

fn vae(text: &str, item: &[usize]) -> Vae {
    Vae::new(&section("vae", text), item, 0, &Builder::new(Key::new(3), DType::F64, &CPU)).unwrap()
}

fn normal(key: u64, shape: &[usize]) -> Tensor {
    Key::new(key).normal(shape, DType::F64, &CPU).unwrap()
}

fn list(t: &Tensor) -> Vec<f64> {
    t.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

fn mean(v: &[f64]) -> f64 {
    v.iter().sum::<f64>() / v.len() as f64
}

fn std(v: &[f64]) -> f64 {
    let m = mean(v);
    (v.iter().map(|x| (x - m).powi(2)).sum::<f64>() / (v.len() - 1) as f64).sqrt()
}

/// Linear encoder and decoder.
const LINEAR: &str = "encoder = { name = \"mlp\", hidden = [] }\ndecoder = { name = \"mlp\", hidden = [] }\n";

/// Small networks, all that a decoder can have.
const BENT: &str = "groups = 3\nfeatures = 4\nnoise = \"network\"\nsquash = \"tanh\"\n\
                    encoder = { name = \"mlp\", hidden = [5] }\n\
                    decoder = { name = \"mlp\", hidden = [6], activation = \"tanh\" }\n\
                    head = { name = \"mlp\", hidden = [5] }\n";

#[test]
fn a_linear_vae_has_the_likelihood_of_factor_analysis() {
    let config = format!("latent = 2\nsigma = 0.4\nsigma_range = [0.1, 2.0]\n{LINEAR}");
    let vae = vae(&config, &[3]);
    let zero = Tensor::zeros((1, 2), DType::F64, &CPU).unwrap();
    let unit = Tensor::eye(2, DType::F64, &CPU).unwrap();
    let b = list(&vae.decoder().mean(&zero).unwrap());
    let w: Vec<Vec<f64>> = vae
        .decoder()
        .mean(&unit)
        .unwrap()
        .to_vec2::<f64>()
        .unwrap()
        .into_iter()
        .map(|row| row.iter().zip(&b).map(|(a, b)| a - b).collect())
        .collect();
    // C = Σ_l w_l w_lᵀ + σ² I, 3 × 3.
    let c: Vec<Vec<f64>> = (0..3)
        .map(|i| (0..3).map(|j| w.iter().map(|r| r[i] * r[j]).sum::<f64>() + if i == j { 0.16 } else { 0.0 }).collect())
        .collect();
    let det = c[0][0] * (c[1][1] * c[2][2] - c[1][2] * c[2][1]) - c[0][1] * (c[1][0] * c[2][2] - c[1][2] * c[2][0])
        + c[0][2] * (c[1][0] * c[2][1] - c[1][1] * c[2][0]);
    let minor = |i: usize, j: usize| {
        let (r, s): (Vec<_>, Vec<_>) = ((0..3).filter(|k| *k != i).collect(), (0..3).filter(|k| *k != j).collect());
        let sign = if (i + j).is_multiple_of(2) { 1.0 } else { -1.0 };
        sign * (c[r[0]][s[0]] * c[r[1]][s[1]] - c[r[0]][s[1]] * c[r[1]][s[0]])
    };
    let x = (normal(5, &[6, 3]) * 1.3).unwrap();
    let (energy, grad) = vae.grad(&x).unwrap();
    for ((row, e), g) in x.to_vec2::<f64>().unwrap().iter().zip(list(&energy)).zip(grad.to_vec2::<f64>().unwrap()) {
        let d: Vec<f64> = row.iter().zip(&b).map(|(x, b)| x - b).collect();
        let solved: Vec<f64> = (0..3).map(|i| (0..3).map(|j| minor(j, i) * d[j]).sum::<f64>() / det).collect();
        let quad: f64 = d.iter().zip(&solved).map(|(a, b)| a * b).sum();
        let want = 0.5 * quad + 0.5 * det.ln() + 1.5 * (2.0 * std::f64::consts::PI).ln();
        // The quadrature stops five standard deviations out.
        assert!((e - want).abs() < 1e-5, "{e}, closed form {want}");
        assert!(g.iter().zip(&solved).all(|(a, b)| (a - b).abs() < 1e-4), "{g:?}, closed form {solved:?}");
    }
    // ELBO ≤ importance-weighted bound ≤ log p, and the second comes close with many particles, near the middle:
    // an encoder that was not trained finds nothing far out.
    let x = ((normal(6, &[6, 3]) * 0.2).unwrap().broadcast_add(&Tensor::new(b.as_slice(), &CPU).unwrap())).unwrap();
    let log_p = mean(&list(&vae.log_prob(&x).unwrap()));
    let elbos: Vec<f64> = (0..200)
        .map(|i| {
            let bound = vae.bound(Key::new(7).at(i), &x, None).unwrap();
            mean(&list(&(bound.log_likelihood - &bound.kl[0]).unwrap()))
        })
        .collect();
    let few: Vec<f64> =
        (0..50).map(|i| mean(&list(&vae.importance_weighted(Key::new(8).at(i), &x, 5).unwrap()))).collect();
    let many = mean(&list(&vae.importance_weighted(Key::new(9), &x, 20_000).unwrap()));
    assert!(mean(&elbos) < mean(&few) && mean(&few) < log_p, "{} {} {log_p}", mean(&elbos), mean(&few));
    assert!((many - log_p).abs() < 0.05, "{many}, exact {log_p}");
}

#[test]
fn the_kl_of_every_group_is_the_mean_log_ratio() {
    let vae = vae(BENT, &[2]);
    let x = normal(1, &[1, 2]).broadcast_as((20_000, 2)).unwrap().contiguous().unwrap();
    let bound = vae.bound(Key::new(4), &x, None).unwrap();
    assert_eq!(bound.kl.len(), 3);
    let total = list(&bound.kl.iter().skip(1).fold(bound.kl[0].clone(), |sum, kl| (sum + kl).unwrap()));
    // One particle: log p(x|z) + log p(z) - log q(z|x), of which the middle is minus the KL on average.
    let elbo = mean(&list(&bound.log_likelihood)) - mean(&total);
    let single = list(&vae.importance_weighted(Key::new(5), &x, 1).unwrap());
    let se = (std(&single).powi(2) + std(&list(&bound.log_likelihood)).powi(2) + std(&total).powi(2)).sqrt()
        / (20_000f64).sqrt();
    assert!((mean(&single) - elbo).abs() < 4.0 * se, "{} and {elbo}, standard error {se}", mean(&single));
}

#[test]
fn its_density_integrates_to_one() {
    let vae = vae(
        "latent = 2\nnoise = \"network\"\nencoder = { name = \"mlp\", hidden = [8] }\n\
         decoder = { name = \"mlp\", hidden = [8] }",
        &[2],
    );
    let grid = Grid::new([[-8.0, 8.0], [-8.0, 8.0]], 50);
    let points = grid.points([0.5, 0.5], &CPU).unwrap().to_dtype(DType::F64).unwrap();
    let log_p = list(&vae.log_prob(&points).unwrap());
    assert!(grid.log_integral(&log_p).abs() < 1e-3, "{}", grid.log_integral(&log_p));
    let x = vae.sample(Key::new(2), 20_000).unwrap();
    let average: f64 = mean(&list(&x.narrow(1, 0, 1).unwrap()));
    let want: f64 = {
        let p: Vec<f64> = log_p.iter().map(|l| l.exp()).collect();
        let xs = list(&points.narrow(1, 0, 1).unwrap());
        p.iter().zip(&xs).map(|(p, x)| p * x).sum::<f64>() / p.iter().sum::<f64>()
    };
    let se = std(&list(&x.narrow(1, 0, 1).unwrap())) / 20_000f64.sqrt();
    assert!((average - want).abs() < 4.0 * se, "draws have mean {average}, the density {want}");
}

/// Small networks whose likelihood is over five grey levels of [-1, 1].
const LEVELS: &str = "latent = 2\nlikelihood = \"discretised_logistic\"\ncomponents = 3\nlevels = 5\nparticles = 20\n\
                      encoder = { name = \"mlp\", hidden = [5] }\n\
                      decoder = { name = \"mlp\", hidden = [6], activation = \"tanh\" }\n";

/// Over all 25 pairs of levels the masses P = density · w² sum to one, for every z; draws fall on the levels as often
/// as they should.
#[test]
fn a_discretised_mixture_is_a_distribution_over_levels_and_its_draws_have_it() {
    const N: usize = 40_000;
    let vae = vae(LEVELS, &[2]);
    let (width, centres) = (0.4, [-0.8, -0.4, 0.0, 0.4, 0.8]);
    let pairs: Vec<f64> = centres.iter().flat_map(|a| centres.iter().flat_map(move |b| [*a, *b])).collect();
    let x = Tensor::from_vec(pairs, (25, 2), &CPU).unwrap();
    for key in 0..3 {
        // Far out, where components are narrow and lie beyond the range.
        let z = (normal(key, &[1, 2]) * (1 + 5 * key) as f64).unwrap();
        let log_p = vae.log_likelihood(&x, &z.broadcast_as((25, 2)).unwrap().contiguous().unwrap(), None).unwrap();
        let p: Vec<f64> = list(&log_p).iter().map(|l| l.exp() * width * width).collect();
        assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{p:?}");
        let Likelihood::Logistic(decoder) = vae.decoder() else { panic!("another likelihood") };
        let many = z.broadcast_as((N, 2)).unwrap().contiguous().unwrap();
        let draws = decoder.draw(Key::new(7).at(key), &many).unwrap().to_vec2::<f64>().unwrap();
        let mut counts = [0.0; 25];
        for row in &draws {
            assert!(row.iter().all(|v| (-1.0..=1.0).contains(v)), "{row:?}");
            let level = |v: f64| (((v + 1.0) / width) as usize).min(4);
            counts[5 * level(row[0]) + level(row[1])] += 1.0;
        }
        for (i, (count, p)) in counts.iter().zip(&p).enumerate() {
            let (want, n) = (p * N as f64, N as f64);
            let z = (count - want) / (want * (1.0 - p)).max(1.0 / n).sqrt();
            assert!(z.abs() < 4.5 || (count - want).abs() < 3.0, "pair {i}: {count} draws, {want} expected");
        }
    }
    // The same anywhere within a level, and no slope is made up.
    let z = normal(9, &[25, 2]);
    let at = |x: &Tensor| list(&vae.log_likelihood(x, &z, None).unwrap());
    assert_eq!(at(&(&x + 0.19).unwrap()), at(&x));
    assert!(vae.grad(&x).unwrap_err().to_string().contains("no slope"));
    assert!(vae.noise_space(Space::Noise).is_none());
}

/// The importance-weighted bound with many particles is the integral over z that a grid gives.
#[test]
fn a_discretised_mixture_has_the_likelihood_of_the_integral_over_z() {
    let vae = vae(LEVELS, &[2]);
    let x = Tensor::new(&[[-0.8, 0.4], [0.0, 0.8], [0.8, 0.8]], &CPU).unwrap();
    let found = list(&vae.importance_weighted(Key::new(1), &x, 20_000).unwrap());
    let side = 120;
    let axis: Vec<f64> = (0..side).map(|i| -6.0 + 12.0 * (i as f64 + 0.5) / side as f64).collect();
    let nodes: Vec<f64> = axis.iter().flat_map(|a| axis.iter().flat_map(move |b| [*a, *b])).collect();
    let z = Tensor::from_vec(nodes, (side * side, 2), &CPU).unwrap();
    let prior: Vec<f64> = list(&z.sqr().unwrap().sum(1).unwrap()).iter().map(|s| (-0.5 * s).exp()).collect();
    let total: f64 = prior.iter().sum();
    for (i, found) in found.iter().enumerate() {
        let rows = x.narrow(0, i, 1).unwrap().broadcast_as((side * side, 2)).unwrap().contiguous().unwrap();
        let likelihood = list(&vae.log_likelihood(&rows, &z, None).unwrap());
        let want = likelihood.iter().zip(&prior).map(|(l, p)| l.exp() * p).sum::<f64>() / total;
        assert!((found - want.ln()).abs() < 0.02, "item {i}: {found}, {}", want.ln());
    }
}

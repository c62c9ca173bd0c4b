//! Every kernel of the registry on one asymmetric mixture: exact draws in, exact draws out.

mod warm_up;

use candle_core::{DType, Device, Tensor};
use ebm::Result;
use ebm::config::decode;
use ebm::density::{BlockGibbs, Density, Energy, Gaussian, slope_of_grad};
use ebm::metrics::Spent;
use ebm::nets::Builder;
use ebm::rng::Key;
use ebm::samplers::{
    Chain, ChainConfig, Imh, Info, Kernel, Langevin, Need, SAMPLERS, Sampler, SamplerRow, Target, WarmUp,
};
use rand::Rng as _;
use rand_distr::StandardNormal;

const CPU: Device = Device::Cpu;
const WEIGHTS: [f64; 3] = [0.2, 0.3, 0.5];
const CENTRES: [[f64; 2]; 3] = [[-1.5, 0.5], [1.0, 2.0], [1.5, -1.0]];
const WIDTHS: [f64; 3] = [0.5, 0.8, 0.6];

/// Σ_k w_k N(c_k, σ_k² I) in the plane, up to its normaliser, tilting a wide Gaussian.
struct Mixture {
    base: Gaussian,
}

impl Mixture {
    fn new() -> Self {
        Mixture { base: Gaussian::new(&[2], 0.3, 2.0, &Builder::new(Key::new(0), DType::F64, &CPU)).unwrap() }
    }

    /// Itself with all that a kernel may ask for.
    fn target(&self) -> Target<'_> {
        Target::new(self).with(&self.base).drawn(self).swept(self)
    }

    /// log(w_k N(x; c_k, σ_k²)) for each k.
    fn terms(x: &[f64]) -> [f64; 3] {
        [0, 1, 2].map(|k| {
            let square: f64 = x.iter().zip(CENTRES[k]).map(|(x, c)| (x - c).powi(2)).sum();
            let s2 = WIDTHS[k] * WIDTHS[k];
            WEIGHTS[k].ln() - square / (2.0 * s2) - (2.0 * std::f64::consts::PI * s2).ln()
        })
    }

    /// Probabilities of the components given x.
    fn shares(x: &[f64]) -> [f64; 3] {
        let total = ebm::math::logsumexp(&Self::terms(x));
        Self::terms(x).map(|t| (t - total).exp())
    }

    fn component(shares: [f64; 3], u: f64) -> usize {
        if u < shares[0] { 0 } else { 1 + usize::from(u >= shares[0] + shares[1]) }
    }

    fn draw(key: Key, shares: impl Iterator<Item = [f64; 3]>) -> Tensor {
        let mut rng = key.rng();
        let rows: Vec<f64> = shares
            .flat_map(|shares| {
                let k = Self::component(shares, rng.random());
                CENTRES[k].map(|c| c + WIDTHS[k] * rng.sample::<f64, _>(StandardNormal))
            })
            .collect();
        plane(rows)
    }
}

/// Points, coordinate after coordinate.
fn plane(x: Vec<f64>) -> Tensor {
    let n = x.len() / 2;
    Tensor::from_vec(x, (n, 2), &CPU).unwrap()
}

fn rows(x: &Tensor) -> Vec<Vec<f64>> {
    x.to_dtype(DType::F64).unwrap().to_vec2().unwrap()
}

impl Energy for Mixture {
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.grad(x)?.0)
    }

    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let (mut energy, mut grad) = (Vec::new(), Vec::new());
        for x in rows(x) {
            // A constant that must not matter.
            energy.push(3.0 - ebm::math::logsumexp(&Self::terms(&x)));
            let shares = Self::shares(&x);
            let slope = |j: usize| (0..3).map(|k| shares[k] * (x[j] - CENTRES[k][j]) / WIDTHS[k].powi(2)).sum::<f64>();
            grad.extend([slope(0), slope(1)]);
        }
        Ok((Tensor::new(energy, &CPU)?, plane(grad)))
    }

    fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        slope_of_grad(self, x, v)
    }

    fn curvature(&self, _: &Tensor, _: &Tensor) -> Result<[Tensor; 3]> {
        Err(ebm::Error::Other("no kernel takes second derivatives".into()))
    }

    fn laplacian(&self, _: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        Err(ebm::Error::Other("no kernel takes second derivatives".into()))
    }
}

impl BlockGibbs for Mixture {
    fn sweep(&self, key: Key, x: &Tensor) -> Result<Tensor> {
        Ok(Self::draw(key, rows(x).iter().map(|x| Self::shares(x))))
    }
}

impl Density for Mixture {
    fn log_prob(&self, x: &Tensor) -> Result<Tensor> {
        Ok((self.energy(x)?.neg()? + 3.0)?)
    }

    fn sample(&self, key: Key, n: usize) -> Result<Tensor> {
        Ok(Self::draw(key, std::iter::repeat_n(WEIGHTS, n)))
    }
}

/// The kernel of a row at steps large enough for rejections and moves between the modes.
fn kernel(row: &SamplerRow) -> Box<dyn Kernel> {
    let mut table = row.schema.defaults();
    for part in row.schema.parts() {
        let schema = (part.rows)().into_iter().find(|(name, _)| *name == part.default).unwrap().1;
        let mut inner = schema.defaults();
        inner.insert("name".into(), part.default.into());
        inner.insert("step_size".into(), 0.7.into());
        table.insert(part.key.into(), inner.into());
    }
    if table.contains_key("step_size") {
        table.insert("step_size".into(), 0.7.into());
    }
    (row.build)(&table).unwrap()
}

fn walk(kernel: &dyn Kernel, on: &Target, x: &Tensor, steps: u64) -> Tensor {
    let mut chain = kernel.init(on, x).unwrap();
    for i in 0..steps {
        chain = kernel.step(Key::new(8).at(i), on, &chain).unwrap().0;
    }
    chain.x
}

/// The largest |z| of what independent draws of the mixture are known to have: means, second moments, mean shares of
/// the components; and χ² with two degrees of freedom of the counts of components drawn from those shares.
fn misfit(x: &Tensor) -> (f64, f64) {
    let x = rows(x);
    let n = x.len() as f64;
    let z = |f: &dyn Fn(&[f64]) -> f64, truth: f64| {
        let values: Vec<f64> = x.iter().map(|x| f(x)).collect();
        ((ebm::math::stats::mean(&values) - truth) / ebm::math::stats::std_error(&values)).abs()
    };
    let over = |f: &dyn Fn(usize) -> f64| (0..3).map(|k| WEIGHTS[k] * f(k)).sum::<f64>();
    let mut worst = 0.0f64;
    for (i, j) in [(0, 0), (0, 1), (1, 1)] {
        let own = |k: usize| if i == j { WIDTHS[k].powi(2) } else { 0.0 };
        worst = worst.max(z(&|x| x[i] * x[j], over(&|k| CENTRES[k][i] * CENTRES[k][j] + own(k))));
    }
    for (k, weight) in WEIGHTS.into_iter().enumerate() {
        worst = worst.max(z(&|x| Mixture::shares(x)[k], weight));
    }
    for j in 0..2 {
        worst = worst.max(z(&|x| x[j], over(&|k| CENTRES[k][j])));
    }
    let (mut counts, mut rng) = ([0.0; 3], Key::new(9).rng());
    x.iter().for_each(|x| counts[Mixture::component(Mixture::shares(x), rng.random())] += 1.0);
    (worst, (0..3).map(|k| (counts[k] - n * WEIGHTS[k]).powi(2) / (n * WEIGHTS[k])).sum())
}

/// The p-value of |z| = 4, at which χ² with two degrees of freedom is -2 log p.
const CHI_SQUARE: f64 = 19.3;

fn fits(misfit: (f64, f64)) -> bool {
    misfit.0 <= 4.0 && misfit.1 <= CHI_SQUARE
}

/// Moves exact draws of the mixture by the kernel of a row; they must stay such.
pub fn check_invariance(row: &SamplerRow, chains: usize, steps: u64) {
    let target = Mixture::new();
    let x = target.sample(Key::new(7), chains).unwrap();
    assert!(fits(misfit(&x)), "the exact draws themselves: {:?}", misfit(&x));
    let found = misfit(&walk(&*kernel(row), &target.target(), &x, steps));
    assert!(fits(found), "{}: largest |z| {:.2}, χ² {:.1}", row.name, found.0, found.1);
}

fn every_kernel(chains: usize, steps: u64) {
    for row in SAMPLERS.iter().filter(|row| row.exact) {
        check_invariance(row, chains, steps);
    }
}

#[test]
fn every_kernel_leaves_an_asymmetric_mixture_invariant() {
    every_kernel(2_000, 15);
}

#[test]
#[ignore = "minutes: 1,000 steps of every kernel"]
fn every_kernel_leaves_an_asymmetric_mixture_invariant_for_long() {
    every_kernel(2_000, 1_000);
}

/// Takes every draw of its proposal, as a chain would whose cached densities are wrong.
struct TakesAll;

impl Kernel for TakesAll {
    fn needs(&self) -> Need {
        Need::Position
    }

    fn step(&self, key: Key, on: &Target, chain: &Chain) -> Result<(Chain, Info)> {
        Ok((Chain::at(&on.proposal()?.sample(key, chain.x.dim(0)?)?), Info::default()))
    }

    fn describe(&self) -> String {
        String::new()
    }
}

#[test]
fn the_test_of_invariance_sees_kernels_that_are_wrong() {
    let target = Mixture::new();
    let x = target.sample(Key::new(7), 3_000).unwrap();
    for wrong in [&TakesAll as &dyn Kernel, &Langevin { step_size: 0.7 }] {
        assert!(!fits(misfit(&walk(wrong, &target.target(), &x, 60))));
    }
}

#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn jumping_kernels_forget_the_mode_they_started_in() {
    let target = Mixture::new();
    let x = Tensor::new(&CENTRES[0], &CPU).unwrap().unsqueeze(0).unwrap().repeat((1_500, 1)).unwrap();
    for row in SAMPLERS.iter().filter(|r| ["imh", "isir", "flow_mcmc", "ex2", "parallel_tempering"].contains(&r.name)) {
        let found = misfit(&walk(&*kernel(row), &target.target(), &x, 80));
        assert!(fits(found), "{}: largest |z| {:.2}, χ² {:.1}", row.name, found.0, found.1);
    }
}

/// The mixture with a hole (NaN) and a wall (+∞).
struct Broken(Mixture);

impl Broken {
    fn is_hole(x: &[f64]) -> bool {
        x[0] > 1.8 || x[1] > 2.6
    }

    fn cut(&self, x: &Tensor, energy: &Tensor) -> Result<Tensor> {
        let cut = |(x, e): (Vec<f64>, f64)| {
            if x[0] > 1.8 {
                f64::NAN
            } else if x[1] > 2.6 {
                f64::INFINITY
            } else {
                e
            }
        };
        Ok(Tensor::new(rows(x).into_iter().zip(energy.to_vec1::<f64>()?).map(cut).collect::<Vec<_>>(), &CPU)?)
    }
}

impl Energy for Broken {
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        self.cut(x, &self.0.energy(x)?)
    }

    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let (energy, grad) = self.0.grad(x)?;
        Ok((self.cut(x, &energy)?, grad))
    }

    fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        slope_of_grad(self, x, v)
    }

    fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        self.0.curvature(x, v)
    }

    fn laplacian(&self, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        self.0.laplacian(x)
    }
}

#[test]
fn what_has_no_energy_is_never_entered_is_counted_and_disturbs_no_neighbour() {
    let energy = Broken(Mixture::new());
    let target = Target::new(&energy).with(&energy.0.base);
    let mut tested = 0;
    // Gibbs sweeps and exact draws ask nothing of the energy.
    for row in SAMPLERS.iter().filter(|row| row.exact && row.cost != Spent::default()) {
        let kernel = kernel(row);
        // The first chain begins at the edge of the hole, in the hole, far from it; the others are the same.
        let run = |first: [f64; 2]| {
            let start = Tensor::new(&[first, [1.6, -1.0], [1.0, 2.4], [-1.5, 0.5]], &CPU).unwrap();
            let (mut chain, mut counts) = (kernel.init(&target, &start).unwrap(), [0; 4]);
            for i in 0..80 {
                let (next, info) = kernel.step(Key::new(3).at(i), &target, &chain).unwrap();
                chain = next;
                counts.iter_mut().zip(&info.read().unwrap().nonfinite).for_each(|(sum, n)| *sum += n);
                let outside = rows(&chain.x)[1..].iter().all(|x| !Broken::is_hole(x));
                assert!(outside, "{}: a chain stands where there is no energy", row.name);
            }
            // The last chain may stay far from the hole.
            assert!(counts[1..3].iter().all(|n| *n > 0), "{}: {counts:?}, the test has no power", row.name);
            let bits = |t: &Tensor| rows(t)[1..].concat().into_iter().map(f64::to_bits).collect::<Vec<_>>();
            let slopes = chain.filled(Need::Gradient, &energy).unwrap().slope().unwrap().clone();
            (bits(&chain.x), bits(&slopes), counts[1..].to_vec())
        };
        let (edge, hole, far) = (run([1.7, -1.0]), run([2.5, 0.0]), run([-1.5, 0.5]));
        assert!(edge == far && hole == far, "{}: a bad chain disturbs its neighbours", row.name);
        tested += 1;
    }
    assert!(tested >= 7);
}

#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn the_bias_of_unadjusted_langevin_is_of_first_order_in_the_step_size() {
    // On N(0, 1), with η = ε²/2 in x ← x - η∇E + √(2η) ξ; a million coordinates to each η.
    let target = Gaussian::new(&[50], 0.0, 1.0, &Builder::new(Key::new(0), DType::F64, &CPU)).unwrap();
    let start = target.sample(Key::new(4), 8_000).unwrap();
    let bias = |eta: f64| {
        let x = walk(&Langevin { step_size: (2.0 * eta).sqrt() }, &Target::new(&target), &start, (6.0 / eta) as u64);
        x.sqr().unwrap().mean_all().unwrap().to_scalar::<f64>().unwrap() - 1.0
    };
    let slope = (bias(0.4) / bias(0.1)).ln() / 4f64.ln();
    assert!((slope - 1.0).abs() <= 0.3, "slope {slope}");
}

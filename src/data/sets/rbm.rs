//! Gaussian-Bernoulli restricted Boltzmann machines: the truth of the goodness-of-fit experiments, drawn by block
//! Gibbs.

use nalgebra::DMatrix;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::config::{Schema, decode, rule};
use crate::data::keys::Points;
use crate::data::row::{DatasetRow, Origin};
use crate::data::source::{Bounds, PointGenerator, Source};
use crate::math::{fill_logistic, fill_normal};
use crate::rng::Key;

crate::config! {
    /// Keys of `rbm`.
    pub struct RbmConfig {
        /// Visible units: the coordinates of a point.
        visible: usize = 50, rule::at_least(1);
        /// Hidden units.
        hidden: usize = 40, rule::at_least(1);
        /// Seed of the parameters B, b and c; the model `rbm` with `init = "paper"` and the same seed has the same.
        matrix_seed: u64 = 0;
        /// Block Gibbs sweeps before the one that is kept. Every draw is a chain of its own, so fresh batches are slow:
        /// to train on this set, draw a pool once (`limit`).
        burn_in: usize = 2000;
    }
}

/// `rbm`.
pub(crate) const RBM: DatasetRow = DatasetRow {
    name: "rbm",
    about: "a Gaussian-Bernoulli RBM with random ±1 weights, drawn by independent block Gibbs chains; score known",
    cite: "Grathwohl et al. 2020, Fig. 5; Liu, Lee & Jordan 2016; Jitkrittum et al. 2017",
    schema: Schema::of::<(RbmConfig, Points)>(),
    origin: Origin::Generated,
    pictures: false,
    example: "visible = 2\nhidden = 3\nburn_in = 20",
    build: |table| {
        let RbmConfig { visible, hidden, matrix_seed, burn_in } = decode(table)?;
        let truth = RbmTruth::new(visible, hidden, matrix_seed);
        Ok(Source::Points(Box::new(Gibbs::new(truth, burn_in))))
    },
};

/// Parameters of an RBM over x ∈ ℝᴰ and h ∈ {-1, +1}ᴴ: p(x, h) ∝ exp(½ xᵀBh + bᵀx + cᵀh - ½|x|²).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RbmTruth {
    /// B, row-major: D rows of H.
    pub weights: Vec<f64>,
    /// b, D numbers.
    pub visible_bias: Vec<f64>,
    /// c, H numbers.
    pub hidden_bias: Vec<f64>,
}

impl RbmTruth {
    /// Entries of B are -1 or +1 with probability ½ each, those of b and c standard normal (Grathwohl 2020, §5.1).
    pub fn new(visible: usize, hidden: usize, matrix_seed: u64) -> Self {
        let key = Key::new(matrix_seed).with("rbm");
        let mut rng = key.with("weights").rng();
        let weights = (0..visible * hidden).map(|_| if rng.random() { 1.0 } else { -1.0 }).collect();
        let normals = |name: &str, n: usize| key.with(name).rng().sample_iter(StandardNormal).take(n).collect();
        RbmTruth { weights, visible_bias: normals("visible", visible), hidden_bias: normals("hidden", hidden) }
    }

    /// D.
    pub fn visible(&self) -> usize {
        self.visible_bias.len()
    }

    /// H.
    pub fn hidden(&self) -> usize {
        self.hidden_bias.len()
    }

    /// ∇x log p(x) = b - x + ½ B tanh(½ Bᵀx + c). The formula printed in the paper lacks the halves.
    pub fn score(&self, x: &[f64]) -> Vec<f64> {
        let rows = || self.weights.chunks_exact(self.hidden());
        let mut field = self.hidden_bias.clone();
        for (row, x) in rows().zip(x) {
            field.iter_mut().zip(row).for_each(|(a, w)| *a += 0.5 * w * x);
        }
        let on: Vec<f64> = field.into_iter().map(f64::tanh).collect();
        let pull = |row: &[f64]| 0.5 * row.iter().zip(&on).map(|(w, h)| w * h).sum::<f64>();
        rows().zip(&self.visible_bias).zip(x).map(|((row, b), x)| b - x + pull(row)).collect()
    }
}

/// Chains that one thread moves together: their positions and the weights stay in its cache.
const CHAINS: usize = 125;

/// Draws by block Gibbs in f32, all chains at once. A matrix here has one column a chain, as points lie in memory.
struct Gibbs {
    truth: RbmTruth,
    burn_in: usize,
    /// B, D × H.
    weights: DMatrix<f32>,
    /// Bᵀ, H × D.
    transposed: DMatrix<f32>,
    visible_bias: Vec<f32>,
    hidden_bias: Vec<f32>,
}

impl Gibbs {
    fn new(truth: RbmTruth, burn_in: usize) -> Self {
        let single = |values: &[f64]| values.iter().map(|&v| v as f32).collect::<Vec<f32>>();
        let transposed = DMatrix::from_vec(truth.hidden(), truth.visible(), single(&truth.weights));
        let (visible_bias, hidden_bias) = (single(&truth.visible_bias), single(&truth.hidden_bias));
        Gibbs { burn_in, weights: transposed.transpose(), transposed, visible_bias, hidden_bias, truth }
    }

    /// Independent chains from x ~ N(0, I), one a point: `burn_in` sweeps, and one more to draw from.
    ///
    /// A sweep begins with h given x, so that it does not matter where h starts. P(hⱼ = +1 | x) = sigmoid((Bᵀx + 2c)ⱼ)
    /// is the sign of Bᵀx + 2c plus logistic noise; x | h ~ N(½Bh + b, I).
    fn run(&self, rng: &mut ChaCha8Rng, points: &mut [f64]) {
        let chains = points.len() / self.dim();
        let (mut x, mut h) = (DMatrix::zeros(self.dim(), chains), DMatrix::zeros(self.truth.hidden(), chains));
        fill_normal(rng, x.as_mut_slice());
        for _ in 0..=self.burn_in {
            fill_logistic(rng, h.as_mut_slice());
            add_to_columns(&mut h, 2.0, &self.hidden_bias);
            h.gemm(1.0, &self.transposed, &x, 1.0);
            h.as_mut_slice().iter_mut().for_each(|h| *h = 1f32.copysign(*h));
            fill_normal(rng, x.as_mut_slice());
            add_to_columns(&mut x, 1.0, &self.visible_bias);
            x.gemm(0.5, &self.weights, &h, 1.0);
        }
        points.iter_mut().zip(x.iter()).for_each(|(to, from)| *to = f64::from(*from));
    }
}

/// Adds `factor` times the vector to every column.
fn add_to_columns(columns: &mut DMatrix<f32>, factor: f32, vector: &[f32]) {
    for column in columns.as_mut_slice().chunks_exact_mut(vector.len()) {
        column.iter_mut().zip(vector).for_each(|(to, v)| *to += factor * v);
    }
}

impl PointGenerator for Gibbs {
    fn dim(&self) -> usize {
        self.truth.visible()
    }

    fn draw(&self, rng: &mut ChaCha8Rng, point: &mut [f64]) {
        self.fill(rng, point);
    }

    /// Chunks of chains have streams of their own, so that threads change nothing.
    fn fill(&self, rng: &mut ChaCha8Rng, points: &mut [f64]) {
        let seed: [u8; 32] = rng.random();
        points.par_chunks_mut(CHAINS * self.dim()).enumerate().for_each(|(i, points)| {
            let mut rng = ChaCha8Rng::from_seed(seed);
            rng.set_stream(i as u64);
            self.run(&mut rng, points);
        });
    }

    fn score(&self, point: &[f64]) -> Option<Vec<f64>> {
        Some(self.truth.score(point))
    }

    /// Whatever h is, x lies within 6 standard deviations of b + ½Bh.
    fn bounds(&self) -> Bounds {
        let rows = self.truth.weights.chunks_exact(self.truth.hidden());
        let reach = |row: &[f64]| 0.5 * row.iter().map(|w| w.abs()).sum::<f64>() + 6.0;
        rows.zip(&self.truth.visible_bias).map(|(row, b)| [b - reach(row), b + reach(row)]).collect()
    }
}

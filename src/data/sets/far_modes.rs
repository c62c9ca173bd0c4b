//! Mixtures of narrow Gaussians far apart, on which weights are hard to learn: those of the papers on noise levels.

use rand::Rng as _;
use serde::{Deserialize, Serialize};

use super::mixture::Mixture;
use crate::config::{Schema, decode, rule};
use crate::data::keys::Points;
use crate::data::row::{DatasetRow, Origin};
use crate::data::source::Source;
use crate::rng::Key;

const CITE: &str = "OuYang, Grenioux, Hernández-Lobato 2026, \"A Diffusive Classification Loss for Learning \
                    Energy-based Generative Models\"; arXiv 2601.21025";

crate::config! {
    /// Keys of `two_modes`.
    pub struct TwoModes {
        /// Number of coordinates.
        dim: usize = 2, rule::at_least(1);
        /// a: the means are -a and +a in every coordinate.
        a: f64 = 5.0, rule::positive;
        /// Weights of the modes at -a and at +a; divided by their sum.
        weights: Vec<f64> = vec![2.0 / 3.0, 1.0 / 3.0], a_pair;
        /// Standard deviation of each coordinate around its mean: √.05.
        std: f64 = 0.223_606_797_749_978_97, rule::positive;
        /// Shift and scale the mixture so that each coordinate has mean 0 and variance 1.
        standardise: bool = true;
    }
}

/// `two_modes`.
pub(crate) const TWO_MODES: DatasetRow = DatasetRow {
    name: "two_modes",
    about: "two narrow Gaussians of unequal weights, 45√D standard deviations apart, in any dimension, standardised; \
            density known at every noise level",
    cite: CITE,
    schema: Schema::of::<(TwoModes, Points)>(),
    origin: Origin::Generated,
    pictures: false,
    example: "",
    build: |table| {
        let TwoModes { dim, a, weights, std, standardise } = decode(table)?;
        Ok(points(Mixture::new(vec![vec![-a; dim], vec![a; dim]], &weights, std), standardise))
    },
};

/// How likely the modes of `mog40` are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModeShares {
    /// All the same.
    #[default]
    Equal,
    /// As 1, 2, … 40.
    Linear,
}

crate::config! {
    /// Keys of `mog40`.
    pub struct Mog40 {
        /// Number of coordinates.
        dim: usize = 2, rule::at_least(1);
        /// Means are uniform between -`reach` and +`reach` in every coordinate.
        reach: f64 = 40.0, rule::positive;
        /// The seed of the means, apart from the run's.
        means_seed: u64 = 0;
        /// Weights of the modes: equal, or linear (as 1, 2, … 40), where one that is lost or too heavy shows.
        weights: ModeShares = ModeShares::Equal;
        /// Standard deviation of each coordinate around its mean: √log(1 + e).
        std: f64 = 1.145_976_303_209_723, rule::positive;
        /// Shift and scale the mixture so that each coordinate has mean 0 and variance 1.
        standardise: bool = true;
    }
}

/// `mog40`.
pub(crate) const MOG40: DatasetRow = DatasetRow {
    name: "mog40",
    about: "forty Gaussians with means uniform in a cube, of equal weights or as 1 … 40, in any dimension, \
            standardised; density known at every noise level",
    cite: "the mixture: Midgley et al. 2023, \"Flow annealed importance sampling bootstrap\", ICLR; arXiv 2208.01893; \
           in many dimensions: OuYang et al. 2026; arXiv 2601.21025",
    schema: Schema::of::<(Mog40, Points)>(),
    origin: Origin::Generated,
    pictures: false,
    example: "",
    build: |table| {
        const MODES: usize = 40;
        let Mog40 { dim, reach, means_seed, weights, std, standardise } = decode(table)?;
        let mut rng = Key::new(means_seed).with("mog40").rng();
        let mut mean = |_| (0..dim).map(|_| rng.random_range(-reach..reach)).collect();
        let centres = (0..MODES).map(&mut mean).collect();
        let weight = |k: usize| if weights == ModeShares::Linear { k as f64 } else { 1.0 };
        let weights: Vec<f64> = (1..=MODES).map(weight).collect();
        Ok(points(Mixture::new(centres, &weights, std), standardise))
    },
};

fn points(mixture: Mixture, standardise: bool) -> Source {
    Source::Points(Box::new(if standardise { mixture.standardised() } else { mixture }))
}

#[allow(clippy::ptr_arg)] // A rule takes the type of its key.
fn a_pair(v: &Vec<f64>) -> rule::Complaint {
    if v.len() == 2 { v.iter().find_map(rule::positive) } else { Some(format!("must be two numbers, got {}", v.len())) }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Tensor};

    use crate::data::{Data, Split, of_text};
    use crate::math::stats;

    fn rows(x: &Tensor) -> Vec<Vec<f64>> {
        x.to_dtype(DType::F64).unwrap().to_vec2().unwrap()
    }

    #[test]
    fn standardised_modes_are_where_mean_0_and_variance_1_put_them() {
        let two = of_text("name = \"two_modes\"\ndim = 3").modes().unwrap();
        // Mean -5/3 and variance .05 + 100 · ⅔ · ⅓ before.
        let scale = (0.05f64 + 200.0 / 9.0).sqrt();
        assert!((two.centres[0][2] - (-10.0 / 3.0 / scale)).abs() < 1e-12, "{two:?}");
        assert!((two.centres[1][0] - 20.0 / 3.0 / scale).abs() < 1e-12 && two.scales.len() == 3, "{two:?}");
        assert!((two.std - 0.05f64.sqrt() / scale).abs() < 1e-12, "{two:?}");
        let raw = of_text("name = \"two_modes\"\nstandardise = false\nweights = [3.0, 1.0]\na = 2.0\nstd = 0.5");
        let raw = raw.modes().unwrap();
        assert_eq!((&raw.centres[0], &raw.weights, raw.std), (&vec![-2.0; 2], &vec![0.75, 0.25], 0.5));
    }

    #[test]
    fn draws_of_forty_modes_are_standardised_in_every_coordinate_and_follow_the_weights() {
        for (weights, last) in [("equal", 1.0 / 40.0), ("linear", 40.0 / 820.0)] {
            let data = of_text(&format!("name = \"mog40\"\ndim = 16\nweights = \"{weights}\""));
            let modes = data.modes().unwrap();
            assert!((modes.weights[39] - last).abs() < 1e-12 && modes.centres.len() == 40);
            let n = 4000;
            let x = rows(&data.all(Split::Test, n).unwrap().x);
            for i in 0..16 {
                let column: Vec<f64> = x.iter().map(|row| row[i]).collect();
                let (mean, std) = (stats::mean(&column), stats::std(&column));
                assert!(mean.abs() < 4.0 / (n as f64).sqrt() && (std - 1.0).abs() < 0.05, "{i}: {mean}, {std}");
            }
            let share = x.iter().filter(|x| modes.nearest(x).0 == 39).count() as f64 / n as f64;
            assert!((share - last).abs() < 4.0 * (last / n as f64).sqrt(), "{weights}: {share}");
        }
        let of = |keys: &str| of_text(&format!("name = \"mog40\"\n{keys}")).modes().unwrap();
        assert_ne!(of("").centres, of("means_seed = 1").centres);
        let raw = of("standardise = false");
        assert!(raw.centres.iter().flatten().all(|c| c.abs() <= 40.0) && raw.std == 1.145_976_303_209_723);
    }

    /// log p_σ against the mean of p over noise, for data with and without noise of their own.
    #[test]
    fn marginals_are_the_density_averaged_over_the_noise() {
        let open = |noise: f64, keys: &str| of_text(&format!("{keys}\nnoise = {noise}"));
        let same = |a: &Data, at: f64, b: &Data, x: &Tensor| {
            let log = |data: &Data, at| data.log_density_at(x, at).unwrap().unwrap().to_vec1::<f64>().unwrap();
            assert!(log(a, at).iter().zip(log(b, 0.0)).all(|(a, b)| (a - b).abs() < 1e-9));
        };
        for keys in ["name = \"mog40\"\nweights = \"linear\"", "name = \"mixture\"", "name = \"gaussian\"\nstd = 0.5"] {
            let clean = open(0.0, keys);
            let x = clean.all(Split::Test, 3).unwrap().x.to_dtype(DType::F64).unwrap();
            same(&clean, 0.5, &open(0.5, keys), &x);
            same(&open(0.3, keys), 0.4, &open(0.5, keys), &x);
            // ∫ p(x - σe) φ(e) de by the trapezium in the plane.
            let (h, side) = (0.1, 81);
            let at = |i: usize| (i as f64 - 40.0) * h;
            let nodes: Vec<[f64; 2]> = (0..side * side).map(|k| [at(k / side), at(k % side)]).collect();
            let weight = |[a, b]: &[f64; 2]| (-0.5 * (a * a + b * b)).exp() / std::f64::consts::TAU * h * h;
            let exact = clean.log_density_at(&x, 0.5).unwrap().unwrap().to_vec1::<f64>().unwrap();
            for (point, exact) in rows(&x).iter().zip(exact) {
                let moved = nodes.iter().map(|[a, b]| vec![point[0] - 0.5 * a, point[1] - 0.5 * b]).collect::<Vec<_>>();
                let moved = Tensor::new(moved, x.device()).unwrap();
                let p = clean.log_density(&moved).unwrap().unwrap().to_vec1::<f64>().unwrap();
                let blurred: f64 = nodes.iter().zip(p).map(|(node, p)| weight(node) * p.exp()).sum();
                assert!((blurred.ln() - exact).abs() < 2e-3, "{keys}: {} and {exact}", blurred.ln());
            }
        }
    }

    #[test]
    fn the_score_of_a_level_is_the_slope_of_its_log_density() {
        for keys in ["name = \"mog40\"\ndim = 3", "name = \"gaussian\"\ndim = 3\nmean = 0.4"] {
            let data = of_text(keys);
            let x = data.all(Split::Test, 6).unwrap().x.to_dtype(DType::F64).unwrap();
            let score = data.score_at(&x, 0.7).unwrap().unwrap();
            for (i, h) in [(0, 1e-4), (1, 1e-4), (2, 1e-4)] {
                let mut by = [0f64; 3];
                by[i] = h;
                let by = Tensor::new(&by, x.device()).unwrap();
                let log = |x: &Tensor| data.log_density_at(x, 0.7).unwrap().unwrap();
                let (up, down) = (log(&x.broadcast_add(&by).unwrap()), log(&x.broadcast_sub(&by).unwrap()));
                let slope = ((up - down).unwrap() / (2.0 * h)).unwrap().to_vec1::<f64>().unwrap();
                let score = score.narrow(1, i, 1).unwrap().squeeze(1).unwrap().to_vec1::<f64>().unwrap();
                assert!(slope.iter().zip(&score).all(|(a, b)| (a - b).abs() < 1e-5 * (1.0 + b.abs())), "{keys}");
            }
        }
        let moons = of_text("name = \"moons\"");
        let x = moons.all(Split::Test, 2).unwrap().x;
        assert!(moons.log_density_at(&x, 0.1).unwrap().is_none() && moons.score_at(&x, 0.1).unwrap().is_none());
    }
}

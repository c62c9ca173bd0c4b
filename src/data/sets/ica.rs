//! Linear ICA: independent sources through a random mixing matrix, whose density is known exactly.

use nalgebra::DMatrix;
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Exp1, Open01};
use serde::{Deserialize, Serialize};

use crate::config::{Schema, decode, rule};
use crate::data::keys::Points;
use crate::data::row::{DatasetRow, Origin};
use crate::data::source::{Bounds, PointGenerator, Source};
use crate::math::linalg;
use crate::{Error, Result, rng::Key};

/// The density of one independent source, centred at 0 and of unit scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sources {
    /// p(z) = ½ exp(-|z|), variance 2.
    #[default]
    Laplace,
    /// p(z) = ¼ sech²(z/2), variance π²/3.
    Logistic,
}

impl Sources {
    /// log p(z), nats.
    pub fn log_density(self, z: f64) -> f64 {
        match self {
            Sources::Laplace => -z.abs() - std::f64::consts::LN_2,
            Sources::Logistic => -z.abs() - 2.0 * (-z.abs()).exp().ln_1p(),
        }
    }

    /// One draw.
    pub fn draw(self, rng: &mut ChaCha8Rng) -> f64 {
        match self {
            Sources::Laplace if rng.random() => rng.sample::<f64, _>(Exp1),
            Sources::Laplace => -rng.sample::<f64, _>(Exp1),
            Sources::Logistic => {
                let u: f64 = rng.sample(Open01);
                (u / (1.0 - u)).ln()
            }
        }
    }

    /// The standard deviation.
    pub fn std(self) -> f64 {
        match self {
            Sources::Laplace => std::f64::consts::SQRT_2,
            Sources::Logistic => std::f64::consts::PI / 3f64.sqrt(),
        }
    }
}

crate::config! {
    /// Keys of `ica`.
    pub struct Ica {
        /// Number of sources and of coordinates.
        dim: usize = 10, rule::at_least(1);
        /// Density of the sources: "laplace" (as the LSD paper says) or "logistic" (as its code has, and as the numbers
        /// of its table fit).
        sources: Sources = Sources::Laplace;
        /// Which mixing matrix; apart from the run's seed.
        matrix_seed: u64 = 0;
        /// Random matrices are drawn until one has at most this condition number; 0 stands for `dim`, as released.
        max_condition: f64 = 0.0, rule::non_negative;
    }
}

/// `ica`.
pub(crate) const ICA: DatasetRow = DatasetRow {
    name: "ica",
    about: "linear mixtures x = Wz of independent heavy-tailed sources in any dimension; density known",
    cite: "Grathwohl et al. 2020, section 5.2; arXiv 2002.05616",
    schema: Schema::of::<(Ica, Points)>(),
    origin: Origin::Generated,
    pictures: false,
    example: "dim = 2",
    build: |table| Ok(Source::Points(Box::new(Mixed::new(&decode(table)?)?))),
};

/// x = Wz, so that log p(x) = Σ log p_s((Bx)_i) + log|det B| with B = W⁻¹.
///
/// As in the released code it is B whose entries are N(0, 1).
struct Mixed {
    sources: Sources,
    unmixing: DMatrix<f64>,
    mixing: DMatrix<f64>,
    log_det: f64,
}

impl Mixed {
    fn new(config: &Ica) -> Result<Self> {
        let key = Key::new(config.matrix_seed).with("ica unmixing");
        let unmixing = linalg::well_conditioned(key, config.dim, config.max_condition)?;
        let mixing = unmixing.clone().try_inverse().ok_or_else(|| {
            Error::config("the unmixing matrix that was drawn is singular")
                .at("max_condition")
                .hint("lower `dataset.max_condition`")
        })?;
        let log_det = linalg::log_abs_det(&unmixing);
        Ok(Mixed { sources: config.sources, unmixing, mixing, log_det })
    }
}

impl PointGenerator for Mixed {
    fn dim(&self) -> usize {
        self.unmixing.nrows()
    }

    fn draw(&self, rng: &mut ChaCha8Rng, point: &mut [f64]) {
        point.fill(0.0);
        for column in self.mixing.column_iter() {
            let z = self.sources.draw(rng);
            point.iter_mut().zip(column.iter()).for_each(|(x, w)| *x += w * z);
        }
    }

    /// The tail of a sum of sources is exponential in its largest weight and normal in the others: 16 scales and 6
    /// standard deviations together hold all but far less than one in a million.
    fn bounds(&self) -> Bounds {
        let reach = |row: usize| {
            let weights = self.mixing.row(row);
            16.0 * weights.amax() + 6.0 * self.sources.std() * weights.norm()
        };
        (0..self.dim()).map(|row| [-reach(row), reach(row)]).collect()
    }

    fn log_density(&self, point: &[f64]) -> Option<f64> {
        let source = |row: usize| self.unmixing.row(row).iter().zip(point).map(|(b, x)| b * x).sum::<f64>();
        Some((0..self.dim()).map(|row| self.sources.log_density(source(row))).sum::<f64>() + self.log_det)
    }

    fn unmixing(&self) -> Option<&DMatrix<f64>> {
        Some(&self.unmixing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(dim: usize, sources: Sources) -> Ica {
        Ica { dim, sources, ..Ica::default() }
    }

    #[test]
    fn draws_have_the_moments_of_the_sources_after_unmixing_and_stay_in_the_box() {
        for sources in [Sources::Laplace, Sources::Logistic] {
            let mixed = Mixed::new(&config(4, sources)).unwrap();
            let (bounds, n) = (mixed.bounds(), 50_000);
            let mut rng = Key::new(1).rng();
            let mut point = [0.0; 4];
            let mut sums = [[0.0; 3]; 4];
            for _ in 0..n {
                mixed.draw(&mut rng, &mut point);
                assert!(point.iter().zip(&bounds).all(|(x, [low, high])| (low..=high).contains(&x)));
                let z = mixed.unmixing.clone() * nalgebra::DVector::from_row_slice(&point);
                for (sum, z) in sums.iter_mut().zip(z.iter()) {
                    sum.iter_mut().zip([*z, z * z, z.powi(4)]).for_each(|(s, v)| *s += v);
                }
            }
            // Kurtosis 6 and 4.2.
            let kurtosis = if sources == Sources::Laplace { 6.0 } else { 4.2 };
            let variance = sources.std().powi(2);
            for [first, second, _] in sums.map(|s| s.map(|v| v / n as f64)) {
                let z_mean = first / (variance / n as f64).sqrt();
                let z_var = (second / variance - 1.0) / ((kurtosis - 1.0) / n as f64).sqrt();
                assert!(z_mean.abs() < 4.0 && z_var.abs() < 4.0, "{sources:?}: z = {z_mean}, {z_var}");
            }
        }
    }

    #[test]
    fn the_density_integrates_to_one_and_the_matrix_follows_its_seed() {
        for sources in [Sources::Laplace, Sources::Logistic] {
            let mixed = Mixed::new(&config(1, sources)).unwrap();
            let (step, reach) = (1e-3, mixed.bounds()[0][1]);
            let count = (2.0 * reach / step) as i64;
            let p = |i: i64| mixed.log_density(&[-reach + (i as f64 + 0.5) * step]).map(f64::exp);
            let mass: f64 = (0..count).filter_map(p).sum::<f64>() * step;
            assert!((mass - 1.0).abs() < 1e-5, "{sources:?}: {mass}");
        }
        let with = |seed| Mixed::new(&Ica { matrix_seed: seed, ..config(5, Sources::Laplace) }).unwrap().unmixing;
        assert_eq!(with(1), with(1));
        assert_ne!(with(1), with(2));
    }
}

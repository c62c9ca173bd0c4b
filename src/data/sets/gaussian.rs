//! Gaussians with independent coordinates: the case where everything is known in closed form.

use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use crate::data::keys::Points;
use crate::data::row::{DatasetRow, Origin};
use crate::data::source::{Bounds, PointGenerator, Source};
use crate::{
    Error, Result,
    config::{Schema, decode, rule},
};

/// One number for all coordinates, or one for each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number or a list of numbers")]
pub enum PerCoordinate {
    /// The same for all.
    All(f64),
    /// One each; the length must be `dim`.
    Each(Vec<f64>),
}

crate::config! {
    /// Keys of `gaussian`.
    pub struct Normal {
        /// Number of coordinates.
        dim: usize = 2, rule::at_least(1);
        /// Mean: a number, or a list of `dim` numbers.
        mean: PerCoordinate = PerCoordinate::All(0.0);
        /// Standard deviation: a number, or a list of `dim` numbers.
        std: PerCoordinate = PerCoordinate::All(1.0), all_positive;
    }
}

/// `gaussian`.
pub(crate) const GAUSSIAN: DatasetRow = DatasetRow {
    name: "gaussian",
    about: "N(mean, diag(std²)) in any dimension; density known",
    cite: "",
    schema: Schema::of::<(Normal, Points)>(),
    origin: Origin::Generated,
    pictures: false,
    example: "",
    build: |table| {
        let Normal { dim, mean, std } = decode(table)?;
        let (mean, std) = (spread("mean", mean, dim)?, spread("std", std, dim)?);
        Ok(Source::Points(Box::new(Diagonal { mean, std })))
    },
};

fn all_positive(std: &PerCoordinate) -> rule::Complaint {
    match std {
        PerCoordinate::All(s) => rule::positive(s),
        PerCoordinate::Each(list) => list.iter().find_map(rule::positive),
    }
}

fn spread(key: &str, value: PerCoordinate, dim: usize) -> Result<Vec<f64>> {
    match value {
        PerCoordinate::All(v) => Ok(vec![v; dim]),
        PerCoordinate::Each(list) if list.len() == dim => Ok(list),
        PerCoordinate::Each(list) => {
            Err(Error::config(format!("`dataset.{key}` has {} numbers but `dataset.dim` is {dim}", list.len()))
                .at(key)
                .hint(format!("give one number for all coordinates, or {dim} of them")))
        }
    }
}

struct Diagonal {
    mean: Vec<f64>,
    std: Vec<f64>,
}

impl PointGenerator for Diagonal {
    fn dim(&self) -> usize {
        self.mean.len()
    }

    fn draw(&self, rng: &mut ChaCha8Rng, point: &mut [f64]) {
        for (x, (m, s)) in point.iter_mut().zip(self.mean.iter().zip(&self.std)) {
            *x = m + s * rng.sample::<f64, _>(StandardNormal);
        }
    }

    fn bounds(&self) -> Bounds {
        self.mean.iter().zip(&self.std).map(|(m, s)| [m - 6.0 * s, m + 6.0 * s]).collect()
    }

    fn log_density(&self, point: &[f64]) -> Option<f64> {
        let term = |(x, (m, s)): (&f64, (&f64, &f64))| {
            -0.5 * ((x - m) / s).powi(2) - s.ln() - 0.5 * std::f64::consts::TAU.ln()
        };
        Some(point.iter().zip(self.mean.iter().zip(&self.std)).map(term).sum())
    }

    fn blurred(&self, sigma: f64) -> Option<Box<dyn PointGenerator>> {
        let std = self.std.iter().map(|std| std.hypot(sigma)).collect();
        Some(Box::new(Diagonal { mean: self.mean.clone(), std }))
    }

    fn score(&self, point: &[f64]) -> Option<Vec<f64>> {
        let term = |(x, (m, s)): (&f64, (&f64, &f64))| (m - x) / (s * s);
        Some(point.iter().zip(self.mean.iter().zip(&self.std)).map(term).collect())
    }
}

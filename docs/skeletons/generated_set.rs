//! Skeleton of a generated data set. Copy it to `src/data/sets/<name>.rs`, write `crate::` for `ebm::`, and add the row
//! to `DATASETS`; `docs/adding-a-data-set.md` tells the rest.

use ebm::config::{Schema, decode, rule};
use ebm::data::{Bounds, DatasetRow, Origin, PointGenerator, Points, Source};
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

ebm::config! {
    /// Keys of `cross`.
    pub struct Cross {
        /// Standard deviation along each arm.
        length: f64 = 2.0, rule::positive;
        /// Standard deviation across each arm.
        width: f64 = 0.2, rule::positive;
    }
}

/// `cross`.
pub const CROSS: DatasetRow = DatasetRow {
    name: "cross",
    about: "two long Gaussians that cross at the origin; density known",
    // Authors, year and equation; empty where it is folklore.
    cite: "",
    // The keys of all generated sets (`noise`, `limit`) stand beside the set's own.
    schema: Schema::of::<(Cross, Points)>(),
    origin: Origin::Generated,
    pictures: false,
    // Keys that make the set small and put its points into the plane; empty if the defaults do.
    example: "",
    build: |table| Ok(Source::Points(Box::new(Arms(decode(table)?)))),
};

/// p = ½ N(0, diag(length², width²)) + ½ N(0, diag(width², length²)).
struct Arms(Cross);

impl Arms {
    /// Standard deviations of both coordinates, of the arm along x and of the arm along y.
    fn stds(&self) -> [[f64; 2]; 2] {
        let Cross { length, width } = self.0;
        [[length, width], [width, length]]
    }

    /// log(½ N(x; 0, diag(std²))) of each arm, in nats.
    fn logs(&self, x: &[f64]) -> [f64; 2] {
        let log = |x: f64, std: f64| -0.5 * (x / std).powi(2) - std.ln() - 0.5 * std::f64::consts::TAU.ln();
        self.stds().map(|stds| x.iter().zip(stds).map(|(x, std)| log(*x, std)).sum::<f64>() - 2f64.ln())
    }
}

impl PointGenerator for Arms {
    fn dim(&self) -> usize {
        2
    }

    /// All randomness comes from `rng`: a batch is then a function of (seed, split, index).
    fn draw(&self, rng: &mut ChaCha8Rng, point: &mut [f64]) {
        let [along_x, along_y] = self.stds();
        let stds = if rng.random() { along_x } else { along_y };
        point.iter_mut().zip(stds).for_each(|(x, std)| *x = std * rng.sample::<f64, _>(StandardNormal));
    }

    /// Six standard deviations: two draws in a thousand million lie outside.
    fn bounds(&self) -> Bounds {
        let reach = 6.0 * self.0.length.max(self.0.width);
        vec![[-reach, reach]; 2]
    }

    /// Left out where it is not known in closed form; likelihood probes then do without.
    fn log_density(&self, point: &[f64]) -> Option<f64> {
        let [a, b] = self.logs(point);
        Some(a.max(b) + (-(a - b).abs()).exp().ln_1p())
    }

    /// Left out likewise; where it is there, `log_density` must be too.
    fn score(&self, point: &[f64]) -> Option<Vec<f64>> {
        let [a, b] = self.logs(point);
        let share = 1.0 / (1.0 + (b - a).exp());
        let [along_x, along_y] = self.stds();
        let slope =
            |((x, one), other): ((&f64, f64), f64)| -x * (share / (one * one) + (1.0 - share) / (other * other));
        Some(point.iter().zip(along_x).zip(along_y).map(slope).collect())
    }
}

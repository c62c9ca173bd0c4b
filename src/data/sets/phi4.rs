//! The φ⁴ field on a line: two wells that no single site can change, as physicists test samplers on. In one dimension
//! everything is known: a transfer matrix gives the normaliser and independent draws.

use rand::Rng as _;
use rand_chacha::ChaCha8Rng;

use crate::config::{Schema, decode, rule};
use crate::data::keys::Points;
use crate::data::row::{DatasetRow, Origin};
use crate::data::source::{Bounds, PointGenerator, Source};
use crate::math::logsumexp;

crate::config! {
    /// Keys of the data set and of the model `phi4`.
    pub struct Phi4Config {
        /// a: the larger, the stiffer the field and the wider its walls.
        stiffness: f64 = 0.1, rule::positive;
        /// b: a field that favours one well, the lower one if it is above 0.
        field: f64 = 0.0;
        /// β, the inverse temperature.
        beta: f64 = 20.0, rule::positive;
    }
}

crate::config! {
    /// Sites of the data set `phi4`.
    pub struct Sites {
        /// D, the sites of the line.
        sites: usize = 64, rule::at_least(1);
    }
}

/// `phi4`.
pub(crate) const PHI4: DatasetRow = DatasetRow {
    name: "phi4",
    about: "the φ⁴ field on a line of sites, with two wells; density known, draws by a transfer matrix",
    cite: "Gabrié, Rotskoff & Vanden-Eijnden 2022, \"Adaptive Monte Carlo augmented with normalizing flows\", PNAS \
           119(10); arXiv 2105.12603",
    schema: Schema::of::<(Phi4Config, Sites, Points)>(),
    origin: Origin::Generated,
    pictures: false,
    example: "sites = 2",
    build: |table| {
        let Sites { sites } = decode(table)?;
        Ok(Source::Points(Box::new(Phi4::new(sites, &decode(table)?))))
    },
};

/// p(x) ∝ exp(-U(x)), U(x) = β (aD/2 Σ_{i=0}^{D} (x_{i+1} - x_i)² + Σ_i (¼(1 - x_i²)² + b x_i)/(aD)), x_0 = x_{D+1} =
/// 0.
pub struct Phi4 {
    sites: usize,
    /// βaD/2, of each squared difference.
    bond: f64,
    /// β/(aD), of each site's well.
    site: f64,
    field: f64,
    /// log of what site i's well and all sites behind it contribute, at each node of site i.
    successors: Vec<Vec<f64>>,
    log_z: f64,
}

/// Nodes of a site lie on ±REACH.
const REACH: f64 = 3.0;
const NODES: usize = 600;

fn node(j: usize) -> f64 {
    REACH * ((2 * j + 1) as f64 / NODES as f64 - 1.0)
}

fn nodes() -> impl Iterator<Item = f64> {
    (0..NODES).map(node)
}

impl Phi4 {
    /// Passes messages from the last site to the first.
    pub fn new(sites: usize, config: &Phi4Config) -> Self {
        let Phi4Config { stiffness, field, beta } = *config;
        let scale = stiffness * sites as f64;
        let successors = Vec::with_capacity(sites);
        let mut phi = Phi4 { sites, bond: beta * scale / 2.0, site: beta / scale, field, successors, log_z: 0.0 };
        let width = 2.0 * REACH / NODES as f64;
        // Behind the last site the field is 0.
        let mut message: Vec<f64> = nodes().map(|x| -phi.bond * x.powi(2) - phi.well(x)).collect();
        for _ in 1..sites {
            let before = nodes().map(|x| phi.step(x, &message) + width.ln() - phi.well(x)).collect();
            phi.successors.push(std::mem::replace(&mut message, before));
        }
        phi.log_z = phi.step(0.0, &message) + width.ln();
        phi.successors.push(message);
        phi.successors.reverse();
        phi
    }

    /// D.
    pub fn sites(&self) -> usize {
        self.sites
    }

    /// log Z in nats, by quadrature.
    pub fn log_z(&self) -> f64 {
        self.log_z
    }

    /// βaD/2 and β/(aD) and b: what U is made of.
    pub fn constants(&self) -> [f64; 3] {
        [self.bond, self.site, self.field]
    }

    /// U of one site alone.
    fn well(&self, x: f64) -> f64 {
        self.site * (0.25 * (1.0 - x * x).powi(2) + self.field * x)
    }

    /// log Σ_j exp(-bond (x_j - from)² + message_j).
    fn step(&self, from: f64, message: &[f64]) -> f64 {
        logsumexp(&self.bonds(from, message))
    }

    fn bonds(&self, from: f64, message: &[f64]) -> Vec<f64> {
        message.iter().zip(nodes()).map(|(m, x)| m - self.bond * (x - from).powi(2)).collect()
    }

    fn energy(&self, x: &[f64]) -> f64 {
        let ends = std::iter::once(0.0).chain(x.iter().copied());
        let bonds: f64 = ends.zip(x.iter().copied().chain([0.0])).map(|(a, b)| (b - a).powi(2)).sum();
        self.bond * bonds + x.iter().map(|x| self.well(*x)).sum::<f64>()
    }
}

impl PointGenerator for Phi4 {
    fn dim(&self) -> usize {
        self.sites
    }

    /// Site after site given the one before: a node by its exact probability, then a place in its cell.
    fn draw(&self, rng: &mut ChaCha8Rng, point: &mut [f64]) {
        let (mut from, cell) = (0.0, 2.0 * REACH / NODES as f64);
        for (x, successors) in point.iter_mut().zip(&self.successors) {
            let logs = self.bonds(from, successors);
            let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let shares: Vec<f64> = logs.iter().map(|l| (l - most).exp()).collect();
            let mut left = rng.random::<f64>() * shares.iter().sum::<f64>();
            let chosen = shares.iter().position(|share| {
                left -= share;
                left < 0.0
            });
            *x = node(chosen.unwrap_or(NODES - 1)) + cell * (rng.random::<f64>() - 0.5);
            from = *x;
        }
    }

    fn bounds(&self) -> Bounds {
        vec![[-2.5, 2.5]; self.sites]
    }

    fn log_density(&self, point: &[f64]) -> Option<f64> {
        Some(-self.energy(point) - self.log_z)
    }

    fn score(&self, point: &[f64]) -> Option<Vec<f64>> {
        let at = |i: usize| point.get(i).copied().unwrap_or(0.0);
        let slope = |(i, x): (usize, &f64)| {
            let before = if i == 0 { 0.0 } else { at(i - 1) };
            let bonds = 2.0 * self.bond * (2.0 * x - before - at(i + 1));
            -(bonds + self.site * (x * (x * x - 1.0) + self.field))
        };
        Some(point.iter().enumerate().map(slope).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Key;

    fn config(field: f64) -> Phi4Config {
        Phi4Config { field, ..Phi4Config::default() }
    }

    #[test]
    fn two_sites_have_the_normaliser_of_a_grid() {
        let phi = Phi4::new(2, &Phi4Config { stiffness: 0.3, field: 0.1, beta: 2.0 });
        let side = 800;
        let at = |i: usize| 8.0 * ((2 * i + 1) as f64 / side as f64 - 1.0);
        let cell = (16.0 / side as f64).powi(2);
        let mass = |i: usize, j: usize| (-phi.energy(&[at(i), at(j)])).exp() * cell;
        let z: f64 = (0..side).flat_map(|i| (0..side).map(move |j| (i, j))).map(|(i, j)| mass(i, j)).sum();
        assert!((phi.log_z() - z.ln()).abs() < 1e-6, "{} and {}", phi.log_z(), z.ln());
    }

    #[test]
    fn the_score_is_the_slope_of_the_density() {
        let phi = Phi4::new(5, &config(0.2));
        let x = [0.3, -0.8, 1.1, 0.9, -0.2];
        for (i, score) in phi.score(&x).unwrap().into_iter().enumerate() {
            let at = |h: f64| {
                let mut moved = x;
                moved[i] += h;
                phi.log_density(&moved).unwrap()
            };
            let want = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((score - want).abs() < 1e-5 * want.abs().max(1.0), "{score} and {want}");
        }
    }

    /// Stein's identity, E[x_i s_i(x)] = -1 and E[s_i] = 0, holds for draws of the density alone.
    #[test]
    fn draws_are_those_of_the_density_and_a_field_tips_the_balance() {
        const N: usize = 4000;
        let up = |field: f64| {
            let phi = Phi4::new(16, &config(field));
            let (mut rng, mut point) = (Key::new(4).rng(), vec![0.0; 16]);
            let (mut stein, mut squares, mut up) = (0.0, 0.0, 0);
            for _ in 0..N {
                phi.draw(&mut rng, &mut point);
                let product = point.iter().zip(phi.score(&point).unwrap()).map(|(x, s)| x * s).sum::<f64>() / 16.0;
                stein += product;
                squares += product * product;
                up += usize::from(point.iter().sum::<f64>() > 0.0);
            }
            let mean = stein / N as f64;
            let error = ((squares / N as f64 - mean * mean) / N as f64).sqrt();
            assert!(((mean + 1.0) / error).abs() < 4.0, "{mean} ± {error}");
            up as f64 / N as f64
        };
        assert!((up(0.0) - 0.5).abs() < 4.0 * (0.25 / N as f64).sqrt());
        assert!(up(0.01) < 0.4);
    }
}

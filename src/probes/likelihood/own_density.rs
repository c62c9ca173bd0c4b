//! Whether the samples of a run are draws of exp(-E), in the plane, where quadrature decides it.

use candle_core::{Device, Tensor};
use rand::Rng as _;

use super::nll;
use crate::config::{Schema, decode, rule};
use crate::data::Modes;
use crate::density::Energy;
use crate::math::{Grid, logsumexp, stats};
use crate::metrics::{Metrics, Number, Unit};
use crate::probes::probe::{Finding, Probe, ProbeRow, Schedule, Subject};
use crate::probes::support::example::example;
use crate::probes::support::rows::{host, host_rows};
use crate::{Result, rng::Key};

crate::config! {
    /// Keys of the probe `own_density`.
    pub struct OwnDensityConfig {
        /// Samples drawn.
        n: usize = 2_000, rule::at_least(100);
        /// Grid points along each axis of the data's window; more in the wider ones.
        points: usize = 200, rule::at_least(16);
        /// Cells along each axis of the histogram.
        cells: usize = 16, rule::at_least(2);
    }
}

pub(in crate::probes) const ENTRY: ProbeRow = ProbeRow {
    name: "own_density",
    about: "2-D: are the sampler's draws those of exp(-E)? log Z over growing windows, mean energy and histogram of \
            the draws against quadrature, weights of the modes by both, draws after 1, 2, 4 times the sampler's steps",
    cite: "",
    schema: Schema::of::<(OwnDensityConfig, Schedule)>(),
    numbers: &[
        Number::new("own/is_density", Unit::Count, "1 where all of the following say so").higher().lead(),
        Number::new("own/log_z_{window}", Unit::Nats, "log of ∫ exp(-E) over a window 1, 2 and 4 times the data's"),
        Number::new("own/growth", Unit::Nats, "of these the last less the first: 0 for an integrable density").lower(),
        Number::new("own/energy_gap", Unit::Nats, "mean energy of the draws less that under exp(-E) in the window"),
        Number::new("own/energy_gap_se", Unit::Nats, "its standard error"),
        Number::new("own/histogram_tv", Unit::Share, "total variation of the draws' histogram to exp(-E)")
            .lower()
            .against("own/histogram_floor")
            .lead(),
        Number::new("own/histogram_floor", Unit::Share, "the same of as many exact draws of exp(-E)"),
        Number::new(
            "own/energy_tv",
            Unit::Share,
            "total variation of the modes' weights under exp(-E) to the true ones",
        )
        .lower()
        .lead()
        .when("data from a known mixture"),
        Number::new(
            "own/inside_{times}",
            Unit::Share,
            "share of the draws in the data's window at the start, after 1, 2, 4",
        )
        .higher(),
        Number::new("own/samples_tv_{times}", Unit::Share, "total variation of the modes' weights among the draws")
            .lower()
            .when("data from a known mixture"),
    ],
    example: example!(plane, "name = \"own_density\"\nn = 100\npoints = 16\n"),
    build: |table, _| Ok(Box::new(OwnDensity(decode(table)?))),
};

struct OwnDensity(OwnDensityConfig);

/// Points of the plane.
type Points = Vec<Vec<f64>>;

/// What the verdict allows: nats of growth, standard errors of the mean energy, and times the histogram's floor.
const GROWTH: f64 = 0.1;
const ERRORS: f64 = 4.0;
const FLOORS: f64 = 1.5;

impl Probe for OwnDensity {
    fn fits(&self, subject: &Subject) -> Result<()> {
        nll::window(subject.data).map(drop)
    }

    fn draws(&self) -> bool {
        true
    }

    fn run(&self, subject: &Subject) -> Result<Finding> {
        let (window, device) = (nll::window(subject.data)?, subject.data.device());
        let modes = subject.data.modes();
        let (mut metrics, minus_e, grid) = self.windows(subject, window, device)?;
        let total = logsumexp(&minus_e);
        let mass: Vec<f64> = minus_e.iter().map(|v| (v - total).exp()).collect();
        let mut after_one = Vec::new();
        for (times, x) in self.draws_in_turn(subject)? {
            metrics.set(format!("inside_{times}"), share_inside(&x, window));
            if let Some(modes) = &modes {
                metrics.set(format!("samples_tv_{times}"), mode_tv(modes, &x));
            }
            if times == "1" {
                after_one = x;
            }
        }
        let histogram = Histogram::of(&grid, &mass, window, self.0.cells);
        metrics.set("histogram_tv", histogram.distance(&after_one));
        metrics.set("histogram_floor", histogram.floor(subject.key.with("floor"), after_one.len()));
        if let Some(modes) = &modes {
            let at = host_rows(&grid.points([0.5, 0.5], device)?)?;
            metrics.set("energy_tv", stats::total_variation(&modes.shares(&at, &mass), &modes.weights));
        }
        let under: f64 = mass.iter().zip(&minus_e).filter(|(mass, _)| **mass > 0.0).map(|(mass, v)| -mass * v).sum();
        let energies = energies(subject.model, &after_one, device)?;
        metrics.set("energy_gap", stats::mean(&energies) - under);
        metrics.set("energy_gap_se", stats::std_error(&energies));
        metrics.set("is_density", f64::from(u8::from(says_so(&metrics))));
        Ok(Finding::of(metrics.prefixed("own")))
    }
}

impl OwnDensity {
    /// log Z over the windows; -E in the cells of the first, and their grid.
    fn windows(&self, subject: &Subject, window: [[f64; 2]; 2], device: &Device) -> Result<(Metrics, Vec<f64>, Grid)> {
        let mut metrics = Metrics::new();
        let whole = |times: usize| -> Result<(f64, Vec<f64>, Grid)> {
            let grid = Grid::new(window, self.0.points * times).widened(times as f64);
            let minus_e = nll::minus_energy(subject.model, &grid, device)?;
            Ok((grid.log_integral(&minus_e), minus_e, grid))
        };
        let (log_z, minus_e, grid) = whole(1)?;
        metrics.set("log_z_1", log_z);
        metrics.set("log_z_2", whole(2)?.0);
        let widest = whole(4)?.0;
        metrics.set("log_z_4", widest);
        metrics.set("growth", widest - log_z);
        Ok((metrics, minus_e, grid))
    }

    /// Draws where the chains start and after 1, 2 and 4 times the sampler's steps.
    fn draws_in_turn(&self, subject: &Subject) -> Result<Vec<(&'static str, Points)>> {
        let key = subject.key.with("own");
        let mut x =
            subject.sampler.start(key.with("start"), subject.model, subject.proposal, subject.data, self.0.n)?;
        let items = |x: &Tensor| subject.sampler.items(&subject.target(), x);
        let mut found = vec![("0", host_rows(&items(&x)?)?)];
        for (run, name) in [(1, Some("1")), (2, Some("2")), (3, None), (4, Some("4"))] {
            let trace = subject.sampler.run(key.at(run), &subject.target(), &x, |_, _| Ok(()))?;
            x = trace.chain.x.clone();
            if let Some(name) = name {
                found.push((name, host_rows(&trace.x)?));
            }
        }
        Ok(found)
    }
}

/// The share of the points in the window; those that are not finite are outside.
fn share_inside(points: &[Vec<f64>], window: [[f64; 2]; 2]) -> f64 {
    let inside = |p: &&Vec<f64>| p.iter().zip(window).all(|(v, [low, high])| (low..=high).contains(v));
    points.iter().filter(inside).count() as f64 / points.len().max(1) as f64
}

fn mode_tv(modes: &Modes, points: &[Vec<f64>]) -> f64 {
    let equal = vec![1.0 / points.len().max(1) as f64; points.len()];
    stats::total_variation(&modes.shares(points, &equal), &modes.weights)
}

/// The energies of points.
fn energies(energy: &dyn Energy, points: &[Vec<f64>], device: &Device) -> Result<Vec<f64>> {
    let flat: Vec<f32> = points.iter().flatten().map(|v| *v as f32).collect();
    host(&energy.energy(&Tensor::from_vec(flat, (points.len(), ()), device)?)?)
}

/// Whether no number contradicts that the draws are those of exp(-E).
fn says_so(found: &Metrics) -> bool {
    let get = |name: &str| found.get(name).unwrap_or(f64::NAN);
    get("growth").abs() < GROWTH
        && get("energy_gap").abs() < ERRORS * get("energy_gap_se")
        && get("histogram_tv") < FLOORS * get("histogram_floor")
}

/// The mass of exp(-E) in coarse cells of the window.
struct Histogram {
    window: [[f64; 2]; 2],
    cells: usize,
    /// y outermost; they sum to 1.
    mass: Vec<f64>,
}

impl Histogram {
    fn of(grid: &Grid, fine: &[f64], window: [[f64; 2]; 2], cells: usize) -> Self {
        let mut mass = vec![0.0; cells * cells];
        let side = grid.side();
        for (k, share) in fine.iter().enumerate() {
            let cell = (k / side * cells / side) * cells + k % side * cells / side;
            mass.get_mut(cell).into_iter().for_each(|sum| *sum += share);
        }
        Histogram { window, cells, mass }
    }

    /// ½ Σ |share of the points - mass|; points outside are in no cell.
    fn distance(&self, points: &[Vec<f64>]) -> f64 {
        let mut shares = vec![0.0; self.mass.len()];
        for point in points {
            let place = |(v, [low, high]): (&f64, [f64; 2])| {
                let at = ((v - low) / (high - low) * self.cells as f64).floor();
                (at >= 0.0 && at < self.cells as f64).then_some(at as usize)
            };
            let places: Option<Vec<usize>> = point.iter().zip(self.window).map(place).collect();
            if let Some([i, j]) = places.as_deref() {
                shares.get_mut(j * self.cells + i).into_iter().for_each(|s| *s += 1.0 / points.len() as f64);
            }
        }
        let outside = 1.0 - shares.iter().sum::<f64>();
        stats::total_variation(&shares, &self.mass) + 0.5 * outside.max(0.0)
    }

    /// The same of n exact draws.
    fn floor(&self, key: Key, n: usize) -> f64 {
        let mut rng = key.rng();
        let mut counts = vec![0.0; self.mass.len()];
        for _ in 0..n {
            let mut left = rng.random::<f64>();
            let chosen = self.mass.iter().position(|mass| {
                left -= mass;
                left < 0.0
            });
            counts.get_mut(chosen.unwrap_or(0)).into_iter().for_each(|count| *count += 1.0 / n as f64);
        }
        stats::total_variation(&counts, &self.mass)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal_masses(grid: &Grid) -> Vec<f64> {
        let points = host_rows(&grid.points([0.5, 0.5], &Device::Cpu).unwrap()).unwrap();
        let v: Vec<f64> = points.iter().map(|p| -0.5 * (p[0] * p[0] + p[1] * p[1])).collect();
        let total = logsumexp(&v);
        v.iter().map(|v| (v - total).exp()).collect()
    }

    #[test]
    fn exact_draws_are_as_far_as_the_floor_and_shifted_ones_are_farther() {
        let window = [[-5.0, 5.0], [-5.0, 5.0]];
        let grid = Grid::new(window, 96);
        let histogram = Histogram::of(&grid, &normal_masses(&grid), window, 16);
        assert!((histogram.mass.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        let draws = |shift: f64| -> Vec<Vec<f64>> {
            let x = Key::new(5).normal((2000, 2), candle_core::DType::F64, &Device::Cpu).unwrap();
            host_rows(&(x + shift).unwrap()).unwrap()
        };
        let floor = histogram.floor(Key::new(6), 2000);
        let (own, moved) = (histogram.distance(&draws(0.0)), histogram.distance(&draws(1.0)));
        assert!((own / floor - 1.0).abs() < 0.3 && moved > 3.0 * floor, "{own} {moved} {floor}");
        assert!((histogram.distance(&draws(100.0)) - 1.0).abs() < 1e-9);
        assert_eq!(share_inside(&[vec![0.0, 0.0], vec![0.0, f64::NAN], vec![9.0, 0.0]], window), 1.0 / 3.0);
    }

    #[test]
    fn a_verdict_needs_all_three() {
        let found = |growth: f64, gap: f64, tv: f64| {
            let metrics = Metrics::new().with("growth", growth).with("energy_gap", gap);
            metrics.with("energy_gap_se", 0.02).with("histogram_tv", tv).with("histogram_floor", 0.1)
        };
        assert!(says_so(&found(0.001, 0.05, 0.11)));
        for (growth, gap, tv) in [(40.0, 0.05, 0.11), (0.0, 12.0, 0.11), (0.0, 0.05, 0.6), (f64::NAN, 0.0, 0.1)] {
            assert!(!says_so(&found(growth, gap, tv)));
        }
    }
}

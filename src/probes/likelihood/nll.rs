//! Exact test log-likelihood in 2-D: log Z by quadrature in f64, and the picture data | density | samples.

use candle_core::{DType, Tensor};
use image::RgbImage;

use crate::config::{Schema, decode, rule};
use crate::data::{Data, Split};
use crate::density::Energy;
use crate::draw::{self, Heat};
use crate::math::{Grid, stats};
use crate::metrics::{Metrics, Number, Unit};
use crate::probes::probe::{Finding, Probe, ProbeRow, Schedule, Subject};
use crate::probes::support::example::example;
use crate::probes::support::items::present;
use crate::probes::support::rows::{host, in_chunks};
use crate::{Error, Result};

crate::config! {
    /// Keys of the probe `nll`.
    pub struct NllConfig {
        /// Grid points along each axis.
        points: usize = 400, rule::at_least(16);
        /// Test items drawn where the data are generated.
        items: usize = 10_000, rule::at_least(1);
        /// Samples shown in the picture; 0 draws no picture.
        samples: usize = 2_000;
    }
}

pub(in crate::probes) const ENTRY: ProbeRow = ProbeRow {
    name: "nll",
    about: "2-D: test log-likelihood in nats, log Z integrated on a grid in f64; picture of data, density, samples",
    cite: "",
    schema: Schema::of::<(NllConfig, Schedule)>(),
    numbers: &[
        Number::new("test_ll", Unit::Nats, "mean log-likelihood of test items").higher().against("true_ll").lead(),
        Number::new("test_ll_se", Unit::Nats, "standard error of test_ll"),
        Number::new("grid_log_z", Unit::Nats, "log of the normaliser, by quadrature"),
        Number::new(
            "grid_error",
            Unit::Nats,
            "change of grid_log_z on every other grid point: bounds the error of the quadrature",
        )
        .lower(),
        Number::new("edge_mass", Unit::Share, "mass in the outermost cells: about what the window cuts off").lower(),
        Number::new("true_ll", Unit::Nats, "mean log-density of the data's own distribution on the same items")
            .when("the data's density is known"),
    ],
    example: example!(plane, "name = \"nll\"\npoints = 32\nitems = 100\nsamples = 20\n"),
    build: |table, _| Ok(Box::new(Nll(decode(table)?))),
};

struct Nll(NllConfig);

/// An energy with its normaliser.
pub struct Normalised {
    /// log ∫ exp(-E).
    pub log_z: f64,
    /// Share of the mass in the outermost cells: what the window cuts off is about as small.
    pub edge_mass: f64,
    /// |log Z on every other cell - log Z|: the error of the quadrature is below it.
    pub error: f64,
    /// Where it was integrated.
    pub grid: Grid,
    /// log p at the middle of each cell, y outermost.
    pub log_density: Vec<f64>,
}

/// Integrates exp(-E) over the plane: the window grows until no mass is seen at its edge.
///
/// # Errors
/// An energy that is not finite on the grid.
pub fn normalise(
    energy: &dyn Energy,
    window: [[f64; 2]; 2],
    points: usize,
    device: &candle_core::Device,
) -> Result<Normalised> {
    const EDGE: f64 = 1e-6;
    const GROWTH: [f64; 4] = [1.0, 1.5, 2.5, 4.0];
    let mut result = None;
    for growth in GROWTH {
        let side = (points as f64 * growth) as usize;
        let grid = Grid::new(window, side).widened(growth);
        let minus_e = minus_energy(energy, &grid, device)?;
        let log_z = grid.log_integral(&minus_e);
        let edge_mass = grid.edge_mass(&minus_e);
        let error = (grid.log_integral_of_half(&minus_e) - log_z).abs();
        let log_density = minus_e.iter().map(|v| v - log_z).collect();
        result = Some(Normalised { log_z, edge_mass, error, grid, log_density });
        if edge_mass < EDGE {
            break;
        }
    }
    result.filter(|r| r.log_z.is_finite()).ok_or_else(|| {
        let remedy = "go back to an earlier checkpoint; train with a smaller learning rate (--set optim.lr=…)";
        Error::diverged("the energy is not finite on the grid", remedy)
    })
}

/// -E in the middle of each cell, f64.
///
/// # Errors
/// The energy fails.
pub(super) fn minus_energy(energy: &dyn Energy, grid: &Grid, device: &candle_core::Device) -> Result<Vec<f64>> {
    const CHUNK: usize = 20_000;
    let points = grid.points([0.5, 0.5], device)?;
    Ok(in_chunks(&points, CHUNK, |_, rows| host(&energy.energy(rows)?.neg()?))?.concat())
}

/// Mean and standard error of log p over the test items, nats.
pub fn log_likelihood(energy: &dyn Energy, log_z: f64, x: &Tensor) -> Result<(f64, f64)> {
    let log_p: Vec<f64> =
        energy.energy(x)?.to_dtype(DType::F64)?.to_vec1::<f64>()?.iter().map(|e| -e - log_z).collect();
    Ok((stats::mean(&log_p), stats::std(&log_p) / (log_p.len() as f64).sqrt()))
}

impl Normalised {
    /// The density on the cells whose middle lies in the window.
    fn heat(&self, window: [[f64; 2]; 2]) -> Heat {
        let inside = |axis: usize| self.grid.cells_within(axis, window[axis]);
        let (columns, rows) = (inside(0), inside(1));
        let density = |j: usize, i: usize| self.log_density[j * self.grid.side() + i].exp();
        let values =
            rows.clone().flat_map(|j| columns.clone().map(move |i| (j, i))).map(|(j, i)| density(j, i)).collect();
        let [x, y] = [self.grid.extent(0, &columns), self.grid.extent(1, &rows)];
        Heat { x, y, columns: columns.len(), values }
    }
}

impl Probe for Nll {
    fn draws(&self) -> bool {
        self.0.samples > 0
    }

    fn fits(&self, subject: &Subject) -> Result<()> {
        window(subject.data)?;
        present(ENTRY.name, subject, Split::Test)
    }

    fn run(&self, subject: &Subject) -> Result<Finding> {
        self.fits(subject)?;
        let window = window(subject.data)?;
        let p = normalise(subject.model, window, self.0.points, subject.data.device())?;
        let test = subject.data.all(Split::Test, self.0.items)?.x;
        let (ll, se) = log_likelihood(subject.model, p.log_z, &test)?;
        let mut metrics = Metrics::new().with("test_ll", ll).with("test_ll_se", se).with("grid_log_z", p.log_z);
        metrics.set("grid_error", p.error);
        metrics.set("edge_mass", p.edge_mass);
        if let Some(truth) = subject.data.log_density(&test)? {
            metrics.set("true_ll", truth.to_dtype(DType::F64)?.mean_all()?.to_scalar()?);
        }
        let pictures = match self.0.samples {
            0 => vec![],
            n => vec![("density".to_owned(), self.picture(subject, &p, &test, n)?)],
        };
        Ok(Finding { metrics, pictures })
    }
}

impl Nll {
    fn picture(&self, subject: &Subject, p: &Normalised, test: &Tensor, n: usize) -> Result<RgbImage> {
        let data = test.narrow(0, 0, n.min(test.dim(0)?))?;
        let samples = subject.sample(subject.key, n)?;
        draw::panels(&data, &p.heat(window(subject.data)?), &samples)
    }
}

/// The part of the plane where the data lie.
///
/// # Errors
/// Items that are no points of the plane.
pub(super) fn window(data: &Data) -> Result<[[f64; 2]; 2]> {
    data.bounds_2d().ok_or_else(|| {
        let spec = data.spec();
        Error::config(format!(
            "probe `nll` integrates over the plane, but items of `{}` have shape {:?}",
            spec.name, spec.shape
        ))
        .hint("remove it, or use the probe `lsd`")
    })
}

//! log Z of any energy, and the test log-likelihood that follows, by annealed importance sampling, from both sides.

mod anneal;
mod bracket;
mod course;
mod row;
#[cfg(test)]
mod tests;

pub use anneal::{AnnealConfig, Annealing, Spacing, Transition, Walk, raise};
pub use bracket::{Bracket, ChainStart};
pub use course::{Course, EnergyAt};
pub(in crate::probes) use row::ENTRY;
pub use row::{AisConfig, Base, Covariance, Path};

use candle_core::{DType, Tensor};

use super::ode::without_levels;
use crate::data::Split;
use crate::density::{Affine, Coordinates, Counted, Energy, Gaussian, Model, Potential, Space};
use crate::math::{LogWeights, stats};
use crate::metrics::{Metrics, Spent};
use crate::probes::probe::{Finding, Probe, Subject};
use crate::probes::support::items::{items, present};
use crate::probes::support::rows::{CHUNK, host, in_chunks};
use crate::samplers::Target;
use crate::{Error, Result};

struct Ais {
    config: AisConfig,
    anneal: AnnealConfig,
}

/// A path and the way into its coordinates.
struct View<'a> {
    coordinates: Option<&'a Coordinates>,
    /// Whether points are noise, which items cannot be carried to.
    noise: bool,
}

impl View<'_> {
    /// Items in the coordinates of the path.
    fn seen(&self, x: &Tensor) -> Result<Tensor> {
        self.coordinates.map_or(Ok(x.clone()), |coordinates| coordinates.of(x))
    }
}

impl Probe for Ais {
    fn fits(&self, subject: &Subject) -> Result<()> {
        match (self.config.path, self.config.base) {
            (Path::Levels, _) => subject.model.top()?.map(drop).ok_or_else(|| without_levels(ENTRY.name))?,
            (_, Base::Model) => subject.model.base().map(drop).ok_or_else(no_base)?,
            (_, Base::Noise) => subject.model.noise_space(Space::Noise).map(drop).ok_or_else(no_noise)?,
            (_, Base::Data) => {}
        }
        present(ENTRY.name, subject, Split::Test)
    }

    /// Finds what [`Bracket::metrics`] lists, each behind `ais/`; `test_ll`, mean log p of test items with the log Z of
    /// the way up, which overstates it in expectation, `test_ll_se` of both errors, and `test_ll_low` with the upper
    /// end of its interval or, where that is higher, with the log Z of the way down; `raise_ll` of `raise_items` of
    /// them, below the truth in expectation, and `raise_gap`, by how much it lies below the log-likelihood of the same
    /// items with the log Z of the way up; `log_z_exact` where the model knows it; `bits_per_dim` of dequantised
    /// images; and `energy_values` and `energy_gradients`, what all that took.
    fn run(&self, subject: &Subject) -> Result<Finding> {
        self.fits(subject)?;
        let items = Counted::new(subject.model);
        let mut of_noise = None;
        let plain = View { coordinates: None, noise: false };
        let mut finding = match (self.config.path, self.config.base) {
            (Path::Levels, _) => self.down_the_levels(subject, &items)?,
            (_, Base::Model) => {
                let base = subject.model.base().ok_or_else(no_base)?;
                self.look(subject, Course::Geometric { base, target: &items }, &plain)?
            }
            (_, Base::Noise) => {
                let space = subject.model.noise_space(Space::Noise).ok_or_else(no_noise)?;
                let tilt = subject.model.tilt().map(|tilt| Box::new(tilt) as Box<dyn Energy>);
                let potential = Potential::new(space, tilt)?;
                let (base, target) = (potential.normal().ok_or_else(no_noise)?, Counted::new(&potential));
                let course = Course::Geometric { base, target: &target };
                let found = self.look(subject, course, &View { noise: true, ..plain })?;
                of_noise = Some(target.spent());
                found
            }
            (_, Base::Data) => {
                let coordinates = self.coordinates(subject)?;
                let base = Gaussian::standard(coordinates.dim(), DType::F32, subject.data.device())?;
                let target = Affine { energy: &items, coordinates: &coordinates };
                let course = Course::Geometric { base: &base, target: &target };
                self.look(subject, course, &View { coordinates: Some(&coordinates), noise: false })?
            }
        };
        if let Some(log_z) = by_levels(subject)? {
            finding.metrics.set("log_z_f", log_z);
        }
        let Spent { values, gradients } = of_noise.unwrap_or(items.spent());
        finding.metrics.extend([("energy_values", values as f64), ("energy_gradients", gradients as f64)]);
        finding.metrics = finding.metrics.prefixed("ais");
        Ok(finding)
    }
}

impl Ais {
    fn new(config: AisConfig, anneal: AnnealConfig) -> Self {
        Ais { config, anneal }
    }

    /// The path from the normal density at the top of the model's noise levels, counted with `items`.
    fn down_the_levels(&self, subject: &Subject, items: &Counted<&Model>) -> Result<Finding> {
        let missing = || without_levels(ENTRY.name);
        let base = subject.model.top()?.ok_or_else(missing)?;
        let levels = host(&subject.model.levels()?.ok_or_else(missing)?)?;
        let end = |level: Option<&f64>| level.map_or(f64::NAN, |sigma| sigma.ln());
        let at = |sigma: &Tensor| -> Result<Box<dyn Energy>> {
            Ok(Box::new(items.beside(subject.model.at_level(sigma).ok_or_else(missing)?)))
        };
        let course = Course::Levels { base: &*base, at: &at, ends: [end(levels.last()), end(levels.first())] };
        self.look(subject, course, &View { coordinates: None, noise: false })
    }

    fn coordinates(&self, subject: &Subject) -> Result<Coordinates> {
        /// Training items that the Gaussian is fitted to, always the same ones.
        const ITEMS: usize = 10_000;
        const FULL: usize = 300;
        let full = match self.config.covariance {
            Covariance::Auto => subject.data.spec().dim() <= FULL,
            Covariance::Full => true,
            Covariance::Diagonal => false,
        };
        Coordinates::of_items(&subject.data.all(Split::Train, ITEMS)?.x, full, self.config.widen)
    }

    fn look(&self, subject: &Subject, course: Course, view: &View) -> Result<Finding> {
        let key = subject.key;
        let path = Annealing::along(course, &self.anneal, key.with("pilot"))?;
        let origin = self.origin(subject, view)?;
        let bracket = Bracket::new(&path, &self.anneal, origin.as_ref(), key.with("bracket"))?;
        bracket.check()?;
        bracket.doubts().iter().for_each(|doubt| tracing::warn!("ais: do not trust log Z: {doubt}"));
        let mut metrics = bracket.metrics(key);
        let x = items(subject.data, Split::Test, self.config.items)?;
        let minus_e = minus_energies(subject.model, &x)?;
        self.likelihood(subject, &x, &minus_e, &mut metrics)?;
        self.raise(view, &path, (&x, &minus_e), &bracket, &mut metrics, key)?;
        if let Some(density) = subject.model.density() {
            let log_p = in_chunks(&x, CHUNK, |_, rows| host(&density.log_prob(rows)?))?.concat();
            let all: Vec<f64> = minus_e.iter().zip(&log_p).map(|(e, p)| e - p).collect();
            metrics.set("log_z_exact", stats::mean(&all));
        }
        Ok(Finding { metrics, pictures: vec![("ais".to_owned(), bracket.picture()?)] })
    }

    /// Exact draws where the model has them, else the ends of the run's chains.
    fn origin(&self, subject: &Subject, view: &View) -> Result<Option<ChainStart>> {
        let (key, n) = (subject.key.with("origin"), self.anneal.reverse);
        if n == 0 {
            return Ok(None);
        }
        if view.noise {
            return noise_origin(subject, key, n);
        }
        let exact = subject.model.density();
        let x = exact.map_or_else(|| subject.sample(key, n), |density| density.sample(key, n))?;
        Ok(Some(ChainStart { x: view.seen(&x)?, exact: exact.is_some() }))
    }

    fn likelihood(&self, subject: &Subject, x: &Tensor, minus_e: &[f64], metrics: &mut Metrics) -> Result<()> {
        let get = |metrics: &Metrics, name: &str| metrics.get(name).unwrap_or(f64::NAN);
        let (mean, log_z) = (stats::mean(minus_e), get(metrics, "log_z"));
        metrics.set("test_ll", mean - log_z);
        metrics.set("test_ll_se", stats::std_error(minus_e).hypot(get(metrics, "log_z_se")));
        let highest = metrics.get("log_z_reverse").unwrap_or(f64::NAN).max(get(metrics, "log_z_high"));
        metrics.set("test_ll_low", mean - highest);
        if subject.data.spec().image.is_some() {
            let log_p: Vec<f64> = minus_e.iter().map(|e| e - log_z).collect();
            let log_p = Tensor::new(log_p, x.device())?;
            // Images that are not dequantised have no bits/dim.
            match subject.data.bits_per_dim(&log_p, x) {
                Ok(bits) => metrics.set("bits_per_dim", stats::mean(&bits.to_vec1()?)),
                Err(Error::Config(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn raise(
        &self,
        view: &View,
        path: &Annealing,
        (x, minus_e): (&Tensor, &[f64]),
        bracket: &Bracket,
        metrics: &mut Metrics,
        key: crate::rng::Key,
    ) -> Result<()> {
        let n = self.config.raise_items.min(minus_e.len());
        if n == 0 || view.noise {
            return Ok(());
        }
        let x = view.seen(&x.narrow(0, 0, n)?)?;
        let bounds = raise(path, &x, minus_e, self.config.raise_chains, key.with("raise"))?;
        let by_annealing: Vec<f64> = minus_e.iter().take(n).map(|e| e - bracket.log_z()).collect();
        metrics.set("raise_ll", stats::mean(&bounds));
        metrics.set("raise_gap", stats::mean(&by_annealing) - stats::mean(&bounds));
        Ok(())
    }
}

/// Where the run's chains end, if they move in the noise space.
fn noise_origin(subject: &Subject, key: crate::rng::Key, n: usize) -> Result<Option<ChainStart>> {
    let (sampler, model) = (subject.sampler, subject.model);
    if sampler.config.space != Space::Noise {
        return Ok(None);
    }
    let start = sampler.start(key.with("start"), model, None, subject.data, n)?;
    let x = subject.chains(key.with("steps"), &Target::of(model), &start)?.chain.x;
    // Without a tilt, draws of the noise are exact.
    Ok(Some(ChainStart { x, exact: model.tilt().is_none() }))
}

/// F_0 - F_T + log Z at the top by importance sampling from the normal density there, of a model whose method learned
/// the log-normalisers F of its levels.
fn by_levels(subject: &Subject) -> Result<Option<f64>> {
    const DRAWS: usize = 2_000;
    let model = subject.model;
    let (Some(&[first, .., last]), Some(levels), Some(top)) = (model.level_log_z(), model.levels()?, model.top()?)
    else {
        return Ok(None);
    };
    let highest = host(&levels)?.last().copied().unwrap_or(f64::NAN);
    let x = top.sample(subject.key.with("top"), DRAWS)?;
    let pieces = in_chunks(&x, CHUNK, |_, rows| {
        let sigma = Tensor::full(highest, rows.dim(0)?, rows.device())?.to_dtype(rows.dtype())?;
        let energy = model.at_level(&sigma).ok_or_else(|| without_levels(ENTRY.name))?;
        Ok((host(&energy.energy(rows)?)?, host(&top.log_prob(rows)?)?))
    })?;
    let (energies, log_q): (Vec<_>, Vec<_>) = pieces.into_iter().unzip();
    Ok(Some(first - last + LogWeights::of(&energies.concat(), &log_q.concat()).log_mean()))
}

/// -E of each item, f64.
fn minus_energies(energy: &dyn Energy, x: &Tensor) -> Result<Vec<f64>> {
    Ok(in_chunks(x, CHUNK, |_, rows| host(&energy.energy(rows)?.neg()?))?.concat())
}

fn no_noise() -> Error {
    Error::config("probe `ais`: the model has no noise space, so that `base = \"noise\"` has nothing to begin at")
        .at("base")
        .hint(
            "set `base = \"data\"` of the probe; a noise space belongs to a model `vae`, or `tilted` with a base `vae`",
        )
}

fn no_base() -> Error {
    Error::config("probe `ais`: the model tilts no density, so that `base = \"model\"` has nothing to begin at")
        .at("base")
        .hint("set `base = \"data\"` of the probe, or `model.base` of a neural model")
}

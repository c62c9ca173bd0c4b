//! log Z of any energy, and the test log-likelihood that follows, by annealed importance sampling, from both sides.

mod anneal;
mod bracket;
#[cfg(test)]
mod tests;

pub use anneal::{AnnealConfig, Annealing, Spacing, Transition, Walk, raise};
pub use bracket::{Bracket, ChainStart};

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::config::{Schema, decode, rule};
use crate::data::Split;
use crate::density::{Affine, Coordinates, Counted, Density, Energy, Gaussian, Potential, Space};
use crate::math::stats;
use crate::metrics::{Metrics, Number, Spent, Unit};
use crate::probes::probe::{Finding, Probe, ProbeRow, Schedule, Subject};
use crate::probes::support::example::example;
use crate::probes::support::items::{items, present};
use crate::probes::support::rows::{CHUNK, host, in_chunks};
use crate::samplers::Target;
use crate::{Error, Result};

/// Where annealing begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Base {
    /// A Gaussian fitted to training items.
    #[default]
    Data,
    /// The density that the model tilts.
    Model,
    /// The noise that this density is drawn with, N(0, I): for a VAE, whose density is no closed form.
    Noise,
}

/// Which Gaussian is fitted to the data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Covariance {
    /// Full up to 300 dimensions.
    #[default]
    Auto,
    /// All of it.
    Full,
    /// Its diagonal.
    Diagonal,
}

crate::config! {
    /// Keys of the probe `ais`, besides those of the path.
    pub struct AisConfig {
        /// Where annealing begins: data (a Gaussian fitted to training items), model (the density that the model tilts)
        /// or noise (what that density is drawn with: of a VAE, chains then move in its noise space; there is no
        /// RAISE).
        base: Base = Base::Data;
        /// Of base = "data": full, diagonal, or auto, which is full up to 300 dimensions.
        covariance: Covariance = Covariance::Auto;
        /// Of base = "data": standard deviations are multiplied by this, so that the base is broader than the model.
        widen: f64 = 1.1, rule::positive;
        /// Test items of the log-likelihood; 0 uses all of a stored set, and 10,000 draws.
        items: usize = 0;
        /// Test items whose log-likelihood RAISE bounds from below; 0 for none.
        raise_items: usize = 20;
        /// Chains of RAISE for each of them.
        raise_chains: usize = 10, rule::at_least(1);
    }
}

pub(in crate::probes) const ENTRY: ProbeRow = ProbeRow {
    name: "ais",
    about: "log Z and test log-likelihood of any energy by annealed importance sampling up and down, RAISE, and \
            importance sampling, with intervals, effective sample sizes and a warning where they disagree",
    cite: "Neal 2001; Burda, Grosse & Salakhutdinov 2015, arXiv 1412.8566; Grosse, Ghahramani & Adams 2015, arXiv \
           1511.02543",
    schema: Schema::of::<(AisConfig, AnnealConfig, Schedule)>(),
    numbers: &[
        Number::new("ais/log_z", Unit::Nats, "log of the normaliser by annealing up: below the truth in expectation")
            .lead(),
        Number::new("ais/log_z_se", Unit::Nats, "standard error of ais/log_z"),
        Number::new("ais/log_z_low", Unit::Nats, "lower end of a 95 % interval of the true log Z"),
        Number::new("ais/log_z_high", Unit::Nats, "upper end of that interval, which holds ais/log_z too"),
        Number::new("ais/ess", Unit::Plain, "effective number of annealing weights").higher(),
        Number::new("ais/ess_share", Unit::Share, "effective share of the annealing weights").higher(),
        Number::new("ais/accept", Unit::Share, "mean acceptance over the temperatures"),
        Number::new("ais/accept_min", Unit::Share, "least acceptance over the temperatures"),
        Number::new(
            "ais/log_z_reverse",
            Unit::Nats,
            "log of the normaliser by annealing down: above the truth in expectation",
        )
        .when("`reverse` is above 0"),
        Number::new("ais/log_z_reverse_se", Unit::Nats, "standard error of ais/log_z_reverse")
            .when("`reverse` is above 0"),
        Number::new(
            "ais/reverse_exact",
            Unit::Count,
            "1 where the chains down begin at exact draws, so that the bound holds",
        )
        .when("`reverse` is above 0"),
        Number::new("ais/bracket", Unit::Nats, "ais/log_z_reverse minus ais/log_z")
            .lower()
            .when("`reverse` is above 0"),
        Number::new("ais/sis_log_z", Unit::Nats, "log of the normaliser by importance sampling without a path")
            .when("`draws` is above 0"),
        Number::new("ais/sis_log_z_se", Unit::Nats, "standard error of ais/sis_log_z").when("`draws` is above 0"),
        Number::new("ais/sis_ess_share", Unit::Share, "effective share of its weights")
            .higher()
            .when("`draws` is above 0"),
        Number::new("ais/trusted", Unit::Count, "1 where nothing speaks against ais/log_z and its interval")
            .higher()
            .lead(),
        Number::new(
            "ais/test_ll",
            Unit::Nats,
            "mean log-likelihood of test items with ais/log_z: above the truth in expectation",
        )
        .higher()
        .lead(),
        Number::new("ais/test_ll_se", Unit::Nats, "standard error of ais/test_ll, of the items and of ais/log_z"),
        Number::new(
            "ais/test_ll_low",
            Unit::Nats,
            "mean log-likelihood with ais/log_z_high, or with ais/log_z_reverse where that is higher",
        )
        .higher(),
        Number::new("ais/raise_ll", Unit::Nats, "lower bound of the log-likelihood of some test items by RAISE")
            .higher()
            .when("`raise_items` is above 0"),
        Number::new(
            "ais/raise_gap",
            Unit::Nats,
            "by how much it lies below the log-likelihood of the same items with ais/log_z",
        )
        .lower()
        .when("`raise_items` is above 0"),
        Number::new("ais/log_z_exact", Unit::Nats, "log of the normaliser, exactly")
            .when("the model knows its normaliser"),
        Number::new("ais/bits_per_dim", Unit::Bits, "negative log-likelihood of pixels")
            .lower()
            .when("dequantised images"),
        Number::new("ais/energy_values", Unit::Count, "energies without a gradient that the probe took"),
        Number::new("ais/energy_gradients", Unit::Count, "gradients of the energy that the probe took"),
    ],
    example: example!(
        plane,
        "name = \"ais\"\ntemperatures = 5\nchains = 8\nreverse = 8\ndraws = 50\nitems = 40\nraise_items = 3\n\
         raise_chains = 2\n"
    ),
    build: |table, _| Ok(Box::new(Ais { config: decode(table)?, anneal: decode(table)? })),
};

struct Ais {
    config: AisConfig,
    anneal: AnnealConfig,
}

/// The two ends of a path and the way into its coordinates.
struct View<'a> {
    base: &'a dyn Density,
    target: &'a dyn Energy,
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
        match self.config.base {
            Base::Model => subject.model.base().map(drop).ok_or_else(no_base)?,
            Base::Noise => subject.model.noise_space(Space::Noise).map(drop).ok_or_else(no_noise)?,
            Base::Data => {}
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
        let mut finding = match self.config.base {
            Base::Model => {
                let base = subject.model.base().ok_or_else(no_base)?;
                self.look(subject, &View { base, target: &items, coordinates: None, noise: false })?
            }
            Base::Noise => {
                let space = subject.model.noise_space(Space::Noise).ok_or_else(no_noise)?;
                let tilt = subject.model.tilt().map(|tilt| Box::new(tilt) as Box<dyn Energy>);
                let potential = Potential::new(space, tilt)?;
                let (base, target) = (potential.normal().ok_or_else(no_noise)?, Counted::new(&potential));
                let found = self.look(subject, &View { base, target: &target, coordinates: None, noise: true })?;
                of_noise = Some(target.spent());
                found
            }
            Base::Data => {
                let coordinates = self.coordinates(subject)?;
                let base = Gaussian::standard(coordinates.dim(), DType::F32, subject.data.device())?;
                let target = Affine { energy: &items, coordinates: &coordinates };
                self.look(
                    subject,
                    &View { base: &base, target: &target, coordinates: Some(&coordinates), noise: false },
                )?
            }
        };
        let Spent { values, gradients } = of_noise.unwrap_or(items.spent());
        finding.metrics.extend([("energy_values", values as f64), ("energy_gradients", gradients as f64)]);
        finding.metrics = finding.metrics.prefixed("ais");
        Ok(finding)
    }
}

impl Ais {
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

    fn look(&self, subject: &Subject, view: &View) -> Result<Finding> {
        let key = subject.key;
        let path = Annealing::new(view.base, view.target, &self.anneal, key.with("pilot"))?;
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

//! The keys and the row of the probe `ais`.

use serde::{Deserialize, Serialize};

use super::Ais;
use super::anneal::AnnealConfig;
use crate::config::{Schema, decode, rule};
use crate::metrics::{Number, Unit};
use crate::probes::probe::{ProbeRow, Schedule};
use crate::probes::support::example::example;

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

/// Which densities annealing passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Path {
    /// The geometric means of the base and the model.
    #[default]
    Geometric,
    /// The noise levels of a model that knows them.
    Levels,
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
        /// Which densities annealing passes: geometric (between base and model) or levels (the noise levels of a
        /// `ladder`, from its normal density at the top down; `base`, `covariance` and `widen` then say nothing).
        path: Path = Path::Geometric;
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
        Number::new(
            "ais/log_z_f",
            Unit::Nats,
            "log of the normaliser by what the method learned: F_0 - F_T, and log Z at the top by importance sampling",
        )
        .when("a method that learns log-normalisers of levels, diffclf"),
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
    build: |table, _| Ok(Box::new(Ais::new(decode(table)?, decode(table)?))),
};

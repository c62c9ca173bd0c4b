//! The likelihood of what the gradients of a noise ladder draw, and how far that is from exp(-E).

use candle_core::Tensor;

use crate::config::{Schema, decode, rule};
use crate::data::Split;
use crate::density::{Density, Energy, Laplacian, ProbabilityFlow};
use crate::math::{LogWeights, stats};
use crate::metrics::{Metrics, Number, Unit};
use crate::probes::probe::{Finding, Probe, ProbeRow, Schedule, Subject};
use crate::probes::support::example::example;
use crate::probes::support::items::{items, not_finite, present};
use crate::probes::support::rows::{CHUNK, host, host_rows, in_chunks};
use crate::{Error, Result};

crate::config! {
    /// How the equation of a probability flow is solved.
    pub struct FlowConfig {
        /// Runge-Kutta steps from level 0 to the top, equal in ln σ: four gradients each.
        steps: usize = ProbabilityFlow::STEPS, rule::at_least(1);
        /// Vectors of random signs that estimate the Laplacian along a path; 0 takes all coordinates where there are 32
        /// or fewer, and 4 vectors elsewhere. Mean log-likelihoods are right in expectation with any number of them;
        /// weights exp(-E)/q carry their noise.
        slices: usize = 0;
    }
}

crate::config! {
    /// Keys of the probe `ode_likelihood`, besides those of the flow.
    pub struct OdeConfig {
        /// Test items.
        items: usize = 1_000, rule::at_least(2);
        /// Draws by the flow, which weigh exp(-E) against its density; 0 for none.
        draws: usize = 1_000;
    }
}

pub(in crate::probes) const ENTRY: ProbeRow = ProbeRow {
    name: "ode_likelihood",
    about: "log-likelihood of the probability flow of a model `ladder`: of what its gradients draw, which may be \
            right where exp(-E) is wrong; and the gap between the two",
    cite: "Song, Sohl-Dickstein, Kingma, Kumar, Ermon, Poole 2021, \"Score-based generative modeling through \
           stochastic differential equations\", ICLR, eq. 13 and 39; arXiv 2011.13456",
    schema: Schema::of::<(OdeConfig, FlowConfig, Schedule)>(),
    numbers: &[
        Number::new("ode_ll", Unit::Nats, "mean log-likelihood of test items under the density of the flow")
            .higher()
            .lead(),
        Number::new("ode_ll_se", Unit::Nats, "standard error of ode_ll over the items"),
        Number::new("ode_trace_se", Unit::Nats, "standard error of ode_ll by the random signs of its Laplacians")
            .when("signs estimate the Laplacian"),
        Number::new(
            "ode_log_z",
            Unit::Nats,
            "log of the normaliser of exp(-E), by draws of the flow; too high by some ½ ode_trace_sd²",
        )
        .when("`draws` is above 0"),
        Number::new(
            "ode_trace_sd",
            Unit::Nats,
            "error of log q of one draw by the random signs; ode_ess_share is at most about exp(-ode_trace_sd²)",
        )
        .lower()
        .when("signs estimate the Laplacian, and `draws` is above 0"),
        Number::new("ode_log_z_se", Unit::Nats, "standard error of ode_log_z").when("`draws` is above 0"),
        Number::new("ode_ess_share", Unit::Share, "effective share of the weights exp(-E)/q of draws of the flow q")
            .higher()
            .lead()
            .when("`draws` is above 0"),
        Number::new(
            "ode_gap",
            Unit::Nats,
            "ode_ll minus the mean log-likelihood of the same items under exp(-E)/Z, Z by ode_log_z",
        )
        .when("`draws` is above 0"),
        Number::new(
            "ode_mode_tv",
            Unit::Share,
            "total variation between weights of the modes among draws of the flow and under exp(-E)",
        )
        .lower()
        .when("`draws` is above 0, and data from a known mixture"),
    ],
    example: example!(levels, "name = \"ode_likelihood\"\nsteps = 4\nitems = 20\ndraws = 20\n"),
    build: |table, _| Ok(Box::new(OdeLikelihood { config: decode(table)?, flow: decode(table)? })),
};

struct OdeLikelihood {
    config: OdeConfig,
    flow: FlowConfig,
}

impl FlowConfig {
    /// The probability flow of a probe's model.
    ///
    /// # Errors
    /// The model has no noise levels.
    pub(super) fn of(&self, probe: &str, subject: &Subject) -> Result<ProbabilityFlow> {
        let flow = ProbabilityFlow::of(subject.model)?.ok_or_else(|| without_levels(probe))?;
        let signs = (self.slices > 0).then(|| Laplacian::Signs(self.slices, subject.key.with("trace")));
        Ok(flow.solved(self.steps, signs))
    }
}

/// The error of a model without noise levels.
pub(super) fn without_levels(probe: &str) -> Error {
    Error::config(format!("probe `{probe}` needs a model that knows noise levels")).hint("--set model.name=ladder")
}

impl Probe for OdeLikelihood {
    fn fits(&self, subject: &Subject) -> Result<()> {
        subject.model.levels()?.ok_or_else(|| without_levels(ENTRY.name))?;
        present(ENTRY.name, subject, Split::Test)
    }

    fn run(&self, subject: &Subject) -> Result<Finding> {
        self.fits(subject)?;
        let flow = self.flow.of(ENTRY.name, subject)?;
        let x = items(subject.data, Split::Test, self.config.items)?;
        let (log_q, trace_error) = log_likelihoods(&flow, &x)?;
        let mut metrics =
            Metrics::new().with("ode_ll", stats::mean(&log_q)).with("ode_ll_se", stats::std_error(&log_q));
        trace_error.into_iter().for_each(|error| metrics.set("ode_trace_se", error));
        if self.config.draws > 0 {
            metrics.extend(self.gap(subject, &flow, &x, stats::mean(&log_q))?);
        }
        Ok(Finding::of(metrics))
    }
}

impl OdeLikelihood {
    /// exp(-E) against the density of the flow, at draws of the flow and at test items.
    fn gap(&self, subject: &Subject, flow: &ProbabilityFlow, x: &Tensor, ode_ll: f64) -> Result<Metrics> {
        let drawn = flow.sample(subject.key.with("draws"), self.config.draws)?;
        let (log_q, trace_error) = log_likelihoods(flow, &drawn)?;
        let weights = LogWeights::of(&energies(subject, &drawn)?, &log_q);
        let energy_ll = -stats::mean(&energies(subject, x)?) - weights.log_mean();
        let mut metrics = Metrics::new()
            .with("ode_log_z", weights.log_mean())
            .with("ode_log_z_se", weights.std_error())
            .with("ode_ess_share", weights.effective() / self.config.draws as f64)
            .with("ode_gap", ode_ll - energy_ll);
        // The error of the mean of n draws, whose signs are independent.
        let each = trace_error.map(|error| error * (self.config.draws as f64).sqrt());
        each.into_iter().for_each(|error| metrics.set("ode_trace_sd", error));
        if let Some(modes) = subject.data.modes() {
            let rows = host_rows(&drawn.flatten_from(1)?)?;
            let equal = vec![1.0 / rows.len() as f64; rows.len()];
            let [drawn, weighted] = [equal, weights.shares()].map(|weights| modes.shares(&rows, &weights));
            metrics.set("ode_mode_tv", stats::total_variation(&drawn, &weighted));
        }
        Ok(metrics)
    }
}

fn energies(subject: &Subject, x: &Tensor) -> Result<Vec<f64>> {
    Ok(in_chunks(x, CHUNK, |_, rows| host(&subject.model.energy(rows)?))?.concat())
}

/// log q of items, and the standard error of their mean by the random signs of the flow's trace, if it has two vectors
/// or more.
///
/// # Errors
/// A density that is not finite.
pub(super) fn log_likelihoods(flow: &ProbabilityFlow, x: &Tensor) -> Result<(Vec<f64>, Option<f64>)> {
    let chunks = in_chunks(x, CHUNK, |at, rows| host_rows(&flow.log_probs(rows, at as u64)?.t()?))?;
    let estimates = chunks.concat();
    let means: Vec<f64> = estimates.iter().map(|of| stats::mean(of)).collect();
    if means.iter().any(|v| !v.is_finite()) {
        return Err(not_finite("the density of the probability flow is not finite"));
    }
    let square = |of: &Vec<f64>| stats::std_error(of).powi(2);
    let signs = matches!(flow.trace(), Laplacian::Signs(count, _) if count > 1);
    let error = signs.then(|| estimates.iter().map(square).sum::<f64>().sqrt() / means.len() as f64);
    Ok((means, error))
}

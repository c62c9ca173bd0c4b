//! How far the model, what draws for it, and the data are from one another in the plane: the divergences of Xie, Zheng,
//! Li 2021, §4, by quadrature.

use candle_core::{DType, Tensor};

use crate::config::{Schema, decode, rule};
use crate::data::{Data, Split};
use crate::density::Proposal;
use crate::math::{logsumexp, stats};
use crate::metrics::{Metrics, Number, Unit};
use crate::probes::likelihood::nll::{self, Normalised};
use crate::probes::probe::{Finding, Probe, ProbeRow, Schedule, Subject};
use crate::probes::support::example::example;
use crate::probes::support::items::{blank, present};
use crate::{Error, Result};

crate::config! {
    /// Keys of the probe `teaching`.
    pub struct TeachingConfig {
        /// Grid points along each axis.
        points: usize = 150, rule::at_least(16);
        /// Test items for the likelihood of what draws.
        items: usize = 2_000, rule::at_least(1);
    }
}

pub(in crate::probes) const ENTRY: ProbeRow = ProbeRow {
    name: "teaching",
    about: "2-D: KL(data, model), KL(model, generator), KL(generator, model), KL(data, generator) in nats, on a grid",
    cite: "Xie, Zheng, Li 2021, AAAI, section 4",
    schema: Schema::of::<(TeachingConfig, Schedule)>(),
    numbers: &[
        Number::new("kl_data_model", Unit::Nats, "divergence KL(data, model)")
            .lower()
            .lead()
            .when("the data's density is known"),
        Number::new("kl_data_generator", Unit::Nats, "divergence KL(data, generator)")
            .lower()
            .when("the data's density is known"),
        Number::new("kl_model_generator", Unit::Nats, "divergence KL(model, generator)").lower().lead(),
        Number::new("kl_generator_model", Unit::Nats, "divergence KL(generator, model)").lower(),
        Number::new(
            "generator_mass",
            Unit::Share,
            "mass of the generator on the grid: its divergences are those of this part",
        )
        .higher(),
        Number::new("generator_ll", Unit::Nats, "mean log-likelihood of test items under the generator").higher(),
    ],
    example: example!(taught, "name = \"teaching\"\npoints = 16\nitems = 20\n"),
    build: |table, _| Ok(Box::new(Teaching(decode(table)?))),
};

struct Teaching(TeachingConfig);

impl Probe for Teaching {
    fn fits(&self, subject: &Subject) -> Result<()> {
        nll::window(subject.data)?;
        present(ENTRY.name, subject, Split::Test)?;
        log_density(subject.proposal.ok_or_else(unknown)?, &blank(subject.data)?).map(drop)
    }

    fn run(&self, subject: &Subject) -> Result<Finding> {
        self.fits(subject)?;
        let window = nll::window(subject.data)?;
        let model = nll::normalise(subject.model, window, self.0.points, subject.data.device())?;
        let proposal = subject.proposal.ok_or_else(unknown)?;
        let points = model.grid.points([0.5, 0.5], subject.data.device())?;
        let generator = log_density(proposal, &points)?;
        let (p, q) = (shares(&model.log_density), shares(&generator));
        let mut metrics = Metrics::new();
        if let Some(data) = true_shares(subject.data, &model, &points)? {
            metrics.set("kl_data_model", divergence(&data, &p));
            metrics.set("kl_data_generator", divergence(&data, &q));
        }
        metrics.set("kl_model_generator", divergence(&p, &q));
        metrics.set("kl_generator_model", divergence(&q, &p));
        // How much of the generator lies on the grid: its divergences are those of what does.
        metrics.set("generator_mass", model.grid.log_integral(&generator).exp());
        let test = subject.data.all(Split::Test, self.0.items)?.x;
        metrics.set("generator_ll", stats::mean(&log_density(proposal, &test)?));
        Ok(Finding::of(metrics))
    }
}

/// log q at the points, f64.
fn log_density(proposal: &dyn Proposal, points: &Tensor) -> Result<Vec<f64>> {
    Ok(proposal.log_density(points)?.ok_or_else(unknown)?.to_dtype(DType::F64)?.to_vec1()?)
}

fn true_shares(data: &Data, model: &Normalised, points: &Tensor) -> Result<Option<Vec<f64>>> {
    let known = data.log_density(points)?.map(|t| t.to_dtype(DType::F64)?.to_vec1::<f64>()).transpose()?;
    Ok(known.filter(|v| v.len() == model.log_density.len()).map(|v| shares(&v)))
}

/// Log-masses of the cells, which sum to one.
fn shares(log_density: &[f64]) -> Vec<f64> {
    let total = logsumexp(log_density);
    log_density.iter().map(|v| v - total).collect()
}

/// Σ p (log p - log q). A cell where q has underflowed counts as if q were 1e-300 there.
fn divergence(p: &[f64], q: &[f64]) -> f64 {
    let floor = 1e-300f64.ln();
    p.iter().zip(q).filter(|(p, _)| p.exp() > 0.0).map(|(p, q)| p.exp() * (p - q.max(floor))).sum()
}

fn unknown() -> Error {
    Error::config(
        "probe `teaching` needs a method whose generator has a known density: vae_sampler or coopnets with two latent \
         coordinates at most, and no condition",
    )
    .hint("--set method.vae.latent=2, or remove the probe")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divergences_of_small_tables() {
        let (p, q) = (shares(&[0.5f64.ln(), 0.5f64.ln()]), shares(&[0.9f64.ln(), 0.1f64.ln()]));
        assert!((divergence(&p, &q) - (0.5 * (0.5f64 / 0.9).ln() + 0.5 * (0.5f64 / 0.1).ln())).abs() < 1e-12);
        assert_eq!(divergence(&p, &p), 0.0);
        assert!((divergence(&p, &[0.0, f64::NEG_INFINITY]) - (0.5f64.ln() - 0.5 * 1e-300f64.ln())).abs() < 1e-9);
    }
}

//! What a VAE's encoder says about log p(x): the variational bound, and the importance-weighted one.

use crate::config::{Schema, decode, rule};
use crate::data::Split;
use crate::density::vae::Vae;
use crate::math::stats;
use crate::metrics::{Metrics, Number, Unit};
use crate::probes::probe::{Finding, Probe, ProbeRow, Schedule, Subject};
use crate::probes::support::example::example;
use crate::probes::support::items::{items, present};
use crate::probes::support::rows::{host, in_chunks};
use crate::{Error, Result};

crate::config! {
    /// Keys of the probe `bound`.
    pub struct BoundConfig {
        /// Test items; 0 for all of a stored set, and 10,000 draws of a generated one.
        items: usize = 1_000;
        /// K, draws of q(z|x) an item.
        particles: usize = 500, rule::at_least(1);
    }
}

pub(in crate::probes) const ENTRY: ProbeRow = ProbeRow {
    name: "bound",
    about: "of a model with a VAE: ELBO and importance-weighted bound on test items, in nats; KL of each group",
    cite: "Burda, Grosse, Salakhutdinov 2016, \"Importance weighted autoencoders\", ICLR, eq. 8; arXiv 1509.00519",
    schema: Schema::of::<(BoundConfig, Schedule)>(),
    numbers: &[
        Number::new("vae_elbo", Unit::Nats, "variational lower bound of the log-likelihood of test items").higher(),
        Number::new("vae_ll", Unit::Nats, "importance-weighted lower bound, tighter than vae_elbo").higher().lead(),
        Number::new("vae_ll_se", Unit::Nats, "standard error of vae_ll"),
        Number::new(
            "vae_kl_{group}",
            Unit::Nats,
            "divergence of the encoder from the prior in a group of latent variables",
        ),
    ],
    example: example!(vae, "name = \"bound\"\nitems = 20\nparticles = 5\n"),
    build: |table, _| Ok(Box::new(Bound(decode(table)?))),
};

struct Bound(BoundConfig);

fn vae<'a>(subject: &Subject<'a>) -> Result<&'a Vae> {
    let vae = subject.model.vae();
    vae.ok_or_else(|| Error::config("probe `bound` needs a model with a VAE").hint("--set model.name=vae"))
}

/// Items at a time.
const CHUNK: usize = 100;

impl Probe for Bound {
    fn fits(&self, subject: &Subject) -> Result<()> {
        vae(subject)?;
        present(ENTRY.name, subject, Split::Test)
    }

    fn run(&self, subject: &Subject) -> Result<Finding> {
        self.fits(subject)?;
        let vae = vae(subject)?;
        let x = items(subject.data, Split::Test, self.0.items)?;
        let (mut weighted, mut elbo, mut kl) = (Vec::new(), Vec::new(), Vec::new());
        in_chunks(&x, CHUNK, |at, here| {
            let key = subject.key.at(at as u64);
            weighted.extend(vae.importance_weighted(key.with("weighted"), here, self.0.particles)?.to_vec1::<f64>()?);
            let (bounds, groups) = elbos(&vae.bound(key.with("elbo"), here, None)?)?;
            elbo.extend(bounds);
            kl.push(groups);
            Ok(())
        })?;
        let mut metrics = Metrics::new().with("vae_elbo", stats::mean(&elbo)).with("vae_ll", stats::mean(&weighted));
        metrics.set("vae_ll_se", stats::std_error(&weighted));
        for (l, column) in (0..kl.first().map_or(0, Vec::len)).map(|l| (l, kl.iter().map(move |k| k.get(l)))) {
            let values: Vec<f64> = column.flatten().copied().collect();
            metrics.set(format!("vae_kl_{l}"), stats::mean(&values));
        }
        Ok(Finding::of(metrics))
    }
}

/// The bound of every item, and the mean KL of every group.
fn elbos(bound: &crate::density::vae::Bound) -> Result<(Vec<f64>, Vec<f64>)> {
    let mut values = host(&bound.log_likelihood)?;
    let mut groups = Vec::with_capacity(bound.kl.len());
    for kl in &bound.kl {
        let kl = host(kl)?;
        values.iter_mut().zip(&kl).for_each(|(v, k)| *v -= k);
        groups.push(stats::mean(&kl));
    }
    Ok((values, groups))
}

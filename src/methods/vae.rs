//! A VAE alone: the density that VAEBM tilts, and its baseline.

use super::learning::elbo::{self, ElboConfig, vae_of};
use super::learning::readings::GRAD_NORM;
use super::learning::trainable::Trainable;
use super::method::only;
use super::part::parts;
use super::{Method, MethodRow, Setup, StepContext};
use crate::Result;
use crate::config::{Schema, decode};
use crate::data::Batch;
use crate::density::Model;
use crate::metrics::{Metrics, Spent, numbers};

pub(super) const ENTRY: MethodRow = MethodRow {
    name: "vae",
    about: "the variational bound, for the model `vae`",
    cite: "Kingma & Welling 2014, \"Auto-encoding variational Bayes\", eq. 10; arXiv 1312.6114",
    schema: Schema::of::<ElboConfig>(),
    numbers: numbers![elbo::NUMBERS, [GRAD_NORM]],
    cost: Spent { values: 0, gradients: 0 },
    proposal: None,
    init: &[("model", "vae"), ("sampler.space", "\"noise\""), ("sampler.steps", "0")],
    example: r#"[dataset]
name = "moons"

[model]
name = "vae"
nodes = 6
encoder = { name = "mlp", hidden = [6] }
decoder = { name = "mlp", hidden = [6] }

[method]
name = "vae"
"#,
    build: |table, setup| {
        vae_of(setup.model.vae(), "vae")?;
        let Setup { model, optim, .. } = setup;
        Ok(Box::new(Autoencoder { config: decode(table)?, trained: Trainable::model(model, optim)? }))
    },
};

/// The method `vae`: descends the negative variational bound (Kingma & Welling 2014, eq. 10).
struct Autoencoder {
    config: ElboConfig,
    trained: Trainable<Model>,
}

parts!(Autoencoder: trained);

impl Method for Autoencoder {
    fn step(&mut self, cx: &StepContext, batches: &[Batch]) -> Result<Metrics> {
        let batch = only(batches)?;
        let vae = vae_of(self.trained.live.vae(), "vae")?;
        let (loss, mut metrics) = self.config.loss(vae, cx.key.with("posterior"), cx.step, &batch.x, None)?;
        metrics.set("grad_norm", self.trained.descend(&loss, cx.lr_scale)?);
        metrics.read()
    }

    fn model(&self) -> &Model {
        &self.trained.live
    }

    fn advice(&self) -> Vec<String> {
        vec![
            "a wider floor for the decoder's σ (--set 'model.sigma_range=[0.1,2.7]')".to_owned(),
            "a KL term that rises slowly (--set method.kl_warmup=1000)".to_owned(),
        ]
    }
}

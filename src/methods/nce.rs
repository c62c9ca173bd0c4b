//! Noise-contrastive estimation: the energy learns to tell data from draws of a known density.

use candle_core::{DType, Tensor, Var};

use super::example::example;
use super::learning::noise_density::{NoiseConfig, NoiseDensity};
use super::learning::readings::{GRAD_NORM, Readings, mean, scalar};
use super::learning::trainable::Trainable;
use super::method::only;
use super::part::{Named, parts};
use super::{Method, MethodRow, Setup, StepContext};
use crate::Result;
use crate::config::{Schema, decode};
use crate::data::Batch;
use crate::density::{Energy, Model};
use crate::metrics::{Metrics, Number, Spent, Unit};
use crate::ops::{self, Activation};

pub(super) const ENTRY: MethodRow = MethodRow {
    name: "nce",
    about: "noise-contrastive estimation: logistic regression between data and a known density; learns log Z as well",
    cite: "Gutmann & Hyvärinen 2010, \"Noise-contrastive estimation\", AISTATS; the ratio ν: 2012, JMLR 13, eq. 8",
    schema: Schema::of::<NoiseConfig>(),
    numbers: &[
        Number::new("loss", Unit::Nats, "logistic loss between data and noise").lower().lead(),
        Number::new("accuracy", Unit::Share, "share of data and noise told apart, each weighing half").lead(),
        Number::new("log_z", Unit::Nats, "c, the estimate of log Z"),
        GRAD_NORM,
    ],
    cost: Spent { values: 0, gradients: 384 },
    proposal: None,
    init: &[],
    example: example!(
        plane,
        "nce",
        r#"noise_ratio = 2
noise = "full"
"#
    ),
    build: |table, setup| Ok(Box::new(Nce::new(&decode(table)?, setup)?)),
};

/// The method `nce` (Gutmann & Hyvärinen 2010; with the ratio ν: 2012, eq. 8): minimises E_data[softplus(-G)] + ν
/// E_noise[softplus(G)] with G(x) = -E(x) - c - log p_n(x) - log ν, in the model's parameters and c. p_n is the density
/// of the noise and ν the number of noise draws for each data item. At the optimum c = log Z.
///
/// c starts at 0 and is learned for normalised models too, as in the released LSD code; log Z is 0 there.
struct Nce {
    ratio: usize,
    noise: NoiseDensity,
    trained: Trainable<Model>,
    /// The estimate c of log Z, a scalar.
    log_z: Named<Var>,
}

impl Nce {
    fn new(config: &NoiseConfig, setup: Setup) -> Result<Self> {
        let noise = NoiseDensity::new(config, &setup)?;
        let log_z = Var::from_tensor(&Tensor::zeros((), DType::F32, setup.data.device())?)?;
        let mut weights = setup.model.params().weights.clone();
        weights.insert(LOG_Z.into(), log_z.clone());
        let trained = Trainable::model_on(setup.model, setup.optim, &weights)?;
        let log_z = Named::new(LOG_Z, log_z);
        Ok(Nce { ratio: config.noise_ratio, noise, trained, log_z })
    }
}

/// The name of c in the state; no model has a tensor of this name.
const LOG_Z: &str = "nce:log_z";

/// The logistic loss, and the share of data and noise that G tells apart, where each of the two weighs half.
///
/// # Shapes
/// x `[B, ..]` data, y `[νB, ..]` noise, log_pn `[B + νB]` of both, data first; log_z a scalar.
pub(super) fn logistic_loss(
    energy: &dyn Energy,
    log_z: &Tensor,
    x: &Tensor,
    y: &Tensor,
    log_pn: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let (b, n) = (x.dim(0)?, y.dim(0)?);
    let shift = (n as f64 / b.max(1) as f64).ln();
    let log_p = energy.energy(&Tensor::cat(&[x, y], 0)?)?.neg()?.broadcast_sub(log_z)?;
    let g = (log_p - log_pn)?.affine(1.0, -shift)?;
    let (on_data, on_noise) = (g.narrow(0, 0, b)?, g.narrow(0, b, n)?);
    let positive = ops::activate(Activation::Softplus, &on_data.neg()?)?.mean_all()?;
    let negative = ops::activate(Activation::Softplus, &on_noise)?.sum_all()?;
    let told = ((mean(&on_data.gt(0.0)?)? + mean(&on_noise.lt(0.0)?)?)? * 0.5)?;
    Ok(((positive + (negative / b as f64)?)?, told))
}

parts!(Nce: trained, log_z, noise);

impl Method for Nce {
    fn step(&mut self, cx: &StepContext, batches: &[Batch]) -> Result<Metrics> {
        let x = &only(batches)?.x;
        let y = self.noise.sample(cx.key.with("noise"), x.dim(0)? * self.ratio)?;
        let log_pn = self.noise.log_prob(&Tensor::cat(&[x, &y], 0)?)?;
        let (loss, told) = logistic_loss(&self.trained.live, self.log_z.value.as_tensor(), x, &y, &log_pn)?;
        let grad_norm = self.trained.descend(&loss, cx.lr_scale)?;
        Readings::new()
            .with("loss", scalar(&loss)?)
            .with("accuracy", told)
            .with("log_z", scalar(self.log_z.value.as_tensor())?)
            .with("grad_norm", grad_norm)
            .read()
    }

    fn model(&self) -> &Model {
        &self.trained.live
    }

    fn advice(&self) -> Vec<String> {
        vec!["noise closer to the data (--set method.noise=full)".to_owned()]
    }
}

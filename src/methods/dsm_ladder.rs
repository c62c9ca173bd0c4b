//! Denoising score matching at all levels of a ladder (Song & Ermon 2019).

use super::learning::levels::{self, DENOISING, Noisy};
use super::learning::readings::{ENERGY, GRAD_NORM, Readings, mean};
use super::learning::trainable::Trainable;
use super::method::only;
use super::part::parts;
use super::{Method, MethodRow, Setup, StepContext};
use crate::Result;
use crate::config::Schema;
use crate::data::Batch;
use crate::density::Model;
use crate::metrics::{Metrics, Spent};

crate::config! {
    /// The method `dsm_ladder` has no keys of its own; levels are the model's.
    pub struct DsmLadderConfig {}
}

const NAME: &str = "dsm_ladder";

/// The method `dsm_ladder`: minimises mean |σ∇E(x + σε, σ) - ε|²/D over items and levels, one level an item and step
/// (Song & Ermon 2019, eq. 5-6, weight σ²). It fixes ∇E at every level, and so E only up to one constant for each mode
/// that is far from the others: `diffclf` fixes these too.
pub(super) const ENTRY: MethodRow = MethodRow {
    name: NAME,
    about: "denoising score matching at all noise levels of one energy (model `ladder`)",
    cite: "Song & Ermon 2019, \"Generative Modeling by Estimating Gradients of the Data Distribution\", NeurIPS, eq. \
           5-6; arXiv 1907.05600",
    schema: Schema::of::<DsmLadderConfig>(),
    numbers: &[DENOISING, ENERGY, GRAD_NORM],
    cost: Spent { values: 0, gradients: 256 },
    proposal: Some(levels::flow),
    init: &[("model", "ladder")],
    example: r#"[dataset]
name = "moons"

[model]
name = "ladder"
levels = 6
net = { name = "mlp", hidden = [8, 8], spectral_norm = true }

[method]
name = "dsm_ladder"
"#,
    build: |_, setup| Ok(Box::new(DsmLadder::new(setup)?)),
};

struct DsmLadder {
    levels: usize,
    trained: Trainable<Model>,
}

impl DsmLadder {
    fn new(setup: Setup) -> Result<Self> {
        let levels = levels::count(&setup.model, NAME)?;
        Ok(DsmLadder { levels, trained: Trainable::model(setup.model, setup.optim)? })
    }
}

parts!(DsmLadder: trained);

impl Method for DsmLadder {
    fn step(&mut self, cx: &StepContext, batches: &[Batch]) -> Result<Metrics> {
        let (x, own) = only(batches)?.beneath();
        let level = levels::draw(cx.key.with("levels"), [1, x.dim(0)?], self.levels, true, x.device())?;
        let (energy, loss) = self.trained.in_training(cx, |model| {
            let sigma = levels::sigmas(model, NAME)?.index_select(&level, 0)?;
            let noisy = Noisy::new(cx.key.with("noise"), x, own, &sigma)?;
            noisy.denoising(&levels::at(model, &sigma, NAME)?)
        })?;
        let grad_norm = self.trained.descend(&loss.mean_all()?, cx.lr_scale)?;
        Readings::new().with("dsm", mean(&loss)?).with("energy", mean(&energy)?).with("grad_norm", grad_norm).read()
    }

    fn model(&self) -> &Model {
        &self.trained.live
    }

    fn advice(&self) -> Vec<String> {
        vec!["a higher level 0, since the gradient's noise grows as 1/σ (--set model.sigma_min=0.1)".to_owned()]
    }
}

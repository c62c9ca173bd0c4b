//! The part of a loss that needs labels: p(y|x) of a classifier that is also an energy (Grathwohl et al. 2020, "Your
//! classifier is secretly an energy based model", eq. 9).

use candle_core::{D, DType, Tensor};

use super::readings::{Readings, scalar};
use crate::config::rule;
use crate::data::{Batch, Data, LabelledItems};
use crate::density::Model;
use crate::metrics::{Number, Unit};
use crate::{Error, Result};

crate::config! {
    /// Keys of methods that train p(y|x) beside p(x).
    pub struct SupervisedConfig {
        /// α, the weight of the cross-entropy of the labels.
        classify: f64 = 1.0, rule::non_negative;
        /// β, the weight of the mean entropy of p(y|x) on unlabelled items: confident everywhere (VERA,
        /// semi-supervised).
        label_entropy: f64 = 0.0, rule::non_negative;
        /// Use the labels of so many items a class only; 0 uses all.
        labels_per_class: usize = 0;
    }
}

/// The numbers of [`Supervised::loss`].
pub(in crate::methods) const NUMBERS: [Number; 2] = [CROSS_ENTROPY, ACCURACY];

/// The numbers of [`Supervised::loss`] for a method that works without labels too.
pub(in crate::methods) const NUMBERS_WITH_LABELS: [Number; 2] =
    [CROSS_ENTROPY.when("classify or label_entropy > 0"), ACCURACY.when("classify or label_entropy > 0")];

const CROSS_ENTROPY: Number =
    Number::new("cross_entropy", Unit::Nats, "mean -log p(y|x) of the labelled items of the step").lower();

const ACCURACY: Number =
    Number::new("accuracy", Unit::Share, "share of the labelled items whose largest logit is the label's")
        .higher()
        .lead();

/// The supervised part of a loss: the weights of [`SupervisedConfig`] on a labelled data set.
pub(in crate::methods) struct Supervised {
    config: SupervisedConfig,
    /// The few labelled items, if not all are to be used.
    few: Option<LabelledItems>,
}

impl Supervised {
    /// The supervised part of a loss on `data`.
    ///
    /// # Errors
    /// A weight is positive, and the data have no labels.
    pub fn new(config: SupervisedConfig, data: &Data) -> Result<Self> {
        let wanted = config.classify > 0.0 || config.label_entropy > 0.0;
        if wanted && data.spec().classes.is_none_or(|k| k < 2) {
            let key = if config.classify > 0.0 { "classify" } else { "label_entropy" };
            return Err(Error::config(format!("`method.{key}` needs labels, and `{}` has none", data.spec().name))
                .at(key)
                .hint(format!("choose a labelled data set, or --set method.{key}=0")));
        }
        let few = match config.labels_per_class {
            0 => None,
            n => Some(data.labelled(n)?),
        };
        Ok(Supervised { config, few })
    }

    /// The loss α CE + β H, a scalar, given the batch's logits `[B, K]`: CE is the cross-entropy of the labelled items
    /// and H the mean entropy of p(y|x) over the batch. The numbers include the share of labelled items whose largest
    /// logit is the label's. The labelled items are the batch itself or, where only a few labels are used, a batch of
    /// those of equal size.
    ///
    /// # Errors
    /// The batch has no labels, or the model is no classifier.
    pub fn loss(&self, step: u64, model: &Model, logits: &Tensor, batch: &Batch) -> Result<(Tensor, Readings)> {
        let few = self.few.as_ref().map(|few| few.batch(step, batch.x.dim(0)?)).transpose()?;
        let of_few = few.as_ref().map(|few| self::logits(model, &few.x)).transpose()?;
        let (labelled, on) = (few.as_ref().unwrap_or(batch), of_few.as_ref().unwrap_or(logits));
        let y = labelled.y.as_ref().ok_or_else(|| Error::Other("a classifier needs labelled batches".into()))?;
        let log_p = candle_nn::ops::log_softmax(on, D::Minus1)?;
        let cross = log_p.gather(&y.unsqueeze(1)?, 1)?.mean_all()?.neg()?;
        let mut loss = (&cross * self.config.classify)?;
        if self.config.label_entropy > 0.0 {
            let log_p = candle_nn::ops::log_softmax(logits, D::Minus1)?;
            let entropy = (log_p.exp()? * &log_p)?.sum(D::Minus1)?.mean_all()?.neg()?;
            loss = (loss + (entropy * self.config.label_entropy)?)?;
        }
        let right = on.argmax(D::Minus1)?.eq(y)?.to_dtype(DType::F64)?.mean_all()?;
        Ok((loss, Readings::new().with("cross_entropy", scalar(&cross)?).with("accuracy", right)))
    }
}

/// The class logits of a model, for a method that needs them.
///
/// # Errors
/// The model is no classifier.
pub(in crate::methods) fn logits(model: &Model, x: &Tensor) -> Result<Tensor> {
    model.logits(x)?.ok_or_else(without_classes)
}

/// The class logits of a model, with the slope of its energy along v, for a method that needs both.
///
/// # Errors
/// The model is no classifier.
pub(in crate::methods) fn logits_along(model: &Model, x: &Tensor, v: &Tensor) -> Result<[Tensor; 2]> {
    model.logits_along(x, v)?.ok_or_else(without_classes)
}

/// The slope in x of a loss of the class logits, for a method that needs it.
///
/// # Errors
/// The model is no classifier.
pub(in crate::methods) fn slope_of_logits(
    model: &Model,
    x: &Tensor,
    loss: impl FnOnce(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let [_, slope] = model.slope_of_logits(x, loss)?.ok_or_else(without_classes)?;
    Ok(slope)
}

fn without_classes() -> Error {
    Error::config("the method trains p(y|x), and the model has no classes").hint("--set model.name=classifier")
}

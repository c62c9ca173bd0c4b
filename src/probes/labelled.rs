//! What the probes of a classifier share: labelled items, logits, and passes over many items at a time.

use candle_core::{D, DType, Device, Tensor};

use super::Subject;
use crate::data::Split;
use crate::density::Energy;
use crate::math::{largest, logsumexp};
use crate::{Error, Result};

/// Items evaluated at a time: bounds the memory, changes no result.
const CHUNK: usize = 500;

/// f over the rows of x, `[N, ..]`, some at a time; the answers in order.
///
/// # Errors
/// f's own; no rows at all.
pub(super) fn in_chunks<T>(x: &Tensor, mut f: impl FnMut(&Tensor) -> Result<T>) -> Result<Vec<T>> {
    let n = x.dim(0)?;
    (0..n).step_by(CHUNK).map(|at| f(&x.narrow(0, at, CHUNK.min(n - at))?)).collect()
}

/// Some items of a split and their labels.
pub(super) struct Labelled {
    /// `[N, ..]`, in model space.
    pub x: Tensor,
    /// N numbers below the number of classes that the model has.
    pub y: Vec<u32>,
}

impl Labelled {
    /// The first `items` of a split, all for 0; `probe` is named in errors.
    ///
    /// # Errors
    /// A model without logits, data without labels, an empty split, labels that the model does not know.
    pub fn of(probe: &str, subject: &Subject, split: Split, items: usize) -> Result<Self> {
        let count = if items == 0 { usize::MAX } else { items };
        let unlabelled = || {
            Error::Config(format!(
                "error: probe `{probe}` needs labels, and the data set `{}` has none\n\nhint: remove the probe, or choose a \
                 labelled data set such as digits or mnist",
                subject.data.spec().name
            ))
        };
        let classes = subject.data.spec().classes.ok_or_else(unlabelled)?;
        let batch = subject.data.all(split, count)?;
        let y: Vec<u32> = batch.y.ok_or_else(unlabelled)?.to_vec1()?;
        if y.is_empty() {
            return Err(empty(probe, subject, split));
        }
        let known = logits(probe, subject.energy, &batch.x.narrow(0, 0, 1)?)?.dim(D::Minus1)?;
        match known < classes {
            false => Ok(Labelled { x: batch.x, y }),
            true => Err(Error::Config(format!(
                "error: probe `{probe}`: the data have {classes} classes and the model {known}\n\nhint: leave `model.classes` \
                 at 0, which takes the data's"
            ))),
        }
    }
}

/// What a probe answers that has no items to look at.
pub(super) fn empty(probe: &str, subject: &Subject, split: Split) -> Error {
    Error::Config(format!(
        "error: probe `{probe}`: the {split} split of `{}` is empty\n\nhint: hold out items by `dataset.test` or \
         `dataset.validation`, or choose another split",
        subject.data.spec().name
    ))
}

/// Logits of x, `[B, K]`.
///
/// # Errors
/// A model that is no classifier.
pub(super) fn logits(probe: &str, energy: &dyn Energy, x: &Tensor) -> Result<Tensor> {
    energy.logits(x)?.ok_or_else(|| {
        Error::Config(format!(
            "error: probe `{probe}` needs a model with class logits\n\nhint: set `model.name = \"classifier\"`, or remove the \
             probe"
        ))
    })
}

/// log p(y|x) of every item, `[N][K]`: the softmax in f64.
///
/// # Errors
/// A model that is no classifier; logits that are not finite.
pub(super) fn log_probabilities(probe: &str, energy: &dyn Energy, x: &Tensor) -> Result<Vec<Vec<f64>>> {
    let chunks = in_chunks(x, |rows| host_rows(&logits(probe, energy, rows)?))?;
    let normalised = chunks.into_iter().flatten().map(|row| {
        let total = logsumexp(&row);
        row.into_iter().map(|v| v - total).collect::<Vec<_>>()
    });
    let rows: Vec<Vec<f64>> = normalised.collect();
    if rows.iter().flatten().any(|v| !v.is_finite()) {
        return Err(not_finite("the logits are not finite"));
    }
    Ok(rows)
}

/// The rows of `[B, K]` on the host.
pub(super) fn host_rows(matrix: &Tensor) -> Result<Vec<Vec<f64>>> {
    Ok(matrix.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64)?.to_vec2()?)
}

/// The class of each item by its logits, `[B, K]`.
pub(super) fn classes(logits: &Tensor) -> Result<Vec<usize>> {
    Ok(host_rows(logits)?.iter().map(|row| largest(row).0).collect())
}

/// What a model that left the numbers is answered with.
pub(super) fn not_finite(what: &str) -> Error {
    Error::Diverged {
        step: 0,
        what: what.into(),
        remedy: "go back to an earlier checkpoint; train with a smaller learning rate (--set optim.lr=…)".into(),
    }
}

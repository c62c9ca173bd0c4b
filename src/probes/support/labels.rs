//! Labelled items and the logits that a classifier gives them.

use candle_core::{D, Tensor};

use super::items::{blank, not_finite, present};
use super::rows::{CHUNK, host_rows, in_chunks};
use crate::data::Split;
use crate::density::Model;
use crate::math::{largest, logsumexp};
use crate::probes::probe::Subject;
use crate::{Error, Result};

/// Some items of a split and their labels.
pub(in crate::probes) struct Labelled {
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
        Self::fit(probe, subject, split)?;
        let batch = subject.data.all(split, count)?;
        let y = batch.y.ok_or_else(|| unlabelled(probe, subject))?.to_vec1()?;
        Ok(Labelled { x: batch.x, y })
    }

    /// Whether there are such items.
    ///
    /// # Errors
    /// As [`Labelled::of`].
    pub fn fit(probe: &str, subject: &Subject, split: Split) -> Result<()> {
        let classes = labelled(probe, subject)?;
        present(probe, subject, split)?;
        let known = logits(probe, subject.model, &blank(subject.data)?)?.dim(D::Minus1)?;
        match known < classes {
            false => Ok(()),
            true => {
                Err(Error::config(format!("probe `{probe}`: the data have {classes} classes and the model {known}"))
                    .at_path("model.classes")
                    .hint("leave `model.classes` at 0, which takes the data's"))
            }
        }
    }
}

/// How many classes the data have.
///
/// # Errors
/// They have no labels.
pub(in crate::probes) fn labelled(probe: &str, subject: &Subject) -> Result<usize> {
    subject.data.spec().classes.ok_or_else(|| unlabelled(probe, subject))
}

/// The error of a probe whose data have no labels.
pub(in crate::probes) fn unlabelled(probe: &str, subject: &Subject) -> Error {
    Error::config(format!("probe `{probe}` needs labels, and the data set `{}` has none", subject.data.spec().name))
        .hint("remove the probe, or choose a labelled data set such as digits or mnist")
}

/// Logits of x, `[B, K]`.
///
/// # Errors
/// A model that is no classifier.
pub(in crate::probes) fn logits(probe: &str, model: &Model, x: &Tensor) -> Result<Tensor> {
    model.logits(x)?.ok_or_else(|| without_logits(probe))
}

/// The error of a probe whose model is no classifier.
pub(in crate::probes) fn without_logits(probe: &str) -> Error {
    Error::config(format!("probe `{probe}` needs a model with class logits"))
        .hint("set `model.name = \"classifier\"`, or remove the probe")
}

/// log p(y|x) of every item, `[N][K]`: the softmax in f64.
///
/// # Errors
/// A model that is no classifier; logits that are not finite.
pub(in crate::probes) fn log_probabilities(probe: &str, model: &Model, x: &Tensor) -> Result<Vec<Vec<f64>>> {
    let chunks = in_chunks(x, CHUNK, |_, rows| log_softmax(&logits(probe, model, rows)?))?;
    let rows: Vec<Vec<f64>> = chunks.into_iter().flatten().collect();
    if rows.iter().flatten().any(|v| !v.is_finite()) {
        return Err(not_finite("the logits are not finite"));
    }
    Ok(rows)
}

/// log p(y|x) of every item by its logits, `[N, K]`.
pub(in crate::probes) fn log_softmax(logits: &Tensor) -> Result<Vec<Vec<f64>>> {
    let normalised = |row: Vec<f64>| {
        let total = logsumexp(&row);
        row.into_iter().map(|v| v - total).collect()
    };
    Ok(host_rows(logits)?.into_iter().map(normalised).collect())
}

/// The class of each item by its logits, `[B, K]`.
pub(in crate::probes) fn classes(logits: &Tensor) -> Result<Vec<usize>> {
    Ok(host_rows(logits)?.iter().map(|row| largest(row).0).collect())
}

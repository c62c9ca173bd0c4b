//! The items that a probe looks at, and what it answers where there are none or the numbers are not finite.

use candle_core::{DType, Tensor};

use crate::data::{Data, Split};
use crate::probes::probe::Subject;
use crate::{Error, Result};

/// The first `count` items of a split, `[N, ..]`. All of a stored one for 0, and 10,000 draws of a generated one.
///
/// # Errors
/// Items that cannot be read.
pub fn items(data: &Data, split: Split, count: usize) -> Result<Tensor> {
    const GENERATED: usize = 10_000;
    let count = if count == 0 { data.len(split).unwrap_or(GENERATED) } else { count };
    Ok(data.all(split, count)?.x)
}

/// One item of zeros, `[1, ..]`, to ask what the model or the data can do.
///
/// # Errors
/// The device's own.
pub(in crate::probes) fn blank(data: &Data) -> Result<Tensor> {
    let shape: Vec<usize> = std::iter::once(1).chain(data.spec().shape.iter().copied()).collect();
    Ok(Tensor::zeros(shape, DType::F32, data.device())?)
}

/// Whether a split has items for the probe to look at.
///
/// # Errors
/// It has none.
pub(in crate::probes) fn present(probe: &str, subject: &Subject, split: Split) -> Result<()> {
    match subject.data.len(split) {
        Some(0) => Err(empty(probe, subject, split)),
        _ => Ok(()),
    }
}

/// The error of a probe whose split has no items.
pub(in crate::probes) fn empty(probe: &str, subject: &Subject, split: Split) -> Error {
    // Some data sets come with their test items, and none without its training items.
    let hold_out = match split {
        Split::Validation => "hold out items by `dataset.validation`, or ",
        Split::Test => "hold out items by `dataset.test` where the data set has that key, or ",
        Split::Train => "",
    };
    Error::config(format!("probe `{probe}`: the {split} split of `{}` is empty", subject.data.spec().name))
        .at("split")
        .hint(format!("{hold_out}choose another split"))
}

/// The error for a model whose energies or logits are NaN or infinite.
pub(in crate::probes) fn not_finite(what: &str) -> Error {
    Error::diverged(what, "go back to an earlier checkpoint; train with a smaller learning rate (--set optim.lr=…)")
}

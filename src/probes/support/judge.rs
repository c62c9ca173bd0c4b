//! A classifier out of a checkpoint that looks at another model's samples: their classes, and features in which like
//! images are close.

use std::borrow::Cow;
use std::path::Path;

use candle_core::{DType, Device, Tensor};

use super::labels;
use super::rows::{CHUNK, in_chunks};
use crate::data::{Data, ItemSpec};
use crate::density::Stored;
use crate::metrics::Metrics;
use crate::store::checkpoint::{self, sha256};
use crate::{Error, Result};

/// A classifier that `ebm` trained, frozen, with the hash of its file.
pub(in crate::probes) struct Judge {
    path: String,
    stored: Stored,
    sha256: String,
}

impl Judge {
    /// The classifier that a probe names, `None` for an empty path. Loaded before training begins, so that a wrong path
    /// is not found after it.
    ///
    /// # Errors
    /// As [`Judge::load`].
    pub fn named(path: &str, device: &Device) -> Result<Option<Self>> {
        (!path.is_empty()).then(|| Self::load(path, device)).transpose()
    }

    /// Loads a checkpoint.
    ///
    /// # Errors
    /// A file that is no good checkpoint, or whose model is no classifier.
    pub fn load(path: &str, device: &Device) -> Result<Self> {
        Self::of(path, &read(path)?, device)
    }

    /// As [`Judge::load`], of a file whose bytes are at hand.
    ///
    /// # Errors
    /// As [`Judge::load`].
    pub fn of(path: &str, bytes: &[u8], device: &Device) -> Result<Self> {
        let file = Path::new(path);
        let stored = Stored::decode(file, bytes, device)?;
        let shape: Vec<usize> = std::iter::once(1).chain(stored.data.spec().shape.iter().copied()).collect();
        if stored.model.logits(&Tensor::zeros(shape, DType::F32, device)?)?.is_none() {
            let what = format!("its model `{}` is no classifier", stored.section("model").name());
            return Err(Error::checkpoint(file, what, "give one of a run with `model.name = \"classifier\"`"));
        }
        Ok(Judge { path: path.to_owned(), stored, sha256: sha256(bytes) })
    }

    /// [`stamp`] of its file.
    pub fn stamp(&self, name: &str, metrics: &mut Metrics) {
        stamp(&self.path, &self.sha256, name, metrics);
    }

    /// What the last linear layer reads, `[N, F]`, of items x in the space of `data`.
    ///
    /// # Errors
    /// Items of another shape than the classifier's; a network without a linear layer.
    pub fn features(&self, x: &Tensor, data: &Data) -> Result<Tensor> {
        let none =
            || Error::checkpoint(Path::new(&self.path), "its network has no linear layer", "use another network");
        let of = |_, rows: &Tensor| Ok(self.stored.model.features(rows)?.ok_or_else(none)?.detach());
        Ok(Tensor::cat(&in_chunks(&self.seen(x, data)?, CHUNK, of)?, 0)?)
    }

    /// The classifier's logits, `[N, K]`, of items x in the space of `data`.
    ///
    /// # Errors
    /// Items of another shape than the classifier's.
    pub fn logits(&self, x: &Tensor, data: &Data) -> Result<Tensor> {
        let of = |_, rows: &Tensor| labels::logits(&self.path, &self.stored.model, rows);
        Ok(Tensor::cat(&in_chunks(&self.seen(x, data)?, CHUNK, of)?, 0)?.detach())
    }

    /// The classifier's logits, `[N, K]`, of pixels in [0, 1].
    ///
    /// # Errors
    /// Images of another shape than the classifier's.
    pub fn logits_of_pixels(&self, pixels: &Tensor) -> Result<Tensor> {
        let own = shape(self.stored.data.spec());
        let its: Vec<usize> = pixels.dims().iter().skip(1).copied().collect();
        if own != its {
            return Err(self.unfit(&own, &its));
        }
        let x = self.stored.data.of_unit(pixels, None)?;
        let of = |_, rows: &Tensor| labels::logits(&self.path, &self.stored.model, rows);
        Ok(Tensor::cat(&in_chunks(&x, CHUNK, of)?, 0)?.detach())
    }

    /// Whether it can look at items of `data`.
    ///
    /// # Errors
    /// They have another shape than those that it was trained on.
    pub fn check(&self, data: &Data) -> Result<()> {
        let (own, its) = (shape(self.stored.data.spec()), shape(data.spec()));
        if own == its { Ok(()) } else { Err(self.unfit(&own, &its)) }
    }

    fn unfit(&self, own: &[usize], its: &[usize]) -> Error {
        let what = format!("was trained on items of shape {own:?}, these have {its:?}");
        Error::checkpoint(Path::new(&self.path), what, "train a classifier on the data of this run")
    }

    /// x in the classifier's own space, by way of pixels.
    fn seen(&self, x: &Tensor, data: &Data) -> Result<Tensor> {
        self.check(data)?;
        self.stored.data.of_unit(&data.to_unit(x)?, None)
    }
}

/// The name by which a probe asks for the classifier of the 8×8 digits that ships with the program.
const SHIPPED: &str = "digits";

/// The bytes of a checkpoint: of the file `path`, of the newest whole one of a run folder, or of the classifier that is
/// [`SHIPPED`].
///
/// # Errors
/// A file that cannot be read; a folder without a checkpoint.
pub(in crate::probes) fn read(path: &str) -> Result<Cow<'static, [u8]>> {
    if path == SHIPPED {
        return Ok(Cow::Borrowed(include_bytes!("../../../datasets/digits/classifier.safetensors")));
    }
    let mut file = Path::new(path).to_owned();
    if file.is_dir() {
        file = checkpoint::found_in(&file, &Device::Cpu)?.0;
    }
    std::fs::read(&file).map(Cow::Owned).map_err(|e| {
        let remedy = "train a classifier with ebm and give the path of its checkpoint";
        Error::checkpoint(&file, format!("cannot be read: {e}"), remedy)
    })
}

/// Puts the first 12 hexadecimal digits of a file's sha256 beside the numbers that depend on it, as `name`: an integer
/// that f64 holds exactly; `printf %012x` gives the digits back.
pub(in crate::probes) fn stamp(path: &str, sha256: &str, name: &str, metrics: &mut Metrics) {
    let digits = sha256.get(..12).unwrap_or_default();
    let number = u64::from_str_radix(digits, 16).unwrap_or_default();
    tracing::info!("{path}: sha256 {digits}…, logged as {name} = {number}");
    metrics.set(name, number as f64);
}

/// What an item is, flattened or not: channels, height, width of an image, the length of a vector.
pub(in crate::probes) fn shape(spec: &ItemSpec) -> Vec<usize> {
    spec.image.map_or_else(|| spec.shape.clone(), Vec::from)
}

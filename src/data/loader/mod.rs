//! [`Data`]: what training and probes hold. Batches, evaluation sets, and the way between pixels and model space.

mod labelled_items;
mod model_space;
mod moments;
mod natural;
mod open;
mod truth;

pub use labelled_items::LabelledItems;
pub use model_space::Rescaling;
pub use moments::Moments;
pub use natural::NaturalColumn;

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Device, Tensor};

use open::Opened;

use super::files::manifest;
use super::items::{Batch, ItemSpec, Stamp};
use super::pipeline::{lens::Lens, rows::Rows, split::Split};
use crate::{Error, Result, rng::Key};

/// A data set, opened, verified and split.
///
/// Batches are functions of (seed, split, index): nothing is stored between calls that changes a result.
pub struct Data {
    spec: ItemSpec,
    items: Arc<Rows>,
    lens: Lens,
    key: Key,
    sha256: String,
    /// The last answer of [`Data::all`] on a generated set: several probes ask for the same draws, and those of a
    /// Markov chain are dear.
    drawn: Mutex<Option<(Split, usize, Batch)>>,
}

impl Data {
    fn new(name: &str, opened: Opened, key: Key) -> Data {
        let Opened { rows, lens, classes, sha256 } = opened;
        let [train, validation, test] = Split::ALL.map(|split| rows.len(split));
        let sizes = train.zip(validation).zip(test).map(|((train, validation), test)| [train, validation, test]);
        let spec = ItemSpec { name: name.into(), shape: lens.shape.clone(), image: lens.image, classes, sizes };
        Data { spec, items: Arc::new(rows), lens, key, sha256, drawn: Mutex::default() }
    }

    /// What a checkpoint must keep of the data set.
    pub fn stamp(&self) -> Stamp {
        self.items.stamp()
    }

    /// Where its tensors live.
    pub fn device(&self) -> &Device {
        &self.lens.device
    }

    /// What a model must know about the data.
    pub fn spec(&self) -> &ItemSpec {
        &self.spec
    }

    /// The names of a table's columns, as the model sees them: `colour=red` where a categorical one was. Empty of
    /// pictures, of points, and of a file that names none.
    pub fn columns(&self) -> &[String] {
        self.items.columns()
    }

    /// What the files call the classes, in the order of the labels: words of a table, folders of pictures. Empty where
    /// they count from 0.
    pub fn class_names(&self) -> &[String] {
        self.items.class_names()
    }

    /// How many items a split has; `None` if they are drawn without end.
    pub fn len(&self, split: Split) -> Option<usize> {
        self.items.len(split)
    }

    /// The labels of a split in its order, without its items; `None` of a set without labels.
    pub fn labels(&self, split: Split) -> Option<Vec<u32>> {
        self.items.labels(split)
    }

    /// Refuses a set of which only the test files are here.
    ///
    /// # Errors
    /// There is no training item ([`Error::Data`]).
    pub fn check_training(&self) -> Result<()> {
        match self.len(Split::Train) {
            Some(0) => {
                let remedy = manifest::find(&self.spec.name).map_or_else(|_| "add some".into(), |set| set.remedy());
                Err(Error::data(self.spec.name.as_ref(), "only test items are here, and nothing to train on", remedy))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a table whose rows lie on a plane, by the names of its columns: a density that learns so grows there
    /// without end. Noise spreads them.
    ///
    /// # Errors
    /// A column that is constant, repeats another or follows from others ([`Error::Config`]).
    pub fn check_density(&self) -> Result<()> {
        /// Columns that are named.
        const NAMED: usize = 5;
        let flat = if self.lens.noise > 0.0 { Vec::new() } else { self.items.flat_columns() };
        if flat.is_empty() {
            return Ok(());
        }
        let more = flat.len().saturating_sub(NAMED);
        let named = flat.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        Err(Error::config(format!("no density is defined on the rows of `{}`: {named}{more}", self.spec.name))
            .at_path("dataset.path")
            .hint("leave such columns out of the file, or spread them with noise (--set dataset.noise=0.05)"))
    }

    /// How many training batches of this size an epoch has, the incomplete last one dropped; `None` without epochs.
    pub fn batches_per_epoch(&self, size: usize) -> Option<u64> {
        self.len(Split::Train).map(|n| (n / size.max(1)) as u64)
    }

    /// Where the data come from: the hash of the files' content, or of the generator's configuration.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The hash of the files' content; none where the configuration alone says what is drawn.
    pub fn content(&self) -> Option<&str> {
        match self.items.generator() {
            Some(generator) => generator.content(),
            None => Some(&self.sha256),
        }
    }

    /// Batch number `index` of the endless sequence of epochs, each in its own random order, incomplete last batches
    /// dropped; of a generated set, fresh draws. Noise is fresh for every batch, and so are the flips and shifts of
    /// training images.
    ///
    /// # Errors
    /// A batch larger than the split.
    pub fn batch(&self, split: Split, index: u64, size: usize) -> Result<Batch> {
        self.batch_by(&self.lens, split, index, size)
    }

    /// The same batch in the memory of the host, made there alone.
    ///
    /// # Errors
    /// As [`Data::batch`].
    pub fn batch_on_host(&self, split: Split, index: u64, size: usize) -> Result<Batch> {
        self.batch_by(&Lens { device: Device::Cpu, ..self.lens.clone() }, split, index, size)
    }

    fn batch_by(&self, lens: &Lens, split: Split, index: u64, size: usize) -> Result<Batch> {
        let key = self.key.with(split.name()).at(index);
        let Some(n) = self.len(split) else {
            return self.fresh(lens, key, size);
        };
        let per_epoch = n.checked_div(size).unwrap_or(0) as u64;
        if per_epoch == 0 {
            return Err(Error::config(format!(
                "a batch of {size} does not fit the {n} {split} items of {}",
                self.spec.name
            ))
            .hint(format!("set `train.batch_size` between 1 and {n}")));
        }
        let order = self.items.order(self.key, split, index / per_epoch, n);
        let from = (index % per_epoch) as usize * size;
        let rows = self.items.rows(split, order.iter().skip(from).take(size).map(|&r| r as usize));
        if split == Split::Train { lens.training(rows, key) } else { lens.finish(rows, key) }
    }

    /// The first `max` items of a split in an order that never changes, or `max` draws of a generated set, apart from
    /// those of every batch. Repeated calls give the same numbers, noise included; nothing is flipped or shifted.
    ///
    /// # Errors
    /// A tensor that cannot be made on the device.
    pub fn all(&self, split: Split, max: usize) -> Result<Batch> {
        let key = self.key.with(split.name()).with("all");
        match self.len(split) {
            Some(n) => Ok(Batch { clean: None, ..self.lens.finish(self.items.rows(split, 0..n.min(max)), key)? }),
            None => self.remembered(split, max, key),
        }
    }

    /// Hands the items of a split to `each` in the order that never changes, a thousand at a time; of a generated set,
    /// ten thousand draws. What is random in them does not depend on who reads them; the first thousand are those of
    /// [`Data::all`].
    ///
    /// # Errors
    /// A tensor that cannot be made on the device; what `each` refuses.
    pub fn pieces(&self, split: Split, each: &mut dyn FnMut(Tensor) -> Result<()>) -> Result<()> {
        const GENERATED: usize = 10_000;
        match self.len(split) {
            Some(n) => self.first_pieces(split, n, each),
            None => each(self.all(split, GENERATED)?.x),
        }
    }

    /// Hands the first `n` items of a stored split to `each`, as [`Data::pieces`] does.
    fn first_pieces(&self, split: Split, n: usize, each: &mut dyn FnMut(Tensor) -> Result<()>) -> Result<()> {
        const PIECE: usize = 1_000;
        let key = self.key.with(split.name()).with("all");
        for (i, from) in (0..n).step_by(PIECE).enumerate() {
            let key = if i == 0 { key } else { key.at(i as u64) };
            each(self.lens.finish(self.items.rows(split, from..n.min(from + PIECE)), key)?.x)?;
        }
        Ok(())
    }

    fn remembered(&self, split: Split, n: usize, key: Key) -> Result<Batch> {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        match &*drawn {
            Some((of, count, batch)) if *of == split && *count == n => Ok(batch.clone()),
            _ => {
                let batch = Batch { clean: None, ..self.fresh(&self.lens, key, n)? };
                *drawn = Some((split, n, batch.clone()));
                Ok(batch)
            }
        }
    }

    fn fresh(&self, lens: &Lens, key: Key, n: usize) -> Result<Batch> {
        lens.finish(self.items.fresh(key.with("draw"), n), key)
    }
}

//! The items of a file, of a folder of pictures or of a data set, some at a time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::Tensor;
use clap::ValueEnum;

use super::loaded::{Loaded, Weights};
use super::usage;
use crate::config::find;
use crate::data::{DATASETS, Data, Split, beginning};
use crate::{Result, shell};

/// What the numbers of a file are.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum Space {
    /// What the model takes.
    Model,
    /// Pixels from 0 to 255.
    Pixels,
    /// What the data set has: the columns of a table in its own units, found by their names where a text has names,
    /// with words for categories. Of what is no table, what the model takes.
    Data,
}

/// Where items come from.
pub struct Items {
    /// As messages name it.
    pub source: String,
    kind: Kind,
}

enum Kind {
    File(PathBuf, Space),
    Set(Arc<Data>, Split),
}

impl Items {
    /// The items that a command line names: a file, a folder of pictures or the name of a data set; without a name,
    /// those of the data set that `loaded` was trained on.
    ///
    /// # Errors
    /// What is none of these, or has items of another shape than the model's.
    pub fn of(
        name: Option<&Path>,
        split: Split,
        space: Space,
        (ckpt, sets): (&Path, &[String]),
        loaded: &Loaded,
    ) -> Result<Self> {
        let name = match name {
            Some(path) if path.is_file() => {
                check_space(space, loaded)?;
                let source = path.display().to_string();
                return Ok(Items { source, kind: Kind::File(path.to_owned(), space) });
            }
            Some(path) => Some(path),
            None => None,
        };
        let whole = name.is_some_and(Path::is_dir);
        let data = match name {
            None => loaded.experiment.data()?,
            Some(path) => named(path, ckpt, loaded, sets)?,
        };
        loaded.fits(&data)?;
        let source = match name.filter(|_| whole) {
            Some(folder) => folder.display().to_string(),
            None => format!("{} ({split})", data.spec().name),
        };
        Ok(Items { source, kind: Kind::Set(data, if whole { Split::Train } else { split }) })
    }

    /// All rows of a file as items in model space, `[N, ..]`.
    ///
    /// # Errors
    /// Numbers that cannot be what `space` says, a file that cannot be read, rows of another length than the model's.
    pub fn whole(path: &Path, space: Space, loaded: &Loaded) -> Result<Tensor> {
        check_space(space, loaded)?;
        let items = Items { source: path.display().to_string(), kind: Kind::File(path.to_owned(), space) };
        let mut pieces = Vec::new();
        items.for_each(loaded, usize::MAX, &mut |x| {
            pieces.push(x.clone());
            Ok(())
        })?;
        Ok(Tensor::cat(&pieces, 0)?)
    }

    /// Hands the items to `each`, at most `most` at a time, in model space.
    ///
    /// # Errors
    /// A file that cannot be read, no items; what `each` refuses.
    pub fn for_each(&self, loaded: &Loaded, most: usize, each: &mut dyn FnMut(&Tensor) -> Result<()>) -> Result<usize> {
        let mut count = 0;
        let mut some = |x: Tensor| {
            let n = x.dim(0)?;
            count += n;
            (0..n).step_by(most).try_for_each(|from| each(&x.narrow(0, from, most.min(n - from))?))
        };
        match &self.kind {
            Kind::File(path, space) => {
                let begin = beginning(&loaded.experiment.resolved.spec("dataset"), path);
                loaded.data.rows_of(path, (*space == Space::Data, begin), most, &mut |rows| {
                    let x = rows.items(loaded.model.shape(), path, loaded.data.device())?;
                    some(if *space == Space::Pixels { loaded.data.of_unit(&(x / 255.0)?, None)? } else { x })
                })?;
            }
            Kind::Set(data, split) => data.pieces(*split, &mut some)?,
        }
        match count {
            0 => Err(usage(format!("{} has no items", self.source), "--split train, or --data FILE")),
            count => Ok(count),
        }
    }
}

/// Refuses a file whose numbers cannot be what `--space` says.
fn check_space(space: Space, loaded: &Loaded) -> Result<()> {
    match space {
        Space::Pixels if loaded.data.spec().image.is_none() => {
            let what = "--space pixels: the model was not trained on pictures, and numbers are not divided by 255";
            Err(usage(what, "--space model, or --space data for rows of the run's table"))
        }
        _ => Ok(()),
    }
}

/// The data set called by the name of a row, or the pictures of a folder, with the keys of the run that both have.
fn named(path: &Path, ckpt: &Path, loaded: &Loaded, sets: &[String]) -> Result<Arc<Data>> {
    let name = path.to_string_lossy();
    let mut own = Vec::new();
    if path.is_dir() {
        let Some([channels, height, width]) = loaded.data.spec().image else {
            return Err(usage(format!("{name} is a folder, and the model was not trained on pictures"), "--data FILE"));
        };
        let colour = if channels == 1 { "grey" } else { "rgb" };
        own.extend(["dataset.name=images".to_owned(), format!("dataset.path={:?}", path.display().to_string())]);
        own.extend([format!("dataset.size={height}"), format!("dataset.width={width}")]);
        own.extend([format!("dataset.channels={colour}"), "dataset.labels=none".into()]);
        // Parts that the run holds out of its own pictures would take some of these out of their order.
        own.extend(["dataset.test=0".to_owned(), "dataset.validation=0".to_owned()]);
    } else if find(DATASETS, &name).is_some() {
        own.push(format!("dataset.name={name}"));
    } else {
        let hint = format!("a file, a folder of pictures, or one of `{}`", shell::ebm("data list"));
        return Err(usage(format!("there is no {name}"), hint));
    }
    let experiment = Loaded::load(ckpt, &[own, sets.to_vec()].concat(), Weights::Ema)?.experiment;
    if path.is_dir() { experiment.whole_data() } else { experiment.data() }
}

//! The parameters of networks: their names, initial values, sharing and freezing.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use candle_core::{DType, Device, Tensor, Var};

use super::NamedNet;
use crate::store::{State, overwrite};
use crate::{Error, Result, device, rng::Key};

/// The named parameters of a model, in the order of their names, so that everything that loops over them is
/// deterministic. Buffers are state that no gradient reaches, such as the power-iteration vectors of spectral norm.
#[derive(Clone, Debug, Default)]
pub struct Params {
    /// The weights: the parameters that the optimiser trains, by name.
    pub weights: BTreeMap<String, Var>,
    /// The buffers by name: state that the checkpoint holds and that the optimiser does not train.
    pub buffers: BTreeMap<String, Var>,
}

impl Params {
    /// The number of trained numbers: the entries of all weights together.
    pub fn count(&self) -> usize {
        self.weights.values().map(|v| v.elem_count()).sum()
    }

    /// Weights and buffers by name, as handles: they share storage and follow updates in place.
    pub fn tensors(&self) -> State {
        let all = self.weights.iter().chain(&self.buffers);
        all.map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect()
    }

    /// Weights and buffers by name, to be overwritten.
    pub fn all(&self) -> BTreeMap<String, Var> {
        self.weights.iter().chain(&self.buffers).map(|(name, var)| (name.clone(), var.clone())).collect()
    }

    /// The parameters whose names begin with `prefix`, without the prefix, on the same storage.
    pub fn below(&self, prefix: &str) -> Params {
        let mine = |vars: &BTreeMap<String, Var>| {
            vars.iter().filter_map(|(name, var)| Some((name.strip_prefix(prefix)?.to_owned(), var.clone()))).collect()
        };
        Params { weights: mine(&self.weights), buffers: mine(&self.buffers) }
    }

    fn shelf(&mut self, shelf: Shelf) -> &mut BTreeMap<String, Var> {
        match shelf {
            Shelf::Weights => &mut self.weights,
            Shelf::Buffers => &mut self.buffers,
        }
    }

    /// Overwrites every weight and buffer from `source`.
    ///
    /// # Errors
    /// A tensor is missing or has another shape (the error names all of them); nothing has changed then. Tensors of
    /// `source` without a parameter here are ignored.
    pub fn load(&self, source: &State) -> Result<()> {
        let vars = self.weights.iter().chain(&self.buffers);
        overwrite("the network", vars.map(|(name, var)| (name.as_str(), var)), source)
    }
}

/// The most numbers that one parameter may have (4 GiB of f32). A larger one is taken for a mistake and refused, since
/// a failed allocation would abort the program.
const LARGEST: usize = 1 << 30;

/// Parameters of more bytes are compared with the memory that is left.
const NOTICED: usize = 1 << 26;

/// The initial values of a new parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// One number everywhere.
    Constant(f64),
    /// Draws from the uniform distribution on [-bound, bound].
    Uniform(f64),
    /// Draws from the normal distribution with mean 0 and this standard deviation.
    Normal(f64),
}

/// The source of a network's parameters while it is built: it makes new ones or hands out those of an existing
/// [`Params`], tracked or frozen.
///
/// Building the same specification on existing parameters is how a network is frozen or run on EMA weights: no layer
/// needs to know how.
#[derive(Clone)]
pub struct Builder {
    path: String,
    key: Key,
    dtype: DType,
    device: Device,
    source: Source,
    networks: Rc<RefCell<Vec<NamedNet>>>,
}

#[derive(Clone)]
enum Source {
    New(Rc<RefCell<Params>>),
    Bound { tensors: Rc<BTreeMap<String, Tensor>> },
    Measured(Rc<RefCell<Measured>>),
}

/// What a measuring builder was asked for.
#[derive(Default)]
struct Measured {
    shapes: Shapes,
    /// Those of `shapes` that are not trained.
    buffers: BTreeSet<String>,
}

/// The two kinds of parameters.
#[derive(Clone, Copy, PartialEq)]
enum Shelf {
    Weights,
    Buffers,
}

/// Shapes of tensors by name.
pub type Shapes = BTreeMap<String, Vec<usize>>;

impl Builder {
    /// A builder that makes new parameters, with initial values drawn from `key`; [`Builder::finish`] collects them.
    pub fn new(key: Key, dtype: DType, device: &Device) -> Self {
        let source = Source::New(Rc::default());
        Self::on(source, key, dtype, device)
    }

    /// A builder that hands out the tensors of `tensors` by name. Detached tensors give a frozen network on the storage
    /// of the original, which follows it when an optimiser updates it in place.
    pub fn bound(tensors: BTreeMap<String, Tensor>, dtype: DType, device: &Device) -> Self {
        Self::on(Source::Bound { tensors: Rc::new(tensors) }, Key::new(0), dtype, device)
    }

    /// Makes nothing: what is built on it may not be evaluated, but [`Builder::shapes`] tells what it would be made of.
    pub fn measuring(dtype: DType, device: &Device) -> Self {
        Self::on(Source::Measured(Rc::default()), Key::new(0), dtype, device)
    }

    fn on(source: Source, key: Key, dtype: DType, device: &Device) -> Self {
        Builder { path: String::new(), key, dtype, device: device.clone(), source, networks: Rc::default() }
    }

    /// Notes a network that was built on this builder.
    pub(super) fn note(&self, network: NamedNet) {
        self.networks.borrow_mut().push(network);
    }

    /// The networks built so far, on this builder, those it comes from and those that come from it.
    pub fn networks(&self) -> Vec<NamedNet> {
        self.networks.borrow().clone()
    }

    /// What was asked for of a measuring builder.
    pub fn shapes(&self) -> Shapes {
        match &self.source {
            Source::Measured(measured) => measured.borrow().shapes.clone(),
            Source::New(_) | Source::Bound { .. } => Shapes::new(),
        }
    }

    /// The builder for a named child: its parameters are called `name.…`.
    pub fn sub(&self, name: impl std::fmt::Display) -> Self {
        Builder { path: self.full(&name.to_string()), ..self.clone() }
    }

    /// The prefix of this builder's parameters, such as `net.2`; it also names dropout masks.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The data type of the parameters.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The device of the parameters.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The trained parameter `name` of shape `shape`: a new one filled by `init`, or the existing one of a bound
    /// builder.
    ///
    /// # Errors
    /// The parameter would have too many numbers; with a bound builder, the name is missing or has another shape.
    pub fn weight(&self, name: &str, shape: &[usize], init: Init) -> Result<Tensor> {
        self.make(name, shape, init, Shelf::Weights)
    }

    /// The trained parameter `name`, which starts at the value of `start`; a bound builder takes only the shape from
    /// `start`.
    ///
    /// # Errors
    /// As [`Builder::weight`].
    pub fn weight_at(&self, name: &str, start: &Tensor) -> Result<Tensor> {
        self.start_at(name, start, Shelf::Weights)
    }

    /// The buffer `name`: state that is saved and not trained. A new one is filled by `init`. The tensor is detached,
    /// so that no gradient reaches it, and shares its storage with the buffer in [`Params`].
    ///
    /// # Errors
    /// As [`Builder::weight`].
    pub fn buffer(&self, name: &str, shape: &[usize], init: Init) -> Result<Tensor> {
        Ok(self.make(name, shape, init, Shelf::Buffers)?.detach())
    }

    /// The buffer `name`, which starts at the value of `start`; a bound builder takes only the shape from `start`.
    ///
    /// # Errors
    /// As [`Builder::weight`].
    pub fn buffer_at(&self, name: &str, start: &Tensor) -> Result<Tensor> {
        Ok(self.start_at(name, start, Shelf::Buffers)?.detach())
    }

    /// The random key of the parameter `name`, for initial values that [`Init`] cannot express.
    pub fn key(&self, name: &str) -> Key {
        self.key.with(&self.full(name))
    }

    /// Whether this builder makes parameters, rather than handing out existing ones.
    pub fn is_new(&self) -> bool {
        matches!(self.source, Source::New(_))
    }

    /// The parameters made so far (empty for a bound builder).
    pub fn finish(&self) -> Params {
        match &self.source {
            Source::New(params) => params.borrow().clone(),
            Source::Bound { .. } | Source::Measured(_) => Params::default(),
        }
    }

    /// The parameters made so far below this builder's path (empty for a bound builder).
    pub fn own(&self) -> Params {
        let Params { weights, buffers } = self.finish();
        let mine = |vars: BTreeMap<String, Var>| vars.into_iter().filter(|(name, _)| self.holds(name)).collect();
        Params { weights: mine(weights), buffers: mine(buffers) }
    }

    /// The trained numbers below this builder's path, made or measured (0 for a bound builder).
    pub fn count(&self) -> usize {
        let Source::Measured(measured) = &self.source else { return self.own().count() };
        let Measured { shapes, buffers } = &*measured.borrow();
        let mine = shapes.iter().filter(|(name, _)| self.holds(name) && !buffers.contains(*name));
        mine.map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }

    /// All tensors below this builder's path, made here or handed out, detached and on the same storage.
    pub fn detached(&self) -> BTreeMap<String, Tensor> {
        match &self.source {
            Source::New(_) => self.own().tensors(),
            Source::Bound { tensors } => {
                let mine = tensors.iter().filter(|(name, _)| self.holds(name));
                mine.map(|(name, tensor)| (name.clone(), tensor.detach())).collect()
            }
            Source::Measured(_) => BTreeMap::new(),
        }
    }

    fn holds(&self, name: &str) -> bool {
        self.path.is_empty() || name.strip_prefix(&self.path).is_some_and(|rest| rest.starts_with('.'))
    }

    fn start_at(&self, name: &str, start: &Tensor, shelf: Shelf) -> Result<Tensor> {
        let tensor = self.make(name, start.dims(), Init::Constant(0.0), shelf)?;
        if let Source::New(params) = &self.source
            && let Some(var) = params.borrow_mut().shelf(shelf).get(&self.full(name))
        {
            crate::ops::assign(var, &start.to_dtype(self.dtype)?)?;
        }
        Ok(tensor)
    }

    fn make(&self, name: &str, shape: &[usize], init: Init, shelf: Shelf) -> Result<Tensor> {
        let full = self.full(name);
        match &self.source {
            Source::New(params) => {
                let var = Var::from_tensor(&self.initial(&full, shape, init)?)?;
                let tensor = var.as_tensor().clone();
                match params.borrow_mut().shelf(shelf).insert(full.clone(), var) {
                    None => Ok(tensor),
                    Some(_) => Err(Error::Other(format!("parameter `{full}` is declared twice"))),
                }
            }
            Source::Bound { tensors } => match tensors.get(&full) {
                Some(t) if t.dims() == shape => Ok(t.clone()),
                Some(t) => Err(Error::Other(format!("tensor `{full}` has shape {:?}, not {shape:?}", t.dims()))),
                None => Err(Error::Other(format!("tensor `{full}` is missing"))),
            },
            Source::Measured(measured) => {
                countable(&full, shape)?;
                let Measured { shapes, buffers } = &mut *measured.borrow_mut();
                if shelf == Shelf::Buffers {
                    buffers.insert(full.clone());
                }
                shapes.insert(full, shape.to_vec());
                // One number, seen everywhere.
                Ok(Tensor::zeros(1, self.dtype, &self.device)?.broadcast_as(shape)?)
            }
        }
    }

    fn initial(&self, full: &str, shape: &[usize], init: Init) -> Result<Tensor> {
        let bytes = countable(full, shape)? * self.dtype.size_in_bytes();
        // Drawn, then scaled: two copies for a moment.
        if bytes > NOTICED && device::memory_left(&self.device).is_some_and(|left| 2 * bytes as u64 > left) {
            return Err(too_large(full, shape));
        }
        let key = self.key.with(full);
        Ok(match init {
            Init::Constant(c) => Tensor::full(c, shape, &self.device)?.to_dtype(self.dtype)?,
            Init::Uniform(bound) => key.uniform(shape, self.dtype, &self.device)?.affine(2.0 * bound, -bound)?,
            Init::Normal(std) => key.normal(shape, self.dtype, &self.device)?.affine(std, 0.0)?,
        })
    }

    fn full(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

/// How many numbers a parameter has, if that many are possible.
fn countable(full: &str, shape: &[usize]) -> Result<usize> {
    let size = shape.iter().try_fold(1, |n: usize, &d| n.checked_mul(d));
    size.filter(|n| *n <= LARGEST).ok_or_else(|| too_large(full, shape))
}

fn too_large(full: &str, shape: &[usize]) -> Error {
    Error::Resource {
        what: format!("parameter `{full}` of shape {shape:?} would not fit into memory"),
        remedy: "make the layers of the network narrower".into(),
    }
}

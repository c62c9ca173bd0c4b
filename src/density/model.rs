//! The model of a run: an energy built from `[model]`, with its parameters.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::{Energy, classifier, flow, gaussian, ica, neural, phi4, rbm, tilted, vae};
use crate::config::{Entry, Schema, Spec, find};
use crate::data::Moments;
use crate::nets::{Builder, Params};
use crate::{Error, Result, rng::Key};

/// What a model is built for.
#[derive(Clone)]
pub struct Context<'a> {
    /// Shape of one item: `[2]`, `[1, 28, 28]`.
    pub shape: Vec<usize>,
    /// K, where the data have labels 0..K.
    pub classes: Option<usize>,
    /// First two moments of the training data, computed for those who ask; `None` when the parameters come from a
    /// checkpoint.
    pub moments: Option<&'a dyn Fn() -> Result<Moments>>,
}

/// Makes an energy from its resolved section.
pub type BuildModel = fn(&toml::Table, &Context, &Builder) -> Result<Box<dyn Energy>>;

/// Every model that `[model] name = "…"` can name.
pub const MODELS: &[Entry<BuildModel>] = &[
    neural::ENTRY,
    classifier::ENTRY,
    gaussian::ENTRY,
    rbm::ENTRY,
    ica::ENTRY,
    phi4::ENTRY,
    flow::NICE,
    flow::REAL_NVP,
    flow::SPLINE,
    flow::GLOW,
    vae::ENTRY,
    tilted::ENTRY,
];

/// The rows of [`MODELS`] for the configuration.
pub fn schemas() -> Vec<(&'static str, Schema)> {
    MODELS.iter().map(|row| (row.name, row.schema)).collect()
}

/// An energy with the parameters it is made of.
#[derive(Clone)]
pub struct Model {
    spec: Spec,
    shape: Vec<usize>,
    classes: Option<usize>,
    dtype: DType,
    device: Device,
    params: Params,
    /// Whether there are none, so that the energy is the same on any.
    fixed: bool,
    energy: Arc<dyn Energy>,
}

impl Model {
    /// A new model with parameters initialised from `key`.
    ///
    /// # Errors
    /// A specification that does not fit the data's shape.
    pub fn new(spec: &Spec, context: &Context, key: Key, dtype: DType, device: &Device) -> Result<Self> {
        let builder = Builder::new(key, dtype, device);
        let energy = build(spec, context, &builder)?;
        let Context { shape, classes, .. } = context.clone();
        let (spec, device, params) = (spec.clone(), device.clone(), builder.finish());
        let fixed = params.weights.is_empty() && params.buffers.is_empty();
        Ok(Model { spec, shape, classes, dtype, device, params, fixed, energy })
    }

    /// A model on existing tensors, such as those of a checkpoint.
    ///
    /// # Errors
    /// A tensor that is missing or has another shape.
    pub fn bound(
        spec: &Spec,
        context: &Context,
        tensors: BTreeMap<String, Tensor>,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let energy = build(spec, context, &Builder::bound(tensors, dtype, device))?;
        let Context { shape, classes, .. } = context.clone();
        let (spec, device) = (spec.clone(), device.clone());
        Ok(Model { spec, shape, classes, dtype, device, params: Params::default(), fixed: false, energy })
    }

    /// The same model on other tensors, such as EMA weights.
    ///
    /// # Errors
    /// As [`Model::bound`].
    pub fn on(&self, tensors: BTreeMap<String, Tensor>) -> Result<Self> {
        if self.fixed {
            return Ok(self.clone());
        }
        let context = Context { shape: self.shape.clone(), classes: self.classes, moments: None };
        Self::bound(&self.spec, &context, tensors, self.dtype, &self.device)
    }

    /// The same model on detached weights: passes build no graph. Storage is shared, so it follows training.
    pub fn frozen(&self) -> Result<Self> {
        self.on(self.params.tensors())
    }

    /// The trained parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Shape of one item.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// As the trait object that samplers and probes take.
    pub fn as_energy(&self) -> &dyn Energy {
        &*self.energy
    }
}

impl Deref for Model {
    type Target = dyn Energy;

    fn deref(&self) -> &Self::Target {
        &*self.energy
    }
}

fn build(spec: &Spec, context: &Context, builder: &Builder) -> Result<Arc<dyn Energy>> {
    let row = find(MODELS, spec.name()).ok_or_else(|| Error::Other(format!("unknown model `{}`", spec.name())))?;
    (row.build)(&spec.0, context, builder).map(Arc::from)
}

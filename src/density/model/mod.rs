//! The model of a run: an energy built from `[model]`, with its parameters.

mod asked;

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::context::Context;
use super::parts::by_parts;
use super::{Capabilities, Counted, Energy, Meter, build};
use crate::config::Spec;
use crate::nets::{Builder, NamedNet, Params, Shapes};
use crate::{Result, rng::Key};

/// The model of a run: an energy, the parameters that it is made of, its other capabilities, and a meter of its
/// evaluations that all its views share.
///
/// A model that was built anew is *live*: its evaluations go into losses that are differentiated by its weights, and
/// they are counted so ([`Counted`]). [`Model::frozen`] and [`Model::held`] give models that are not live.
#[derive(Clone)]
pub struct Model {
    spec: Spec,
    shape: Vec<usize>,
    classes: Option<usize>,
    dtype: DType,
    device: Device,
    params: Params,
    networks: Vec<NamedNet>,
    /// Whether the model has no parameters, so that it is the same on any tensors.
    fixed: bool,
    energy: Arc<dyn Capabilities>,
    meter: Meter,
    live: bool,
    /// Whether the energies of a batch are those of its items alone: not where masks are drawn for the whole.
    divisible: bool,
    /// F of the noise levels, where a method learned it.
    level_log_z: Option<Arc<[f64]>>,
}

impl Model {
    /// A new model with parameters drawn from `key`.
    ///
    /// # Errors
    /// The specification does not fit the data's shape.
    pub fn new(spec: &Spec, context: &Context, key: Key, dtype: DType, device: &Device) -> Result<Self> {
        let made = Self::built(spec, context, &Builder::new(key, dtype, device))?;
        let fixed = made.params.weights.is_empty() && made.params.buffers.is_empty();
        Ok(Model { fixed, live: !fixed, ..made })
    }

    /// A model on existing tensors, such as those of a checkpoint.
    ///
    /// # Errors
    /// A tensor is missing or has another shape.
    pub fn bound(
        spec: &Spec,
        context: &Context,
        tensors: BTreeMap<String, Tensor>,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        Self::built(spec, context, &Builder::bound(tensors, dtype, device))
    }

    /// A model, not live, of what the builder makes or finds.
    fn built(spec: &Spec, context: &Context, builder: &Builder) -> Result<Self> {
        let energy = build(spec, context, builder)?;
        let Context { shape, classes, .. } = context.clone();
        Ok(Model {
            spec: spec.clone(),
            shape,
            classes,
            dtype: builder.dtype(),
            device: builder.device().clone(),
            params: builder.finish(),
            networks: builder.networks(),
            fixed: false,
            energy,
            meter: Meter::default(),
            live: false,
            divisible: true,
            level_log_z: None,
        })
    }

    /// The shapes of all parameters that [`Model::new`] would make, without making them.
    ///
    /// # Errors
    /// A specification that does not fit the data's shape.
    pub fn shapes(spec: &Spec, context: &Context, dtype: DType, device: &Device) -> Result<Shapes> {
        let builder = Builder::measuring(dtype, device);
        build(spec, context, &builder)?;
        Ok(builder.shapes())
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
        let bound = Self::bound(&self.spec, &context, tensors, self.dtype, &self.device)?;
        Ok(Model { meter: self.meter.clone(), ..bound })
    }

    /// The same model on detached weights: passes build no graph. It shares storage with this one, so it follows
    /// training.
    ///
    /// # Errors
    /// As [`Model::bound`].
    pub fn frozen(&self) -> Result<Self> {
        self.on(self.params.tensors())
    }

    /// The same model with dropout, whose masks are drawn from `key`, or the model itself where it has no dropout.
    /// Every pass sees the same masks.
    pub fn in_training(&self, key: Key) -> Self {
        match self.energy.in_training(key) {
            Some(view) => Model { energy: Arc::from(view), divisible: false, ..self.clone() },
            None => self.clone(),
        }
    }

    /// The same model on the same weights, for evaluations that a loss holds constant; they count as not live.
    pub fn held(&self) -> Self {
        Model { live: false, ..self.clone() }
    }

    /// The key of `[model]` that widens the base density where it starts, if the model has one.
    pub fn widening(&self) -> Option<&'static str> {
        let key = "base_widen";
        (self.base().is_some() && self.spec.table.contains_key(key)).then_some(key)
    }

    /// The same model with the log-normalisers of its noise levels, up to one constant, that a method learned.
    pub fn with_level_log_z(self, log_z: Option<Vec<f64>>) -> Self {
        Model { level_log_z: log_z.map(Arc::from), ..self }
    }

    /// The log-normalisers of [`Model::with_level_log_z`], level by level.
    pub fn level_log_z(&self) -> Option<&[f64]> {
        self.level_log_z.as_deref()
    }

    /// The meter that this model and all its views count on.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// The trained parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The networks that it is made of, by the prefixes of their parameters.
    pub fn networks(&self) -> &[NamedNet] {
        &self.networks
    }

    /// The shape of one item.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn counted<E: Energy>(&self, energy: E) -> Counted<E> {
        Counted::on(energy, &self.meter, self.live)
    }
}

impl Energy for Model {
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        self.counted(&*self.energy).energy(x)
    }

    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        if self.divisible && self.params.weights.is_empty() && !x.track_op() {
            // As a whole: other ranks may have some of the parts.
            self.meter.derivatives(x, 1, self.live)?;
            return by_parts(x, |x| self.energy.grad(x));
        }
        self.counted(&*self.energy).grad(x)
    }

    fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        self.counted(&*self.energy).directional(x, v)
    }

    fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        self.counted(&*self.energy).curvature(x, v)
    }

    fn laplacian(&self, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        self.counted(&*self.energy).laplacian(x)
    }
}

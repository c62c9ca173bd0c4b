//! Trained parts: networks and models with everything that their training needs.

use candle_core::{DType, Device, Tensor, backprop::GradStore};

use crate::config::Spec;
use crate::density::flow::Flow;
use crate::density::{Capabilities, Context, Generator, Model, Vae};
use crate::methods::part::{Named, parts};
use crate::methods::{Standing, StepContext};
use crate::nets::{Builder, NamedNet, Network, Params};
use crate::optim::{self, Optimiser, Weights};
use crate::store::take;
use crate::{Result, rng::Key};

/// A network, or a model made of networks, that an optimiser trains.
///
/// A checkpoint keeps its parameters below `name.…` and the optimiser's state below `name_optim.…`; those of the run's
/// model are below `model.…` and `optim.…`.
pub(in crate::methods) struct Trainable<T> {
    /// The live network, from which losses are computed: its passes build a graph.
    pub live: T,
    /// The still twin: the same network on the same storage, without a graph. It follows every update.
    pub still: T,
    params: Named<Params>,
    optim: Named<Box<dyn Optimiser>>,
    /// What a companion is made of; the model says that itself.
    networks: Named<Vec<NamedNet>>,
}

parts!(Trainable<Model>: params, optim, networks);
parts!(Trainable<Network>: params, optim, networks);
parts!(Trainable<Flow>: params, optim, networks);
parts!(Trainable<Vae>: params, optim, networks);
parts!(Trainable<Generator>: params, optim, networks);

/// A network that can be trained. Some networks update estimates of their own after every step, as spectral norm does;
/// there is no default, so that a new kind of part says whether it has such.
pub(in crate::methods) trait Learns {
    /// Does the work that follows every update.
    fn after_update(&self) -> Result<()>;
}

impl Learns for Vae {
    fn after_update(&self) -> Result<()> {
        Capabilities::after_update(self)
    }
}

impl Learns for Generator {
    fn after_update(&self) -> Result<()> {
        self.power_iterate()
    }
}

impl Learns for Network {
    fn after_update(&self) -> Result<()> {
        self.power_iterate()
    }
}

impl Learns for Flow {
    fn after_update(&self) -> Result<()> {
        Capabilities::after_update(self)
    }
}

impl Learns for Model {
    fn after_update(&self) -> Result<()> {
        Model::after_update(self)
    }
}

impl<T> Trainable<T> {
    /// A new part called `name`. `build` is called twice, for the live network and for its still twin; `optim` is the
    /// section of the optimiser.
    ///
    /// # Errors
    /// `build` fails.
    pub fn new(
        name: &str,
        optim: &Spec,
        key: Key,
        device: &Device,
        build: impl Fn(&Builder) -> Result<T>,
    ) -> Result<Self> {
        let builder = Builder::new(key, DType::F32, device);
        let live = build(&builder)?;
        let params = builder.finish();
        let still = build(&Builder::bound(params.tensors(), DType::F32, device))?;
        let optim = Named::new(format!("{name}_optim"), optim::build(optim, &params.weights)?);
        let networks = Named::new(name, builder.networks());
        Ok(Trainable { live, still, params: Named::new(name, params), optim, networks })
    }

    /// The same part, kept under other names in a checkpoint.
    pub fn kept_as(mut self, params: &str, optim: &str) -> Self {
        self.params.name = params.into();
        self.networks.name = params.into();
        self.optim.name = optim.into();
        self
    }

    /// The weights and buffers.
    pub fn params(&self) -> &Params {
        &self.params.value
    }
}

impl<T: Learns> Trainable<T> {
    /// Takes one step down the gradient of the loss, with the learning rate times `lr_scale`, and returns the
    /// gradient's global norm.
    ///
    /// # Errors
    /// The device fails.
    pub fn descend(&mut self, loss: &Tensor, lr_scale: f64) -> Result<f64> {
        self.descend_along(&loss.backward()?, lr_scale)
    }

    /// Takes one step against a gradient, as [`Trainable::descend`] does.
    ///
    /// # Errors
    /// The device fails.
    pub fn descend_along(&mut self, gradient: &GradStore, lr_scale: f64) -> Result<f64> {
        let norm = self.optim.value.step(gradient, lr_scale)?.norm;
        self.live.after_update()?;
        Ok(norm)
    }
}

/// Takes one step of an optimiser alone: [`Trainable::descend`] without the work of the network that follows.
pub(in crate::methods) fn descend(optim: &mut Named<Box<dyn Optimiser>>, loss: &Tensor, lr_scale: f64) -> Result<f64> {
    Ok(optim.value.step(&loss.backward()?, lr_scale)?.norm)
}

impl Trainable<Model> {
    /// The model of a run as a part; `optim` is the section `[optim]`.
    pub fn model(model: Model, optim: &Spec) -> Result<Self> {
        let weights = model.params().weights.clone();
        Self::model_on(model, optim, &weights)
    }

    /// The model of a run as a part whose optimiser changes `weights`: some of the model's, or others beside them,
    /// whose values the caller saves.
    pub fn model_on(model: Model, optim: &Spec, weights: &Weights) -> Result<Self> {
        let (still, params) = (model.frozen()?, model.params().clone());
        let optim = Named::new("optim", optim::build(optim, weights)?);
        let networks = Named::new("model", Vec::new());
        Ok(Trainable { live: model, still, params: Named::new("model", params), optim, networks })
    }

    /// Evaluates a loss on the model with the dropout of this step.
    ///
    /// # Errors
    /// `loss` fails.
    pub fn in_training<R>(&self, cx: &StepContext, loss: impl FnOnce(&Model) -> Result<R>) -> Result<R> {
        loss(&self.live.in_training(dropout(cx)))
    }

    /// The still twin with the dropout of this step: the same function as the model that [`Trainable::in_training`]
    /// hands out, without a graph.
    pub fn still_in_training(&self, cx: &StepContext) -> Model {
        self.still.in_training(dropout(cx))
    }
}

/// The key of the masks of a step.
fn dropout(cx: &StepContext) -> Key {
    cx.key.with("dropout")
}

/// The part `name` of a method at rest, without a graph, on the tensors of its state.
///
/// # Errors
/// `build` fails, as where a tensor is missing from the state or has another shape.
pub(in crate::methods) fn at_rest<T>(
    name: &str,
    standing: &Standing,
    build: impl FnOnce(&Builder) -> Result<T>,
) -> Result<T> {
    build(&Builder::bound(take(standing.state, name), DType::F32, standing.device))
}

/// The run's model at rest, without a graph, on the tensors of its state.
///
/// # Errors
/// A tensor is missing from the state or has another shape.
pub(in crate::methods) fn model_at_rest(standing: &Standing) -> Result<Model> {
    let context = Context { shape: standing.shape.to_vec(), classes: standing.classes, moments: None };
    Model::bound(standing.model, &context, take(standing.state, "model"), DType::F32, standing.device)
}

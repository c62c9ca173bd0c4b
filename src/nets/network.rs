//! Whole networks: those that a configuration names, with their parameters.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::divided::{Divided, one, only};
use super::registry::row;
use super::sequential::shortened;
use super::{Builder, Curve, Gradients, Io, Jet, Layer, NamedNet, Params, Pass, Pullback, Tape};
use crate::config::Spec;
use crate::{Error, Result, ops};

/// A network with its parameters: new ones, those of another network (frozen), or an average of them (EMA).
pub struct Network {
    root: Arc<dyn Layer>,
    spec: Spec,
    io: Io,
    path: String,
    dtype: DType,
    device: Device,
    params: Params,
    /// All weights and buffers by name, detached, on the storage of the parameters.
    tensors: BTreeMap<String, Tensor>,
}

impl Network {
    /// The network that `spec` names, for items of the shapes `io`, with its parameters below the builder's path.
    ///
    /// # Errors
    /// The name is not in [`NETS`](super::NETS), the keys contradict each other or the shapes, or a bound builder lacks
    /// a tensor or has it with another shape; a layer reads the noise level, which this network is not told.
    pub fn new(spec: &Spec, io: &Io, builder: &Builder) -> Result<Self> {
        let network = Self::with_level(spec, io, builder)?;
        if !network.reads_level() {
            return Ok(network);
        }
        let error = Error::config("`time_embedding` reads the noise level, and this model has none").at("layers");
        spec.within(Err(error.hint("leave the layer out, or --set model.name=ladder")))
    }

    /// The network as [`Network::new`] makes it, for a model that tells the noise level in each [`Pass`].
    ///
    /// # Errors
    /// As [`Network::new`], but for layers that read the level.
    pub fn with_level(spec: &Spec, io: &Io, builder: &Builder) -> Result<Self> {
        if io.input_size() == 0 || io.output_size() == 0 {
            return Err(Error::config(format!(
                "a network needs items that are not empty, got {:?} to {:?}",
                io.input, io.output
            )));
        }
        let root = spec.within(row(spec.name()).and_then(|row| (row.build)(spec, io, builder)))?;
        builder.note(NamedNet { name: builder.path().to_owned(), spec: spec.clone(), io: io.clone() });
        Ok(Network {
            root: root.into(),
            spec: spec.clone(),
            io: io.clone(),
            path: builder.path().to_owned(),
            dtype: builder.dtype(),
            device: builder.device().clone(),
            params: builder.own(),
            tensors: builder.detached(),
        })
    }

    /// The output y = f(x): x `[B, input..]` -> `[B, output..]`.
    ///
    /// A network with parameters of its own makes one node of candle's graph, and its layers are the reverse pass.
    pub fn forward(&self, x: &Tensor, pass: Pass) -> Result<Tensor> {
        if let Some(divided) = self.divided(x.dim(0)?) {
            return only(divided.map(&[x], pass, |x, pass| Ok(vec![self.forward(one(x)?, pass)?]))?);
        }
        if self.params.weights.is_empty() {
            return ops::channels_first(&self.root.forward(x, pass)?);
        }
        let mut tape = Tape::default();
        let y = self.root.record(&x.detach(), pass, &mut tape)?;
        let weights = self.params.weights.values().map(|var| var.as_tensor().clone());
        let arguments: Vec<Tensor> = weights.chain(x.track_op().then(|| x.clone())).collect();
        let (root, wanted) = (Arc::clone(&self.root), x.track_op());
        let weights = arguments.len() - usize::from(wanted);
        ops::node(&y, &arguments.clone(), move |g| {
            let mut grads = Gradients::default();
            let gx = root.reverse(g, &mut tape.clone(), &mut grads, wanted)?;
            let mut all: Vec<Option<Tensor>> = arguments.iter().take(weights).map(|p| grads.take(p)).collect();
            let gx = gx.map(|g| ops::channels_first(&g)).transpose()?;
            all.extend(wanted.then_some(gx));
            Ok(all)
        })
    }

    /// The output y = f(x) and the pull-back ȳ ↦ ȳ·∂f/∂x. However images lie within the network, what it gives lies
    /// channel by channel, in all passes.
    pub fn vjp<'a>(&'a self, x: &Tensor, pass: Pass) -> Result<(Tensor, Pullback<'a>)> {
        if let Some(divided) = self.divided(x.dim(0)?) {
            return divided.vjp(x, pass);
        }
        let (y, pull) = self.root.vjp(x, pass)?;
        Ok((ops::channels_first(&y)?, Box::new(move |g| ops::channels_first(&pull(g)?))))
    }

    /// The output and its tangent, (y, ẏ) = (f(x), ∂f/∂x·ẋ).
    pub fn jvp(&self, x: &Jet, pass: Pass) -> Result<Jet> {
        match self.divided(x.batch()?) {
            Some(divided) => divided.jvp(x, pass),
            None => self.root.jvp(x, pass)?.linear(ops::channels_first),
        }
    }

    /// The input of the last linear layer, `[B, F]`, without dropout; `None` for a network without one.
    pub fn features(&self, x: &Tensor) -> Result<Option<Tensor>> {
        self.root.features(x, Pass::EVAL)
    }

    /// The network for a batch of so many items, where several ranks share it.
    fn divided(&self, items: usize) -> Option<Divided<'_>> {
        Divided::of(&*self.root, &self.params, items)
    }

    /// The network as a layer, to be composed or tested.
    pub fn layer(&self) -> &dyn Layer {
        self.root.as_ref()
    }

    /// The output and the gradient of its sum, (y, ∂Σy/∂x): for a scalar network the value `[B]` and the gradient
    /// `[B, input..]` of each item. Both are differentiable in the parameters.
    pub fn grad(&self, x: &Tensor, pass: Pass) -> Result<(Tensor, Tensor)> {
        let (y, pull) = self.vjp(x, pass)?;
        let g = pull(&y.ones_like()?)?;
        Ok((y, g))
    }

    /// The value, slope and curvature along v, (f, ∂f/∂x·v, vᵀ(∂²f/∂x²)v) at x, each of the output's shape, by one
    /// second-order tangent pass. They are differentiable in the parameters.
    pub fn curve(&self, x: &Tensor, v: &Tensor, pass: Pass) -> Result<[Tensor; 3]> {
        if let Some(divided) = self.divided(x.dim(0)?) {
            return divided.curve(x, v, pass);
        }
        let y = self.root.curve(&Curve::line(x, v)?, pass)?.linear(ops::channels_first)?;
        Ok([y.value()?, y.first()?, y.second()?])
    }

    /// The trace tr ∂f/∂x of every item, `[B]`, exactly and without dropout, by D pull-backs or by a closed form where
    /// the network has one. It is differentiable in the parameters.
    ///
    /// # Errors
    /// The output has another size than the input.
    pub fn exact_trace(&self, x: &Tensor) -> Result<Tensor> {
        match self.divided(x.dim(0)?) {
            Some(divided) => only(divided.map(&[x], Pass::EVAL, |x, _| Ok(vec![self.root.trace(one(x)?)?]))?),
            None => self.root.trace(x),
        }
    }

    /// Does one power iteration of every spectral norm, in place; it is called between training steps.
    pub fn power_iterate(&self) -> Result<()> {
        self.root.power_iterate()
    }

    /// Sets the scales and biases of layers under weight norm from their outputs for `items`, `[B, input..]`, in place,
    /// before training. `items` is called only where there are such layers.
    ///
    /// # Errors
    /// `items` fails.
    pub fn calibrate(&self, items: &dyn Fn() -> Result<Tensor>) -> Result<()> {
        if !self.root.has_weight_norm() {
            return Ok(());
        }
        self.root.calibrate(&items()?).map(drop)
    }

    /// Whether a layer of the network drops numbers while training, so that an item's pass depends on its batch.
    pub fn drops(&self) -> bool {
        self.root.drops()
    }

    /// Whether a layer of the network reads the noise level.
    pub fn reads_level(&self) -> bool {
        self.root.reads_level()
    }

    /// The same network as a list of layers: the section of a `sequential` network that computes the same, and its
    /// tensors under the names that they have there, detached and on the same storage.
    ///
    /// # Errors
    /// A layer that no list can name.
    pub fn sequential(&self) -> Result<(Spec, BTreeMap<String, Tensor>)> {
        let list = shortened(self.root.list()?, &self.io);
        Ok((list.section(), list.tensors()))
    }

    /// The same network on other tensors of the same names, such as an average; it is tracked where those are.
    ///
    /// # Errors
    /// A tensor is missing or has another shape.
    pub fn rebind(&self, tensors: BTreeMap<String, Tensor>) -> Result<Self> {
        Network::with_level(&self.spec, &self.io, &Builder::bound(tensors, self.dtype, &self.device).sub(&self.path))
    }

    /// The same network on detached weights: passes build no graph and no parameter gets a gradient. It shares storage
    /// with this one, so it follows this one when an optimiser updates it in place.
    ///
    /// # Errors
    /// As [`Network::rebind`].
    pub fn frozen(&self) -> Result<Self> {
        self.rebind(self.tensors.clone())
    }

    /// The parameters made for this network; empty for a frozen or rebound one.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The shapes of one item.
    pub fn io(&self) -> &Io {
        &self.io
    }

    /// The section of the configuration that the network was built from.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }
}

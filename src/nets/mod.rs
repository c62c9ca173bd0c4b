//! Networks, built of layers that carry their own derivatives.
//!
//! Energy-based models work with ∇x E and learn through it. So each [`Layer`] has four passes, all written in ordinary
//! differentiable operations: `forward`, the pull-back `vjp` (reverse mode: `x̄ = ȳ·∂y/∂x`), the tangent pass `jvp`
//! (forward mode: `ẏ = ∂y/∂x·ẋ`) and `curve`, the tangent pass to second order. Because the derivative passes are
//! themselves forward passes on the weights, one ordinary `backward()` through them gives the second-order terms of
//! LSD, score matching and gradient penalties, without a double backward.
//!
//! Where a network is only evaluated and learned through, as in contrastive divergence, its pass is one node of
//! candle's graph, and `record` and `reverse` go through the layers: each gradient is written once, where candle would
//! add it to zeros.
//!
//! Every `Result` in this module also fails where a tensor operation does: on shapes that do not fit, or on a device
//! without memory. The `# Errors` of an item name what else can fail.

mod activation;
mod attention;
mod build;
mod conv;
mod conv2d;
mod curve;
mod divided;
mod dropout;
mod fourier;
mod image;
mod io;
mod jet;
mod layer_list;
mod linear;
mod mlp;
mod named;
mod network;
mod norm;
mod outline;
mod pool;
mod registry;
mod reshape;
mod residual;
mod resnet;
mod resnet_generator;
mod reverse;
mod sequence;
mod sequential;
mod skip;
mod time_embedding;
mod unet;
mod upsample;
mod weight;
mod wide_resnet;

pub use activation::{Nonlinear, NonlinearName};
pub use attention::Attention;
pub use build::{Builder, Init, Params, Shapes};
pub use conv2d::Conv2d;
pub use curve::Curve;
pub use dropout::Dropout;
pub use fourier::Fourier;
pub use io::Io;
pub use jet::Jet;
pub use layer_list::{LayerList, ListedLayer};
pub use linear::Linear;
pub use mlp::MlpConfig;
pub use named::NamedNet;
pub use network::Network;
pub use norm::GroupNorm;
pub use outline::{Outline, outline};
pub use pool::{AvgPool, GlobalPool};
pub use registry::{BuildNet, NETS, schemas};
pub use reshape::Reshape;
pub use residual::Residual;
pub use reverse::{Gradients, Tape};
pub use sequence::Sequence;
pub use sequential::{LAYERS, LayerLine};
pub use skip::Skip;
pub use time_embedding::{LEVEL_FEATURES, LEVEL_FREQUENCIES, TimeEmbedding, level_features, level_slopes};
pub use upsample::Upsample;
pub use weight::{Scaling, Weight};

use candle_core::Tensor;

use crate::ops::Activation;
use crate::{Error, Result, rng::Key};

/// The pull-back of a layer f at the point x where `vjp` was taken: ȳ of y's shape -> x̄ = ȳ·∂f/∂x of x's shape. It is
/// linear in ȳ and differentiable in ȳ and in the parameters.
pub type Pullback<'a> = Box<dyn Fn(&Tensor) -> Result<Tensor> + 'a>;

/// A differentiable map y = f(x) with parameters; the first dimension of x and y is the batch.
pub trait Layer: Send + Sync {
    /// The output y = f(x).
    fn forward(&self, x: &Tensor, pass: Pass) -> Result<Tensor>;

    /// The output y = f(x) and the pull-back ȳ ↦ ȳ·∂f/∂x.
    fn vjp<'a>(&'a self, x: &Tensor, pass: Pass) -> Result<(Tensor, Pullback<'a>)>;

    /// The output and its tangent, (y, ẏ) = (f(x), ∂f/∂x·ẋ), where the weights are read once for both.
    fn jvp(&self, x: &Jet, pass: Pass) -> Result<Jet>;

    /// The output along a curve, (y, y', y'') of y(t) = f(x(t)) at t = 0, where the weights are read once for all
    /// three: with J = ∂f/∂x, y' = J x' and y'' = J x'' + x'ᵀ(∂²f/∂x²)x'. It is differentiable in the parameters; the
    /// second derivative at a corner, as in a rectifier, counts as 0.
    fn curve(&self, x: &Curve, pass: Pass) -> Result<Curve>;

    /// The function σ, for a layer that is a fixed non-linearity and nothing else.
    fn activation(&self) -> Option<Activation> {
        None
    }

    /// Whether the layer only changes the shape, so that its pull-back is a reshape.
    fn is_view(&self) -> bool {
        false
    }

    /// The layer as one that applies a non-linearity on the way, if it can.
    fn absorbing(&self) -> Option<&dyn Absorbing> {
        None
    }

    /// The output y = f(x), detached, with what [`Layer::reverse`] needs put onto `tape`. x is detached. By default it
    /// is the part of candle's graph between the two.
    fn record(&self, x: &Tensor, pass: Pass, tape: &mut Tape) -> Result<Tensor> {
        tape.record_graph(x, |x| self.forward(x, pass))
    }

    /// The pull-back of [`Layer::record`] to x and the parameters: takes what that put onto `tape`, the last first,
    /// adds the parameters' gradients to `grads`, and gives x̄, or `None` where it is not wanted. A layer has its own
    /// where it has its own `record`.
    fn reverse(&self, g: &Tensor, tape: &mut Tape, grads: &mut Gradients, wanted: bool) -> Result<Option<Tensor>> {
        let x = tape.reverse_graph(g, grads)?;
        Ok(wanted.then_some(x))
    }

    /// The features that a classifier separates: the input `[B, F]` of the last linear layer inside, or `None` without
    /// one.
    fn features(&self, _x: &Tensor, _pass: Pass) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// Does one power iteration of every spectral norm inside, in place. A layer that holds layers passes the call on.
    fn power_iterate(&self) -> Result<()> {
        Ok(())
    }

    /// Whether a layer inside has weight norm. A layer that holds layers passes the question on.
    fn has_weight_norm(&self) -> bool {
        false
    }

    /// Whether a layer inside drops numbers while training. A layer that holds layers passes the question on.
    fn drops(&self) -> bool {
        false
    }

    /// Whether a layer inside reads the noise level of the [`Pass`]. A layer that holds layers passes the question on.
    fn reads_level(&self) -> bool {
        false
    }

    /// The output y = f(x), where each layer inside that has weight norm first sets its scale and bias, in place, from
    /// its outputs for x. A layer that holds layers passes the call on.
    fn calibrate(&self, x: &Tensor) -> Result<Tensor> {
        self.forward(x, Pass::EVAL)
    }

    /// The layer written as a list of layers, with its tensors; a layer that holds layers lists these.
    ///
    /// # Errors
    /// There is no such list.
    fn list(&self) -> Result<LayerList> {
        Err(Error::Other("this network has a layer that no list of layers can name".into()))
    }

    /// The trace tr ∂f/∂x of every item, `[B]`, for an f whose output has as many numbers as its input, without
    /// dropout. It is differentiable in the parameters. The default takes D pull-backs; a layer with a closed form
    /// overrides it.
    fn trace(&self, x: &Tensor) -> Result<Tensor> {
        trace_by_pullbacks(self, x)
    }
}

/// A layer f that can be one with the non-linearity σ before it, y = f(σ(u)), in each pass that does not go along a
/// tangent.
pub trait Absorbing {
    /// The output for σ(u): [`Layer::forward`].
    fn forward_of(&self, act: Activation, u: &Tensor) -> Result<Tensor>;

    /// The output for σ(u) and the pull-back to u: [`Layer::vjp`].
    fn vjp_of<'a>(&'a self, act: Activation, u: &Tensor) -> Result<(Tensor, Pullback<'a>)>;

    /// The output for σ(u), detached: [`Layer::record`].
    fn record_of(&self, act: Activation, u: &Tensor, tape: &mut Tape) -> Result<Tensor>;

    /// The pull-back to u and the parameters: [`Layer::reverse`].
    fn reverse_of(
        &self,
        act: Activation,
        g: &Tensor,
        tape: &mut Tape,
        grads: &mut Gradients,
        wanted: bool,
    ) -> Result<Option<Tensor>>;
}

/// The settings that may differ from one pass through a network to the next.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pass<'a> {
    /// The key from which dropout masks are drawn while training; `None` switches dropout off. Value and tangent, and
    /// two passes with the same key, see the same masks.
    pub dropout: Option<Key>,
    /// ln σ, the noise level of each item, `[B]`: constants for the derivatives in x and in the parameters. `None`
    /// where the model has no levels.
    pub level: Option<&'a Tensor>,
    /// Whether the tangent of `jvp` goes along ln σ too, at speed 1.
    pub level_moves: bool,
}

impl Pass<'_> {
    /// The pass for evaluation: no dropout, no levels.
    pub const EVAL: Pass<'static> = Pass { dropout: None, level: None, level_moves: false };

    /// The pass for training, with masks drawn from `key`.
    pub fn train(key: Key) -> Self {
        Pass { dropout: Some(key), ..Pass::EVAL }
    }

    /// This pass for items of noise levels σ, from ln σ `[B]`.
    pub fn at<'a>(self, log_sigma: &'a Tensor) -> Pass<'a> {
        Pass { dropout: self.dropout, level: Some(log_sigma), level_moves: false }
    }

    /// This pass for a tangent that goes along ln σ too.
    pub fn along_level(self) -> Self {
        Pass { level_moves: true, ..self }
    }
}

/// The trace tr J = Σ_d e_dᵀ J e_d of each item, by one pull-back for each of the D inputs: `[B, ..]` -> `[B]`.
fn trace_by_pullbacks<L: Layer + ?Sized>(layer: &L, x: &Tensor) -> Result<Tensor> {
    let (y, pull) = layer.vjp(x, Pass::EVAL)?;
    if y.elem_count() != x.elem_count() {
        let (input, output) = (x.dims(), y.dims());
        return Err(Error::Other(format!("a trace needs an output of the input's size, not {input:?} -> {output:?}")));
    }
    let batch = x.dim(0)?;
    let size = x.elem_count() / batch.max(1);
    let mut trace = Tensor::zeros(batch, x.dtype(), x.device())?;
    for (d, unit) in Tensor::eye(size, x.dtype(), x.device())?.chunk(size.max(1), 0)?.iter().enumerate() {
        let g = pull(&unit.broadcast_as((batch, size))?.reshape(y.dims())?)?;
        trace = (trace + g.reshape((batch, size))?.narrow(1, d, 1)?.squeeze(1)?)?;
    }
    Ok(trace)
}

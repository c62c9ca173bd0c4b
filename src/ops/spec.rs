//! What an operation is told beside its tensors.

use candle_core::{Tensor, Var, bail};

use crate::rng::Counter;
use crate::{Error, Result};

/// An element-wise non-linearity σ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// Swish, u·sigmoid(u), also called SiLU.
    Swish,
    /// Softplus, log(1 + eᵘ).
    Softplus,
    /// The sigmoid, 1 / (1 + e⁻ᵘ).
    Sigmoid,
    /// The hyperbolic tangent, tanh u.
    Tanh,
    /// The rectifier, max(u, 0); its slope at 0 is 0.
    Relu,
    /// The leaky rectifier, max(u, αu) with α < 1; its slope at 0 is α.
    LeakyRelu(f64),
    /// The exponential linear unit: u for u > 0, else α(eᵘ - 1).
    Elu(f64),
}

/// The ε that group norm adds to the variance.
pub const NORM_EPSILON: f64 = 1e-5;

/// The stride and padding of a convolution with a square kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    /// The pixels from one window to the next, at least 1.
    pub stride: usize,
    /// The zeros added on each side.
    pub padding: usize,
}

impl Conv {
    /// The number of windows along one dimension: ⌊(size + 2·padding - kernel)/stride⌋ + 1.
    ///
    /// # Errors
    /// The stride is 0, the kernel is 0, or the kernel is larger than the padded input.
    pub fn windows(self, size: usize, kernel: usize) -> Result<usize> {
        let Conv { stride, padding } = self;
        let room = padding.checked_mul(2).and_then(|p| p.checked_add(size)).and_then(|s| s.checked_sub(kernel));
        match room {
            Some(room) if stride > 0 && kernel > 0 && size > 0 => Ok(room / stride + 1),
            _ => Err(Error::Other(format!(
                "convolution: a kernel of {kernel} with stride {stride} and padding {padding} does not fit into \
                 {size} pixels; all but the padding must be at least 1, and the kernel no larger than the padded input"
            ))),
        }
    }
}

/// The numbers of one Adam step, in the order in which they are used; [`crate::optim`] makes them from its keys.
///
/// With p the parameter, g its gradient, m and v its moments: ĝ = scale·g + l2·p; m ← betas₀·m + rest₀·ĝ; v ←
/// betas₁·v + rest₁·ĝ²; p ← keep·p - rate·m/(root·√v + eps).
#[derive(Clone, Copy, Debug)]
pub struct Adam<T = f64> {
    /// The factor of the gradient, applied first.
    pub scale: T,
    /// The weight decay through the gradient.
    pub l2: T,
    /// The decay rates of the first and second moment.
    pub betas: [T; 2],
    /// The complements 1 - `betas`.
    pub rest: [T; 2],
    /// The factor of the parameter under weight decay beside the gradient; 1 without.
    pub keep: T,
    /// The step size, divided by the first moment's correction for its start at 0.
    pub rate: T,
    /// One over the square root of the second moment's correction for its start at 0.
    pub root: T,
    /// The number added to the root of the second moment.
    pub eps: T,
}

/// The numbers of one step of gradient descent with momentum.
#[derive(Clone, Copy, Debug)]
pub struct Sgd {
    /// The step size.
    pub lr: f64,
    /// The decay rate of the velocity.
    pub momentum: f64,
    /// Whether the step looks ahead along the new velocity (Nesterov's momentum).
    pub nesterov: bool,
    /// The weight decay, through the gradient.
    pub weight_decay: f64,
    /// The factor of the gradient, applied first.
    pub scale: f64,
}

/// A parameter with its gradient, what an optimiser remembers of it, and the numbers of its step.
#[derive(Clone, Copy)]
pub struct Stepping<'a, N, const K: usize> {
    /// The parameter.
    pub var: &'a Var,
    /// Its gradient.
    pub grad: &'a Tensor,
    /// The moments or the velocity.
    pub memory: [&'a Var; K],
    /// The numbers of the step; the factor of the gradient comes on top of what limits its norm.
    pub numbers: N,
}

/// The Langevin move y = x - drift·g + std·z with z standard normal, where entries of the gradient g are first kept
/// between ± `clip`, and those of y at last between two numbers.
#[derive(Clone, Copy, Debug)]
pub struct LangevinMove {
    /// The factor of the gradient.
    pub drift: f64,
    /// The standard deviation of the noise.
    pub std: f64,
    /// The bound on each entry of the gradient, infinite for none.
    pub clip: f64,
    /// The bounds of each coordinate, infinite for none.
    pub bounds: [f64; 2],
}

impl LangevinMove {
    /// The move without bounds.
    pub fn free(drift: f64, std: f64) -> Self {
        LangevinMove { drift, std, clip: f64::INFINITY, bounds: [f64::NEG_INFINITY, f64::INFINITY] }
    }

    /// All five numbers, as the kernels take them.
    pub(super) fn numbers(&self) -> [f64; 5] {
        [self.drift, self.std, self.clip, self.bounds[0], self.bounds[1]]
    }
}

/// Inverted dropout: each number is dropped with probability `rate`, and the others grow by 1/(1 - rate).
#[derive(Clone, Copy, Debug)]
pub struct Dropping {
    /// The probability, in [0, 1).
    pub rate: f64,
    /// What decides: a number is kept where its word is not below `rate`·2³².
    pub counter: Counter,
    /// The number of equal blocks of the batch, such as values and tangents, that have one mask.
    pub blocks: usize,
}

impl Dropping {
    /// The factor of what is kept.
    pub(super) fn scale(&self) -> f64 {
        1.0 / (1.0 - self.rate)
    }

    /// The least word that keeps a number.
    pub(super) fn least(&self) -> u32 {
        (self.rate * 4_294_967_296.0).round() as u32
    }

    /// The numbers of a block, of which a batch has n in all.
    pub(super) fn block(&self, n: usize) -> candle_core::Result<usize> {
        match n.checked_rem(self.blocks) {
            Some(0) => Ok((n / self.blocks).max(1)),
            _ => bail!("dropout of {n} numbers in {} equal blocks", self.blocks),
        }
    }
}

//! What an operation is told beside its tensors.

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

//! The traits of energies and of densities, and the derivatives that any energy can be given by others.

use candle_core::Tensor;

use crate::{Result, rng::Key};

/// The energy E(x) of an unnormalised density p(x) ∝ exp(-E(x)), in nats; a low energy is a likely item.
///
/// These five functions are the whole of an energy. The other capabilities of some models (class logits, a base
/// density, Gibbs sweeps) are asked of [`Model`](super::Model), so that an energy that wraps another one has only these
/// to pass on.
///
/// # Shapes
/// x and v `[B, ..]`; energies, slopes, curvatures and Laplacians `[B]`; gradients as x.
///
/// # Errors
/// Every function fails where a tensor operation does, as for an x of another shape.
pub trait Energy: Send + Sync {
    /// The energy E(x), differentiable in the parameters and in x.
    fn energy(&self, x: &Tensor) -> Result<Tensor>;

    /// The energy and its gradient, (E(x), ∇x E(x)), both differentiable in the parameters.
    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)>;

    /// The energy and its slope along v, (E(x), v·∇x E(x)), differentiable in the parameters: one tangent pass where an
    /// energy has one, else [`slope_of_grad`], which serves any energy. With v held constant, the gradient of the slope
    /// in the parameters is all that LSD's model step and ½‖∇x E‖² need.
    fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)>;

    /// The energy and its first two derivatives along v, (E(x), v·∇x E(x), vᵀ ∇²x E(x) v), differentiable in the
    /// parameters. Score matching and its relatives train on them.
    fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]>;

    /// The energy, its gradient and its Laplacian, (E(x), ∇x E(x), ΔE(x) = tr ∇²x E(x)), exact and differentiable in
    /// the parameters. [`laplacian_along_axes`] serves any energy; one with a closed form has its own.
    fn laplacian(&self, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)>;
}

/// A density p(x) with a known normaliser.
pub trait Density: Energy {
    /// The log-density log p(x) in nats, `[B]`.
    fn log_prob(&self, x: &Tensor) -> Result<Tensor>;

    /// Independent draws, `[n, ..]`.
    fn sample(&self, key: Key, n: usize) -> Result<Tensor>;
}

/// The function [`Energy::directional`], computed from the whole gradient.
///
/// # Errors
/// The gradient fails.
pub fn slope_of_grad<E: Energy + ?Sized>(energy: &E, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
    let (value, grad) = energy.grad(x)?;
    Ok((value, (grad * v)?.flatten_from(1)?.sum(1)?))
}

/// The rows of one pass: enough to keep the processor busy, few enough to bound the memory of an evaluation.
const ROWS: usize = 1024;

/// The function [`Energy::laplacian`], computed from the curvatures along the D unit vectors in `⌈D / ⌊ROWS/B⌋⌉`
/// second-order passes, `ROWS` = 1024: the slopes along them are the gradient, and the curvatures sum to the trace.
///
/// # Errors
/// The curvature fails.
pub fn laplacian_along_axes<E: Energy + ?Sized>(energy: &E, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
    along_axes(energy, x, ROWS / x.dim(0)?.max(1))
}

/// The function [`laplacian_along_axes`] by one axis a pass, for energies that must see as many rows as x has.
///
/// # Errors
/// The curvature fails.
pub fn laplacian_axis_by_axis<E: Energy + ?Sized>(energy: &E, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
    along_axes(energy, x, 1)
}

fn along_axes<E: Energy + ?Sized>(energy: &E, x: &Tensor, at_once: usize) -> Result<(Tensor, Tensor, Tensor)> {
    let (batch, size) = (x.dim(0)?, x.elem_count() / x.dim(0)?.max(1));
    let at_once = at_once.clamp(1, size.max(1));
    let (mut values, mut slopes, mut bends) = (Vec::new(), Vec::new(), Vec::new());
    let axes = Tensor::eye(size, x.dtype(), x.device())?;
    for from in (0..size).step_by(at_once) {
        let n = at_once.min(size - from);
        let copies = Tensor::cat(&vec![x; n], 0)?;
        let units = axes.narrow(0, from, n)?.unsqueeze(1)?.broadcast_as((n, batch, size))?;
        let [e, slope, bend] = energy.curvature(&copies, &units.reshape(copies.dims())?)?;
        values.push(e.narrow(0, 0, batch)?);
        slopes.push(slope.reshape((n, batch))?);
        bends.push(bend.reshape((n, batch))?);
    }
    let grad = Tensor::cat(&slopes, 0)?.t()?.reshape(x.dims())?;
    Ok((Tensor::cat(&values, 0)?.narrow(0, 0, batch)?, grad, Tensor::cat(&bends, 0)?.sum(0)?))
}

/// Implements the functions for references and boxes by those of their target, so that wrappers can borrow or own an
/// energy.
macro_rules! forwards {
    ($($kind:ty),*) => {$(
        impl<E: Energy + ?Sized> Energy for $kind {
            fn energy(&self, x: &Tensor) -> Result<Tensor> {
                (**self).energy(x)
            }

            fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
                (**self).grad(x)
            }

            fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
                (**self).directional(x, v)
            }

            fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
                (**self).curvature(x, v)
            }

            fn laplacian(&self, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
                (**self).laplacian(x)
            }
        }
    )*};
}

forwards!(&E, Box<E>, std::sync::Arc<E>);

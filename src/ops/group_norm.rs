//! Group norm (Wu & He 2018) and the product with the Jacobian of its normalisation, each in two passes over memory.
//!
//! With x̂ = (x - mean)/√(variance + ε) over the n numbers of a group, the Jacobian of x ↦ x̂ is J = (I - 11ᵀ/n -
//! x̂x̂ᵀ/n)/√(variance + ε). It is symmetric, so that one operation is both pull-back and tangent.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Tensor, Var};

use super::backend::Backend;
use super::cpu::group_norm as kernels;
use super::cpu::{Output, wanted};
#[cfg(feature = "cuda")]
use super::cuda::{access::Output as OnGpu, group_norm as gpu};
use super::order::Order;
use super::{composed, shapes};
use crate::{Error, Result};

/// The group norm y = γ∘x̂ + β, with x̂ normalised over each of `groups` groups of channels of each item.
///
/// # Shapes
/// x `[B, C, ..]`, γ = `gain` and β = `shift` `[C]`, y of x's shape.
///
/// # Errors
/// The shapes do not fit, or `groups` does not divide C.
pub fn group_norm(x: &Tensor, gain: &Tensor, shift: &Tensor, groups: usize) -> Result<Tensor> {
    check(x, groups)?;
    if gain.dims() != [x.dims()[1]] || shift.dims() != gain.dims() {
        let (x, gain, shift) = (x.dims(), gain.dims(), shift.dims());
        return Err(Error::Other(format!("group norm: x {x:?}, γ {gain:?} and β {shift:?} do not fit")));
    }
    Ok(match Backend::of_entries(&[x, gain, shift]) {
        Backend::Kernels => {
            let by = Division::of(groups, &[x], &[gain, shift]);
            let (laid, gain, shift) = (by.order.lay(x)?, gain.contiguous()?, shift.contiguous()?);
            by.order.images(&laid.apply_op3(&gain, &shift, Norm(by))?)?
        }
        Backend::Composed => composed::group_norm(x, gain, shift, groups)?,
    })
}

/// The product J t with the Jacobian J of x ↦ x̂ at x: t and the result of x's shape. It is differentiable in both.
///
/// # Errors
/// x and t differ in shape, or `groups` does not divide the channels.
pub fn group_norm_jacobian(x: &Tensor, t: &Tensor, groups: usize) -> Result<Tensor> {
    check(x, groups)?;
    shapes::same("group norm", x, t)?;
    Ok(match Backend::of_entries(&[x, t]) {
        Backend::Kernels => {
            let by = Division::of(groups, &[x, t], &[]);
            by.order.images(&by.order.lay(x)?.apply_op2(&by.order.lay(t)?, Jacobian(by))?)?
        }
        Backend::Composed => composed::group_norm_jacobian(x, t, groups)?,
    })
}

/// The pull-back of [`group_norm`], J (γ∘g): g and the result of x's shape. It is differentiable in x, γ and g.
///
/// # Errors
/// x and g differ in shape, or γ does not fit.
pub fn group_norm_pullback(x: &Tensor, gain: &Tensor, g: &Tensor, groups: usize) -> Result<Tensor> {
    check(x, groups)?;
    shapes::same("group norm", x, g)?;
    if gain.dims() != [x.dims()[1]] {
        return Err(Error::Other(format!("group norm: x {:?} and γ {:?} do not fit", x.dims(), gain.dims())));
    }
    let tracked = [x, gain, g].iter().any(|t| t.track_op());
    if !tracked && Backend::of_entries(&[x, gain, g]) == Backend::Kernels {
        let by = Division::of(groups, &[x, g], &[gain]);
        let pulled = by.order.lay(x)?.apply_op3_no_bwd(&by.order.lay(g)?, &gain.contiguous()?, &Jacobian(by))?;
        return Ok(by.order.images(&pulled)?);
    }
    group_norm_jacobian(x, &by_channel(gain, g)?, groups)
}

/// The product γ∘t, channel by channel: γ `[C]`, t `[B, C, ..]`, differentiable in both.
///
/// # Errors
/// The shapes do not fit.
pub fn by_channel(gain: &Tensor, t: &Tensor) -> Result<Tensor> {
    let mut shape = vec![t.dim(0)?, gain.elem_count()];
    shape.resize(t.rank(), 1);
    Ok(t.broadcast_mul(&super::repeated(gain, t.dim(0)?)?.reshape(shape)?)?)
}

/// The gradients for γ and β, `[C]` each, from those for the output, g of x's shape. They are not differentiated.
///
/// # Errors
/// x and g differ in shape, or `groups` does not divide the channels.
pub fn group_norm_parameters(x: &Tensor, g: &Tensor, groups: usize) -> Result<(Tensor, Tensor)> {
    check(x, groups)?;
    shapes::same("group norm", x, g)?;
    if Backend::of_entries(&[x, g]) == Backend::Kernels {
        let by = Division::of(groups, &[x, g], &[]);
        return Ok(parameters(&by.order.lay(x)?, &by.order.lay(g)?, by)?);
    }
    let [gain, shift] = [1.0, 0.0].map(|v| Tensor::full(v, x.dims()[1], x.device())?.to_dtype(x.dtype()));
    let (gain, shift) = (Var::from_tensor(&gain?)?, Var::from_tensor(&shift?)?);
    let mut store = (composed::group_norm(x, &gain, &shift, groups)? * g)?.sum_all()?.backward()?;
    let mut of = |p: &Var| store.remove(p).map_or_else(|| p.zeros_like(), |g| Ok(g.detach()));
    Ok((of(&gain)?, of(&shift)?))
}

/// Whether x `[B, C, ..]` has channels that can be grouped so; an error if not.
fn check(x: &Tensor, groups: usize) -> Result<()> {
    match x.dims() {
        &[_, channels, ..] if groups > 0 && channels.is_multiple_of(groups) => Ok(()),
        dims => Err(Error::Other(format!("group norm: {dims:?} has no channels that make {groups} equal groups"))),
    }
}

/// What the kernels are told of x: the number of groups, and how it lies, with what is of its shape.
#[derive(Clone, Copy)]
struct Division {
    groups: usize,
    order: Order,
}

impl Division {
    /// The division for images, beside other tensors. The kernels of the CPU know the usual order alone, as does all
    /// that is tracked.
    fn of(groups: usize, images: &[&Tensor], beside: &[&Tensor]) -> Self {
        let usual = images.iter().chain(beside).any(|t| t.track_op() || t.device().is_cpu());
        Division { groups, order: if usual { Order::First } else { Order::of(images) } }
    }
}

/// What [`group_norm_parameters`] gives, by kernels.
fn parameters(x: &Tensor, g: &Tensor, by: Division) -> candle_core::Result<(Tensor, Tensor)> {
    let both = x.apply_op2_no_bwd(g, &Sums(by))?;
    Ok((both.get(0)?, both.get(1)?))
}

/// The operation (x, γ, β) ↦ γ∘x̂ + β.
struct Norm(Division);

impl CustomOp3 for Norm {
    fn name(&self) -> &'static str {
        "group norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, y: &CpuStorage, ly: &Layout, b: &CpuStorage, lb: &Layout) -> Output {
        kernels::norm((x, lx), (y, ly), (b, lb), self.0.groups)
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        lx: &Layout,
        y: &CudaStorage,
        ly: &Layout,
        b: &CudaStorage,
        lb: &Layout,
    ) -> OnGpu {
        gpu::norm((x, lx), (y, ly), (b, lb), (self.0.groups, self.0.order))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gain: &Tensor,
        shift: &Tensor,
        _: &Tensor,
        g: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (g, by) = (&g.contiguous()?, self.0);
        let gx = wanted(x, || x.apply_op3_no_bwd(g, gain, &Jacobian(by)))?;
        if !gain.track_op() && !shift.track_op() {
            return Ok((gx, None, None));
        }
        let (for_gain, for_shift) = parameters(x, g, by)?;
        Ok((gx, wanted(gain, || Ok(for_gain))?, wanted(shift, || Ok(for_shift))?))
    }
}

/// The operation (x, t) ↦ J t, or (x, t, γ) ↦ J (γ∘t), which is not differentiated.
struct Jacobian(Division);

impl CustomOp2 for Jacobian {
    fn name(&self) -> &'static str {
        "Jacobian of group norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, t: &CpuStorage, lt: &Layout) -> Output {
        kernels::jacobian((x, lx), (t, lt), None, self.0.groups)
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, lx: &Layout, t: &CudaStorage, lt: &Layout) -> OnGpu {
        gpu::jacobian((x, lx), (t, lt), None, (self.0.groups, self.0.order))
    }

    /// J is symmetric; how it changes with x is left to candle.
    fn bwd(
        &self,
        x: &Tensor,
        t: &Tensor,
        _: &Tensor,
        h: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let h = &h.contiguous()?;
        let gx = wanted(x, || {
            let at = Var::from_tensor(&x.detach())?;
            let bent = composed::group_norm_jacobian(&at, &t.detach(), self.0.groups)?;
            let mut store = (bent * h)?.sum_all()?.backward()?;
            store.remove(&at).map_or_else(|| at.zeros_like(), |g| Ok(g.detach()))
        })?;
        Ok((gx, wanted(t, || x.apply_op2_no_bwd(h, self))?))
    }
}

impl CustomOp3 for Jacobian {
    fn name(&self) -> &'static str {
        CustomOp2::name(self)
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, t: &CpuStorage, lt: &Layout, y: &CpuStorage, ly: &Layout) -> Output {
        kernels::jacobian((x, lx), (t, lt), Some((y, ly)), self.0.groups)
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        lx: &Layout,
        t: &CudaStorage,
        lt: &Layout,
        y: &CudaStorage,
        ly: &Layout,
    ) -> OnGpu {
        gpu::jacobian((x, lx), (t, lt), Some((y, ly)), (self.0.groups, self.0.order))
    }
}

/// The operation (x, g) ↦ [Σ g∘x̂; Σ g] over the numbers of each channel, `[2, C]`. It is used in backward passes only.
struct Sums(Division);

impl CustomOp2 for Sums {
    fn name(&self) -> &'static str {
        "sums of group norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, g: &CpuStorage, lg: &Layout) -> Output {
        kernels::sums((x, lx), (g, lg), self.0.groups)
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, lx: &Layout, g: &CudaStorage, lg: &Layout) -> OnGpu {
        gpu::parameters((x, lx), (g, lg), (self.0.groups, self.0.order))
    }
}

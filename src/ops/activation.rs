//! The activations σ as differentiable operations: value, pull-back, and first- and second-order tangent pass, one pass
//! over memory each.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Tensor};

use super::backend::Backend;
use super::cpu::Output;
use super::cpu::activation as kernels;
#[cfg(feature = "cuda")]
use super::cuda::{access::Output as OnGpu, activation as gpu};
use super::order::Order;
use super::{Activation, composed, shapes};
use crate::{Error, Result};

/// The activation σ(u), of u's shape.
///
/// # Errors
/// The device fails.
pub fn activate(act: Activation, u: &Tensor) -> Result<Tensor> {
    let order = Order::of(&[u]);
    Ok(match Backend::of_entries(&[u]) {
        Backend::Kernels => order.images(&order.lay(u)?.apply_op1(Value(act))?)?,
        Backend::Composed => composed::activate(act, u)?,
    })
}

/// The product σ'(u)·v, entry by entry: pull-back and tangent of [`activate`]. It is differentiable in u and v.
///
/// # Errors
/// u and v differ in shape.
pub fn activate_pullback(act: Activation, u: &Tensor, v: &Tensor) -> Result<Tensor> {
    shapes::same("activation pull-back", u, v)?;
    let order = Order::of(&[u, v]);
    Ok(match Backend::of_entries(&[u, v]) {
        Backend::Kernels => order.images(&order.lay(u)?.apply_op2(&order.lay(v)?, Pullback(act))?)?,
        Backend::Composed => composed::activate_pullback(act, u, v)?,
    })
}

/// The tangent pass of [`activate`] on values u and tangents u̇ stacked: [u; u̇] `[2B, ..]` -> [σ(u); σ'(u)·u̇].
///
/// # Errors
/// The first dimension is odd.
pub fn activate_jet(act: Activation, stacked: &Tensor) -> Result<Tensor> {
    shapes::splits(stacked, 2)?;
    let order = Order::of(&[stacked]);
    Ok(match Backend::of_entries(&[stacked]) {
        Backend::Kernels => order.images(&order.lay(stacked)?.apply_op1(Jet(act))?)?,
        Backend::Composed => composed::activate_jet(act, stacked)?,
    })
}

/// The second-order tangent pass of [`activate`] along a curve, of `blocks` = 3 stacked blocks [u; u'; u''], or 2 where
/// u'' = 0, to three blocks [σ(u); σ'(u)·u'; σ''(u)·u'² + σ'(u)·u''].
///
/// # Errors
/// `blocks` is another number, or the rows cannot be divided into so many blocks.
pub fn activate_curve(act: Activation, stacked: &Tensor, blocks: usize) -> Result<Tensor> {
    if !(2..=3).contains(&blocks) {
        return Err(Error::Other(format!("a curve has 2 or 3 blocks of rows, not {blocks}")));
    }
    shapes::splits(stacked, blocks)?;
    let order = Order::of(&[stacked]);
    Ok(match Backend::of_entries(&[stacked]) {
        Backend::Kernels => order.images(&order.lay(stacked)?.apply_op1(Curved { act, blocks })?)?,
        Backend::Composed => composed::activate_curve(act, stacked, blocks)?,
    })
}

/// The operation u ↦ σ(u), entry by entry.
#[derive(Clone, Copy)]
struct Value(Activation);

impl CustomOp1 for Value {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn cpu_fwd(&self, u: &CpuStorage, l: &Layout) -> Output {
        kernels::value(self.0, (u, l))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, u: &CudaStorage, l: &Layout) -> OnGpu {
        gpu::value(self.0, (u, l))
    }

    fn bwd(&self, u: &Tensor, _: &Tensor, g: &Tensor) -> candle_core::Result<Option<Tensor>> {
        u.apply_op2_no_bwd(&g.contiguous()?, &Pullback(self.0)).map(Some)
    }
}

/// The operation (u, v) ↦ σ'(u)·v, entry by entry: the pull-back of [`Value`].
#[derive(Clone, Copy)]
struct Pullback(Activation);

impl CustomOp2 for Pullback {
    fn name(&self) -> &'static str {
        "activation pull-back"
    }

    fn cpu_fwd(&self, u: &CpuStorage, lu: &Layout, v: &CpuStorage, lv: &Layout) -> Output {
        kernels::pullback(self.0, (u, lu), (v, lv))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, u: &CudaStorage, lu: &Layout, v: &CudaStorage, lv: &Layout) -> OnGpu {
        gpu::pullback(self.0, (u, lu), (v, lv))
    }

    fn bwd(
        &self,
        u: &Tensor,
        v: &Tensor,
        _: &Tensor,
        g: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let g = &g.contiguous()?;
        match (u.track_op(), v.track_op()) {
            (true, true) => {
                let both = u.apply_op3_no_bwd(v, g, &Bend { act: self.0, slope_too: true })?;
                Ok((Some(both.get(0)?), Some(both.get(1)?)))
            }
            (true, false) => {
                let bend = u.apply_op3_no_bwd(v, g, &Bend { act: self.0, slope_too: false })?;
                Ok((Some(bend), None))
            }
            (false, tracked) => {
                Ok((None, if tracked { Some(u.apply_op2_no_bwd(g, &Pullback(self.0))?) } else { None }))
            }
        }
    }
}

/// The operation (u, v, g) ↦ σ''(u)·v·g, of u's shape, or on request [σ''(u)·v·g; σ'(u)·g] of shape `[2, ..]`. It is
/// used in backward passes only.
struct Bend {
    act: Activation,
    slope_too: bool,
}

impl CustomOp3 for Bend {
    fn name(&self) -> &'static str {
        "backward of activation pull-back"
    }

    fn cpu_fwd(&self, u: &CpuStorage, lu: &Layout, v: &CpuStorage, lv: &Layout, g: &CpuStorage, lg: &Layout) -> Output {
        kernels::bend(self.act, (u, lu), (v, lv), (g, lg), self.slope_too)
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        u: &CudaStorage,
        lu: &Layout,
        v: &CudaStorage,
        lv: &Layout,
        g: &CudaStorage,
        lg: &Layout,
    ) -> OnGpu {
        gpu::bend(self.act, (u, lu), (v, lv), (g, lg), self.slope_too)
    }
}

/// The operation [u; u̇] ↦ [σ(u); σ'(u)·u̇]; `[a; b]` are equal halves along the first dimension.
#[derive(Clone, Copy)]
struct Jet(Activation);

impl CustomOp1 for Jet {
    fn name(&self) -> &'static str {
        "activation jet"
    }

    fn cpu_fwd(&self, uu: &CpuStorage, l: &Layout) -> Output {
        kernels::jet(self.0, (uu, l))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, uu: &CudaStorage, l: &Layout) -> OnGpu {
        gpu::jet(self.0, (uu, l))
    }

    fn bwd(&self, uu: &Tensor, _: &Tensor, g: &Tensor) -> candle_core::Result<Option<Tensor>> {
        uu.apply_op2_no_bwd(&g.contiguous()?, &JetBackward(self.0)).map(Some)
    }
}

/// The operation ([u; u̇], [g; ġ]) ↦ [σ'g + σ''u̇ġ; σ'ġ] with the derivatives of σ at u, where g and ġ are the
/// gradients for the two outputs of [`Jet`]. It is used in backward passes only.
struct JetBackward(Activation);

impl CustomOp2 for JetBackward {
    fn name(&self) -> &'static str {
        "backward of activation jet"
    }

    fn cpu_fwd(&self, uu: &CpuStorage, lu: &Layout, gg: &CpuStorage, lg: &Layout) -> Output {
        kernels::jet_backward(self.0, (uu, lu), (gg, lg))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, uu: &CudaStorage, lu: &Layout, gg: &CudaStorage, lg: &Layout) -> OnGpu {
        gpu::jet_backward(self.0, (uu, lu), (gg, lg))
    }
}

/// The operation [u; u'] or [u; u'; u''] ↦ [σ(u); σ'u'; σ''u'² + σ'u''], with the derivatives of σ at u: the
/// second-order chain rule along a curve. `[a; b; c]` are equal blocks along the first dimension; two blocks stand for
/// u'' = 0.
#[derive(Clone, Copy)]
struct Curved {
    act: Activation,
    /// The number of blocks of the input: 2 or 3.
    blocks: usize,
}

impl CustomOp1 for Curved {
    fn name(&self) -> &'static str {
        "activation along a curve"
    }

    fn cpu_fwd(&self, stacked: &CpuStorage, l: &Layout) -> Output {
        kernels::curve(self.act, (stacked, l), self.blocks)
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, stacked: &CudaStorage, l: &Layout) -> OnGpu {
        gpu::curve(self.act, (stacked, l), self.blocks)
    }

    fn bwd(&self, stacked: &Tensor, _: &Tensor, g: &Tensor) -> candle_core::Result<Option<Tensor>> {
        stacked.apply_op2_no_bwd(&g.contiguous()?, &CurvedBackward(*self)).map(Some)
    }
}

/// The operation ([u; u'; u''], [a; b; c]) ↦ [σ'a + σ''u'b + (σ'''u'² + σ''u'')c; σ'b + 2σ''u'c; σ'c], where a, b and c
/// are the gradients for the three outputs of [`Curved`]. The last block is left out where u'' = 0 has none. It is used
/// in backward passes only.
struct CurvedBackward(Curved);

impl CustomOp2 for CurvedBackward {
    fn name(&self) -> &'static str {
        "backward of activation along a curve"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, g: &CpuStorage, lg: &Layout) -> Output {
        kernels::curve_backward(self.0.act, (x, lx), (g, lg), self.0.blocks)
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, lx: &Layout, g: &CudaStorage, lg: &Layout) -> OnGpu {
        gpu::curve_backward(self.0.act, (x, lx), (g, lg), self.0.blocks)
    }
}

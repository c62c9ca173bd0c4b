//! The activations σ as differentiable operations: value, pull-back, and first- and second-order tangent pass, one pass
//! over memory each.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};

use super::{
    Activation,
    access::{on_floats, output, slice},
    curve::{Curve, with_curve},
    raw::map,
    real::Real,
};

type Output = Result<(CpuStorage, Shape)>;

/// The operation u ↦ σ(u), entry by entry.
#[derive(Clone, Copy)]
pub struct Value(pub Activation);

impl CustomOp1 for Value {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn cpu_fwd(&self, u: &CpuStorage, l: &Layout) -> Output {
        with_curve!(self.0, c => on_floats!(u, T => {
            output(map([slice::<T>(u, l)?], #[inline(always)] |[u]| { let [y, ..] = c.jet(u); [y] })?, l.shape())
        }))
    }

    fn bwd(&self, u: &Tensor, _: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        u.apply_op2_no_bwd(&g.contiguous()?, &Pullback(self.0)).map(Some)
    }
}

/// The operation (u, v) ↦ σ'(u)·v, entry by entry: the pull-back of [`Value`].
#[derive(Clone, Copy)]
pub struct Pullback(pub Activation);

impl CustomOp2 for Pullback {
    fn name(&self) -> &'static str {
        "activation pull-back"
    }

    fn cpu_fwd(&self, u: &CpuStorage, lu: &Layout, v: &CpuStorage, lv: &Layout) -> Output {
        with_curve!(self.0, c => on_floats!(u, T => {
            let sources = [slice::<T>(u, lu)?, slice(v, lv)?];
            let pulled = map(sources, #[inline(always)] |[u, v]: [T; 2]| {
                let [_, slope, ..] = c.jet(u);
                [slope * v]
            })?;
            output(pulled, lu.shape())
        }))
    }

    fn bwd(&self, u: &Tensor, v: &Tensor, _: &Tensor, g: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
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

impl candle_core::CustomOp3 for Bend {
    fn name(&self) -> &'static str {
        "backward of activation pull-back"
    }

    fn cpu_fwd(&self, u: &CpuStorage, lu: &Layout, v: &CpuStorage, lv: &Layout, g: &CpuStorage, lg: &Layout) -> Output {
        with_curve!(self.act, c => on_floats!(u, T => {
            let sources = [slice::<T>(u, lu)?, slice(v, lv)?, slice(g, lg)?];
            if self.slope_too {
                let both = map(sources, #[inline(always)] |[u, v, g]: [T; 3]| {
                    let [_, slope, bend, _] = c.jet(u);
                    [bend * v * g, slope * g]
                })?;
                output(both, [&[2], lu.dims()].concat())
            } else {
                let bent = map(sources, #[inline(always)] |[u, v, g]: [T; 3]| {
                    let [_, _, bend, _] = c.jet(u);
                    [bend * v * g]
                })?;
                output(bent, lu.shape())
            }
        }))
    }
}

/// The operation [u; u̇] ↦ [σ(u); σ'(u)·u̇]; `[a; b]` are equal halves along the first dimension.
#[derive(Clone, Copy)]
pub struct Jet(pub Activation);

impl CustomOp1 for Jet {
    fn name(&self) -> &'static str {
        "activation jet"
    }

    fn cpu_fwd(&self, uu: &CpuStorage, l: &Layout) -> Output {
        with_curve!(self.0, c => on_floats!(uu, T => {
            let jet = map(blocks::<T, 2>(uu, l)?, #[inline(always)] |[u, du]: [T; 2]| {
                let [y, slope, ..] = c.jet(u);
                [y, slope * du]
            })?;
            output(jet, l.shape())
        }))
    }

    fn bwd(&self, uu: &Tensor, _: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
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
        with_curve!(self.0, c => on_floats!(uu, T => {
            let ([u, du], [g, dg]) = (blocks::<T, 2>(uu, lu)?, blocks::<T, 2>(gg, lg)?);
            output(map([u, du, g, dg], #[inline(always)] |[u, du, g, dg]: [T; 4]| {
                let [_, slope, bend, _] = c.jet(u);
                [slope * g + bend * du * dg, slope * dg]
            })?, lu.shape())
        }))
    }
}

/// The operation [u; u'] or [u; u'; u''] ↦ [σ(u); σ'u'; σ''u'² + σ'u''], with the derivatives of σ at u: the
/// second-order chain rule along a curve. `[a; b; c]` are equal blocks along the first dimension; two blocks stand for
/// u'' = 0.
#[derive(Clone, Copy)]
pub struct Curved {
    /// The activation σ.
    pub act: Activation,
    /// The number of blocks of the input: 2 or 3.
    pub blocks: usize,
}

impl CustomOp1 for Curved {
    fn name(&self) -> &'static str {
        "activation along a curve"
    }

    fn cpu_fwd(&self, stacked: &CpuStorage, l: &Layout) -> Output {
        let mut shape = l.dims().to_vec();
        shape.iter_mut().take(1).for_each(|rows| *rows = *rows / self.blocks * 3);
        with_curve!(self.act, c => on_floats!(stacked, T => {
            if self.blocks == 2 {
                output(map(blocks::<T, 2>(stacked, l)?, #[inline(always)] |[u, du]: [T; 2]| {
                    let [y, slope, bend, _] = c.jet(u);
                    [y, slope * du, bend * du * du]
                })?, shape)
            } else {
                output(map(blocks::<T, 3>(stacked, l)?, #[inline(always)] |[u, du, ddu]: [T; 3]| {
                    let [y, slope, bend, _] = c.jet(u);
                    [y, slope * du, bend * du * du + slope * ddu]
                })?, shape)
            }
        }))
    }

    fn bwd(&self, stacked: &Tensor, _: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
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
        with_curve!(self.0.act, f => on_floats!(x, T => {
            let ([a, b, c], two) = (blocks::<T, 3>(g, lg)?, T::of(2.0));
            if self.0.blocks == 2 {
                let [u, du] = blocks::<T, 2>(x, lx)?;
                output(map([u, du, a, b, c], #[inline(always)] |[u, du, a, b, c]: [T; 5]| {
                    let [_, slope, bend, third] = f.jet(u);
                    [slope * a + bend * du * b + third * du * du * c, slope * b + two * bend * du * c]
                })?, lx.shape())
            } else {
                let [u, du, ddu] = blocks::<T, 3>(x, lx)?;
                output(map([u, du, ddu, a, b, c], #[inline(always)] |[u, du, ddu, a, b, c]: [T; 6]| {
                    let [_, slope, bend, third] = f.jet(u);
                    let first = slope * a + bend * du * b + (third * du * du + bend * ddu) * c;
                    [first, slope * b + two * bend * du * c, slope * c]
                })?, lx.shape())
            }
        }))
    }
}

/// The N equal blocks of a contiguous tensor along its first dimension.
fn blocks<'a, T: Real, const N: usize>(storage: &'a CpuStorage, layout: &Layout) -> Result<[&'a [T]; N]> {
    let all = slice::<T>(storage, layout)?;
    let mut parts = all.chunks_exact((all.len() / N).max(1));
    Ok(std::array::from_fn(|_| parts.next().unwrap_or_default()))
}

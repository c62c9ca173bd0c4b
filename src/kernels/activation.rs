//! Activations, their pull-back and their tangent pass as differentiable operations, one pass over memory each.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};

use super::{
    Activation,
    access::{on_floats, output, slice},
    curve::{Curve, with_curve},
    raw::map,
    real::Real,
};

type Output = Result<(CpuStorage, Shape)>;

/// u ↦ σ(u).
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

/// (u, v) ↦ σ'(u)·v.
#[derive(Clone, Copy)]
pub struct Pullback(pub Activation);

impl CustomOp2 for Pullback {
    fn name(&self) -> &'static str {
        "activation pull-back"
    }

    fn cpu_fwd(&self, u: &CpuStorage, lu: &Layout, v: &CpuStorage, lv: &Layout) -> Output {
        with_curve!(self.0, c => on_floats!(u, T => {
            output(map([slice::<T>(u, lu)?, slice(v, lv)?], #[inline(always)] |[u, v]: [T; 2]| { let [_, slope, _] = c.jet(u); [slope * v] })?, lu.shape())
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

/// (u, v, g) ↦ σ''(u)·v·g, and σ'(u)·g behind it on request: shape `[2, ..]`. Used in backward passes only.
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
                output(map(sources, #[inline(always)] |[u, v, g]: [T; 3]| { let [_, slope, bend] = c.jet(u); [bend * v * g, slope * g] })?, [&[2], lu.dims()].concat())
            } else {
                output(map(sources, #[inline(always)] |[u, v, g]: [T; 3]| { let [_, _, bend] = c.jet(u); [bend * v * g] })?, lu.shape())
            }
        }))
    }
}

/// [u; u̇] ↦ [σ(u); σ'(u)·u̇], halves along the first dimension.
#[derive(Clone, Copy)]
pub struct Jet(pub Activation);

impl CustomOp1 for Jet {
    fn name(&self) -> &'static str {
        "activation jet"
    }

    fn cpu_fwd(&self, uu: &CpuStorage, l: &Layout) -> Output {
        with_curve!(self.0, c => on_floats!(uu, T => {
            output(map(halves::<T>(uu, l)?, #[inline(always)] |[u, du]: [T; 2]| { let [y, slope, _] = c.jet(u); [y, slope * du] })?, l.shape())
        }))
    }

    fn bwd(&self, uu: &Tensor, _: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        uu.apply_op2_no_bwd(&g.contiguous()?, &JetBackward(self.0)).map(Some)
    }
}

/// ([u; u̇], [g; ġ]) ↦ [σ'g + σ''u̇ġ; σ'ġ]. Used in backward passes only.
struct JetBackward(Activation);

impl CustomOp2 for JetBackward {
    fn name(&self) -> &'static str {
        "backward of activation jet"
    }

    fn cpu_fwd(&self, uu: &CpuStorage, lu: &Layout, gg: &CpuStorage, lg: &Layout) -> Output {
        with_curve!(self.0, c => on_floats!(uu, T => {
            let ([u, du], [g, dg]) = (halves::<T>(uu, lu)?, halves(gg, lg)?);
            output(map([u, du, g, dg], #[inline(always)] |[u, du, g, dg]: [T; 4]| {
                let [_, slope, bend] = c.jet(u);
                [slope * g + bend * du * dg, slope * dg]
            })?, lu.shape())
        }))
    }
}

fn halves<'a, T: Real>(storage: &'a CpuStorage, layout: &Layout) -> Result<[&'a [T]; 2]> {
    let all = slice::<T>(storage, layout)?;
    let (value, tangent) = all.split_at(all.len() / 2);
    Ok([value, tangent])
}

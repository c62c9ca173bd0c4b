//! Spectral normalisation (Miyato et al. 2018): a weight whose largest singular value is 1.

use candle_core::Tensor;

use super::{Builder, Init};
use crate::Result;

/// Power iterations done when a weight is made, so that σ means something before the first step.
const WARM_UP: usize = 15;

/// The weight of a linear map or a convolution, plain or spectrally normalised.
#[derive(Clone)]
pub struct Weight {
    raw: Tensor,
    singular: Option<Singular>,
}

/// Estimates of the leading singular vectors of the weight as a matrix `[O, I·K·K]`: u `[O]`, v `[I·K·K]`.
#[derive(Clone)]
struct Singular {
    u: Tensor,
    v: Tensor,
}

impl Weight {
    /// A weight called `weight`, its first dimension the outputs; with `spectral`, also the buffers `u` and `v`.
    pub fn new(builder: &Builder, shape: &[usize], init: Init, spectral: bool) -> Result<Self> {
        let raw = builder.weight("weight", shape, init)?;
        let (rows, columns) = raw.flatten_from(1)?.dims2()?;
        let vector = |name: &str, n: usize| builder.buffer(name, &[n], Init::Normal(1.0));
        let singular = match spectral {
            true => Some(Singular { u: vector("u", rows)?, v: vector("v", columns)? }),
            false => None,
        };
        let weight = Weight { raw, singular };
        for _ in 0..if builder.is_new() { WARM_UP } else { 0 } {
            weight.power_iterate()?;
        }
        Ok(weight)
    }

    /// W, or W/σ(W) with σ = uᵀ W v, where u and v are constants: ∂σ/∂W = u vᵀ (eq. 9 and appendix A of the paper).
    ///
    /// A pass only reads u and v, so that it is a pure function; [`Weight::power_iterate`] moves them between steps.
    pub fn get(&self) -> Result<Tensor> {
        let Some(Singular { u, v }) = &self.singular else { return Ok(self.raw.clone()) };
        let wv = self.raw.flatten_from(1)?.matmul(&v.unsqueeze(1)?)?;
        let sigma = u.unsqueeze(0)?.matmul(&wv)?;
        Ok(self.raw.broadcast_div(&sigma.reshape(vec![1; self.raw.rank()])?)?)
    }

    /// v ← Wᵀu/‖Wᵀu‖, u ← Wv/‖Wv‖, in place and without a graph.
    pub fn power_iterate(&self) -> Result<()> {
        let Some(Singular { u, v }) = &self.singular else { return Ok(()) };
        let w = self.raw.detach().flatten_from(1)?;
        let next_v = unit(&u.unsqueeze(0)?.matmul(&w)?.squeeze(0)?)?;
        let next_u = unit(&w.matmul(&next_v.unsqueeze(1)?)?.squeeze(1)?)?;
        v.slice_set(&next_v, 0, 0)?;
        Ok(u.slice_set(&next_u, 0, 0)?)
    }
}

/// x/‖x‖; the floor keeps a zero weight from giving NaN.
fn unit(x: &Tensor) -> Result<Tensor> {
    let norm = x.sqr()?.sum_all()?.sqrt()?;
    Ok(x.broadcast_div(&norm.maximum(1e-12)?)?)
}

//! The noise level as an input of a network.

use candle_core::Tensor;

use super::layer_list::number;
use super::{Builder, Curve, Jet, Layer, LayerList, Linear, Nonlinear, NonlinearName, Pass, Pullback, Scaling};
use crate::{Error, Result};

/// The functions of a noise level that a network reads: c = ¼ ln σ, sin ωc and cos ωc (the scale of c: Karras et al.
/// 2022, "Elucidating the design space of diffusion-based generative models", table 1).
pub const LEVEL_FEATURES: usize = 9;

/// The frequencies ω, in radians per unit of c.
pub const LEVEL_FREQUENCIES: [f32; 4] = [1.0, 2.0, 4.0, 8.0];

/// The functions of the noise levels: ln σ `[B]` -> `[B, 9]`.
///
/// # Errors
/// The device fails.
pub fn level_features(log_sigma: &Tensor) -> Result<Tensor> {
    let c = log_sigma.affine(0.25, 0.0)?.unsqueeze(1)?;
    let frequencies = Tensor::new(&LEVEL_FREQUENCIES, log_sigma.device())?.to_dtype(log_sigma.dtype())?;
    let phases = c.broadcast_mul(&frequencies)?;
    Ok(Tensor::cat(&[&c, &phases.sin()?, &phases.cos()?], 1)?)
}

/// The derivatives of [`level_features`] in ln σ: ln σ `[B]` -> `[B, 9]`.
///
/// # Errors
/// The device fails.
pub fn level_slopes(log_sigma: &Tensor) -> Result<Tensor> {
    let features = level_features(log_sigma)?;
    let part = |from: usize| features.narrow(1, from, LEVEL_FREQUENCIES.len());
    let speeds = Tensor::new(&LEVEL_FREQUENCIES, log_sigma.device())?.to_dtype(log_sigma.dtype())?.affine(0.25, 0.0)?;
    let (sin, cos) = (part(1)?, part(1 + LEVEL_FREQUENCIES.len())?);
    let along = log_sigma.unsqueeze(1)?.affine(0.0, 0.25)?;
    Ok(Tensor::cat(&[along, cos.broadcast_mul(&speeds)?, sin.broadcast_mul(&speeds.neg()?)?], 1)?)
}

/// The layer y = x + V swish(U e(σ) + u) + v, the same number at every pixel of a channel, where e are the
/// [`level_features`] of the level that the [`Pass`] tells (Ho, Jain, Abbeel 2020, "Denoising diffusion probabilistic
/// models", appendix B).
///
/// # Shapes
/// x and y `[B, C, ..]`, ln σ `[B]`, U `[H, 9]`, V `[C, H]`.
pub struct TimeEmbedding {
    inner: Linear,
    bend: Nonlinear,
    outer: Linear,
}

impl TimeEmbedding {
    /// A layer for items of this many channels, with H = `units`.
    ///
    /// # Errors
    /// As [`Builder::weight`].
    pub fn new(builder: &Builder, channels: usize, units: usize) -> Result<Self> {
        Ok(TimeEmbedding {
            inner: Linear::new(&builder.sub("inner"), LEVEL_FEATURES, units, Scaling::Free)?,
            bend: Nonlinear::new(builder, NonlinearName::Swish, units, false)?,
            outer: Linear::new(&builder.sub("outer"), units, channels, Scaling::Free)?,
        })
    }

    fn units(&self) -> usize {
        self.inner.tensors().first().and_then(|(_, w)| w.dims().first().copied()).unwrap_or_default()
    }

    /// What is added to x, of x's shape.
    fn shift(&self, x: &Tensor, pass: Pass) -> Result<Tensor> {
        let hidden = self.inner.forward(&level_features(told(pass)?)?, pass)?;
        Self::spread(&self.outer.forward(&self.bend.forward(&hidden, pass)?, pass)?, x)
    }

    /// What is added to x, with its slope in ln σ below it, of the shape of a jet `stacked` of x.
    fn moving_shift(&self, stacked: &Tensor, pass: Pass) -> Result<Tensor> {
        let level = told(pass)?;
        let hidden = self.inner.jvp(&Jet::new(&level_features(level)?, &level_slopes(level)?)?, pass)?;
        Self::spread(self.outer.jvp(&self.bend.jvp(&hidden, pass)?, pass)?.stacked(), stacked)
    }

    /// Numbers of the channels, `[N, C]`, at every pixel of items like x `[N, C, ..]`.
    fn spread(shift: &Tensor, x: &Tensor) -> Result<Tensor> {
        let mut narrow = vec![1; x.rank()];
        narrow.iter_mut().zip(shift.dims()).for_each(|(d, &size)| *d = size);
        Ok(shift.reshape(narrow)?.broadcast_as(x.shape())?)
    }

    /// Adds `shift` to the first of the blocks `[B, ..]` that are stacked along the batch.
    fn add(stacked: &Tensor, shift: &Tensor) -> Result<Tensor> {
        let mut rest = shift.dims().to_vec();
        rest.iter_mut().take(1).for_each(|items| *items = stacked.dims().first().unwrap_or(&0) - *items);
        let still = Tensor::zeros(rest, shift.dtype(), shift.device())?;
        Ok((stacked + Tensor::cat(&[shift, &still], 0)?)?)
    }
}

/// ln σ of the items of a pass, `[B]`.
fn told<'a>(pass: Pass<'a>) -> Result<&'a Tensor> {
    pass.level.ok_or_else(|| Error::Other("`time_embedding` is told no noise level".into()))
}

impl Layer for TimeEmbedding {
    fn forward(&self, x: &Tensor, pass: Pass) -> Result<Tensor> {
        Ok((x + self.shift(x, pass)?)?)
    }

    fn vjp<'a>(&'a self, x: &Tensor, pass: Pass) -> Result<(Tensor, Pullback<'a>)> {
        Ok((self.forward(x, pass)?, Box::new(|g| Ok(g.clone()))))
    }

    fn jvp(&self, x: &Jet, pass: Pass) -> Result<Jet> {
        if pass.level_moves {
            return x.linear(|xx| Ok((xx + self.moving_shift(xx, pass)?)?));
        }
        let shift = self.shift(&x.value()?, pass)?;
        x.linear(|xx| Self::add(xx, &shift))
    }

    fn curve(&self, x: &Curve, pass: Pass) -> Result<Curve> {
        let shift = self.shift(&x.value()?, pass)?;
        x.linear(|xx| Self::add(xx, &shift))
    }

    fn reads_level(&self) -> bool {
        true
    }

    /// Weight norm is set as if this layer added nothing.
    fn calibrate(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.clone())
    }

    fn list(&self) -> Result<LayerList> {
        let [inner, outer] = [&self.inner, &self.outer].map(Linear::tensors);
        let named = |path: &str, tensors: Vec<(&str, &Tensor)>| {
            tensors.into_iter().map(|(name, tensor)| (format!("{path}.{name}"), tensor.clone())).collect::<Vec<_>>()
        };
        let all = [named("inner", inner), named("outer", outer)].concat();
        let tensors: Vec<_> = all.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        Ok(LayerList::of("time_embedding", &[("units", number(self.units()))], &tensors))
    }
}

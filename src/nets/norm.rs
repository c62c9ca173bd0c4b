//! Group norm, and layer norm as its case of one group.

use candle_core::{D, Tensor};

use super::layer_list::number;
use super::{Builder, Curve, Gradients, Init, Jet, Layer, LayerList, Pass, Pullback, Tape};
use crate::ops::{self, NORM_EPSILON};
use crate::{Error, Result};

/// The layer y = γ∘x̂ + β with x̂ = (x - mean)/√(variance + ε), where mean and variance are those of each of the G
/// groups of channels of each item (Wu & He 2018). On vectors `[B, D]` with one group it is layer norm (Ba et al.
/// 2016).
///
/// # Shapes
/// x and y `[B, C, ..]`, γ and β `[C]`.
pub struct GroupNorm {
    groups: usize,
    gain: Tensor,
    shift: Tensor,
}

impl GroupNorm {
    /// Group norm of C = `channels` in G = `groups` groups, with γ = 1 and β = 0 at first.
    ///
    /// # Errors
    /// `groups` does not divide `channels`.
    pub fn new(builder: &Builder, channels: usize, groups: usize) -> Result<Self> {
        if groups == 0 || !channels.is_multiple_of(groups) {
            return Err(Error::config(format!(
                "group norm cannot split {channels} channels into {groups} equal groups; choose a divisor"
            ))
            .at("groups"));
        }
        let gain = builder.weight("gain", &[channels], Init::Constant(1.0))?;
        Ok(GroupNorm { groups, gain, shift: builder.weight("shift", &[channels], Init::Constant(0.0))? })
    }

    /// Layer norm of vectors `[B, width]`.
    pub fn layer(builder: &Builder, width: usize) -> Result<Self> {
        GroupNorm::new(builder, width, 1)
    }

    fn normalised(&self, x: &Tensor) -> Result<Tensor> {
        ops::group_norm(x, &self.gain, &self.shift, self.groups)
    }
}

impl Layer for GroupNorm {
    fn forward(&self, x: &Tensor, _: Pass) -> Result<Tensor> {
        self.normalised(x)
    }

    fn vjp<'a>(&'a self, x: &Tensor, _: Pass) -> Result<(Tensor, Pullback<'a>)> {
        let x = x.clone();
        let y = self.normalised(&x)?;
        Ok((y, Box::new(move |g| ops::group_norm_pullback(&x, &self.gain, g, self.groups))))
    }

    fn record(&self, x: &Tensor, _: Pass, tape: &mut Tape) -> Result<Tensor> {
        tape.push(x.clone());
        ops::group_norm(x, &self.gain.detach(), &self.shift.detach(), self.groups)
    }

    fn reverse(&self, g: &Tensor, tape: &mut Tape, grads: &mut Gradients, wanted: bool) -> Result<Option<Tensor>> {
        let x = tape.pop()?;
        let (gain, shift) = ops::group_norm_parameters(&x, g, self.groups)?;
        grads.add(&self.gain, gain)?;
        grads.add(&self.shift, shift)?;
        wanted.then(|| ops::group_norm_pullback(&x, &self.gain.detach(), g, self.groups)).transpose()
    }

    fn jvp(&self, x: &Jet, _: Pass) -> Result<Jet> {
        let (value, tangent) = (x.value()?, x.tangent()?);
        let along = ops::group_norm_jacobian(&value, &tangent, self.groups)?;
        Jet::new(&self.normalised(&value)?, &ops::by_channel(&self.gain, &along)?)
    }

    /// The curve of x̂ = c·r, with c the centred x, r = (m + ε)^-½ and m = mean c². Both factors are carried along the
    /// curve: m' = 2 mean(cc'), m'' = 2 mean(c'² + cc''); r' = -½r³m', r'' = ¾r⁵m'² - ½r³m''; then the product rule.
    fn curve(&self, x: &Curve, _: Pass) -> Result<Curve> {
        let mean = |t: &Tensor| t.mean_keepdim(D::Minus1);
        let centre = |t: &Tensor| -> Result<Tensor> {
            let each = t.dims().iter().skip(1).product::<usize>() / self.groups.max(1);
            let t = t.reshape((t.dim(0)?, self.groups, each))?;
            Ok(t.broadcast_sub(&mean(&t)?)?)
        };
        let value = x.value()?;
        let [c0, c1, c2] = [centre(&value)?, centre(&x.first()?)?, centre(&x.second()?)?];
        let r = (mean(&c0.sqr()?)? + NORM_EPSILON)?.sqrt()?.recip()?;
        let half_first = mean(&(&c0 * &c1)?)?;
        let half_second = mean(&(c1.sqr()? + (&c0 * &c2)?)?)?;
        let cube = (r.sqr()? * &r)?;
        let r1 = (&cube * &half_first)?.neg()?;
        let r2 = ((((&cube * r.sqr()?)? * half_first.sqr()?)? * 3.0)? - (&cube * &half_second)?)?;
        let first = (c1.broadcast_mul(&r)? + c0.broadcast_mul(&r1)?)?;
        let cross = (c1.broadcast_mul(&r1)? * 2.0)?;
        let second = ((c2.broadcast_mul(&r)? + cross)? + c0.broadcast_mul(&r2)?)?;
        let scaled = |t: Tensor| ops::by_channel(&self.gain, &t.reshape(value.dims())?);
        Curve::new(&self.normalised(&value)?, &scaled(first)?, &scaled(second)?)
    }

    fn list(&self) -> Result<LayerList> {
        let tensors = [("gain", &self.gain), ("shift", &self.shift)];
        Ok(LayerList::of("norm", &[("groups", number(self.groups))], &tensors))
    }
}

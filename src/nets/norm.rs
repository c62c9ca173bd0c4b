//! Group norm, and layer norm as its case of one group.

use candle_core::{D, Tensor};

use super::layer_list::number;
use super::{Builder, Curve, Init, Jet, Layer, LayerList, Pass, Pullback, linear::repeated};
use crate::{Error, Result};

/// The ε that is added to the variance.
const EPSILON: f64 = 1e-5;

/// The layer y = γ∘x̂ + β with x̂ = (x - mean)/√(variance + ε), where mean and variance are those of each of the G
/// groups of channels of each item (Wu & He 2018). On vectors `[B, D]` with one group it is layer norm (Ba et al.
/// 2016).
///
/// With n the numbers in a group, the Jacobian of x ↦ x̂ is J = (I - 11ᵀ/n - x̂x̂ᵀ/n)/√(variance + ε). It is symmetric,
/// so one function serves pull-back and tangent.
///
/// # Shapes
/// x and y `[B, C, ..]`, γ and β `[C]`.
pub struct GroupNorm {
    groups: usize,
    gain: Tensor,
    shift: Tensor,
}

/// The normalised numbers x̂ `[B, G, n]`, and 1/√(variance + ε) `[B, G, 1]`.
struct Normal {
    unit: Tensor,
    rate: Tensor,
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

    fn grouped(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.reshape((x.dim(0)?, self.groups, ()))?)
    }

    fn normalise(&self, x: &Tensor) -> Result<Normal> {
        let x = self.grouped(x)?;
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let rate = (centred.sqr()?.mean_keepdim(D::Minus1)? + EPSILON)?.sqrt()?.recip()?;
        Ok(Normal { unit: centred.broadcast_mul(&rate)?, rate })
    }

    /// The parameter γ or β, `[C]`, reshaped to be broadcast against `[B, C, ..]`.
    fn per_channel(&self, p: &Tensor, like: &Tensor) -> Result<Tensor> {
        let mut shape = vec![like.dim(0)?, p.elem_count()];
        shape.resize(like.rank(), 1);
        Ok(repeated(p, like.dim(0)?)?.reshape(shape)?)
    }

    fn affine(&self, n: &Normal, like: &Tensor) -> Result<Tensor> {
        let scaled = n.unit.reshape(like.dims())?.broadcast_mul(&self.per_channel(&self.gain, like)?)?;
        Ok(scaled.broadcast_add(&self.per_channel(&self.shift, like)?)?)
    }

    /// The product J t, of t's shape.
    fn jacobian(&self, n: &Normal, t: &Tensor) -> Result<Tensor> {
        let g = self.grouped(t)?;
        let along = n.unit.broadcast_mul(&(&n.unit * &g)?.mean_keepdim(D::Minus1)?)?;
        let rest = (g.broadcast_sub(&g.mean_keepdim(D::Minus1)?)? - along)?;
        Ok(rest.broadcast_mul(&n.rate)?.reshape(t.dims())?)
    }
}

impl Layer for GroupNorm {
    fn forward(&self, x: &Tensor, _: Pass) -> Result<Tensor> {
        self.affine(&self.normalise(x)?, x)
    }

    fn vjp<'a>(&'a self, x: &Tensor, _: Pass) -> Result<(Tensor, Pullback<'a>)> {
        let n = self.normalise(x)?;
        let y = self.affine(&n, x)?;
        let gain = self.per_channel(&self.gain, x)?;
        Ok((y, Box::new(move |g| self.jacobian(&n, &g.broadcast_mul(&gain)?))))
    }

    fn jvp(&self, x: &Jet, _: Pass) -> Result<Jet> {
        let (value, tangent) = (x.value()?, x.tangent()?);
        let n = self.normalise(&value)?;
        let gain = self.per_channel(&self.gain, &value)?;
        Jet::new(&self.affine(&n, &value)?, &self.jacobian(&n, &tangent)?.broadcast_mul(&gain)?)
    }

    /// The curve of x̂ = c·r, with c the centred x, r = (m + ε)^-½ and m = mean c². Both factors are carried along the
    /// curve: m' = 2 mean(cc'), m'' = 2 mean(c'² + cc''); r' = -½r³m', r'' = ¾r⁵m'² - ½r³m''; then the product rule.
    fn curve(&self, x: &Curve, _: Pass) -> Result<Curve> {
        let mean = |t: &Tensor| t.mean_keepdim(D::Minus1);
        let centre = |t: Tensor| -> Result<Tensor> {
            let t = self.grouped(&t)?;
            Ok(t.broadcast_sub(&mean(&t)?)?)
        };
        let value = x.value()?;
        let n = self.normalise(&value)?;
        let [c0, c1, c2] = [centre(value.clone())?, centre(x.first()?)?, centre(x.second()?)?];
        let half_first = mean(&(&c0 * &c1)?)?;
        let half_second = mean(&(c1.sqr()? + (&c0 * &c2)?)?)?;
        let (r, cube) = (&n.rate, (n.rate.sqr()? * &n.rate)?);
        let r1 = (&cube * &half_first)?.neg()?;
        let r2 = ((((&cube * r.sqr()?)? * half_first.sqr()?)? * 3.0)? - (&cube * &half_second)?)?;
        let first = (c1.broadcast_mul(r)? + c0.broadcast_mul(&r1)?)?;
        let cross = (c1.broadcast_mul(&r1)? * 2.0)?;
        let second = ((c2.broadcast_mul(r)? + cross)? + c0.broadcast_mul(&r2)?)?;
        let gain = self.per_channel(&self.gain, &value)?;
        let scale = |t: Tensor| -> Result<Tensor> { Ok(t.reshape(value.dims())?.broadcast_mul(&gain)?) };
        Curve::new(&self.affine(&n, &value)?, &scale(first)?, &scale(second)?)
    }

    fn list(&self) -> Result<LayerList> {
        let tensors = [("gain", &self.gain), ("shift", &self.shift)];
        Ok(LayerList::of("norm", &[("groups", number(self.groups))], &tensors))
    }
}

//! Activation normalisation: a learned scale and shift of each channel (Kingma & Dhariwal 2018, section 3.1).

use candle_core::Tensor;

use super::{Bijection, BijectionPullback, InversePullback};
use crate::nets::{Builder, Curve, Init, Jet};
use crate::{Result, ops};

/// The map z = eˢ∘x + b with l = copies·Σ s, where copies is the number of positions of a channel (Kingma & Dhariwal
/// 2018, section 3.1). On vectors it is the diagonal scaling that ends NICE (Dinh et al. 2015, section 3.3), with a
/// shift.
///
/// # Shapes
/// x `[B, C, ..]`; s and b `[C]`, each for all positions of its channel; l `[B]`.
pub struct ActNorm {
    log_scale: Tensor,
    shift: Tensor,
    /// The shape of an item.
    item: Vec<usize>,
}

impl ActNorm {
    /// A map that starts at z = (x - mean)/std with the moments (mean, std), `[C]` each, or at the identity without
    /// moments.
    ///
    /// # Errors
    /// With a bound builder, a parameter is missing or has another shape.
    pub fn new(builder: &Builder, item: &[usize], moments: Option<(&Tensor, &Tensor)>) -> Result<Self> {
        let channels = item.first().copied().unwrap_or(1);
        let (log_scale, shift) = match moments {
            Some((mean, std)) => (
                builder.weight_at("log_scale", &std.log()?.neg()?)?,
                builder.weight_at("shift", &mean.div(std)?.neg()?)?,
            ),
            None => (
                builder.weight("log_scale", &[channels], Init::Constant(0.0))?,
                builder.weight("shift", &[channels], Init::Constant(0.0))?,
            ),
        };
        Ok(ActNorm { log_scale, shift, item: item.to_vec() })
    }

    fn size(&self) -> usize {
        self.item.iter().product()
    }

    /// The vector p of the channels spread over the D numbers of an item, in every row where `rows` `[N, 1]` is 1:
    /// `[N, D]`. It is a product, so that its gradient is one too, and not a slow sum over a broadcast.
    fn spread(&self, p: &Tensor, rows: &Tensor) -> Result<Tensor> {
        let channels = p.elem_count();
        let row = p.unsqueeze(1)?.broadcast_as((channels, self.size() / channels.max(1)))?;
        ops::linear(rows, &row.reshape((self.size(), 1))?, None)
    }

    /// The numbers x∘e^(sign·s), `[N, D]`.
    fn scaled(&self, x: &Tensor, sign: f64) -> Result<Tensor> {
        let x = x.reshape((x.dim(0)?, self.size()))?;
        let scale = self.spread(&self.log_scale.affine(sign, 0.0)?.exp()?, &ones(&x)?)?;
        Ok((x * scale)?)
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let z = (self.scaled(x, 1.0)? + self.spread(&self.shift, &ones(x)?)?)?;
        Ok(z.reshape(x.dims())?)
    }

    /// The pair (z, l) of values and derivatives stacked in `blocks` blocks; shift and log-determinant are added to the
    /// values only.
    fn stacked(&self, x: &Tensor, blocks: usize) -> Result<(Tensor, Tensor)> {
        let all = ones(x)?;
        let values = all.narrow(0, 0, x.dim(0)? / blocks)?;
        let rows = values.pad_with_zeros(0, 0, x.dim(0)? - values.dim(0)?)?;
        let z = (self.scaled(x, 1.0)? + self.spread(&self.shift, &rows)?)?;
        Ok((z.reshape(x.dims())?, self.log_det(&rows)?))
    }

    /// The log-determinant, `[N]`: the same number in every row where `rows` is 1.
    fn log_det(&self, rows: &Tensor) -> Result<Tensor> {
        let copies = self.size() / self.log_scale.elem_count().max(1);
        let sum = self.log_scale.sum_all()?.affine(copies as f64, 0.0)?;
        Ok(rows.broadcast_mul(&sum)?.squeeze(1)?)
    }
}

/// The column of ones, `[N, 1]`, for N items.
fn ones(x: &Tensor) -> Result<Tensor> {
    Ok(Tensor::ones((x.dim(0)?, 1), x.dtype(), x.device())?)
}

impl Bijection for ActNorm {
    fn forward(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        Ok((self.apply(x)?, self.log_det(&ones(x)?)?))
    }

    fn inverse(&self, z: &Tensor) -> Result<Tensor> {
        let flat = z.reshape((z.dim(0)?, self.size()))?;
        Ok(self.scaled(&(flat - self.spread(&self.shift, &ones(z)?)?)?, -1.0)?.reshape(z.dims())?)
    }

    fn inverse_vjp<'a>(&'a self, z: &Tensor) -> Result<(Tensor, InversePullback<'a>)> {
        Ok((self.inverse(z)?, Box::new(move |g| Ok(self.scaled(g, -1.0)?.reshape(g.dims())?))))
    }

    fn vjp<'a>(&'a self, x: &Tensor) -> Result<(Tensor, Tensor, BijectionPullback<'a>)> {
        let (z, log_det) = self.forward(x)?;
        Ok((z, log_det, Box::new(move |g, _| Ok(self.scaled(g, 1.0)?.reshape(g.dims())?))))
    }

    fn jvp(&self, x: &Jet) -> Result<(Jet, Jet)> {
        let (z, log_det) = self.stacked(x.stacked(), 2)?;
        Ok((Jet::from_stacked(z), Jet::from_stacked(log_det)))
    }

    fn curve(&self, x: &Curve) -> Result<(Curve, Curve)> {
        let (z, log_det) = self.stacked(x.stacked(), x.blocks())?;
        Ok((x.linear(|_| Ok(z))?, x.linear(|_| Ok(log_det))?))
    }
}

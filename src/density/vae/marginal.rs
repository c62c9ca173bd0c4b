//! The log-density of a VAE as that of a mixture of Gaussians, whose components are decoded from the nodes of a
//! quadrature over z, or from draws of q(z|x).

use std::f64::consts::PI;

use candle_core::{D, DType, Tensor};

use super::Decoder;
use crate::Result;

/// The J nodes of a regular grid over [-5, 5]^L, `[J, L]`, and their log-weights under N(0, I), `[J]`; the weights sum
/// to one.
pub fn nodes(latent: usize, side: usize, like: &Tensor) -> Result<(Tensor, Tensor)> {
    const REACH: f64 = 5.0;
    let axis: Vec<f64> = (0..side).map(|i| REACH * ((2 * i + 1) as f64 / side as f64 - 1.0)).collect();
    let count = side.pow(latent as u32);
    let node = |j: usize| (0..latent).map(|l| axis[(j / side.pow(l as u32)) % side]).collect::<Vec<_>>();
    let flat: Vec<f64> = (0..count).flat_map(node).collect();
    let z = Tensor::from_vec(flat, (count, latent), like.device())?;
    let log_w = z.sqr()?.sum(1)?.affine(-0.5, 0.0)?;
    let log_w = log_w.broadcast_sub(&log_w.log_sum_exp(0)?)?;
    Ok((z.to_dtype(like.dtype())?, log_w))
}

/// The mixture Σ_j w_j N(x; μ_j, σ_j²), all in f64. G is 1 for components that all items share, and the number of items
/// for components of each item's own.
pub struct Mixture {
    /// The constants log w_j - Σ log σ - (D/2) log 2π - ½ Σ (μ/σ)², `[G, 1, J]`.
    constant: Tensor,
    /// The coefficients μ/σ², `[G, D, J]`.
    linear: Tensor,
    /// The precisions σ⁻², `[G, D, J]`.
    rate: Tensor,
}

impl Mixture {
    /// The mixture of components decoded from z `[J, L]`, the same for all items, with log-weights `[J]`.
    pub fn shared(decoder: &Decoder, z: &Tensor, log_w: &Tensor) -> Result<Self> {
        Self::of_each(decoder, z, &log_w.unsqueeze(0)?)
    }

    /// The mixture of components decoded from z `[G·J, L]`, with log-weights `[G, J]`.
    pub fn of_each(decoder: &Decoder, z: &Tensor, log_w: &Tensor) -> Result<Self> {
        let (mean, log_sigma) = decoder.both(z)?;
        let (groups, count) = log_w.dims2()?;
        let shaped = |t: &Tensor| -> Result<Tensor> {
            let dim = t.elem_count() / (groups * count).max(1);
            Ok(t.to_dtype(DType::F64)?.contiguous()?.reshape((groups, count, dim))?.transpose(1, 2)?.contiguous()?)
        };
        let (mean, log_sigma) = (shaped(&mean)?, shaped(&log_sigma)?);
        let rate = log_sigma.affine(-2.0, 0.0)?.exp()?;
        let linear = (&mean * &rate)?;
        let half = 0.5 * mean.dim(1)? as f64 * (2.0 * PI).ln();
        let square = ((&mean * &linear)?.affine(0.5, 0.0)? + log_sigma)?.sum_keepdim(1)?;
        let constant = (log_w.to_dtype(DType::F64)?.unsqueeze(1)? - square)?.affine(1.0, -half)?;
        Ok(Mixture { constant, linear, rate })
    }

    /// The items `[B, ..]` as `[G, B/G, D]` in f64.
    fn rows(&self, x: &Tensor) -> Result<Tensor> {
        let groups = self.rate.dim(0)?;
        let flat = x.flatten_from(1)?.to_dtype(DType::F64)?;
        let (batch, dim) = flat.dims2()?;
        Ok(flat.contiguous()?.reshape((groups, batch / groups, dim))?)
    }

    /// The terms log w_j N(x; μ_j, σ_j²), `[G, R, J]` for rows x `[G, R, D]`, by two products.
    fn log_joint(&self, x: &Tensor) -> Result<Tensor> {
        let square = x.sqr()?.affine(-0.5, 0.0)?.matmul(&self.rate)?;
        Ok((square + x.matmul(&self.linear)?)?.broadcast_add(&self.constant)?)
    }

    /// The energy -log p(x), `[B]`.
    pub fn energy(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.log_joint(&self.rows(x)?)?.log_sum_exp(D::Minus1)?.flatten_all()?.neg()?)
    }

    /// The energy -log p(x) `[B]` and its gradient Σ_j r_j (x - μ_j)/σ_j² `[B, D]`, with r the responsibilities.
    pub fn grad(&self, x: &Tensor) -> Result<[Tensor; 2]> {
        let x = self.rows(x)?;
        let (log_p, share) = shares(&self.log_joint(&x)?)?;
        let of = |table: &Tensor| -> Result<Tensor> { Ok(share.matmul(&table.transpose(1, 2)?.contiguous()?)?) };
        let grad = ((x * of(&self.rate)?)? - of(&self.linear)?)?;
        Ok([log_p.flatten_all()?.neg()?, grad.flatten(0, 1)?])
    }

    /// The energy -log p, its slope and its curvature along v, `[B]` each: with f_j = log w_j N_j and r the
    /// responsibilities, (log Σ e^f)″ = Σ r (f″ + f′²) - (Σ r f′)².
    pub fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        let (x, v) = (self.rows(x)?, self.rows(v)?);
        let (log_p, share) = shares(&self.log_joint(&x)?)?;
        let first = (v.matmul(&self.linear)? - (&x * &v)?.matmul(&self.rate)?)?;
        let second = v.sqr()?.matmul(&self.rate)?.neg()?;
        let mean = (&share * &first)?.sum(D::Minus1)?;
        let bend = ((first.sqr()? + second)? * share)?.sum(D::Minus1)?;
        let bend = (mean.sqr()? - bend)?;
        Ok([log_p.flatten_all()?.neg()?, mean.flatten_all()?.neg()?, bend.flatten_all()?])
    }
}

/// The sum log Σ exp and the softmax over the last dimension of `[.., J]`.
fn shares(log: &Tensor) -> Result<(Tensor, Tensor)> {
    let total = log.log_sum_exp(D::Minus1)?;
    let share = log.broadcast_sub(&total.unsqueeze(D::Minus1)?)?.exp()?;
    Ok((total, share))
}

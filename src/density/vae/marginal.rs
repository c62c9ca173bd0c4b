//! log p(x) of a VAE as that of a mixture of Gaussians: the components are the decoder's at the nodes of a quadrature
//! over z, or at draws of q(z|x).

use std::f64::consts::PI;

use candle_core::{D, DType, Tensor};

use super::Decoder;
use crate::Result;

/// Nodes of a regular grid over [-5, 5]^L, `[J, L]`, and their log-weights under N(0, I), `[J]`, which sum to one.
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

/// Σ_j w_j N(x; μ_j, σ_j²), all in f64. G is 1 for components that all items share, and the number of items for
/// components that each has of its own.
pub struct Mixture {
    /// log w_j - Σ log σ - (D/2) log 2π - ½ Σ (μ/σ)², `[G, 1, J]`.
    constant: Tensor,
    /// μ/σ², `[G, D, J]`.
    linear: Tensor,
    /// σ⁻², `[G, D, J]`.
    rate: Tensor,
}

impl Mixture {
    /// Components at z `[J, L]`, the same for all items.
    pub fn shared(decoder: &Decoder, z: &Tensor, log_w: &Tensor) -> Result<Self> {
        Self::of_each(decoder, z, &log_w.unsqueeze(0)?)
    }

    /// Components at z `[G·J, L]`, with log-weights `[G, J]`.
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

    /// Items `[B, ..]` as `[G, B/G, D]` in f64.
    fn rows(&self, x: &Tensor) -> Result<Tensor> {
        let groups = self.rate.dim(0)?;
        let flat = x.flatten_from(1)?.to_dtype(DType::F64)?;
        let (batch, dim) = flat.dims2()?;
        Ok(flat.contiguous()?.reshape((groups, batch / groups, dim))?)
    }

    /// log w_j N(x; μ_j, σ_j²), `[G, R, J]`, as two products.
    fn log_joint(&self, x: &Tensor) -> Result<Tensor> {
        let square = x.sqr()?.affine(-0.5, 0.0)?.matmul(&self.rate)?;
        Ok((square + x.matmul(&self.linear)?)?.broadcast_add(&self.constant)?)
    }

    /// -log p(x), `[B]`.
    pub fn energy(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.log_joint(&self.rows(x)?)?.log_sum_exp(D::Minus1)?.flatten_all()?.neg()?)
    }

    /// (-log p(x) `[B]`, Σ_j r_j (x - μ_j)/σ_j² `[B, D]`), r the responsibilities.
    pub fn grad(&self, x: &Tensor) -> Result<[Tensor; 2]> {
        let x = self.rows(x)?;
        let (log_p, share) = shares(&self.log_joint(&x)?)?;
        let of = |table: &Tensor| -> Result<Tensor> { Ok(share.matmul(&table.transpose(1, 2)?.contiguous()?)?) };
        let grad = ((x * of(&self.rate)?)? - of(&self.linear)?)?;
        Ok([log_p.flatten_all()?.neg()?, grad.flatten(0, 1)?])
    }

    /// (-log p, its slope and its bend along v): with f_j = log w_j N_j, (log Σ e^f)″ = Σ r (f″ + f′²) - (Σ r f′)².
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

/// log Σ exp and the softmax, of `[.., J]`.
fn shares(log: &Tensor) -> Result<(Tensor, Tensor)> {
    let total = log.log_sum_exp(D::Minus1)?;
    let share = log.broadcast_sub(&total.unsqueeze(D::Minus1)?)?.exp()?;
    Ok((total, share))
}

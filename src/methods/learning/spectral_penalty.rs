//! The penalty α Σ_l σ_max(W_l) on the weights W_l of an energy, which keeps it from growing steep (Vahdat & Kautz
//! 2020, §3.3; VAEBM's second stage).

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};

use crate::methods::part::{Named, parts};
use crate::{Error, Result, rng::Key};

/// The penalty Σ_l σ_max(W_l), with its estimates u of each weight's leading left singular vector, `[O]`. They are
/// moved by power iterations once a step and are part of the state.
pub(in crate::methods) struct SpectralPenalty {
    u: Named<BTreeMap<String, Tensor>>,
}

/// The numbers of power iterations in a step, and before the first one.
const EVERY_STEP: usize = 4;
const BEFORE: usize = 40;

impl SpectralPenalty {
    /// The penalty on all weights that are matrices or convolutions, as matrices `[O, I·K·K]`.
    pub fn new(key: Key, weights: &BTreeMap<String, Var>) -> Result<Self> {
        let mut u = BTreeMap::new();
        for (name, w) in weights.iter().filter(|(_, w)| w.rank() > 1) {
            let start = key.with(name).normal((w.dim(0)?, 1), w.dtype(), w.device())?;
            u.insert(name.clone(), iterate(&w.as_detached_tensor().flatten_from(1)?, &start, BEFORE)?.0);
        }
        Ok(SpectralPenalty { u: Named::new("spectral", u) })
    }

    /// The sum Σ_l σ_max(W_l), a scalar; the singular vectors u and v are constants in its gradient.
    pub fn value(&mut self, weights: &BTreeMap<String, Var>) -> Result<Tensor> {
        let mut sum: Option<Tensor> = None;
        for (name, u) in &mut self.u.value {
            let w = weights.get(name).ok_or_else(|| Error::Other(format!("weight `{name}` is missing")))?;
            let matrix = w.as_tensor().flatten_from(1)?;
            let (next, v) = iterate(&matrix.detach(), u, EVERY_STEP)?;
            let sigma = (matrix.matmul(&v)? * &next)?.sum_all()?;
            *u = next;
            sum = Some(match sum {
                Some(sum) => (sum + sigma)?,
                None => sigma,
            });
        }
        sum.ok_or_else(|| Error::config("`method.spectral` on a network without weight matrices").at("spectral"))
    }
}

parts!(SpectralPenalty: u);

/// The singular vectors u and v, both columns, after `times` power iterations on w.
fn iterate(w: &Tensor, u: &Tensor, times: usize) -> Result<(Tensor, Tensor)> {
    let unit = |x: Tensor| -> Result<Tensor> { Ok(x.broadcast_div(&x.sqr()?.sum_all()?.sqrt()?.maximum(1e-12)?)?) };
    let (mut u, transposed) = (u.clone(), w.t()?.contiguous()?);
    let mut v = unit(transposed.matmul(&u)?)?;
    for _ in 0..times {
        u = unit(w.matmul(&v)?)?;
        v = unit(transposed.matmul(&u)?)?;
    }
    Ok((u, v))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn the_penalty_is_the_sum_of_largest_singular_values() {
        // Diagonal up to a rotation: singular values 3 and 1; a convolution that is a row of norm 5.
        let (c, s) = (0.6f32, 0.8f32);
        let rotated = Tensor::new(&[[3.0 * c, -s], [3.0 * s, c]], &Device::Cpu).unwrap();
        let row = Tensor::new(&[[[[3.0f32, 4.0]]]], &Device::Cpu).unwrap();
        let bias = Tensor::new(&[7.0f32], &Device::Cpu).unwrap();
        let var = |t: &Tensor| Var::from_tensor(t).unwrap();
        let weights: BTreeMap<_, _> =
            [("a", var(&rotated)), ("b", var(&row)), ("c", var(&bias))].map(|(k, v)| (k.to_owned(), v)).into();
        let mut penalty = SpectralPenalty::new(Key::new(1), &weights).unwrap();
        let value = penalty.value(&weights).unwrap();
        assert!((value.to_scalar::<f32>().unwrap() - 8.0).abs() < 1e-4);
        let grads = value.backward().unwrap();
        let on_row = grads.get(&weights["b"]).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!((on_row[0] - 0.6).abs() < 1e-5 && (on_row[1] - 0.8).abs() < 1e-5, "{on_row:?}");
    }
}

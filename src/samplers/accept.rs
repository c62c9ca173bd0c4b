//! The Metropolis choice, chain by chain.

use candle_core::{DType, Tensor};

use super::{Chain, Info};
use crate::{Result, rng::Key};

/// Energies of the chains in f64, where ratios are decided.
pub(super) fn energies(chain: &Chain) -> Result<Vec<f64>> {
    Ok(chain.energy.to_dtype(DType::F64)?.to_vec1()?)
}

/// Moves chain i to its proposal with probability min(1, exp(log_ratio\[i\])). A ratio that is NaN, as that of a proposal
/// without a finite energy, is a rejection, counted and without effect on the other chains.
pub(super) fn accept(key: Key, log_ratio: &[f64], proposal: &Chain, chain: &Chain) -> Result<(Chain, Info)> {
    let n = log_ratio.len();
    let uniform = key.uniform(n, DType::F64, chain.x.device())?.to_vec1::<f64>()?;
    // A comparison with NaN is false.
    let accepted: Vec<u8> = uniform.iter().zip(log_ratio).map(|(u, ratio)| u8::from(u.ln() < *ratio)).collect();
    let info = Info {
        accept: Some(accepted.iter().map(|&a| f64::from(a)).sum::<f64>() / n.max(1) as f64),
        nonfinite: energies(proposal)?.iter().filter(|e| !e.is_finite()).count(),
    };
    Ok((choose(&accepted, proposal, chain)?, info))
}

/// Row by row, `yes` where `mask` is 1 and `no` where it is 0.
fn choose(mask: &[u8], yes: &Chain, no: &Chain) -> Result<Chain> {
    let mask = Tensor::new(mask, yes.x.device())?;
    let pick = |yes: &Tensor, no: &Tensor| rows(&mask, yes, no);
    Ok(Chain { x: pick(&yes.x, &no.x)?, energy: pick(&yes.energy, &no.energy)?, grad: pick(&yes.grad, &no.grad)? })
}

/// Rows of `yes` where `mask` `[B]`, u8, is 1, and of `no` where it is 0.
pub(super) fn rows(mask: &Tensor, yes: &Tensor, no: &Tensor) -> Result<Tensor> {
    let mut shape = vec![mask.elem_count()];
    shape.resize(yes.rank(), 1);
    Ok(mask.reshape(shape)?.broadcast_as(yes.shape())?.where_cond(yes, no)?)
}

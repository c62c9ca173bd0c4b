//! Metropolis-adjusted Langevin: the honest one. Leaves exp(-E) invariant at any step size.

use candle_core::{DType, Tensor};

use super::{BuildKernel, Chain, ChainConfig, Info, Kernel};
use crate::config::{Entry, Schema, decode, rule};
use crate::density::Energy;
use crate::{Result, kernels, rng::Key};

crate::config! {
    /// Keys of the sampler `mala`.
    pub struct MalaConfig {
        /// ε of the Langevin proposal; about 57 % acceptance is best in high dimension.
        step_size: f64 = 0.1, rule::positive;
    }
}

pub(super) const ENTRY: Entry<BuildKernel> = Entry {
    name: "mala",
    about: "Langevin proposal with accept-reject: exact for exp(-E)",
    cite: "Roberts & Tweedie 1996; Roberts & Rosenthal 1998",
    schema: Schema::joined::<MalaConfig, ChainConfig>(),
    build: |table| Ok(Box::new(Mala { step_size: decode::<MalaConfig>(table)?.step_size })),
};

/// Proposes x' = x - (ε²/2)∇E(x) + ε ξ and accepts with probability min(1, exp(E(x) - E(x')) q(x|x')/q(x'|x)).
/// A proposal whose energy is not finite is rejected and counted; it never touches the other chains.
pub struct Mala {
    /// ε.
    pub step_size: f64,
}

impl Mala {
    /// log q(to | from) up to a constant, `[B]`, f64.
    fn log_proposal(&self, to: &Chain, from: &Chain) -> Result<Vec<f64>> {
        let eps2 = self.step_size * self.step_size;
        let mean = (&from.x - (&from.grad * (0.5 * eps2))?)?;
        let square = (&to.x - mean)?.to_dtype(DType::F64)?.sqr()?.flatten_from(1)?.sum(1)?;
        Ok(square.affine(-0.5 / eps2, 0.0)?.to_vec1()?)
    }
}

impl Kernel for Mala {
    fn step(&self, key: Key, e: &dyn Energy, chain: &Chain) -> Result<(Chain, Info)> {
        let noise = key.with("noise").normal(chain.x.shape(), chain.x.dtype(), chain.x.device())?;
        let drift = 0.5 * self.step_size * self.step_size;
        let proposal = Chain::at(e, &kernels::langevin_update(&chain.x, &chain.grad, &noise, drift, self.step_size)?)?;
        let (now, then) = (energies(chain)?, energies(&proposal)?);
        let (back, forth) = (self.log_proposal(chain, &proposal)?, self.log_proposal(&proposal, chain)?);
        let uniform = key.with("accept").uniform(now.len(), DType::F64, chain.x.device())?.to_vec1::<f64>()?;
        let log_ratio = |i: usize| now[i] - then[i] + back[i] - forth[i];
        // A comparison with NaN is false, so a proposal without a finite energy is rejected.
        let accepted: Vec<u8> = (0..now.len()).map(|i| u8::from(uniform[i].ln() < log_ratio(i))).collect();
        let info = Info {
            accept: Some(accepted.iter().map(|&a| f64::from(a)).sum::<f64>() / accepted.len().max(1) as f64),
            nonfinite: then.iter().filter(|e| !e.is_finite()).count(),
        };
        Ok((choose(&accepted, &proposal, chain)?, info))
    }

    fn describe(&self) -> String {
        format!("Metropolis-adjusted Langevin, step size {}", self.step_size)
    }
}

fn energies(chain: &Chain) -> Result<Vec<f64>> {
    Ok(chain.energy.to_dtype(DType::F64)?.to_vec1()?)
}

/// Row by row, `yes` where `mask` is 1 and `no` where it is 0.
fn choose(mask: &[u8], yes: &Chain, no: &Chain) -> Result<Chain> {
    let mask = Tensor::new(mask, yes.x.device())?;
    let pick = |yes: &Tensor, no: &Tensor| -> Result<Tensor> {
        let mut shape = vec![mask.elem_count()];
        shape.resize(yes.rank(), 1);
        Ok(mask.reshape(shape)?.broadcast_as(yes.shape())?.where_cond(yes, no)?)
    };
    Ok(Chain { x: pick(&yes.x, &no.x)?, energy: pick(&yes.energy, &no.energy)?, grad: pick(&yes.grad, &no.grad)? })
}

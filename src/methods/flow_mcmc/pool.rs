//! Draws of the flow with importance weights, for estimates without a chain.

use candle_core::{DType, Tensor};

use crate::density::{Density, Energy};
use crate::math::LogWeights;
use crate::metrics::{Metrics, Number, Unit};
use crate::{Result, rng::Key};

/// The numbers of [`Pool::found`].
pub(super) const NUMBERS: [Number; 3] = [
    Number::new("flow_log_z", Unit::Nats, "log Z by weighted draws of the flow; its expectation lies below log Z"),
    Number::new("flow_log_z_se", Unit::Nats, "standard error of flow_log_z").lower(),
    Number::new("flow_ess_share", Unit::Share, "effective share of the weighted draws").higher().lead(),
];

/// The draws yᵢ ~ q with log wᵢ = -E(yᵢ) - log q(yᵢ) in f64; -∞ where E is not finite or log q is NaN.
pub(super) struct Pool {
    y: Tensor,
    log_w: LogWeights,
}

impl Pool {
    /// A pool of n draws of q, weighted for `energy`.
    pub fn draw(key: Key, n: usize, energy: &dyn Energy, q: &dyn Density) -> Result<Self> {
        let host = |t: Tensor| -> Result<Vec<f64>> { Ok(t.detach().to_dtype(DType::F64)?.to_vec1()?) };
        let y = q.sample(key, n)?;
        let log_w = LogWeights::of(&host(energy.energy(&y)?)?, &host(q.log_prob(&y)?)?);
        Ok(Pool { y, log_w })
    }

    /// The draws, `[n, ..]`.
    pub fn y(&self) -> &Tensor {
        &self.y
    }

    /// The normalised weights wᵢ/Σw, `[n]`, of y's type.
    pub fn shares(&self) -> Result<Tensor> {
        Ok(Tensor::new(self.log_w.shares(), self.y.device())?.to_dtype(self.y.dtype())?)
    }

    /// The numbers `flow_log_z`, whose expectation lies below log Z, `flow_log_z_se`, its standard error, and
    /// `flow_ess_share`, the effective share of the draws.
    pub fn found(&self) -> Metrics {
        let n = self.log_w.0.len().max(1) as f64;
        Metrics::new()
            .with("flow_log_z", self.log_w.log_mean())
            .with("flow_log_z_se", self.log_w.std_error())
            .with("flow_ess_share", self.log_w.effective() / n)
    }

    /// The estimate of log Z, the logarithm of the mean weight.
    pub fn log_z(&self) -> f64 {
        self.log_w.log_mean()
    }
}

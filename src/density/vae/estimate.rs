//! The log-density of a VAE: by quadrature where that is exact, else by importance weights.

use candle_core::{D, DType, Tensor};

use super::Vae;
use super::marginal::{self, Mixture};
use crate::{Result, rng::Key};

impl Vae {
    /// The importance-weighted estimate log (1/K) Σ_k p(x, z_k)/q(z_k|x) with z_k ~ q(z|x) for K = `particles`, `[B]`
    /// in f64: in expectation a lower bound of log p(x) that rises with K (Burda, Grosse & Salakhutdinov 2016, eq. 8).
    pub fn importance_weighted(&self, key: Key, x: &Tensor, particles: usize) -> Result<Tensor> {
        /// The particles decoded at a time.
        const CHUNK: usize = 50;
        let logs = (0..particles)
            .step_by(CHUNK)
            .map(|at| self.log_ratios(key.at(at as u64), x, CHUNK.min(particles - at)))
            .collect::<Result<Vec<_>>>()?;
        let logs = Tensor::cat(&logs, 1)?;
        Ok((logs.log_sum_exp(D::Minus1)? - (particles as f64).ln())?)
    }

    /// The log-weights log p(x, z_k) - log q(z_k|x) of k particles, `[B, k]` in f64.
    fn log_ratios(&self, key: Key, x: &Tensor, k: usize) -> Result<Tensor> {
        let (batch, many) = (x.dim(0)?, repeat(x, k)?);
        let noise = key.normal((batch * k, self.latent()), x.dtype(), x.device())?;
        let draw = self.ladder.posterior(&repeat(&self.encode(x, None)?, k)?, &noise)?;
        let log = (self.decoder.log_likelihood(&many, &draw.z)? + draw.log_ratio)?;
        Ok(log.detach().to_dtype(DType::F64)?.reshape((batch, k))?)
    }

    /// Whether log p(x) is computed by quadrature.
    pub(super) fn exact(&self) -> bool {
        self.latent() <= 2 && self.ladder.groups() == 1 && self.decoder.gaussian().is_some()
    }

    /// The mixture whose density is p(x) at the items x: its components are decoded from the quadrature's nodes or from
    /// draws of q(z|x).
    pub(super) fn mixture(&self, x: &Tensor) -> Result<Mixture> {
        let decoder = self.smooth()?;
        if self.exact() {
            let (z, log_w) = marginal::nodes(self.latent(), self.config.nodes, &self.like)?;
            return Mixture::shared(decoder, &z, &log_w);
        }
        let k = self.config.particles;
        let noise = self.key().normal((x.dim(0)? * k, self.latent()), x.dtype(), x.device())?;
        let draw = self.ladder.posterior(&repeat(&self.encode(x, None)?, k)?, &noise)?;
        let log_w = (draw.log_ratio.reshape((x.dim(0)?, k))? - (k as f64).ln())?;
        Mixture::of_each(decoder, &draw.z, &log_w)
    }

    /// The key of the particles, the same at every call, so that an energy is a function.
    pub(super) fn key(&self) -> Key {
        Key::new(0).with("particles")
    }

    /// The results of f on chunks of x, joined; the chunks bound the memory of a mixture.
    pub(super) fn by_chunks(
        &self,
        x: &Tensor,
        f: impl Fn(&Mixture, &Tensor) -> Result<Vec<Tensor>>,
    ) -> Result<Vec<Tensor>> {
        /// The most numbers in the largest tensor.
        const NUMBERS: usize = 1 << 22;
        let components = if self.exact() { self.config.nodes.pow(self.latent() as u32) } else { self.config.particles };
        let dim: usize = self.item.iter().product();
        let chunk = (NUMBERS / if self.exact() { components } else { components * dim }).max(1);
        let n = x.dim(0)?;
        let shared = if self.exact() { Some(self.mixture(x)?) } else { None };
        let mut parts: Vec<Vec<Tensor>> = Vec::new();
        for at in (0..n).step_by(chunk) {
            let here = x.narrow(0, at, chunk.min(n - at))?;
            let found = match &shared {
                Some(mixture) => f(mixture, &here)?,
                None => f(&self.mixture(&here)?, &here)?,
            };
            parts.push(found);
        }
        let outputs = parts.first().map_or(0, Vec::len);
        let of = |i| -> Result<Tensor> {
            let column = parts.iter().filter_map(|part| part.get(i)).collect::<Vec<_>>();
            Ok(Tensor::cat(&column, 0)?.to_dtype(x.dtype())?)
        };
        (0..outputs).map(of).collect()
    }
}

/// The rows of x, each k times: `[B, ..]` -> `[B·k, ..]`.
fn repeat(x: &Tensor, k: usize) -> Result<Tensor> {
    let dims = x.dims();
    let (batch, rest) = (dims.first().copied().unwrap_or(0), dims.get(1..).unwrap_or_default());
    let wide: Vec<usize> = [batch, k].into_iter().chain(rest.iter().copied()).collect();
    let tall: Vec<usize> = std::iter::once(batch * k).chain(rest.iter().copied()).collect();
    Ok(x.unsqueeze(1)?.broadcast_as(wide)?.reshape(tall)?)
}

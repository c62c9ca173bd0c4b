//! Tempered Langevin, as papers on energy-based models run it: drift and noise are chosen apart (Grathwohl et al. 2020,
//! eq. 19).

use super::info::Info;
use super::kernel::{Chain, Kernel, Need, Target};
use super::row::SamplerRow;
use super::start::ChainConfig;
use super::stiffness::Drift;
use crate::Result;
use crate::config::{Schema, decode, rule};
use crate::metrics::Spent;
use crate::ops::{self, LangevinMove};
use crate::rng::{Counter, Key};

crate::config! {
    /// Keys of the sampler `sgld`.
    pub struct SgldConfig {
        /// Multiplies ∇E in x ← x - drift ∇E + noise ξ.
        drift: f64 = 1.0, rule::positive;
        /// Standard deviation of the noise. The pair samples, up to discretisation, exp(-E/T) at T = noise² / (2
        /// drift).
        noise: f64 = 0.01, rule::non_negative;
        /// Each entry of the gradient is cut to ± this number (IGEBM: 0.01; JEM++: 1); 0 leaves it alone.
        clip_grad: f64 = 0.0, rule::non_negative;
        /// Chains are kept in the box between these two numbers, such as [-1, 1] for scaled pixels; empty for no box.
        clamp: Vec<f64> = Vec::new(), interval;
    }
}

pub(super) const ENTRY: SamplerRow = SamplerRow {
    name: "sgld",
    about: "tempered Langevin: x ← x - drift ∇E + noise ξ, not a sampler of exp(-E)",
    cite: "Grathwohl et al. 2020, eq. 19; Welling & Teh 2011",
    schema: Schema::of::<(SgldConfig, ChainConfig)>(),
    numbers: &[],
    exact: false,
    local: None,
    cost: Spent { values: 0, gradients: 1 },
    build: |table| {
        let SgldConfig { drift, noise, clip_grad, clamp } = decode(table)?;
        let clamp = <[f64; 2]>::try_from(clamp).ok();
        Ok(Box::new(Sgld { drift, noise, clip_grad, clamp }))
    },
};

#[allow(clippy::ptr_arg)] // A rule takes the type of its key.
fn interval(v: &Vec<f64>) -> rule::Complaint {
    let fine = v.is_empty() || (v.len() == 2 && v[0] < v[1]);
    (!fine).then(|| format!("must be empty or two numbers, the smaller one first, got {v:?}"))
}

/// The tempered Langevin move x ← x - drift ∇E(x) + noise ξ, ξ ~ N(0, I) (Grathwohl et al. 2020, eq. 19; Welling & Teh
/// 2011).
#[derive(Default)]
pub struct Sgld {
    /// The factor of the gradient.
    pub drift: f64,
    /// The standard deviation of the noise.
    pub noise: f64,
    /// The bound on each entry of the gradient; 0 for none.
    pub clip_grad: f64,
    /// The box in which chains are kept, [low, high] in every coordinate.
    pub clamp: Option<[f64; 2]>,
}

impl Sgld {
    /// The temperature T = noise²/(2 drift) of the density exp(-E/T) that Langevin dynamics with this drift and noise
    /// samples, up to discretisation.
    pub fn temperature(&self) -> f64 {
        self.noise * self.noise / (2.0 * self.drift)
    }
}

impl Kernel for Sgld {
    fn needs(&self) -> Need {
        Need::Gradient
    }

    fn step(&self, key: Key, on: &Target, chain: &Chain) -> Result<(Chain, Info)> {
        let chain = chain.filled(Need::Gradient, on.energy())?;
        let clip = if self.clip_grad > 0.0 { self.clip_grad } else { f64::INFINITY };
        let free = LangevinMove::free(self.drift, self.noise);
        let by = LangevinMove { clip, bounds: self.clamp.unwrap_or(free.bounds), ..free };
        let x = ops::langevin_move(&chain.x, chain.slope()?, &by, key.counter())?;
        Ok((Chain::at(&x), Info::default()))
    }

    fn draws(&self, key: Key) -> Option<Vec<Counter>> {
        Some(vec![key.counter()])
    }

    /// With `clip_grad` or `clamp` nothing grows without bound.
    fn drift(&self) -> Option<Drift> {
        let bounded = self.clip_grad > 0.0 || self.clamp.is_some();
        let (drift, noise) = (self.drift, self.noise);
        (!bounded).then_some(Drift { drift, noise, key: "drift", value: |drift| drift })
    }

    fn describe(&self) -> String {
        let (drift, noise) = (self.drift, self.noise);
        format!("tempered Langevin, drift {drift}, noise {noise}: implied temperature {:.3e}", self.temperature())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matched_settings_have_temperature_one() {
        let eps = 0.3f64;
        assert!((Sgld { drift: eps * eps / 2.0, noise: eps, ..Sgld::default() }.temperature() - 1.0).abs() < 1e-12);
        assert!((Sgld { drift: 1.0, noise: 0.01, ..Sgld::default() }.temperature() - 5e-5).abs() < 1e-15);
    }
}

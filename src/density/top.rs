//! The density at the highest noise level of a ladder: the energy there, normalised by draws of a normal density.

use std::sync::{Arc, Once, OnceLock};

use candle_core::{DType, Device, Tensor};

use super::{Density, Energy};
use crate::math::LogWeights;
use crate::{Error, Result, rng::Key};

/// The energies of a ladder at noise levels σ `[B]`, one level an item.
pub(super) type EnergyAt = Arc<dyn Fn(&Tensor) -> Result<Box<dyn Energy>> + Send + Sync>;

/// The density exp(-E(x, σ))/Z of one level, so high that a normal density is close to it: Z by importance sampling,
/// draws by rejection, from draws of the normal density.
///
/// The normal density alone would leave out what the data's variances differ by in different directions, which is a
/// tenth of a nat and more where σ is three times the data's width.
pub(super) struct Top {
    at: EnergyAt,
    sigma: f64,
    normal: Box<dyn Density>,
    /// What draws of the normal density find, when it is first asked for.
    found: OnceLock<Found>,
    /// Whether it was told that rejection does not do.
    told: Once,
}

#[derive(Clone, Copy)]
struct Found {
    log_z: f64,
    /// The largest log weight of the draws.
    bound: f64,
}

impl Top {
    /// The density of the level σ near `normal`.
    pub fn new(at: EnergyAt, sigma: f64, normal: Box<dyn Density>) -> Self {
        Top { at, sigma, normal, found: OnceLock::new(), told: Once::new() }
    }

    /// # Errors
    /// exp(-E) has no finite integral as far as the draws show.
    fn found(&self) -> Result<Found> {
        /// Draws at a time, which bounds the memory, and how often.
        const DRAWS: [u64; 2] = [250, 8];
        if let Some(found) = self.found.get() {
            return Ok(*found);
        }
        let [n, pieces] = DRAWS;
        let key = Key::new(0).with("top");
        let mut weights = LogWeights(Vec::new());
        for i in 0..pieces {
            weights.0.extend(self.weights(&self.normal.sample(key.at(i), n as usize)?)?.0);
        }
        let bound = weights.0.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let found = Found { log_z: weights.log_mean(), bound };
        if !found.log_z.is_finite() {
            let what = format!("the energy at the noise level {} has no finite normaliser", self.sigma);
            let remedy = "go back to an earlier checkpoint; train with a smaller learning rate (--set optim.lr=…)";
            return Err(Error::undefined(what, remedy));
        }
        Ok(*self.found.get_or_init(|| found))
    }

    fn energy_at(&self, x: &Tensor) -> Result<Box<dyn Energy>> {
        (self.at)(&Tensor::full(self.sigma, x.dim(0)?, x.device())?.to_dtype(x.dtype())?)
    }

    /// exp(-E) over the normal density at its draws x.
    fn weights(&self, x: &Tensor) -> Result<LogWeights> {
        let host = |t: Tensor| Ok::<Vec<f64>, Error>(t.detach().to_dtype(DType::F64)?.to_vec1()?);
        Ok(LogWeights::of(&host(self.energy_at(x)?.energy(x)?)?, &host(self.normal.log_prob(x)?)?))
    }

    fn shifted(&self, energy: &Tensor) -> Result<Tensor> {
        Ok(energy.affine(1.0, self.found()?.log_z)?)
    }
}

impl Energy for Top {
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        self.shifted(&self.energy_at(x)?.energy(x)?)
    }

    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let (energy, grad) = self.energy_at(x)?.grad(x)?;
        Ok((self.shifted(&energy)?, grad))
    }

    fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let (energy, slope) = self.energy_at(x)?.directional(x, v)?;
        Ok((self.shifted(&energy)?, slope))
    }

    fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        let [energy, slope, bend] = self.energy_at(x)?.curvature(x, v)?;
        Ok([self.shifted(&energy)?, slope, bend])
    }

    fn laplacian(&self, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        let (energy, grad, laplacian) = self.energy_at(x)?.laplacian(x)?;
        Ok((self.shifted(&energy)?, grad, laplacian))
    }
}

impl Density for Top {
    fn log_prob(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.energy(x)?.neg()?)
    }

    /// Draws by rejection; where the energy is so far from the normal density that hardly any draw is taken, those that
    /// are missing are of the normal density.
    fn sample(&self, key: Key, n: usize) -> Result<Tensor> {
        const ROUNDS: u64 = 64;
        let bound = self.found()?.bound;
        let (mut taken, mut missing) = (Vec::new(), n);
        for round in 0..ROUNDS {
            if missing == 0 {
                break;
            }
            let key = key.at(round);
            let x = self.normal.sample(key.with("draw"), n)?;
            let uniform = key.with("accept").uniform(n, DType::F64, &Device::Cpu)?.to_vec1::<f64>()?;
            let weights = self.weights(&x)?.0;
            let lies = |(i, (u, w)): (usize, (&f64, &f64))| (u.ln() < w - bound).then_some(i as u32);
            let rows: Vec<u32> = uniform.iter().zip(&weights).enumerate().filter_map(lies).take(missing).collect();
            missing -= rows.len();
            if !rows.is_empty() {
                taken.push(x.index_select(&Tensor::new(rows, x.device())?, 0)?);
            }
        }
        if missing > 0 {
            self.told.call_once(|| {
                tracing::warn!(
                    "at the noise level {} the energy is so far from a normal density that {missing} of {n} draws are \
                     of that density: a higher top would be nearer (--set model.sigma_max=…)",
                    self.sigma
                );
            });
            taken.push(self.normal.sample(key.with("rest"), missing)?);
        }
        // An empty list has no type and no shape.
        if taken.is_empty() { self.normal.sample(key, 0) } else { Ok(Tensor::cat(&taken, 0)?) }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::density::Gaussian;
    use crate::density::known::Known;
    use crate::nets::Builder;

    /// Two modes in 16 coordinates: at σ = 4.5 the variance along the diagonal is 53, that of the normal density 23.
    #[test]
    fn what_the_normal_density_leaves_out_is_in_the_draws_and_in_the_density() {
        let known = Known::new(&[vec![-1.4; 16], vec![1.4; 16]], &[0.5, 0.5], 1.0);
        let builder = Builder::new(Key::new(0), DType::F64, &Device::Cpu);
        let normal = Gaussian::new(&[16], 0.0, 23.21f64.sqrt(), &builder).unwrap();
        let exact = known.clone();
        let at: EnergyAt = Arc::new(move |sigma: &Tensor| Ok(Box::new(known.at(sigma)) as Box<dyn Energy>));
        let top = Top::new(at, 4.5, Box::new(normal));
        let Found { log_z, .. } = top.found().unwrap();
        assert!(log_z.abs() < 0.1, "{log_z}");
        let n = 3000;
        let x = top.sample(Key::new(3), n).unwrap();
        let along = x.sum(1).unwrap().affine(0.25, 0.0).unwrap().sqr().unwrap().mean_all().unwrap();
        let along = along.to_scalar::<f64>().unwrap();
        let want = 1.0 + 4.5 * 4.5 + 16.0 * 1.96;
        assert!((along / want - 1.0).abs() < 4.0 * (2.0 / n as f64).sqrt(), "{along} and {want}");
        let exact = exact.under(4.5).log_prob(&x).unwrap();
        let gap = (top.log_prob(&x).unwrap() - exact).unwrap().to_vec1::<f64>().unwrap();
        assert!(gap.iter().all(|gap| (gap + log_z).abs() < 1e-9));
        assert_eq!(top.sample(Key::new(3), 0).unwrap().dims(), [0, 16]);
    }
}

//! The density of a less noisy item given a noisier one: recovery likelihood (Gao et al. 2021).

use candle_core::Tensor;

use super::{Energy, by_row, laplacian_axis_by_axis};
use crate::{Result, ops};

/// The energy u ↦ E(x̃ + a u) + ½ (a/Δ)² |u|² of an item y = x̃ + a u given x̃ = y + Δξ: exp(-E(y)) times the density
/// of the noise that was added, in coordinates in which one step size fits all levels. Chains begin at u = 0.
///
/// # Shapes
/// u `[B, ..]`, as many chains as there are items x̃.
pub struct Recovery<E> {
    /// E of the less noisy items, at one level an item.
    energy: E,
    /// x̃, `[B, ..]`.
    noisier: Tensor,
    /// a = σΔ/√(σ² + Δ²), about the width of what y can be where the data are no narrower than their noise, `[B]`.
    scale: Tensor,
    /// (a/Δ)², `[B]`; 0 where x̃ is no noisier copy but only a start.
    pull: Tensor,
}

impl<E: Energy> Recovery<E> {
    /// The energy given x̃ for items y at levels σ `[B]`, with noise of variance Δ² `[B]` between them; an infinite
    /// variance gives E alone.
    ///
    /// # Errors
    /// The device fails.
    pub fn new(energy: E, noisier: &Tensor, sigma: &Tensor, gap: &Tensor) -> Result<Self> {
        let pull = (sigma.sqr()? / (sigma.sqr()? + gap)?)?;
        // σ² Δ²/(σ² + Δ²) = σ² (1 - pull), and Δ = ∞ leaves σ.
        let scale = (sigma * pull.affine(-1.0, 1.0)?.sqrt()?)?;
        Ok(Recovery { energy, noisier: noisier.clone(), scale, pull })
    }

    /// y of u.
    ///
    /// # Errors
    /// A u of another shape.
    pub fn item(&self, u: &Tensor) -> Result<Tensor> {
        Ok((&self.noisier + by_row(u, &self.scale)?)?)
    }

    /// ½ (a/Δ)² u·w times `factor`.
    fn pulled(&self, u: &Tensor, w: &Tensor, factor: f64) -> Result<Tensor> {
        Ok((ops::dot(u, w)? * &self.pull)?.affine(factor, 0.0)?)
    }
}

impl<E: Energy> Energy for Recovery<E> {
    fn energy(&self, u: &Tensor) -> Result<Tensor> {
        Ok((self.energy.energy(&self.item(u)?)? + self.pulled(u, u, 0.5)?)?)
    }

    fn grad(&self, u: &Tensor) -> Result<(Tensor, Tensor)> {
        let (energy, grad) = self.energy.grad(&self.item(u)?)?;
        let grad = (by_row(&grad, &self.scale)? + by_row(u, &self.pull)?)?;
        Ok(((energy + self.pulled(u, u, 0.5)?)?, grad))
    }

    fn directional(&self, u: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let (energy, slope) = self.energy.directional(&self.item(u)?, &by_row(v, &self.scale)?)?;
        Ok(((energy + self.pulled(u, u, 0.5)?)?, (slope + self.pulled(u, v, 1.0)?)?))
    }

    fn curvature(&self, u: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        let [energy, slope, bend] = self.energy.curvature(&self.item(u)?, &by_row(v, &self.scale)?)?;
        Ok([(energy + self.pulled(u, u, 0.5)?)?, (slope + self.pulled(u, v, 1.0)?)?, (bend + self.pulled(v, v, 1.0)?)?])
    }

    /// The Laplacian by one axis a pass, since levels belong to the rows.
    fn laplacian(&self, u: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        laplacian_axis_by_axis(self, u)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::density::known::Known;
    use crate::math::stats;
    use crate::rng::Key;

    /// Langevin steps on the recovery of a normal density: with λ = 1/(v + σ²) + 1/Δ², h = (r a)² and ρ = 1 - hλ/2 the
    /// chain has mean m + ρ^K (x̃ - m), m = x̃/(Δ²λ), and variance h (1 - ρ^{2K})/(1 - ρ²).
    #[test]
    fn chains_on_a_normal_density_follow_the_closed_form() {
        let (v, sigma, gap, at, r, steps) = (0.8f64, 0.5f64, 1.7f64, 1.3f64, 0.9f64, 4i32);
        let n = 20_000;
        let full = |value: f64| Tensor::full(value, n, &Device::Cpu).unwrap();
        let known = Known::new(&[vec![0.0]], &[1.0], v.sqrt());
        let noisier = Tensor::full(at, (n, 1), &Device::Cpu).unwrap();
        let energy = known.at(&full(sigma));
        let recovery = Recovery::new(energy, &noisier, &full(sigma), &full(gap)).unwrap();
        let mut u = noisier.zeros_like().unwrap();
        for k in 0..steps {
            let noise = Key::new(1).at(k as u64).normal((n, 1), DType::F64, &Device::Cpu).unwrap();
            let grad = recovery.grad(&u).unwrap().1;
            u = ops::langevin_update(&u, &grad, &noise, 0.5 * r * r, r).unwrap();
        }
        let y = recovery.item(&u).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let lambda = 1.0 / (v + sigma * sigma) + 1.0 / gap;
        let h = r * r * sigma * sigma * gap / (sigma * sigma + gap);
        let (rho, mean) = (1.0 - 0.5 * h * lambda, at / (gap * lambda));
        let want = mean + rho.powi(steps) * (at - mean);
        let width = (h * (1.0 - rho.powi(2 * steps)) / (1.0 - rho * rho)).sqrt();
        let z = (stats::mean(&y) - want) / (width / (n as f64).sqrt());
        assert!(z.abs() < 4.0, "{} and {want}", stats::mean(&y));
        assert!((stats::std(&y) / width - 1.0).abs() < 4.0 / (2.0 * n as f64).sqrt(), "{}", stats::std(&y));
    }

    #[test]
    fn derivatives_are_those_of_the_energy_and_without_noise_between_it_is_the_level_s() {
        let known = Known::new(&[vec![-1.0, 0.3], vec![1.0, 0.0]], &[0.3, 0.7], 0.6);
        let draw = |name: &str| Key::new(2).with(name).normal((4, 2), DType::F64, &Device::Cpu).unwrap();
        let (noisier, u, v) = (draw("x"), draw("u"), draw("v"));
        let sigma = Tensor::new(&[0.3f64, 0.5, 0.3, 1.0], &Device::Cpu).unwrap();
        let gap = Tensor::new(&[0.2f64, 1.0, f64::INFINITY, 3.0], &Device::Cpu).unwrap();
        let recovery = Recovery::new(known.at(&sigma), &noisier, &sigma, &gap).unwrap();
        let at = |h: f64| recovery.energy(&(&u + (&v * h).unwrap()).unwrap()).unwrap().to_vec1::<f64>().unwrap();
        let (up, down) = (at(1e-5), at(-1e-5));
        let slope = recovery.directional(&u, &v).unwrap().1.to_vec1::<f64>().unwrap();
        let along = ops::dot(&recovery.grad(&u).unwrap().1, &v).unwrap().to_vec1::<f64>().unwrap();
        for i in 0..4 {
            let want = (up[i] - down[i]) / 2e-5;
            assert!((slope[i] - want).abs() < 1e-6 && (along[i] - want).abs() < 1e-6, "{i}");
        }
        let alone = known.at(&sigma).energy(&recovery.item(&u).unwrap()).unwrap().to_vec1::<f64>().unwrap();
        assert!((at(0.0)[2] - alone[2]).abs() < 1e-12 && (at(0.0)[1] - alone[1]).abs() > 1e-3);
    }
}

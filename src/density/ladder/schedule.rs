//! Where between the lowest noise level and the top the others lie.

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::Result;

/// The scale on which levels are equally far apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// ln σ.
    #[default]
    Geometric,
    /// The time t of the diffusion αx + γε, α² + γ² = 1, of linear β(t): σ = γ/α.
    Vp,
    /// σ^(1/7).
    Edm,
}

/// β(0) and β(1) - β(0) of the linear schedule (Song et al. 2021, appendix C).
const BETA: [f64; 2] = [0.1, 19.9];

/// The root in which the levels of Karras et al. 2022 are equally far apart.
const RHO: f64 = 7.0;

impl Schedule {
    /// `count` levels σ between those of these logarithms, both `[1]`, upwards, `[count]`.
    ///
    /// # Errors
    /// The device fails.
    pub fn between(self, bottom: &Tensor, top: &Tensor, count: usize) -> Result<Tensor> {
        let dtype = bottom.dtype();
        let (bottom, top) = (self.place(bottom)?, self.place(top)?);
        let last = count.saturating_sub(1).max(1) as f64;
        let shares = Tensor::arange(0u32, count as u32, bottom.device())?.to_dtype(bottom.dtype())?;
        let places = shares.affine(1.0 / last, 0.0)?.broadcast_mul(&(top - &bottom)?)?.broadcast_add(&bottom)?;
        Ok(self.sigma(&places)?.to_dtype(dtype)?)
    }

    /// The place of the level of logarithm ln σ on the scale.
    fn place(self, ln_sigma: &Tensor) -> Result<Tensor> {
        let [first, rise] = BETA;
        let exact = || ln_sigma.to_dtype(DType::F64);
        Ok(match self {
            Schedule::Geometric => ln_sigma.clone(),
            // ∫β dt = β₀ t + ½ (β₁ - β₀) t² = ln(1 + σ²) = -2 ln α.
            Schedule::Vp => {
                let decay = exact()?.affine(2.0, 0.0)?.exp()?.affine(1.0, 1.0)?.log()?;
                decay.affine(2.0 * rise, first * first)?.sqrt()?.affine(1.0 / rise, -first / rise)?
            }
            Schedule::Edm => exact()?.affine(1.0 / RHO, 0.0)?.exp()?,
        })
    }

    /// The level at a place of the scale.
    fn sigma(self, place: &Tensor) -> Result<Tensor> {
        let [first, rise] = BETA;
        Ok(match self {
            Schedule::Geometric => place.exp()?,
            Schedule::Vp => {
                let decay = (place.sqr()?.affine(0.5 * rise, 0.0)? + place.affine(first, 0.0)?)?;
                decay.exp()?.affine(1.0, -1.0)?.sqrt()?
            }
            Schedule::Edm => place.log()?.affine(RHO, 0.0)?.exp()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn levels(schedule: Schedule, [low, high]: [f64; 2], count: usize) -> Vec<f64> {
        let [low, high] = [low, high].map(|sigma| Tensor::new(&[sigma.ln() as f32], &Device::Cpu).unwrap());
        let sigmas = schedule.between(&low, &high, count).unwrap();
        assert_eq!(sigmas.dtype(), DType::F32);
        sigmas.to_dtype(DType::F64).unwrap().to_vec1().unwrap()
    }

    /// Each schedule as its paper writes it: Song et al. 2021, eq. 33 (α = exp(-¼ t² (β₁ - β₀) - ½ t β₀)), Karras et
    /// al. 2022, eq. 5.
    #[test]
    fn levels_are_those_of_the_papers_equations() {
        let count = 7;
        let share = |i: usize| i as f64 / (count - 1) as f64;
        let vp = |t: f64| {
            let alpha = (-0.25 * t * t * 19.9 - 0.5 * t * 0.1).exp();
            (1.0 - alpha * alpha).sqrt() / alpha
        };
        let ends = [vp(1e-3), vp(1.0)];
        let edm = |i: usize| {
            let [low, high] = [0.002f64, 80.0].map(|sigma| sigma.powf(1.0 / 7.0));
            (low + share(i) * (high - low)).powi(7)
        };
        let beds: [(Schedule, [f64; 2], Vec<f64>); 3] = [
            (Schedule::Geometric, [0.1, 6.4], (0..count).map(|i| 0.1 * 2f64.powi(i as i32)).collect()),
            (Schedule::Vp, ends, (0..count).map(|i| vp(1e-3 + share(i) * (1.0 - 1e-3))).collect()),
            (Schedule::Edm, [0.002, 80.0], (0..count).map(edm).collect()),
        ];
        for (schedule, ends, want) in beds {
            for (have, want) in levels(schedule, ends, count).iter().zip(want) {
                assert!((have / want - 1.0).abs() < 1e-4, "{schedule:?}: {have} and {want}");
            }
        }
    }

    #[test]
    fn one_level_is_the_lowest() {
        for schedule in [Schedule::Geometric, Schedule::Vp, Schedule::Edm] {
            let [only] = levels(schedule, [0.3, 5.0], 1).try_into().unwrap();
            assert!((only - 0.3f64).abs() < 1e-5, "{schedule:?}: {only}");
        }
    }
}

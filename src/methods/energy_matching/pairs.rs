//! Noise and data in pairs, and the points between them.

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::density::by_row;
use crate::math::{assignment, linalg};
use crate::{Result, rng::Key};

/// The pairs that noise and data are put into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::methods) enum Coupling {
    /// Within each 256 items of a batch, those of the least sum of squared distances (optimal transport).
    #[default]
    Ot,
    /// As they are drawn.
    Independent,
}

/// The velocity that is learned between a pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::methods) enum Velocity {
    /// x₁ - x₀ everywhere (energy matching).
    #[default]
    Constant,
    /// c(t)(x₁ - x₀), c = 4 min(1, (1 - t)/0.2), which vanishes at the data (equilibrium matching).
    Vanishing,
}

impl Velocity {
    /// c at the times t `[B]`.
    fn factor(self, t: &Tensor) -> Result<Tensor> {
        match self {
            Velocity::Constant => Ok(t.ones_like()?),
            Velocity::Vanishing => Ok((t.affine(-5.0, 5.0)?.minimum(1.0)? * 4.0)?),
        }
    }
}

/// Points on the way from noise to data.
pub(super) struct Between {
    /// (1 - t) x₀ + t x₁ + σξ, `[B, ..]`.
    pub x: Tensor,
    /// The velocity there, of the same shape.
    pub velocity: Tensor,
    /// t, `[B]`, uniform on (0, 1).
    pub time: Tensor,
}

impl Between {
    /// Points between fresh noise N(0, I) and the items x₁ `[B, ..]`.
    ///
    /// # Errors
    /// The device fails.
    pub fn new(key: Key, x1: &Tensor, coupling: Coupling, velocity: Velocity, blur: f64) -> Result<Self> {
        let normal = |name: &str| key.with(name).normal(x1.shape(), x1.dtype(), x1.device());
        let mut x0 = normal("noise")?;
        if coupling == Coupling::Ot {
            x0 = coupled(&x0, x1)?;
        }
        let time = key.with("time").uniform(x1.dim(0)?, x1.dtype(), x1.device())?;
        let straight = (x1 - &x0)?;
        let mut x = (x0 + by_row(&straight, &time)?)?;
        if blur > 0.0 {
            x = (x + (normal("blur")? * blur)?)?;
        }
        Ok(Between { x, velocity: by_row(&straight, &velocity.factor(&time)?)?, time })
    }
}

/// The items among which pairs are sought: the time of an exact assignment grows as the cube of their number.
const GROUP: usize = 256;

/// The rows of x₀ in the order in which they are nearest, in the sum of squared distances, to those of x₁, group by
/// group.
fn coupled(x0: &Tensor, x1: &Tensor) -> Result<Tensor> {
    let n = x0.dim(0)?;
    let group = |at: usize| {
        let size = GROUP.min(n - at);
        nearest(&x0.narrow(0, at, size)?, &x1.narrow(0, at, size)?)
    };
    Ok(Tensor::cat(&(0..n).step_by(GROUP).map(group).collect::<Result<Vec<_>>>()?, 0)?)
}

/// The rows of x₀ as [`coupled`] within one group.
fn nearest(x0: &Tensor, x1: &Tensor) -> Result<Tensor> {
    let [from, to] = [x0, x1].map(|x| x.flatten_from(1));
    let (from, to) = (from?.to_dtype(DType::F64)?, to?.to_dtype(DType::F64)?);
    // |a - b|² but for what does not depend on the pairs.
    let cost = linalg::to_host(&to.matmul(&from.t()?.contiguous()?)?)?;
    let rows: Vec<Vec<f64>> = cost.row_iter().map(|row| row.iter().map(|v| -v).collect()).collect();
    let order: Vec<u32> = assignment(&rows).into_iter().map(|i| i as u32).collect();
    Ok(x0.index_select(&Tensor::new(order, x0.device())?, 0)?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::math::stats;

    /// N(0, 1) is carried to N(0, s²) by x₁ = s x₀, along c x₀ with c = 1 - t + ts, so that the velocity at x is
    /// (s - 1) x E[1/c | x] with c² the variance of x given t.
    #[test]
    fn transport_between_normal_densities_has_the_velocity_of_the_closed_form() {
        const S: f64 = 2.0;
        let velocity = |x: f64| {
            let at = |i: usize| 1.0 + (S - 1.0) * (i as f64 + 0.5) / 400.0;
            let weight = |c: f64| (-0.5 * (x / c).powi(2)).exp() / c;
            let sum = |f: &dyn Fn(f64) -> f64| (0..400).map(|i| f(at(i))).sum::<f64>();
            (S - 1.0) * x * sum(&|c| weight(c) / c) / sum(&|c| weight(c))
        };
        let mut moments = [Vec::new(), Vec::new()];
        for i in 0..60 {
            let x1 = (Key::new(1).at(i).normal((256, 1), DType::F64, &Device::Cpu).unwrap() * S).unwrap();
            let found = Between::new(Key::new(2).at(i), &x1, Coupling::Ot, Velocity::Constant, 0.0).unwrap();
            let list = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f64>().unwrap();
            let rows = list(&found.x).into_iter().zip(list(&found.velocity));
            let miss: Vec<[f64; 2]> =
                rows.map(|(x, v)| [(v - velocity(x)) * x, (v - velocity(x)) * x.powi(3)]).collect();
            for (k, all) in moments.iter_mut().enumerate() {
                all.push(stats::mean(&miss.iter().map(|m| m[k]).collect::<Vec<_>>()));
            }
        }
        for (all, slack) in moments.iter().zip([0.01, 0.1]) {
            let (mean, error) = (stats::mean(all), stats::std_error(all));
            assert!(mean.abs() < 4.0 * error + slack && error < 20.0 * slack, "{mean} ± {error}");
        }
    }

    #[test]
    fn transport_is_no_longer_than_chance_and_vanishing_velocities_vanish_at_the_data() {
        let x1 = Key::new(3).normal((40, 5), DType::F32, &Device::Cpu).unwrap();
        let long = |coupling| {
            let found = Between::new(Key::new(4), &x1, coupling, Velocity::Constant, 0.0).unwrap();
            found.velocity.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap()
        };
        assert!(long(Coupling::Ot) < long(Coupling::Independent));
        let many = Key::new(5).normal((GROUP + 3, 2), DType::F32, &Device::Cpu).unwrap();
        let other = (&many + 0.0).unwrap().flip(&[0]).unwrap();
        let rows = coupled(&other, &many).unwrap();
        assert_eq!(rows.dims(), many.dims(), "a batch beyond one group");
        let sum = |x: &Tensor| x.sum(0).unwrap().to_vec1::<f32>().unwrap();
        assert!(sum(&rows).iter().zip(sum(&many)).all(|(a, b)| (a - b).abs() < 1e-3), "a permutation");
        let t = Tensor::new(&[0.0f64, 0.5, 0.8, 0.9, 1.0], &Device::Cpu).unwrap();
        let factor = Velocity::Vanishing.factor(&t).unwrap().to_vec1::<f64>().unwrap();
        for (have, want) in factor.into_iter().zip([4.0, 4.0, 4.0, 2.0, 0.0]) {
            assert!((have - want).abs() < 1e-9);
        }
    }
}

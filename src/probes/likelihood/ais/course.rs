//! The densities that annealing passes: between a base and an energy, or down the noise levels of an energy.

use candle_core::{DType, Tensor};

use crate::Result;
use crate::density::{Bridge, Density, Energy};
use crate::probes::support::items::not_finite;
use crate::samplers::Chain;

/// The energies U_β, 0 ≤ β ≤ 1, from that of a normalised base to a target.
pub enum Course<'a> {
    /// U_β = (1 - β) E_0 + β E, the geometric path.
    Geometric {
        /// exp(-E_0).
        base: &'a dyn Density,
        /// E.
        target: &'a dyn Energy,
    },
    /// U_β = E(x, σ) with ln σ going evenly from the top of a noise ladder to level 0; U_0 is the base.
    Levels {
        /// The normal density at the top.
        base: &'a dyn Density,
        /// E(x, σ) at levels σ `[B]`, one an item.
        at: &'a EnergyAt<'a>,
        /// ln σ at the top and at level 0.
        ends: [f64; 2],
    },
}

/// The energies at levels σ `[B]`, one an item.
pub type EnergyAt<'a> = dyn Fn(&Tensor) -> Result<Box<dyn Energy + 'a>> + 'a;

/// Energies and gradients of both ends of a geometric path at the same points.
pub struct Ends {
    base: (Tensor, Tensor),
    target: (Tensor, Tensor),
}

impl<'a> Course<'a> {
    pub(super) fn base(&self) -> &'a dyn Density {
        match self {
            Course::Geometric { base, .. } | Course::Levels { base, .. } => *base,
        }
    }

    /// The length that step sizes are in units of: 1, or σ at the top.
    pub(super) fn scale(&self) -> f64 {
        match self {
            Course::Geometric { .. } => 1.0,
            Course::Levels { ends, .. } => ends[0].exp(),
        }
    }

    /// How often a pilot walk moves at each temperature to find the step size: widths fall by orders of magnitude on
    /// the way down the levels.
    pub(super) fn trials(&self) -> u64 {
        match self {
            Course::Geometric { .. } => 1,
            Course::Levels { .. } => 5,
        }
    }

    /// What all energies of a geometric path at x follow from; nothing of other paths.
    pub(super) fn ends(&self, x: &Tensor) -> Result<Option<Ends>> {
        let Course::Geometric { base, target } = self else { return Ok(None) };
        let part = |(e, g): (Tensor, Tensor)| (e.detach(), g.detach());
        Ok(Some(Ends { base: part(base.grad(x)?), target: part(target.grad(x)?) }))
    }

    /// U_from - U_to at x, by the ends there where they are known.
    ///
    /// # Errors
    /// A NaN.
    pub(super) fn fall(&self, x: &Tensor, ends: Option<&Ends>, from: f64, to: f64) -> Result<Vec<f64>> {
        let gaps = match (self, ends) {
            (Course::Geometric { .. }, Some(ends)) => gap(&ends.base.0, &ends.target.0)?,
            (Course::Geometric { base, target }, None) => gap(&base.energy(x)?.detach(), &target.energy(x)?.detach())?,
            (Course::Levels { .. }, _) => {
                let value = |beta: f64| Ok::<_, crate::Error>(self.energy(x, beta)?.energy(x)?.detach());
                return gap(&value(to)?, &value(from)?);
            }
        };
        Ok(gaps.iter().map(|gap| (from - to) * gap).collect())
    }

    /// U_β as an energy of points such as x, and chains at x.
    pub(super) fn begin(&self, x: &Tensor, ends: Option<&Ends>, beta: f64) -> Result<(Box<dyn Energy + '_>, Chain)> {
        let (Course::Geometric { base, target }, Some(ends)) = (self, ends) else {
            return Ok((self.energy(x, beta)?, Chain::at(x)));
        };
        let bridge = Bridge { from: *base, to: *target, beta };
        let (energy, grad) = (bridge.mix(&ends.base.0, &ends.target.0)?, bridge.mix(&ends.base.1, &ends.target.1)?);
        Ok((Box::new(bridge), Chain::known(x.clone(), energy, Some(grad))))
    }

    fn energy(&self, x: &Tensor, beta: f64) -> Result<Box<dyn Energy + '_>> {
        match self {
            Course::Geometric { base, target } => Ok(Box::new(Bridge { from: *base, to: *target, beta })),
            Course::Levels { base, .. } if beta == 0.0 => Ok(Box::new(*base)),
            Course::Levels { at, ends: [top, bottom], .. } => {
                let sigma = ((1.0 - beta) * top + beta * bottom).exp();
                at(&Tensor::full(sigma, x.dim(0)?, x.device())?.to_dtype(x.dtype())?)
            }
        }
    }
}

/// E - E_0 in f64.
///
/// # Errors
/// A NaN.
fn gap(base: &Tensor, target: &Tensor) -> Result<Vec<f64>> {
    let gaps = (target.to_dtype(DType::F64)? - base.to_dtype(DType::F64)?)?.to_vec1::<f64>()?;
    match gaps.iter().any(|v| v.is_nan()) {
        true => Err(not_finite("the energy is not a number where a chain of `ais` stands")),
        false => Ok(gaps),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::super::{AnnealConfig, Annealing, Bracket, ChainStart};
    use super::*;
    use crate::density::known::{Blurred, Known};
    use crate::density::{Gaussian, laplacian_axis_by_axis, slope_of_grad};
    use crate::nets::Builder;
    use crate::rng::Key;

    /// -log p_σ + 2, so that Z = e⁻² at every level.
    struct Raised(Blurred);

    impl Energy for Raised {
        fn energy(&self, x: &Tensor) -> Result<Tensor> {
            Ok((self.0.energy(x)? + 2.0)?)
        }

        fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
            let (energy, grad) = self.0.grad(x)?;
            Ok(((energy + 2.0)?, grad))
        }

        fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
            slope_of_grad(self, x, v)
        }

        fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
            self.0.curvature(x, v)
        }

        fn laplacian(&self, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
            laplacian_axis_by_axis(self, x)
        }
    }

    /// Modes 12 standard deviations apart of weights .8 and .2: the way up ends with these weights though no chain
    /// crosses at level 0, and both ways have the normaliser within their errors.
    #[test]
    fn down_the_levels_of_a_mixture_lie_its_normaliser_and_its_weights() {
        let known = Known::new(&[vec![-3.0; 2], vec![3.0; 2]], &[0.8, 0.2], 0.7);
        let (mean, _) = known.moments();
        assert!((mean.to_vec1::<f64>().unwrap()[0] + 1.8).abs() < 1e-12);
        let base = Gaussian::new(&[2], -1.8, 12.0, &Builder::new(Key::new(0), DType::F64, &Device::Cpu)).unwrap();
        let at = |sigma: &Tensor| Ok(Box::new(Raised(known.at(sigma))) as Box<dyn Energy>);
        let course = Course::Levels { base: &base, at: &at, ends: [12f64.ln(), 0.1f64.ln()] };
        let keys = AnnealConfig { temperatures: 120, draws: 100, ..AnnealConfig::default() };
        let path = Annealing::along(course, &keys, Key::new(1)).unwrap();
        let origin = ChainStart { x: known.draws(Key::new(2), 100, 0.1), exact: true };
        let found = Bracket::new(&path, &keys, Some(&origin), Key::new(3)).unwrap();
        let near = |estimate: f64, error: f64| assert!((estimate + 2.0).abs() < 4.0 * error, "{estimate} ± {error}");
        near(found.log_z(), found.up.log_weights.std_error());
        near(found.log_z_reverse().unwrap(), found.down.as_ref().unwrap().log_weights.std_error());
        let effective = found.up.log_weights.effective();
        assert!(effective > 8.0, "{effective}");
        let right = found.up.x.narrow(1, 0, 1).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let weights = found.up.log_weights.shares();
        let share: f64 = right.iter().zip(weights).filter(|(x, _)| **x > 0.0).map(|(_, w)| w).sum();
        assert!((share - 0.2).abs() < 4.0 * (0.16 / effective).sqrt(), "{share}");
    }
}

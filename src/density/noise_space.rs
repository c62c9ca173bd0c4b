//! The space that a density's draws are made in: chains that move there instead of on the items themselves (Xiao et al.
//! 2021, "VAEBM", §3.2; Hoffman et al. 2019, "NeuTra-lizing bad geometry").

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::{Density, Energy, Gaussian, slope_of_grad};
use crate::{Error, Result, rng::Key};

/// Which coordinates chains move in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Space {
    /// The items x.
    #[default]
    Data,
    /// The noise ε that the base density's draws T(ε) are made of.
    Noise,
    /// A latent variable and the item, (z, x).
    Joint,
}

/// Points, flat, that are carried to items.
///
/// # Shapes
/// points `[B, P]`, items `[B, item..]`.
pub trait NoiseSpace: Send + Sync {
    /// n points drawn from the base density.
    fn start(&self, key: Key, n: usize) -> Result<Tensor>;

    /// The items T(ε).
    fn push(&self, at: &Tensor) -> Result<Tensor>;

    /// The items without observation noise, such as a decoder's means.
    fn quiet(&self, at: &Tensor) -> Result<Tensor> {
        self.push(at)
    }

    /// T(ε), and x̄ ↦ x̄·∂T/∂ε evaluated at the x̄ that `on_x` makes of T(ε).
    fn pulled(&self, at: &Tensor, on_x: &dyn Fn(&Tensor) -> Result<Tensor>) -> Result<(Tensor, Tensor)>;

    /// The density of the points that [`NoiseSpace::start`] draws, where it is the standard normal one.
    ///
    /// # Errors
    /// The device's own.
    fn normal(&self) -> Result<Option<Gaussian>> {
        Ok(None)
    }

    /// Minus the log-density of what [`NoiseSpace::start`] draws, `[B]`, and its gradient `[B, P]`: ε where points are
    /// noise.
    fn base(&self, at: &Tensor) -> Result<(Tensor, Tensor)>;
}

/// V(ε) = f(T(ε)) + the base's potential: what tilts the base, as an energy over the points. Its normaliser is that of
/// the tilted density, E[exp(-f)] under the base. Under f = 0 the points keep the base's distribution.
pub struct Potential<'a> {
    space: Box<dyn NoiseSpace + 'a>,
    tilt: Option<Box<dyn Energy + 'a>>,
    normal: Option<Gaussian>,
}

impl<'a> Potential<'a> {
    /// Of a tilt f; `None` is f = 0.
    ///
    /// # Errors
    /// The device's own.
    pub fn new(space: Box<dyn NoiseSpace + 'a>, tilt: Option<Box<dyn Energy + 'a>>) -> Result<Self> {
        Ok(Potential { normal: space.normal()?, space, tilt })
    }

    /// Where the points live.
    pub fn space(&self) -> &dyn NoiseSpace {
        &*self.space
    }

    /// The density of the points that the space's draws are made of, where that is the standard normal one.
    pub fn normal(&self) -> Option<&dyn Density> {
        self.normal.as_ref().map(|normal| normal as &dyn Density)
    }
}

impl Energy for Potential<'_> {
    fn energy(&self, at: &Tensor) -> Result<Tensor> {
        let (base, _) = self.space.base(at)?;
        match &self.tilt {
            Some(tilt) => Ok((base + tilt.energy(&self.space.push(at)?)?)?),
            None => Ok(base),
        }
    }

    fn grad(&self, at: &Tensor) -> Result<(Tensor, Tensor)> {
        let (mut value, mut grad) = self.space.base(at)?;
        if let Some(tilt) = &self.tilt {
            let energies = std::cell::RefCell::new(None);
            let on_x = |x: &Tensor| -> Result<Tensor> {
                let (energy, slope) = tilt.grad(x)?;
                energies.replace(Some(energy));
                Ok(slope)
            };
            let (_, pulled) = self.space.pulled(at, &on_x)?;
            let energy = energies.into_inner().ok_or_else(|| Error::Other("a transport that made no item".into()))?;
            (value, grad) = ((value + energy)?, (grad + pulled)?);
        }
        Ok((value, grad))
    }

    fn directional(&self, at: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        slope_of_grad(self, at, v)
    }

    /// Second derivatives of the transport are not computed, so that this fails always; kernels need none.
    fn curvature(&self, _: &Tensor, _: &Tensor) -> Result<[Tensor; 3]> {
        Err(no_second_derivatives())
    }

    /// As [`Energy::curvature`] of the potential.
    fn laplacian(&self, _: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        Err(no_second_derivatives())
    }
}

fn no_second_derivatives() -> Error {
    Error::Other("the potential of a noise space has no second derivatives; ask the energy of the items".into())
}

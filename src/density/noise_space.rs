//! The space of the noise that a density's draws are made of, in which chains can move instead of on the items (Xiao et
//! al. 2021, "VAEBM", §3.2; Hoffman et al. 2019, "NeuTra-lizing bad geometry").

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::parts::by_parts;
use super::{Density, Energy, Gaussian, slope_of_grad};
use crate::{Error, Result, ops, ranks, rng::Key};

/// The coordinates that chains move in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Space {
    /// The items x.
    #[default]
    Data,
    /// The noise ε, of which the base density's draws T(ε) are made.
    Noise,
    /// The pair (z, x) of a latent variable and the item.
    Joint,
}

/// A space of points ε and a map T that carries them to items, x = T(ε). Every function fails where a tensor operation
/// does.
///
/// # Shapes
/// points `[B, P]`, items `[B, item..]`; P is the number of coordinates of a point.
pub trait NoiseSpace: Send + Sync {
    /// Draws of points of the base density, `[n, P]`.
    fn start(&self, key: Key, n: usize) -> Result<Tensor>;

    /// The items T(ε).
    fn push(&self, at: &Tensor) -> Result<Tensor>;

    /// The items without observation noise, such as a decoder's means.
    fn quiet(&self, at: &Tensor) -> Result<Tensor> {
        self.push(at)
    }

    /// The items T(ε), and the pull-back x̄·∂T/∂ε, `[B, P]`, of the x̄ that `on_x` returns for T(ε).
    fn pulled(&self, at: &Tensor, on_x: &dyn Fn(&Tensor) -> Result<Tensor>) -> Result<(Tensor, Tensor)>;

    /// The density of the points that [`NoiseSpace::start`] draws, where it is the standard normal one.
    ///
    /// # Errors
    /// The device fails.
    fn normal(&self) -> Result<Option<Gaussian>> {
        Ok(None)
    }

    /// The potential of the points, minus the log-density of the draws of [`NoiseSpace::start`], `[B]`, and its
    /// gradient `[B, P]`, which is ε where points are standard normal noise.
    fn base(&self, at: &Tensor) -> Result<(Tensor, Tensor)>;
}

/// The potential of standard normal points `[B, P]`, minus their log-density, `[B]`, and its gradient.
///
/// # Errors
/// A tensor operation fails.
pub(super) fn standard_normal(at: &Tensor) -> Result<(Tensor, Tensor)> {
    let constant = 0.5 * at.dim(1)? as f64 * std::f64::consts::TAU.ln();
    Ok((ops::dot(at, at)?.affine(0.5, constant)?, at.clone()))
}

/// The energy V(ε) = f(T(ε)) + the base's potential over the points of a noise space, with f the tilt of the base. Its
/// normaliser is that of the tilted density, E[exp(-f)] under the base. With f = 0 the points keep the base's
/// distribution.
pub struct Potential<'a> {
    space: Box<dyn NoiseSpace + 'a>,
    tilt: Option<Box<dyn Energy + 'a>>,
    normal: Option<Gaussian>,
    /// Whether the base's potential is left out.
    alone: bool,
}

impl<'a> Potential<'a> {
    /// The potential of a tilt f; `None` is f = 0.
    ///
    /// # Errors
    /// The device fails.
    pub fn new(space: Box<dyn NoiseSpace + 'a>, tilt: Option<Box<dyn Energy + 'a>>) -> Result<Self> {
        Ok(Potential { normal: space.normal()?, space, tilt, alone: false })
    }

    /// The potential f(T(ε)) alone, without that of the base: it may have no normaliser.
    pub fn alone(space: Box<dyn NoiseSpace + 'a>, f: Box<dyn Energy + 'a>) -> Self {
        Potential { normal: None, space, tilt: Some(f), alone: true }
    }

    /// The space in which the points live.
    pub fn space(&self) -> &dyn NoiseSpace {
        &*self.space
    }

    /// The density of the points that the space's draws are made of, where that is the standard normal one.
    pub fn normal(&self) -> Option<&dyn Density> {
        self.normal.as_ref().map(|normal| normal as &dyn Density)
    }
}

impl Potential<'_> {
    /// The base's part of the potential, `[N]`, and its gradient.
    fn base(&self, at: &Tensor) -> Result<(Tensor, Tensor)> {
        if !self.alone {
            return self.space.base(at);
        }
        let none = at.zeros_like()?;
        Ok((none.narrow(1, 0, 1)?.squeeze(1)?, none))
    }

    /// The potential and its gradient at points `[N, ..]`.
    fn grad_of(&self, at: &Tensor) -> Result<(Tensor, Tensor)> {
        let (mut value, mut grad) = self.base(at)?;
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
}

impl Energy for Potential<'_> {
    fn energy(&self, at: &Tensor) -> Result<Tensor> {
        let (base, _) = self.base(at)?;
        match &self.tilt {
            Some(tilt) => Ok((base + tilt.energy(&self.space.push(at)?)?)?),
            None => Ok(base),
        }
    }

    fn grad(&self, at: &Tensor) -> Result<(Tensor, Tensor)> {
        // Among ranks the networks inside are divided: the tilt counts what it is asked, which is the whole batch then.
        let whole = at.track_op() || ranks::is_divided();
        if whole { self.grad_of(at) } else { by_parts(at, |at| self.grad_of(at)) }
    }

    fn directional(&self, at: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        slope_of_grad(self, at, v)
    }

    /// Fails always: second derivatives of the map T are not computed, and kernels need none.
    fn curvature(&self, _: &Tensor, _: &Tensor) -> Result<[Tensor; 3]> {
        Err(no_second_derivatives())
    }

    /// Fails always, as the curvature of the potential does.
    fn laplacian(&self, _: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        Err(no_second_derivatives())
    }
}

fn no_second_derivatives() -> Error {
    Error::Other("the potential of a noise space has no second derivatives; ask the energy of the items".into())
}

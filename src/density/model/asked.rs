//! The capabilities of a model beside its energy, as callers ask for them.

use candle_core::{Tensor, Var};

use super::{Capabilities, Model};
use crate::density::{BlockGibbs, Counted, Density, Energy, Form, NoiseSpace, Space, Vae};
use crate::{Result, rng::Key};

/// The capabilities of the model, each documented at [`Capabilities`]. Evaluations of the energy are counted.
impl Model {
    /// What this model can do beside its energy.
    fn can(&self) -> &dyn Capabilities {
        &*self.energy
    }

    /// The class logits, [`Capabilities::logits`], which count as the energy does.
    ///
    /// # Errors
    /// A tensor operation fails.
    pub fn logits(&self, x: &Tensor) -> Result<Option<Tensor>> {
        let logits = self.can().logits(x)?;
        if logits.is_some() {
            self.meter.value(x, self.live)?;
        }
        Ok(logits)
    }

    /// The class logits with the slope of the energy along v, [`Capabilities::logits_along`], which count as a gradient
    /// does.
    ///
    /// # Errors
    /// A tensor operation fails.
    pub fn logits_along(&self, x: &Tensor, v: &Tensor) -> Result<Option<[Tensor; 2]>> {
        let found = self.can().logits_along(x, v)?;
        if found.is_some() {
            self.meter.derivatives(x, 1, self.live)?;
        }
        Ok(found)
    }

    /// The class logits at x, `[B, K]`, and the slope in x of a loss of them, a scalar. It counts as a gradient does.
    ///
    /// # Errors
    /// A tensor operation fails.
    pub fn slope_of_logits(
        &self,
        x: &Tensor,
        loss: impl FnOnce(&Tensor) -> Result<Tensor>,
    ) -> Result<Option<[Tensor; 2]>> {
        let at = Var::from_tensor(&x.detach())?;
        let Some(logits) = self.can().logits(&at)? else { return Ok(None) };
        self.meter.derivatives(x, 1, self.live)?;
        let slopes = loss(&logits)?.backward()?;
        let slope = slopes.get(&at).map_or_else(|| x.zeros_like(), |slope| Ok(slope.detach()))?;
        Ok(Some([logits.detach(), slope]))
    }

    /// The energy within a class, [`Capabilities::given`].
    pub fn given(&self, y: &Tensor) -> Option<Counted<Box<dyn Energy>>> {
        Some(self.counted(self.can().given(y)?))
    }

    /// The energy at noise levels, [`Capabilities::at_level`].
    pub fn at_level(&self, sigma: &Tensor) -> Option<Counted<Box<dyn Energy>>> {
        Some(self.counted(self.can().at_level(sigma)?))
    }

    /// The energy with its gradient and its slope in the noise level, [`Capabilities::level_grad`]: two derivatives.
    ///
    /// # Errors
    /// A tensor operation fails.
    pub fn level_grad(&self, sigma: &Tensor, x: &Tensor) -> Result<Option<[Tensor; 3]>> {
        let found = self.can().level_grad(sigma, x)?;
        if found.is_some() {
            self.meter.derivatives(x, 2, self.live)?;
        }
        Ok(found)
    }

    /// The energy at noise levels with what stands for its gradient, [`Capabilities::level_field`]: one value.
    ///
    /// # Errors
    /// A tensor operation fails.
    pub fn level_field(&self, sigma: &Tensor, x: &Tensor) -> Result<Option<[Tensor; 2]>> {
        let found = self.can().level_field(sigma, x)?;
        if found.is_some() {
            self.meter.value(x, self.live)?;
        }
        Ok(found)
    }

    /// The normal density at the highest noise level, [`Capabilities::top`].
    ///
    /// # Errors
    /// A tensor operation fails.
    pub fn top(&self) -> Result<Option<Box<dyn Density>>> {
        self.can().top()
    }

    /// The noise levels, [`Capabilities::levels`].
    ///
    /// # Errors
    /// A tensor operation fails.
    pub fn levels(&self) -> Result<Option<Tensor>> {
        self.can().levels()
    }

    /// Whether the Laplacian is a formula, [`Capabilities::has_closed_laplacian`].
    pub fn has_closed_laplacian(&self) -> bool {
        self.can().has_closed_laplacian()
    }

    /// The features of a classifier, [`Capabilities::features`].
    ///
    /// # Errors
    /// A tensor operation fails.
    pub fn features(&self, x: &Tensor) -> Result<Option<Tensor>> {
        self.can().features(x)
    }

    /// The block Gibbs sampler, [`Capabilities::gibbs`].
    pub fn gibbs(&self) -> Option<&dyn BlockGibbs> {
        self.can().gibbs()
    }

    /// Does the work that follows every change of the weights, [`Capabilities::after_update`].
    ///
    /// # Errors
    /// A tensor operation fails.
    pub fn after_update(&self) -> Result<()> {
        self.can().after_update()
    }

    /// Sets the scales under weight norm, [`Capabilities::calibrate`].
    ///
    /// # Errors
    /// A tensor operation fails.
    pub fn calibrate(&self, items: &dyn Fn() -> Result<Tensor>) -> Result<()> {
        self.can().calibrate(items)
    }

    /// The base density, [`Capabilities::base`].
    pub fn base(&self) -> Option<&dyn Density> {
        self.can().base()
    }

    /// Draws from the base density, [`Capabilities::base_sample`].
    ///
    /// # Errors
    /// A tensor operation fails.
    pub fn base_sample(&self, key: Key, n: usize) -> Result<Option<Tensor>> {
        self.can().base_sample(key, n)
    }

    /// Whether the model is a flow: an exact density with a noise space, and no VAE.
    pub fn is_flow(&self) -> bool {
        self.density().is_some() && self.noise_space(Space::Noise).is_some() && self.vae().is_none()
    }

    /// The energy beside the base density, [`Capabilities::tilt`].
    pub fn tilt(&self) -> Option<Counted<Box<dyn Energy + '_>>> {
        Some(self.counted(self.can().tilt()?))
    }

    /// The learned part of E without its base density, or E itself where there is no base, `[B]`.
    ///
    /// # Errors
    /// A tensor operation fails.
    pub fn residual(&self, x: &Tensor) -> Result<Tensor> {
        self.tilt().map_or_else(|| self.energy(x), |tilt| tilt.energy(x))
    }

    /// The space of the base density's noise, [`Capabilities::noise_space`].
    pub fn noise_space(&self, space: Space) -> Option<Box<dyn NoiseSpace + '_>> {
        self.can().noise_space(space)
    }

    /// The variational autoencoder, [`Capabilities::vae`].
    pub fn vae(&self) -> Option<&Vae> {
        self.can().vae()
    }

    /// The unmixing matrix, [`Capabilities::unmixing`].
    pub fn unmixing(&self) -> Option<&Tensor> {
        self.can().unmixing()
    }

    /// The energy as parts that other programs know, [`Capabilities::form`].
    pub fn form(&self) -> Option<Form<'_>> {
        self.can().form()
    }

    /// The normalised density, [`Capabilities::density`]; its evaluations are not counted.
    pub fn density(&self) -> Option<&dyn Density> {
        self.can().density()
    }

    /// The log-density log p(x) in nats, `[B]`, if the normaliser is known; it counts as the energy does.
    ///
    /// # Errors
    /// A tensor operation fails.
    pub fn log_prob(&self, x: &Tensor) -> Result<Option<Tensor>> {
        let Some(density) = self.density() else { return Ok(None) };
        self.meter.value(x, self.live)?;
        density.log_prob(x).map(Some)
    }
}

//! Energies that other programs know too, as the parts that they are made of.

use candle_core::Tensor;

use super::PotentialForm;
use crate::nets::Network;

/// An energy made of well-known parts: one of a network f, or 0; and ½ Σ ((x - μ)/σ)² + Σ log σ + D/2 log 2π on top
/// where there is a normal density.
pub struct Form<'a> {
    /// The network f.
    pub net: Option<&'a Network>,
    /// The energy that f gives.
    pub of_net: OfNet,
    /// The normal density.
    pub normal: Option<Normal<'a>>,
    /// How all this becomes an energy of noise levels.
    pub ladder: Option<LadderForm<'a>>,
}

/// The energy of what a network f gives for x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OfNet {
    /// -log Σ exp f(x), of logits of classes.
    Logits,
    /// c V(x), a potential of this form times c.
    Potential(PotentialForm, f64),
}

impl OfNet {
    /// f(x), a number.
    pub const NUMBER: Self = OfNet::Potential(PotentialForm::Scalar, 1.0);
}

/// E(x, σ) = w g s h(y) - log N(x; μ, s_σ² I) of a network f, with y = (x - μ)/s_σ, s_σ² = s² + σ² - σ_0² and w = 1/s_σ
/// or 1/σ.
pub struct LadderForm<'a> {
    /// The mean μ, of an item's shape.
    pub mean: &'a Tensor,
    /// log s, `[1]`.
    pub log_std: &'a Tensor,
    /// All that is no tensor.
    pub scales: LadderScales,
}

/// The levels of a [`LadderForm`], and how its network's part is made.
#[derive(Clone, Debug)]
pub struct LadderScales {
    /// The levels σ_0 < σ_1 < ….
    pub sigmas: Vec<f64>,
    /// σ_0, as it is in s_σ.
    pub lowest: f64,
    /// How h is made of f.
    pub form: PotentialForm,
    /// Whether f reads functions of σ in channels behind those of y; its layers do otherwise.
    pub in_channels: bool,
    /// Whether w is 1/σ.
    pub growing: bool,
    /// g.
    pub gain: f64,
}

/// A normal density with diagonal covariance.
pub struct Normal<'a> {
    /// The mean μ, of an item's shape or `[1]`.
    pub mean: &'a Tensor,
    /// log σ, of the same shape.
    pub log_std: &'a Tensor,
}

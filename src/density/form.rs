//! Energies that other programs know too, as the parts that they are made of.

use candle_core::Tensor;

use crate::nets::Network;

/// An energy made of well-known parts: E(x) = f(x), or -log Σ exp f(x), or 0; and ½ Σ ((x - μ)/σ)² + Σ log σ + D/2 log
/// 2π on top where there is a normal density.
pub struct Form<'a> {
    /// The network f.
    pub net: Option<&'a Network>,
    /// Whether f gives logits of classes.
    pub logits: bool,
    /// The normal density.
    pub normal: Option<Normal<'a>>,
}

/// A normal density with diagonal covariance.
pub struct Normal<'a> {
    /// The mean μ, of an item's shape or `[1]`.
    pub mean: &'a Tensor,
    /// log σ, of the same shape.
    pub log_std: &'a Tensor,
}

//! The loss whose gradient is that of -log p if the negative items are draws of the model.

use candle_core::Tensor;

use super::readings::{ENERGY, Readings, mean};
use crate::Result;
use crate::metrics::{Number, Unit};

/// The numbers of [`likelihood_gap`].
pub(in crate::methods) const NUMBERS: [Number; 3] = [
    ENERGY,
    Number::new("sample_energy", Unit::Nats, "mean energy of the negative items, weighted where these are"),
    Number::gap("energy_gap", "sample_energy less energy: 0 on average where the model is right").lead(),
];

/// The loss mean E(x⁺) - mean E(x⁻) + l2 (mean E(x⁺)² + mean E(x⁻)²), a scalar, from the energies `up` of the data x⁺
/// and `down` of the negative items x⁻; the numbers are `energy`, `sample_energy` and `energy_gap` in nats. Where x⁻
/// are weighted, `shares` `[n]`, which sum to one, weight the second mean, not the fourth.
///
/// # Shapes
/// Energies `up` `[B]` and `down` `[n]`.
pub(in crate::methods) fn likelihood_gap(
    up: &Tensor,
    down: &Tensor,
    shares: Option<&Tensor>,
    l2: f64,
) -> Result<(Tensor, Readings)> {
    let below = match shares {
        Some(shares) => (shares * down)?.sum_all()?,
        None => down.mean_all()?,
    };
    let mut loss = (up.mean_all()? - &below)?;
    if l2 > 0.0 {
        loss = (loss + ((up.sqr()?.mean_all()? + down.sqr()?.mean_all()?)? * l2)?)?;
    }
    let on_data = mean(up)?;
    let on_samples = mean(&below)?;
    let gap = (&on_samples - &on_data)?;
    Ok((loss, Readings::new().with("energy", on_data).with("sample_energy", on_samples).with("energy_gap", gap)))
}

//! The E-BFMI, which says whether a Hamiltonian sampler explores the energies of its target.

use super::variance;

/// The estimated Bayesian fraction of missing information of one chain's energies, mean (E_i - E_{i-1})² / var E
/// (Betancourt 2016, eq. 3.1). Below 0.3 fresh momenta change the energy too little to reach the tails. NaN for a chain
/// that never moved.
pub fn bfmi(energy: &[f64]) -> f64 {
    let step = |pair: &[f64]| if let [a, b] = pair { (b - a).powi(2) } else { f64::NAN };
    let steps: Vec<f64> = energy.windows(2).map(step).collect();
    super::stats::mean(&steps) / variance(energy)
}

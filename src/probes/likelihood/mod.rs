//! How likely the model finds the data: exact where the normaliser is known, by quadrature, or by annealing.

pub mod ais;
pub(super) mod bound;
pub mod exact;
pub(super) mod levels;
pub mod mode_weights;
pub mod nll;
pub(super) mod ode;
pub(super) mod own_density;
pub(super) mod teaching;

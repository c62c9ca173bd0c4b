//! Numbers without a model: sums of exponentials, statistics, special functions.

mod bulk;
mod grid;
mod logsumexp;
mod normal;
pub mod stats;

pub use bulk::{fill_logistic, fill_normal};
pub use grid::Grid;
pub use logsumexp::{log_mean_exp, logsumexp, logsumexp_dim};
pub use normal::{erfc, normal_cdf, normal_quantile};

//! Numbers without a model: sums of exponentials, statistics, special functions.

mod logsumexp;
mod normal;
pub mod stats;

pub use logsumexp::{log_mean_exp, logsumexp, logsumexp_dim};
pub use normal::{erfc, normal_cdf, normal_quantile};

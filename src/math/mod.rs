//! Numbers without a model: sums of exponentials, statistics, special functions.

mod grid;
mod logsumexp;
mod normal;
pub mod stats;
mod student;

pub use grid::Grid;
pub use logsumexp::{log_mean_exp, logsumexp, logsumexp_dim};
pub use normal::{erfc, normal_cdf, normal_quantile};
pub use student::student_two_sided;

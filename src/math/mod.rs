//! Numbers without a model: sums of exponentials, statistics, special functions, small matrices.

mod bulk;
mod grid;
pub mod linalg;
mod logsumexp;
mod minimise;
mod normal;
pub mod stats;
mod student;

pub use bulk::{fill_logistic, fill_normal};
pub use grid::Grid;
pub use logsumexp::{log_mean_exp, logsumexp, logsumexp_dim};
pub use minimise::minimise;
pub use normal::{erfc, normal_cdf, normal_quantile};
pub use student::student_two_sided;

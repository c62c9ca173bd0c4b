//! Mathematics without models: sums of exponentials, statistics, special functions, small matrices, scores of
//! predictions.

mod assignment;
mod bennett;
mod bulk;
mod calibration;
pub mod convergence;
mod detection;
mod grid;
mod kmeans;
pub mod linalg;
mod log_weights;
mod logsumexp;
mod minimise;
pub mod mmd;
mod normal;
mod numeral;
mod sliced;
pub mod stats;
mod student;
pub mod two_samples;

pub use assignment::assignment;
pub use bennett::Bennett;
pub use bulk::{fill_logistic, fill_normal};
pub use calibration::{Bin, Calibration, largest};
pub use detection::Detection;
pub use grid::Grid;
pub use kmeans::centres;
pub use log_weights::LogWeights;
pub use logsumexp::{log_mean_exp, logsumexp, logsumexp_dim};
pub use minimise::minimise;
pub use normal::{erfc, normal_cdf, normal_quantile};
pub use numeral::Numeral;
pub use sliced::sliced_wasserstein;
pub use student::student_two_sided;

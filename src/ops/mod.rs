//! The operations for which candle's CPU versions are many times slower than they need to be.
//!
//! Each is differentiable by one ordinary `backward()`, derivative passes included, and runs on every device. A file
//! here holds an operation with its shape checks and its derivatives, which are operations again; `backend.rs` alone
//! chooses who computes it: kernels, or candle's own operations (`composed.rs`), which serve every device and type. The
//! kernels of `cpu/` are behind the `cpu_fwd` of the operations, those of `cuda/` behind the `cuda_fwd` of those that
//! have one: the convolution, the activations, group norm and their derivatives, the updates, the choice of rows, and
//! what draws as it computes.
//!
//! Results do not depend on the number of threads.

mod activated;
mod activation;
mod backend;
mod checks;
mod composed;
mod conv;
#[cfg(feature = "cudnn")]
mod conv_by_pixel;
mod cpu;
#[cfg(any(test, feature = "cuda"))]
mod cuda;
mod group_norm;
mod kept;
mod linear;
mod node;
mod order;
mod pieces;
mod random;
mod replay;
mod rounded;
mod rows;
mod shapes;
mod spec;
mod sums;
mod update;
mod version;
mod weights;

#[cfg(test)]
mod contract;
#[cfg(test)]
#[path = "../../docs/skeletons/operation.rs"]
mod skeleton;
#[cfg(test)]
mod tests;

pub use activated::{conv2d_activated, conv2d_activated_pullback, conv2d_activated_weight_gradient};
pub use activation::{activate, activate_curve, activate_jet, activate_pullback};
pub use checks::OpCheck;
pub use conv::{conv2d, conv2d_jet, conv2d_pullback, conv2d_stacked, conv2d_weight_gradient};
pub use group_norm::{by_channel, group_norm, group_norm_jacobian, group_norm_parameters, group_norm_pullback};
pub use kept::Kept;
pub use linear::{linear, linear_jet, linear_pullback, linear_stacked, linear_weight_gradient, repeated};
pub use node::node;
pub use order::{Order, at_every_pixel, channels_first, pixel_sum, stacked};
pub use random::{dropout, langevin_move, metropolis, normal_like};
pub use replay::Replay;
pub use rows::choose_rows;
pub use spec::{Activation, Adam, Conv, Dropping, LangevinMove, NORM_EPSILON, Sgd, Stepping};
pub use sums::{add, channel_sum, column_sum, dot};
pub use update::{
    adam_steps, adam_update, langevin_update, lerp_update, lerp_updates, sgd_steps, sgd_update, sum_of_squares,
};
pub use version::{assign, version};
pub use weights::LayerWeights;

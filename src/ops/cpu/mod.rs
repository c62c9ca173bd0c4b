//! The kernels of the CPU: functions of storages, which know nothing of graphs.
//!
//! Results do not depend on the number of threads: work is divided by shapes alone.

pub(in crate::ops) mod access;
pub mod activation;
mod columns;
pub mod conv;
mod curve;
pub mod group_norm;
pub mod linear;
mod philox;
mod pixels;
pub mod random;
mod raw;
pub(in crate::ops) mod real;
pub mod reduce;
pub mod rows;
mod scratch;
pub mod update;
pub mod vector;
mod windows;
mod winograd;

pub use access::{Output, wanted};

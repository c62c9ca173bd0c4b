//! The kernels of GPUs: functions of storages, like those of `cpu/`. Convolutions are cuDNN's (feature `cudnn`);
//! activations, group norm, updates in place, the choice of rows, the biases of bf16 and what draws random numbers are
//! our own (feature `cuda`); whatever else is asked of a GPU is composed of candle's operations.
//!
//! `plan.rs` is arithmetic, and tested on any machine; the `.cu` files are compiled as C++ there and held against
//! the CPU.

#[cfg(feature = "cuda")]
pub mod access;
#[cfg(feature = "cuda")]
pub mod activation;
#[cfg(feature = "cudnn")]
pub mod conv;
#[cfg(feature = "cudnn")]
mod cudnn;
#[cfg(feature = "cuda")]
pub mod graph;
#[cfg(feature = "cuda")]
pub mod group_norm;
#[cfg(feature = "cuda")]
mod launch;
#[cfg_attr(not(feature = "cudnn"), allow(dead_code))] // what only convolutions ask, and tests
pub mod plan;
#[cfg(feature = "cuda")]
pub mod random;
#[cfg(feature = "cuda")]
pub mod rows;
#[cfg(test)]
mod twin;
#[cfg(feature = "cuda")]
pub mod update;
#[cfg(feature = "cudnn")]
mod widen;

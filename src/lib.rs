//! `ebm`: train, sample and evaluate unnormalised densities p(x) = exp(-E(x)) / Z.
//!
//! The house, from the door to the cellar. A room may use the rooms below it, never one above
//! (`tests/layers` checks the `use crate::` lines).

pub mod cli; // one file a subcommand: arguments in, exit code out, no mathematics

pub mod exchange; // models to and from other programs: weights of PyTorch in, PyTorch and ONNX out
pub mod report; // runs in, tables of means over repeats and plots with error bars out
pub mod sweep; // many runs from one plan: grid, random and seeds as trials, jobs, continuing

pub mod run; // experiment, run folder, trainer, metrics, signals

pub mod probes; // what is measured while training and after: likelihoods, LSD, goodness-of-fit tests

pub mod methods; // how an energy is trained, one file a method: lsd, ml, score matching, nce …

pub mod samplers; // Markov kernels on an energy: langevin, sgld, mala, gibbs; exact draws

pub mod density; // what a model is: Energy (p up to Z) and Density (Z known): networks, RBM, ICA, flows

pub mod nets; // networks whose layers carry their pull-back and tangent pass

pub mod data; // data sets, splits, transforms, download and verification
pub mod draw; // tensors and series in, PNG or SVG bytes out: grids, densities, curves
pub mod math; // log-sum-exp, statistics, quadrature
pub mod optim; // Adam, EMA, gradient clipping; all state goes into the checkpoint
pub mod store; // files written all or nothing, checkpoints with a checksum: what survives a kill -9

pub mod ranks; // one run over several processes: who computes which part of a batch

pub mod config; // TOML with positions: extends, --set, decoding, diagnostics, registries
pub mod ops; // tensor operations where candle's are many times slower on a CPU, each with its derivatives

pub mod device; // cpu, cuda:0, auto
pub mod error; // every way to fail, and its exit code
pub mod metrics; // named numbers of one step
pub mod process; // memory and threads of a program, set before anything else
pub mod rng; // counter-based randomness: a draw is a function of (seed, purpose, step)
pub mod shell; // commands of this program as a user can paste them

pub use error::{Error, Result};

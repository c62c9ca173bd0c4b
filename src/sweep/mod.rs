//! Many runs from one plan: grid, linked values, random draws, arms and seeds become trials, each a run folder.
//!
//! A [`Plan`] is a TOML file; [`Plan::trials`] checks every configuration and names the trials; a [`Folder`] knows how
//! each stands; [`run`] starts those that are not done as processes of their own, so that a trial that dies takes
//! nothing with it. Running a sweep again is how it is continued. With `[halving]`, a [`Search`] sends trials up rung
//! by rung, asynchronously, and stops those that are not among the best.

mod agenda;
mod climb;
mod expand;
mod folder;
mod gpus;
mod idle;
mod ladder;
mod launch;
mod launcher;
mod plan;
mod pool;
mod progress;
mod queue;
mod random;
mod rungs;
mod search;
pub mod slurm;
mod trial;

pub use folder::{Folder, TrialState};
pub use gpus::{gpus, on_gpu};
pub use launch::{run, search};
pub use launcher::{Launcher, Scheduler};
pub use plan::Plan;
pub use pool::{Launch, TrialEnd};
pub use rungs::Halving;
pub use search::{Rung, Search};
pub use trial::Trial;

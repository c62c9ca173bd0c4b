//! Many runs from one plan: grid, linked values, random draws, arms and seeds become trials, each a run folder.
//!
//! A [`Plan`] is a TOML file; [`Plan::trials`] checks every configuration and names the trials; a [`Folder`] knows how
//! each stands; [`run`] starts those that are not done as processes of their own, so that a trial that dies takes
//! nothing with it. Running a sweep again is how it is continued.

mod expand;
mod folder;
mod idle;
mod launch;
mod plan;
mod progress;
mod random;
mod trial;

pub use folder::{Folder, TrialState};
pub use launch::{Launch, TrialEnd, run, threads};
pub use plan::Plan;
pub use trial::Trial;

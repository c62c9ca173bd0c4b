//! Stein discrepancies: the critic that methods and probes train.

mod critic;

pub use critic::{Critic, CriticConfig, Noise, Objective, SteinSample};

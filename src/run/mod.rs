//! A run and what is left of it: experiment, folder, metrics, signals.

mod best;
mod curves;
mod declared;
mod experiment;
mod folder;
mod guard;
mod journal;
mod looks;
mod manifest;
pub mod metrics;
mod out;
mod progress;
pub mod show;
pub mod signal;
pub mod tensorboard;
mod train_config;
mod trainer;

pub use best::{Best, Extreme};
pub use declared::{Declaration, Declared, Reporter};
pub use experiment::{Experiment, TopConfig, sections};
pub use folder::{Paths, RunFolder, default_dir};
pub use guard::{Guard, GuardConfig};
pub use journal::Journal;
pub use looks::{Looks, Missing};
pub use manifest::{Manifest, Status, folders, list, standing};
pub use out::print_out;
pub use progress::Progress;
pub use train_config::{BestIs, Decay, TrainConfig};
pub use trainer::Trainer;

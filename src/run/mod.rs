//! A run and what is left of it: experiment, folder, metrics, signals.

pub mod bar;
mod best;
mod curves;
mod declared;
mod experiment;
mod folder;
mod guard;
mod journal;
pub mod layout;
mod manifest;
mod memory;
pub mod metrics;
mod out;
mod progress;
pub mod show;
pub mod signal;
mod stage;
pub mod tensorboard;
mod train_config;
mod trainer;
mod unchanged;

pub use best::{Best, Extreme};
pub use declared::{Declaration, Declared, Reporter};
pub use experiment::{Experiment, TopConfig, sections};
pub use folder::{Paths, RunFolder, default_dir};
pub use guard::{Guard, GuardConfig};
pub use journal::Journal;
pub use manifest::{Manifest, Status, folders, list, standing};
pub use memory::Memory;
pub use out::{Listener, columns_of_output, is_watched, print_out, printed, say};
pub use progress::Progress;
pub use stage::Stage;
pub use train_config::{BestIs, Decay, TrainConfig};
pub use trainer::Trainer;
pub use unchanged::{changeable, edits};

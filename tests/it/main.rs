//! The integration tests, as one program: the library is linked once, and tests of all modules share the cores.
//!
//! One module: `cargo test --test it markov_kernels`. All, slow ones too: `cargo test --release -- --include-ignored`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking
#![allow(clippy::print_stdout, clippy::print_stderr)] // and says what it measured

mod config_sections;
mod harness;

mod amortised;
mod annealing;
mod claims;
mod clean;
mod cli;
mod compare;
mod compare_logs;
mod config;
mod contracts;
mod contrastive;
mod convergence;
mod costs;
mod data;
mod diagnose;
mod edited;
mod energies;
mod exchange;
mod failing_probes;
mod flows;
mod fuzz_config;
mod gof;
mod going_on;
mod init;
mod ladder_runs;
mod layer_lists;
mod lsd_theory;
mod markov_kernels;
mod method_rows;
mod nets;
mod noise_levels;
mod probe_rows;
mod probe_values;
mod probes;
mod ranks;
mod rbm;
mod readers;
mod report;
mod resume;
mod samplers;
mod score_matching;
mod second_order;
mod sequential;
mod signal;
mod skeletons;
mod streams;
mod sweep;
mod vae;

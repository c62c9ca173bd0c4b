//! TOML experiments, with the position of every value kept: so that every error has a file, a line and a caret.
//!
//! A [`Config`] struct declares its keys once, with their documentation, default and range
//! ([`config!`](crate::config)); decoding, `ebm explain`, `ebm init` and the resolved `config.toml` all read that
//! declaration. A section with a `name` selects a row of a registry ([`Entry`]) and is decoded by the row's [`Schema`].

mod registry;
pub mod rule;
mod schema;

pub use registry::{Entry, Schema, find};
pub use schema::{Config, KeyDoc, Part, Spec, decode, verdict};

//! TOML experiments, with the position of every value kept: so that every error has a file, a line and a caret.
//!
//! A [`Config`] struct declares its keys once, with their documentation, default and range
//! ([`config!`](macro@crate::config)); decoding, `ebm explain`, `ebm init` and the resolved `config.toml` all read that
//! declaration. A section with a `name` selects a row of a registry ([`Entry`]) and is decoded by the row's [`Schema`].
//!
//! A [`Document`] is what the user wrote (a file, what it extends, `--set`), merged into a tree whose nodes remember
//! where they come from. [`Document::resolve`] checks it against [`Section`]s and gives a [`Resolved`] configuration.

mod declare;
mod diagnostics;
mod document;
mod dump;
mod excerpt;
mod explain;
mod load;
mod node;
mod registry;
mod resolve;
pub mod rule;
mod schema;
mod section;
mod set;
mod setting;
mod source;
mod spec;
mod suggest;
mod view;
mod wording;

pub use declare::verdict;
pub use diagnostics::{Place, Problem, Problems};
pub use document::Document;
pub use dump::Difference;
pub use explain::{explain_keys, template};
pub use registry::{Entry, Head, Row, find, schemas};
pub use schema::{Config, Decoded, Defaults, KeyDoc, Keys, Schema, Share, SubSection, decode};
pub use section::{Resolved, Rows, Section, SectionKind};
pub use setting::Setting;
pub use spec::Spec;
pub use suggest::nearest;
pub use view::View;

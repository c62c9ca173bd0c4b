//! Known files: where they come from, where they lie, and whether they are what they should be.

pub mod archive;
pub mod fetch;
pub mod format;
pub mod images;
pub mod locate;
pub mod manifest;
pub mod verify;

//! What many probes share.

pub(super) mod example;
pub(super) mod features;
pub(super) mod histogram;
mod inception;
pub(super) mod items;
pub(super) mod judge;
pub(super) mod labels;
pub(super) mod rows;
pub(super) mod scored;

pub use items::items;
pub use scored::Scored;

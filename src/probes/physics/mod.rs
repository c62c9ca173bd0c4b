//! Balance of the wells of a field, and separation of mixed sources.

pub(super) mod amari;
pub(super) mod magnetisation;

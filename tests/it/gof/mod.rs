//! Goodness-of-fit tests: honest under the null, powerful off it, and as a user sees them.

mod cli;
mod statistics;

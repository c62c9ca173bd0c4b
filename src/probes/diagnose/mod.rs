//! Chains looked at: do they agree, what are their draws worth, do they go from mode to mode? `ebm diagnose` prints it.

mod advice;
mod modes;
mod pictures;
mod recording;
mod report;

pub use modes::{Visits, visits};
pub use pictures::{Pair, pictures};
pub use recording::{Recording, RecordingPlan};
pub use report::{Importance, Report, ReportRow, Worth, importance};

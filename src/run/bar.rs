//! A bar on standard error, on terminals of any width, and what is said beside it.

use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle, WeakProgressBar};

use super::{out, show};

/// The bar that is shown now.
static SHOWN: Mutex<Option<WeakProgressBar>> = Mutex::new(None);

/// Below this many columns there is no bar, and below the second no time either: numbers and metrics take the room.
const ROOM_FOR_BAR: usize = 64;
const ROOM_FOR_TIME: usize = 36;

/// A bar of `total` steps, of which `done` are done. `what` stands behind the numbers; in it, `{rate}` is steps a
/// second.
pub fn bar(total: u64, done: u64, what: &str) -> ProgressBar {
    let template = match out::columns_watched() {
        Some(columns) if columns < ROOM_FOR_TIME => "{pos}/{len} {wide_msg}".to_owned(),
        Some(columns) if columns < ROOM_FOR_BAR => "{pos}/{len}  {eta} left  {wide_msg}".to_owned(),
        _ => format!("{{bar:24}} {{pos}}/{{len}}{what}  {{eta}} left  {{wide_msg}}"),
    };
    let rate = |state: &ProgressState, text: &mut dyn std::fmt::Write| {
        // Writing to a string does not fail.
        let _ = write!(text, "{}/s", show::number(state.per_sec(), 3));
    };
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(5));
    bar.set_style(style.with_key("rate", rate));
    bar.set_position(done);
    bar.reset_eta();
    *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.downgrade());
    bar
}

/// Leaves the bar as it stands, on a line of its own.
pub fn end(bar: &ProgressBar) {
    bar.abandon();
    *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = None;
    if !bar.is_hidden() {
        out::say("");
    }
}

/// Writes to standard error without tearing the bar that is shown, if any.
pub fn aside<R>(write: impl FnOnce() -> R) -> R {
    let shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(WeakProgressBar::upgrade);
    match shown {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

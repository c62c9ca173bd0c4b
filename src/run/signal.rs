//! SIGINT and SIGTERM: the first asks the trainer to stop after its step and save, the second ends the process at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::{Error, Result};

static CAUGHT: AtomicUsize = AtomicUsize::new(0);
static ARMED: AtomicBool = AtomicBool::new(false);

/// Takes over SIGINT and SIGTERM. Call it once, before the first step.
///
/// # Errors
/// The system refuses the handlers.
pub fn install() -> Result<()> {
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the exit unarmed and arms it.
        flag::register_conditional_shutdown(signal, 128 + signal, &ARMED)
            .and_then(|_| flag::register_usize(signal, &CAUGHT, signal as usize))
            .and_then(|_| flag::register(signal, &ARMED))
            .map_err(|e| Error::Other(format!("cannot install the handler of signal {signal}: {e}")))?;
    }
    Ok(())
}

/// The signal that asked to stop, if one did. Poll it between steps; end with [`Error::Interrupted`].
pub fn stop_requested() -> Option<i32> {
    match CAUGHT.load(Ordering::SeqCst) {
        0 => None,
        signal => i32::try_from(signal).ok(),
    }
}

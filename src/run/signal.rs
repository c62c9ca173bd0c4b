//! Signals: what asks a run to stop lets it end its step and save; a second word from who insists ends it at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU};
use signal_hook::flag;

use crate::{Error, Result};

/// Signals that people and systems insist with: the second of them ends the process.
const INSISTING: [i32; 3] = [SIGINT, SIGQUIT, SIGTERM];

/// Signals that only ask, however often: a terminal that closes sends SIGHUP twice, a batch system announces the end of
/// its time with SIGUSR1 or SIGUSR2, and SIGXCPU comes every second once the processor time is used up.
const ASKING: [i32; 4] = [SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU];

static CAUGHT: AtomicUsize = AtomicUsize::new(0);
static ARMED: AtomicBool = AtomicBool::new(false);

/// Takes over the signals, all but SIGHUP under `nohup`. Call it once, before the first step.
///
/// # Errors
/// The system refuses the handlers.
pub fn install() -> Result<()> {
    for signal in INSISTING {
        // In this order: the first signal finds the exit unarmed and arms it.
        hold(signal, flag::register_conditional_shutdown(signal, 128 + signal, &ARMED))?;
        listen(signal)?;
        hold(signal, flag::register(signal, &ARMED))?;
    }
    ASKING.into_iter().filter(|signal| is_free(*signal)).try_for_each(listen)
}

/// [`install`] for a process whose work is done by others: it never ends by a signal, and learns of each from [`take`]
/// to pass it on.
///
/// # Errors
/// As [`install`].
pub fn install_to_pass_on() -> Result<()> {
    INSISTING.into_iter().chain(ASKING).filter(|signal| is_free(*signal)).try_for_each(listen)
}

/// The signal that asked to stop, if one did. Poll it between steps; end with [`Error::Interrupted`].
pub fn stop_requested() -> Option<i32> {
    known(CAUGHT.load(Ordering::SeqCst))
}

/// The signal that has come since this was last asked.
pub fn take() -> Option<i32> {
    known(CAUGHT.swap(0, Ordering::SeqCst))
}

/// Whether the second of these ends a process at once.
pub fn insists(signal: i32) -> bool {
    INSISTING.contains(&signal)
}

/// Whether a process that ended with this exit code had been stopped by a signal, and had saved.
pub fn is_stop(exit_code: i32) -> bool {
    INSISTING.iter().chain(&ASKING).any(|signal| exit_code == 128 + signal)
}

fn known(caught: usize) -> Option<i32> {
    i32::try_from(caught).ok().filter(|signal| *signal != 0)
}

fn listen(signal: i32) -> Result<()> {
    hold(signal, flag::register_usize(signal, &CAUGHT, signal as usize))
}

fn hold<T>(signal: i32, registered: std::io::Result<T>) -> Result<()> {
    registered.map(drop).map_err(|e| Error::Other(format!("cannot install the handler of signal {signal}: {e}")))
}

/// Whether a signal may be taken over. SIGHUP that was ignored when the process began stays ignored, as `nohup` wants
/// it; where the system does not tell (outside Linux), it is left as it is.
fn is_free(signal: i32) -> bool {
    signal != SIGHUP || std::fs::read_to_string("/proc/self/status").is_ok_and(|status| !is_ignored(signal, &status))
}

/// Whether `/proc/self/status` lists a signal among those that are ignored.
fn is_ignored(signal: i32, status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_none_or(|mask| mask >> (signal - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        let status = |mask: &str| format!("Name:\tebm\nSigBlk:\t0000000000000001\nSigIgn:\t{mask}\nSigCgt:\t1\n");
        assert!(is_ignored(SIGHUP, &status("0000000000000001")));
        assert!(!is_ignored(SIGHUP, &status("0000000000001000")));
        assert!(is_ignored(SIGTERM, &status("0000000000004000")));
        assert!(is_ignored(SIGHUP, "Name:\tebm\n"), "not told");
    }

    #[test]
    fn exit_codes_of_stopped_runs_are_known() {
        assert!([129, 130, 131, 143, 128 + SIGUSR1].into_iter().all(is_stop));
        assert!(![0, 1, 3, 5, 101, 128, 137, 139].into_iter().any(is_stop));
    }
}

//! What a program of this library sets before anything else: its allocator, and the threads of candle.
//!
//! A binary chooses its allocator: `#[global_allocator] static ALLOCATOR: Allocator = ebm::process::ALLOCATOR;`, and
//! calls [`begin`] first.

#![allow(unsafe_code)]

/// The allocator.
pub type Allocator = mimalloc::MiMalloc;

/// The allocator, for `#[global_allocator]`.
pub const ALLOCATOR: Allocator = mimalloc::MiMalloc;

/// `mi_option_purge_delay`, which the bindings leave out.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// The milliseconds after which memory that nobody uses goes back to the system: longer than a step.
const KEPT: std::ffi::c_long = 10_000;

/// The variable of the environment in which candle looks for the number of its threads.
const CANDLE_THREADS: &str = "CANDLE_NUM_THREADS";

/// Sets up the process; it is for the first line of `main`, while there is one thread.
///
/// Tensors are freed and made anew at every step, so that memory that is free is kept for ten seconds, unless
/// `MIMALLOC_PURGE_DELAY` says otherwise: handed back after 10 ms, its pages were cleared for a sixth of the time of
/// training a wide residual network. And candle goes through large tensors with one thread, unless
/// `CANDLE_NUM_THREADS` says otherwise: those of its own wait by spinning, and one call at a time has them, so that
/// parts of a batch that are computed side by side waited for each other.
pub fn begin() {
    // SAFETY: sets a number in a table of the allocator; any thread may do so at any time.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, KEPT) };
    if std::env::var_os(CANDLE_THREADS).is_none() {
        // SAFETY: no other thread reads the environment yet.
        unsafe { std::env::set_var(CANDLE_THREADS, "1") };
    }
}

/// The variable of the environment that says how many threads compute.
pub const THREADS: &str = "RAYON_NUM_THREADS";

/// The threads that compute, unless this process is told to take fewer: as many as there are cores, or what `THREADS`
/// says.
pub fn threads() -> usize {
    let told = std::env::var(THREADS).ok().and_then(|n| n.parse().ok()).filter(|n| *n > 0);
    told.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// Computes with so many threads in this process. Call it before anything is computed.
///
/// # Errors
/// Something has been.
pub fn take_threads(n: usize) -> crate::Result<()> {
    let taken = rayon::ThreadPoolBuilder::new().num_threads(n).build_global();
    taken.map_err(|e| crate::Error::Other(format!("cannot compute with {n} threads: {e}")))
}

//! What a program of this library sets before anything else: its allocator, and the threads of candle.
//!
//! A binary chooses its allocator: `#[global_allocator] static ALLOCATOR: Allocator = ebm::process::ALLOCATOR;`, and
//! calls [`begin`] first.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};
use std::io::Write as _;
use std::sync::Arc;

use mimalloc::MiMalloc;

/// The allocator: mimalloc, and where it has no memory left the end of the process with a message and exit code 5, in
/// the place of an abort. Files are written all or nothing, so that a run goes on from its last checkpoint.
#[derive(Debug)]
pub struct Allocator;

/// The allocator, for `#[global_allocator]`.
pub const ALLOCATOR: Allocator = Allocator;

// SAFETY: hands every request on to mimalloc, and gives no null pointer back.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller promises what mimalloc asks for.
        some(unsafe { MiMalloc.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        some(unsafe { MiMalloc.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        some(unsafe { MiMalloc.realloc(at, layout, size) }, size)
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { MiMalloc.dealloc(at, layout) }
    }
}

/// The exit code of a process that is out of memory (table in `ebm --help`).
const OUT_OF_MEMORY: i32 = 5;

fn some(at: *mut u8, size: usize) -> *mut u8 {
    if at.is_null() { exhausted(size) } else { at }
}

/// Ends the process. Nothing here asks for memory.
#[cold]
#[allow(clippy::exit, clippy::disallowed_methods)]
fn exhausted(size: usize) -> ! {
    let mib = size.div_ceil(1 << 20);
    let said = std::io::stderr().write_fmt(format_args!(
        "error: memory ran out: {mib} MiB more could not be had\n\nhint: fewer items, draws or chains at once \
         (train.batch_size, --n, the keys of a probe), or a narrower network; a run goes on from its last checkpoint: \
         ebm resume RUN\n"
    ));
    drop(said);
    std::process::exit(OUT_OF_MEMORY)
}

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
/// parts of a batch that are computed side by side waited for each other. A file that may not grow any more
/// (`ulimit -f`) is an error of the write, in the place of a signal that ends the process without a word.
pub fn begin() {
    // The flag is read by nobody. Where the system refuses the handler, the signal does what it did.
    drop(signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default()));
    // SAFETY: sets a number in a table of the allocator; any thread may do so at any time.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, KEPT) };
    if std::env::var_os(CANDLE_THREADS).is_none() {
        // SAFETY: no other thread reads the environment yet.
        unsafe { std::env::set_var(CANDLE_THREADS, "1") };
    }
}

/// The outcome of `work`; a length that no memory can have, of which the standard library says only that a capacity
/// overflows, is an error as any other.
///
/// # Errors
/// Those of `work`, and such a length.
pub fn bounded<T>(work: impl FnOnce() -> crate::Result<T>) -> crate::Result<T> {
    let is_length = |payload: &(dyn std::any::Any + Send)| {
        payload.downcast_ref::<&str>().is_some_and(|said| *said == "capacity overflow")
    };
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !is_length(panic.payload()) {
            tell(panic);
        }
    }));
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        if !is_length(&*payload) {
            std::panic::resume_unwind(payload);
        }
        let what = "a number that was asked for is larger than any memory".to_owned();
        let remedy = "look for a count that is too large: of items, draws, chains or walkers".to_owned();
        Err(crate::Error::Resource { what, remedy })
    })
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

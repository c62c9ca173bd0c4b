//! The memory of a program: tensors are freed and made anew at every step, so that it is kept, not handed back to the
//! system each time, which would clear every page of it before the next use.
//!
//! A binary chooses its allocator: `#[global_allocator] static ALLOCATOR: Allocator = ebm::allocator::ALLOCATOR;`, and
//! [`keep`] at its start.

#![allow(unsafe_code)]

/// The allocator.
pub type Allocator = mimalloc::MiMalloc;

/// The allocator, for `#[global_allocator]`.
pub const ALLOCATOR: Allocator = mimalloc::MiMalloc;

/// `mi_option_purge_delay`, which the bindings leave out.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// The milliseconds after which memory that nobody uses goes back to the system: longer than a step.
const KEPT: std::ffi::c_long = 10_000;

/// Has the allocator keep memory that is free for ten seconds, unless `MIMALLOC_PURGE_DELAY` says otherwise. By
/// default, 10 ms, pages were cleared for a sixth of the time of training a wide residual network.
pub fn keep() {
    // SAFETY: sets a number in a table of the allocator; any thread may do so at any time.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, KEPT) };
}

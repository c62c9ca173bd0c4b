//! Loops as vector code of the processor that is there.

/// What a closure gives up, so that it can be called once only.
pub struct Once;

/// Runs a block as vector code of the processor that is there; what it uses is moved into it.
///
/// A closure that could be called again is called through a function of its own, which is compiled for any processor:
/// one that gives something up is not.
macro_rules! vectorised {
    ($body:block) => {{
        let once = $crate::ops::cpu::vector::Once;
        pulp::Arch::new().dispatch(
            #[inline(always)]
            move || {
                let _given_up = once;
                $body
            },
        )
    }};
}
pub(in crate::ops) use vectorised;

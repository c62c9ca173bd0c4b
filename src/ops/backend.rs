//! The choice of the back end that serves an operation, made here and nowhere else.

use std::sync::OnceLock;

use candle_core::{DType, Tensor};

/// The back ends. All give the same numbers, up to rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The kernels of `cpu/`, for f32 and f64 on the CPU.
    Cpu,
    /// Candle's own operations (`composed.rs`), for every other device and type, and the reference of all others.
    Composed,
}

impl Backend {
    /// The back end for an operation on these tensors. With `EBM_OPS=composed` in the environment it is always
    /// [`Backend::Composed`]: so the tests of the whole house run on it.
    pub fn of(tensors: &[&Tensor]) -> Self {
        #[cfg(test)]
        if let Some(chosen) = CHOSEN.get() {
            return chosen;
        }
        static COMPOSED: OnceLock<bool> = OnceLock::new();
        if *COMPOSED.get_or_init(|| std::env::var_os("EBM_OPS").is_some_and(|word| word == "composed")) {
            return Backend::Composed;
        }
        let mut types = tensors.iter().map(|t| t.dtype());
        let first = types.next();
        let served = matches!(first, Some(DType::F32 | DType::F64))
            && types.all(|other| Some(other) == first)
            && tensors.iter().all(|t| t.device().is_cpu());
        if served { Backend::Cpu } else { Backend::Composed }
    }
}

#[cfg(test)]
thread_local! {
    static CHOSEN: std::cell::Cell<Option<Backend>> = const { std::cell::Cell::new(None) };
}

/// The result of f where this back end serves every operation that f asks for on this thread.
#[cfg(test)]
pub fn on<R>(backend: Backend, f: impl FnOnce() -> R) -> R {
    let before = CHOSEN.replace(Some(backend));
    let result = f();
    CHOSEN.set(before);
    result
}

//! The choice of the back end that serves an operation, made here and nowhere else.

use std::sync::OnceLock;

use candle_core::{DType, Device, Tensor};

/// The back ends. All give the same numbers, up to rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Kernels for f32 and f64: those of `cpu/`, or of `cuda/` for the operations that have some there. Which of the
    /// two is a matter of the storage, and candle's.
    Kernels,
    /// Candle's own operations (`composed.rs`), for every other device and type, and the reference of all others.
    Composed,
}

impl Backend {
    /// The back end for an operation on these tensors. With `EBM_OPS=composed` in the environment it is always
    /// [`Backend::Composed`]: so the tests of the whole house run on it.
    pub fn of(tensors: &[&Tensor]) -> Self {
        Self::with_kernels(tensors, Device::is_cpu)
    }

    /// The back end for what goes entry by entry, activations and updates, which have kernels on a GPU too.
    pub fn of_entries(tensors: &[&Tensor]) -> Self {
        Self::with_kernels(tensors, |device| device.is_cpu() || (cfg!(feature = "cuda") && device.is_cuda()))
    }

    /// The back end for the convolution and its derivatives, which have kernels on a GPU too. There is nothing to gain
    /// where a tensor is empty.
    pub fn of_convolution(tensors: &[&Tensor]) -> Self {
        let empty = tensors.iter().any(|t| t.elem_count() == 0);
        let on = |device: &Device| device.is_cpu() || (cfg!(feature = "cudnn") && device.is_cuda());
        if empty { Backend::Composed } else { Self::with_kernels(tensors, on) }
    }

    /// The back end where there are kernels on the devices that `on` names.
    fn with_kernels(tensors: &[&Tensor], on: impl Fn(&Device) -> bool) -> Self {
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
            && tensors.iter().all(|t| on(t.device()));
        if served { Backend::Kernels } else { Backend::Composed }
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

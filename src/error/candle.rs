//! Errors of candle, and ours on their way through it.

use super::Error;

/// An error on its way through candle, such as one in a backward pass, which comes out as it went in.
impl From<Error> for candle_core::Error {
    fn from(error: Error) -> Self {
        // Of candle's variants this one hands back the error itself.
        candle_core::Error::Cuda(Box::new(error))
    }
}

/// The error that went through candle, or candle's own.
fn own(error: candle_core::Error) -> std::result::Result<Error, candle_core::Error> {
    match error {
        candle_core::Error::Cuda(inner) => inner.downcast::<Error>().map(|own| *own).map_err(candle_core::Error::Cuda),
        candle_core::Error::WithBacktrace { inner, backtrace } => {
            own(*inner).map_err(|inner| candle_core::Error::WithBacktrace { inner: Box::new(inner), backtrace })
        }
        other => Err(other),
    }
}

/// An error that went through candle is what it was. A GPU whose memory ran out is a resource that ran out, whichever
/// library asked for it.
impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        let error = match own(error) {
            Ok(own) => return own,
            Err(error) => error,
        };
        let said = error.to_string();
        match OUT_OF_MEMORY.iter().find(|name| said.contains(**name)) {
            Some(name) => Error::Resource {
                what: format!("the memory of the GPU ran out ({name})"),
                remedy: "take smaller batches, fewer chains or a smaller network; `nvidia-smi` shows who else holds \
                         memory there"
                    .into(),
            },
            None => Error::Tensor(error),
        }
    }
}

/// How the driver, cuBLAS, cuDNN and cuRAND name an allocation that failed.
const OUT_OF_MEMORY: [&str; 5] = [
    "CUDA_ERROR_OUT_OF_MEMORY",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "CURAND_STATUS_ALLOCATION_FAILED",
];

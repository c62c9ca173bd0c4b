//! The launch of a kernel of our own.
#![allow(unsafe_code)] // what a kernel does with its arguments, the compiler does not see

use candle_core::Result;
use candle_core::cuda::cudarc::driver::{DeviceRepr, LaunchConfig, PushKernelArg};
use candle_core::cuda::{CudaDevice, WrapErr};

use super::plan::{Groups, PIECES, grid};

/// A file of kernels as the driver takes it, with its name.
pub struct Kernels {
    /// The name.
    pub name: &'static str,
    /// The text.
    pub ptx: &'static str,
}

/// The numbers of an update, as `update.cu` has them.
#[repr(transparent)]
pub struct Numbers<T>(pub [T; 10]);

// SAFETY: as many numbers one after the other, which the driver copies, as the struct of C++ has.
unsafe impl<T: DeviceRepr> DeviceRepr for Numbers<T> {}

/// A tensor that is changed, its companions and its gradient, as `update.cu` has them: the places of n entries each.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Piece<T> {
    /// The places, that of the gradient last.
    pub places: [u64; 4],
    /// The entries.
    pub n: u64,
    /// The numbers of the update.
    pub numbers: [T; 10],
}

/// The tensors that one launch changes.
#[repr(C)]
pub struct Pieces<T> {
    /// The tensors, of which the first `count` are there.
    pub at: [Piece<T>; PIECES],
    /// How many there are.
    pub count: u64,
    /// The norm that gradients are limited to, where they are.
    pub limit: f64,
}

// SAFETY: the same numbers in the same order as the struct of C++ has.
unsafe impl<T: DeviceRepr> DeviceRepr for Pieces<T> {}

/// What a map of `activation.cu` is told beside its tensors.
#[repr(C)]
pub struct Choice<T> {
    /// The number of blocks, or what else is asked for.
    pub form: i32,
    /// The number of the activation.
    pub kind: i32,
    /// Its α.
    pub alpha: T,
}

// SAFETY: the same three numbers in the same order as the struct of C++ has.
unsafe impl<T: DeviceRepr> DeviceRepr for Choice<T> {}

/// What a kernel of `random.cu` is told beside its tensors.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Draws<T> {
    /// The words of the stream.
    pub words: [u32; 4],
    /// The number that comes first.
    pub first: u64,
    /// The least word that keeps a number.
    pub least: u32,
    /// The number of blocks that have one mask.
    pub blocks: u32,
    /// The numbers of a move.
    pub numbers: [T; 5],
}

// SAFETY: the same numbers in the same order as the struct of C++ has.
unsafe impl<T: DeviceRepr> DeviceRepr for Draws<T> {}

// SAFETY: the same numbers in the same order as the struct of C++ has.
unsafe impl DeviceRepr for Groups {}

impl Kernels {
    /// Queues a kernel with so many threads' worth of entries: it is given `places` in the memory of the device, then
    /// `counts`, then whatever `rest` adds.
    ///
    /// # Safety
    /// These are the arguments that the kernel takes, and it reads and writes no entry that is not there.
    ///
    /// # Errors
    /// There is no such kernel, or the driver refuses.
    pub unsafe fn launch<R: DeviceRepr>(
        &self,
        device: &CudaDevice,
        kernel: &str,
        entries: usize,
        places: &[u64],
        counts: &[u64],
        rest: &[R],
    ) -> Result<()> {
        let function = device.get_or_load_custom_func(kernel, self.name, self.ptx)?;
        let mut launch = function.builder();
        places.iter().chain(counts).for_each(|argument| _ = launch.arg(argument));
        rest.iter().for_each(|argument| _ = launch.arg(argument));
        let (blocks, threads) = grid(entries);
        let config = LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (threads, 1, 1), shared_mem_bytes: 0 };
        // SAFETY: as this function's.
        unsafe { launch.launch(config) }.w()?;
        Ok(())
    }
}

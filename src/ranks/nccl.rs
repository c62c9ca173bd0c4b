//! Ranks whose numbers lie on GPUs, each on one of its own, connected by NCCL. Words go by the sockets that they met
//! by.

#![allow(unsafe_code)] // memory that NCCL fills, and its communicator on several threads

use std::sync::{Mutex, PoisonError};

use candle_core::cuda::cudarc::driver::sys::CUstreamCaptureStatus;
use candle_core::cuda::cudarc::driver::{CudaSlice, DeviceRepr};
use candle_core::cuda::cudarc::nccl::result::NcclError;
use candle_core::cuda::cudarc::nccl::{self, Id, NcclType, group_end, group_start};
use candle_core::cuda::{CudaDType, CudaDevice};
use candle_core::op::BackpropOp;
use candle_core::{CudaStorage, DType, Device, Storage, Tensor};

use super::{Comm, Sockets};
use crate::{Error, Result};

/// The connections of one rank to all others, by NCCL for tensors on its GPU.
pub struct Nccl {
    sockets: Sockets,
    device: CudaDevice,
    comm: Mutex<Communicator>,
}

/// NCCL's handle.
struct Communicator(nccl::Comm);

// SAFETY: a communicator may be used from any thread, by one at a time, as the lock around it sees to.
unsafe impl Send for Communicator {}

impl Nccl {
    /// The rank that `sockets` connect, on this GPU; no other rank may have the same.
    ///
    /// # Errors
    /// NCCL refuses, as it does where two ranks have one GPU, or a rank has gone.
    pub fn new(sockets: Sockets, device: &CudaDevice) -> Result<Self> {
        let own = match sockets.rank() {
            0 => Id::new().map_err(|e| failed(&e))?.internal().map(i8::cast_unsigned).to_vec(),
            _ => Vec::new(),
        };
        let told = sockets.tell(&own)?.into_iter().next().unwrap_or_default();
        let id: [u8; 128] = told.try_into().map_err(|_| Error::Other("rank 0 has no identifier of NCCL".into()))?;
        let (stream, rank, ranks) = (device.cuda_stream(), sockets.rank(), sockets.ranks());
        let comm = nccl::Comm::from_rank(stream, rank, ranks, Id::uninit(id.map(u8::cast_signed)));
        let comm = Mutex::new(Communicator(comm.map_err(|e| failed(&e))?));
        Ok(Nccl { sockets, device: device.clone(), comm })
    }

    /// [`Comm::exchange`] of numbers of the type `T` on the GPU.
    fn exchanged<T: CudaDType + NcclType + DeviceRepr>(&self, to: &[Tensor], from: &[usize]) -> Result<Vec<Tensor>> {
        let rank = self.rank();
        if self.device.cuda_stream().capture_status() != Ok(CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE) {
            return Err(Error::Other("ranks do not exchange in a step that is recorded".into()));
        }
        let to = to.iter().map(Tensor::contiguous).collect::<candle_core::Result<Vec<_>>>()?;
        // SAFETY: NCCL fills all of it before anything reads it: both are work of one stream.
        let room = |n: usize| unsafe { self.device.alloc::<T>(n) };
        let rooms = from.iter().enumerate().map(|(other, n)| (other != rank).then(|| room(*n)).transpose());
        let mut came = rooms.collect::<candle_core::Result<Vec<Option<CudaSlice<T>>>>>()?;
        let storages: Vec<_> = to.iter().map(Tensor::storage_and_layout).collect();
        let comm = self.comm.lock().unwrap_or_else(PoisonError::into_inner);
        group_start().map_err(|e| failed(&e))?;
        for (other, ((storage, layout), room)) in storages.iter().zip(&mut came).enumerate() {
            let Some(room) = room else { continue };
            let Storage::Cuda(storage) = &**storage else { return Err(Error::Other("a tensor has moved".into())) };
            let Some((first, end)) = layout.contiguous_offsets() else { continue };
            let peer = i32::try_from(other).unwrap_or(i32::MAX);
            comm.0.send(&storage.as_cuda_slice::<T>()?.slice(first..end), peer).map_err(|e| failed(&e))?;
            comm.0.recv(room, peer).map_err(|e| failed(&e))?;
        }
        group_end().map_err(|e| failed(&e))?;
        drop(storages);
        let taken = came.into_iter().zip(&to).map(|(slice, own)| {
            let Some(slice) = slice else { return own.clone() };
            let numbers = slice.len();
            let storage = Storage::Cuda(CudaStorage::wrap_cuda_slice(slice, self.device.clone()));
            Tensor::from_storage(storage, numbers, BackpropOp::none(), false)
        });
        Ok(taken.collect())
    }
}

impl Comm for Nccl {
    fn rank(&self) -> usize {
        self.sockets.rank()
    }

    fn ranks(&self) -> usize {
        self.sockets.ranks()
    }

    fn exchange(&self, to: &[Tensor], from: &[usize]) -> Result<Vec<Tensor>> {
        match to.first().map(|own| (own.device(), own.dtype())) {
            Some((Device::Cuda(_), DType::F32)) => self.exchanged::<f32>(to, from),
            Some((Device::Cuda(_), DType::F64)) => self.exchanged::<f64>(to, from),
            _ => self.sockets.exchange(to, from),
        }
    }

    fn tell(&self, own: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.sockets.tell(own)
    }
}

fn failed(error: &NcclError) -> Error {
    Error::Other(format!("NCCL: {error:?}; each rank wants a GPU of its own, and NCCL_DEBUG=INFO says more"))
}

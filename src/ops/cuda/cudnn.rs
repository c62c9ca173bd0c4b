//! The calls of cuDNN: what is asked once for a geometry is kept, and all calls share one piece of memory.
#![allow(unsafe_code)] // a library of C

mod descriptors;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::rc::Rc;
use std::sync::Arc;

use candle_core::cuda::cudarc::cudnn::result;
use candle_core::cuda::cudarc::cudnn::{CudnnDataType, sys};
use candle_core::cuda::cudarc::driver::sys::CUdeviceptr;
use candle_core::cuda::cudarc::driver::{CudaSlice, CudaStream, DevicePtrMut, DeviceRepr};
use candle_core::cuda::{CudaDevice, DeviceId};
use candle_core::{Result, bail};
use npyz::half::bf16;

use super::plan::{Candidate, Geometry, Map, Roles, chosen};
use crate::device::Precision;
use crate::ops::Order;
use descriptors::{Answer, Descriptor, convolution, filter, identity, tensor};

/// What an algorithm may take beside the tensors. The fastest of a wide network's ask for a few hundred mebibytes.
const ROOM: usize = 1 << 30;

/// The algorithm that adds a bias without a non-linearity (the manual of `cudnnConvolutionBiasActivationForward`).
const PRECOMPUTED: sys::cudnnConvolutionFwdAlgo_t =
    sys::cudnnConvolutionFwdAlgo_t::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;

/// The types of the tensors of convolutions.
pub trait Float: CudnnDataType + DeviceRepr + From<u8> {}

impl Float for f32 {}
impl Float for f64 {}
impl Float for bf16 {}

/// cuDNN on one device, for one thread.
pub struct Cudnn {
    raw: sys::cudnnHandle_t,
    stream: Arc<CudaStream>,
    /// What was found for each key; nothing where cuDNN has no algorithm.
    plans: RefCell<HashMap<Key, Option<Rc<Plan>>>>,
    /// Work in one stream is done in order, so that one piece of memory does for all.
    workspace: RefCell<Option<CudaSlice<u8>>>,
}

/// What a plan is for.
pub type Key = (Map, Geometry, sys::cudnnDataType_t, Precision);

thread_local! {
    static OPEN: RefCell<HashMap<DeviceId, Rc<Cudnn>>> = RefCell::new(HashMap::new());
}

impl Cudnn {
    /// cuDNN on this device, opened at the first call.
    ///
    /// # Errors
    /// The library does not open.
    pub fn of(device: &CudaDevice) -> Result<Rc<Self>> {
        OPEN.with_borrow_mut(|open| {
            if let Some(there) = open.get(&device.id()) {
                return Ok(there.clone());
            }
            let stream = device.cuda_stream();
            stream.context().bind_to_thread()?;
            let raw = result::create_handle()?;
            let cudnn = Rc::new(Cudnn { raw, stream, plans: RefCell::default(), workspace: RefCell::default() });
            // SAFETY: handle and stream live, the stream as long as the handle.
            unsafe { result::set_stream(raw, cudnn.stream.cu_stream().cast())? };
            open.insert(device.id(), cudnn.clone());
            Ok(cudnn)
        })
    }

    /// Computes one of the three maps, and says whether it has added the bias `[O]`, if there is one: in the same
    /// kernel, or not at all.
    ///
    /// # Safety
    /// Each place of memory holds as many entries of type `T` as its shape in `geometry` has, one after the other.
    pub unsafe fn compute<T: Float>(
        &self,
        map: Map,
        geometry: Geometry,
        precision: Precision,
        at: Roles<CUdeviceptr>,
        bias: Option<CUdeviceptr>,
    ) -> Result<bool> {
        let key = (map, geometry, T::DATA_TYPE, precision);
        let plan = self.plan(key)?;
        let memory = self.memory(plan.memory)?;
        let (one, zero) = (T::from(1).into_scaling_parameter(), T::from(0).into_scaling_parameter());
        let (one, zero) = ((&raw const one).cast::<c_void>(), (&raw const zero).cast::<c_void>());
        let Plan { images: x, weights: w, outputs: y, conv, memory: size, .. } = &*plan;
        let (x, w, y, conv) = (x.raw, w.raw, y.raw, conv.raw);
        let Roles { images, weights, outputs } = at;
        let [images, weights, outputs] = [images, weights, outputs].map(|place| place as *mut c_void);
        if let (Algorithm::Forward(algorithm), Some(bias), Some(adds)) = (plan.algorithm, bias, plan.adds()) {
            let (bias, b, identity) = (bias as *const c_void, adds.bias.raw, adds.identity.raw);
            // SAFETY: as below; the factor of the outputs that were is zero, so that nothing is read there.
            let done = unsafe {
                result::convolution_bias_activation_forward(
                    self.raw, one, x, images, w, weights, conv, algorithm, memory, *size, zero, y, outputs, b, bias,
                    identity, y, outputs,
                )
            };
            if done.is_ok() {
                return Ok(true);
            }
            plan.refused.set(true);
        }
        // SAFETY: descriptors and memory live until the call, which is queued behind what made the arguments.
        let done = unsafe {
            match plan.algorithm {
                Algorithm::Forward(algorithm) => result::convolution_forward(
                    self.raw, one, x, images, w, weights, conv, algorithm, memory, *size, zero, y, outputs,
                ),
                Algorithm::Pullback(algorithm) => result::convolution_backward_data(
                    self.raw, one, w, weights, y, outputs, conv, algorithm, memory, *size, zero, x, images,
                ),
                Algorithm::WeightGradient(algorithm) => result::convolution_backward_filter(
                    self.raw, one, x, images, y, outputs, conv, algorithm, memory, *size, zero, w, weights,
                ),
            }
        };
        if done.is_err() && geometry.order == Order::Last {
            self.refuse(key);
        }
        done?;
        Ok(false)
    }

    /// Adds a number to each channel, in place: `bias` `[O]` to `outputs` of a shape `[N, O, H', W']`, in an order.
    ///
    /// # Safety
    /// Both places hold at least so many entries of type `T`, one after the other.
    pub unsafe fn add<T: Float>(
        &self,
        bias: CUdeviceptr,
        outputs: CUdeviceptr,
        shape: [i32; 4],
        order: Order,
    ) -> Result<()> {
        let small = tensor([1, shape[1], 1, 1], T::DATA_TYPE, order)?;
        let large = tensor(shape, T::DATA_TYPE, order)?;
        let one = T::from(1).into_scaling_parameter();
        let factor = (&raw const one).cast::<c_void>();
        let (bias, outputs) = (bias as *const c_void, outputs as *mut c_void);
        // SAFETY: as in `compute`.
        unsafe { sys::cudnnAddTensor(self.raw, factor, small.raw, bias, factor, large.raw, outputs).result()? };
        Ok(())
    }

    /// The shared memory, of at least so many bytes.
    fn memory(&self, bytes: usize) -> Result<*mut c_void> {
        if bytes == 0 {
            return Ok(std::ptr::null_mut());
        }
        let mut held = self.workspace.borrow_mut();
        if held.as_ref().is_none_or(|memory| memory.len() < bytes) {
            // The old piece goes first; its memory is used again behind the work that still needs it.
            *held = None;
            // SAFETY: an algorithm reads what it has written only.
            *held = Some(unsafe { self.stream.alloc::<u8>(bytes)? });
        }
        match held.as_mut() {
            Some(memory) => Ok(memory.device_ptr_mut(&self.stream).0 as *mut c_void),
            None => bail!("no memory for a convolution"),
        }
    }

    fn plan(&self, key: Key) -> Result<Rc<Plan>> {
        if let Some(known) = self.plans.borrow().get(&key) {
            return known.clone().map_or_else(|| none(key), Ok);
        }
        let plan = Plan::new(self.raw, key).map(Rc::new);
        self.plans.borrow_mut().insert(key, plan.as_ref().ok().cloned());
        if let Err(error) = &plan {
            tracing::debug!("not computed so: {:?} of {:?}, {error}", key.0, key.1);
        }
        plan
    }

    /// Whether there is an algorithm; cuDNN is asked once.
    pub fn offers(&self, key: Key) -> bool {
        self.plan(key).is_ok()
    }

    /// Has [`Cudnn::offers`] say no, where what was offered has failed.
    pub fn refuse(&self, key: Key) {
        tracing::debug!("failed, and not computed so again: {:?} of {:?}", key.0, key.1);
        self.plans.borrow_mut().insert(key, None);
    }
}

impl Drop for Cudnn {
    fn drop(&mut self) {
        // SAFETY: the handle was opened by `of` and is closed here only.
        let _ = unsafe { result::destroy_handle(self.raw) };
    }
}

fn none<T>((map, geometry, ..): Key) -> Result<T> {
    bail!("cuDNN has no algorithm for {map:?} of {geometry:?} that gives the same bytes each time")
}

/// An algorithm of each of the three maps.
#[derive(Clone, Copy)]
enum Algorithm {
    Forward(sys::cudnnConvolutionFwdAlgo_t),
    Pullback(sys::cudnnConvolutionBwdDataAlgo_t),
    WeightGradient(sys::cudnnConvolutionBwdFilterAlgo_t),
}

/// The algorithm for one of the three maps, with its memory, among those that cuDNN offers.
macro_rules! algorithm {
    ($Kind:path, $plain:expr, $offers:ident, $memory:ident, ($($known:expr),+)) => {{
        let found = offers(|most, count, room| {
            // SAFETY: handle and descriptors live, and there is room for so many offers.
            unsafe { result::$offers($($known),+, most, count, room) }
        })?;
        let memory = |algorithm| {
            // SAFETY: handle and descriptors live.
            unsafe { result::$memory($($known),+, algorithm) }.ok()
        };
        chosen(&found, $plain, ROOM, memory).map(|(algorithm, memory)| ($Kind(algorithm), memory))
    }};
}

/// How one of the three maps is computed for one geometry.
struct Plan {
    images: Descriptor<sys::cudnnTensorDescriptor_t>,
    weights: Descriptor<sys::cudnnFilterDescriptor_t>,
    outputs: Descriptor<sys::cudnnTensorDescriptor_t>,
    conv: Descriptor<sys::cudnnConvolutionDescriptor_t>,
    algorithm: Algorithm,
    /// The bytes that the algorithm asks for beside the tensors.
    memory: usize,
    /// What adds a bias in the algorithm's own kernel, where that can.
    adds: Option<Addition>,
    /// Whether cuDNN would not.
    refused: Cell<bool>,
}

/// A bias on every output.
struct Addition {
    bias: Descriptor<sys::cudnnTensorDescriptor_t>,
    /// No non-linearity behind it: the layer behind has one of its own.
    identity: Descriptor<sys::cudnnActivationDescriptor_t>,
}

impl Plan {
    fn new(handle: sys::cudnnHandle_t, key: Key) -> Result<Self> {
        let (map, geometry, kind, precision) = key;
        let (Roles { images, weights, outputs }, order) = (geometry.shapes, geometry.order);
        let (images, outputs) = (tensor(images, kind, order)?, tensor(outputs, kind, order)?);
        let (weights, conv) = (filter(weights, kind, order)?, convolution(geometry, kind, precision)?);
        let (x, w, y, c) = (images.raw, weights.raw, outputs.raw, conv.raw);
        let found = match map {
            Map::Forward => algorithm!(
                Algorithm::Forward,
                sys::cudnnConvolutionFwdAlgo_t::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM,
                get_convolution_forward_algorithm,
                get_convolution_forward_workspace_size,
                (handle, x, w, c, y)
            ),
            Map::Pullback => algorithm!(
                Algorithm::Pullback,
                sys::cudnnConvolutionBwdDataAlgo_t::CUDNN_CONVOLUTION_BWD_DATA_ALGO_1,
                get_convolution_backward_data_algorithm,
                get_convolution_backward_data_workspace_size,
                (handle, w, y, c, x)
            ),
            Map::WeightGradient => algorithm!(
                Algorithm::WeightGradient,
                sys::cudnnConvolutionBwdFilterAlgo_t::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1,
                get_convolution_backward_filter_algorithm,
                get_convolution_backward_filter_workspace_size,
                (handle, x, y, c, w)
            ),
        };
        match found {
            Some((algorithm, memory)) => {
                let adds = matches!(algorithm, Algorithm::Forward(PRECOMPUTED)).then(|| -> Result<Addition> {
                    let bias = tensor([1, geometry.shapes.outputs[1], 1, 1], kind, order)?;
                    Ok(Addition { bias, identity: identity()? })
                });
                let (adds, refused) = (adds.transpose()?, Cell::new(false));
                Ok(Plan { images, weights, outputs, conv, algorithm, memory, adds, refused })
            }
            None => none(key),
        }
    }

    fn adds(&self) -> Option<&Addition> {
        self.adds.as_ref().filter(|_| !self.refused.get())
    }
}

/// What cuDNN says of an algorithm; one type for each of the three maps.
trait Offer: Copy {
    type Algorithm;

    fn candidate(self) -> Candidate<Self::Algorithm>;
}

macro_rules! offer {
    ($Offer:ident, $Algorithm:ident) => {
        impl Offer for sys::$Offer {
            type Algorithm = sys::$Algorithm;

            fn candidate(self) -> Candidate<Self::Algorithm> {
                Candidate {
                    algorithm: self.algo,
                    usable: self.status == sys::cudnnStatus_t::CUDNN_STATUS_SUCCESS,
                    deterministic: self.determinism == sys::cudnnDeterminism_t::CUDNN_DETERMINISTIC,
                }
            }
        }
    };
}
offer!(cudnnConvolutionFwdAlgoPerfStruct, cudnnConvolutionFwdAlgo_t);
offer!(cudnnConvolutionBwdDataAlgoPerfStruct, cudnnConvolutionBwdDataAlgo_t);
offer!(cudnnConvolutionBwdFilterAlgoPerfStruct, cudnnConvolutionBwdFilterAlgo_t);

/// The algorithms that cuDNN offers, the fastest first: `ask` is given a number, a place for how many there are, and
/// room for so many.
fn offers<O: Offer>(ask: impl FnOnce(c_int, *mut c_int, *mut O) -> Answer<()>) -> Answer<Vec<Candidate<O::Algorithm>>> {
    const MOST: usize = 16;
    let (mut room, mut count) = ([MaybeUninit::<O>::uninit(); MOST], 0);
    ask(MOST as c_int, &raw mut count, room.as_mut_ptr().cast())?;
    let written = room.iter().take(usize::try_from(count).unwrap_or(0));
    // SAFETY: cuDNN has written so many.
    Ok(written.map(|offer| unsafe { offer.assume_init() }.candidate()).collect())
}

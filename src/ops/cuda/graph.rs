//! Launches that are recorded in a graph of CUDA and queued again by one call of the driver.
#![allow(unsafe_code)] // calls of the driver that have no safe name

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::sync::Arc;

use candle_core::cuda::cudarc::driver::sys::{
    self, CUDA_KERNEL_NODE_PARAMS, CUgraph, CUgraphExec, CUgraphNode, CUgraphNodeType, CUstreamCaptureMode,
};
use candle_core::cuda::cudarc::driver::{CudaStream, DriverError, result};
use candle_core::cuda::{CudaDevice, WrapErr};
use candle_core::{Result, bail};

use super::launch::Draws;
use crate::rng::Counter;

type Answer<T> = std::result::Result<T, DriverError>;

/// What gives a launch in a graph the numbers of another stream.
type Redraw = Box<dyn FnMut(CUgraphExec, Counter) -> Answer<()>>;

/// A launch that draws, with the stream that it was recorded with.
type Drawing = (Counter, Redraw);

thread_local! {
    /// The launches that have drawn since this thread began to record.
    static RECORDED: RefCell<Option<Vec<Drawing>>> = const { RefCell::new(None) };
}

/// Recorded launches.
pub struct Graph {
    stream: Arc<CudaStream>,
    graph: CUgraph,
    ready: CUgraphExec,
    drawings: Vec<Drawing>,
}

impl Graph {
    /// What `step` queues, recorded instead of done. It has to have been done before, since nothing can be uploaded
    /// while it is recorded: what candle would upload it has kept.
    ///
    /// # Errors
    /// `step` fails, waits for the device, uploads something, or keeps memory that it was given; the driver refuses.
    /// The stream is as it was before.
    pub fn record(device: &CudaDevice, step: impl FnOnce() -> crate::Result<()>) -> crate::Result<Self> {
        let stream = device.cuda_stream();
        let _kept = device.enable_cuda_graph_htod_cache();
        stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).w()?;
        RECORDED.set(Some(Vec::new()));
        let done = step();
        let drawings = RECORDED.take().unwrap_or_default();
        // SAFETY: the recording of this stream has begun above.
        let graph = unsafe { result::stream::end_capture(stream.cu_stream()) };
        // Memory that could not be given back while it was recorded is no error of the next call.
        let left = stream.context().check_err();
        let mut recorded = Graph { stream, graph: graph.w()?, ready: std::ptr::null_mut(), drawings };
        done?;
        left.w()?;
        recorded.check()?;
        // SAFETY: the graph was ended above, and lives.
        recorded.ready = unsafe { result::graph::instantiate(recorded.graph, sys::CUgraphInstantiate_flags(0)) }.w()?;
        Ok(recorded)
    }

    /// Whether all memory that the launches take is given back by them; an error if not.
    fn check(&self) -> Result<()> {
        let kinds = kinds(self.graph).w()?;
        let count = |kind| kinds.iter().filter(|other| **other == kind).count();
        let taken = count(CUgraphNodeType::CU_GRAPH_NODE_TYPE_MEM_ALLOC);
        let given = count(CUgraphNodeType::CU_GRAPH_NODE_TYPE_MEM_FREE);
        if taken != given || kinds.is_empty() {
            bail!("of {taken} pieces of memory that a recorded step takes it gives {given} back")
        }
        Ok(())
    }

    /// The streams of the launches that draw, in their order, as they were recorded.
    pub fn draws(&self) -> impl Iterator<Item = Counter> {
        self.drawings.iter().map(|(counter, _)| *counter)
    }

    /// Queues all launches, which draw from these streams.
    ///
    /// # Errors
    /// There are more or fewer streams than launches that draw, or the driver fails.
    pub fn run(&mut self, draws: &[Counter]) -> Result<()> {
        if draws.len() != self.drawings.len() {
            bail!("{} streams for {} launches that draw", draws.len(), self.drawings.len())
        }
        self.stream.context().bind_to_thread().w()?;
        for ((_, redraw), counter) in self.drawings.iter_mut().zip(draws) {
            redraw(self.ready, *counter).w()?;
        }
        // SAFETY: graph and stream live. What the launches use lives too, as `ops::Replay` asks of who records.
        unsafe { result::graph::launch(self.ready, self.stream.cu_stream()) }.w()
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        let context = self.stream.context();
        // SAFETY: both were made above and are destroyed here only; the driver does it when they have run.
        unsafe {
            if !self.ready.is_null() {
                context.record_err(result::graph::exec_destroy(self.ready));
            }
            if !self.graph.is_null() {
                context.record_err(result::graph::destroy(self.graph));
            }
        }
    }
}

/// The kinds of the nodes of a graph; none where there is no graph.
fn kinds(graph: CUgraph) -> Answer<Vec<CUgraphNodeType>> {
    let mut count = 0;
    if graph.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: the graph lives; the driver says how many nodes there are, and then writes as many.
    let nodes = unsafe {
        sys::cuGraphGetNodes(graph, std::ptr::null_mut(), &raw mut count).result()?;
        let mut nodes = vec![std::ptr::null_mut(); count];
        sys::cuGraphGetNodes(graph, nodes.as_mut_ptr(), &raw mut count).result()?;
        nodes
    };
    let kind = |node: CUgraphNode| {
        let mut kind = CUgraphNodeType::CU_GRAPH_NODE_TYPE_EMPTY;
        // SAFETY: the node is one of the graph, and there is room for its kind.
        unsafe { sys::cuGraphNodeGetType(node, &raw mut kind) }.result()?;
        Ok(kind)
    };
    nodes.into_iter().map(kind).collect()
}

/// Notes the launch that was queued last, where this thread records: it draws from `told`'s stream, by the kernel of
/// `random.cu` that takes these places and number of entries.
///
/// # Errors
/// The driver does not know what it recorded.
pub fn note<T: 'static>(stream: &CudaStream, counter: Counter, places: [u64; 3], n: u64, told: Draws<T>) -> Result<()> {
    if RECORDED.with_borrow(Option::is_none) {
        return Ok(());
    }
    let node = last(stream).w()?;
    let mut launch = MaybeUninit::<CUDA_KERNEL_NODE_PARAMS>::uninit();
    // SAFETY: the node is that of a kernel, and the driver writes all of what it is asked for.
    let launch = unsafe {
        sys::cuGraphKernelNodeGetParams_v2(node, launch.as_mut_ptr()).result().w()?;
        launch.assume_init()
    };
    let mut arguments = (places, n, told);
    let redraw = move |ready: CUgraphExec, counter: Counter| {
        let (places, n, told) = &mut arguments;
        (told.words, told.first) = (counter.words(), counter.first());
        let [x, g, y] = places;
        let mut each = [
            (&raw mut *x).cast(),
            (&raw mut *g).cast(),
            (&raw mut *y).cast(),
            (&raw mut *n).cast(),
            (&raw mut *told).cast(),
        ];
        let launch = CUDA_KERNEL_NODE_PARAMS { kernelParams: each.as_mut_ptr(), extra: std::ptr::null_mut(), ..launch };
        // SAFETY: the same kernel with the same arguments but for its stream; the driver copies them.
        unsafe { sys::cuGraphExecKernelNodeSetParams_v2(ready, node, &raw const launch) }.result()
    };
    RECORDED.with_borrow_mut(|recorded| {
        if let Some(recorded) = recorded {
            recorded.push((counter, Box::new(redraw) as Redraw));
        }
    });
    Ok(())
}

/// The node of the launch that was recorded last: the only one that the next will follow.
fn last(stream: &CudaStream) -> Answer<CUgraphNode> {
    let mut status = sys::CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE;
    let (mut nodes, mut count) = (std::ptr::null(), 0);
    let nowhere = std::ptr::null_mut();
    // SAFETY: there is room for the three answers; the others are not asked for. The driver's list holds until the
    // next call, and is read before.
    unsafe {
        let stream = stream.cu_stream();
        let (id, graph, edges) = (nowhere, std::ptr::null_mut(), std::ptr::null_mut());
        sys::cuStreamGetCaptureInfo_v3(stream, &raw mut status, id, graph, &raw mut nodes, edges, &raw mut count)
            .result()?;
        match count {
            1 if !nodes.is_null() => Ok(*nodes),
            _ => Err(DriverError(sys::CUresult::CUDA_ERROR_STREAM_CAPTURE_UNJOINED)),
        }
    }
}

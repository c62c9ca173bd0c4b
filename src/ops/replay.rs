//! A step that is recorded where a GPU computes it, and done again by one call instead of one for each launch.

#[cfg(feature = "cuda")]
use super::cuda::graph::Graph;
use crate::Result;
use crate::rng::Counter;
use candle_core::Device;

/// A recorded step. It reads and writes the tensors that the step did, which have to live and stay where they are.
pub struct Replay {
    #[cfg(feature = "cuda")]
    graph: Graph,
    #[cfg(not(feature = "cuda"))]
    never: std::convert::Infallible,
}

impl Replay {
    /// The recording of `step` on a device, whose work is not done; `None` on a CPU. The step has to have been done
    /// before, to give back all memory that it takes, and to draw by counter.
    ///
    /// # Errors
    /// The step fails, or does something that cannot be recorded: it waits for the device, uploads, or keeps a tensor.
    /// Nothing is wrong with the device then.
    pub fn record(device: &Device, step: impl FnOnce() -> Result<()>) -> Result<Option<Self>> {
        #[cfg(feature = "cuda")]
        if let Device::Cuda(device) = device {
            return Ok(Some(Replay { graph: Graph::record(device, step)? }));
        }
        let (_, _) = (device, step);
        Ok(None)
    }

    /// The streams of random numbers that the step drew from as it was recorded, in the order of its launches.
    pub fn draws(&self) -> Vec<Counter> {
        #[cfg(feature = "cuda")]
        return self.graph.draws().collect();
        #[cfg(not(feature = "cuda"))]
        match self.never {}
    }

    /// Does the step again, with other streams of random numbers.
    ///
    /// # Errors
    /// There are more or fewer streams than the step drew from, or the device fails.
    pub fn run(&mut self, draws: &[Counter]) -> Result<()> {
        #[cfg(feature = "cuda")]
        return Ok(self.graph.run(draws)?);
        #[cfg(not(feature = "cuda"))]
        match (self.never, draws) {}
    }
}

//! The replay buffer of persistent chains (Tieleman 2008; Du & Mordatch 2019).

use candle_core::{DType, Tensor};

use crate::density::Proposal;
use crate::{Error, Result, ops, rng::Key};

/// A buffer of N persistent chains (Tieleman 2008; Du & Mordatch 2019): their positions, `[N, ..]`, which are part of
/// the checkpoint.
pub struct Buffer {
    x: Tensor,
}

/// Chains taken from a buffer, to be put back.
pub struct Taken {
    /// The indices of the chains in the buffer, all different.
    places: Vec<usize>,
    /// The positions of the chains, `[n, ..]`.
    pub x: Tensor,
}

impl Buffer {
    /// A buffer of chains with the positions x, `[N, ..]`, which are overwritten where they are: nobody else may hold
    /// their storage.
    pub fn new(x: &Tensor) -> Result<Self> {
        Ok(Buffer { x: x.detach().contiguous()? })
    }

    /// The positions of the chains, `[N, ..]`.
    pub fn tensor(&self) -> &Tensor {
        &self.x
    }

    /// Takes n different chains. Each begins anew, at its row of `fresh` `[n, ..]`, with probability `reinit`.
    ///
    /// # Errors
    /// The buffer has fewer than n chains.
    pub fn take(&self, key: Key, n: usize, reinit: f64, fresh: &Tensor) -> Result<Taken> {
        let places = self.places(key.with("places"), n)?;
        let old = self.rows(&places)?;
        let anew = key.with("reinit").uniform(n, DType::F64, self.x.device())?.lt(reinit)?;
        Ok(Taken { places, x: ops::choose_rows(&anew.to_dtype(DType::F64)?, fresh, &old)? })
    }

    /// Puts chains that were taken back, with the positions x, `[n, ..]`.
    pub fn put(&self, taken: &Taken, x: &Tensor) -> Result<()> {
        let x = x.detach().contiguous()?;
        for (i, &place) in taken.places.iter().enumerate() {
            self.x.slice_set(&x.narrow(0, i, 1)?.contiguous()?, 0, place)?;
        }
        Ok(())
    }

    /// Overwrites all positions by those of `x`, `[N, ..]`.
    ///
    /// # Errors
    /// x has another shape.
    pub fn load(&mut self, x: &Tensor) -> Result<()> {
        if x.dims() != self.x.dims() {
            let (have, want) = (x.dims(), self.x.dims());
            return Err(Error::Other(format!("the replay buffer has shape {have:?}, the method needs {want:?}")));
        }
        Ok(self.x.slice_set(&x.to_dtype(self.x.dtype())?.to_device(self.x.device())?.contiguous()?, 0, 0)?)
    }

    fn places(&self, key: Key, n: usize) -> Result<Vec<usize>> {
        let all = self.x.dim(0)?;
        if n > all {
            return Err(Error::config(format!("a batch of {n} chains cannot be taken from a replay buffer of {all}"))
                .hint(format!("--set method.buffer={}", 10 * n)));
        }
        Ok(rand::seq::index::sample(&mut key.rng(), all, n).into_vec())
    }

    fn rows(&self, places: &[usize]) -> Result<Tensor> {
        let index: Vec<u32> = places.iter().map(|&i| i as u32).collect();
        Ok(self.x.index_select(&Tensor::new(index, self.x.device())?, 0)?)
    }
}

impl Proposal for Buffer {
    /// Positions of chains of the buffer, `[n, ..]`, each at most once until all have been drawn.
    fn draw(&self, key: Key, n: usize) -> Result<Tensor> {
        let all = self.x.dim(0)?.max(1);
        let order = rand::seq::index::sample(&mut key.rng(), all, all).into_vec();
        let places: Vec<usize> = order.into_iter().cycle().take(n).collect();
        self.rows(&places)
    }
}

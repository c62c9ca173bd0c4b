//! The trait of what carries numbers between ranks.

use candle_core::Tensor;

use crate::Result;

/// What connects the ranks of a run. All of them make the same calls in the same order.
pub trait Comm: Send + Sync {
    /// This process's number, from 0.
    fn rank(&self) -> usize;

    /// The number of processes.
    fn ranks(&self) -> usize;

    /// The numbers that every rank has for this one, one-dimensional, in the order of ranks, where `to[r]` are those
    /// for rank r, one-dimensional too, and `from[r]` is how many come from there. What is for this rank stays as it
    /// is.
    ///
    /// # Errors
    /// A rank has gone, or sends something else.
    fn exchange(&self, to: &[Tensor], from: &[usize]) -> Result<Vec<Tensor>>;

    /// The words of all ranks in their order.
    ///
    /// # Errors
    /// A rank has gone.
    fn tell(&self, own: &[u8]) -> Result<Vec<Vec<u8>>>;
}

/// One process that has all parts.
pub struct Alone;

impl Comm for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn ranks(&self) -> usize {
        1
    }

    fn exchange(&self, to: &[Tensor], _: &[usize]) -> Result<Vec<Tensor>> {
        Ok(to.to_vec())
    }

    fn tell(&self, own: &[u8]) -> Result<Vec<Vec<u8>>> {
        Ok(vec![own.to_vec()])
    }
}

//! The ranks of a run, and the thread that divides for them.

use std::cell::RefCell;
use std::sync::Arc;

use super::Comm;
use crate::{Error, Result};

/// The ranks of a run, and the parts that each batch is divided into.
pub struct Group {
    pub(super) comm: Box<dyn Comm>,
    pub(super) parts: usize,
}

impl Group {
    /// The ranks that `comm` connects, for batches in so many parts; each has as many of them.
    ///
    /// # Errors
    /// The parts cannot be shared out evenly.
    pub fn new(comm: Box<dyn Comm>, parts: usize) -> Result<Self> {
        let ranks = comm.ranks();
        if parts == 0 || !parts.is_multiple_of(ranks) {
            let error = Error::config(format!("{parts} parts cannot be shared evenly by {ranks} ranks"));
            return Err(error.at_path("train.parts").hint(format!("take a multiple, such as train.parts={ranks}")));
        }
        Ok(Group { comm, parts })
    }

    /// This process's number, from 0.
    pub fn rank(&self) -> usize {
        self.comm.rank()
    }

    /// The number of processes.
    pub fn ranks(&self) -> usize {
        self.comm.ranks()
    }

    /// The words of all ranks, in their order; `own` are this one's. All ranks wait for each other.
    ///
    /// # Errors
    /// A rank has gone.
    pub fn tell(&self, own: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.comm.tell(own)
    }

    /// The words of rank 0, which all others hear.
    ///
    /// # Errors
    /// A rank has gone.
    pub fn heard(&self, own: &[u8]) -> Result<Vec<u8>> {
        self.tell(own)?.into_iter().next().ok_or_else(|| Error::Other("there is no rank 0".into()))
    }
}

thread_local! {
    /// The group that this thread divides for, if it does.
    static HERE: RefCell<Option<Arc<Group>>> = const { RefCell::new(None) };
}

/// While it lives, this thread divides batches, or does not; then what was before holds again.
pub struct Entered(Option<Arc<Group>>);

impl Drop for Entered {
    fn drop(&mut self) {
        HERE.set(self.0.take());
    }
}

/// Divides the batches of this thread among a group. One part in one rank is no division.
pub fn enter(group: &Arc<Group>) -> Entered {
    Entered(HERE.replace((group.parts > 1).then(|| Arc::clone(group))))
}

/// Divides nothing: for what this rank computes alone, and for what is inside a part.
pub fn alone() -> Entered {
    Entered(HERE.take())
}

/// Whether this thread divides batches.
pub fn is_divided() -> bool {
    HERE.with_borrow(Option::is_some)
}

/// The group that this thread divides for, if it does.
pub(super) fn here() -> Option<Arc<Group>> {
    HERE.with_borrow(Clone::clone)
}

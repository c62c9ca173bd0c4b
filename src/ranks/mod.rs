//! One run over several processes, its ranks, each with a device of its own.
//!
//! Every rank runs the whole program on the whole state: the same weights, optimisers, chains and random numbers. What
//! costs time is the passes of networks, and these are divided: a batch into so many parts ([`Group`]), every rank
//! computes its own, and all get the outputs of all. Gradients for weights are summed part after part. So what a run
//! computes depends on the number of parts and not on that of ranks, to the last bit; and a method knows nothing of
//! either.
//!
//! Only the thread that entered a group ([`enter`]) divides, and not inside a part: what parts compute side by side
//! stays in the process.

mod comm;
mod division;
mod frame;
mod group;
#[cfg(test)]
mod in_threads;
#[cfg(feature = "nccl")]
mod nccl;
mod rank;
mod rendezvous;
mod sockets;
#[cfg(test)]
mod tests;

pub use comm::{Alone, Comm};
pub use division::{Division, Slices};
pub use group::{Entered, Group, alone, enter, is_divided};
#[cfg(test)]
pub(crate) use in_threads::in_threads;
#[cfg(feature = "nccl")]
pub use nccl::Nccl;
pub use rank::{Rank, spawned};
pub use rendezvous::{Rendezvous, join};
pub use sockets::Sockets;

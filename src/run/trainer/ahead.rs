//! The batches of the next step, which a thread of the host prepares while a GPU computes this one.

use std::sync::Arc;
use std::thread::JoinHandle;

use crate::data::{Batch, Data, Split};
use crate::{Error, Result};

/// Some training batches that follow each other.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Wanted {
    /// The number of the first.
    pub first: u64,
    /// How many.
    pub count: u64,
    /// Items in each.
    pub size: usize,
}

impl Wanted {
    fn on_host(self, data: &Data) -> Result<Vec<Batch>> {
        (self.first..self.first + self.count).map(|i| data.batch_on_host(Split::Train, i, self.size)).collect()
    }
}

/// What the thread is preparing. It touches the memory of the host alone.
#[derive(Default)]
pub(super) struct Ahead(Option<(Wanted, JoinHandle<Result<Vec<Batch>>>)>);

impl Ahead {
    /// The batches on the device of the data. A thread begins with as many that follow them.
    ///
    /// # Errors
    /// As [`Data::batch`].
    pub(super) fn take(&mut self, data: &Arc<Data>, wanted: Wanted) -> Result<Vec<Batch>> {
        let batches = match self.0.take() {
            Some((prepared, thread)) if prepared == wanted => {
                thread.join().map_err(|_| Error::Other("the thread that prepares batches has failed".into()))??
            }
            _ => wanted.on_host(data)?,
        };
        let next = Wanted { first: wanted.first + wanted.count, ..wanted };
        let source = Arc::clone(data);
        let prepare = std::thread::Builder::new().name("batches".into()).spawn(move || next.on_host(&source));
        // Without a thread to be had, the next step waits for its batches.
        self.0 = prepare.ok().map(|thread| (next, thread));
        batches.iter().map(|batch| batch.on(data.device())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::of_text;

    #[test]
    fn batches_are_those_that_nobody_prepared_whatever_step_comes_next() {
        let data = Arc::new(of_text("name = \"digits\"\nnoise = 0.3"));
        let numbers = |x: &candle_core::Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let mut ahead = Ahead::default();
        // Two steps, one again, and one far off, as after a checkpoint.
        for first in [0, 2, 2, 4, 40, 42] {
            let taken = ahead.take(&data, Wanted { first, count: 2, size: 8 }).unwrap();
            assert_eq!(taken.len(), 2);
            for (batch, i) in taken.iter().zip(first..) {
                let plain = data.batch(Split::Train, i, 8).unwrap();
                assert_eq!(numbers(&batch.x), numbers(&plain.x), "batch {i}");
                assert_eq!(numbers(batch.beneath().0), numbers(plain.beneath().0), "batch {i}");
                let labels = |batch: &Batch| batch.y.as_ref().unwrap().to_vec1::<u32>().unwrap();
                assert_eq!(labels(batch), labels(&plain), "batch {i}");
            }
        }
        let too_large = Wanted { first: 0, count: 1, size: 1 << 20 };
        assert!(ahead.take(&data, too_large).unwrap_err().to_string().contains("does not fit"));
    }
}

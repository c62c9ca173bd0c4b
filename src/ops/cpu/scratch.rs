//! Memory that a thread reuses from kernel to kernel: taken anew, it would be cleared by the system each time, which
//! costs as much as some of the kernels.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// The numbers that a thread keeps at most.
const MOST: usize = 1 << 24;

thread_local! {
    static KEPT: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// As many numbers as were asked for, of no particular value.
pub struct Scratch {
    memory: Vec<f32>,
    len: usize,
}

impl Scratch {
    /// Memory for `len` numbers: the smallest of what the thread keeps that is large enough, or new memory.
    pub fn of(len: usize) -> Self {
        let kept = KEPT.with_borrow_mut(|kept| {
            let fits = kept.iter().enumerate().filter(|(_, memory)| memory.len() >= len);
            let best = fits.min_by_key(|(_, memory)| memory.len()).map(|(place, _)| place);
            best.map(|place| kept.swap_remove(place))
        });
        Scratch { memory: kept.unwrap_or_else(|| vec![0.0; len]), len }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        KEPT.with_borrow_mut(|kept| {
            if kept.iter().map(Vec::len).sum::<usize>() + memory.len() <= MOST {
                kept.push(memory);
            }
        });
    }
}

impl Deref for Scratch {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.memory.get(..self.len).unwrap_or_default()
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        self.memory.get_mut(..self.len).unwrap_or_default()
    }
}

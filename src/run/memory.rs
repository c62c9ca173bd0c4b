//! What training takes at least, before it is taken: a process that asks for more than there is gets killed without a
//! word.

use crate::nets::Shapes;
use crate::store::State;
use crate::{Error, Result};

/// Bytes of the numbers that networks are made of and make.
const BYTES: u64 = 4;

/// A lower bound on the memory of a step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// Bytes.
    pub least: u64,
    /// The parameter that most of them are for, with its shape and its share of the bytes.
    largest: Option<(String, Vec<usize>, u64)>,
    /// Items of a batch.
    items: usize,
}

impl Memory {
    /// Of a step on so many items by networks with these parameters: weights with their gradients, and of every linear
    /// map what goes in and what comes out, item by item. Convolutions count as if pictures had one pixel.
    pub fn of(parameters: &Shapes, items: usize) -> Self {
        let mut memory = Memory { items, ..Memory::default() };
        for (name, shape) in parameters {
            let made = made(name, shape).saturating_mul(items as u64);
            let copies = if made > 0 { 2 } else { 1 };
            memory.add(name, shape, numbers(shape).saturating_mul(copies).saturating_add(made).saturating_mul(BYTES));
        }
        memory
    }

    /// Of a step of a method in this state, which has the memory of its optimisers too.
    pub fn of_state(state: &State, items: usize) -> Self {
        let of_optimiser = |name: &str| name.split('.').next().is_some_and(|part| part.ends_with("optim"));
        let shapes = |optimiser: bool| -> Shapes {
            let mine = state.iter().filter(|(name, _)| of_optimiser(name) == optimiser);
            mine.map(|(name, tensor)| (name.clone(), tensor.dims().to_vec())).collect()
        };
        let mut memory = Memory::of(&shapes(false), items);
        let kept: u64 = shapes(true).values().map(|shape| numbers(shape)).sum();
        memory.least = memory.least.saturating_add(kept.saturating_mul(BYTES));
        memory
    }

    fn add(&mut self, name: &str, shape: &[usize], bytes: u64) {
        self.least = self.least.saturating_add(bytes);
        if self.largest.as_ref().is_none_or(|(.., most)| bytes > *most) {
            self.largest = Some((name.to_owned(), shape.to_vec(), bytes));
        }
    }

    /// Refuses what does not fit into the bytes that are left, if it is known how many these are.
    ///
    /// # Errors
    /// [`Error::Resource`].
    pub fn check(&self, left: Option<u64>) -> Result<()> {
        let (Some(left), Some((name, shape, bytes))) = (left.filter(|left| *left < self.least), &self.largest) else {
            return Ok(());
        };
        let (least, left, bytes) = (gigabytes(self.least), gigabytes(left), gigabytes(*bytes));
        Err(Error::Resource {
            what: format!(
                "a step on {} items takes {least} of memory at least, and {left} are left; {bytes} of them are for \
                 `{name}` of shape {shape:?}, its gradient, and what it reads and makes of the items",
                self.items
            ),
            remedy: "make the layers of that network narrower (ebm show lists its keys), or the batch smaller (--set \
                     train.batch_size=…)"
                .into(),
        })
    }
}

fn numbers(shape: &[usize]) -> u64 {
    shape.iter().fold(1, |n: u64, &side| n.saturating_mul(side as u64))
}

/// Numbers that the layer of a weight holds for each item, for the backward pass.
fn made(name: &str, shape: &[usize]) -> u64 {
    match (name.rsplit('.').next(), shape) {
        (Some("weight" | "weights"), [out, input]) => (*out as u64).saturating_add(*input as u64),
        (Some("weight"), [out, ..]) => *out as u64,
        _ => 0,
    }
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes(rows: &[(&str, &[usize])]) -> Shapes {
        rows.iter().map(|(name, shape)| ((*name).to_owned(), shape.to_vec())).collect()
    }

    #[test]
    fn a_step_takes_parameters_gradients_and_what_layers_read_and_make() {
        let mlp = shapes(&[("net.0.weight", &[300, 2]), ("net.0.bias", &[300]), ("net.1.weight", &[1, 300])]);
        let numbers = 2 * (600 + 300) + 300 + 100 * (302 + 301);
        assert_eq!(Memory::of(&mlp, 100).least, 4 * numbers);
        let conv = shapes(&[("0.weight", &[8, 3, 3, 3])]);
        assert_eq!(Memory::of(&conv, 10).least, 4 * (2 * 216 + 10 * 8));
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_layer_at_fault() {
        let wide = shapes(&[("net.0.weight", &[100_000_000, 2]), ("net.1.weight", &[1, 100_000_000])]);
        let memory = Memory::of(&wide, 100);
        memory.check(None).unwrap();
        memory.check(Some(memory.least)).unwrap();
        let error = memory.check(Some(23_000_000_000)).unwrap_err();
        assert_eq!(error.exit_code(), 5);
        let text = error.to_string();
        for says in ["100 items", "82.4 GB", "23.0 GB", "`net.0.weight` of shape [100000000, 2]", "train.batch_size"] {
            assert!(text.contains(says), "{says}: {text}");
        }
        let endless = shapes(&[("weight", &[usize::MAX, usize::MAX])]);
        assert!(Memory::of(&endless, usize::MAX).check(Some(1)).is_err());
    }
}

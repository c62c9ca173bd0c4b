//! The shapes of a network's inputs and outputs.

/// The shapes of one item, without the batch dimension, before and behind a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Io {
    /// The shape of one input, such as `[2]` or `[1, 28, 28]`.
    pub input: Vec<usize>,
    /// The shape of one output; empty for one number per item: x `[B, ..]` -> `[B]`.
    pub output: Vec<usize>,
}

impl Io {
    /// The shapes of an energy: items of shape `input`, one number each.
    pub fn scalar(input: &[usize]) -> Self {
        Io { input: input.to_vec(), output: Vec::new() }
    }

    /// The shapes of a critic: the output has the shape `item` of the input.
    pub fn field(item: &[usize]) -> Self {
        Io { input: item.to_vec(), output: item.to_vec() }
    }

    /// The number of entries of one input.
    pub fn input_size(&self) -> usize {
        size(&self.input)
    }

    /// The number of entries of one output.
    pub fn output_size(&self) -> usize {
        size(&self.output)
    }
}

/// The number of entries of an item, or the largest `usize` where that overflows, which no builder accepts.
pub(super) fn size(item: &[usize]) -> usize {
    item.iter().fold(1, |n: usize, &d| n.saturating_mul(d))
}

//! The shapes that go into a network and come out of it.

/// Shapes of ONE item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Io {
    /// Such as `[2]` or `[1, 28, 28]`.
    pub input: Vec<usize>,
    /// Empty for one number per item: x `[B, ..]` -> `[B]`.
    pub output: Vec<usize>,
}

impl Io {
    /// An energy on items of this shape.
    pub fn scalar(input: &[usize]) -> Self {
        Io { input: input.to_vec(), output: Vec::new() }
    }

    /// A critic on items of this shape: output like input.
    pub fn field(item: &[usize]) -> Self {
        Io { input: item.to_vec(), output: item.to_vec() }
    }

    /// How many numbers go in.
    pub fn input_size(&self) -> usize {
        size(&self.input)
    }

    /// How many numbers come out.
    pub fn output_size(&self) -> usize {
        size(&self.output)
    }
}

/// How many numbers there are in an item; stops at the largest count, which no builder then accepts.
fn size(item: &[usize]) -> usize {
    item.iter().fold(1, |n: usize, &d| n.saturating_mul(d))
}

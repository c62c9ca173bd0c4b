//! What is decided before a GPU is asked: the shapes and the algorithm of a convolution, the threads of a kernel.

mod groups;

use candle_core::{Result, bail};

pub use groups::Groups;

use crate::ops::{Activation, Adam, Conv, Order, Sgd};

/// The three maps that a convolution and its derivatives consist of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Map {
    /// (images, weights) ↦ outputs.
    Forward,
    /// (outputs, weights) ↦ images.
    Pullback,
    /// (images, outputs) ↦ weights.
    WeightGradient,
}

/// What stands for each of the three tensors of a convolution: a shape, a place in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Roles<T> {
    /// x, or the gradient for it.
    pub images: T,
    /// w, or the gradient for it.
    pub weights: T,
    /// y, or the gradient for it.
    pub outputs: T,
}

impl Map {
    /// Both arguments and the result of this map in their roles.
    pub fn roles<T>(self, [first, second]: [T; 2], result: T) -> Roles<T> {
        match self {
            Map::Forward => Roles { images: first, weights: second, outputs: result },
            Map::Pullback => Roles { outputs: first, weights: second, images: result },
            Map::WeightGradient => Roles { images: first, outputs: second, weights: result },
        }
    }

    /// What stands for the result of this map.
    pub fn result<T>(self, roles: Roles<T>) -> T {
        match self {
            Map::Forward => roles.outputs,
            Map::Pullback => roles.images,
            Map::WeightGradient => roles.weights,
        }
    }
}

/// The shapes of one convolution, in the numbers of 32 bits that cuDNN takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// The shapes `[N, C, H, W]`, `[O, C, k, k]` and `[N, O, H', W']`.
    pub shapes: Roles<[i32; 4]>,
    /// The pixels from one window to the next.
    pub stride: i32,
    /// The zeros on each side.
    pub padding: i32,
    /// The order in which all three tensors lie.
    pub order: Order,
}

impl Geometry {
    /// The geometry of a convolution of images of one shape with weights of another.
    ///
    /// # Errors
    /// The shapes do not fit, or a tensor has 2³¹ entries or more.
    pub fn new(images: &[usize], weights: &[usize], conv: Conv, order: Order) -> Result<Self> {
        let (&[n, c, height, width], &[o, inputs, kernel, across]) = (images, weights) else {
            bail!("a convolution takes tensors of 4 dimensions, got {images:?} and {weights:?}")
        };
        if c != inputs || kernel != across {
            bail!("images {images:?} and weights {weights:?} of a convolution do not fit")
        }
        let windows = |size| conv.windows(size, kernel).map_err(candle_core::Error::from);
        let outputs = [n, o, windows(height)?, windows(width)?];
        Ok(Geometry {
            shapes: Roles {
                images: small([n, c, height, width])?,
                weights: small([o, c, kernel, kernel])?,
                outputs: small(outputs)?,
            },
            stride: i32::try_from(conv.stride)?,
            padding: i32::try_from(conv.padding)?,
            order,
        })
    }

    /// The shape of a map's result as it lies in memory.
    pub fn made(&self, map: Map) -> [usize; 4] {
        let [n, c, height, width] = map.result(self.shapes).map(|n| n as usize);
        match self.order {
            Order::First => [n, c, height, width],
            Order::Last => [n, height, width, c],
        }
    }
}

/// A shape in numbers of 32 bits, if the number of entries is one too.
fn small(shape: [usize; 4]) -> Result<[i32; 4]> {
    let entries = shape.iter().try_fold(1, |product: usize, n| product.checked_mul(*n));
    if entries.is_none_or(|entries| i32::try_from(entries).is_err()) {
        bail!("a tensor {shape:?} has too many entries for one convolution on a GPU")
    }
    Ok(shape.map(|n| n as i32))
}

/// An algorithm that cuDNN offers, the fastest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<A> {
    /// Its name.
    pub algorithm: A,
    /// Whether it computes this geometry.
    pub usable: bool,
    /// Whether it gives the same bytes each time, or adds in the order in which threads arrive.
    pub deterministic: bool,
}

/// The first algorithm that gives the same bytes each time and asks for no more than `room` bytes of memory beside the
/// tensors, with the number of bytes; else `plain`, if that can be had. `memory` says what an algorithm asks for, if it
/// computes this geometry.
pub fn chosen<A: Copy>(
    found: &[Candidate<A>],
    plain: A,
    room: usize,
    memory: impl Fn(A) -> Option<usize>,
) -> Option<(A, usize)> {
    let good = found.iter().filter(|candidate| candidate.usable && candidate.deterministic);
    let fitting = |algorithm| Some((algorithm, memory(algorithm)?)).filter(|(_, bytes)| *bytes <= room);
    good.map(|candidate| candidate.algorithm).chain([plain]).find_map(fitting)
}

/// The number of an activation in `activation.cu`, with its α.
pub fn number(act: Activation) -> (i32, f64) {
    match act {
        Activation::Swish => (0, 0.0),
        Activation::Softplus => (1, 0.0),
        Activation::Sigmoid => (2, 0.0),
        Activation::Tanh => (3, 0.0),
        Activation::Relu => (4, 0.0),
        Activation::LeakyRelu(alpha) => (4, alpha),
        Activation::Elu(alpha) => (5, alpha),
    }
}

/// The entries of a block, where arguments have so many entries and equal blocks each; `None` if they do not fit.
pub fn block(arguments: impl IntoIterator<Item = (usize, usize)>) -> Option<usize> {
    let of = |(entries, blocks): (usize, usize)| (blocks > 0 && entries % blocks == 0).then(|| entries / blocks);
    let mut sizes = arguments.into_iter().map(of);
    let first = sizes.next()??;
    sizes.all(|size| size == Some(first)).then_some(first)
}

/// Blocks of threads for n entries, and the threads of each; a thread takes several entries where there are many.
pub fn grid(n: usize) -> (u32, u32) {
    const THREADS: usize = 256;
    const MOST: usize = 1 << 16;
    (n.div_ceil(THREADS).clamp(1, MOST) as u32, THREADS as u32)
}

/// How many counters of `random.cu` n numbers need, from number `first` of a stream on; a thread takes one.
pub fn counters(first: u64, n: u64) -> usize {
    (16 * (first.wrapping_add(n).div_ceil(64) - first / 64)) as usize
}

/// How many tensors one launch changes, as `update.cu` has it: the arguments of a kernel have 32,764 bytes of room.
pub const PIECES: usize = 128;

/// How many sums of squares the host is given, and adds.
pub const SUMS: usize = 256;

/// The threads that change tensors with n entries in all; each leaves a sum.
pub fn crowd(n: usize) -> usize {
    const MOST: usize = 1 << 17;
    let (blocks, threads) = grid(n.min(MOST));
    blocks as usize * threads as usize
}

/// The numbers of an update in the order of `update.cu`, which takes ten of each.
pub fn some<const N: usize>(numbers: [f64; N]) -> [f64; 10] {
    std::array::from_fn(|k| numbers.get(k).copied().unwrap_or(0.0))
}

/// The numbers of an Adam step.
pub fn adam_numbers(k: &Adam) -> [f64; 10] {
    some([k.scale, k.l2, k.betas[0], k.rest[0], k.betas[1], k.rest[1], k.keep, k.rate, k.root, k.eps])
}

/// The numbers of a step with momentum.
pub fn sgd_numbers(k: &Sgd) -> [f64; 10] {
    some([k.lr, k.momentum, k.weight_decay, k.scale, f64::from(u8::from(k.nesterov))])
}

/// How many partial sums are left after each round of a sum of n terms; at last one, and none of no terms.
pub fn partial_sums(n: usize) -> Vec<usize> {
    let next = |left: &usize| match left {
        0 | 1 => None,
        2..=256 => Some(1),
        257..=0x1_0000 => Some(256),
        _ => Some(0x1_0000),
    };
    // A single term is summed once too, since it is squared there.
    let first = next(&n).or((n == 1).then_some(1));
    std::iter::successors(first, next).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_ends_with_one_number() {
        assert!(partial_sums(0).is_empty());
        assert_eq!(partial_sums(1), [1]);
        assert_eq!(partial_sums(200), [1]);
        assert_eq!(partial_sums(257), [256, 1]);
        assert_eq!(partial_sums(3 << 20), [65536, 256, 1]);
    }

    #[test]
    fn a_kernel_has_threads_for_all_entries_and_never_too_many_blocks() {
        assert_eq!([0, 1, 256, 257].map(|n| grid(n).0), [1, 1, 1, 2]);
        assert_eq!(grid(usize::MAX), (1 << 16, 256));
    }

    #[test]
    fn the_threads_of_an_update_are_whole_blocks_and_bounded() {
        assert_eq!([1, 256, 257, usize::MAX].map(crowd), [256, 256, 512, 1 << 17]);
    }

    #[test]
    fn all_numbers_have_a_counter() {
        assert_eq!(
            [(0, 1), (0, 64), (0, 65), (63, 2), (64, 64)].map(|(first, n)| counters(first, n)),
            [16, 16, 32, 32, 16]
        );
    }

    #[test]
    fn arguments_have_blocks_of_one_size() {
        assert_eq!(block([(12, 2), (18, 3)]), Some(6));
        assert_eq!(block([(0, 2), (0, 3)]), Some(0));
        for wrong in [&[(12, 2), (12, 3)][..], &[(13, 2)], &[(12, 0)], &[]] {
            assert_eq!(block(wrong.iter().copied()), None, "{wrong:?}");
        }
    }

    #[test]
    fn shapes_are_those_of_the_convolution_with_its_rest() {
        // A rest of one row and of no column.
        let conv = Conv { stride: 2, padding: 1 };
        let of = |order| Geometry::new(&[2, 3, 8, 7], &[5, 3, 3, 3], conv, order).unwrap();
        let shapes = Roles { images: [2, 3, 8, 7], weights: [5, 3, 3, 3], outputs: [2, 5, 4, 4] };
        let made =
            |geometry: Geometry| [Map::Forward, Map::Pullback, Map::WeightGradient].map(|map| geometry.made(map));
        for (order, in_memory) in [
            (Order::First, [[2, 5, 4, 4], [2, 3, 8, 7], [5, 3, 3, 3]]),
            (Order::Last, [[2, 4, 4, 5], [2, 8, 7, 3], [5, 3, 3, 3]]),
        ] {
            assert_eq!(of(order), Geometry { shapes, stride: 2, padding: 1, order });
            assert_eq!(made(of(order)), in_memory);
        }
        assert_ne!(of(Order::First), of(Order::Last), "plans of their own");
        for map in [Map::Forward, Map::Pullback, Map::WeightGradient] {
            let names = Roles { images: "x", weights: "w", outputs: "y" };
            let arguments = ["x", "w", "y"].into_iter().filter(|name| *name != map.result(names)).collect::<Vec<_>>();
            let [first, second] = arguments.try_into().unwrap();
            let order = if map == Map::Pullback { [second, first] } else { [first, second] };
            assert_eq!(map.roles(order, map.result(names)), names, "{map:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let conv = Conv { stride: 1, padding: 0 };
        for (images, weights) in [
            (&[2, 3, 8, 8][..], &[5, 2, 3, 3][..]),
            (&[2, 3, 8, 8], &[5, 3, 3, 2]),
            (&[2, 3, 8, 8], &[5, 3, 9, 9]),
            (&[3, 8, 8], &[5, 3, 3, 3]),
            (&[1 << 15, 64, 32, 32], &[64, 64, 3, 3]),
            (&[usize::MAX, 3, 8, 8], &[5, 3, 3, 3]),
        ] {
            assert!(Geometry::new(images, weights, conv, Order::First).is_err(), "{images:?} {weights:?}");
        }
    }

    #[test]
    fn an_algorithm_that_gives_other_bytes_each_time_is_never_chosen() {
        let found = [('a', true, false), ('b', false, true), ('c', true, true), ('d', true, true)];
        let found = found.map(|(algorithm, usable, deterministic)| Candidate { algorithm, usable, deterministic });
        let memory = |a| Some(if a == 'c' { 100 } else { 10 });
        assert_eq!(chosen(&found, 'p', 100, memory), Some(('c', 100)));
        assert_eq!(chosen(&found, 'p', 99, memory), Some(('d', 10)));
        assert_eq!(chosen(&found[..2], 'p', 99, memory), Some(('p', 10)));
        assert_eq!(chosen(&found[..2], 'p', 5, memory), None);
        assert_eq!(chosen(&found, 'p', 100, |a| (a == 'p').then_some(1)), Some(('p', 1)));
    }
}

//! The division of group norm among threads.

use candle_core::{Result, bail};

use crate::ops::{NORM_EPSILON, Order};

/// How group norm is divided among threads, in the order of `group_norm.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Groups {
    /// The items of the batch.
    pub items: u32,
    /// The groups of an item.
    pub groups: u32,
    /// The channels of a group.
    pub channels: u32,
    /// The numbers of a channel.
    pub each: u32,
    /// The threads that share a group.
    pub lanes: u32,
    /// Those that share the items of a channel, where its numbers are summed.
    pub blocks: u32,
    /// Those that share the numbers of an item's channel there.
    pub across: u32,
    /// Whether x and what is of its shape lie channels last, `[B, .., C]`.
    pub last: u32,
    /// What is added to the variance.
    pub epsilon: f64,
}

impl Groups {
    /// The division in so many groups of x `[B, C, ..]`, or in the other order `[B, .., C]`. What a group's numbers
    /// become depends on its own size and on the order alone.
    ///
    /// # Errors
    /// The groups do not divide the channels, or one has 2³¹ numbers or more.
    pub fn of(dims: &[usize], groups: usize, order: Order) -> Result<Self> {
        let ((Order::First, &[items, all, ref rest @ ..]) | (Order::Last, &[items, ref rest @ .., all])) =
            (order, dims)
        else {
            bail!("group norm of shape {dims:?}")
        };
        if groups == 0 || !all.is_multiple_of(groups) {
            bail!("group norm of shape {dims:?} in {groups} groups")
        }
        let (channels, each) = (all / groups, rest.iter().product::<usize>());
        let size = i32::try_from(channels.saturating_mul(each))? as u32;
        let across = (each / 128).clamp(1, 8);
        let blocks = (0x1_0000 / (all * across).max(1)).min(256 / across).clamp(1, items.max(1));
        Ok(Groups {
            items: u32::try_from(items)?,
            groups: u32::try_from(groups)?,
            channels: channels as u32,
            each: u32::try_from(each)?,
            lanes: (size / 32).clamp(1, 128),
            blocks: blocks as u32,
            across: across as u32,
            last: u32::from(order == Order::Last),
            epsilon: NORM_EPSILON,
        })
    }

    /// The channels of an item.
    pub fn all(&self) -> usize {
        self.groups as usize * self.channels as usize
    }

    /// The lanes of all groups of the batch.
    pub fn lanes(&self) -> usize {
        self.items as usize * self.groups as usize * self.lanes as usize
    }

    /// The parts in which the numbers of a channel are summed.
    pub fn parts_each(&self) -> usize {
        self.blocks as usize * self.across as usize
    }

    /// The parts of all channels.
    pub fn parts(&self) -> usize {
        self.all() * self.parts_each()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_the_lanes_and_a_channel_the_parts_that_its_size_asks_for() {
        let numbers = |of: Groups| [of.lanes, of.blocks, of.across];
        let of = |dims: &[usize], groups| Groups::of(dims, groups, Order::First).map(numbers).unwrap();
        assert_eq!([of(&[2, 6], 3), of(&[64, 160, 32, 32], 8)], [[1, 2, 1], [128, 32, 8]]);
        assert_eq!(of(&[1, 160, 32, 32], 8)[0], 128, "as in a large batch");
        assert_eq!(of(&[3, 1 << 20], 1), [128, 1, 1]);
        let last = Groups::of(&[64, 32, 32, 160], 8, Order::Last).unwrap();
        assert_eq!(last, Groups { last: 1, ..Groups::of(&[64, 160, 32, 32], 8, Order::First).unwrap() });
        for (dims, groups) in [(&[2, 6][..], 4), (&[2, 6], 0), (&[6], 1), (&[1, 1 << 31], 1)] {
            assert!(Groups::of(dims, groups, Order::First).is_err(), "{dims:?} in {groups}");
        }
    }
}

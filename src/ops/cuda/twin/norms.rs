//! Group norm and its derivatives.

use std::path::Path;

use candle_core::{CpuStorage, Layout};

use super::{assert_alike, bytes, made, numbers, run};
use crate::ops::Order;
use crate::ops::cpu::Output;
use crate::ops::cpu::group_norm as kernels;
use crate::ops::cuda::plan::Groups;

/// What a kernel makes of x, t, γ and β: on a GPU of those that it is given, and on the CPU.
type Map = (&'static str, [bool; 4], fn([(&CpuStorage, &Layout); 4], usize) -> Output);

const MAPS: [Map; 4] = [
    ("normalise", [true, false, true, true], |[x, _, gain, shift], groups| kernels::norm(x, gain, shift, groups)),
    ("jacobian", [true, true, false, false], |[x, t, ..], groups| kernels::jacobian(x, t, None, groups)),
    ("jacobian", [true, true, true, false], |[x, t, gain, _], groups| kernels::jacobian(x, t, Some(gain), groups)),
    ("channel_parts", [true, true, false, false], |[x, t, ..], groups| kernels::sums(x, t, groups)),
];

/// Groups of one lane and of many, of which some have a number more than others; channels of one number, and such as
/// are summed in several parts.
const SHAPES: [(&[usize], usize); 6] = [
    (&[3, 6, 5, 7], 2),
    (&[5, 37], 1),
    (&[2, 4, 1, 1], 4),
    (&[9, 8, 17, 16], 2),
    (&[1, 2, 40, 50], 1),
    (&[300, 40], 2),
];

pub fn are_alike(twin: &Path) {
    for (shape, groups) in SHAPES {
        for (map, order) in MAPS.iter().flat_map(|map| [(map, Order::First), (map, Order::Last)]) {
            [true, false].into_iter().for_each(|single| is_alike(twin, map, (shape, groups), order, single));
        }
    }
}

fn is_alike(twin: &Path, (name, given, cpu): &Map, (shape, groups): (&[usize], usize), order: Order, single: bool) {
    let (n, channels) = (shape.iter().product(), shape[1]);
    let in_memory = match order {
        Order::First => shape.to_vec(),
        Order::Last => [&shape[..1], &shape[2..], &shape[1..2]].concat(),
    };
    let of = Groups::of(&in_memory, groups, order).unwrap();
    let storages = [("x", n), ("t", n), ("gain", channels), ("shift", channels)];
    let storages = storages.map(|(name, n)| made(name, n, single));
    let layouts = [shape.to_vec(), shape.to_vec(), vec![channels], vec![channels]].map(Layout::contiguous);
    let width = if single { 4 } else { 8 };
    let given = |k: usize| match given[k] {
        true if k < 2 => laid(&bytes(&storages[k]), width, (shape[0], channels), order == Order::Last),
        true => bytes(&storages[k]),
        false => vec![],
    };
    let mut words = vec![format!("{name}_{}", if single { "f32" } else { "f64" })];
    let counts = [of.items, of.groups, of.channels, of.each, of.lanes, of.blocks, of.across, of.last];
    words.extend(counts.map(|n| n.to_string()));
    words.extend((0..4).map(|k| (given(k).len() / width).to_string()));
    let mut have = run(twin, &words, &(0..4).map(given).collect::<Vec<_>>().concat());
    if order == Order::Last && *name != "channel_parts" {
        have = laid(&have, width, (shape[0], n / shape[0] / channels), true);
    }
    let arguments = std::array::from_fn(|k| (&storages[k], &layouts[k]));
    let want = numbers(&bytes(&cpu(arguments, groups).unwrap().0), single);
    // Sums of thousands of numbers, one after the other, differ by more than a rounding.
    let long = if n > 1000 && *name == "channel_parts" { 10.0 } else { 1.0 };
    let scale = |all: Vec<f64>| all.into_iter().map(|y| y / long).collect::<Vec<_>>();
    let what = format!("{name} of {shape:?} in {groups} groups, {order:?}");
    assert_alike(&what, &scale(numbers(&have, single)), &scale(want), single);
}

/// The entries, of so many bytes each, of items `[rows, columns]` that are as many; where asked for, transposed.
fn laid(data: &[u8], width: usize, (items, rows): (usize, usize), transposed: bool) -> Vec<u8> {
    if !transposed {
        return data.to_vec();
    }
    let columns = data.len() / width / items / rows;
    let place = |item, j: usize| ((item * rows + j % rows) * columns + j / rows) * width;
    let entry = |(item, j)| data[place(item, j)..place(item, j) + width].to_vec();
    (0..items).flat_map(|item| (0..rows * columns).map(move |j| (item, j))).flat_map(entry).collect()
}

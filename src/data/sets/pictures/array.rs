//! Arrays of pictures: numbers of any type brought to bytes, whatever the order of their axes.

use image::{DynamicImage, GrayImage, RgbImage, RgbaImage};
use rayon::prelude::*;

use super::keys::{Axes, ImagesConfig};
use super::picture::Shaping;
use super::shelf::{self, Stack};
use super::{labels, parts};
use crate::data::formats::stream::{Kind, Layout, Place};
use crate::data::keys::Pixels;
use crate::data::source::{self, Images};
use crate::store::checkpoint::sha256;
use crate::{Error, Result};

/// Pictures brought to another shape at a time.
const CHUNK: usize = 1024;

/// Channels that pictures have: grey, RGB, RGB with alpha.
const CHANNELS: [usize; 3] = [1, 3, 4];

/// The images of arrays.
///
/// # Errors
/// Shapes that are none of pictures or leave open which axis is what, numbers whose range is open, labels that are not
/// one a picture.
pub fn load(stacks: &[Stack], keys: &ImagesConfig, pixels: &Pixels) -> Result<Images> {
    let layouts = stacks.iter().map(|stack| stack.pictures.layout()).collect::<Result<Vec<_>>>()?;
    let shape = common_shape(stacks, &layouts, keys)?;
    stacks.iter().zip(&layouts).try_for_each(|(stack, layout)| stack.pictures.check_size(layout))?;
    let counts: Vec<usize> = layouts.iter().filter_map(|layout| layout.shape.first().copied()).collect();
    let given: Vec<_> = stacks.iter().zip(&counts).flat_map(|(stack, n)| std::iter::repeat_n(stack.part, *n)).collect();
    let parts = parts::of((0..given.len()).map(|i| i.to_string()), &given, keys.test, pixels);
    let slots = parts::slots(&parts);
    let range = range_of(stacks, &layouts, &keys.range)?;
    let dim = shape.iter().product::<usize>();
    let mut pixels = vec![0; dim * slots.len()];
    let mut hashes = String::new();
    let mut from = 0;
    for ((stack, layout), count) in stacks.iter().zip(&layouts).zip(&counts) {
        let target = Target { slots: slots.get(from..from + count).unwrap_or_default(), pixels: &mut pixels };
        hashes += &filled(&stack.pictures, layout, keys.axes, range, target)?;
        from += count;
    }
    let (class_names, labels) = classes_of(stacks, &counts, &slots)?;
    let classes = class_names.len().max(1);
    let shaping = shaping(shape, keys);
    let as_they_are = shaping.shape() == shape && shaping.centre == 0;
    let pixels = if as_they_are { pixels } else { reshaped(pixels, shape, shaping)? };
    let shape = shaping.shape();
    tracing::info!("{} pictures of {shape:?} in {classes} classes", labels.len());
    let sha256 = sha256(hashes.as_bytes());
    let (levels, class_names, test) = (256, source::class_names(class_names), parts::ends(&parts));
    Ok(Images { shape, levels, classes, class_names, pixels, labels, test, sha256, pairs: false })
}

/// Channels, height and width of the arrays, in this order.
fn common_shape(stacks: &[Stack], layouts: &[Layout], keys: &ImagesConfig) -> Result<[usize; 3]> {
    let mut common: Option<[usize; 3]> = None;
    for (stack, layout) in stacks.iter().zip(layouts) {
        let at = stack.pictures.shown();
        let axes = Order::of(&layout.shape, keys.axes).map_err(|(what, hint)| {
            Error::config(format!("{}: shape {:?}: {what}", at.display(), layout.shape)).at("axes").hint(hint)
        })?;
        let shape = axes.shape(&layout.shape);
        if shape.contains(&0) || layout.shape.first() == Some(&0) {
            return Err(Error::data(&at, format!("has the shape {:?}: nothing", layout.shape), "save some pictures"));
        }
        match common {
            Some(first) if first != shape => {
                let what = format!("holds pictures of {shape:?}, and others of {first:?} (channels, height, width)");
                return Err(Error::data(&at, what, "bring all parts of the set to one shape"));
            }
            _ => common = Some(shape),
        }
    }
    common.ok_or_else(|| Error::config("there is no array of pictures").at("path"))
}

/// Which axis of an array is what; the first counts the pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Height, width.
    Plane,
    /// Height, width, channels.
    Last,
    /// Channels, height, width.
    First,
}

impl Order {
    /// As the key says, or as the shape leaves no doubt; else what is open, and what to do.
    fn of(shape: &[usize], axes: Axes) -> std::result::Result<Self, (&'static str, &'static str)> {
        const SAY: &str = "set `dataset.axes` to \"nhw\", \"nhwc\" or \"nchw\"";
        let some = |n: &usize| CHANNELS.contains(n);
        match (axes, shape) {
            (Axes::Auto, [_, _, w]) if *w == 3 || *w == 4 => Err(("one picture in colour, or many in grey?", SAY)),
            (Axes::Auto | Axes::Nhw, [_, _, _]) => Ok(Order::Plane),
            (Axes::Auto, [_, c, _, w]) if some(c) && some(w) => Err(("which axis is the channel?", SAY)),
            (Axes::Auto | Axes::Nhwc, [_, _, _, c]) if some(c) => Ok(Order::Last),
            (Axes::Auto | Axes::Nchw, [_, c, _, _]) if some(c) => Ok(Order::First),
            (_, [_, _]) => Err((
                "rows of numbers are no pictures yet",
                "save them as [N, H, W] or [N, C, H, W], or read them by `dataset.name = \"table\"`",
            )),
            (_, [_, _, _, _] | [_, _, _]) => Err((
                "no such axis of 1, 3 or 4 channels",
                "save pictures in grey, RGB or RGBA, and say by `dataset.axes` where the channel is",
            )),
            _ => Err(("pictures are [N, H, W], [N, H, W, C] or [N, C, H, W]", SAY)),
        }
    }

    fn shape(self, all: &[usize]) -> [usize; 3] {
        match (self, all) {
            (Order::Last, [_, h, w, c]) | (Order::First, [_, c, h, w]) => [*c, *h, *w],
            (_, [_, h, w, ..]) => [1, *h, *w],
            _ => [0; 3],
        }
    }

    /// Where a number goes that stands at a place of the file's item, the last axis running fastest.
    fn target(self, [c, h, w]: [usize; 3], at: usize) -> usize {
        match self {
            Order::Last => (at % c) * h * w + at / c,
            Order::Plane | Order::First => at,
        }
    }
}

/// Where the pictures of one array go: among the pixels of the set, each into its slot.
struct Target<'a> {
    slots: &'a [usize],
    pixels: &'a mut [u8],
}

/// Puts an array's numbers in their places, as bytes; returns the hash of its content.
fn filled(place: &Place, layout: &Layout, axes: Axes, range: Option<[f64; 2]>, target: Target) -> Result<String> {
    let Ok(order) = Order::of(&layout.shape, axes) else { return Ok(String::new()) };
    let (shape, dim, size) = (order.shape(&layout.shape), layout.dim(), layout.numbers.size);
    let straight = range.is_none() && !layout.fortran && order != Order::Last;
    let to: Vec<usize> = (0..dim).map(|at| order.target(shape, at)).collect();
    let Target { slots, pixels } = target;
    place.pieces(&mut |i, piece| {
        if let (true, Some(slot)) = (straight, slots.get(i)) {
            pixels.get_mut(slot * dim..(slot + 1) * dim).into_iter().for_each(|to| to.copy_from_slice(piece));
            return Ok(());
        }
        let row = if layout.fortran { row_major(i, &layout.shape) } else { 0 };
        for (k, bytes) in piece.chunks_exact(size).enumerate() {
            let (item, at) = if layout.fortran { (k, row) } else { (i, k) };
            let level = match range {
                None => bytes.first().copied().unwrap_or(0),
                Some(range) => level(layout.numbers.value(bytes), range).map_err(|what| {
                    let what = format!("picture {item} (from 0): {what}");
                    Error::data(&place.shown(), what, "set `dataset.range` to the numbers for black and for white")
                })?,
            };
            let place = slots.get(item).zip(to.get(at)).map(|(slot, to)| slot * dim + to);
            place.and_then(|place| pixels.get_mut(place)).into_iter().for_each(|pixel| *pixel = level);
        }
        Ok(())
    })
}

/// The place in an item, its last axis running fastest, of place `i` with its first running fastest.
fn row_major(mut i: usize, shape: &[usize]) -> usize {
    let sides = shape.get(1..).unwrap_or_default();
    let mut index = Vec::with_capacity(sides.len());
    for side in sides {
        index.push(i % side);
        i /= side;
    }
    index.iter().zip(sides).fold(0, |at, (index, side)| at * side + index)
}

/// The nearest of 256 grey levels; a number may miss the range by half a level, as rounding does.
fn level(value: f64, [black, white]: [f64; 2]) -> std::result::Result<u8, String> {
    let level = (value - black) / (white - black) * 255.0;
    match (-0.5..=255.5).contains(&level) {
        true => Ok(level.round().clamp(0.0, 255.0) as u8),
        false => Err(format!("{value} is not from {black} to {white}")),
    }
}

/// The numbers that are black and white; none if the numbers are the grey levels themselves.
///
/// Bytes are grey levels, truth values black and white; other integers are grey levels if all are from 0 to 255;
/// fractions are from 0 to 1 if all are, and grey levels if all are whole and from 0 to 255.
fn range_of(stacks: &[Stack], layouts: &[Layout], given: &[f64]) -> Result<Option<[f64; 2]>> {
    if let [black, white] = given {
        return Ok(Some([*black, *white]));
    }
    if layouts.iter().all(|layout| layout.numbers.are_bytes()) {
        return Ok(None);
    }
    if layouts.iter().all(|layout| layout.numbers.kind == Kind::Bool) {
        return Ok(Some([0.0, 1.0]));
    }
    let (mut low, mut high, mut whole) = (f64::INFINITY, f64::NEG_INFINITY, true);
    for (stack, layout) in stacks.iter().zip(layouts) {
        stack.pictures.pieces(&mut |i, piece| {
            for value in piece.chunks_exact(layout.numbers.size).map(|bytes| layout.numbers.value(bytes)) {
                if !value.is_finite() {
                    let place = if layout.fortran { String::new() } else { format!("picture {i} (from 0): ") };
                    let what = format!("{place}{value} is no grey level");
                    return Err(Error::data(&stack.pictures.shown(), what, "save numbers for all pixels"));
                }
                (low, high, whole) = (low.min(value), high.max(value), whole && value.fract() == 0.0);
            }
            Ok(())
        })?;
    }
    let fractions = layouts.iter().any(|layout| layout.numbers.kind == Kind::Float);
    match (fractions, low >= 0.0) {
        (true, true) if high <= 1.0 => Ok(Some([0.0, 1.0])),
        (true, true) if high <= 255.0 && whole => Ok(Some([0.0, 255.0])),
        (false, true) if high <= 255.0 => Ok(Some([0.0, 255.0])),
        _ => {
            let at = stacks.first().map(|stack| stack.pictures.shown()).unwrap_or_default();
            let what =
                format!("{}: numbers from {low} to {high}: which one is black, and which is white?", at.display());
            Err(Error::config(what)
                .at("range")
                .hint("set `dataset.range` to both, such as [-1, 1], [0, 65535] or [0, 1]"))
        }
    }
}

/// The names of the classes in order, and the number of each picture's, in its slot; no name where there are no labels.
fn classes_of(stacks: &[Stack], counts: &[usize], slots: &[usize]) -> Result<(Vec<String>, Vec<u16>)> {
    let mut given = Vec::new();
    for (stack, count) in stacks.iter().zip(counts) {
        let Some(place) = &stack.labels else { continue };
        given.extend(shelf::labels(place, *count)?);
    }
    if given.is_empty() {
        return Ok((Vec::new(), vec![0; slots.len()]));
    }
    if let Some(stack) = stacks.iter().find(|stack| stack.labels.is_none()) {
        let what = "has no labels, and other parts of the set have some";
        return Err(Error::data(&stack.pictures.shown(), what, "add them, or set `dataset.labels = \"none\"`"));
    }
    let (names, numbers) = labels::numbered(&given)?;
    let mut labels = vec![0; slots.len()];
    for (slot, number) in slots.iter().zip(numbers) {
        labels.get_mut(*slot).into_iter().for_each(|label| *label = number);
    }
    Ok((names, labels))
}

/// What the pictures are brought to.
fn shaping([channels, height, width]: [usize; 3], keys: &ImagesConfig) -> Shaping {
    let size = keys.size_of([height, width]);
    keys.shaping(keys.channels.of(channels > 1), size)
}

/// The pictures in another shape, in the same memory where it is not larger.
fn reshaped(mut pixels: Vec<u8>, from: [usize; 3], shaping: Shaping) -> Result<Vec<u8>> {
    let [before, after] = [from, shaping.shape()].map(|shape| shape.iter().product::<usize>());
    let count = pixels.len() / before.max(1);
    let made = |some: &[u8]| -> Result<Vec<Vec<u8>>> {
        let one = |planes: &[u8]| shaping.planes(picture(planes, from)?);
        let all: std::result::Result<_, String> = some.par_chunks_exact(before).map(one).collect();
        all.map_err(|what| Error::config(format!("a picture of the array {what}")).at("centre"))
    };
    if after > before {
        let mut larger = Vec::with_capacity(count * after);
        for some in pixels.chunks(CHUNK * before) {
            larger.extend(made(some)?.into_iter().flatten());
        }
        return Ok(larger);
    }
    for first in (0..count).step_by(CHUNK) {
        let last = (first + CHUNK).min(count);
        let some = made(pixels.get(first * before..last * before).unwrap_or_default())?.concat();
        pixels.get_mut(first * after..last * after).into_iter().for_each(|to| to.copy_from_slice(&some));
    }
    pixels.truncate(count * after);
    pixels.shrink_to_fit();
    Ok(pixels)
}

/// One picture from its planes.
fn picture(planes: &[u8], [channels, height, width]: [usize; 3]) -> std::result::Result<DynamicImage, String> {
    let (area, w, h) = (height * width, width as u32, height as u32);
    let bytes: Vec<u8> = (0..area).flat_map(|at| planes.iter().skip(at).step_by(area)).copied().collect();
    let picture = match channels {
        1 => GrayImage::from_raw(w, h, bytes).map(DynamicImage::ImageLuma8),
        3 => RgbImage::from_raw(w, h, bytes).map(DynamicImage::ImageRgb8),
        _ => RgbaImage::from_raw(w, h, bytes).map(DynamicImage::ImageRgba8),
    };
    picture.ok_or_else(|| "is of no shape that pictures have".to_owned())
}

//! Pictures beside their own edges: the pairs of image-to-image translation, made of any set of small pictures.

use serde::{Deserialize, Serialize};

use super::{digits, mnist};
use crate::config::{Schema, decode};
use crate::data::keys::Pixels;
use crate::data::row::{DatasetRow, Origin};
use crate::data::source::{Images, Source};
use crate::store::checkpoint::sha256;

/// The set whose pictures stand beside their edges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pictures {
    /// The shipped 8×8 digits.
    #[default]
    Digits,
    /// MNIST, 28×28.
    Mnist,
    /// Fashion-MNIST, 28×28.
    FashionMnist,
}

crate::config! {
    /// Keys of `edges`.
    pub struct Edges {
        /// Whose pictures: digits (8×8, shipped), mnist or fashion_mnist (28×28).
        of: Pictures = Pictures::Digits;
        /// Slope from which a pixel is on an edge, as a share of the steepest of its picture.
        threshold: f64 = 0.5, |v: &f64| (!(*v > 0.0 && *v <= 1.0)).then(|| format!("must be in (0, 1], got {v}"));
        /// The folder that holds the files of the pictures; empty: as for the data set of the pictures themselves.
        [may_change] path: String = String::new();
    }
}

/// `edges`.
pub(crate) const EDGES: DatasetRow = DatasetRow {
    name: "edges",
    about: "a picture beside its edges, edges on the left, as one picture of twice the width: pairs to translate; from \
            shipped digits",
    cite: "the task: Isola, Zhu, Zhou & Efros 2017, arXiv 1611.07004; the edges: Sobel & Feldman 1968",
    schema: Schema::of::<(Edges, Pixels)>(),
    origin: Origin::Generated,
    pictures: false,
    example: "limit = 100",
    build: |table| {
        let (keys, _): (Edges, Pixels) = decode(table)?;
        let row = match keys.of {
            Pictures::Digits => &digits::DIGITS,
            Pictures::Mnist => &mnist::MNIST,
            Pictures::FashionMnist => &mnist::FASHION_MNIST,
        };
        row.images(&keys.path).map(|images| Source::Images(paired(images, keys.threshold)))
    },
};

/// The images, each to the right of its edges, which are white on black.
fn paired(images: Images, threshold: f64) -> Images {
    let [channels, height, width] = images.shape;
    let white = images.levels.saturating_sub(1) as u8;
    let mut pixels = Vec::with_capacity(2 * images.pixels.len());
    for plane in images.pixels.chunks(height * width) {
        let edges = outline(plane, width, threshold);
        for (row, edges) in plane.chunks(width).zip(edges.chunks(width)) {
            pixels.extend(edges.iter().map(|on| if *on { white } else { 0 }));
            pixels.extend_from_slice(row);
        }
    }
    let sha256 = sha256(format!("{} edges {threshold}", images.sha256).as_bytes());
    Images { shape: [channels, height, 2 * width], pixels, sha256, pairs: true, ..images }
}

/// Whether each pixel of a plane is on an edge: Sobel's slope there, with the border repeated outwards, is at least
/// `threshold` times the steepest one. A plane of one colour has none.
fn outline(plane: &[u8], width: usize, threshold: f64) -> Vec<bool> {
    let height = plane.len() / width.max(1);
    let at = |row: isize, column: isize| {
        let inside = |i: isize, n: usize| i.clamp(0, n as isize - 1) as usize;
        f64::from(plane.get(inside(row, height) * width + inside(column, width)).copied().unwrap_or(0))
    };
    let slope = |i: usize| {
        let (row, column) = ((i / width) as isize, (i % width) as isize);
        let weighed = |by: &dyn Fn(isize, isize) -> f64| {
            by(-1, 1) - by(-1, -1) + 2.0 * (by(0, 1) - by(0, -1)) + by(1, 1) - by(1, -1)
        };
        let across = weighed(&|along, over| at(row + along, column + over));
        let down = weighed(&|along, over| at(row + over, column + along));
        across.hypot(down)
    };
    let slopes: Vec<f64> = (0..plane.len()).map(slope).collect();
    let steepest = slopes.iter().copied().fold(0.0, f64::max);
    slopes.iter().map(|slope| *slope > 0.0 && *slope >= threshold * steepest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::source::TestItems;

    /// A step between two columns has its edge on both sides of the step, of Sobel's slope 4 there and 0 elsewhere.
    #[test]
    fn a_step_has_its_edge_where_it_is() {
        let step: Vec<u8> = (0..36).map(|i| if i % 6 < 3 { 0 } else { 9 }).collect();
        let want = |i: usize| matches!(i % 6, 2 | 3);
        assert_eq!(outline(&step, 6, 0.5), (0..36).map(want).collect::<Vec<_>>());
        let turned: Vec<u8> = (0..36).map(|i| if i / 6 < 3 { 0 } else { 9 }).collect();
        let want = |i: usize| matches!(i / 6, 2 | 3);
        assert_eq!(outline(&turned, 6, 0.5), (0..36).map(want).collect::<Vec<_>>());
        assert!(!outline(&[7; 36], 6, 0.5).contains(&true), "one colour has no edge");
    }

    #[test]
    fn pairs_are_the_digits_with_their_edges_on_the_left() {
        let digits = digits::DIGITS.images("").unwrap();
        let (alone, labels) = (digits.pixels.clone(), digits.labels.clone());
        let pairs = paired(digits, 0.5);
        assert_eq!((pairs.shape, pairs.levels, pairs.labels), ([1, 8, 16], 17, labels));
        assert!(pairs.pairs && matches!(pairs.test, TestItems::Drawn(_)), "divided as the digits are");
        let mut on_edges = 0;
        for (pair, one) in pairs.pixels.chunks(128).zip(alone.chunks(64)) {
            let half = |at: usize| pair.chunks(16).flat_map(move |row| row[at..at + 8].iter().copied());
            assert!(half(8).eq(one.iter().copied()) && half(0).all(|p| p == 0 || p == 16));
            on_edges += half(0).filter(|p| *p > 0).count();
        }
        // Strokes are two of eight pixels wide, and both their sides are edges.
        let share = on_edges as f64 / alone.len() as f64;
        assert!((0.4..0.55).contains(&share), "{share} of the pixels are on an edge");
    }
}

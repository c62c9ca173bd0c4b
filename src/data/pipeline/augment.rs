//! Random flips and shifts of training images.

use rand::Rng as _;

use crate::data::keys::Pixels;
use crate::{Error, Result, rng::Key};

/// What is done to each training image, anew for every batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Augment {
    /// Left and right are exchanged with probability ½.
    flip: bool,
    /// Shifts by up to so many pixels each way; what comes in is the image reflected at its edge.
    shift: usize,
    /// Each image is two, side by side, of which both are changed alike and none comes into the other.
    pairs: bool,
}

impl Augment {
    /// As the keys say, for images of this shape, or for pairs of them.
    ///
    /// # Errors
    /// A shift by as much as an image is wide: there is not so much to reflect. Pairs of an odd width.
    pub(crate) fn new(keys: &Pixels, [_, height, width]: [usize; 3], pairs: bool) -> Result<Self> {
        if pairs && !width.is_multiple_of(2) {
            let what = format!("pictures that are {width} pixels wide are no pairs of one width");
            return Err(Error::config(what).at("pairs").hint("--set dataset.pairs=false, or an even `dataset.width`"));
        }
        let width = if pairs { width / 2 } else { width };
        if keys.crop_pad > 0 && keys.crop_pad >= height.min(width) {
            return Err(Error::config(format!(
                "`dataset.crop_pad` is {}, and images of {height}x{width} can be reflected by less than that only",
                keys.crop_pad
            ))
            .at("crop_pad"));
        }
        Ok(Augment { flip: keys.flip, shift: keys.crop_pad, pairs })
    }

    /// The images `[B, C, H, W]`, each changed by draws of its own.
    pub(crate) fn apply(self, pixels: Vec<u8>, [channels, height, width]: [usize; 3], key: Key) -> Vec<u8> {
        let dim = channels * height * width;
        let side = if self.pairs { width / 2 } else { width };
        if !self.flip && self.shift == 0 || dim == 0 || side == 0 {
            return pixels;
        }
        let mut rng = key.rng();
        let mut out = Vec::with_capacity(pixels.len());
        for item in pixels.chunks_exact(dim) {
            // Both are always drawn, so that each key means the same with and without the other.
            let (flip, down, right) = (rng.random::<bool>(), self.offset(&mut rng), self.offset(&mut rng));
            let columns = columns(side, right, self.flip && flip);
            for plane in item.chunks_exact(height * width) {
                for y in 0..height as i64 {
                    let row = reflect(y + down, height) * width;
                    let sides = plane.get(row..row + width).unwrap_or_default().chunks_exact(side);
                    out.extend(sides.flat_map(|side| columns.iter().filter_map(|column| side.get(*column))));
                }
            }
        }
        out
    }

    /// Uniform on -shift ..= shift.
    fn offset(self, rng: &mut impl rand::Rng) -> i64 {
        rng.random_range(0..=2 * self.shift as u64) as i64 - self.shift as i64
    }
}

/// Where the columns of the changed image come from.
fn columns(width: usize, right: i64, flipped: bool) -> Vec<usize> {
    let mut columns: Vec<usize> = (0..width as i64).map(|x| reflect(x + right, width)).collect();
    if flipped {
        columns.reverse();
    }
    columns
}

/// The place inside 0..n of a place that is less than n outside: -1 is 1, and n is n - 2.
fn reflect(at: i64, n: usize) -> usize {
    let last = n as i64 - 1;
    (last - (last - at.abs()).abs()).unsigned_abs() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: [usize; 3] = [2, 3, 4];

    fn items(n: usize) -> Vec<u8> {
        (0..n).flat_map(|_| 0..24).collect()
    }

    fn augment(flip: bool, shift: usize) -> Augment {
        Augment { flip, shift, pairs: false }
    }

    #[test]
    fn edges_are_reflected_without_being_repeated() {
        let places: Vec<usize> = (-3..7).map(|at| reflect(at, 4)).collect();
        assert_eq!(places, [3, 2, 1, 0, 1, 2, 3, 2, 1, 0]);
    }

    #[test]
    fn half_of_the_images_are_flipped_all_channels_alike() {
        let n = 4000;
        let out = augment(true, 0).apply(items(n), SHAPE, Key::new(1));
        let mirrored: Vec<u8> = (0..24u8).map(|i| i / 4 * 4 + 3 - i % 4).collect();
        let flipped = out.chunks(24).filter(|item| *item == mirrored).count();
        assert_eq!(flipped + out.chunks(24).filter(|item| *item == &items(1)[..]).count(), n);
        let z = (flipped as f64 - n as f64 / 2.0) / (n as f64 / 4.0).sqrt();
        assert!(z.abs() < 4.0, "z = {z}");
    }

    #[test]
    fn all_shifts_are_equally_likely() {
        let n = 5000;
        let out = augment(false, 1).apply(items(n), SHAPE, Key::new(2));
        let mut hits = [0f64; 9];
        for item in out.chunks(24) {
            // The pixel at row 1, column 1 of the first channel is 5; those around it tell the shift.
            let (row, column) = (usize::from(item[5] / 4), usize::from(item[5] % 4));
            hits[row * 3 + column] += 1.0;
            let second: Vec<u8> = item[..12].iter().map(|v| v + 12).collect();
            assert_eq!(item[12..], second, "channels are moved together");
        }
        let expected = n as f64 / 9.0;
        let chi2: f64 = hits.iter().map(|h| (h - expected).powi(2) / expected).sum();
        assert!(chi2 < 26.1, "chi2(8) = {chi2}, the 0.1 % point is 26.1");
    }

    #[test]
    fn a_shift_brings_in_the_mirror_image() {
        let plane: Vec<u8> = (0..12).collect();
        let rows = |down, right, flipped| -> Vec<u8> {
            let columns = columns(4, right, flipped);
            (0..3i64)
                .flat_map(|y| columns.iter().map(move |c| (y, *c)).collect::<Vec<_>>())
                .map(|(y, c)| plane[reflect(y + down, 3) * 4 + c])
                .collect()
        };
        assert_eq!(rows(1, 0, false), [4, 5, 6, 7, 8, 9, 10, 11, 4, 5, 6, 7]);
        assert_eq!(rows(0, -2, false), [2, 1, 0, 1, 6, 5, 4, 5, 10, 9, 8, 9]);
        assert_eq!(rows(0, 1, true), [2, 3, 2, 1, 6, 7, 6, 5, 10, 11, 10, 9]);
    }

    /// One half is 0..6, the other the same and 100: so they are behind every flip and shift, and as a picture of half
    /// the width is.
    #[test]
    fn halves_of_a_pair_are_changed_alike_and_stay_in_their_places() {
        let half: Vec<u8> = (0..6).collect();
        let pair: Vec<u8> =
            half.chunks(3).flat_map(|row| row.iter().copied().chain(row.iter().map(|v| v + 100))).collect();
        let all = |one: &[u8]| one.repeat(50);
        let of = |pairs, pixels, width| Augment { pairs, ..augment(true, 1) }.apply(pixels, [1, 2, width], Key::new(4));
        let (pairs, alone) = (of(true, all(&pair), 6), of(false, all(&half), 3));
        for (pair, alone) in pairs.chunks(6).zip(alone.chunks(3)) {
            assert_eq!(pair[..3], *alone);
            assert!(pair[3..].iter().zip(alone).all(|(right, left)| *right == left + 100), "{pair:?}");
        }
        let error = Augment::new(&Pixels::default(), [1, 4, 5], true).unwrap_err().to_string();
        assert!(error.contains("5 pixels wide") && error.contains("dataset.pairs"), "{error}");
        let keys = Pixels { crop_pad: 3, ..Pixels::default() };
        assert!(Augment::new(&keys, [1, 4, 8], true).is_ok() && Augment::new(&keys, [1, 4, 6], true).is_err());
    }

    #[test]
    fn draws_follow_the_key_and_nothing_happens_unasked() {
        let images = items(20);
        assert_eq!(augment(false, 0).apply(images.clone(), SHAPE, Key::new(1)), images);
        let of = |key| augment(true, 2).apply(images.clone(), SHAPE, Key::new(key));
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn a_shift_wider_than_the_image_is_refused() {
        let keys = Pixels { crop_pad: 3, ..Pixels::default() };
        assert!(Augment::new(&keys, [1, 4, 4], false).is_ok());
        let error = Augment::new(&keys, SHAPE, false).unwrap_err();
        assert!(error.exit_code() == 2 && error.to_string().contains("crop_pad"), "{error}");
    }
}

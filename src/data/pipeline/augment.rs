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
}

impl Augment {
    /// As the keys say, for images of this shape.
    ///
    /// # Errors
    /// A shift by as much as an image is wide: there is not so much to reflect.
    pub(crate) fn new(keys: &Pixels, [_, height, width]: [usize; 3]) -> Result<Self> {
        if keys.crop_pad > 0 && keys.crop_pad >= height.min(width) {
            return Err(Error::config(format!(
                "`dataset.crop_pad` is {}, and images of {height}x{width} can be reflected by less than that only",
                keys.crop_pad
            ))
            .at("crop_pad"));
        }
        Ok(Augment { flip: keys.flip, shift: keys.crop_pad })
    }

    /// The images `[B, C, H, W]`, each changed by draws of its own.
    pub(crate) fn apply(self, pixels: Vec<u8>, [channels, height, width]: [usize; 3], key: Key) -> Vec<u8> {
        let dim = channels * height * width;
        if self == Augment::default() || dim == 0 {
            return pixels;
        }
        let mut rng = key.rng();
        let mut out = Vec::with_capacity(pixels.len());
        for item in pixels.chunks_exact(dim) {
            // Both are always drawn, so that each key means the same with and without the other.
            let (flip, down, right) = (rng.random::<bool>(), self.offset(&mut rng), self.offset(&mut rng));
            let columns = columns(width, right, self.flip && flip);
            for plane in item.chunks_exact(height * width) {
                for y in 0..height as i64 {
                    let row = reflect(y + down, height) * width;
                    out.extend(columns.iter().filter_map(|column| plane.get(row + column)));
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
        Augment { flip, shift }
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
        assert!(Augment::new(&keys, [1, 4, 4]).is_ok());
        let error = Augment::new(&keys, SHAPE).unwrap_err();
        assert!(error.exit_code() == 2 && error.to_string().contains("crop_pad"), "{error}");
    }
}

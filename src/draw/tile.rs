//! The arrangement of several pictures in one.

use image::{Rgb, RgbImage, imageops};

/// The picture of `pictures` row by row, `columns` in a row, on white; every cell has the size of the largest.
pub fn tile(pictures: &[RgbImage], columns: usize) -> RgbImage {
    let columns = columns.clamp(1, pictures.len().max(1));
    let largest = |side: fn(&RgbImage) -> u32| pictures.iter().map(side).max().unwrap_or(1);
    let (width, height) = (largest(RgbImage::width), largest(RgbImage::height));
    let rows = pictures.len().div_ceil(columns).max(1);
    let mut all = RgbImage::from_pixel(width * columns as u32, height * rows as u32, Rgb([255; 3]));
    for (i, picture) in pictures.iter().enumerate() {
        let (x, y) = ((i % columns) as i64 * i64::from(width), (i / columns) as i64 * i64::from(height));
        imageops::replace(&mut all, picture, x, y);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_lie_in_rows() {
        let one = |v: u8| RgbImage::from_pixel(2, 3, Rgb([v; 3]));
        let all = tile(&[one(1), one(2), one(3)], 2);
        assert_eq!(all.dimensions(), (4, 6));
        let at = |x, y| all.get_pixel(x, y).0[0];
        assert_eq!([at(0, 0), at(3, 0), at(1, 5), at(3, 5)], [1, 2, 3, 255]);
    }
}

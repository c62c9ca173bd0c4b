//! A film of pictures: how a chain moves.

use std::borrow::Cow;
use std::collections::BTreeMap;

use gif::{Encoder, Frame, Repeat};
use image::RgbImage;

use crate::{Error, Result};

/// Colours of a palette, at most.
const COLOURS: usize = 256;

/// The bytes of an endless GIF that shows each picture for `milliseconds`.
///
/// Its palette stands in the header and is that of all pictures where they have no more than 256 colours together; else
/// it is that of the last picture, and each of the others has a palette of its own.
///
/// # Errors
/// There are no pictures, or they differ in size.
pub fn gif(pictures: &[RgbImage], milliseconds: u32) -> Result<Vec<u8>> {
    let last = pictures.last().ok_or_else(|| failed("no pictures"))?;
    if pictures.iter().any(|p| p.dimensions() != last.dimensions()) {
        return Err(failed("the pictures differ in size"));
    }
    let side = |n: u32| u16::try_from(n).map_err(|_| failed("a picture is larger than 65,535 pixels"));
    let (width, height) = (side(last.width())?, side(last.height())?);
    let (palette, frames) = match palette(pictures) {
        Some(palette) => {
            let indexed = |picture| Frame { buffer: Cow::Owned(indices(&palette, picture)), ..Frame::default() };
            (palette.keys().flatten().copied().collect(), pictures.iter().map(indexed).collect())
        }
        None => reduced(pictures, width, height),
    };
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, width, height, &palette).map_err(failed)?;
    encoder.set_repeat(Repeat::Infinite).map_err(failed)?;
    let delay = u16::try_from(milliseconds / 10).unwrap_or(u16::MAX);
    for frame in frames {
        encoder.write_frame(&Frame { width, height, delay, ..frame }).map_err(failed)?;
    }
    drop(encoder);
    Ok(bytes)
}

fn failed(what: impl std::fmt::Display) -> Error {
    Error::Other(format!("cannot make a GIF: {what}"))
}

/// The colours of all pictures in ascending order, so that a grey's place grows with it, each with its place; nothing
/// if there are too many.
fn palette(pictures: &[RgbImage]) -> Option<BTreeMap<[u8; 3], u8>> {
    let mut colours = BTreeMap::new();
    for pixel in pictures.iter().flat_map(RgbImage::pixels) {
        if colours.insert(pixel.0, 0).is_none() && colours.len() > COLOURS {
            return None;
        }
    }
    colours.values_mut().zip(0..=u8::MAX).for_each(|(place, i)| *place = i);
    Some(colours)
}

fn indices(palette: &BTreeMap<[u8; 3], u8>, picture: &RgbImage) -> Vec<u8> {
    picture.pixels().map(|pixel| palette.get(&pixel.0).copied().unwrap_or_default()).collect()
}

/// The palette of the last picture, and frames with a palette each, of pictures with too many colours.
fn reduced(pictures: &[RgbImage], width: u16, height: u16) -> (Vec<u8>, Vec<Frame<'static>>) {
    let mut frames: Vec<_> = pictures.iter().map(|picture| Frame::from_rgb(width, height, picture)).collect();
    let palette = frames.last_mut().and_then(|frame| frame.palette.take()).unwrap_or_default();
    (palette, frames)
}

#[cfg(test)]
mod tests {
    use image::codecs::gif::GifDecoder;
    use image::{AnimationDecoder as _, Rgb};

    use super::*;

    fn frames(bytes: &[u8]) -> Vec<image::Frame> {
        GifDecoder::new(std::io::Cursor::new(bytes)).unwrap().into_frames().collect_frames().unwrap()
    }

    /// The palette in the header, by the bytes: flags at 10, three bytes a colour from 13 on.
    fn header(bytes: &[u8]) -> Vec<[u8; 3]> {
        assert!(bytes.starts_with(b"GIF89a") && bytes[10] & 0x80 != 0, "there is a palette");
        let size = 2usize << (bytes[10] & 7);
        bytes[13..13 + 3 * size].chunks(3).map(|c| [c[0], c[1], c[2]]).collect()
    }

    #[test]
    fn frames_come_back_in_order_with_their_time() {
        let shades = [0u8, 128, 255];
        let pictures = shades.map(|v| RgbImage::from_pixel(6, 4, Rgb([v; 3])));
        let bytes = gif(&pictures, 120).unwrap();
        let frames = frames(&bytes);
        assert_eq!(frames.len(), 3);
        for (frame, shade) in frames.iter().zip(shades) {
            assert_eq!(frame.buffer().get_pixel(3, 2).0, [shade, shade, shade, 255]);
            assert_eq!(frame.delay().numer_denom_ms(), (120, 1));
        }
    }

    #[test]
    fn the_palette_in_the_header_is_that_of_the_pictures() {
        type Colour = fn(u32, u32, u32) -> [u8; 3];
        let grey: Colour = |i, x, y| [(i + 5 * x + y) as u8; 3];
        let shaded: Colour = |i, x, y| [(6 * x) as u8, (8 * y) as u8, (80 * i) as u8];
        let sets: [(&str, u32, Colour); 4] =
            [("grey", 2, grey), ("one", 1, grey), ("few", 2, |i, x, _| [i as u8, x as u8, 255]), ("many", 3, shaded)];
        for (name, n, colour) in sets {
            let pictures: Vec<_> = (0..n).map(|i| RgbImage::from_fn(40, 30, |x, y| Rgb(colour(i, x, y)))).collect();
            let bytes = gif(&pictures, 80).unwrap();
            let palette = header(&bytes);
            assert!(palette.iter().filter(|c| **c != [0; 3]).count() > 1, "{name}: {palette:?}");
            for (frame, picture) in frames(&bytes).iter().zip(&pictures) {
                let pairs = frame.buffer().pixels().zip(picture.pixels());
                let gaps = pairs.flat_map(|(seen, drawn)| (0..3).map(|c| u32::from(seen.0[c].abs_diff(drawn.0[c]))));
                let mean = f64::from(gaps.sum::<u32>()) / f64::from(3 * 40 * 30);
                assert!(if name == "many" { mean < 24.0 } else { mean == 0.0 }, "{name}: off by {mean}");
            }
            // Frames of few colours have no palette of their own: all shades stand in the header.
            let all = pictures.iter().flat_map(|p| p.pixels()).all(|p| palette.contains(&p.0));
            assert!(all || name == "many", "{name}");
        }
    }

    #[test]
    fn nothing_and_mixed_sizes_are_refused() {
        assert!(gif(&[], 100).is_err());
        assert!(gif(&[RgbImage::new(2, 2), RgbImage::new(3, 2)], 100).is_err());
        assert!(gif(&[RgbImage::new(70_000, 1)], 100).is_err());
    }
}

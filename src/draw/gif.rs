//! The film of a series of pictures, for how a chain moves.

use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, DynamicImage, Frame, RgbImage};

use crate::{Error, Result};

/// The bytes of an endless GIF that shows each picture for `milliseconds`.
///
/// # Errors
/// There are no pictures, or they differ in size.
pub fn gif(pictures: &[RgbImage], milliseconds: u32) -> Result<Vec<u8>> {
    let failed = |what: String| Error::Other(format!("cannot make a GIF: {what}"));
    let first = pictures.first().ok_or_else(|| failed("no pictures".into()))?;
    if pictures.iter().any(|p| p.dimensions() != first.dimensions()) {
        return Err(failed("the pictures differ in size".into()));
    }
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new(&mut bytes);
    encoder.set_repeat(Repeat::Infinite).map_err(|e| failed(e.to_string()))?;
    for picture in pictures {
        let rgba = DynamicImage::ImageRgb8(picture.clone()).into_rgba8();
        let frame = Frame::from_parts(rgba, 0, 0, Delay::from_numer_denom_ms(milliseconds, 1));
        encoder.encode_frame(frame).map_err(|e| failed(e.to_string()))?;
    }
    drop(encoder);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use image::codecs::gif::GifDecoder;
    use image::{AnimationDecoder as _, Rgb};

    use super::*;

    #[test]
    fn frames_come_back_in_order_with_their_time() {
        let shades = [0u8, 128, 255];
        let pictures = shades.map(|v| RgbImage::from_pixel(6, 4, Rgb([v; 3])));
        let bytes = gif(&pictures, 120).unwrap();
        let frames = GifDecoder::new(std::io::Cursor::new(bytes)).unwrap().into_frames().collect_frames().unwrap();
        assert_eq!(frames.len(), 3);
        for (frame, shade) in frames.iter().zip(shades) {
            assert_eq!(frame.buffer().get_pixel(3, 2).0, [shade, shade, shade, 255]);
            assert_eq!(frame.delay().numer_denom_ms(), (120, 1));
        }
    }

    #[test]
    fn nothing_and_mixed_sizes_are_refused() {
        assert!(gif(&[], 100).is_err());
        assert!(gif(&[RgbImage::new(2, 2), RgbImage::new(3, 2)], 100).is_err());
    }
}

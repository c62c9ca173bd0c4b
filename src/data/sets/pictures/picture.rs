//! One picture of the user's own, of any kind that can be decoded, brought to the channels and the size of all.

use std::io::{BufRead, Cursor, Seek};

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageDecoder, ImageReader, RgbImage, imageops};
use serde::{Deserialize, Serialize};

/// Which channels a picture has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    /// One channel, the luminance.
    Grey,
    /// Red, green and blue.
    Rgb,
}

impl Colour {
    /// How many channels that is.
    pub fn channels(self) -> usize {
        match self {
            Colour::Grey => 1,
            Colour::Rgb => 3,
        }
    }
}

/// How a picture of another size comes to the size of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// Scaled until it covers the size, then cut around its centre: proportions stay, borders are lost.
    #[default]
    Crop,
    /// Scaled until it lies within the size, then surrounded by the background: proportions stay, nothing is lost.
    Pad,
    /// Scaled in height and width apart: nothing is lost, proportions change.
    Resize,
}

/// How pixels between pixels are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// The nearest pixel.
    Nearest,
    /// Means with weights that fall linearly (bilinear with anti-aliasing).
    #[default]
    Triangle,
    /// Catmull and Rom's cubic.
    CatmullRom,
    /// A Gaussian.
    Gaussian,
    /// Lanczos' window of three lobes.
    Lanczos3,
}

impl Filter {
    fn kind(self) -> imageops::FilterType {
        match self {
            Filter::Nearest => imageops::FilterType::Nearest,
            Filter::Triangle => imageops::FilterType::Triangle,
            Filter::CatmullRom => imageops::FilterType::CatmullRom,
            Filter::Gaussian => imageops::FilterType::Gaussian,
            Filter::Lanczos3 => imageops::FilterType::Lanczos3,
        }
    }
}

/// What a file says of its picture before the pixels are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Height and width as one sees it, turned by the EXIF orientation.
    pub size: [usize; 2],
    /// Whether it is stored in colour; a palette is.
    pub colour: Colour,
}

/// The shape that pictures are brought to, and how.
#[derive(Clone, Copy, Debug)]
pub struct Shaping {
    /// The channels.
    pub colour: Colour,
    /// Height and width.
    pub size: [usize; 2],
    /// Side of the square around the centre that is kept before scaling; 0 keeps all.
    pub centre: usize,
    /// How another size comes to this one.
    pub fit: Fit,
    /// How pixels between pixels are computed.
    pub filter: Filter,
    /// The grey level behind what is transparent and around what is padded.
    pub background: u8,
}

impl Shaping {
    /// Channels, height, width.
    pub fn shape(&self) -> [usize; 3] {
        let [height, width] = self.size;
        [self.colour.channels(), height, width]
    }

    /// The pixels of a picture in this shape, channel after channel, row after row.
    ///
    /// # Errors
    /// A picture smaller than `centre`, in words.
    pub fn planes(&self, picture: DynamicImage) -> Result<Vec<u8>, String> {
        let picture = self.scaled(self.flat(picture))?;
        let channels = self.colour.channels();
        let bytes = picture.into_bytes();
        Ok((0..channels).flat_map(|c| bytes.iter().skip(c).step_by(channels)).copied().collect())
    }

    /// Without transparency, 8 bits a channel.
    fn flat(&self, picture: DynamicImage) -> DynamicImage {
        let transparent = picture.color().has_alpha();
        let over = |c: u8, a: u8| {
            let (c, a, behind) = (u32::from(c), u32::from(a), u32::from(self.background));
            ((c * a + behind * (255 - a) + 127) / 255) as u8
        };
        let picture = match transparent {
            false => picture,
            true => {
                let rgba = picture.to_rgba8();
                let mut rgb = RgbImage::new(rgba.width(), rgba.height());
                for (to, from) in rgb.pixels_mut().zip(rgba.pixels()) {
                    let [r, g, b, a] = from.0;
                    to.0 = [over(r, a), over(g, a), over(b, a)];
                }
                DynamicImage::ImageRgb8(rgb)
            }
        };
        match self.colour {
            Colour::Grey => DynamicImage::ImageLuma8(picture.to_luma8()),
            Colour::Rgb => DynamicImage::ImageRgb8(picture.to_rgb8()),
        }
    }

    fn scaled(&self, picture: DynamicImage) -> Result<DynamicImage, String> {
        let picture = match self.centre {
            0 => picture,
            side => centre(&picture, side)?,
        };
        let [height, width] = self.size.map(|side| side as u32);
        if (picture.height(), picture.width()) == (height, width) {
            return Ok(picture);
        }
        let filter = self.filter.kind();
        Ok(match self.fit {
            Fit::Resize => picture.resize_exact(width, height, filter),
            Fit::Crop => picture.resize_to_fill(width, height, filter),
            Fit::Pad => {
                let small = picture.resize(width, height, filter);
                let (left, top) = ((width - small.width()) / 2, (height - small.height()) / 2);
                let mut all = match self.colour {
                    Colour::Grey => {
                        DynamicImage::ImageLuma8(GrayImage::from_pixel(width, height, [self.background].into()))
                    }
                    Colour::Rgb => {
                        DynamicImage::ImageRgb8(RgbImage::from_pixel(width, height, [self.background; 3].into()))
                    }
                };
                imageops::replace(&mut all, &small, i64::from(left), i64::from(top));
                all
            }
        })
    }
}

fn centre(picture: &DynamicImage, side: usize) -> Result<DynamicImage, String> {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    if width.min(height) < side {
        return Err(format!("has {height}×{width} pixels, fewer than the square of {side} that is kept of each"));
    }
    Ok(picture.crop_imm(((width - side) / 2) as u32, ((height - side) / 2) as u32, side as u32, side as u32))
}

/// What a file says of its picture; of most kinds its beginning alone is read.
///
/// # Errors
/// No picture of a kind that is read, in words.
pub fn header(file: impl BufRead + Seek) -> Result<Header, String> {
    let mut decoder = decoder(file)?;
    let (width, height) = decoder.dimensions();
    let turned = matches!(
        orientation(&mut decoder),
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH
    );
    let size = if turned { [width, height] } else { [height, width] };
    let colour = if decoder.color_type().has_color() { Colour::Rgb } else { Colour::Grey };
    Ok(Header { size: size.map(|side| side as usize), colour })
}

/// The picture in the bytes of a file, turned as its EXIF orientation says; of an animation the first frame.
///
/// # Errors
/// No picture of a kind that is read, or a damaged one, in words.
pub fn decode(bytes: &[u8]) -> Result<DynamicImage, String> {
    let mut decoder = decoder(Cursor::new(bytes))?;
    let orientation = orientation(&mut decoder);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|e| e.to_string())?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

/// The content tells the kind, as names lie.
fn decoder<'a>(file: impl BufRead + Seek + 'a) -> Result<impl ImageDecoder + 'a, String> {
    let reader = ImageReader::new(file).with_guessed_format().map_err(|e| e.to_string())?;
    reader.into_decoder().map_err(|e| e.to_string())
}

/// A picture whose EXIF block is broken stands as it is stored.
fn orientation(decoder: &mut impl ImageDecoder) -> Orientation {
    decoder.orientation().unwrap_or(Orientation::NoTransforms)
}

#[cfg(test)]
mod tests {
    use image::{ImageBuffer, ImageFormat, Luma, LumaA, Rgb, Rgba};

    use super::*;

    const SMALL: Shaping = Shaping {
        colour: Colour::Rgb,
        size: [2, 2],
        centre: 0,
        fit: Fit::Crop,
        filter: Filter::Triangle,
        background: 0,
    };

    fn stored(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn planes(shaping: Shaping, bytes: &[u8]) -> Vec<u8> {
        shaping.planes(decode(bytes).unwrap()).unwrap()
    }

    #[test]
    fn every_kind_of_pixel_becomes_eight_bits_without_transparency() {
        let grey = Shaping { colour: Colour::Grey, size: [1, 2], ..SMALL };
        let png = |picture: DynamicImage| stored(&picture, ImageFormat::Png);
        let luma = png(ImageBuffer::from_raw(2, 1, vec![0u8, 200]).map(DynamicImage::ImageLuma8).unwrap());
        assert_eq!(planes(grey, &luma), [0, 200]);
        let deep = ImageBuffer::<Luma<u16>, _>::from_raw(2, 1, vec![0u16, 0x8080]).unwrap();
        assert_eq!(planes(grey, &png(DynamicImage::ImageLuma16(deep))), [0, 128]);
        let half = ImageBuffer::<LumaA<u8>, _>::from_raw(2, 1, vec![255, 0, 255, 51]).unwrap();
        let half = png(DynamicImage::ImageLumaA8(half));
        assert_eq!(planes(grey, &half), [0, 51]);
        assert_eq!(planes(Shaping { background: 255, ..grey }, &half), [255, 255]);
        let rgba = ImageBuffer::<Rgba<u8>, _>::from_raw(2, 1, vec![255, 0, 0, 255, 0, 100, 200, 255]).unwrap();
        let rgba = png(DynamicImage::ImageRgba8(rgba));
        assert_eq!(planes(Shaping { size: [1, 2], ..SMALL }, &rgba), [255, 0, 0, 100, 0, 200]);
        // The luminance of ITU-R BT.709: .2126 R + .7152 G + .0722 B.
        assert_eq!(planes(grey, &rgba), [54, 86]);
        assert_eq!(header(Cursor::new(&luma)).unwrap(), Header { size: [1, 2], colour: Colour::Grey });
        assert_eq!(header(Cursor::new(&rgba)).unwrap().colour, Colour::Rgb);
    }

    #[test]
    fn a_picture_of_another_size_is_cut_padded_or_stretched() {
        // Left half black, right half white, 2 rows of 4.
        let wide = ImageBuffer::<Luma<u8>, _>::from_raw(4, 2, [0, 0, 255, 255].repeat(2)).unwrap();
        let wide = stored(&DynamicImage::ImageLuma8(wide), ImageFormat::Bmp);
        let grey = Shaping { colour: Colour::Grey, filter: Filter::Nearest, background: 9, ..SMALL };
        assert_eq!(planes(grey, &wide), [0, 255, 0, 255]);
        assert_eq!(planes(Shaping { fit: Fit::Resize, ..grey }, &wide), [0, 255, 0, 255]);
        let padded = planes(Shaping { fit: Fit::Pad, size: [4, 4], ..grey }, &wide);
        assert_eq!(padded, [[9; 4], [0, 0, 255, 255], [0, 0, 255, 255], [9; 4]].concat());
        assert_eq!(planes(Shaping { centre: 2, ..grey }, &wide), [0, 255, 0, 255]);
        let error = Shaping { centre: 3, ..grey }.planes(decode(&wide).unwrap()).unwrap_err();
        assert!(error.contains("2×4") && error.contains('3'), "{error}");
    }

    /// A JPEG with an EXIF block that says how the camera was held.
    fn turned(orientation: u8) -> Vec<u8> {
        let picture = ImageBuffer::<Rgb<u8>, _>::from_fn(16, 8, |x, _| Rgb([if x < 8 { 0 } else { 255 }; 3]));
        let plain = stored(&DynamicImage::ImageRgb8(picture), ImageFormat::Jpeg);
        let tiff = [b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".as_slice(), &[orientation, 0, 0, 0, 0, 0, 0]];
        let exif = [b"Exif\0\0".as_slice(), &tiff.concat()].concat();
        let length = (exif.len() as u16 + 2).to_be_bytes();
        [&plain[..2], &[0xff, 0xe1], &length, &exif, &plain[2..]].concat()
    }

    #[test]
    fn a_picture_stands_as_the_camera_was_held() {
        let all = |bytes: &[u8], size| planes(Shaping { colour: Colour::Grey, size, ..SMALL }, bytes);
        let (upright, quarter) = (turned(1), turned(6));
        assert_eq!(header(Cursor::new(&upright)).unwrap().size, [8, 16]);
        assert_eq!(header(Cursor::new(&quarter)).unwrap().size, [16, 8]);
        let (upright, quarter) = (all(&upright, [8, 16]), all(&quarter, [16, 8]));
        assert!(upright[0] < 20 && upright[15] > 235 && upright[7 * 16] < 20);
        // Turned clockwise by a quarter, the left half is on top.
        assert!(quarter[0] < 20 && quarter[7] < 20 && quarter[15 * 8] > 235);
    }

    #[test]
    fn what_is_no_picture_is_said_to_be_none() {
        for bytes in [&b""[..], b"hello", b"\x89PNG\r\n\x1a\n", &turned(1)[..60]] {
            assert!(decode(bytes).is_err() && !decode(bytes).unwrap_err().is_empty());
        }
    }
}

//! Pictures made of tensors and series, as the bytes of a PNG, GIF or SVG file, which the caller writes.

mod axes;
mod colour;
mod curves;
mod density2d;
mod figure;
mod gif;
mod grid;
mod mark;
mod outline;
mod panel;
mod scale;
mod tile;

use std::sync::OnceLock;

use image::{ExtendedColorType, ImageEncoder as _, RgbImage};
use plotters::coord::Shift;
use plotters::prelude::{BitMapBackend, DrawingArea, DrawingBackend, IntoDrawingArea as _, SVGBackend};
use plotters::style::{FontStyle, register_font};

pub use colour::{PALETTE, viridis};
pub use curves::{Curves, Series};
pub use density2d::{Heat, panels, plane};
pub use figure::Figure;
pub use gif::gif;
pub use grid::{grid, scale_for, singly};
pub use outline::outline;
pub use panel::{Line, Mark, Panel};
pub use tile::tile;

use crate::{Error, Result};

/// The bytes of a PNG file.
///
/// # Errors
/// The picture is empty.
pub fn png(picture: &RgbImage) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let (width, height) = picture.dimensions();
    image::codecs::png::PngEncoder::new(&mut bytes)
        .write_image(picture.as_raw(), width, height, ExtendedColorType::Rgb8)
        .map_err(|e| Error::Other(format!("cannot encode a PNG of {width} × {height}: {e}")))?;
    Ok(bytes)
}

/// The font of every text. It is part of the program, so pictures are the same on every machine.
const FONT: &str = "sans-serif";

/// Registers [`FONT`] with plotters.
fn ready_font() -> Result<()> {
    static READY: OnceLock<bool> = OnceLock::new();
    let register = || register_font(FONT, FontStyle::Normal, dejavu::sans::regular()).is_ok();
    if *READY.get_or_init(register) { Ok(()) } else { Err(Error::Other("the built-in font cannot be read".into())) }
}

/// A drawing by plotters, on any of its backends.
trait Drawing {
    fn draw<B: DrawingBackend>(&self, area: DrawingArea<B, Shift>) -> Result<()>;
}

/// The drawing as pixels.
fn pixels(drawing: &impl Drawing, (width, height): (u32, u32)) -> Result<RgbImage> {
    let mut pixels = vec![0; width as usize * height as usize * 3];
    drawing.draw(BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area())?;
    RgbImage::from_raw(width, height, pixels).ok_or_else(|| Error::Other("cannot draw: no pixels".into()))
}

/// The drawing as the text of an SVG file.
fn svg_text(drawing: &impl Drawing, size: (u32, u32)) -> Result<String> {
    let mut text = String::new();
    drawing.draw(SVGBackend::with_string(&mut text, size).into_drawing_area())?;
    Ok(text)
}

/// The error of a plot, from the text of a plotters error, whose type differs between backends.
fn plot_error(error: impl std::fmt::Display) -> Error {
    Error::Other(format!("cannot draw: {error}"))
}

/// The smallest interval that holds all `values`, which are finite, with a margin of 5 %; it is never empty.
fn range(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return 0.0..1.0;
    }
    let margin = if high > low { 0.05 * (high - low) } else { 0.5 * low.abs().max(1.0) };
    low - margin..high + margin
}

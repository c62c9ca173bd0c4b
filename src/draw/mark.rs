//! The look of each line of a figure (colour, marker and dashes), and the legend that names it.

use std::ops::Add;

use plotters::coord::Shift;
use plotters::element::DashedPathElement;
use plotters::prelude::*;

use super::panel::Line;
use super::{FONT, PALETTE, plot_error};
use crate::Result;

/// The lengths of dashes and of the gaps between them, in pixels; the first is a full line.
const DASHES: [(u32, u32); 4] = [(1, 0), (8, 5), (2, 4), (14, 4)];
/// The corners of markers that differ in outline: circle, square, triangle, diamond, triangle upside down.
const OUTLINES: [&[(i32, i32)]; 5] = [
    &[(-2, -5), (2, -5), (5, -2), (5, 2), (2, 5), (-2, 5), (-5, 2), (-5, -2)],
    &[(-4, -4), (4, -4), (4, 4), (-4, 4)],
    &[(0, -6), (5, 4), (-5, 4)],
    &[(0, -6), (6, 0), (0, 6), (-6, 0)],
    &[(0, 6), (5, -4), (-5, -4)],
];

/// The look of one line: its colour, marker and dashes, and whether it joins the points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Look {
    colour: RGBColor,
    outline: &'static [(i32, i32)],
    dash: (u32, u32),
    joined: bool,
}

impl Look {
    /// The look of `line`. Colours repeat after 7 and markers after 5, a pair after 35, so that lines differ also
    /// without colour.
    pub(super) fn of(line: &Line) -> Self {
        let pick = |n: usize| line.look % n;
        let [r, g, b] = PALETTE.get(pick(PALETTE.len())).copied().unwrap_or_default();
        let outline = OUTLINES.get(pick(OUTLINES.len())).copied().unwrap_or_default();
        let dash = DASHES.get(line.dash % DASHES.len()).copied().unwrap_or((1, 0));
        Look { colour: RGBColor(r, g, b), outline, dash, joined: line.joined }
    }

    /// A curve without markers, in colour number `n` of the palette.
    pub(super) fn curve(n: usize) -> Self {
        let [r, g, b] = PALETTE.get(n % PALETTE.len()).copied().unwrap_or_default();
        Look { colour: RGBColor(r, g, b), outline: &[], dash: (1, 0), joined: true }
    }

    /// The stroke of lines and error bars.
    pub(super) fn style(&self) -> ShapeStyle {
        self.colour.stroke_width(2)
    }

    /// The marker of a point at `at`.
    pub(super) fn marker<B: DrawingBackend, C>(&self, at: C) -> Anchored<C, B, Polygon<Pixel>> {
        EmptyElement::at(at) + Polygon::new(self.outline.to_vec(), self.colour.filled())
    }

    /// The line through points if it is a full one, else `None`.
    pub(super) fn full<C: Clone>(&self, points: &[C]) -> Option<PathElement<C>> {
        (self.dash.1 == 0).then(|| PathElement::new(points.to_vec(), self.style()))
    }

    /// The line through points if it is dashed, else `None`.
    pub(super) fn dashed<C: Clone>(&self, points: &[C]) -> Option<DashedPathElement<std::vec::IntoIter<C>, u32>> {
        let (dash, gap) = self.dash;
        (gap > 0).then(|| DashedPathElement::new(points.to_vec(), dash, gap, self.style()))
    }
}

/// A shape drawn in pixels around a point of the chart.
pub(super) type Anchored<C, B, E> = <EmptyElement<C, B> as Add<E>>::Output;
type Pixel = (i32, i32);

/// The cap at an end of an error bar.
pub(super) fn cap<B: DrawingBackend, C>(at: C, style: ShapeStyle) -> Anchored<C, B, PathElement<Pixel>> {
    EmptyElement::at(at) + PathElement::new([(-4, 0), (5, 0)], style)
}

/// The pixels from one line of the legend to the next, and the length of the line in front of a name.
const ROW: i32 = 24;
const SAMPLE: i32 = 34;
/// Pixels on the left and on the right of the legend, between a sample and its name, and behind a name.
const LEFT: i32 = 80;
const RIGHT: i32 = 24;
const GAP: i32 = 8;
const APART: i32 = 26;
/// The legend takes at most this part of the height; what does not fit into it is an ellipsis.
const SHARE: i32 = 3;

/// Draws the legend, names in rows from the left, each behind its marker and line, and returns the height that it
/// takes.
pub(super) fn legend<B: DrawingBackend>(area: &DrawingArea<B, Shift>, entries: &[(&str, Look)]) -> Result<i32> {
    let font = (FONT, 15).into_text_style(area);
    let (width, height) = area.dim_in_pixel();
    let (right, lowest) = (width as i32 - RIGHT, height as i32 / SHARE);
    let (mut x, mut y) = (LEFT, 12 + ROW / 2);
    for (name, look) in entries {
        let (name, wide, high) = fitting(area, name, &font, right - LEFT - SAMPLE - GAP)?;
        if x + SAMPLE + GAP + wide > right && x > LEFT {
            if y + ROW + ROW / 2 > lowest {
                let more = Text::new("…", (right, y - high / 2), font.clone());
                area.draw(&more).map_err(plot_error)?;
                break;
            }
            (x, y) = (LEFT, y + ROW);
        }
        if look.joined {
            let sample = [(x, y), (x + SAMPLE, y)];
            look.full(&sample).map_or(Ok(()), |line| area.draw(&line)).map_err(plot_error)?;
            look.dashed(&sample).map_or(Ok(()), |line| area.draw(&line)).map_err(plot_error)?;
        }
        if !look.outline.is_empty() {
            area.draw(&look.marker((x + SAMPLE / 2, y))).map_err(plot_error)?;
        }
        area.draw(&Text::new(name, (x + SAMPLE + GAP, y - high / 2), font.clone())).map_err(plot_error)?;
        x += SAMPLE + GAP + wide + APART;
    }
    Ok(y + ROW / 2)
}

/// As much of `name` as fits into `room` pixels, with its width and height.
fn fitting<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    name: &str,
    font: &TextStyle<'_>,
    room: i32,
) -> Result<(String, i32, i32)> {
    let size = |text: &str| area.estimate_text_size(text, font).map_err(plot_error);
    let mut shown = name.to_owned();
    let mut kept = name.chars().count();
    loop {
        let (wide, high) = size(&shown)?;
        if wide as i32 <= room || kept == 0 {
            return Ok((shown, wide as i32, high as i32));
        }
        kept -= 1;
        shown = name.chars().take(kept).chain(['…']).collect();
    }
}

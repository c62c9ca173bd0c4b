//! The picture of a model of points in the plane: data, density and samples side by side.

use candle_core::{DType, Device, Tensor};
use image::RgbImage;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::{FONT, PALETTE, plot_error, ready_font, viridis};
use crate::{Error, Result};

/// A function on a rectangle, given by its values on a grid of equal cells.
#[derive(Clone, Debug)]
pub struct Heat {
    /// The left and right end of the rectangle.
    pub x: [f64; 2],
    /// The lower and upper end of the rectangle.
    pub y: [f64; 2],
    /// The number of cells in a row.
    pub columns: usize,
    /// The values at the centres of the cells, row by row from the lowest y, each from the lowest x.
    pub values: Vec<f64>,
}

impl Heat {
    fn rows(&self) -> usize {
        self.values.len() / self.columns.max(1)
    }

    fn is_sound(&self) -> bool {
        let wide = |[a, b]: [f64; 2]| a.is_finite() && b.is_finite() && a < b;
        let full = self.columns > 0 && !self.values.is_empty() && self.values.len().is_multiple_of(self.columns);
        full && wide(self.x) && wide(self.y)
    }

    /// The value of the cell that holds a point; `None` outside the rectangle.
    fn at(&self, x: f64, y: f64) -> Option<f64> {
        let cell = |v: f64, [a, b]: [f64; 2], n: usize| {
            let i = ((v - a) / (b - a) * n as f64).floor();
            (i >= 0.0 && i < n as f64).then_some(i as usize)
        };
        let (column, row) = (cell(x, self.x, self.columns)?, cell(y, self.y, self.rows())?);
        self.values.get(row * self.columns + column).copied()
    }
}

/// A picture of three panels on the rectangle of `density`: the points `data`, the density (0 dark, its largest value
/// bright), and the points `samples`. Points outside are left out, and their share is written under the title.
///
/// # Shapes
/// `data`, `samples`: `[N, 2]`.
///
/// # Errors
/// `data` or `samples` has another shape, or the grid is empty, ragged or without extent.
pub fn panels(data: &Tensor, density: &Heat, samples: &Tensor) -> Result<RgbImage> {
    if !density.is_sound() {
        return Err(Error::Other(format!(
            "cannot draw a density of {} values in rows of {} on {:?} × {:?}",
            density.values.len(),
            density.columns,
            density.x,
            density.y
        )));
    }
    let (data, samples) = (points(data)?, points(samples)?);
    paint((3 * SIDE, SIDE + 16), |area| {
        if let [left, middle, right] = &area.split_evenly((1, 3))[..] {
            scatter(left, "data", density, &data, PALETTE[0])?;
            heat_map(middle, density)?;
            scatter(right, "samples", density, &samples, PALETTE[1])?;
        }
        Ok(())
    })
}

/// A picture of one panel of points on a window `[[x_lo, x_hi], [y_lo, y_hi]]`. Shape of x: `[N, 2]`.
///
/// # Errors
/// x has another shape, or the window has no extent.
pub fn plane(x: &Tensor, window: [[f64; 2]; 2]) -> Result<RgbImage> {
    let [across, up] = window;
    let blank = Heat { x: across, y: up, columns: 1, values: vec![0.0] };
    if !blank.is_sound() {
        return Err(Error::Other(format!("cannot draw points on the window {window:?}")));
    }
    let points = points(x)?;
    paint((SIDE, SIDE + 16), |area| scatter(area, "samples", &blank, &points, PALETTE[1]))
}

/// The picture of the given size, white, on which `draw` has drawn.
fn paint((width, height): (u32, u32), draw: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<RgbImage> {
    ready_font()?;
    let mut pixels = vec![0; (3 * width * height) as usize];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
        area.fill(&WHITE).map_err(plot_error)?;
        draw(&area)?;
        area.present().map_err(plot_error)?;
    }
    RgbImage::from_raw(width, height, pixels).ok_or_else(|| Error::Other("cannot draw: no pixels".into()))
}

/// The side of a panel with its frame, in pixels.
const SIDE: u32 = 360;

type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<
    'a,
    BitMapBackend<'b>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;

fn frame<'a, 'b>(area: &'a Area<'b>, title: &str, heat: &Heat) -> Result<Chart<'a, 'b>> {
    ChartBuilder::on(area)
        .caption(title, (FONT, 18))
        .margin(8)
        .x_label_area_size(24)
        .y_label_area_size(32)
        .build_cartesian_2d(heat.x[0]..heat.x[1], heat.y[0]..heat.y[1])
        .map_err(plot_error)
}

/// Draws the axes, which come last so that they lie above the colours.
fn axes(chart: &mut Chart<'_, '_>) -> Result<()> {
    chart.configure_mesh().disable_mesh().x_labels(5).y_labels(5).label_style((FONT, 12)).draw().map_err(plot_error)
}

fn scatter(area: &Area<'_>, title: &str, heat: &Heat, points: &[(f64, f64)], [r, g, b]: [u8; 3]) -> Result<()> {
    let inside: Vec<_> = points.iter().filter(|p| heat.at(p.0, p.1).is_some()).collect();
    let outside = points.len() - inside.len();
    let title =
        if outside == 0 { title.to_owned() } else { format!("{title} ({outside} of {} outside)", points.len()) };
    let mut chart = frame(area, &title, heat)?;
    let alpha = (2000.0 / inside.len().max(1) as f64).clamp(0.08, 0.6);
    let style = RGBColor(r, g, b).mix(alpha).filled();
    chart.draw_series(inside.into_iter().map(|p| Circle::new(*p, 1, style))).map_err(plot_error)?;
    axes(&mut chart)
}

/// Draws the heat map: every pixel of the panel takes the colour of its cell, so there are no seams between cells of
/// any size.
fn heat_map(area: &Area<'_>, heat: &Heat) -> Result<()> {
    let mut chart = frame(area, "density", heat)?;
    let top = heat.values.iter().copied().filter(|v| v.is_finite()).fold(0.0, f64::max);
    let (across, up) = chart.plotting_area().get_pixel_range();
    let inside = |v: i32, range: &std::ops::Range<i32>| (f64::from(v - range.start) + 0.5) / range.len() as f64;
    for (px, py) in across.clone().flat_map(|px| up.clone().map(move |py| (px, py))) {
        let x = heat.x[0] + inside(px, &across) * (heat.x[1] - heat.x[0]);
        let y = heat.y[1] - inside(py, &up) * (heat.y[1] - heat.y[0]);
        let [r, g, b] = viridis(heat.at(x, y).unwrap_or(0.0) / top.max(f64::MIN_POSITIVE));
        let (left, above) = area.get_base_pixel();
        area.draw_pixel((px - left, py - above), &RGBColor(r, g, b)).map_err(plot_error)?;
    }
    axes(&mut chart)
}

fn points(t: &Tensor) -> Result<Vec<(f64, f64)>> {
    let (_, two) = t.dims2()?;
    if two != 2 {
        return Err(Error::Other(format!("cannot draw points of shape {:?}: need [N, 2]", t.dims())));
    }
    let values = t.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    Ok(values.chunks_exact(2).map(|p| (p[0], p[1])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Key;

    fn ring_heat(n: usize) -> Heat {
        let centre = |i: usize| -4.0 + 8.0 * (i as f64 + 0.5) / n as f64;
        let value = |i: usize| (-(centre(i % n).hypot(centre(i / n)) - 2.0).powi(2) / 0.18).exp();
        Heat { x: [-4.0, 4.0], y: [-4.0, 4.0], columns: n, values: (0..n * n).map(value).collect() }
    }

    fn ring(n: usize, key: u64) -> Tensor {
        let normal = Key::new(key).normal((n, 3), DType::F64, &Device::Cpu).unwrap().to_vec2::<f64>().unwrap();
        let point = |v: &Vec<f64>| {
            let (radius, length) = (2.0 + 0.3 * v[2], v[0].hypot(v[1]));
            [radius * v[0] / length, radius * v[1] / length]
        };
        Tensor::from_vec(normal.iter().flat_map(point).collect(), (n, 2), &Device::Cpu).unwrap()
    }

    #[test]
    fn the_three_panels_show_what_they_should() {
        let picture = panels(&ring(2000, 1), &ring_heat(100), &ring(2000, 2)).unwrap();
        let third = picture.width() / 3;
        let count = |panel: u32, is: &dyn Fn([u8; 3]) -> bool| {
            let inside = |x: u32| x / third == panel;
            picture.enumerate_pixels().filter(|(x, _, p)| inside(*x) && is(p.0)).count()
        };
        let blue = |[r, _, b]: [u8; 3]| b > 120 && r < 100;
        let orange = |[r, _, b]: [u8; 3]| r > 180 && b < 100;
        assert!(count(0, &blue) > 500 && count(0, &orange) == 0);
        assert!(count(2, &orange) > 500 && count(2, &blue) == 0);
        // The area of the disc between the radii where the density is above 0.9 of its top.
        let bright = count(1, &|c| c[0] > 0xb5 && c[1] > 0xd0 && c[2] < 0x60) as f64;
        let dark = count(1, &|c| c == viridis(0.0)) as f64;
        assert!(bright > 500.0 && dark > 5.0 * bright, "{bright} bright, {dark} dark");
    }

    #[test]
    fn a_cell_is_found_from_its_point() {
        let heat = Heat { x: [0.0, 3.0], y: [10.0, 12.0], columns: 3, values: (0..6).map(f64::from).collect() };
        assert_eq!(heat.at(2.5, 10.5), Some(2.0));
        assert_eq!(heat.at(0.0, 11.0), Some(3.0));
        assert_eq!([heat.at(3.0, 11.0), heat.at(-0.1, 11.0), heat.at(1.0, f64::NAN)], [None; 3]);
    }

    #[test]
    fn odd_input_is_refused_or_drawn() {
        let nowhere = Tensor::new(&[[f64::NAN, 0.0], [1e9, 0.0]], &Device::Cpu).unwrap();
        let none = Tensor::zeros((0, 2), DType::F32, &Device::Cpu).unwrap();
        let flat = Heat { values: vec![f64::NAN; 4], columns: 2, ..ring_heat(2) };
        panels(&nowhere, &flat, &none).unwrap();
        for bad in [
            Heat { columns: 0, ..ring_heat(2) },
            Heat { columns: 3, ..ring_heat(2) },
            Heat { x: [1.0, 1.0], ..ring_heat(2) },
            Heat { y: [0.0, f64::INFINITY], ..ring_heat(2) },
        ] {
            assert!(panels(&none, &bad, &none).is_err());
        }
        assert!(panels(&Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap(), &flat, &none).is_err());
    }
}

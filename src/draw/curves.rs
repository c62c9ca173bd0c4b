//! The plot of curves with axes, as PNG or SVG.

use image::RgbImage;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::axes::mesh;
use super::mark::{self, Look};
use super::{Drawing, FONT, pixels, plot_error, range, ready_font, svg_text};
use crate::Result;

/// One curve of a plot.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// The name in the legend.
    pub name: String,
    /// The points (x, y) in order of x; one that is not finite (or beyond 1e300) breaks the line.
    pub points: Vec<(f64, f64)>,
}

/// A picture of one or more curves over a common axis.
#[derive(Clone, Debug, Default)]
pub struct Curves {
    /// The title, above the picture.
    pub title: String,
    /// The name below the x axis.
    pub x_label: String,
    /// The name beside the y axis, with the unit.
    pub y_label: String,
    /// The curves; more than seven repeat colours.
    pub series: Vec<Series>,
}

impl Curves {
    /// The picture as pixels, `size` = (width, height).
    ///
    /// # Errors
    /// The size is too small to draw in.
    pub fn picture(&self, size: (u32, u32)) -> Result<RgbImage> {
        pixels(self, size)
    }

    /// The picture as the text of an SVG file, `size` = (width, height).
    ///
    /// # Errors
    /// The size is too small to draw in.
    pub fn svg(&self, size: (u32, u32)) -> Result<String> {
        svg_text(self, size)
    }
}

impl Drawing for Curves {
    fn draw<B: DrawingBackend>(&self, area: DrawingArea<B, Shift>) -> Result<()> {
        ready_font()?;
        area.fill(&WHITE).map_err(plot_error)?;
        let area = area.margin(6, 0, 0, 0);
        let area =
            if self.title.is_empty() { area } else { area.titled(&self.title, (FONT, 20)).map_err(plot_error)? };
        let looks = || self.series.iter().enumerate().map(|(i, series)| (series, Look::curve(i)));
        let entries: Vec<(&str, Look)> = looks().map(|(series, look)| (series.name.as_str(), look)).collect();
        // Above the curves, which it would hide if it lay on them.
        let below = if entries.len() > 1 { mark::legend(&area, &entries)? } else { 0 };
        let (_, area) = area.split_vertically(below);
        let all = || self.series.iter().flat_map(|s| &s.points).filter(|p| drawable(p));
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .margin_right(24)
            .x_label_area_size(44)
            .y_label_area_size(72)
            .build_cartesian_2d(range(all().map(|p| p.0)), range(all().map(|p| p.1)))
            .map_err(plot_error)?;
        mesh(&mut chart, (&self.x_label, &self.y_label), (15, 13))?;
        for (series, look) in looks() {
            for run in runs(&series.points) {
                chart.draw_series(LineSeries::new(run.iter().copied(), look.style())).map_err(plot_error)?;
            }
        }
        area.present().map_err(plot_error)
    }
}

/// Whether a point is finite, and far enough from the largest number that differences are finite too.
fn drawable((x, y): &(f64, f64)) -> bool {
    x.abs() < 1e300 && y.abs() < 1e300
}

/// The stretches of points that can be drawn.
fn runs(points: &[(f64, f64)]) -> impl Iterator<Item = &[(f64, f64)]> {
    points.split(|p| !drawable(p)).filter(|run| !run.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::PALETTE;

    fn curves(points: Vec<(f64, f64)>) -> Curves {
        let series = |name: &str, points: &[(f64, f64)]| Series { name: name.into(), points: points.to_vec() };
        let up: Vec<_> = points.iter().map(|(x, y)| (*x, y + 0.3)).collect();
        Curves {
            title: "Learned Stein discrepancy".into(),
            x_label: "step".into(),
            y_label: "LSD".into(),
            series: vec![series("train", &points), series("validation", &up)],
        }
    }

    fn falling() -> Vec<(f64, f64)> {
        (0..500).map(|i| f64::from(i) * 40.0).map(|x| (x, 2.0 * (-x / 5000.0).exp() + 0.1)).collect()
    }

    #[test]
    fn both_curves_are_in_the_picture_in_their_colours() {
        let picture = curves(falling()).picture((720, 420)).unwrap();
        for colour in &PALETTE[..2] {
            let count = picture.pixels().filter(|p| p.0 == *colour).count();
            assert!(count > 500, "{count} pixels of {colour:?}");
        }
    }

    #[test]
    fn the_legend_hides_no_point() {
        // Curves that begin and end in every corner: what is drawn without a name is drawn with one too.
        let corners: Vec<_> = [(0.0, 0.0), (1.0, 1.0), (0.0, 1.0), (1.0, 0.0)].to_vec();
        let named = |names: [&str; 2]| {
            let series = names.map(|name| Series { name: name.into(), points: corners.clone() });
            Curves { series: series.to_vec(), ..Curves::default() }
        };
        let drawn = |curves: &Curves| {
            let picture = curves.picture((720, 420)).unwrap();
            let ours = picture.enumerate_pixels().filter(|(_, y, p)| *y > 60 && p.0 == PALETTE[1]);
            ours.map(|(x, y, _)| (x, y)).collect::<Vec<_>>()
        };
        let short = drawn(&named(["a", "b"]));
        assert!(short.len() > 500 && short == drawn(&named(["validation", "train, averaged weights"])));
        // Names longer than the picture is wide, and more of them than it is high, leave room for the curves.
        let series = (0..60).map(|i| Series { name: format!("{i} {}", "long ".repeat(60)), points: corners.clone() });
        let picture = Curves { series: series.collect(), ..Curves::default() }.picture((720, 420)).unwrap();
        assert!(picture.enumerate_pixels().filter(|(_, y, p)| *y > 200 && p.0 == PALETTE[59 % 7]).count() > 200);
    }

    #[test]
    fn svg_has_the_words_as_text() {
        let svg = curves(falling()).svg((720, 420)).unwrap();
        for word in ["Learned Stein discrepancy", "validation", "step", "LSD", "20k"] {
            assert!(svg.contains(word), "{word}");
        }
    }

    #[test]
    fn odd_series_are_drawn_without_a_panic() {
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        for points in [
            vec![],
            vec![(1.0, 5.0)],
            vec![(0.0, 1.0), (1.0, nan), (2.0, inf), (3.0, 2.0)],
            vec![(nan, 1.0), (inf, 2.0)],
            vec![(0.0, 1e308), (1.0, -1e308)],
            vec![(0.0, 3.0), (0.0, 3.0)],
        ] {
            curves(points).picture((200, 150)).unwrap();
        }
        let _ = curves(falling()).picture((3, 3));
    }
}

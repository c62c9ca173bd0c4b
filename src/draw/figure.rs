//! The figure of a paper: points with error bars, joined or not, in panels side by side, as PNG or SVG.

use image::RgbImage;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::axes::mesh;
use super::mark::{self, Look};
use super::panel::{Line, Mark, Panel};
use super::scale::Scale;
use super::{Drawing, FONT, pixels, plot_error, ready_font, svg_text};
use crate::Result;

/// A figure of panels side by side under one legend.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figure {
    /// The title, above the picture.
    pub title: String,
    /// The name below the x axis of every panel.
    pub x_label: String,
    /// The name beside the y axis of the first panel.
    pub y_label: String,
    /// Whether the x axis is logarithmic; points that are not positive are then left out.
    pub log_x: bool,
    /// Whether the y axis is logarithmic; points that are not positive are then left out.
    pub log_y: bool,
    /// Whether every panel has axes of its own; otherwise all have the same, so that heights can be compared.
    pub free: bool,
    /// The panels from left to right.
    pub panels: Vec<Panel>,
}

type Area<B> = DrawingArea<B, Shift>;

impl Figure {
    /// A size (width, height) in pixels at which text can be read: wider for more panels.
    pub fn size(&self) -> (u32, u32) {
        let panels = self.panels.len().clamp(1, 8) as u32;
        (if panels == 1 { 900 } else { 160 + 440 * panels }, 600)
    }

    /// The figure as pixels, `size` = (width, height).
    ///
    /// # Errors
    /// The size is too small to draw in.
    pub fn picture(&self, size: (u32, u32)) -> Result<RgbImage> {
        pixels(self, size)
    }

    /// The figure as the text of an SVG file, `size` = (width, height).
    ///
    /// # Errors
    /// The size is too small to draw in.
    pub fn svg(&self, size: (u32, u32)) -> Result<String> {
        svg_text(self, size)
    }

    /// The entries of the legend, every name once.
    fn entries(&self) -> Vec<(&str, Look)> {
        let mut entries: Vec<(&str, Look)> = Vec::new();
        for line in self.panels.iter().flat_map(|p| &p.lines) {
            if !entries.iter().any(|(name, _)| *name == line.name) {
                entries.push((&line.name, Look::of(line)));
            }
        }
        entries
    }

    /// The two axes, x and y, that hold every point and error bar of `panels`.
    fn scales(&self, panels: &[&Panel]) -> (Scale, Scale) {
        let marks = || panels.iter().flat_map(|p| &p.lines).flat_map(|l| &l.marks);
        let x = Scale::holding(marks().map(|m| m.x), self.log_x);
        (x, Scale::holding(marks().flat_map(|m| [m.y, m.bar.0, m.bar.1]), self.log_y))
    }

    fn draw_panel<B: DrawingBackend>(
        &self,
        area: &Area<B>,
        panel: &Panel,
        (x, y): (Scale, Scale),
        first: bool,
    ) -> Result<()> {
        let mut chart = ChartBuilder::on(area)
            .caption(&panel.title, (FONT, 17))
            .margin(10)
            .margin_right(20)
            .x_label_area_size(48)
            .y_label_area_size(if first { 76 } else { 56 })
            .build_cartesian_2d(x, y)
            .map_err(plot_error)?;
        mesh(&mut chart, (&self.x_label, if first { &self.y_label } else { "" }), (17, 14))?;
        panel.lines.iter().try_for_each(|line| draw_line(&mut chart, line, (x, y)))
    }
}

impl Drawing for Figure {
    fn draw<B: DrawingBackend>(&self, area: Area<B>) -> Result<()> {
        ready_font()?;
        area.fill(&WHITE).map_err(plot_error)?;
        let area = area.margin(6, 0, 0, 0);
        let area =
            if self.title.is_empty() { area } else { area.titled(&self.title, (FONT, 20)).map_err(plot_error)? };
        let entries = self.entries();
        let below = if entries.len() > 1 { mark::legend(&area, &entries)? } else { 0 };
        let (_, area) = area.split_vertically(below);
        let every = self.scales(&self.panels.iter().collect::<Vec<_>>());
        for (i, (panel, place)) in self.panels.iter().zip(area.split_evenly((1, self.panels.len().max(1)))).enumerate()
        {
            let scales = if self.free { self.scales(&[panel]) } else { every };
            self.draw_panel(&place, panel, scales, i == 0)?;
        }
        area.present().map_err(plot_error)
    }
}

type Chart<'a, B> = ChartContext<'a, B, Cartesian2d<Scale, Scale>>;

/// Draws the line, error bars above it, and markers on top.
fn draw_line<B: DrawingBackend>(chart: &mut Chart<'_, B>, line: &Line, (x, y): (Scale, Scale)) -> Result<()> {
    let look = Look::of(line);
    let shown = |m: &Mark| x.shows(m.x) && y.shows(m.y);
    if line.joined {
        for run in line.marks.split(|m| !shown(m)).filter(|run| run.len() > 1) {
            let path: Vec<_> = run.iter().map(|m| (m.x, m.y)).collect();
            chart.draw_series(look.full(&path)).map_err(plot_error)?;
            chart.draw_series(look.dashed(&path)).map_err(plot_error)?;
        }
    }
    for m in line.marks.iter().filter(|m| shown(m)) {
        let (low, high) = m.bar;
        if low.is_finite() && high.is_finite() {
            let (style, ends) = (look.style().stroke_width(1), [low, high].map(|end| (m.x, y.clamp(end))));
            chart.draw_series([PathElement::new(ends, style)]).map_err(plot_error)?;
            // An end beyond the axis has no cap.
            let inside = ends.into_iter().zip([low, high]).filter(|((_, shown), end)| shown == end);
            chart.draw_series(inside.map(|(end, _)| mark::cap(end, style))).map_err(plot_error)?;
        }
        chart.draw_series([look.marker((m.x, m.y))]).map_err(plot_error)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::PALETTE;

    fn line(name: &str, look: usize, marks: impl IntoIterator<Item = (f64, f64, f64)>) -> Line {
        let mark = |(x, y, e): (f64, f64, f64)| Mark { x, y, bar: (y - e, y + e) };
        Line { name: name.into(), marks: marks.into_iter().map(mark).collect(), look, dash: 0, joined: true }
    }

    fn rates(panels: usize) -> Figure {
        let sigma = [0.0, 0.01, 0.02, 0.04, 0.06];
        let curve = |name, look: usize| {
            let rate = move |s: f64| (s, 0.05 + 0.9 * (1.0 - (-s * 40.0 * (look + 1) as f64).exp()), 0.04);
            line(name, look, sigma.map(rate))
        };
        let panel = |i| Panel {
            title: format!("dataset.dim = {}", 50 * (i + 1)),
            lines: ["lsd", "ksd", "lksd", "fssd"].iter().enumerate().map(|(k, n)| curve(n, k)).collect(),
        };
        let (x_label, y_label) = ("perturbation".into(), "rejection rate".into());
        Figure { x_label, y_label, panels: (0..panels).map(panel).collect(), ..Figure::default() }
    }

    #[test]
    fn every_line_is_in_every_panel_in_its_colour() {
        let figure = rates(3);
        let picture = figure.picture(figure.size()).unwrap();
        let (width, _) = figure.size();
        for (panel, colour) in (0..3).flat_map(|p| PALETTE[..4].iter().map(move |c| (p, c))) {
            let columns = width / 3 * panel..width / 3 * (panel + 1);
            let count = picture.enumerate_pixels().filter(|(x, y, p)| *y > 80 && columns.contains(x) && p.0 == *colour);
            assert!(count.count() > 300, "{colour:?} in panel {panel}");
        }
    }

    #[test]
    fn svg_has_the_words_as_text_and_every_name_once() {
        let svg = rates(2).svg((900, 600)).unwrap();
        for word in ["perturbation", "rejection rate", "dataset.dim = 50", "dataset.dim = 100"] {
            assert!(svg.contains(word), "{word}");
        }
        assert_eq!(svg.matches("\nlksd\n").count(), 1, "{svg}");
    }

    #[test]
    fn odd_figures_are_drawn_without_a_panic() {
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        for marks in [
            vec![],
            vec![(1.0, 2.0, nan)],
            vec![(nan, 1.0, 0.1), (1.0, inf, 0.1), (2.0, 1.0, inf)],
            vec![(0.0, -1.0, 2.0), (10.0, 0.5, 1.0)],
            vec![(0.0, 1e308, 1e308), (1.0, -1e308, 1.0)],
        ] {
            for (log, joined) in [(false, true), (true, false), (true, true)] {
                let line = Line { joined, dash: 1, ..line("a", 40, marks.clone()) };
                let panels = vec![Panel { title: "t".into(), lines: vec![line] }];
                let figure = Figure { log_x: log, log_y: log, panels, ..Figure::default() };
                figure.picture((300, 200)).unwrap();
                figure.svg((300, 200)).unwrap();
            }
        }
        Figure::default().picture((300, 200)).unwrap();
        let _ = rates(3).picture((3, 3));
    }

    #[test]
    fn an_error_bar_reaches_from_end_to_end() {
        // One point at the middle of the axis with a bar over nearly all of it: a column of its colour.
        let figure = Figure {
            panels: vec![Panel { title: String::new(), lines: vec![line("a", 1, [(0.0, 5.0, 4.0)])] }],
            ..Figure::default()
        };
        let picture = figure.picture((400, 400)).unwrap();
        let column = |x: u32| (0..400).filter(|y| picture.get_pixel(x, *y).0 == PALETTE[1]).count();
        assert!((0..400).map(column).max().unwrap() > 250);
    }
}

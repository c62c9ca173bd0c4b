//! The surroundings of every plot: names of the axes, round numbers, faint lines.

use plotters::coord::ranged1d::{Ranged, ValueFormatter};
use plotters::prelude::*;

use super::{FONT, plot_error};
use crate::Result;

/// Draws axes with the names (x, y), in letters of the sizes (`names`, `numbers`) in pixels.
pub(super) fn mesh<B, X, Y>(
    chart: &mut ChartContext<'_, B, Cartesian2d<X, Y>>,
    (x, y): (&str, &str),
    (names, numbers): (u32, u32),
) -> Result<()>
where
    B: DrawingBackend,
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    chart
        .configure_mesh()
        .x_desc(x)
        .y_desc(y)
        .axis_desc_style((FONT, names))
        .label_style((FONT, numbers))
        .x_labels(8)
        .y_labels(8)
        .x_label_formatter(&|v| tick(*v))
        .y_label_formatter(&|v| tick(*v))
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .draw()
        .map_err(plot_error)
}

/// The text of a tick: `20000` as `20k`, `1e-5` as such, other numbers with as many digits as they need.
fn tick(v: f64) -> String {
    match v.abs() {
        s if s < 1e-12 => "0".into(),
        s if (1e6..1e9).contains(&s) => format!("{}M", short(v / 1e6)),
        s if (1e4..1e6).contains(&s) => format!("{}k", short(v / 1e3)),
        s if (1e-3..1e4).contains(&s) => short(v),
        _ => format!("{v:.1e}"),
    }
}

fn short(v: f64) -> String {
    let text = format!("{v:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_short() {
        let texts = [0.0, 20_000.0, 2_500_000.0, 0.25, -1.0, 1e-5, 1e-17].map(tick);
        assert_eq!(texts, ["0", "20k", "2.5M", "0.25", "-1", "1.0e-5", "0"]);
    }
}

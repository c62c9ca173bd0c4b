//! What a figure shows: points with error bars, lines of points, and panels of lines.

/// A point with its error bar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mark {
    /// Place on the x axis.
    pub x: f64,
    /// Place on the y axis.
    pub y: f64,
    /// Lower and upper end of the error bar; NaN for none.
    pub bar: (f64, f64),
}

/// Points that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What the legend says; lines of one name share an entry.
    pub name: String,
    /// The points, in the order in which they are joined.
    pub marks: Vec<Mark>,
    /// Which colour and marker: the same number is the same look in every panel.
    pub look: usize,
    /// Which dashes: 0 a full line.
    pub dash: usize,
    /// Whether a line joins the points.
    pub joined: bool,
}

/// One set of axes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Panel {
    /// Above it.
    pub title: String,
    /// What it shows.
    pub lines: Vec<Line>,
}

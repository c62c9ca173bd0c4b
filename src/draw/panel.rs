//! The contents of a figure: points with error bars, lines of points, and panels of lines.

/// A point with its error bar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mark {
    /// The x coordinate.
    pub x: f64,
    /// The y coordinate.
    pub y: f64,
    /// The lower and upper end of the error bar on the y axis; NaN for none.
    pub bar: (f64, f64),
}

/// A line of points that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The name in the legend; lines of one name share an entry.
    pub name: String,
    /// The points, in the order in which they are joined.
    pub marks: Vec<Mark>,
    /// The number of the colour and marker: the same number is the same look in every panel.
    pub look: usize,
    /// The number of the dashes; 0 is a full line.
    pub dash: usize,
    /// Whether a line joins the points.
    pub joined: bool,
}

/// One panel: a set of axes with lines.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Panel {
    /// The title, above the panel.
    pub title: String,
    /// The lines.
    pub lines: Vec<Line>,
}

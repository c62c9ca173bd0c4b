//! The comparison as a figure: a point for each row of the table.

use super::compare::{Comparison, GroupRow};
use super::number::ErrorKind;
use super::observe::At;
use super::request::Request;
use super::source::Run;
use super::{Rank, unknown};
use crate::Result;
use crate::draw::{Figure, Line, Mark, Panel};
use crate::math::stats;

/// What goes where in a figure.
#[derive(Clone, Debug, Default)]
pub struct Drawing {
    /// A group key with numbers, or a metric for a scatter plot.
    pub x: String,
    /// Metrics; none for the first of the table.
    pub y: Vec<String>,
    /// The key that tells lines apart; none for all that differ and are not shown otherwise.
    pub series: Option<String>,
    /// The key whose values get panels of their own.
    pub panel: Option<String>,
    /// Above the figure.
    pub title: String,
    /// Beside the y axis; the metrics if empty.
    pub y_label: String,
    /// Logarithmic axes.
    pub log: (bool, bool),
    /// Axes of its own for every panel.
    pub free: bool,
    /// What the bars show.
    pub error: ErrorKind,
}

impl Drawing {
    /// Adds what the figure shows to what is asked of the runs.
    pub fn ask(&self, runs: &[Run], request: &mut Request) {
        let is_key = |key: &String| (key == "step" && request.at == At::Every) || runs.iter().any(|run| run.tells(key));
        let x_is_key = is_key(&self.x);
        let keys = self.series.iter().chain(&self.panel).chain(x_is_key.then_some(&self.x));
        request.also.extend(keys.cloned());
        for metric in self.y.iter().chain((!x_is_key).then_some(&self.x)) {
            if !request.metrics.contains(metric) {
                request.metrics.push(metric.clone());
            }
        }
    }

    fn ys(&self, c: &Comparison) -> Vec<String> {
        let first = c.metrics.iter().find(|m| **m != self.x);
        if self.y.is_empty() { first.into_iter().cloned().collect() } else { self.y.clone() }
    }

    /// Keys that tell lines apart: the one asked for, or what differs and is neither x nor panel.
    fn series_keys(&self, c: &Comparison) -> Vec<usize> {
        let varies = |i: usize| c.rows.iter().any(|r| r.values.get(i) != c.rows.first().and_then(|f| f.values.get(i)));
        let free = |i: usize| {
            let key = c.by.get(i);
            match &self.series {
                Some(series) => key == Some(series),
                // In a scatter plot the points of a course are no lines of their own.
                None => {
                    varies(i) && key != Some(&self.x) && key != self.panel.as_ref() && key.is_some_and(|k| k != "step")
                }
            }
        };
        (0..c.by.len()).filter(|i| free(*i)).collect()
    }

    fn is_scatter(&self, c: &Comparison) -> bool {
        !c.by.contains(&self.x)
    }

    /// Where a row lies on the x axis; NaN for a word.
    fn x_of(&self, c: &Comparison, row: &GroupRow) -> f64 {
        match value_of(c, row, &self.x) {
            Some(text) => text.parse().unwrap_or(f64::NAN),
            None => c.finding(row, &self.x).map_or(f64::NAN, |f| f.summary.mean),
        }
    }
}

fn value_of<'r>(c: &Comparison, row: &'r GroupRow, key: &str) -> Option<&'r str> {
    row.values.get(c.by.iter().position(|k| k == key)?).map(String::as_str)
}

/// The values of some keys of the rows, each once, in order.
fn distinct(c: &Comparison, keys: &[usize]) -> Vec<Vec<String>> {
    let mut all: Vec<Vec<String>> = c.rows.iter().map(|row| values_at(row, keys)).collect();
    all.sort_by(|a, b| a.iter().map(|x| Rank::of(x)).cmp(b.iter().map(|x| Rank::of(x))));
    all.dedup();
    all
}

fn values_at(row: &GroupRow, keys: &[usize]) -> Vec<String> {
    keys.iter().filter_map(|i| row.values.get(*i).cloned()).collect()
}

/// The figure. Means are joined where x is a key and stand alone where it is a metric.
///
/// # Errors
/// An x that is neither, or a key without numbers.
pub fn plot(c: &Comparison, drawing: &Drawing) -> Result<Figure> {
    if c.rows.iter().all(|row| !drawing.x_of(c, row).is_finite()) {
        let numeric = |i: &usize| c.rows.iter().any(|r| r.values.get(*i).is_some_and(|v| v.parse::<f64>().is_ok()));
        let keys = (0..c.by.len()).filter(numeric).filter_map(|i| c.by.get(i));
        return Err(unknown("number on the x axis", &drawing.x, &keys.chain(&c.metrics).cloned().collect::<Vec<_>>()));
    }
    let place = drawing.panel.as_ref().and_then(|key| c.by.iter().position(|k| k == key));
    let panels = distinct(c, place.as_slice());
    let ys = drawing.ys(c);
    let title = |values: &[String]| match (values.first(), &drawing.panel) {
        (Some(value), Some(key)) => format!("{key} = {value}"),
        _ => String::new(),
    };
    let panel = |values: &Vec<String>| {
        let rows: Vec<&GroupRow> = c.rows.iter().filter(|row| values_at(row, place.as_slice()) == *values).collect();
        Panel { title: title(values), lines: lines(c, drawing, &rows, &ys) }
    };
    Ok(Figure {
        title: drawing.title.clone(),
        x_label: drawing.x.clone(),
        y_label: if drawing.y_label.is_empty() { ys.join(", ") } else { drawing.y_label.clone() },
        log_x: drawing.log.0,
        log_y: drawing.log.1,
        free: drawing.free,
        panels: panels.iter().map(panel).collect(),
    })
}

/// A line for each series and metric.
fn lines(c: &Comparison, drawing: &Drawing, rows: &[&GroupRow], ys: &[String]) -> Vec<Line> {
    let keys = drawing.series_keys(c);
    let series = distinct(c, &keys);
    let mut lines = Vec::new();
    for (look, values) in series.iter().enumerate() {
        for (dash, metric) in ys.iter().enumerate() {
            let mine = rows.iter().filter(|row| values_at(row, &keys) == *values);
            let mut marks: Vec<Mark> = mine.filter_map(|row| mark(c, drawing, row, metric)).collect();
            if !drawing.is_scatter(c) {
                marks.sort_by(|a, b| a.x.total_cmp(&b.x));
            }
            if marks.is_empty() {
                continue;
            }
            let several = ys.len() > 1 || values.is_empty();
            let words = keys.iter().filter_map(|i| c.by.get(*i)).zip(values).map(|(key, value)| told(key, value));
            let words: Vec<String> = words.chain(several.then(|| metric.clone())).collect();
            // Without series, metrics are told apart by colour too.
            let look = if series.len() > 1 { look } else { dash };
            lines.push(Line { name: words.join(", "), marks, look, dash, joined: !drawing.is_scatter(c) });
        }
    }
    lines
}

/// A number says little without its key, a word does.
fn told(key: &str, value: &str) -> String {
    if value.parse::<f64>().is_ok() { format!("{key}={value}") } else { value.to_owned() }
}

fn mark(c: &Comparison, drawing: &Drawing, row: &GroupRow, metric: &str) -> Option<Mark> {
    let (x, s) = (drawing.x_of(c, row), &c.finding(row, metric)?.summary);
    (x.is_finite() && s.n > 0).then(|| Mark { x, y: s.mean, bar: drawing.error.ends(s) })
}

/// How two metrics go together over the rows of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Correlation {
    /// One metric.
    pub x: String,
    /// The other.
    pub y: String,
    /// Which rows; empty for all.
    pub series: String,
    /// Points.
    pub n: usize,
    /// Rank correlation; NaN for fewer than two points or a constant.
    pub spearman: f64,
    /// Linear correlation.
    pub pearson: f64,
}

/// The correlations of a scatter plot, for each metric on y and each series; none if x is a key.
pub fn correlations(c: &Comparison, drawing: &Drawing) -> Vec<Correlation> {
    if !drawing.is_scatter(c) {
        return Vec::new();
    }
    let keys = drawing.series_keys(c);
    let mut all = Vec::new();
    for (y, values) in drawing.ys(c).iter().flat_map(|y| distinct(c, &keys).into_iter().map(move |v| (y, v))) {
        let rows = c.rows.iter().filter(|row| values_at(row, &keys) == values);
        let points: Vec<Mark> = rows.filter_map(|row| mark(c, drawing, row, y)).collect();
        let (xs, ys): (Vec<f64>, Vec<f64>) = points.iter().map(|m| (m.x, m.y)).unzip();
        all.push(Correlation {
            x: drawing.x.clone(),
            y: y.clone(),
            series: values.join(", "),
            n: points.len(),
            spearman: stats::spearman(&xs, &ys),
            pearson: stats::pearson(&xs, &ys),
        });
    }
    all
}

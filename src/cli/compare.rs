//! `ebm compare`: means over repeats as tables and figures.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::outputs::{Outputs, all_tried};
use super::{GlobalArgs, no_runs, output, usage};
use crate::Result;
use crate::draw::{self, Figure};
use crate::report::{self, At, Comparison, Drawing, ErrorKind, Format, Goal, Request, Tables};
use crate::run::show;
use crate::store::fs;

/// Compares groups of runs: means over repeats with their error, as tables and figures.
#[derive(Args)]
pub struct CompareArgs {
    /// Run folders, folders of run folders, or sweeps
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// Keys that make a group: arm, method, dataset.dim … [default: what differs between the runs]
    #[arg(long, value_name = "KEYS", value_delimiter = ',')]
    by: Vec<String>,
    /// Keys that are repeats
    #[arg(long, value_name = "KEYS", value_delimiter = ',', default_value = "seed")]
    over: Vec<String>,
    /// A metric, or `seconds` of training [default: all that the probes wrote at the end; of runs without probes, the
    /// last line of the log]. May be given again
    #[arg(long, value_name = "METRIC", value_delimiter = ',')]
    metric: Vec<String>,
    /// A metric of zeros and ones whose interval is Wilson's; those ending in _reject are anyway
    #[arg(long, value_name = "METRIC", value_delimiter = ',')]
    rate: Vec<String>,
    /// Where metrics are read: last, best (by --max or --min), min, max, every logged step, mean:STEPS (over the last
    /// so many), or a step
    #[arg(long, default_value = "last", value_name = "WHEN")]
    at: At,
    /// Reports only the value of this key that is best by --max or --min
    #[arg(long, value_name = "KEY", value_delimiter = ',')]
    choose: Vec<String>,
    /// What is best: a large METRIC
    #[arg(long, value_name = "METRIC", conflicts_with = "min")]
    max: Option<String>,
    /// What is best: a small METRIC
    #[arg(long, value_name = "METRIC")]
    min: Option<String>,
    /// Adds paired differences to this group: --baseline arm=ml
    #[arg(long, value_name = "KEY=VALUE", value_delimiter = ',')]
    baseline: Vec<String>,
    /// Published values to show beside ours: CSV or TOML with the group keys and `published`
    #[arg(long, value_name = "FILE")]
    reference: Vec<PathBuf>,
    /// Puts the values of this key into columns
    #[arg(long, value_name = "KEY")]
    pivot: Option<String>,
    /// Counts the numbers of unfinished runs too
    #[arg(long)]
    unfinished: bool,
    /// What stands behind ± and in error bars
    #[arg(long, value_enum, default_value_t = ErrorArg::Ci)]
    error: ErrorArg,
    /// How the table is printed; --json is short for json [default: text]
    #[arg(long, value_enum)]
    format: Option<FormatArg>,
    /// Also writes the table to a file: .md, .csv, .json, .tex or .txt. May be given again
    #[arg(long, value_name = "FILE")]
    out: Vec<PathBuf>,
    #[command(flatten)]
    plot: PlotArgs,
}

#[derive(Args)]
struct PlotArgs {
    /// Draws a figure: .png or .svg. May be given again
    #[arg(long, value_name = "FILE", requires = "x")]
    plot: Vec<PathBuf>,
    /// A numeric key, or a metric for a scatter plot with its correlations
    #[arg(long, value_name = "KEY")]
    x: Option<String>,
    /// Metrics to draw [default: the first]
    #[arg(long, value_name = "METRIC", value_delimiter = ',', requires = "x")]
    y: Vec<String>,
    /// The key that tells lines apart [default: what differs]
    #[arg(long, value_name = "KEY", requires = "x")]
    series: Option<String>,
    /// The key whose values get panels side by side
    #[arg(long, value_name = "KEY", requires = "x")]
    panel: Option<String>,
    /// Above the figure
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    title: String,
    /// Beside the y axis [default: the metrics]
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    y_label: String,
    /// Logarithmic x axis
    #[arg(long)]
    log_x: bool,
    /// Logarithmic y axis
    #[arg(long)]
    log_y: bool,
    /// Every panel has axes of its own
    #[arg(long)]
    free_axes: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum ErrorArg {
    /// 95 % interval
    Ci,
    /// Standard error of the mean
    Se,
    /// Standard deviation
    Std,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum FormatArg {
    Text,
    Markdown,
    Csv,
    Json,
    Latex,
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Text => Format::Text,
            FormatArg::Markdown => Format::Markdown,
            FormatArg::Csv => Format::Csv,
            FormatArg::Json => Format::Json,
            FormatArg::Latex => Format::Latex,
        }
    }
}

/// Reads the runs, prints the table, writes what was asked for.
pub fn run(args: &CompareArgs, global: &GlobalArgs) -> Result<()> {
    let printed = global.form(args.format, FormatArg::Json)?.map_or(Format::Text, Format::from);
    let formats = args.out.iter().map(|path| Format::of(path)).collect::<Result<Vec<_>>>()?;
    args.plot.plot.iter().try_for_each(|path| picture_format(path).map(|_| ()))?;
    let mut outputs = Outputs::new();
    args.reference.iter().for_each(|path| outputs.read("--reference", path));
    args.out.iter().try_for_each(|path| outputs.place("--out", path))?;
    args.plot.plot.iter().try_for_each(|path| outputs.place("--plot", path))?;
    let (runs, warnings) = report::read(&args.runs)?;
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    if runs.is_empty() {
        return Err(no_runs(&args.runs));
    }
    let mut request = args.request()?;
    let drawing = args.drawing();
    drawing.iter().for_each(|drawing| drawing.ask(&runs, &mut request));
    let comparison = report::compare(&runs, &request)?;
    comparison.notes.iter().for_each(|note| tracing::warn!("{note}"));
    write(args, (printed, global.quiet), &comparison, drawing.as_ref(), &formats)
}

fn write(
    args: &CompareArgs,
    (printed, quiet): (Format, bool),
    comparison: &Comparison,
    drawing: Option<&Drawing>,
    formats: &[Format],
) -> Result<()> {
    let correlations = drawing.map(|drawing| report::correlations(comparison, drawing)).unwrap_or_default();
    let tables = Tables { comparison, error: args.error(), pivot: args.pivot.as_deref() };
    // What cannot be drawn is refused before anything is written.
    let figure = drawing.map(|drawing| report::plot(comparison, drawing)).transpose()?;
    let table =
        |(path, format): (&PathBuf, &Format)| fs::write_atomic(path, format.write(&tables, &correlations)?.as_bytes());
    let picture = |(figure, path): (&Figure, &PathBuf)| {
        let bytes = match picture_format(path)? {
            Picture::Png => draw::png(&figure.picture(figure.size())?)?,
            Picture::Svg => figure.svg(figure.size())?.into_bytes(),
        };
        fs::write_atomic(path, &bytes)
    };
    let pictures = figure.iter().flat_map(|figure| args.plot.plot.iter().map(move |path| (figure, path)));
    all_tried(args.out.iter().zip(formats).map(table).chain(pictures.map(picture)))?;
    output::print(&printed.write(&tables, &correlations)?)?;
    if printed == Format::Text {
        let alike = comparison.alike.iter().filter(|_| !quiet);
        output::print(&alike.map(|line| format!("{line}\n")).collect::<String>())?;
        let line = |r: &report::Correlation| {
            let of = if r.series.is_empty() { String::new() } else { format!(" ({})", r.series) };
            let [spearman, pearson] = [r.spearman, r.pearson].map(|correlation| show::fixed(correlation, 3));
            format!("{} and {}{of}: Spearman {spearman}, Pearson {pearson}, n = {}\n", r.x, r.y, r.n)
        };
        output::print(&correlations.iter().map(line).collect::<String>())?;
    }
    Ok(())
}

impl CompareArgs {
    fn request(&self) -> Result<Request> {
        let goal = |metric: &String, largest| Goal { metric: metric.clone(), largest };
        for (word, metric) in [("--max", &self.max), ("--min", &self.min)] {
            if let Some(metric) = metric.as_ref().filter(|_| self.choose.is_empty() && self.at != At::Best) {
                let what = format!("{word} {metric} says what is best, and nothing asks for it");
                return Err(usage(what, "add --choose KEY or --at best"));
            }
        }
        let pair = |text: &String| match text.split_once('=') {
            Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
            None => Err(usage(format!("--baseline {text}: not KEY=VALUE"), "write for example --baseline arm=ml")),
        };
        Ok(Request {
            by: self.by.clone(),
            also: self.pivot.iter().cloned().collect(),
            over: self.over.clone(),
            metrics: self.metric.clone(),
            rates: self.rate.clone(),
            at: self.at,
            choose: self.choose.clone(),
            goal: self.max.as_ref().map(|m| goal(m, true)).or(self.min.as_ref().map(|m| goal(m, false))),
            baseline: self.baseline.iter().map(pair).collect::<Result<_>>()?,
            references: self.reference.clone(),
            unfinished: self.unfinished,
        })
    }

    fn drawing(&self) -> Option<Drawing> {
        let plot = &self.plot;
        Some(Drawing {
            x: plot.x.clone()?,
            y: plot.y.clone(),
            series: plot.series.clone(),
            panel: plot.panel.clone(),
            title: plot.title.clone(),
            y_label: plot.y_label.clone(),
            log: (plot.log_x, plot.log_y),
            free: plot.free_axes,
            error: self.error(),
        })
    }

    fn error(&self) -> ErrorKind {
        match self.error {
            ErrorArg::Ci => ErrorKind::Ci,
            ErrorArg::Se => ErrorKind::Se,
            ErrorArg::Std => ErrorKind::Std,
        }
    }
}

enum Picture {
    Png,
    Svg,
}

fn picture_format(path: &Path) -> Result<Picture> {
    match path.extension().and_then(|e| e.to_str()) {
        Some("png") => Ok(Picture::Png),
        Some("svg") => Ok(Picture::Svg),
        _ => Err(usage(format!("--plot {}: not a picture", path.display()), "use .png or .svg")),
    }
}

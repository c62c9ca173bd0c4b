//! A table as text, Markdown, CSV, JSON or LaTeX.

use std::path::Path;

use super::json;
use super::number::Flavour;
use super::plot::Correlation;
use super::refusal;
use super::table::Tables;
use crate::run::layout::aligned;
use crate::{Error, Result};

/// How a table is written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Columns aligned with spaces.
    #[default]
    Text,
    /// A pipe table.
    Markdown,
    /// One row for each group and metric with every statistic, whatever the layout.
    Csv,
    /// The same as a document.
    Json,
    /// A `tabular` with the rules of booktabs.
    Latex,
}

impl Format {
    /// The format that a file's extension stands for.
    ///
    /// # Errors
    /// Another extension.
    pub fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|e| e.to_str()) {
            Some("md") => Ok(Format::Markdown),
            Some("csv") => Ok(Format::Csv),
            Some("json") => Ok(Format::Json),
            Some("tex") => Ok(Format::Latex),
            Some("txt") => Ok(Format::Text),
            _ => {
                let message = format!("{}: the extension says no format of a table", path.display());
                Err(refusal(&message, "use .md, .csv, .json, .tex or .txt"))
            }
        }
    }

    /// The whole text of a table.
    ///
    /// # Errors
    /// Cells that a format cannot hold; none is known.
    pub fn write(self, tables: &Tables<'_>, correlations: &[Correlation]) -> Result<String> {
        match self {
            Format::Text => Ok(aligned(&tables.wide(Flavour::Plain)) + "\n" + &tables.caption() + "\n"),
            Format::Markdown => Ok(markdown(&tables.wide(Flavour::Plain)) + "\n" + &tables.caption() + "\n"),
            Format::Latex => Ok(latex(tables)),
            Format::Csv => csv(&tables.long()),
            Format::Json => json::document(tables, correlations),
        }
    }
}

fn markdown(rows: &[Vec<String>]) -> String {
    let cell = |text: &String| text.replace('|', "\\|");
    let line = |row: &Vec<String>| format!("| {} |\n", row.iter().map(cell).collect::<Vec<_>>().join(" | "));
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    let rule = rows.first().map(|header| format!("|{}\n", "---|".repeat(header.len())));
    lines.splice(1.min(lines.len())..1.min(lines.len()), rule);
    lines.concat()
}

fn latex(tables: &Tables<'_>) -> String {
    let rows = tables.wide(Flavour::Latex);
    let columns = rows.first().map_or(0, Vec::len);
    let keys = columns.min(tables.comparison.by.len() - usize::from(tables.pivot.is_some()));
    let line = |row: &Vec<String>| format!("{} \\\\\n", row.join(" & "));
    let head = rows.first().map(line).unwrap_or_default();
    let body: String = rows.iter().skip(1).map(line).collect();
    let shape = "l".repeat(keys) + &"r".repeat(columns.saturating_sub(keys + 1)) + "l";
    let caption = tables.caption().replace('%', "\\%");
    format!(
        "% {caption}\n% needs \\usepackage{{booktabs}}\n\\begin{{tabular}}{{{shape}}}\n\\toprule\n{head}\\midrule\n\
         {body}\\bottomrule\n\\end{{tabular}}\n"
    )
}

/// Rows as comma-separated values, quoted where they must be.
///
/// # Errors
/// None is known.
pub fn csv(rows: &[Vec<String>]) -> Result<String> {
    let failed = |e: &dyn std::fmt::Display| Error::Other(format!("cannot write CSV: {e}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    rows.iter().try_for_each(|row| writer.write_record(row)).map_err(|e| failed(&e))?;
    let bytes = writer.into_inner().map_err(|e| failed(&e))?;
    String::from_utf8(bytes).map_err(|e| failed(&e))
}

//! The comparison as rows and columns of text.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::Rank;
use super::compare::{Comparison, GroupMetric, GroupRow};
use super::number::{ErrorKind, Flavour, estimate};
use super::summary::{Interval, Summary};
use crate::metrics::Unit;
use crate::run::Declared;

/// How a comparison is laid out.
#[derive(Clone, Copy, Debug)]
pub struct Tables<'a> {
    /// What is shown.
    pub comparison: &'a Comparison,
    /// What stands behind `±`.
    pub error: ErrorKind,
    /// The key whose values become columns.
    pub pivot: Option<&'a str>,
}

/// Columns for one value of the pivot key; for all rows without one.
struct Block {
    value: Option<String>,
}

impl Tables<'_> {
    /// What the numbers are, in one line.
    pub fn caption(&self) -> String {
        let over = if self.comparison.over.is_empty() { "runs".into() } else { self.comparison.over.join(", ") };
        let all = || self.comparison.rows.iter().flat_map(|row| &row.findings).map(|f| &f.summary);
        let has = |kind| all().any(|s| s.n > 0 && s.kind == kind);
        let how = match (self.error, has(Interval::Wilson), has(Interval::Student)) {
            (ErrorKind::Ci, true, false) => "mean [95 % interval, Wilson]".into(),
            (ErrorKind::Ci, true, true) => {
                "mean ± 95 % interval (Student t), shares with [95 % interval, Wilson]".into()
            }
            (ErrorKind::Ci, false, _) => "mean ± 95 % interval (Student t)".into(),
            (other, ..) => format!("mean ± {}", other.words()),
        };
        let base = match self.comparison.baseline.as_str() {
            "" => String::new(),
            base => format!("; Δ: paired difference to {base}"),
        };
        format!("{how} over {over}{base}")
    }

    /// Groups in rows, metrics in columns; with a pivot its values are columns too. The header comes first.
    pub fn wide(&self, flavour: Flavour) -> Vec<Vec<String>> {
        let (c, word) = (self.comparison, |text: &str| word(text, flavour));
        let rest: Vec<usize> = (0..c.by.len()).filter(|i| c.by.get(*i).map(String::as_str) != self.pivot).collect();
        let (blocks, units, published) = (self.blocks(), self.units(), self.published());
        let mut header: Vec<String> = rest.iter().filter_map(|i| c.by.get(*i)).map(|key| word(key)).collect();
        header.push("runs".into());
        header.extend(blocks.iter().flat_map(|b| self.headings(b, &published)).map(|heading| word(&heading)));
        header.push("not counted".into());
        let mut lines = vec![header];
        let values_of = |row: &GroupRow| rest.iter().filter_map(|i| row.values.get(*i).cloned()).collect::<Vec<_>>();
        let mut together: Vec<(Vec<String>, Vec<&GroupRow>)> = Vec::new();
        let mut places: BTreeMap<Vec<String>, usize> = BTreeMap::new();
        for row in &c.rows {
            let place = *places.entry(values_of(row)).or_insert_with_key(|values| {
                together.push((values.clone(), Vec::new()));
                together.len() - 1
            });
            together.get_mut(place).into_iter().for_each(|(_, rows)| rows.push(row));
        }
        for (values, rows) in together {
            let mut line: Vec<String> = values.iter().map(|value| word(value)).collect();
            // A run that was looked at in several ways is in several columns.
            let folders: BTreeSet<&PathBuf> = rows.iter().flat_map(|row| &row.folders).collect();
            line.push(folders.len().to_string());
            for block in &blocks {
                let row =
                    rows.iter().find(|row| block.value.is_none() || self.pivot_value(row) == block.value.as_deref());
                line.extend(self.cells(row.copied(), &units, &published, flavour));
            }
            line.push(word(&self.uncounted(&rows)));
            lines.push(line);
        }
        lines
    }

    fn blocks(&self) -> Vec<Block> {
        if self.pivot.is_none() {
            return vec![Block { value: None }];
        }
        let mut values: Vec<String> =
            self.comparison.rows.iter().filter_map(|row| self.pivot_value(row)).map(str::to_owned).collect();
        values.sort_by(|a, b| Rank::of(a).cmp(&Rank::of(b)));
        values.dedup();
        values.into_iter().map(|value| Block { value: Some(value) }).collect()
    }

    fn pivot_value<'r>(&self, row: &'r GroupRow) -> Option<&'r str> {
        let place = self.comparison.by.iter().position(|key| Some(key.as_str()) == self.pivot)?;
        row.values.get(place).map(String::as_str)
    }

    /// What stands above [`Self::cells`].
    fn headings(&self, block: &Block, published: &[bool]) -> Vec<String> {
        let c = self.comparison;
        let of = |name: &str| match &block.value {
            None => name.to_owned(),
            Some(value) => format!("{name}, {}={value}", self.pivot.unwrap_or_default()),
        };
        let mut headings: Vec<String> = c.choose.iter().map(|key| of(key)).collect();
        for (metric, published) in c.metrics.iter().zip(published) {
            headings.push(of(metric));
            headings.extend(self.has_difference().then(|| "Δ".to_owned()));
            headings.extend(published.then(|| "published".to_owned()));
        }
        headings
    }

    /// What each metric is counted in.
    fn units(&self) -> Vec<Unit> {
        let declared = Declared::everything();
        self.comparison.metrics.iter().map(|metric| declared.unit(metric)).collect()
    }

    fn cells(&self, row: Option<&GroupRow>, units: &[Unit], published: &[bool], flavour: Flavour) -> Vec<String> {
        let c = self.comparison;
        let chosen = |i: usize| row.and_then(|row| row.choice.as_ref()?.values.get(i));
        let dash = || word("–", flavour);
        let mut cells: Vec<String> =
            (0..c.choose.len()).map(|i| chosen(i).map_or_else(dash, |v| word(v, flavour))).collect();
        for (i, (unit, published)) in units.iter().zip(published).enumerate() {
            let finding = row.and_then(|row| Some((row, row.findings.get(i)?)));
            cells.push(finding.map_or_else(dash, |(row, f)| self.cell(row, &f.summary, *unit, flavour)));
            if self.has_difference() {
                let difference = finding.and_then(|(_, f)| f.difference.as_ref()).filter(|d| d.n > 0);
                cells.push(difference.map_or_else(dash, |d| estimate(d, self.error, *unit, flavour)));
            }
            if *published {
                cells.push(finding.and_then(|(_, f)| f.published.as_ref()).map_or_else(dash, |v| word(v, flavour)));
            }
        }
        cells
    }

    fn cell(&self, row: &GroupRow, summary: &Summary, unit: Unit, flavour: Flavour) -> String {
        if summary.n == 0 {
            return word("–", flavour);
        }
        let text = estimate(summary, self.error, unit, flavour);
        // The number of values is said where it is not the number of runs.
        if summary.n == row.runs() { text } else { format!("{text} (n={})", summary.n) }
    }

    fn has_difference(&self) -> bool {
        !self.comparison.baseline.is_empty()
    }

    /// For each metric whether a value of it was published.
    fn published(&self) -> Vec<bool> {
        let has =
            |i: usize| self.comparison.rows.iter().filter_map(|row| row.findings.get(i)).any(|f| f.published.is_some());
        (0..self.comparison.metrics.len()).map(has).collect()
    }

    /// What is in no mean, and why; `-` if everything is.
    fn uncounted(&self, rows: &[&GroupRow]) -> String {
        let words = |row: &&GroupRow| {
            let reasons = self.reasons(row);
            let place = self.pivot_value(row).map(|v| format!("{}={v}: ", self.pivot.unwrap_or_default()));
            (!reasons.is_empty()).then(|| place.unwrap_or_default() + &reasons)
        };
        let all: Vec<String> = rows.iter().filter_map(words).collect();
        if all.is_empty() { "-".into() } else { all.join("; ") }
    }

    fn reasons(&self, row: &GroupRow) -> String {
        let mut reasons: Vec<String> = Some(row.unfinished.words()).into_iter().filter(|w| !w.is_empty()).collect();
        for (metric, f) in self.comparison.metrics.iter().zip(&row.findings) {
            let counts = [(f.summary.not_finite, "not finite"), (f.summary.missing, "missing")];
            let said = counts.into_iter().filter(|(n, _)| *n > 0);
            reasons.extend(said.map(|(n, what)| format!("{metric}: {n} {what}")));
        }
        reasons.join(", ")
    }

    /// One row for each group and metric, with every statistic at full precision: for other programs.
    pub fn long(&self) -> Vec<Vec<String>> {
        let c = self.comparison;
        let statistics = ["n", "mean", "std", "std_error", "ci_low", "ci_high", "min", "max"];
        let mut header: Vec<String> = c.by.iter().chain(&c.choose).cloned().collect();
        header.extend(["metric", "runs"].map(str::to_owned));
        header.extend(statistics.map(str::to_owned));
        header.extend(["interval", "diverged", "failed", "unfinished", "not_finite", "missing"].map(str::to_owned));
        if self.has_difference() {
            header.extend(statistics.map(|name| format!("difference_{name}")));
        }
        header.push("published".into());
        let line = |row: &GroupRow, metric: &str, f: &GroupMetric| {
            let mut line = row.values.clone();
            line.extend(
                (0..c.choose.len())
                    .map(|i| row.choice.as_ref().and_then(|x| x.values.get(i).cloned()).unwrap_or_default()),
            );
            line.extend([metric.to_owned(), row.runs().to_string()]);
            line.extend(numbers(Some(&f.summary)));
            let (diverged, failed) = (row.unfinished.of("diverged"), row.unfinished.of("failed"));
            let others = row.unfinished.total() - diverged - failed;
            line.push(
                match f.summary.kind {
                    Interval::Student => "student",
                    Interval::Wilson => "wilson",
                }
                .into(),
            );
            line.extend([diverged, failed, others, f.summary.not_finite, f.summary.missing].map(|n| n.to_string()));
            if self.has_difference() {
                line.extend(numbers(f.difference.as_ref()));
            }
            line.push(f.published.clone().unwrap_or_default());
            line
        };
        let lines =
            c.rows.iter().flat_map(|row| c.metrics.iter().zip(&row.findings).map(move |(m, f)| line(row, m, f)));
        std::iter::once(header).chain(lines).collect()
    }
}

/// n and the statistics; what is undefined is empty.
fn numbers(summary: Option<&Summary>) -> Vec<String> {
    let Some(s) = summary else { return vec![String::new(); 8] };
    let values = [s.mean, s.std, s.std_error, s.interval.0, s.interval.1, s.min, s.max];
    let text = |v: f64| if v.is_finite() { v.to_string() } else { String::new() };
    std::iter::once(s.n.to_string()).chain(values.map(text)).collect()
}

/// A word as the flavour writes it.
fn word(text: &str, flavour: Flavour) -> String {
    if flavour == Flavour::Plain {
        return text.to_owned();
    }
    let escaped = |c: char| match c {
        '_' | '%' | '&' | '#' | '$' | '{' | '}' => format!("\\{c}"),
        '\\' => "\\textbackslash{}".into(),
        '~' => "\\textasciitilde{}".into(),
        '^' => "\\textasciicircum{}".into(),
        'Δ' => "$\\Delta$".into(),
        '±' => "$\\pm$".into(),
        '–' => "--".into(),
        other => other.to_string(),
    };
    text.chars().map(escaped).collect()
}

//! The picture of a sweep: how many trials stand how, and a row each.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table};

use super::look::{Look, bar};
use super::trials::{Trial, Trials};
use crate::error::printable;
use crate::metrics::Unit;
use crate::run::{layout, show};

/// Significant digits of a number.
const DIGITS: usize = 5;

/// Columns below which a row has its state and its name alone.
const WIDE: u16 = 60;

/// Draws the trials into `area`; `chosen` is the place of the one that is marked.
pub fn draw(frame: &mut Frame<'_>, area: Rect, trials: &Trials, chosen: usize, look: Look) {
    let [title, progress, body] =
        Layout::vertical([Constraint::Length(1), Constraint::Length(1), Constraint::Min(1)]).areas(area);
    frame.render_widget(Paragraph::new(heading(trials, look)), title);
    frame.render_widget(Paragraph::new(how_far(trials, progress.width.into())), progress);
    if trials.rows.is_empty() {
        frame.render_widget(Paragraph::new("no trial yet"), body);
        return;
    }
    let number = trials.number();
    let wide = area.width >= WIDE;
    let metric = number.unwrap_or_default();
    let heads = match wide {
        true => vec!["state".to_owned(), "trial".into(), "step".into(), metric_head(trials, metric)],
        false => vec!["state".to_owned(), "trial".into()],
    };
    let room = usize::from(body.height.saturating_sub(1)).max(1);
    let chosen = chosen.min(trials.rows.len() - 1);
    let first = (chosen + 1).saturating_sub(room);
    let rows = trials.rows.iter().enumerate().skip(first).take(room).map(|(i, trial)| {
        let row = Row::new(cells(trials, trial, number, wide, look));
        if i == chosen { row.style(look.chosen()) } else { row }
    });
    let value = u16::try_from(layout::widest([metric]) + 2).unwrap_or(u16::MAX).clamp(10, 20);
    let widths = match wide {
        true => vec![Constraint::Length(11), Constraint::Min(10), Constraint::Length(15), Constraint::Length(value)],
        false => vec![Constraint::Length(11), Constraint::Min(10)],
    };
    let table = Table::new(rows, widths).header(Row::new(heads).style(look.head()));
    frame.render_widget(table, body);
}

fn metric_head(trials: &Trials, metric: &str) -> String {
    let arrow = show::arrow(trials.declared.find(metric).map(|declared| &declared.number));
    format!("{} {arrow}", printable(metric)).trim_end().to_owned()
}

fn cells(trials: &Trials, trial: &Trial, number: Option<&str>, wide: bool, look: Look) -> Vec<Cell<'static>> {
    let mut cells =
        vec![Cell::from(Span::styled(trial.status, look.status(trial.status))), Cell::from(printable(&trial.name))];
    if wide {
        let count = |n: u64| show::value(Unit::Count, n as f64, 0);
        let step = match trial.total {
            _ if trial.status == "waiting" => String::new(),
            0 => count(trial.step),
            total => format!("{}/{}", count(trial.step), count(total)),
        };
        let value = number.and_then(|name| Some((name, trial.newest.get(name)?)));
        let value = value.map(|(name, value)| show::value(trials.declared.unit(name), value, DIGITS));
        cells.extend([Cell::from(step), Cell::from(value.unwrap_or_default())]);
    }
    cells
}

/// `toy2d  12 trials: 5 finished, 2 running, 5 waiting`.
fn heading(trials: &Trials, look: Look) -> Line<'static> {
    let states = ["finished", "running", "waiting", "interrupted", "killed", "diverged", "failed"];
    let counted = states.into_iter().map(|state| (trials.count(state), state)).filter(|(n, _)| *n > 0);
    let counted: Vec<String> = counted.map(|(n, state)| format!("{n} {state}")).collect();
    let name = trials.dir.file_name().map_or_else(|| trials.dir.display().to_string(), |n| n.to_string_lossy().into());
    let many = show::counted(trials.rows.len() as u64, "trial");
    Line::from(vec![
        Span::styled(printable(&name), look.head()),
        Span::raw(format!("  {many}: {}", counted.join(", "))),
    ])
}

fn how_far(trials: &Trials, columns: usize) -> String {
    let share = trials.rows.iter().map(Trial::share).sum::<f64>() / trials.rows.len().max(1) as f64;
    let left = trials.left().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let left = left.map(|time| format!("  {} left", show::time(time))).unwrap_or_default();
    let text = format!("{:.0} %{left}", 100.0 * share);
    match columns.saturating_sub(layout::widest([text.as_str()]) + 2).min(30) {
        room if room < 8 => text,
        room => format!("{}  {text}", bar(share, room)),
    }
}

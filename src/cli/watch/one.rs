//! The picture of one run: how far it is, its numbers, the curves of some, its guard, what it said last.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Chart, Dataset, GraphType, Paragraph};

use super::glimpse::{Curve, Glimpse};
use super::look::{Look, bar};
use crate::error::printable;
use crate::metrics::{Better, Unit};
use crate::report::thin;
use crate::run::{layout, show};

/// Significant digits of a number.
const DIGITS: usize = 5;

/// A run that logged nothing for so long is said to be quiet.
const QUIET: u64 = 60;

/// Rows that a curve with its axes needs.
const CHART: u16 = 7;

/// Columns below which curves stand under the numbers instead of beside them.
const BESIDE: u16 = 60;

/// Draws a run into `area`; `chosen` is the place of the number whose curve comes first.
pub fn draw(frame: &mut Frame<'_>, area: Rect, run: &Glimpse, chosen: usize, look: Look) {
    let small = area.height < 10;
    let (line, foot) = (Constraint::Length(1), Constraint::Length(u16::from(!small)));
    let [title, progress, body, guard, said] =
        Layout::vertical([line, line, Constraint::Min(1), foot, foot]).areas(area);
    frame.render_widget(Paragraph::new(heading(run, look)), title);
    frame.render_widget(Paragraph::new(how_far(run, progress.width.into())), progress);
    let names = run.names();
    let (numbers, curves) = halves(body, names.len());
    list(frame, numbers, run, &names, chosen, look);
    charts(frame, curves, run, &names, chosen, look);
    if !small {
        let (text, calm) = run.guarded();
        let style = if calm { look.faint() } else { look.bad() };
        let line = |text: String, style| Paragraph::new(Line::styled(shortened(&text, area.width.into()), style));
        frame.render_widget(line(format!("guard  {text}"), style), guard);
        frame.render_widget(line(format!("said   {}", printable(&run.said)), look.faint()), said);
    }
}

/// `lsd_digits-s0 · running · lsd on digits, seed 0, cpu`.
fn heading(run: &Glimpse, look: Look) -> Line<'static> {
    let name = run.dir.file_name().map_or_else(|| run.dir.display().to_string(), |name| name.to_string_lossy().into());
    let about = run.manifest.as_ref().map(|m| format!(" {} on {}, seed {}, {}", m.method, m.dataset, m.seed, m.device));
    let quiet = run.quiet().filter(|time| run.status == "running" && time.as_secs() >= QUIET);
    let quiet = quiet.map(|time| format!(", nothing logged for {}", show::time(time)));
    let damaged =
        (run.damaged > 0).then(|| format!(", {} passed over", show::counted(run.damaged as u64, "damaged line")));
    let rest = [about, quiet, damaged].into_iter().flatten().collect::<String>();
    Line::from(vec![
        Span::styled(printable(&name), look.head()),
        Span::raw("  "),
        Span::styled(run.status, look.status(run.status)),
        Span::raw(printable(&rest)),
    ])
}

/// `████░░░░ step 1,200/10,000 (12 %)  34.1/s  4m18s left`, in as many columns as there are.
fn how_far(run: &Glimpse, columns: usize) -> String {
    let step = show::value(Unit::Count, run.step as f64, 0);
    let mut text = format!("step {step}");
    if let Some(total) = run.total {
        text += &format!("/{}", show::value(Unit::Count, total as f64, 0));
    }
    if let Some(share) = run.share() {
        text += &format!(" ({:.0} %)", 100.0 * share);
    }
    if let Some(rate) = run.rate() {
        text += &format!("  {}/s", show::number(rate, 3));
    }
    if let Some(time) = run.left() {
        text += &format!("  {} left", show::time(time));
    }
    let room = columns.saturating_sub(layout::widest([text.as_str()]) + 2).min(30);
    match run.share().filter(|_| room >= 8) {
        Some(share) => format!("{}  {text}", bar(share, room)),
        None => text,
    }
}

/// Where the numbers stand and where the curves do.
fn halves(body: Rect, numbers: usize) -> (Rect, Rect) {
    if body.width >= BESIDE {
        let [left, right] =
            Layout::horizontal([Constraint::Length((body.width / 2).min(44)), Constraint::Min(1)]).areas(body);
        return (left, right);
    }
    let most = if body.height > CHART + 3 { body.height - CHART } else { body.height };
    let rows = u16::try_from(numbers.max(1)).unwrap_or(u16::MAX).min(most);
    let [above, below] = Layout::vertical([Constraint::Length(rows), Constraint::Min(0)]).areas(body);
    (above, below)
}

/// The numbers with the direction that is better, and whether the newest value is better than the one before.
fn list(frame: &mut Frame<'_>, area: Rect, run: &Glimpse, names: &[String], chosen: usize, look: Look) {
    if names.is_empty() {
        let text = if run.status == "starting" { "no manifest yet" } else { "nothing logged yet" };
        frame.render_widget(Paragraph::new(Line::styled(text, look.faint())), area);
        return;
    }
    let rows = usize::from(area.height);
    let chosen = chosen.min(names.len() - 1);
    let first = (chosen + 1).saturating_sub(rows);
    let columns = usize::from(area.width);
    let widest = layout::widest(names.iter().map(String::as_str)).min(columns.saturating_sub(16).max(8));
    let lines = names.iter().enumerate().skip(first).take(rows).filter_map(|(i, name)| {
        let line = number(run, name, run.curves.get(name)?, widest, look);
        Some(if i == chosen { line.style(look.chosen()) } else { line })
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), area);
}

/// `test_ll   ↑ -39.51 better`.
fn number(run: &Glimpse, name: &str, curve: &Curve, widest: usize, look: Look) -> Line<'static> {
    let declared = run.declared.find(name).map(|declared| &declared.number);
    let value = |value| show::value(run.declared.unit(name), value, DIGITS);
    let text = curve.newest[1].map_or_else(|| "-".to_owned(), value);
    let head = layout::padded(&shortened(&printable(name), widest), widest);
    let mut spans = vec![Span::raw(format!("{head} {} {text} ", show::arrow(declared)))];
    if let ([Some(before), Some(now)], Some(better)) = (curve.newest, declared.map(|number| number.better)) {
        let word = match better {
            Better::Neither => None,
            _ if now == before || before.is_nan() => None,
            Better::Higher => Some(now > before),
            Better::Lower => Some(now < before),
        };
        spans.extend(word.map(|better| match better {
            true => Span::styled("better", look.good()),
            false => Span::styled("worse", look.bad()),
        }));
    }
    Line::from(spans)
}

/// At most so many characters, the last of them `…` where some are left out.
fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// As many curves as there is room for: that of the chosen number, then those that matter most.
fn charts(frame: &mut Frame<'_>, area: Rect, run: &Glimpse, names: &[String], chosen: usize, look: Look) {
    let Some(first) = names.get(chosen.min(names.len().saturating_sub(1))) else { return };
    let others = names.iter().filter(|name| *name != first && has_course(run, name));
    let room = usize::from(area.height / CHART).clamp(1, 3);
    let shown: Vec<&String> = std::iter::once(first).chain(others).take(room).collect();
    if area.height < 4 || area.width < 20 {
        return;
    }
    let areas = Layout::vertical(shown.iter().map(|_| Constraint::Fill(1))).split(area);
    for (name, area) in shown.into_iter().zip(areas.iter()) {
        if let Some(curve) = run.curves.get(name) {
            chart(frame, *area, run, name, curve, look);
        }
    }
}

/// Whether a number was logged more than once.
fn has_course(run: &Glimpse, name: &str) -> bool {
    run.curves.get(name).is_some_and(|curve| curve.points.len() > 1)
}

fn chart(frame: &mut Frame<'_>, area: Rect, run: &Glimpse, name: &str, curve: &Curve, look: Look) {
    let finite: Vec<(u64, f64)> = curve.points.iter().copied().filter(|(_, value)| value.is_finite()).collect();
    let points: Vec<(f64, f64)> =
        thin(&finite, 4 * usize::from(area.width)).into_iter().map(|(step, value)| (step as f64, value)).collect();
    let unit = show::unit(run.declared.unit(name));
    let arrow = show::arrow(run.declared.find(name).map(|declared| &declared.number));
    let title = format!("{} {arrow} {unit}", printable(name)).trim_end().to_owned();
    let block = Block::new().title(Line::styled(title, look.head()));
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        frame.render_widget(Paragraph::new("no finite value yet").block(block), area);
        return;
    };
    let lows = points.iter().map(|point| point.1);
    let (low, high) = (lows.clone().fold(f64::INFINITY, f64::min), lows.fold(f64::NEG_INFINITY, f64::max));
    // A constant has a scale too.
    let pad = if high > low { 0.0 } else { (high.abs() / 10.0).max(0.5) };
    let (low, high) = (low - pad, high + pad);
    let ends = [low, high].map(|value| show::value(run.declared.unit(name), value, 4));
    let steps = [first.0, last.0.max(first.0 + 1.0)];
    let labels = steps.map(|step| show::value(Unit::Count, step, 0));
    let kind = if points.len() > 1 { GraphType::Line } else { GraphType::Scatter };
    let data = Dataset::default().marker(Marker::Braille).graph_type(kind).style(look.curve()).data(&points);
    let axes = [Axis::default().bounds(steps).labels(labels), Axis::default().bounds([low, high]).labels(ends)];
    let [x, y] = axes.map(|axis| axis.style(look.faint()));
    frame.render_widget(Chart::new(vec![data]).block(block).x_axis(x).y_axis(y), area);
}

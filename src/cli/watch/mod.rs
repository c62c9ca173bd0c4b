//! `ebm watch`: a run or a sweep on the terminal, as it goes. Nothing of it is locked or written.

mod glimpse;
mod look;
mod many;
mod one;
mod trials;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;
use ratatui::{DefaultTerminal, Frame};

use super::{GlobalArgs, usage};
use crate::run::{Paths, is_output_watched, signal};
use crate::{Error, Result, shell};
use glimpse::Glimpse;
use look::Look;
use trials::Trials;

/// How often files are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// How long a signal waits to be answered, at most.
const PATIENCE: Duration = Duration::from_millis(200);

/// Rows that a page is.
const PAGE: usize = 10;

/// Shows a run or a sweep on the terminal, as it goes: numbers, curves, time left, guard. It reads the folder alone
/// and changes nothing in it.
#[derive(Args)]
#[command(after_help = "Keys: q leaves · ↑ ↓ choose a number or a trial · Enter opens a trial · Esc goes back")]
pub struct WatchArgs {
    /// A run folder, a sweep, or a folder of runs
    run: PathBuf,
}

/// Takes the terminal over until the reader leaves, and gives it back.
pub fn run(args: &WatchArgs, global: &GlobalArgs) -> Result<()> {
    let list = format!("`{}` prints the same once", shell::ebm("ls --json"));
    if global.json {
        return Err(usage("watch draws on a terminal and has no JSON", list));
    }
    if !is_output_watched() {
        return Err(usage("standard output is not a terminal, and watch draws on one", list));
    }
    let mut screen = Screen::of(&args.run, Look::of_environment())?;
    signal::install_to_pass_on()?;
    let mut terminal = ratatui::try_init().map_err(lost)?;
    let left = screen.attend(&mut terminal);
    // Given back before anything is said.
    let given_back = ratatui::try_restore().map_err(lost);
    left.and(given_back)
}

fn lost(error: std::io::Error) -> Error {
    Error::Other(format!("the terminal: {error}\n\nhint: `{}` needs none", shell::ebm("ls")))
}

/// What is shown: a run; or trials, of which one may be open.
struct Screen {
    look: Look,
    trials: Option<Trials>,
    run: Option<Glimpse>,
    /// The place of the trial, and of the number of the run, that is chosen.
    chosen: [usize; 2],
}

/// What a key means.
enum Word {
    Leave,
    Stay,
}

impl Screen {
    /// Of a run, of a sweep, or of a folder of runs.
    ///
    /// # Errors
    /// There is nothing of the kind.
    fn of(dir: &Path, look: Look) -> Result<Self> {
        let paths = Paths::of(dir);
        let (mut trials, mut run) = (None, None);
        if paths.manifest().exists() || paths.config().exists() {
            run = Some(Glimpse::of(dir));
        } else if dir.is_dir() {
            trials = Some(Trials::of(dir)?);
        }
        if run.is_none() && trials.as_ref().is_none_or(|trials| trials.rows.is_empty()) {
            let hint = format!("`{}` lists the runs under runs/", shell::ebm("ls"));
            return Err(usage(format!("{}: neither a run folder nor a sweep", dir.display()), hint));
        }
        Ok(Screen { look, trials, run, chosen: [0, 0] })
    }

    /// Draws and obeys until the reader leaves or a signal comes.
    fn attend(&mut self, terminal: &mut DefaultTerminal) -> Result<()> {
        let mut looked = Instant::now();
        loop {
            terminal.draw(|frame| self.draw(frame)).map_err(lost)?;
            // A key, another size, or time to look again.
            while looked.elapsed() < EVERY {
                if let Some(signal) = signal::take() {
                    return Err(Error::Interrupted(signal));
                }
                let wait = EVERY.saturating_sub(looked.elapsed()).min(PATIENCE);
                if event::poll(wait).map_err(lost)? {
                    if matches!(self.obey(&event::read().map_err(lost)?), Word::Leave) {
                        return Ok(());
                    }
                    terminal.draw(|frame| self.draw(frame)).map_err(lost)?;
                }
            }
            self.refresh()?;
            looked = Instant::now();
        }
    }

    fn refresh(&mut self) -> Result<()> {
        match (&mut self.run, &mut self.trials) {
            (Some(run), _) => run.refresh(),
            (None, Some(trials)) => trials.refresh()?,
            (None, None) => {}
        }
        Ok(())
    }

    fn obey(&mut self, event: &Event) -> Word {
        let Event::Key(KeyEvent { code, modifiers, kind, .. }) = event else { return Word::Stay };
        if *kind == KeyEventKind::Release {
            return Word::Stay;
        }
        let (many, place) = match (&self.run, &self.trials) {
            (Some(run), _) => (run.curves.len(), 1),
            (None, trials) => (trials.as_ref().map_or(0, |trials| trials.rows.len()), 0),
        };
        let last = many.saturating_sub(1);
        let [trial, number] = &mut self.chosen;
        let chosen = if place == 0 { trial } else { number };
        match code {
            KeyCode::Char('q') => return Word::Leave,
            KeyCode::Char('c' | 'd') if modifiers.contains(KeyModifiers::CONTROL) => return Word::Leave,
            KeyCode::Esc | KeyCode::Left | KeyCode::Backspace if self.trials.is_some() => self.run = None,
            KeyCode::Up | KeyCode::Char('k') => *chosen = chosen.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => *chosen = (*chosen + 1).min(last),
            KeyCode::PageUp => *chosen = chosen.saturating_sub(PAGE),
            KeyCode::PageDown => *chosen = (*chosen + PAGE).min(last),
            KeyCode::Home => *chosen = 0,
            KeyCode::End => *chosen = last,
            KeyCode::Enter | KeyCode::Right if self.run.is_none() => {
                let row = self.trials.as_ref().and_then(|trials| trials.rows.get(*chosen));
                self.run = row.map(|trial| Glimpse::of(&trial.dir));
                self.chosen[1] = 0;
            }
            _ => {}
        }
        Word::Stay
    }

    fn draw(&self, frame: &mut Frame<'_>) {
        let [area, keys] = Layout::vertical([Constraint::Min(1), Constraint::Length(1)]).areas(frame.area());
        let said = match (&self.run, &self.trials) {
            (Some(run), trials) => {
                one::draw(frame, area, run, self.chosen[1], self.look);
                if trials.is_some() { "q leaves  ↑↓ number  Esc back" } else { "q leaves  ↑↓ number" }
            }
            (None, Some(trials)) => {
                many::draw(frame, area, trials, self.chosen[0], self.look);
                "q leaves  ↑↓ trial  Enter opens it"
            }
            (None, None) => "q leaves",
        };
        frame.render_widget(Paragraph::new(Line::styled(said, self.look.faint())), keys);
    }
}

#[cfg(test)]
mod tests;

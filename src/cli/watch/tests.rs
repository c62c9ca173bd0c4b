//! Pictures of folders that are written by hand, on a terminal in memory.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::json;

use super::*;
use crate::run::Experiment;

const TEXT: &str = "[dataset]\nname = \"8gaussians\"\n[method]\nname = \"ml_grid\"\n[train]\nsteps = 1000\n\
                    [[probe]]\nname = \"nll\"\n";

/// A run in `dir` with so many lines in its log, under way in this process or finished.
fn write(dir: &Path, lines: u64, status: &str) {
    std::fs::create_dir_all(dir).unwrap();
    let file = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
    file("config.toml", &Experiment::parse("c.toml", TEXT, &[]).unwrap().resolved.to_toml());
    let manifest = json!({"status": status, "method": "ml_grid", "dataset": "8gaussians", "seed": 3, "steps": 1000,
        "last_step": 10 * lines, "device": "cpu", "started": "2026-11-29T07:00:00Z"});
    file("manifest.json", &manifest.to_string());
    file(".lock", &format!("{}\n", std::process::id()));
    let line = |i: u64| json!({"step": 10 * i, "loss": 5.0 / i as f64, "test_ll": -3.0 + i as f64 / 100.0}).to_string();
    file("metrics.jsonl", &(1..=lines).map(|i| line(i) + "\n").collect::<String>());
    let time = |i: u64| json!({"step": 10 * i, "seconds": i as f64, "steps_per_s": 10.0}).to_string();
    file("timing.jsonl", &(1..=lines).map(|i| time(i) + "\n").collect::<String>());
    file("log.txt", " INFO run      here\n WARN something odd\n\n");
}

fn screen(dir: &Path) -> Screen {
    Screen::of(dir, Look::new(false)).unwrap()
}

/// What stands on a terminal of this size.
fn picture(screen: &Screen, columns: u16, rows: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal.draw(|frame| screen.draw(frame)).unwrap();
    let cells = terminal.backend().buffer().content().chunks(columns.into());
    cells.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned() + "\n").collect()
}

fn says(picture: &str, all: &[&str]) {
    for text in all {
        assert!(picture.contains(text), "no `{text}` in\n{picture}");
    }
}

fn press(screen: &mut Screen, code: KeyCode) -> Word {
    screen.obey(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

#[test]
fn a_run_shows_how_far_it_is_its_numbers_and_their_curves() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 50, "running");
    let mut screen = screen(dir.path());
    let shown = picture(&screen, 80, 24);
    let name = dir.path().file_name().unwrap().to_string_lossy();
    says(&shown, &[&name, "running", "ml_grid on 8gaussians, seed 3, cpu"]);
    says(&shown, &["step 500/1,000 (50 %)  10.0/s  50s left", "test_ll ↑ -2.5000 better", "loss"]);
    says(&shown, &["guard  all finite", "WARN something odd", "q leaves"]);
    assert!(shown.chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c)), "no curve in\n{shown}");
    // The number that is chosen has the first curve.
    let titles = |shown: &str| shown.lines().nth(2).unwrap().chars().skip(40).collect::<String>();
    assert!(titles(&shown).contains("test_ll ↑ nats"), "{shown}");
    press(&mut screen, KeyCode::Down);
    assert!(titles(&picture(&screen, 80, 24)).contains("loss"));
    assert!(matches!(press(&mut screen, KeyCode::Char('q')), Word::Leave));
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert!(matches!(screen.obey(&Event::Key(interrupt)), Word::Leave));
}

#[test]
fn every_size_of_a_terminal_has_a_picture() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("sweep/a"), 50, "running");
    write(&dir.path().join("sweep/b"), 1, "finished");
    for path in ["sweep", "sweep/a", "sweep/b"] {
        let screen = screen(&dir.path().join(path));
        for (columns, rows) in [(1, 1), (2, 3), (10, 5), (20, 8), (40, 12), (59, 24), (80, 24), (200, 60)] {
            let shown = picture(&screen, columns, rows);
            assert_eq!(shown.lines().count(), usize::from(rows));
        }
        assert!(picture(&screen, 20, 8).contains(if path == "sweep" { "finished" } else { "step" }));
    }
}

#[test]
fn a_run_that_ends_begins_again_or_has_odd_lines_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    write(path, 5, "running");
    let mut screen = screen(path);
    let log = path.join("metrics.jsonl");
    let whole = std::fs::read_to_string(&log).unwrap();
    let mut shown = |text: &str| {
        std::fs::write(&log, text).unwrap();
        screen.refresh().unwrap();
        picture(&screen, 80, 24)
    };
    says(&shown(&(whole.clone() + "{\"step\":60,\"lo")), &["step 50/"]);
    says(&shown(&(whole.clone() + "{\"step\":60,\"loss\":null}\n")), &["step 60/", "NaN", "loss is not finite"]);
    says(&shown(&(whole.clone() + "{\"step\":60,\"loss\":1}\ngarbage\n\u{1b}[2J\n")), &["step 60/", "2 damaged lines"]);
    // Cut back by a run that goes on from an older checkpoint.
    let first = whole.lines().next().unwrap().to_owned() + "\n";
    let cut = shown(&first);
    says(&cut, &["step 10/"]);
    assert!(!cut.contains("damaged"), "{cut}");
    says(&shown(""), &["step 0/", "nothing logged yet"]);
    std::fs::remove_file(path.join("timing.jsonl")).unwrap();
    says(&shown(&whole), &["step 50/1,000 (5 %)\n"]);
    write(path, 100, "finished");
    says(&shown(&whole), &["finished", "(100 %)"]);
    write(path, 100, "diverged");
    says(&shown(&whole), &["diverged", "guard  stopped the run"]);
    write(path, 100, "running");
    // A process of this number cannot be there.
    std::fs::write(path.join(".lock"), "2147483646\n").unwrap();
    says(&shown(&whole), &["killed"]);
    std::fs::remove_dir_all(path).unwrap();
    screen.refresh().unwrap();
    picture(&screen, 80, 24);
}

#[test]
fn a_sweep_is_a_table_whose_rows_can_be_opened() {
    let dir = tempfile::tempdir().unwrap();
    let sweep = dir.path().join("toys");
    write(&sweep.join("lsd-s0"), 100, "finished");
    write(&sweep.join("lsd-s1"), 25, "running");
    let trials: Vec<_> = ["lsd-s0", "lsd-s1", "lsd-s2"].map(|id| json!({"id": id})).into();
    std::fs::write(sweep.join("sweep.json"), json!({"trials": trials}).to_string()).unwrap();
    let mut screen = screen(&sweep);
    let shown = picture(&screen, 80, 24);
    says(&shown, &["toys  3 trials: 1 finished, 1 running, 1 waiting", "test_ll ↑", "42 %  2m55s left"]);
    let rows: Vec<Vec<&str>> = shown.lines().skip(3).take(3).map(|row| row.split_whitespace().collect()).collect();
    assert_eq!(rows[1], ["running", "lsd-s1", "250/1,000", "-2.7500"]);
    assert_eq!(rows[2], ["waiting", "lsd-s2"]);
    press(&mut screen, KeyCode::Down);
    press(&mut screen, KeyCode::Enter);
    says(&picture(&screen, 80, 24), &["lsd-s1", "step 250/1,000", "Esc back"]);
    press(&mut screen, KeyCode::Esc);
    says(&picture(&screen, 40, 10), &["waiting", "lsd-s2"]);
    write(&sweep.join("lsd-s2"), 30, "interrupted");
    screen.refresh().unwrap();
    says(&picture(&screen, 80, 24), &["1 interrupted", "300/1,000"]);
    assert!(Screen::of(&dir.path().join("none"), Look::new(true)).is_err());
}

#[test]
fn watching_changes_nothing_in_the_folder_and_takes_no_lock() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 5, "running");
    let content = || {
        let entries = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap());
        let mut all: Vec<_> = entries.map(|e| (e.file_name(), e.metadata().unwrap().modified().unwrap())).collect();
        all.sort();
        all
    };
    let before = content();
    let mut screen = screen(dir.path());
    screen.refresh().unwrap();
    assert_eq!(content(), before);
    // Whoever would hold the lock, even for a moment, would open the file to write or lock it: the pid is read instead.
    let lock = std::fs::File::open(dir.path().join(".lock")).unwrap();
    assert!(lock.try_lock().is_ok());
    screen.refresh().unwrap();
    assert_eq!(screen.run.unwrap().status, "running");
}

#[test]
fn long_curves_keep_their_course_in_bounded_memory() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 1, "running");
    let text: String = (1..=50_000).map(|i| format!("{{\"step\":{i},\"loss\":{i}}}\n")).collect();
    std::fs::write(dir.path().join("metrics.jsonl"), text).unwrap();
    let screen = screen(dir.path());
    let curve = &screen.run.as_ref().unwrap().curves["loss"];
    assert!(curve.points.len() < 20_000 && curve.points.windows(2).all(|pair| pair[0].0 < pair[1].0));
    assert_eq!((curve.newest, curve.points[0].0), ([Some(49_999.0), Some(50_000.0)], 1));
    assert!(curve.points.last().unwrap().0 > 49_990);
}

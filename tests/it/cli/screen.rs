//! What stands on the screen: columns, digits, lines, and commands that can be pasted.

use std::process::Command;

use unicode_width::UnicodeWidthStr as _;

use super::*;

/// What a shell makes of `line` in the lab's folder.
fn shell(lab: &Lab, line: &str) -> crate::harness::Outcome {
    outcome(Command::new("sh").args(["-c", line]).current_dir(lab.path("")))
}

#[test]
fn the_bar_has_a_line_of_its_own_on_a_terminal_of_any_width() {
    let lab = Lab::new();
    lab.write("c.toml", &bare("ml_grid", 30));
    for columns in [80, 40, 20] {
        let run = format!("run{columns}");
        let said = lab.on_terminal(columns, &["train", "c.toml", "--run-dir", &run]);
        let (bar, summary) =
            said.rsplit_once(&format!("\n{run}: 30 steps of ml_grid on ")).expect("the summary begins a line");
        let last = bar.rsplit(['\n', '\r']).next().unwrap().replace("\x1b[2K", "");
        assert!(last.contains("30/30"), "{columns}: {said:?}");
        assert!(last.trim_end().width() <= usize::from(columns), "{columns}: the bar is one line: {last:?}");
        assert!(!summary.contains("\n\n") && summary.contains("sample:   "), "{summary:?}");
    }
}

#[test]
fn a_pipe_gets_no_bar_no_colour_and_no_spaces_at_the_end_of_a_line() {
    let lab = lab_with_run(&experiment("ml_grid"));
    for words in [
        &["train", "c.toml", "--run-dir", "again"][..],
        &["ls", "."],
        &["methods"],
        &["data", "list"],
        &["data", "verify"],
        &["explain", "lsd"],
        &["compare", "."],
        &["check", "c.toml"],
        &["show", "c.toml", "--origin"],
        &["sample", "--ckpt", LAST, "--n", "4"],
        &["diagnose", "--ckpt", LAST, "--steps", "10", "--burn-in", "0"],
        &["gof", "--ckpt", LAST, "--tests", "lksd", "--items", "50"],
        &["eval", "--ckpt", LAST, "--probe", "nll"],
        &["nope"],
        &["ls", "--nope"],
    ] {
        let found = lab.run(words);
        let said = found.stdout + &found.stderr;
        assert!(!said.contains('\x1b') && !said.contains('\r'), "{words:?}: {said:?}");
        let ragged: Vec<&str> = said.lines().filter(|line| line.ends_with(' ')).collect();
        assert_eq!(ragged, [""; 0], "{words:?}");
        assert!(!said.contains("\n\n\n") && !said.contains(" ()") && !said.contains("-0.0 "), "{words:?}: {said}");
    }
}

#[test]
fn lists_have_columns_and_lines_that_fit_the_terminal() {
    let lab = Lab::new();
    // In a file, what a name means begins in the same column everywhere.
    for words in [["methods"].as_slice(), &["data", "list"]] {
        let text = lab.ok(words);
        let rows = text.lines().filter(|line| line.trim_start().contains("  "));
        let column = |line: &str| line.len() - line.rsplit("  ").next().unwrap().len();
        let columns: BTreeSet<usize> = rows.map(column).collect();
        assert_eq!(columns.len(), 1, "{columns:?}\n{text}");
    }
    for columns in [80, 40, 20] {
        for words in [["methods"].as_slice(), &["data", "list"], &["explain", "lsd"]] {
            let text = lab.on_terminal(columns, words);
            let long = |line: &&str| line.width() > usize::from(columns);
            // Words that are longer than the terminal is wide are not cut.
            let cut: Vec<&str> = text.lines().filter(long).filter(|line| line.trim().contains("  ")).collect();
            assert_eq!(cut, [""; 0], "{columns}: {words:?}\n{text}");
            let wrapped = |line: &&str| line.starts_with("      ") && line.split_whitespace().count() > 1;
            assert_eq!(text.lines().filter(long).filter(wrapped).count(), 0, "{columns}: {words:?}\n{text}");
        }
    }
}

#[test]
fn a_command_that_is_printed_can_be_pasted() {
    let lab = Lab::new();
    lab.write("c.toml", &bare("ml_grid", 5));
    let run = "it's a $HOME & [run]";
    let said = lab.ok(&["-q", "train", "c.toml", "--run-dir", run]);
    let sample = said.lines().find_map(|line| line.strip_prefix("sample:   ")).unwrap();
    let drawn = shell(&lab, &format!("{sample} --n 4 --out x.png"));
    assert_eq!(drawn.code, Some(0), "{sample}\n{}", drawn.stderr);
    assert!(lab.path("x.png").exists());
    let refused = lab.refused(1, &["train", "c.toml", "--run-dir", run], &["continues it"]);
    let resume = refused.split('`').nth(1).unwrap();
    let resumed = shell(&lab, resume);
    assert!(resumed.code == Some(0) && resumed.stdout.contains("already finished"), "{resume}\n{}", resumed.stderr);
    // A folder whose name would be an option.
    lab.ok(&["-q", "train", "c.toml", "--run-dir=-x"]);
    let refused = lab.refused(1, &["train", "c.toml", "--run-dir=-x"], &["continues it"]);
    assert_eq!(shell(&lab, refused.split('`').nth(1).unwrap()).code, Some(0), "{refused}");
}

#[test]
fn a_command_names_the_program_as_it_was_called() {
    use std::os::unix::process::CommandExt as _;
    let lab = Lab::new();
    lab.write("c.toml", &bare("ml_grid", 5));
    let file = env!("CARGO_BIN_EXE_ebm");
    std::fs::create_dir(lab.path("bin dir")).unwrap();
    std::os::unix::fs::symlink(file, lab.path("bin dir/ebm")).unwrap();
    let path = format!("{}:/usr/bin:/bin", lab.path("bin dir").display());
    for (called, is) in [("ebm", "ebm"), ("bin dir/ebm", "'bin dir/ebm'"), (file, file), ("gone", file)] {
        let mut command = lab.command(&["-q", "train", "c.toml", "--overwrite", "--run-dir", "run"]);
        let found = outcome(command.arg0(called).env("PATH", &path));
        assert!(found.stdout.contains(&format!("sample:   {is} sample --ckpt run/")), "{called}: {}", found.stdout);
    }
}

#[test]
fn counts_are_whole_and_what_has_no_citation_has_no_parentheses() {
    let lab = Lab::new();
    lab.write("c.toml", &bare("ml", 200));
    let found = lab.run(&["train", "c.toml", "--run-dir", "run"]);
    assert!(found.stderr.contains("method   ml\n"), "{}", found.stderr);
    // A batch of 16 for 200 steps.
    let counted = |text: &str| text.contains("3,200") && !text.contains("3200");
    assert!(counted(&found.stdout), "{}", found.stdout);
    assert!(counted(&lab.ok(&["ls", ".", "--sort", "energy_gradients"])));
    assert!(counted(&lab.ok(&["compare", "run", "--metric", "energy_gradients"])));
}

#[test]
fn runs_are_listed_by_a_metric_either_way_round() {
    let lab = Lab::new();
    for (run, loss) in [("a", "1.5"), ("b", "-2.0"), ("c", "0.25"), ("d", "null")] {
        std::fs::create_dir(lab.path(run)).unwrap();
        let last = if run == "d" { String::new() } else { format!("\"loss\": {loss}") };
        let text = format!(
            "{{\"status\": \"finished\", \"method\": \"lsd\", \"dataset\": \"moons\", \"seed\": 0, \
             \"last_metrics\": {{{last}}}}}"
        );
        lab.write(&format!("{run}/manifest.json"), &text);
    }
    let order = |words: &[&str]| {
        let text = lab.ok(&[&["ls", "."], words].concat());
        let first = |line: &str| line.split_whitespace().next().map(|run| run.trim_start_matches("./").to_owned());
        text.lines().skip(1).filter_map(first).collect::<Vec<_>>().concat()
    };
    assert_eq!([order(&[]), order(&["--reverse"])], ["abcd", "dcba"]);
    assert_eq!([order(&["--sort", "loss"]), order(&["--sort", "loss", "-r"])], ["bcad", "acbd"]);
    lab.refused(2, &["ls", ".", "--sort", "losss"], &["no run has the metric `losss`", "did you mean `loss`?"]);
    lab.refused(2, &["ls", ".", "--sort", "nope_accuracy"], &["no run has the metric `nope_accuracy`"]);
    lab.refused(2, &["ls", ".", "--sort", "nope"], &["no run has the metric `nope`", "explain NAME"]);
}

#[test]
fn a_hint_names_a_key_that_mends_it() {
    let lab = Lab::new();
    // How long to train is said twice.
    lab.write("both.toml", "dataset.name = \"digits\"\nmethod.name = \"lsd\"\ntrain.epochs = 1\n");
    let twice = ["check", "both.toml", "--set", "train.steps=5"];
    lab.refused(2, &twice, &["both are set", "--set train.epochs=0"]);
    lab.ok(&[&twice[..], &["--set", "train.epochs=0", "--set", "model.net.hidden=[4]"]].concat());
    // A batch larger than the data.
    let large = ["check", "both.toml", "--set", "train.batch_size=100000"];
    lab.refused(2, &large, &["does not fit", "`train.batch_size` between 1 and"]);
    // Items that are flat where the model's are not, and the other way round.
    let net = "model.net = { name = \"mlp\", hidden = [4] }\n[train]\nsteps = 1\n";
    for flat in [true, false] {
        lab.write(
            "c.toml",
            &format!(
                "dataset = {{ name = \"digits\", flatten = {flat} }}\nmethod.name = \"denoising_score_matching\"\n{net}"
            ),
        );
        let run = format!("run-{flat}");
        lab.ok(&["-q", "train", "c.toml", "--run-dir", &run]);
        let ckpt = format!("{run}/checkpoints/last.safetensors");
        let wrong = ["gof", "--ckpt", &ckpt, "--tests", "lksd", "--set", &format!("dataset.flatten={}", !flat)];
        lab.refused(4, &wrong, &["has shape", &format!("--set dataset.flatten={flat}")]);
        let (code, says) = if flat { (4, "leave out what --set says") } else { (2, "data list") };
        lab.refused(
            code,
            &["eval", "--ckpt", &ckpt, "--probe", "nll", "--set", "dataset.name=moons"],
            &["shape", says],
        );
    }
    lab.refused(2, &["eval", "--ckpt", "run-true/checkpoints/last.safetensors", "--probe", "nl"], &["`nll`"]);
    lab.refused(2, &["gof", "--config", "c.toml", "--tests", "kds"], &["did you mean `ksd`?"]);
}

//! Files as other programs leave them, through the binary: what is read, what is left out with a word, what is refused.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::data::support::try_open;
use crate::harness::Lab;

/// A small experiment on `data`, with more keys of its section.
fn config(data: &str, keys: &str) -> String {
    format!(
        "seed = 1\n[dataset]\nname = \"table\"\npath = {data:?}\nvalidation = 1\ntest = 1\n{keys}\n\
         [model]\nname = \"neural\"\nnet = {{ name = \"mlp\", hidden = [4] }}\n\
         [method]\nname = \"nce\"\n[train]\nsteps = 1\nbatch_size = 4\n"
    )
}

/// `ebm check` of a table: its shape, and what was said on standard error.
fn check(lab: &Lab, data: &str, keys: &str) -> (Value, String) {
    lab.write("c.toml", &config(data, keys));
    let outcome = lab.run(&["check", "c.toml", "--json", "-q"]);
    assert_eq!(outcome.code, Some(0), "{data}: {}", outcome.stderr);
    let found: Value = serde_json::from_str(&outcome.stdout).unwrap();
    (found["shape"].clone(), outcome.stderr)
}

/// How many items and classes a table has.
fn counts(lab: &Lab, data: &str, keys: &str) -> (usize, Option<usize>) {
    let data = try_open("table", &format!("path = {:?}\nvalidation = 1\ntest = 1\n{keys}", lab.path(data))).unwrap();
    (data.spec().sizes.unwrap().iter().sum(), data.spec().classes)
}

/// Eight rows i + ¼, i² + ½ behind `first`, each with `lead` in front of it.
fn rows(first: &str, lead: impl Fn(usize) -> String) -> String {
    let row = |i: usize| format!("{}{i}.25,{}.5\n", lead(i), i * i);
    format!("{first}\n{}", (0..8).map(row).collect::<String>())
}

#[test]
fn what_pandas_and_r_write_is_read_without_its_index() {
    let lab = Lab::new();
    for (name, text, says) in [
        ("pandas.csv", rows(",a,b", |i| format!("{i},")), "column 1 has no name and is left out"),
        ("shuffled.csv", rows(",a,b", |i| format!("{},", 97 - 7 * i)), "column 1 has no name and is left out"),
        ("again.csv", rows(",Unnamed: 0,a,b", |i| format!("{i},{i},")), "the first columns have no name"),
        ("r.csv", rows("\"\",\"a\",\"b\"", |i| format!("\"row {i}\",")), "column 1 has no name and is left out"),
        ("table.csv", rows("a,b", |i| format!("row {i},")), "column 1 has no name and is left out"),
        ("no_names.csv", rows(",0,1", |i| format!("{i},")), "line 1 counts the columns"),
        ("plain.csv", rows("a,b", |_| String::new()), ""),
    ] {
        lab.write(name, &text);
        let (shape, stderr) = check(&lab, name, "");
        assert_eq!((shape, counts(&lab, name, "")), (json!([2]), (8, None)), "{name}: {stderr}");
        assert!(stderr.contains(says) && (stderr.is_empty() == says.is_empty()), "{name}: {stderr}");
    }
    // The index may be the labels; then it stays.
    assert_eq!(counts(&lab, "pandas.csv", "label = 0"), (8, Some(8)));
}

#[test]
fn a_first_line_of_numbers_is_what_the_configuration_says() {
    let lab = Lab::new();
    lab.write("years.csv", &rows("2019,2020", |_| String::new()));
    lab.write("counts.csv", &format!("0,1,2\n{}", "1.5,2.5,x\n".repeat(8)));
    for (keys, items) in [("header = \"yes\"", 8), ("header = \"no\"", 9), ("", 9)] {
        assert_eq!(counts(&lab, "years.csv", keys), (items, None), "{keys}");
    }
    assert_eq!(counts(&lab, "counts.csv", "label = \"2\""), (8, Some(1)));
    assert_eq!(counts(&lab, "counts.csv", "label = 2\nheader = \"no\""), (9, Some(2)));
    lab.write("c.toml", &config("counts.csv", "header = \"perhaps\""));
    lab.refused(2, &["check", "c.toml"], &["cannot be `perhaps`"]);
}

#[test]
fn gzip_members_byte_order_marks_and_blanks_are_no_matter() {
    let lab = Lab::new();
    let text = rows("\u{feff}a;b", |_| String::new()).replace(',', ";").replace('\n', ";\r\n \r\n");
    let mut bytes = Vec::new();
    for part in text.as_bytes().chunks(40) {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(part).unwrap();
        bytes.extend(encoder.finish().unwrap());
    }
    std::fs::write(lab.path("parts.csv.gz"), &bytes).unwrap();
    lab.write("c.toml", &config("parts.csv.gz", ""));
    assert_eq!(
        (lab.json(&["check", "c.toml", "-q"])["shape"].clone(), counts(&lab, "parts.csv.gz", "").0),
        (json!([2]), 8)
    );
    std::fs::write(lab.path("parts.csv.gz"), &bytes[..bytes.len() - 5]).unwrap();
    lab.refused(4, &["check", "c.toml"], &["broken gzip at byte"]);
}

#[test]
fn nothing_out_of_a_file_reaches_the_terminal_as_a_command() {
    let lab = Lab::new();
    for (name, text) in [
        ("cell.csv", "a,b\n1,\u{1b}]0;owned\u{7}\n"),
        ("name.csv", "a\u{1b}[31m,b\n1,x\n"),
        ("lines.csv", "\"a\nerror: fake\",b\nx,1\n"),
        ("turned.csv", "a,b\n1,\u{202e}2\n"),
        ("delete.csv", "a,b\n1,\u{9b}2J\u{7f}\n"),
    ] {
        lab.write(name, text);
        lab.write("c.toml", &config(name, ""));
        let stderr = lab.refused(4, &["check", "c.toml"], &[name]);
        let shown = stderr.chars().all(|c| c == '\n' || !(c.is_control() || c == '\u{202e}'));
        assert!(shown && !stderr.contains("\nerror: fake"), "{name}: {stderr:?}");
    }
    lab.write("c.toml", &config("cell.csv", "label = \"\\u001b[2J\""));
    assert!(!lab.refused(4, &["check", "c.toml"], &["no column"]).contains('\u{1b}'));
    std::fs::create_dir_all(lab.path("runs/a\u{1b}[2J\nb")).unwrap();
    lab.write("runs/a\u{1b}[2J\nb/manifest.json", "{\"method\": \"\\u001b[31mred\"}");
    let text = lab.ok(&["ls"]);
    assert!(!text.contains('\u{1b}') && text.lines().count() == 2, "{text:?}");
}

#[test]
fn a_clock_with_a_small_spread_is_not_a_constant() {
    let lab = Lab::new();
    let text: String = (0..64).map(|i| format!("{}.5,{i}\n", 1_700_000_000 + i % 7)).collect();
    lab.write("clock.csv", &text);
    let (shape, stderr) = check(&lab, "clock.csv", "");
    assert!(shape == json!([2]) && stderr.is_empty(), "{stderr}");
    // As they are, such numbers are beyond any network; what is said comes before it diverges.
    lab.write("c.toml", &config("clock.csv", "standardise = false"));
    let raw = lab.run(&["check", "c.toml", "-q"]).stderr;
    assert!(raw.contains("column 0") && raw.contains("dataset.standardise"), "{raw}");
    // Each of the seven seconds occurs more than 5 times, as does none of the numbers beside them.
    assert_eq!(check(&lab, "clock.csv", "drop_repeats = true").0, json!([1]));
}

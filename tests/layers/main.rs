//! The rooms of the house may use the rooms below, never one above.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

mod circles;
mod form;
mod names;

/// From the door to the cellar; rooms on one floor may use each other.
const FLOORS: &[&[&str]] = &[
    &["cli"],
    &["exchange", "report", "sweep"],
    &["run"],
    &["probes"],
    &["methods"],
    &["samplers"],
    &["density"],
    &["nets"],
    &["data", "draw", "math", "optim", "store"],
    &["ranks"],
    &["config", "ops"],
    &["device", "error", "metrics", "process", "rng", "shell"],
];

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let (dirs, files): (Vec<_>, Vec<_>) = paths.partition(|p| p.is_dir());
    let own = files.into_iter().filter(|p| p.extension().is_some_and(|e| e == "rs"));
    own.chain(dirs.iter().flat_map(|d| sources(d))).collect()
}

/// `nets` of `src/nets/build.rs` and of `src/nets.rs`.
fn room_of(path: &Path) -> String {
    let inside = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// The first names behind `crate::`, also those inside `crate::{a, b::{c, d}}`.
fn names(text: &str) -> Vec<String> {
    let Some(inside) = text.strip_prefix('{') else { return vec![word(text).to_owned()] };
    let (mut depth, mut names, mut start) = (0, Vec::new(), 0);
    for (i, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                names.push(word(inside[start..i].trim()).to_owned());
                start = i + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    names.retain(|n| !n.is_empty());
    names
}

/// The rooms that a source text uses outside comments: what follows every `crate::`. `$crate::` in a macro names
/// whatever the macro's user may use, and counts like any other.
fn used(text: &str) -> BTreeSet<String> {
    let code: String = text.lines().map(|l| l.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    code.split("crate::").skip(1).flat_map(names).filter(|name| floor(name).is_some()).collect()
}

#[test]
fn every_use_goes_down() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for path in sources(&src) {
        let room = room_of(&path);
        let Some(own) = floor(&room) else {
            assert!(["lib", "main"].contains(&room.as_str()), "{room}: a room that is not in FLOORS");
            continue;
        };
        for used in used(&std::fs::read_to_string(&path).unwrap()) {
            seen += 1;
            if floor(&used).unwrap() < own {
                wrong.push(format!("{}: {room} uses {used}, which is above it", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(seen > 10, "found {seen} uses only: is the reading of `use` lines broken?");
}

#[test]
fn the_map_in_lib_is_this_order() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let listed: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("pub mod ")).map(word).collect();
    assert_eq!(listed, FLOORS.concat());
}

#[test]
fn the_reading_finds_what_it_must() {
    let found = |text: &str| used(text).into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(found("use crate::{Error, nets::{Jet, mlp}, rng::Key};"), "nets rng");
    assert_eq!(found("use crate::{\n    Result,\n    run::fs,\n};\nfn f(x: crate::cli::Args) {}"), "cli run");
    assert_eq!(found("// use crate::run;\n/// [`crate::cli`]\nuse crate::math as m;"), "math");
    assert_eq!(found("pub(crate) fn f() {} use crate::Result;"), "");
}
